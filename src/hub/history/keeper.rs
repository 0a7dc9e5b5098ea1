//! The way of durable rooms to their store.
//!
//! Owns the bounded queue to the store's thread, what is known of the store's health, and its
//! counts. A loop only ever puts something into the queue: it never waits for the disk.

use std::fmt;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::writer::Writer;
use super::{History, Page, PageMax, Position, Span, Store, StoreError};
use crate::hub::command::Fault;
use crate::hub::mail::Mail;
use crate::hub::recovery::Inquiry;
use crate::hub::sequencer::Publish;
use crate::net::Mailboxes;

/// What an operation takes in memory beside its bytes.
const OVERHEAD_BYTES: usize = 256;

/// Keeps the messages of durable rooms, on a thread of its own: clones are one. Give each loop's
/// hub a clone. The thread ends when the last clone is dropped, after what waits is written.
#[derive(Clone)]
pub struct Keeper(Arc<Owner>);

/// How much may wait for the store; who wants more gets the error `overloaded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeeperLimits {
    /// Operations. Default: 16,384.
    pub operations_max: usize,
    /// What they take, in bytes, until the loops have their results. Default: 8 MiB.
    pub bytes_max: usize,
}

/// What the store has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeeperStats {
    /// Transactions.
    pub commits: u64,
    /// Messages in them.
    pub messages: u64,
    /// Operations that failed.
    pub failures: u64,
    /// How long the transactions took.
    pub commit_time: Duration,
    /// What waits, in bytes.
    pub waiting_bytes: usize,
}

/// The thread goes when its owner does.
struct Owner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the loops and the store's thread share.
pub(super) struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    limits: KeeperLimits,
    operations: AtomicUsize,
    bytes: AtomicUsize,
    /// Why the store cannot be used, if it cannot.
    reason: Mutex<Option<String>>,
    mailboxes: OnceLock<Mailboxes<Mail>>,
    pub(super) commits: AtomicU64,
    pub(super) messages: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) commit_us: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    is_closed: bool,
}

/// An operation, for whom it is, and its share of the limits.
pub(super) struct Waiting {
    pub(super) loop_index: usize,
    pub(super) op: Op,
    pub(super) share: Share,
}

/// Something that the store is to do.
#[derive(Debug)]
pub(in crate::hub) enum Op {
    /// Write a message.
    Append(Publish),
    /// Read a piece of a history.
    Read(Reading),
}

/// A piece of a history to be read.
#[derive(Debug)]
pub(in crate::hub) struct Reading {
    pub(in crate::hub) room: Arc<str>,
    pub(in crate::hub) span: Span,
    pub(in crate::hub) max: PageMax,
    pub(in crate::hub) oldest_ms: u64,
    /// Who asks; else it is for the log of the room.
    pub(in crate::hub) inquiry: Option<Box<Inquiry>>,
}

/// Something that the store has done.
#[derive(Debug)]
pub(in crate::hub) struct Done {
    pub(in crate::hub) what: What,
    /// It is given back when the loop has seen this.
    pub(super) _share: Share,
}

/// What was done.
#[derive(Debug)]
pub(in crate::hub) enum What {
    /// A message was written, and has its place; or was not.
    Append(Publish, Result<Position, Fault>),
    /// A piece of a history was read.
    Read { room: Arc<str>, inquiry: Option<Box<Inquiry>>, result: Result<Page, Fault> },
}

/// A share of the limits, free when it is dropped.
pub(super) struct Share {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Keeper {
    /// Starts the thread. `open` opens the store; it is called again, at most once a second, when
    /// it could not, or when the store has failed.
    ///
    /// # Errors
    /// The system has no thread. A store that cannot be opened is told of by
    /// [`reason`](Self::reason).
    pub fn start<S: Store>(
        history: History,
        limits: KeeperLimits,
        open: impl FnMut() -> Result<S, StoreError> + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            limits,
            operations: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            reason: Mutex::new(Some("the store is not open yet".into())),
            mailboxes: OnceLock::new(),
            commits: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            commit_us: AtomicU64::new(0),
        });
        let of_thread = Arc::clone(&shared);
        let start = thread::Builder::new().name("store".into());
        let thread = start.spawn(move || Writer::new(&of_thread, history, open).run())?;
        Ok(Self(Arc::new(Owner { shared, thread: Mutex::new(Some(thread)) })))
    }

    /// Why durable rooms cannot be used now; `None` when they can.
    pub fn reason(&self) -> Option<String> {
        lock(&self.0.shared.reason).clone()
    }

    /// What the store has done so far.
    pub fn stats(&self) -> KeeperStats {
        let shared = &self.0.shared;
        KeeperStats {
            commits: shared.commits.load(Ordering::Relaxed),
            messages: shared.messages.load(Ordering::Relaxed),
            failures: shared.failures.load(Ordering::Relaxed),
            commit_time: Duration::from_micros(shared.commit_us.load(Ordering::Relaxed)),
            waiting_bytes: shared.bytes.load(Ordering::Relaxed),
        }
    }

    /// Says where results go.
    pub(in crate::hub) fn attach(&self, mailboxes: &Mailboxes<Mail>) {
        self.0.shared.mailboxes.get_or_init(|| Arc::clone(mailboxes));
    }

    /// Has something done; the loop gets a [`Done`].
    pub(in crate::hub) fn put(&self, loop_index: usize, op: Op) -> Result<(), Fault> {
        let shared = &self.0.shared;
        let share = Share::new(shared, op.bytes());
        let operations = shared.operations.load(Ordering::Relaxed);
        let bytes = shared.bytes.load(Ordering::Relaxed);
        // One that is larger than all that may wait goes when nothing else does.
        let fits = operations <= shared.limits.operations_max && bytes <= shared.limits.bytes_max;
        if !fits && operations > 1 {
            return Err(Fault::OVERLOADED);
        }
        lock(&shared.queue).waiting.push(Waiting { loop_index, op, share });
        shared.filled.notify_one();
        Ok(())
    }
}

impl Shared {
    /// All that waits, or nothing when `timeout` is over; `None` when nothing will come any more.
    pub(super) fn take(&self, timeout: Duration) -> Option<Vec<Waiting>> {
        let queue = lock(&self.queue);
        let is_idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.is_closed;
        let waited = self.filled.wait_timeout_while(queue, timeout, is_idle);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if queue.waiting.is_empty() && queue.is_closed {
            return None;
        }
        Some(mem::take(&mut queue.waiting))
    }

    /// Where results go; `None` where no hub has said so yet.
    pub(super) fn mailboxes(&self) -> Option<&Mailboxes<Mail>> {
        self.mailboxes.get()
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.queue).is_closed
    }

    /// Takes note of how the store does; what is new is logged.
    pub(super) fn set_reason(&self, reason: Option<String>) {
        let before = mem::replace(&mut *lock(&self.reason), reason.clone());
        match reason {
            Some(reason) if before.as_ref() != Some(&reason) => {
                tracing::error!(%reason, "the store fails: durable rooms take no messages");
            }
            None if before.is_some() => tracing::info!("the store is open"),
            Some(_) | None => {}
        }
    }
}

impl Op {
    /// What it takes in memory.
    fn bytes(&self) -> usize {
        OVERHEAD_BYTES
            + match self {
                Self::Append(publish) => publish.bytes(),
                Self::Read(reading) => reading.room.len(),
            }
    }
}

impl Share {
    fn new(shared: &Arc<Shared>, bytes: usize) -> Self {
        shared.operations.fetch_add(1, Ordering::Relaxed);
        shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        Self { shared: Arc::clone(shared), bytes }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shared.operations.fetch_sub(1, Ordering::Relaxed);
        self.shared.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        lock(&self.shared.queue).is_closed = true;
        self.shared.filled.notify_all();
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread has panicked");
        }
    }
}

impl Default for KeeperLimits {
    fn default() -> Self {
        Self { operations_max: 1 << 14, bytes_max: 8 << 20 }
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
