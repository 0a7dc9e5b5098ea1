//! One loop full of connections, and the phases that it goes through.
//!
//! Owns the phases, and what all modes have in common. Never knows what its messages mean: that is
//! for its [`Task`].

use std::io;
use std::time::Duration;

use throng::frame::CloseCode;
use throng::net::{
    CloseReason, Config, ConnectionId, DialError, Handler, Message, Server, Stopper, Tls, TlsSetup,
};
use throng::proto::{Role, Settings};

use super::clock::{MILLISECOND_NS, SECOND_NS, now_ns, ns};
use super::opening::Opening;
use super::plan::Plan;
use super::recorder::Recorder;
use super::words::{Done, Errors, Order, Word};

/// How long nothing must have come before the run begins: greetings and answers to the hello.
const QUIET_NS: u64 = 50 * MILLISECOND_NS;
const QUIET_AFTER_HELLO_NS: u64 = 300 * MILLISECOND_NS;
/// How long a server may go on talking before that.
const QUIET_MAX_NS: u64 = 5 * SECOND_NS;
/// How often is looked whether all is answered.
const DRAIN_STEP_NS: u64 = 50 * MILLISECOND_NS;
/// How long servers may take over the close handshakes at the end.
const LEAVE_NS: u64 = 2 * SECOND_NS;
/// A year: timeouts of the engine that are for servers.
const NEVER: Duration = Duration::from_secs(365 * 86_400);
/// The longest frame that a server may answer with, in bytes.
const MESSAGE_MAX: u64 = 1 << 30;

/// The connections of a worker, with TLS or without.
pub type Peers = throng::net::Peers<u32, Tls>;

/// What the connections do once they are open.
pub trait Task {
    /// Whether connections are opened before the run.
    const OPENS_FIRST: bool = true;

    /// The run begins.
    fn begin(&mut self, crew: &mut Crew, peers: &mut Peers) {
        let _ = (crew, peers);
    }

    /// Does what is due, and says when more will be.
    fn act(&mut self, crew: &mut Crew, peers: &mut Peers) -> u64 {
        let _ = (crew, peers);
        u64::MAX
    }

    /// A message has come, while the run goes on or is waited for.
    fn message(&mut self, crew: &mut Crew, peers: &mut Peers, link: usize, message: Message<'_>);

    /// A pong has come.
    fn pong(&mut self, crew: &mut Crew, link: usize, payload: &[u8]) {
        let _ = (crew, link, payload);
    }

    /// A connection was opened, once the run goes on.
    fn open(&mut self, crew: &mut Crew, peers: &mut Peers, link: usize, id: ConnectionId) {
        let _ = (crew, peers, link, id);
    }

    /// A connection was refused, once the run goes on.
    fn refused(&mut self, link: usize) {
        let _ = link;
    }

    /// A connection has ended, once the run goes on.
    fn close(&mut self, crew: &mut Crew, peers: &mut Peers, link: usize) {
        let _ = (crew, peers, link);
    }

    /// Whether all that was sent is answered.
    fn is_answered(&self) -> bool {
        true
    }

    /// Counts what was never answered.
    fn give_up(&mut self, crew: &mut Crew) {
        let _ = crew;
    }
}

/// How far a worker has come.
///
/// ```text
///   Opening ─► Quiet ─► Waiting ──Begin──► Running ─► Draining ─► Done ──Leave──► Leaving
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Opening,
    /// All are open; what the server says unasked is thrown away.
    Quiet,
    Waiting,
    Running,
    /// Nothing new is sent, answers are waited for.
    Draining,
    /// All is counted, and others may still count.
    Done,
    Leaving,
}

/// The connections of a worker, and what is known of them.
pub struct Crew {
    pub plan: Plan,
    /// By their number; `None` is not open.
    pub links: Vec<Option<ConnectionId>>,
    pub open: usize,
    pub recorder: Recorder,
    pub done: Done,
    pub phase: Phase,
    say: Box<dyn Fn(Word) + Send>,
}

impl Crew {
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Counts an error, and keeps the first few in words.
    pub fn note(&mut self, count: fn(&mut Errors) -> &mut u64, words: impl FnOnce() -> String) {
        let errors = count(&mut self.done.errors);
        *errors += 1;
        if *errors == 1 {
            self.done.examples.push(words());
        }
    }

    /// Tells of the seconds that are over.
    pub fn roll(&mut self, now_ns: u64) {
        while now_ns >= self.recorder.boundary_ns() {
            if let Some(second) = self.recorder.roll(now_ns) {
                (self.say)(Word::Second(Box::new(second)));
            }
        }
    }
}

/// The handler of the loop.
pub struct Worker<T> {
    crew: Crew,
    task: T,
    opening: Opening,
    /// When this phase began, and when something last came in it.
    since_ns: u64,
    heard_ns: u64,
    stopper: Stopper,
}

/// Runs a worker on this thread until it is done. `listen` gets what posts orders to it.
///
/// # Errors
/// What the system says of a thread or of epoll.
pub fn run<T: Task>(
    plan: &Plan,
    task: impl Fn(&Plan) -> T + Sync,
    say: impl Fn(Word) + Clone + Send + Sync + 'static,
    listen: impl Fn(Box<dyn Fn(Order) + Send>) + Sync,
) -> io::Result<()> {
    let server = Server::builder().config(config(plan)).bind()?;
    let setup = TlsSetup { connector: plan.connector()?, ..TlsSetup::default() };
    let stopper = server.stopper();
    let recorder = Recorder::new()?;
    server.run_tls(&setup, |_, mailboxes| {
        let mailbox = mailboxes[0].clone();
        listen(Box::new(move |order| {
            let _ = mailbox.post(order); // two orders fit
        }));
        let crew = Crew {
            plan: plan.clone(),
            links: vec![None; plan.connections],
            open: 0,
            recorder: recorder.clone(),
            done: Done::default(),
            phase: Phase::Opening,
            say: Box::new(say.clone()),
        };
        let opening = Opening::new(plan.clone());
        let (task, stopper, now) = (task(plan), stopper.clone(), now_ns());
        Worker { crew, task, opening, since_ns: now, heard_ns: now, stopper }
    })
}

/// The limits of a load: the server's patience is tested, not ours.
fn config(plan: &Plan) -> Config {
    let mut settings = Settings::new(Role::Client);
    settings.message_bytes_max = MESSAGE_MAX;
    Config {
        settings,
        handshake_timeout: Duration::from_secs_f64(plan.timeout_s),
        ping_interval: NEVER,
        write_timeout: NEVER,
        drain_timeout: Duration::from_secs(1),
        // A load that stops reading while it has something to write could wait for a server that
        // does the same.
        backlog_high_bytes: usize::MAX,
        backlog_low_bytes: usize::MAX,
        backlog_bytes_max: usize::MAX,
        deflate: plan.compress.config(),
        ..Config::default()
    }
}

impl<T: Task> Worker<T> {
    fn enter(&mut self, phase: Phase) {
        self.crew.phase = phase;
        self.since_ns = now_ns();
        self.heard_ns = self.since_ns;
    }

    /// Does what is due in this phase, and asks to be woken for what will be.
    fn step(&mut self, peers: &mut Peers) {
        loop {
            let phase = self.crew.phase;
            let next_ns = self.step_once(peers);
            if self.crew.phase == phase {
                if next_ns < u64::MAX {
                    let delay_ns = next_ns.saturating_sub(now_ns());
                    peers.wake_at(peers.now() + Duration::from_nanos(delay_ns));
                }
                return;
            }
        }
    }

    fn step_once(&mut self, peers: &mut Peers) -> u64 {
        let now = now_ns();
        match self.crew.phase {
            Phase::Opening => self.open_more(peers),
            Phase::Quiet => self.wait_for_quiet(now),
            Phase::Waiting | Phase::Done => u64::MAX,
            Phase::Running => {
                self.crew.roll(now);
                let until_ns = self.crew.recorder.until_ns();
                let is_deserted = T::OPENS_FIRST && self.crew.open == 0;
                if now >= until_ns || is_deserted {
                    self.enter(Phase::Draining);
                    return now;
                }
                let next_ns = self.task.act(&mut self.crew, peers);
                next_ns.min(self.crew.recorder.boundary_ns()).min(until_ns)
            }
            Phase::Draining => self.drain(now),
            Phase::Leaving => {
                let leave_by = self.since_ns + LEAVE_NS;
                if self.crew.open == 0 || now >= leave_by {
                    self.stopper.stop();
                    return u64::MAX;
                }
                leave_by
            }
        }
    }

    fn open_more(&mut self, peers: &mut Peers) -> u64 {
        if !T::OPENS_FIRST {
            self.enter(Phase::Quiet);
            return u64::MAX;
        }
        if let Err(error) = self.opening.go_on(peers) {
            // Every other one would be the same.
            self.crew.note(|errors| &mut errors.refused, || error.to_string());
            self.enter(Phase::Quiet);
        } else if self.opening.is_over() {
            self.enter(Phase::Quiet);
        }
        self.opening.next_ns()
    }

    fn wait_for_quiet(&mut self, now: u64) -> u64 {
        let quiet_ns = match self.crew.plan.hello {
            Some(_) => QUIET_AFTER_HELLO_NS,
            None => QUIET_NS,
        };
        let quiet_at = (self.heard_ns + quiet_ns).min(self.since_ns + QUIET_MAX_NS);
        if T::OPENS_FIRST && self.crew.open > 0 && now < quiet_at {
            return quiet_at;
        }
        let open = self.crew.open as u64;
        let opening_s = self.opening.seconds() - (now - self.since_ns) as f64 / SECOND_NS as f64;
        (self.crew.say)(Word::Ready { open, opening_s });
        self.enter(Phase::Waiting);
        u64::MAX
    }

    fn drain(&mut self, now: u64) -> u64 {
        let Crew { plan, open, .. } = &self.crew;
        let give_up_at = self.since_ns + ns(plan.timeout_s);
        if !self.task.is_answered() && *open > 0 && now < give_up_at {
            return give_up_at.min(now + DRAIN_STEP_NS);
        }
        self.task.give_up(&mut self.crew);
        self.crew.recorder.finish(now);
        self.crew.roll(now);
        let mut done = std::mem::take(&mut self.crew.done);
        done.latency = self.crew.recorder.rest();
        self.enter(Phase::Done);
        (self.crew.say)(Word::Done(Box::new(done)));
        u64::MAX
    }

    fn leave(&mut self, peers: &mut Peers) {
        self.enter(Phase::Leaving);
        for id in self.crew.links.iter().flatten() {
            let _ = peers.close(*id, CloseCode::NORMAL, ""); // it may be closing already
        }
    }
}

impl<T: Task> Handler<Tls> for Worker<T> {
    type Session = u32;
    type Mail = Order;

    fn open(&mut self, peers: &mut Peers, id: ConnectionId) {
        let link = number(peers, id);
        self.crew.links[link] = Some(id);
        self.crew.open += 1;
        self.opening_ended();
        if let Some(hello) = &self.crew.plan.hello {
            let _ = peers.send(id, Message::text(hello)); // it is open
        }
        if self.crew.phase == Phase::Opening {
            self.step(peers);
        } else {
            self.task.open(&mut self.crew, peers, link, id);
        }
    }

    fn refused(&mut self, peers: &mut Peers, session: u32, error: DialError) {
        self.opening_ended();
        if matches!(self.crew.phase, Phase::Opening | Phase::Running) {
            self.crew.note(|errors| &mut errors.refused, || error.to_string());
        }
        self.task.refused(session as usize);
        // At another time: a server that is gone refuses before this returns.
        peers.wake_at(peers.now() + Duration::from_millis(1));
    }

    fn message(&mut self, peers: &mut Peers, from: ConnectionId, message: Message<'_>) {
        match self.crew.phase {
            Phase::Running => {
                let link = number(peers, from);
                self.task.message(&mut self.crew, peers, link, message);
            }
            Phase::Draining => {
                let link = number(peers, from);
                self.task.message(&mut self.crew, peers, link, message);
                if self.task.is_answered() {
                    self.step(peers);
                }
            }
            Phase::Opening | Phase::Quiet | Phase::Waiting => self.heard_ns = now_ns(),
            Phase::Done | Phase::Leaving => {}
        }
    }

    fn pong(&mut self, peers: &mut Peers, from: ConnectionId, payload: &[u8]) {
        let link = number(peers, from);
        self.task.pong(&mut self.crew, link, payload);
    }

    fn close(&mut self, peers: &mut Peers, _: ConnectionId, session: u32, reason: CloseReason<'_>) {
        let link = session as usize;
        self.crew.links[link] = None;
        self.crew.open -= 1;
        let is_over = matches!(self.crew.phase, Phase::Done | Phase::Leaving);
        let is_early = T::OPENS_FIRST && !is_over;
        if is_early || (self.crew.is_running() && !matches!(reason, CloseReason::Peer(_))) {
            self.crew.note(|errors| &mut errors.lost, || format!("{reason:?}"));
        }
        self.task.close(&mut self.crew, peers, link);
        if self.crew.open == 0 {
            self.step(peers);
        }
    }

    fn mail(&mut self, peers: &mut Peers, order: Order) {
        match order {
            Order::Begin { from_ns, until_ns } => {
                self.crew.recorder.begin(from_ns, until_ns);
                self.enter(Phase::Running);
                self.task.begin(&mut self.crew, peers);
            }
            Order::Finish => self.crew.recorder.finish(now_ns()),
            Order::Leave => self.leave(peers),
        }
        self.step(peers);
    }

    fn wake(&mut self, peers: &mut Peers) {
        self.step(peers);
    }

    fn has_work(&self) -> bool {
        true // the first tick comes before the first connection
    }

    fn tick(&mut self, peers: &mut Peers) {
        if self.crew.phase == Phase::Opening {
            (self.crew.say)(Word::Opening { open: self.crew.open as u64 });
        }
        self.step(peers);
    }
}

impl<T: Task> Worker<T> {
    fn opening_ended(&mut self) {
        if T::OPENS_FIRST {
            self.opening.dialled();
        }
    }
}

/// The number that a connection was dialled with.
#[inline]
fn number(peers: &Peers, id: ConnectionId) -> usize {
    peers.session(id).map_or(0, |number| *number as usize)
}
