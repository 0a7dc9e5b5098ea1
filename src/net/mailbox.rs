//! How other threads reach a loop.
//!
//! Owns the queue into a loop and the call that wakes it. Bounded: a loop that falls behind says so
//! to who posts.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

#[cfg(all(unix, feature = "hub"))]
use super::handover::Handing;

/// Posts to one loop, from any thread.
pub struct Mailbox<M> {
    shared: Arc<Shared<M>>,
}

struct Shared<M> {
    queue: Mutex<Vec<M>>,
    max: usize,
    signal: Arc<Signal>,
}

/// The mailboxes of all loops of a server, by number.
pub type Mailboxes<M> = Arc<[Mailbox<M>]>;

/// The loop is too far behind; here is the mail back.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox is full")]
pub struct MailboxFull<M>(pub M);

/// What a loop was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// To stop.
    Stop,
    /// To stop, while another process listens on the same sockets.
    GiveWay,
}

/// What reaches a loop beside mail.
pub(super) struct Signal {
    wish: OnceLock<Wish>,
    #[cfg(all(unix, feature = "hub"))]
    pub(super) handing: Handing,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Signal {
    pub(super) fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            wish: OnceLock::new(),
            #[cfg(all(unix, feature = "hub"))]
            handing: Handing::default(),
            wake: Box::new(wake),
        })
    }

    /// Asks for something. The first wish holds.
    pub(super) fn ask(&self, wish: Wish) {
        let _ = self.wish.set(wish);
        self.wake();
    }

    pub(super) fn wake(&self) {
        (self.wake)();
    }
}

impl<M> Mailbox<M> {
    /// A mailbox of at most `max` pieces whose loop `wake` wakes.
    pub fn new(max: usize, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self::with_signal(max, Signal::new(wake))
    }

    pub(super) fn with_signal(max: usize, signal: Arc<Signal>) -> Self {
        Self { shared: Arc::new(Shared { queue: Mutex::default(), max, signal }) }
    }

    /// Posts one piece of mail.
    ///
    /// # Errors
    /// [`MailboxFull`] with the mail in it.
    pub fn post(&self, mail: M) -> Result<(), MailboxFull<M>> {
        let mut queue = self.queue();
        if queue.len() >= self.shared.max {
            return Err(MailboxFull(mail));
        }
        let was_empty = queue.is_empty();
        queue.push(mail);
        #[cfg(all(unix, feature = "hub"))]
        self.shared.signal.handing.count_posted();
        drop(queue);
        if was_empty {
            (self.shared.signal.wake)();
        }
        Ok(())
    }

    /// How many pieces of mail wait.
    pub fn waiting(&self) -> usize {
        self.queue().len()
    }

    /// Asks the loop to stop.
    pub fn stop(&self) {
        self.shared.signal.ask(Wish::Stop);
    }

    #[cfg(all(unix, feature = "hub"))]
    pub(super) fn signal(&self) -> &Arc<Signal> {
        &self.shared.signal
    }

    pub(super) fn wish(&self) -> Option<Wish> {
        self.shared.signal.wish.get().copied()
    }

    /// Takes all that waits, and leaves `empty` in its place.
    pub(crate) fn take(&self, empty: &mut Vec<M>) {
        std::mem::swap(&mut *self.queue(), empty);
    }

    fn queue(&self) -> MutexGuard<'_, Vec<M>> {
        // A thread that panics while it pushes leaves a whole queue behind.
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("waiting", &self.queue().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn wakes_once_and_refuses_when_full() {
        let wakes = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&wakes);
        let mailbox = Mailbox::new(2, move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        mailbox.post(1).unwrap();
        mailbox.post(2).unwrap();
        assert_eq!(mailbox.post(3), Err(MailboxFull(3)));
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        let mut mail = Vec::new();
        mailbox.take(&mut mail);
        assert_eq!(mail, [1, 2]);
    }
}
