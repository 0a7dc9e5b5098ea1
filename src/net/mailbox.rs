//! How other threads reach a loop.
//!
//! Owns the queue into a loop and the call that wakes it. Bounded: a loop that falls behind says so
//! to who posts.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// What reaches a loop beside mail.
pub(super) struct Signal {
    stopping: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Signal {
    pub(super) fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { stopping: AtomicBool::new(false), wake: Box::new(wake) })
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        (self.wake)();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
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
        self.shared.signal.stop();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.shared.signal.is_stopping()
    }

    /// Takes all that waits, and leaves `empty` in its place.
    pub(super) fn take(&self, empty: &mut Vec<M>) {
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
    use std::sync::atomic::AtomicUsize;

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
