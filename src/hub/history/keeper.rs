//! The way of durable rooms to their store.
//!
//! Owns the bounded queue to the store's thread, what is known of the store's health, and its
//! counts. A loop only ever puts something into the queue: it never waits for the disk.

use std::fmt;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::writer::Writer;
use super::{Epoch, History, Page, PageMax, Placed, Position, Span, Store, StoreError, Taken};
use crate::hub::broker::{FromNodes, ToNodes};
use crate::hub::command::Fault;
use crate::hub::delivery::Receipt;
use crate::hub::mail::Mail;
use crate::hub::overload::Bound;
use crate::hub::recovery::{Inquiry, PAGE_BYTES_MAX};
use crate::hub::sequencer::{Author, Publish};
use crate::hub::sink::{self, Event, Sink};
use crate::net::{Clock, Mailboxes, OsClock};

/// What an operation takes in memory beside its bytes.
const OVERHEAD_BYTES: usize = 256;

/// How long the thread waits for a loop that takes no mail.
pub(in crate::hub) const MAIL_PAUSE: Duration = Duration::from_millis(1);

/// What a store takes itself: SQLite has a cache of 2 MB, and an index of what is not in the file
/// proper yet.
const STORE_BYTES: u64 = 8 << 20;

/// Keeps the messages of durable rooms, on a thread of its own: clones are one. Give each loop's
/// hub a clone. The thread ends when the last clone is dropped, after what waits is written.
#[derive(Clone)]
pub struct Keeper(Arc<Owner>);

/// How much may wait for the store; who wants more gets the error `overloaded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeeperLimits {
    /// Operations. Default: 16,384.
    pub operations_max: usize,
    /// What they take, in bytes, until the loops have their results; and as much again for what was
    /// read. Default: 8 MiB.
    pub bytes_max: usize,
}

impl KeeperLimits {
    /// What all of it comes to at worst, where messages are of so many bytes at most.
    pub fn bound(&self, message_bytes_max: u64) -> Bound {
        let each = (self.bytes_max as u64).saturating_add(message_bytes_max);
        let read = (self.bytes_max + PAGE_BYTES_MAX) as u64;
        let bytes = STORE_BYTES.saturating_add(each).saturating_add(read);
        Bound { bytes, words: "the store of durable rooms: what waits, what was read, its cache" }
    }
}

/// What the store has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeeperStats {
    /// Transactions.
    pub commits: u64,
    /// Messages in them.
    pub messages: u64,
    /// Pieces of histories that were read. Who asks for the same at one time has it of one.
    pub reads: u64,
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
pub(in crate::hub) struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    limits: KeeperLimits,
    operations: AtomicUsize,
    bytes: AtomicUsize,
    /// What was read, or came by itself, and no loop has seen yet.
    found_bytes: AtomicUsize,
    /// Loops that have too much to tell others: they are to be told nothing more.
    behind: AtomicUsize,
    /// Why the store cannot be used, if it cannot.
    reason: Mutex<Option<String>>,
    mailboxes: OnceLock<Mailboxes<Mail>>,
    /// Who hands the outbox of this store over.
    sink: OnceLock<Arc<sink::Shared>>,
    /// Who hears of messages, and has its outbox in another store.
    teller: OnceLock<Sink>,
    /// What else the thread may wait for, and how that is ended.
    wake: Option<Box<dyn Fn() + Send + Sync>>,
    pub(in crate::hub) commits: AtomicU64,
    pub(in crate::hub) messages: AtomicU64,
    pub(super) reads: AtomicU64,
    pub(in crate::hub) failures: AtomicU64,
    pub(in crate::hub) commit_us: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    is_closed: bool,
}

/// An operation, for whom it is, and its share of the limits.
pub(in crate::hub) struct Waiting {
    pub(in crate::hub) loop_index: usize,
    pub(in crate::hub) op: Op,
    pub(in crate::hub) share: Share,
}

/// Something that the store, or the broker, is to do.
#[derive(Debug)]
pub(in crate::hub) enum Op {
    /// Write a message, unless it is there: its id counts for so long.
    Append(Publish, Duration),
    /// Write an event to the outbox.
    Note(Event),
    /// Read a piece of a history.
    Read(Reading),
    /// Read what is to be handed over.
    Take(Taking),
    /// Pass a message on to the other nodes, without a place.
    Pass(Publish),
    /// Nobody here is in this room any more.
    Leave(Arc<str>),
    /// Something for the other nodes that is no message of a room.
    Nodes(ToNodes),
}

/// A piece of the outbox to be read.
#[derive(Debug)]
pub(in crate::hub) struct Taking {
    /// Of this outbox all up to this number was handed over.
    pub(super) after: Option<(Epoch, u64)>,
    pub(super) max: PageMax,
    pub(super) reply: SyncSender<Result<Taken, StoreError>>,
}

/// The outbox, as who hands it over sees it. It does not keep the store open.
#[derive(Debug)]
pub(in crate::hub) struct Outbox(Arc<Shared>);

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
    /// It is given back when the loop has seen this; none where this came by itself.
    pub(in crate::hub) _share: Option<Share>,
}

/// What was done.
#[derive(Debug)]
pub(in crate::hub) enum What {
    /// A message was written, and has its place; or was not.
    Append(Publish, Result<Placed, Fault>),
    /// A message has its place, whoever has published it.
    Heard(Publish, Position),
    /// A message of a room without places was passed on by another node.
    Passed(Publish),
    /// What somebody of this node has published was taken by the broker.
    Published(Author, Receipt),
    /// It could not be published: it is for the members of this node alone.
    Alone(Publish),
    /// The other nodes have something to say that is no message of a room.
    Nodes(FromNodes),
    /// Something was missed in a room: what comes next follows this place.
    Gap(Arc<str>, Position),
    /// A piece of a history was read.
    Read { room: Arc<str>, inquiry: Option<Box<Inquiry>>, result: Result<Page, Fault> },
}

/// A share of the limits, free when it is dropped.
pub(in crate::hub) struct Share {
    shared: Arc<Shared>,
    bytes: usize,
    found_bytes: usize,
    /// Else it is of what came by itself.
    is_operation: bool,
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
        Self::spawn("store", limits, None, |shared| {
            Writer::new(Arc::clone(shared), history, open, OsClock::default()).run();
        })
    }

    /// Starts a thread that does `work` with what is put into the queue. `wake` is called when
    /// there is something, for a thread that waits for something else too.
    pub(in crate::hub) fn spawn(
        name: &str,
        limits: KeeperLimits,
        wake: Option<Box<dyn Fn() + Send + Sync>>,
        work: impl FnOnce(&Arc<Shared>) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Shared::new(name, limits, wake);
        let of_thread = Arc::clone(&shared);
        let start = thread::Builder::new().name(name.into());
        let thread = start.spawn(move || work(&of_thread))?;
        Ok(Self(Arc::new(Owner { shared, thread: Mutex::new(Some(thread)) })))
    }

    /// The same without a thread: whoever has the [`Writer`] does the work, [step](Writer::step)
    /// by step. So that a test can have the store in its own time.
    pub fn by_hand<S: Store, O: FnMut() -> Result<S, StoreError>, C: Clock>(
        history: History,
        limits: KeeperLimits,
        open: O,
        clock: C,
    ) -> (Self, Writer<S, O, C>) {
        let (keeper, shared) = Self::without_thread("store", limits);
        (keeper, Writer::new(shared, history, open, clock))
    }

    /// A queue, and its other end.
    pub(in crate::hub) fn without_thread(name: &str, limits: KeeperLimits) -> (Self, Arc<Shared>) {
        let shared = Shared::new(name, limits, None);
        let owner = Owner { shared: Arc::clone(&shared), thread: Mutex::default() };
        (Self(Arc::new(owner)), shared)
    }

    /// Why durable rooms cannot be used now; `None` when they can.
    pub fn reason(&self) -> Option<String> {
        lock(&self.0.shared.reason).clone()
    }

    /// Whether the store has nothing to do, and all that it has done was heard of.
    pub(in crate::hub) fn is_idle(&self) -> bool {
        self.0.shared.operations.load(Ordering::Relaxed) == 0
    }

    /// Closes the store as soon as it has done what waits for it.
    pub(in crate::hub) fn close(&self) {
        lock(&self.0.shared.queue).is_closed = true;
        self.0.shared.filled.notify_all();
    }

    /// What the store has done so far.
    pub fn stats(&self) -> KeeperStats {
        let shared = &self.0.shared;
        KeeperStats {
            commits: shared.commits.load(Ordering::Relaxed),
            messages: shared.messages.load(Ordering::Relaxed),
            reads: shared.reads.load(Ordering::Relaxed),
            failures: shared.failures.load(Ordering::Relaxed),
            commit_time: Duration::from_micros(shared.commit_us.load(Ordering::Relaxed)),
            waiting_bytes: shared.bytes.load(Ordering::Relaxed),
        }
    }

    /// Has the messages of durable rooms noted in the outbox as a sink wants it.
    pub(in crate::hub) fn note_for(&self, sink: &Arc<sink::Shared>) {
        self.0.shared.sink.get_or_init(|| Arc::clone(sink));
    }

    /// Has a sink, whose outbox is elsewhere, hear of messages.
    pub(in crate::hub) fn tell(&self, sink: &Sink) {
        self.0.shared.teller.get_or_init(|| sink.clone());
    }

    /// The outbox.
    pub(in crate::hub) fn outbox(&self) -> Outbox {
        Outbox(Arc::clone(&self.0.shared))
    }

    /// Has an event written to the outbox.
    pub(in crate::hub) fn note(&self, event: Event) -> Result<(), Fault> {
        self.put(0, Op::Note(event)) // no loop hears of it
    }

    /// Says whether a loop has too much to tell others.
    pub(in crate::hub) fn set_behind(&self, is_behind: bool) {
        let behind = &self.0.shared.behind;
        if is_behind {
            behind.fetch_add(1, Ordering::Relaxed);
        } else {
            behind.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How full the queue is, in per cent.
    pub(in crate::hub) fn queue_percent(&self) -> f64 {
        let Shared { limits, operations, bytes, .. } = &*self.0.shared;
        let part = |used: &AtomicUsize, max: usize| {
            used.load(Ordering::Relaxed) as f64 * 100.0 / max.max(1) as f64
        };
        part(operations, limits.operations_max).max(part(bytes, limits.bytes_max))
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
        let mut queue = lock(&shared.queue);
        if queue.is_closed {
            return Err(Fault::STORE_UNAVAILABLE);
        }
        queue.waiting.push(Waiting { loop_index, op, share });
        drop(queue);
        shared.notify();
        Ok(())
    }
}

impl Outbox {
    /// What stands behind a number of an outbox up to which all was handed over; `None` when the
    /// store's thread is gone.
    pub(in crate::hub) fn take(
        &self,
        after: Option<(Epoch, u64)>,
        max: PageMax,
    ) -> Option<Result<Taken, StoreError>> {
        let (reply, taken) = mpsc::sync_channel(1);
        let op = Op::Take(Taking { after, max, reply });
        let share = Share::new(&self.0, op.bytes());
        {
            let mut queue = lock(&self.0.queue);
            if queue.is_closed {
                return None;
            }
            queue.waiting.push(Waiting { loop_index: 0, op, share });
        }
        self.0.notify();
        taken.recv().ok()
    }
}

impl Shared {
    fn new(
        name: &str,
        limits: KeeperLimits,
        wake: Option<Box<dyn Fn() + Send + Sync>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            filled: Condvar::new(),
            limits,
            operations: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            found_bytes: AtomicUsize::new(0),
            behind: AtomicUsize::new(0),
            reason: Mutex::new(Some(format!("the {name} is not open yet"))),
            mailboxes: OnceLock::new(),
            sink: OnceLock::new(),
            teller: OnceLock::new(),
            wake,
            commits: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            commit_us: AtomicU64::new(0),
        })
    }

    /// There is something in the queue, or there will be nothing any more.
    fn notify(&self) {
        self.filled.notify_all(); // one thread waits
        if let Some(wake) = &self.wake {
            wake();
        }
    }

    /// All that waits, or nothing when `timeout` is over; `None` when nothing will come any more.
    pub(in crate::hub) fn take(&self, timeout: Duration) -> Option<Vec<Waiting>> {
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
    pub(in crate::hub) fn mailboxes(&self) -> Option<&Mailboxes<Mail>> {
        self.mailboxes.get()
    }

    /// Whether so much was found that the loops have yet to see that no more should be.
    pub(in crate::hub) fn is_ahead(&self) -> bool {
        self.found_bytes.load(Ordering::Relaxed) > self.limits.bytes_max
            || self.behind.load(Ordering::Relaxed) > 0
    }

    /// Waits while that is so.
    pub(in crate::hub) fn wait_for_loops(&self) {
        while self.is_ahead() && !self.is_closed() {
            thread::sleep(MAIL_PAUSE); // they take it within a turn
        }
    }

    pub(in crate::hub) fn is_closed(&self) -> bool {
        lock(&self.queue).is_closed
    }

    /// Who hears of messages, and keeps its outbox elsewhere.
    pub(in crate::hub) fn teller(&self) -> Option<&Sink> {
        self.teller.get()
    }

    /// Who hands the outbox over, if anybody does.
    pub(super) fn sink(&self) -> Option<&sink::Shared> {
        self.sink.get().map(|sink| &**sink)
    }

    /// Takes note of how the store does; what is new is logged.
    pub(super) fn set_reason(&self, reason: Option<String>) {
        let before = self.note(reason.clone());
        match reason {
            Some(reason) if before.as_ref() != Some(&reason) => {
                tracing::error!(%reason, "the store fails: durable rooms take no messages");
            }
            None if before.is_some() => tracing::info!("the store is open"),
            Some(_) | None => {}
        }
    }

    /// Takes note of why nothing can be done now, if so: what was said before.
    pub(in crate::hub) fn note(&self, reason: Option<String>) -> Option<String> {
        mem::replace(&mut *lock(&self.reason), reason)
    }
}

impl Op {
    /// What it takes in memory.
    fn bytes(&self) -> usize {
        OVERHEAD_BYTES
            + match self {
                Self::Append(publish, _) | Self::Pass(publish) => publish.bytes(),
                Self::Note(event) => event.bytes() as usize,
                Self::Read(reading) => reading.room.len(),
                Self::Take(_) => 0,
                Self::Leave(room) => room.len(),
                Self::Nodes(op) => op.bytes(),
            }
    }
}

impl Share {
    /// What it is of the bytes.
    pub(in crate::hub) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn new(shared: &Arc<Shared>, bytes: usize) -> Self {
        shared.operations.fetch_add(1, Ordering::Relaxed);
        shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        Self { shared: Arc::clone(shared), bytes, found_bytes: 0, is_operation: true }
    }

    /// Of what came by itself.
    pub(in crate::hub) fn of_news(shared: &Arc<Shared>, bytes: usize) -> Self {
        let (shared, is_operation) = (Arc::clone(shared), false);
        let mut share = Self { shared, bytes: 0, found_bytes: 0, is_operation };
        share.find(bytes + OVERHEAD_BYTES);
        share
    }

    /// Counts what was read.
    pub(in crate::hub) fn find(&mut self, bytes: usize) {
        self.found_bytes += bytes;
        self.shared.found_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.is_operation {
            self.shared.operations.fetch_sub(1, Ordering::Relaxed);
        }
        self.shared.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.shared.found_bytes.fetch_sub(self.found_bytes, Ordering::Relaxed);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        lock(&self.shared.queue).is_closed = true;
        self.shared.notify();
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

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
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
