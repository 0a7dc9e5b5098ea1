//! What happens in rooms, handed to another service: at least once, in the order of each room.
//!
//! Owns which events of which rooms are handed over, the limits of the outbox that they wait in,
//! and the thread that does it. Never delivers itself: a [`Courier`] knows the way. The outbox
//! stands in the file of the store, so that a message that was acknowledged in a durable room is in
//! it too.
//!
//! ```
//! use throng::hub::auth::Pattern;
//! use throng::hub::sink::{EventKind, Rules};
//!
//! let rooms = vec![Pattern::new("orders.*")?];
//! let rules = Rules { rooms, kinds: vec![EventKind::Message] };
//! assert!(rules.wants(EventKind::Message, "orders.7"));
//! assert!(!rules.wants(EventKind::Join, "orders.7"));
//! # Ok::<(), &'static str>(())
//! ```

mod event;
mod handing;
mod numbers;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

pub use event::{Event, EventKind};

use serde_json::value::RawValue;

use super::auth::Pattern;
use super::history::{Keeper, Position};
use handing::Handing;
pub(super) use numbers::families;

/// Which events are handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Of which rooms; of all, where there is none.
    pub rooms: Vec<Pattern>,
    /// What of them.
    pub kinds: Vec<EventKind>,
}

/// How much may wait, and how long is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What may wait in the outbox. Past it the oldest events go that are no message of a durable
    /// room; where there are only such, publishers in durable rooms get the error `sink_full`.
    /// Default: 100,000 events, 64 MiB.
    pub outbox_max: Held,
    /// Events in one batch. Default: 100.
    pub batch_max: usize,
    /// How often an event is tried alone that the other side does not want; then it is let go.
    /// Default: 5.
    pub tries_max: u32,
    /// The longest pause between two tries. Default: a minute.
    pub pause_max: Duration,
}

/// What the sink has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkStats {
    /// Events in the outbox.
    pub waiting: u64,
    /// What they take, in bytes.
    pub waiting_bytes: u64,
    /// Events that were handed over.
    pub delivered: u64,
    /// Events that the other side does not want, and that were let go.
    pub unwanted: u64,
    /// Events that went since the outbox was full, or could not be written to.
    pub dropped: u64,
    /// Tries that failed.
    pub failures: u64,
    /// When the oldest that waits happened, in milliseconds since 1970; 0 where none waits.
    pub oldest_ms: u64,
}

/// Some events of one batch, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The id of the outbox, and the first and the last number: the same when it is tried again.
    pub id: String,
    /// The events.
    pub events: Vec<Packed>,
}

/// An event as it is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Its id: no other event has it, in no outbox.
    pub id: String,
    /// What it is.
    pub kind: EventKind,
    /// Where it happened.
    pub room: Arc<str>,
    /// All that is said of it: one JSON object.
    pub json: String,
}

/// Why a batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may be taken later: the other side is away, or busy.
    Later {
        /// Why, in words for the log.
        reason: String,
        /// How long it wants to be left alone.
        after: Option<Duration>,
    },
    /// Something in it is not wanted.
    Refused {
        /// Why, in words for the log.
        reason: String,
    },
}

/// The way to another service. It is used by one thread, which may wait.
pub trait Courier: Send + 'static {
    /// Hands a batch over. When this returns `Ok` the other side has it.
    ///
    /// # Errors
    /// [`Failure`]: the batch comes again, whole or in pieces.
    fn hand_over(&mut self, batch: &Batch) -> Result<(), Failure>;
}

/// Hands events over, on a thread of its own: clones are one. Give each loop's hub a clone. The
/// thread ends soon after the last clone is dropped; what waits is handed over when the server
/// runs again.
#[derive(Clone)]
pub struct Sink {
    owner: Arc<Owner>,
    keeper: Keeper,
}

struct Owner(Arc<Shared>);

/// What the loops, the store's thread and that of the sink share.
pub(super) struct Shared {
    pub(super) rules: Rules,
    pub(super) limits: Limits,
    state: Mutex<State>,
    changed: Condvar,
    waiting: AtomicU64,
    waiting_bytes: AtomicU64,
    delivered: AtomicU64,
    unwanted: AtomicU64,
    dropped: AtomicU64,
    failures: AtomicU64,
    oldest_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Something was written to the outbox since it was read last.
    has_news: bool,
    is_closed: bool,
}

impl Rules {
    /// Whether such an event of this room is handed over.
    pub fn wants(&self, kind: EventKind, room: &str) -> bool {
        self.kinds.contains(&kind)
            && (self.rooms.is_empty() || self.rooms.iter().any(|pattern| pattern.matches(room)))
    }
}

impl Sink {
    /// Starts the thread. The outbox is in the store of `keeper`, which has to be given its hubs
    /// after this.
    ///
    /// # Errors
    /// The system has no thread.
    pub fn start(
        keeper: &Keeper,
        rules: Rules,
        limits: Limits,
        courier: impl Courier,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            rules,
            limits,
            state: Mutex::default(),
            changed: Condvar::new(),
            waiting: AtomicU64::new(0),
            waiting_bytes: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            unwanted: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            oldest_ms: AtomicU64::new(0),
        });
        keeper.note_for(&shared);
        let handing = Handing::new(Arc::clone(&shared), keeper.outbox(), courier);
        thread::Builder::new().name("sink".into()).spawn(move || handing.run())?;
        Ok(Self { owner: Arc::new(Owner(shared)), keeper: keeper.clone() })
    }

    /// What it has done so far.
    pub fn stats(&self) -> SinkStats {
        let shared = &self.owner.0;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        SinkStats {
            waiting: of(&shared.waiting),
            waiting_bytes: of(&shared.waiting_bytes),
            delivered: of(&shared.delivered),
            unwanted: of(&shared.unwanted),
            dropped: of(&shared.dropped),
            failures: of(&shared.failures),
            oldest_ms: of(&shared.oldest_ms),
        }
    }

    /// Somebody has published in a room that is not durable: of the others the store knows.
    pub(super) fn said(
        &self,
        room: &Arc<str>,
        sender: &str,
        content: &RawValue,
        position: Option<Position>,
        timestamp: u64,
    ) {
        let content = || Some(content.get().into());
        self.note(EventKind::Message, room, sender, content, position, timestamp);
    }

    /// Somebody has come or gone.
    pub(super) fn moved(&self, kind: EventKind, room: &Arc<str>, sender: &str, timestamp: u64) {
        self.note(kind, room, sender, || None, None, timestamp);
    }

    /// Has an event written to the outbox, where it is wanted.
    fn note(
        &self,
        kind: EventKind,
        room: &Arc<str>,
        sender: &str,
        content: impl FnOnce() -> Option<Box<str>>,
        position: Option<Position>,
        timestamp: u64,
    ) {
        if !self.owner.0.rules.wants(kind, room) {
            return;
        }
        let (room, sender, content) = (Arc::clone(room), sender.into(), content());
        let event = Event { kind, room, sender, content, position, timestamp };
        if self.keeper.note(event).is_err() {
            self.owner.0.count_dropped(1);
        }
    }
}

impl Shared {
    /// Takes note of what stands in the outbox.
    pub(super) fn set_held(&self, held: Held) {
        self.waiting.store(held.events, Ordering::Relaxed);
        self.waiting_bytes.store(held.bytes, Ordering::Relaxed);
    }

    /// Something was written to the outbox.
    pub(super) fn wake(&self) {
        lock(&self.state).has_news = true;
        self.changed.notify_one();
    }

    pub(super) fn count_dropped(&self, count: u64) {
        if count > 0 {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Waits until there is news, or nothing more will come: whether it goes on.
    fn wait_for_news(&self) -> bool {
        let mut state = lock(&self.state);
        while !state.has_news && !state.is_closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.has_news = false;
        !state.is_closed
    }

    /// Waits for a time: whether it goes on.
    fn pause(&self, time: Duration) -> bool {
        let is_open = |state: &mut State| !state.is_closed;
        let waited = self.changed.wait_timeout_while(lock(&self.state), time, is_open);
        !waited.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }

    fn is_closed(&self) -> bool {
        lock(&self.state).is_closed
    }
}

/// What stands in an outbox, or may stand there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Events.
    pub events: u64,
    /// What they take, in bytes.
    pub bytes: u64,
}

impl Held {
    /// No limit.
    pub(super) const MAX: Self = Self { events: u64::MAX, bytes: u64::MAX };

    pub(super) const fn plus(self, other: Self) -> Self {
        Self { events: self.events + other.events, bytes: self.bytes + other.bytes }
    }

    pub(super) const fn minus(self, other: Self) -> Self {
        Self {
            events: self.events.saturating_sub(other.events),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self { rooms: Vec::new(), kinds: EventKind::ALL.into() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            outbox_max: Held { events: 100_000, bytes: 64 << 20 },
            batch_max: 100,
            tries_max: 5,
            pause_max: Duration::from_secs(60),
        }
    }
}

impl Drop for Owner {
    /// It is not waited for: it may be in the middle of a request that takes its time.
    fn drop(&mut self) {
        lock(&self.0.state).is_closed = true;
        self.0.changed.notify_all();
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
