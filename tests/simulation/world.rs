//! A world: connections, time, and what happens when, all from one seed.
//!
//! Owns the agenda, and which loop turns next; the network is [`network`](crate::network)'s. What
//! the clients are like is for a [`Crowd`]. Nothing happens but on the agenda, or in a loop's call.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use throng::net::{ConnectionId, Ready};

use crate::dice::Dice;
use crate::network::Link;

/// The clients of a world, and what else happens in it.
pub trait Crowd: Sized + 'static {
    /// What happens at a time, beside what every network does.
    type Action: Copy + Debug + Ord;

    /// More turns in a second without anything to do are a busy loop.
    const IDLE_TURNS_MAX: u32;

    /// Something on the agenda is due.
    fn act(world: &mut World<Self>, action: Self::Action);
    /// How a client reads; `None` where it does not any more.
    fn reader(&self, number: usize) -> Option<Reader>;
    /// A client has read something, or the end.
    fn receive(world: &mut World<Self>, number: usize, arrival: Arrival<'_>) -> Result<(), String>;
    /// The server is free of what it owes a client.
    fn excuse(&mut self, number: usize, excuse: Excuse);
    /// Whether nothing is under way on any connection.
    fn is_at_rest(&self) -> bool;
    /// How many connections a loop holds.
    fn connections_max(&self) -> usize;
    /// Whether something has to be done before a loop turns, or all is over.
    fn interrupts(&self) -> bool;
    /// What is still waited for, where a world does not come to an end.
    fn waiting(&self) -> String;
}

/// How a client reads.
#[derive(Clone, Copy)]
pub struct Reader {
    /// Not before then.
    pub from: Duration,
    /// Little at a time, with long breaks.
    pub is_trickling: bool,
}

/// What a client has read.
pub struct Arrival<'a> {
    pub bytes: &'a [u8],
    pub end: Option<End>,
    /// The loop will hear that there is room again.
    pub made_room: bool,
}

/// The end of what the server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Fin,
    Reset,
}

/// What happened that frees the server of what it owes a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excuse {
    Stop,
    Aborted,
    Full,
    Unwatched,
    /// The policy for slow peers closed it, or all were owed too much together.
    Backlogged,
    /// The handler closed it, with 4001.
    Kicked,
}

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
    // What follows is of the hub alone.
    MessageTwice,
    LoseLetter,
    SwapLetters,
    ForgetClose,
    ForgetTick,
    StoreLosesWrite,
    StoreSkipsOffset,
    StoreReadsShort,
    // And this of the broker between nodes.
    BrokerLosesWrite,
    BrokerWritesTwice,
    BrokerRefusesBehind,
    BrokerSwapsNews,
    BrokerShiftsNews,
    BrokerSwapsRows,
    BrokerLosesPresence,
    BrokerLosesLetters,
}

/// What happens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action<A> {
    /// Bytes of a client arrive.
    Arrive(usize),
    /// A client reads.
    Read(usize),
    NoDescriptors,
    Jump,
    /// A loop does not get the processor for a while.
    Stall(usize),
    Of(A),
}

impl<A> From<A> for Action<A> {
    fn from(action: A) -> Self {
        Self::Of(action)
    }
}

/// One loop, as the world sees it.
#[derive(Default)]
pub struct Turner {
    pub woken: Arc<AtomicBool>,
    sleep: Sleep,
    stalled_until: Duration,
    /// Connections that wait to be accepted.
    pub queue: VecDeque<usize>,
    pub has_listener_news: bool,
    /// It listens no more.
    pub is_deaf: bool,
    /// The connections that it watches, and those that it has watched.
    pub live: Vec<usize>,
    pub gone: Vec<ConnectionId>,
    idle: IdleTurns,
}

/// Until when a loop sleeps.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sleep {
    /// It has yet to say.
    #[default]
    Unknown,
    /// Until something is ready.
    Forever,
    Until(Duration),
}

/// What will happen, the earliest first: when, and in which order it was planned.
type Due<A> = Reverse<(Duration, u64, Action<A>)>;

pub struct World<C: Crowd> {
    pub crowd: C,
    pub dice: Dice,
    pub planted: Option<Fault>,
    pub now: Duration,
    pub links: Vec<Link>,
    pub loops: Vec<Turner>,
    pub failure: Option<String>,
    /// Counts what the loops and the world do, to tell a turn that did nothing.
    pub activity: u64,
    pub turns: u64,
    pub jumped: Duration,
    pub is_traced: bool,
    /// Epoll tells all of a connection's state with any news, kqueue only the news.
    pub is_epoll: bool,
    /// From here on nothing goes wrong any more.
    pub is_calm: bool,
    /// What went wrong, and how often.
    pub mishaps: BTreeMap<&'static str, u64>,
    agenda: BinaryHeap<Due<C::Action>>,
    sequence: u64,
    /// Until then the process has no descriptor left.
    pub descriptors_from: Duration,
}

/// Turns that found nothing to do, in the second that is running.
#[derive(Default)]
struct IdleTurns {
    second: u64,
    count: u32,
    activity: u64,
}

/// No world lasts longer, but for its jumps.
const LIFE: Duration = Duration::from_secs(900);

impl<C: Crowd> World<C> {
    /// Nobody there yet, at time zero.
    pub fn new(dice: Dice, crowd: C, loops: usize) -> Self {
        Self {
            crowd,
            dice,
            planted: None,
            now: Duration::ZERO,
            links: Vec::new(),
            loops: (0..loops).map(|_| Turner::default()).collect(),
            failure: None,
            activity: 0,
            turns: 0,
            jumped: Duration::ZERO,
            is_traced: false,
            is_epoll: true,
            is_calm: false,
            mishaps: BTreeMap::new(),
            agenda: BinaryHeap::new(),
            sequence: 0,
            descriptors_from: Duration::ZERO,
        }
    }

    pub fn trace(&self, what: impl FnOnce() -> String) {
        if self.is_traced {
            println!("{:?} {}", self.now, what());
        }
    }

    pub fn fail(&mut self, what: impl Into<String>) {
        if self.failure.is_none() {
            self.failure = Some(format!("at {:?}: {}", self.now, what.into()));
        }
    }

    /// Takes note of something that went wrong.
    pub fn mishap(&mut self, what: &'static str) {
        self.trace(|| what.to_owned());
        *self.mishaps.entry(what).or_default() += 1;
    }

    /// Once in `times`, until all is calm.
    pub fn mishap_once_in(&mut self, times: usize, what: &'static str) -> bool {
        let happens = !self.is_calm && self.dice.once_in(times);
        if happens {
            self.mishap(what);
        }
        happens
    }

    /// One more client's way to a loop.
    pub fn add_link(&mut self, link: Link) -> usize {
        self.links.push(link);
        self.links.len() - 1
    }

    /// Puts an action on the agenda, `delay` from now.
    pub fn later(&mut self, delay: Duration, action: impl Into<Action<C::Action>>) {
        self.sequence += 1;
        self.agenda.push(Reverse((self.now + delay, self.sequence, action.into())));
    }

    /// As [`later`](Self::later), after at most so many milliseconds.
    pub fn soon(&mut self, millis_max: usize, action: impl Into<Action<C::Action>>) {
        let micros = self.dice.below(millis_max * 1000 + 1) as u64;
        self.later(Duration::from_micros(micros), action);
    }

    /// The loop that turns next: the world goes on until one has a reason to. `None` where nothing
    /// will ever happen again, or the crowd interrupts.
    pub fn next_loop(&mut self) -> Option<usize> {
        self.turns += 1;
        self.now += Duration::from_micros(self.dice.below(50) as u64); // a turn takes time
        loop {
            self.run_due();
            if self.now > LIFE + self.jumped {
                let waiting = self.crowd.waiting();
                self.fail(format!("the world does not come to an end: {waiting}"));
            }
            if self.failure.is_some() || self.crowd.interrupts() {
                return None;
            }
            let due: Vec<usize> = (0..self.loops.len()).filter(|at| self.is_due(*at)).collect();
            if !due.is_empty() {
                return Some(self.dice.one_of(&due));
            }
            let wake = self.loops.iter().filter_map(|turner| match turner.sleep {
                Sleep::Until(until) => Some(until.max(turner.stalled_until)),
                Sleep::Unknown => Some(turner.stalled_until),
                Sleep::Forever => None,
            });
            let stalls = self.loops.iter().map(|turner| turner.stalled_until);
            let wake = wake.chain(stalls.filter(|until| *until > self.now)).min();
            let next = self.agenda.peek().map(|Reverse((time, ..))| *time);
            let next = wake.into_iter().chain(next).min()?;
            self.now = self.now.max(next);
        }
    }

    fn is_due(&self, at: usize) -> bool {
        let turner = &self.loops[at];
        if turner.stalled_until > self.now {
            return false;
        }
        let is_over = match turner.sleep {
            Sleep::Unknown => true,
            Sleep::Until(until) => until <= self.now,
            Sleep::Forever => false,
        };
        is_over
            || (turner.has_listener_news && !turner.is_deaf)
            || turner.woken.load(Ordering::Relaxed)
            || turner.live.iter().any(|number| self.links[*number].has_news())
    }

    /// A loop waits: it gets what is ready, and sleeps when that is nothing.
    pub fn wait(&mut self, at: usize, ready: &mut Vec<Ready>, timeout: Option<Duration>) {
        ready.clear();
        self.collect(at, ready);
        let mut until = timeout.map(|timeout| self.now + timeout);
        match self.planted {
            Some(Fault::SleepTooLong) => until = until.map(|until| until + Duration::from_secs(9)),
            Some(Fault::WakeAtOnce) => until = until.map(|_| self.now),
            _ => {}
        }
        // What a turn that had something to do has changed is known when the loop waits again.
        let has_slept = self.loops[at].sleep != Sleep::Unknown;
        let is_short = until.is_some_and(|until| until <= self.now);
        self.loops[at].sleep = match until {
            _ if !ready.is_empty() || has_slept || is_short => Sleep::Unknown,
            Some(until) => Sleep::Until(until),
            None => Sleep::Forever,
        };
        if ready.is_empty() && (has_slept || is_short) {
            self.count_idle_turn(at);
        }
    }

    fn run_due(&mut self) {
        while let Some(Reverse((time, _, action))) = self.agenda.peek().copied() {
            if time > self.now {
                return;
            }
            self.agenda.pop();
            self.activity += 1;
            if !matches!(action, Action::Arrive(_)) {
                self.trace(|| format!("{action:?}"));
            }
            self.act(action);
        }
    }

    fn count_idle_turn(&mut self, at: usize) {
        let (second, now_activity) = (self.now.as_secs(), self.activity);
        let idle = &mut self.loops[at].idle;
        let activity = std::mem::replace(&mut idle.activity, now_activity);
        if second != idle.second {
            (idle.second, idle.count) = (second, 0);
        }
        if activity == now_activity {
            idle.count += 1;
            if idle.count > C::IDLE_TURNS_MAX {
                self.fail("the loop spins");
            }
        }
    }

    fn act(&mut self, action: Action<C::Action>) {
        match action {
            Action::Of(action) => C::act(self, action),
            Action::Arrive(number) => {
                self.links[number].arrival_due = false;
                self.arrive(number);
            }
            Action::Read(number) => self.read_by_client(number),
            Action::NoDescriptors if self.is_calm => {}
            Action::NoDescriptors => {
                self.mishap("no descriptor left");
                let millis = self.dice.between(1, 4_000) as u64;
                self.descriptors_from = self.now + Duration::from_millis(millis);
            }
            Action::Jump => self.jump(),
            Action::Stall(_) if self.is_calm => {}
            Action::Stall(at) => {
                self.mishap("a loop without the processor");
                let millis = self.dice.between(1, 1_500) as u64;
                self.loops[at].stalled_until = self.now + Duration::from_millis(millis);
            }
        }
    }

    /// The machine slept: far, where nobody would have been busy meanwhile, else not so far.
    fn jump(&mut self) {
        self.mishap("the clock jumps");
        let at_rest = self.crowd.is_at_rest()
            && self.links.iter().all(|l| l.flight.is_empty() && l.outbox.is_empty());
        let seconds = if at_rest { self.dice.between(5, 3600) } else { self.dice.between(1, 2) };
        self.jump_by(Duration::from_secs(seconds as u64));
    }

    pub fn jump_by(&mut self, time: Duration) {
        self.now += time;
        self.jumped += time;
    }
}
