//! A world: connections, time, and what happens when, all from one seed.
//!
//! Owns the network between clients and loop, and the agenda. The loop's wait drives it: nothing
//! happens but in there, or in a call of the loop.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use throng::net::{BacklogPolicy, Config, ConnectionId, Mailbox, Ready, Source};

use crate::client::{Client, Excuse, Reply};
use crate::dice::Dice;
use crate::handler::Mail;
use crate::script;

/// A fault of the world or of the handler, to show that a run notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    DropReadByte,
    FlipReadBit,
    DoubleRead,
    DropWrittenByte,
    LoseReadableEdge,
    LoseWritableEdge,
    SleepTooLong,
    WakeAtOnce,
    ForgetMessage,
    EchoTwice,
    SwapMessages,
}

/// What happens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Connect(usize),
    /// A client goes on with its script.
    Act(usize),
    /// Bytes of a client arrive.
    Arrive(usize),
    /// A client reads.
    Read(usize),
    /// The handler decides about a request that it left pending.
    Decide(usize),
    Broadcast,
    BroadcastOf(usize),
    PingAll,
    Kick(usize),
    NoDescriptors,
    Jump,
    Stop,
}

/// What has become ready and was not reported.
#[derive(Clone, Copy, Default)]
struct News {
    read: bool,
    write: bool,
}

/// The network between one client and the loop.
#[derive(Default)]
pub struct Link {
    /// Sent by the client, not arrived.
    pub flight: VecDeque<u8>,
    pub flight_fin: bool,
    /// Arrived, not read by the loop.
    pub inbox: VecDeque<u8>,
    pub in_max: usize,
    pub fin: bool,
    pub reset: bool,
    /// Written by the loop, not read by the client.
    pub outbox: VecDeque<u8>,
    pub out_max: usize,
    /// The loop has ended its side.
    pub shut: bool,
    /// A write did not fit, and the edge that follows has not come.
    pub full: bool,
    pub was_full: bool,
    pub read_bytes: usize,
    news: News,
    id: Option<ConnectionId>,
    pub accepted: bool,
    pub dropped: bool,
    /// The loop's end answered with a reset.
    refused: bool,
    arrival_due: bool,
    reading_due: bool,
}

impl Link {
    pub fn new(in_max: usize, out_max: usize) -> Self {
        Self { in_max, out_max, ..Self::default() }
    }
}

pub struct World {
    pub dice: Dice,
    pub planted: Option<Fault>,
    pub now: Duration,
    pub config: Config,
    pub clients: Vec<Client>,
    pub links: Vec<Link>,
    pub mailbox: Option<Mailbox<Mail>>,
    pub woken: Arc<AtomicBool>,
    pub failure: Option<String>,
    pub stopping: Option<Duration>,
    /// Nothing will ever happen again.
    pub asleep: bool,
    /// Counts what the loop and the world do, to tell a turn that did nothing.
    pub activity: u64,
    pub turns: u64,
    pub jumped: Duration,
    pub broadcasts: usize,
    /// The largest frame that anybody sent, for the bound of memory.
    pub largest: usize,
    /// When a session ends because its peer is silent, the handler closes all others.
    pub is_all_or_none: bool,
    /// Who is closed by the handler must get to know the code.
    pub must_hear_close: bool,
    pub is_traced: bool,
    /// Epoll tells all of a connection's state with any news, kqueue only the news.
    pub is_epoll: bool,
    agenda: BinaryHeap<Reverse<(Duration, u64, Action)>>,
    sequence: u64,
    queue: VecDeque<usize>,
    listening: bool,
    listener_edge: bool,
    /// Until then the process has no descriptor left.
    descriptors_from: Duration,
    gone: Vec<ConnectionId>,
    idle: IdleTurns,
}

/// Turns that found nothing to do, in the second that is running.
#[derive(Default)]
struct IdleTurns {
    second: u64,
    count: u32,
    activity: u64,
}

/// More turns without anything to do are a busy loop: a deadline has a tenth of a second.
const IDLE_TURNS_MAX: u32 = 25;

/// No world lasts longer, but for its jumps.
const LIFE: Duration = Duration::from_secs(900);

impl World {
    /// Everything from the seed.
    pub fn new(seed: u64, planted: Option<Fault>) -> Self {
        let mut dice = Dice::new(seed);
        let config = script::config(&mut dice);
        let now = Duration::from_millis(dice.below(5_000) as u64);
        let is_epoll = !dice.once_in(3);
        let mut world = Self { planted, now, is_epoll, ..Self::empty(dice, config) };
        script::people(&mut world);
        world
    }

    /// Nobody there, at time zero.
    pub fn empty(dice: Dice, config: Config) -> Self {
        Self {
            planted: None,
            now: Duration::ZERO,
            config,
            clients: Vec::new(),
            links: Vec::new(),
            mailbox: None,
            woken: Arc::default(),
            failure: None,
            stopping: None,
            asleep: false,
            activity: 0,
            turns: 0,
            jumped: Duration::ZERO,
            broadcasts: 0,
            largest: 0,
            is_all_or_none: false,
            must_hear_close: false,
            is_traced: false,
            is_epoll: true,
            agenda: BinaryHeap::new(),
            sequence: 0,
            queue: VecDeque::new(),
            listening: true,
            listener_edge: false,
            descriptors_from: Duration::ZERO,
            gone: Vec::new(),
            idle: IdleTurns::default(),
            dice,
        }
    }

    /// One more client, with its way to the loop.
    pub fn add(&mut self, client: Client, link: Link) {
        self.clients.push(client);
        self.links.push(link);
    }

    /// Tells what happens, where one seed is replayed.
    pub fn trace(&self, what: impl Fn() -> String) {
        if self.is_traced {
            println!("{:?} {}", self.now, what());
        }
    }

    pub fn fail(&mut self, what: impl Into<String>) {
        if self.failure.is_none() {
            self.failure = Some(format!("at {:?}: {}", self.now, what.into()));
        }
    }

    /// Puts an action on the agenda, `delay` from now.
    pub fn later(&mut self, delay: Duration, action: Action) {
        self.sequence += 1;
        self.agenda.push(Reverse((self.now + delay, self.sequence, action)));
    }

    /// As [`later`](Self::later), after at most so many milliseconds.
    pub fn soon(&mut self, millis_max: usize, action: Action) {
        let micros = self.dice.below(millis_max * 1000 + 1) as u64;
        self.later(Duration::from_micros(micros), action);
    }

    /// The loop waits: the world goes on until something is ready or the time is over.
    pub fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) {
        ready.clear();
        self.turns += 1;
        let mut until = timeout.map(|timeout| self.now + timeout);
        match self.planted {
            Some(Fault::SleepTooLong) => until = until.map(|until| until + Duration::from_secs(9)),
            Some(Fault::WakeAtOnce) => until = until.map(|_| self.now),
            _ => {}
        }
        self.now += Duration::from_micros(self.dice.below(50) as u64); // a turn takes time
        loop {
            self.run_due();
            if self.now > LIFE + self.jumped {
                let waiting: Vec<_> = self.clients.iter().filter_map(Client::waiting).collect();
                self.fail(format!("the world does not come to an end: {}", waiting.join("; ")));
            }
            self.collect(ready);
            if !ready.is_empty() || self.failure.is_some() {
                return;
            }
            let next = self.agenda.peek().map(|Reverse((time, ..))| *time);
            match (next, until) {
                (None, None) => {
                    self.asleep = true;
                    return;
                }
                (Some(next), None) => self.now = self.now.max(next),
                (Some(next), Some(until)) if next < until => self.now = self.now.max(next),
                (_, Some(until)) => {
                    self.now = self.now.max(until);
                    return self.count_idle_turn();
                }
            }
        }
    }

    fn run_due(&mut self) {
        while let Some(Reverse((time, _, action))) = self.agenda.peek().copied() {
            if time > self.now {
                return;
            }
            self.agenda.pop();
            self.activity += 1;
            if !matches!(action, Action::Act(_) | Action::Arrive(_)) {
                self.trace(|| format!("{action:?}"));
            }
            self.act(action);
        }
    }

    fn count_idle_turn(&mut self) {
        let second = self.now.as_secs();
        let activity = std::mem::replace(&mut self.idle.activity, self.activity);
        if second != self.idle.second {
            (self.idle.second, self.idle.count) = (second, 0);
        }
        if activity == self.activity {
            self.idle.count += 1;
            if self.idle.count > IDLE_TURNS_MAX {
                self.fail("the loop spins");
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect(number) => self.connect(number),
            Action::Act(number) => script::act(self, number),
            Action::Arrive(number) => {
                self.links[number].arrival_due = false;
                self.arrive(number);
            }
            Action::Read(number) => self.read_by_client(number),
            Action::Decide(number) => self.post(Mail::Decide(number)),
            Action::Broadcast => {
                let len = if self.dice.once_in(3) { 9_000 } else { self.dice.below(900) };
                self.act(Action::BroadcastOf(len));
            }
            Action::BroadcastOf(len) => {
                self.broadcasts += 1;
                self.largest = self.largest.max(len + 30);
                self.post(Mail::Broadcast(self.broadcasts, len));
            }
            Action::PingAll => self.post(Mail::PingAll),
            Action::Kick(number) => self.post(Mail::Kick(number)),
            Action::NoDescriptors => {
                let millis = self.dice.between(1, 4_000) as u64;
                self.descriptors_from = self.now + Duration::from_millis(millis);
            }
            Action::Jump => self.jump(),
            Action::Stop => {
                self.stopping = Some(self.now - self.jumped);
                self.clients.iter_mut().for_each(|client| client.excuse(Excuse::Stop));
                if let Some(mailbox) = self.mailbox.clone() {
                    mailbox.stop();
                }
            }
        }
    }

    pub fn post(&mut self, mail: Mail) {
        if let Some(mailbox) = self.mailbox.clone()
            && mailbox.post(mail).is_err()
        {
            self.fail("the mailbox is full");
        }
    }

    /// The machine slept: far, where nobody would have been busy meanwhile, else not so far.
    fn jump(&mut self) {
        let at_rest = self.clients.iter().all(Client::is_at_rest)
            && self.links.iter().all(|l| l.flight.is_empty() && l.outbox.is_empty());
        let seconds = if at_rest { self.dice.between(5, 3600) } else { self.dice.between(1, 2) };
        self.now += Duration::from_secs(seconds as u64);
        self.jumped += Duration::from_secs(seconds as u64);
    }

    fn connect(&mut self, number: usize) {
        self.clients[number].connected = true;
        if !self.listening {
            self.clients[number].excuse(Excuse::Stop);
            return self.clients[number].on_reset();
        }
        self.queue.push_back(number);
        self.listener_edge = true;
        if self.dice.once_in(3) {
            script::act(self, number); // the request is there before the connection is accepted
        } else {
            self.soon(5, Action::Act(number));
        }
    }

    /// Something is new on a connection.
    pub fn touch(&mut self, number: usize) {
        self.links[number].news = News { read: true, write: true };
    }

    /// Some of what is in flight arrives.
    pub fn arrive(&mut self, number: usize) {
        let link = &mut self.links[number];
        if link.reset {
            return;
        }
        let room = link.in_max - link.inbox.len().min(link.in_max);
        let some = match self.dice.below(4) {
            0 => 1,
            1 => self.dice.between(1, 30),
            2 => self.dice.between(1, 3000),
            _ => usize::MAX,
        };
        let n = some.min(room).min(link.flight.len());
        let ended = link.flight_fin && n == link.flight.len() && !link.fin;
        if link.dropped && (n > 0 || ended) {
            return self.refuse(number);
        }
        link.inbox.extend(link.flight.drain(..n));
        link.fin |= ended;
        link.news.read |= n > 0 || ended;
        self.arm_arrival(number);
    }

    /// What is still in flight will arrive, if there is room for it.
    pub fn arm_arrival(&mut self, number: usize) {
        let link = &mut self.links[number];
        let has_news = !link.flight.is_empty() || (link.flight_fin && !link.fin);
        let has_room = link.inbox.len() < link.in_max || link.flight.is_empty();
        if has_news && has_room && !link.arrival_due && !link.reset {
            link.arrival_due = true;
            let most = self.dice.one_of(&[0, 1, 1, 3]);
            self.soon(most, Action::Arrive(number));
        }
    }

    /// The loop's socket is gone: what comes for it is answered with a reset.
    fn refuse(&mut self, number: usize) {
        let link = &mut self.links[number];
        link.flight.clear();
        link.outbox.clear(); // a reset overtakes what was not read
        link.refused = true;
        self.arm_reading(number);
    }

    /// The client will read, unless it has stopped to.
    pub fn arm_reading(&mut self, number: usize) {
        let (link, client) = (&mut self.links[number], &self.clients[number]);
        let has_news = !link.outbox.is_empty() || link.shut || link.refused;
        if has_news && !link.reading_due && !client.is_done() && !client.is_deaf {
            link.reading_due = true;
            let pause = client.paused_until.saturating_sub(self.now);
            let most = if client.is_trickling { 40_000 } else { 2_000 };
            let micros = self.dice.below(most) as u64;
            self.later(pause + Duration::from_micros(micros), Action::Read(number));
        }
    }

    fn read_by_client(&mut self, number: usize) {
        let (link, client) = (&mut self.links[number], &mut self.clients[number]);
        link.reading_due = false;
        if client.is_done() || client.is_deaf {
            return;
        }
        if client.paused_until > self.now {
            return self.arm_reading(number);
        }
        let few = client.is_trickling || self.dice.once_in(3);
        let most = if few { self.dice.between(1, 2000) } else { usize::MAX };
        let n = link.outbox.len().min(most);
        let bytes: Vec<u8> = link.outbox.drain(..n).collect();
        if link.full && link.outbox.len() <= link.out_max * 2 / 3 {
            link.full = false;
            client.said_at = self.now; // to read is a sign of life, too
            let is_lost = self.planted == Some(Fault::LoseWritableEdge) && self.dice.once_in(9);
            link.news.write |= !is_lost;
        }
        let now = self.now;
        let mut result = client.receive(&bytes, now);
        if link.outbox.is_empty() && link.refused {
            client.on_reset();
        } else if link.outbox.is_empty() && link.shut {
            let end = client.on_fin(&mut self.dice, now);
            result = result.and_then(|reply| end.map(|()| reply));
        }
        match result {
            Ok(reply) => self.send(number, reply),
            Err(what) => self.fail(format!("client {number}: {what}")),
        }
        self.arm_reading(number);
    }

    /// The client answers what it has read.
    fn send(&mut self, number: usize, reply: Reply) {
        let client = &mut self.clients[number];
        let link = &mut self.links[number];
        link.flight.extend(&reply.bytes);
        if client.take_fin() {
            link.flight_fin = true;
        }
        self.arm_arrival(number);
        if reply.goes_on {
            self.soon(2, Action::Act(number));
        }
    }

    /// What epoll would report, in any order, and some of it later.
    fn collect(&mut self, ready: &mut Vec<Ready>) {
        if std::mem::take(&mut self.listener_edge) && self.listening {
            ready.push(news(Source::Listener(0)));
        }
        if self.woken.swap(false, Ordering::Relaxed) {
            ready.push(news(Source::Mailbox));
        }
        for link in &mut self.links {
            let News { read, write } = link.news;
            let has_news = (read || write) && !link.dropped;
            let Some(id) = link.id.filter(|_| has_news) else { continue };
            if !ready.is_empty() && self.dice.once_in(4) {
                continue; // with a later wait
            }
            link.news = News::default();
            if self.planted == Some(Fault::LoseReadableEdge) && self.dice.once_in(20) {
                continue;
            }
            let (read, write) = (read || self.is_epoll, write || self.is_epoll);
            ready.push(Ready {
                source: Source::Connection(id),
                readable: read && (!link.inbox.is_empty() || link.fin || link.reset),
                writable: write && (!link.full || link.reset),
                read_closed: read && (link.fin || link.reset),
                error: read && link.reset,
            });
        }
        if ready.is_empty() {
            return;
        }
        if !self.gone.is_empty() && self.dice.once_in(4) {
            let id = self.dice.one_of(&self.gone);
            let mut stale = news(Source::Connection(id));
            (stale.writable, stale.read_closed) = (true, self.dice.once_in(2));
            stale.error = self.dice.once_in(2);
            ready.push(stale);
        }
        self.dice.shuffle(ready);
        self.activity += 1;
    }

    pub fn accept(&mut self) -> io::Result<usize> {
        if self.queue.is_empty() || !self.listening {
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.descriptors_from > self.now {
            const EMFILE: i32 = 24;
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        self.activity += 1;
        let Some(number) = self.queue.pop_front() else {
            return Err(ErrorKind::WouldBlock.into());
        };
        if self.dice.once_in(100) {
            self.clients[number].excuse(Excuse::Aborted);
            self.links[number].dropped = true;
            self.refuse(number);
            return Err(ErrorKind::ConnectionAborted.into());
        }
        let held = self.links.iter().filter(|link| link.accepted && !link.dropped).count();
        if held >= self.config.connections_max {
            self.clients[number].excuse(Excuse::Full);
        }
        self.links[number].accepted = true;
        Ok(number)
    }

    pub fn register(&mut self, number: usize, id: ConnectionId) -> io::Result<()> {
        if self.dice.once_in(200) {
            self.clients[number].excuse(Excuse::Unwatched);
            return Err(io::Error::other("no more watches"));
        }
        self.links[number].id = Some(id);
        self.touch(number); // epoll tells of what is there already
        Ok(())
    }

    /// Connections that wait to be accepted go down with the listener.
    pub fn stop_listening(&mut self) {
        self.listening = false;
        while let Some(number) = self.queue.pop_front() {
            self.links[number].dropped = true;
            self.refuse(number);
        }
    }

    /// The loop has dropped its end: with unread input that is a reset.
    pub fn dropped(&mut self, number: usize) {
        let link = &mut self.links[number];
        link.dropped = true;
        self.gone.extend(link.id);
        self.activity += 1;
        if link.inbox.is_empty() {
            link.shut = true;
            self.arm_reading(number);
            self.arm_arrival(number);
        } else {
            self.refuse(number);
        }
    }

    /// What the configuration promises that a peer is owed at most: the limit, one message with its
    /// header and bookkeeping, and what a turn may hold.
    pub fn backlog_bound(&self) -> usize {
        const TURN_BYTES: usize = 1 << 20;
        self.config.backlog_bytes_max + self.largest + 200 + TURN_BYTES
    }

    pub fn is_lossy(&self) -> bool {
        self.config.backlog_policy == BacklogPolicy::DropOldest
    }
}

fn news(source: Source) -> Ready {
    Ready { source, readable: true, writable: false, read_closed: false, error: false }
}
