//! The way of the loops to the broker.
//!
//! Owns who this node is, the thread that speaks to the broker, and its counts. The queue to the
//! thread is that of [`Keeper`], with its limits: a loop never waits.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::carrier::{Around, Carrier};
use super::{Broker, BrokerError, LINK_BYTES_MAX};
use crate::hub::command::Fault;
use crate::hub::history::{History, Keeper, KeeperLimits, Op};
use crate::hub::mail::Mail;
use crate::hub::overload::Bound;
use crate::hub::sink::Sink;
use crate::net::{Clock, Mailboxes};

/// One of several nodes.
///
/// ```
/// use throng::hub::broker::Node;
///
/// // Two of one name are two all the same.
/// assert_ne!(Node::new("a").instance(), Node::new("a").instance());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub(super) name: Arc<str>,
    pub(super) instance: u64,
}

/// A node's way to the others, over a broker, on a thread of its own: clones are one. Give each
/// loop's hub a clone. The thread ends when the last clone is dropped.
///
/// Every room with history, durable or not, has its order and what is kept of it from the broker
/// then; what is as durable as the broker keeps it. Two nodes in one process:
///
/// ```
/// use throng::hub::broker::{Memory, Node, Relay};
/// use throng::hub::history::{History, KeeperLimits};
///
/// let memory = Memory::default();
/// let relay = |name| {
///     let (node, history) = (Node::new(name), History::default());
///     Relay::start(node, history, KeeperLimits::default(), memory.clone())
/// };
/// let (one, other) = (relay("one")?, relay("other")?);
/// assert!(one.stats().is_connected && other.reason().is_none());
/// # Ok::<(), throng::hub::broker::BrokerError>(())
/// ```
#[derive(Clone)]
pub struct Relay {
    queue: Keeper,
    node: Node,
    counts: Arc<Counts>,
}

/// The work of a [`Relay`] that has no thread: see [`Relay::by_hand`].
pub struct Hand<B: Broker>(Carrier<B>);

/// What a relay has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayStats {
    /// Whether the broker can be used now.
    pub is_connected: bool,
    /// Messages that this node has published.
    pub published: u64,
    /// Messages that have come to rooms of this node, its own included.
    pub received: u64,
    /// Operations that failed.
    pub failures: u64,
    /// How often the way to the broker was opened again.
    pub reconnects: u64,
    /// How often something was missed in a room and could be read.
    pub filled: u64,
    /// How often it could not.
    pub gaps: u64,
    /// Round trips.
    pub exchanges: u64,
    /// How long they took.
    pub exchange_time: Duration,
    /// Rooms that are followed.
    pub rooms: u64,
    /// Nodes that live, as far as is known, this one included.
    pub nodes: u64,
    /// What waits, in bytes.
    pub waiting_bytes: usize,
}

/// What the thread counts.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) is_connected: AtomicBool,
    pub(super) received: AtomicU64,
    pub(super) reconnects: AtomicU64,
    pub(super) filled: AtomicU64,
    pub(super) gaps: AtomicU64,
    pub(super) rooms: AtomicU64,
    pub(super) nodes: AtomicU64,
}

/// What a relay with these limits takes at worst, where messages are of so many bytes at most:
/// beside the queue and what was found, what has come over the link, twice.
pub fn relay_bound(limits: &KeeperLimits, message_bytes_max: u64) -> Bound {
    let Bound { bytes, .. } = limits.bound(message_bytes_max);
    let words = "the way to the broker: what waits, what has come";
    Bound { bytes: bytes.saturating_add(2 * LINK_BYTES_MAX as u64), words }
}

impl Node {
    /// A node of this name. What tells it from all others is a number that is made up.
    pub fn new(name: &str) -> Self {
        // Without a random source the process would not have come so far.
        Self { name: name.into(), instance: getrandom::u64().unwrap_or_default() }
    }

    /// Its name, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of this process.
    pub const fn instance(&self) -> u64 {
        self.instance
    }
}

impl Relay {
    /// Opens the way to the broker, and starts the thread.
    ///
    /// # Errors
    /// It cannot be opened now, or the system has no thread.
    pub fn start<B: Broker>(
        node: Node,
        history: History,
        limits: KeeperLimits,
        broker: B,
    ) -> Result<Self, BrokerError> {
        let counts = Arc::<Counts>::default();
        let waker = broker.waker();
        let wake: Box<dyn Fn() + Send + Sync> = Box::new(move || waker.wake());
        let (opened, is_open) = mpsc::channel();
        let (of_thread, own) = (Arc::clone(&counts), node.clone());
        let queue = Keeper::spawn("broker", limits, Some(wake), move |shared| {
            let around = Around::default();
            let shared = Arc::clone(shared);
            Carrier::new(shared, of_thread, &own, history, broker, around).run(&opened);
        });
        let queue = queue.map_err(|error| BrokerError(error.to_string()))?;
        let ended = |_| Err(BrokerError("its thread has ended".into()));
        is_open.recv().unwrap_or_else(ended)?;
        Ok(Self { queue, node, counts })
    }

    /// The same without a thread: whoever has the [`Hand`] does the work, [step](Hand::step) by
    /// step, and opens the link so. Time is the clock's, and what is made up comes from `random`:
    /// the number of the node, the epochs of rooms, and how long a broker is let alone.
    ///
    /// ```
    /// use throng::hub::broker::{Memory, Relay};
    /// use throng::hub::history::{History, KeeperLimits};
    /// use throng::net::OsClock;
    ///
    /// let (history, limits) = (History::default(), KeeperLimits::default());
    /// let (memory, clock) = (Memory::default(), OsClock::default());
    /// let (relay, mut hand) = Relay::by_hand("a", history, limits, memory, clock, || 7);
    /// assert_eq!((relay.node().instance(), relay.stats().is_connected), (7, false));
    /// hand.step();
    /// assert!(relay.stats().is_connected);
    /// ```
    pub fn by_hand<B: Broker>(
        name: &str,
        history: History,
        limits: KeeperLimits,
        broker: B,
        clock: impl Clock + 'static,
        mut random: impl FnMut() -> u64 + 'static,
    ) -> (Self, Hand<B>) {
        let node = Node { name: name.into(), instance: random() };
        let (queue, shared) = Keeper::without_thread("broker", limits);
        let counts = Arc::<Counts>::default();
        let (clock, random) = (Box::new(clock), Box::new(random));
        let around = Around { clock, random, is_stepped: true };
        let carrier = Carrier::new(shared, Arc::clone(&counts), &node, history, broker, around);
        (Self { queue, node, counts }, Hand(carrier))
    }

    /// Who this node is.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// Why the broker cannot be used now; `None` when it can.
    pub fn reason(&self) -> Option<String> {
        self.queue.reason()
    }

    /// What was done so far.
    pub fn stats(&self) -> RelayStats {
        let (queue, counts) = (self.queue.stats(), &*self.counts);
        RelayStats {
            is_connected: counts.is_connected.load(Ordering::Relaxed),
            published: queue.messages,
            received: counts.received.load(Ordering::Relaxed),
            failures: queue.failures,
            reconnects: counts.reconnects.load(Ordering::Relaxed),
            filled: counts.filled.load(Ordering::Relaxed),
            gaps: counts.gaps.load(Ordering::Relaxed),
            exchanges: queue.commits,
            exchange_time: queue.commit_time,
            rooms: counts.rooms.load(Ordering::Relaxed),
            nodes: counts.nodes.load(Ordering::Relaxed),
            waiting_bytes: queue.waiting_bytes,
        }
    }

    /// Has a sink hear of the messages that this node has published.
    pub fn tell(&self, sink: &Sink) {
        self.queue.tell(sink);
    }

    /// Says where results go.
    pub(in crate::hub) fn attach(&self, mailboxes: &Mailboxes<Mail>) {
        self.queue.attach(mailboxes);
    }

    /// Whether this node is alone now.
    pub(in crate::hub) fn is_away(&self) -> bool {
        !self.counts.is_connected.load(Ordering::Relaxed)
    }

    /// The queue to the thread.
    pub(in crate::hub) const fn queue(&self) -> &Keeper {
        &self.queue
    }

    /// Has something done; the loop gets a letter.
    pub(in crate::hub) fn put(&self, loop_index: usize, op: Op) -> Result<(), Fault> {
        self.queue.put(loop_index, op)
    }
}

impl<B: Broker> Hand<B> {
    /// Does what is there to be done now, and never waits, where the links of the broker do not;
    /// `false` where the loops have yet to take what they were told, and then the next step tries
    /// that first. To be called often: what comes over the link is seen by it.
    pub fn step(&mut self) -> bool {
        self.0.step()
    }
}

impl<B: Broker> fmt::Debug for Hand<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hand").finish_non_exhaustive()
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("node", &self.node).finish_non_exhaustive()
    }
}
