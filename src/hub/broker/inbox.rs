//! What has come by itself over a connection, and waits for the relay.
//!
//! Owns how much that may be, and how the relay's thread waits for it. Never knows what it is.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;

use super::LINK_BYTES_MAX;

/// What came by itself and waits, in bytes; and whether it was too much.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: AtomicUsize,
    has_overflown: AtomicBool,
}

impl Inbox {
    /// Takes note of what comes; whether there is room for it.
    pub(super) fn add(&self, bytes: usize) -> bool {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // The link is given up then; what was missed is read when there is a new one.
        if before > LINK_BYTES_MAX {
            self.has_overflown.store(true, Ordering::Relaxed);
        }
        before <= LINK_BYTES_MAX
    }

    /// It was taken out.
    pub(super) fn remove(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn has_overflown(&self) -> bool {
        self.has_overflown.load(Ordering::Relaxed)
    }
}

/// The next that comes; none where somebody wakes this, or the time is over.
pub(super) async fn next<T>(
    arrivals: &mut UnboundedReceiver<T>,
    notify: &Notify,
    timeout: Duration,
) -> Option<T> {
    let mut notified = pin!(notify.notified());
    let either = poll_fn(|context| {
        if let Poll::Ready(arrival) = arrivals.poll_recv(context) {
            return Poll::Ready(arrival);
        }
        notified.as_mut().poll(context).map(|()| None)
    });
    tokio::time::timeout(timeout, either).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_told_of() {
        let inbox = Inbox::default();
        assert!(inbox.add(LINK_BYTES_MAX) && inbox.add(1) && !inbox.has_overflown());
        assert!(!inbox.add(1) && inbox.has_overflown());
        let other = Inbox::default();
        assert!(other.add(LINK_BYTES_MAX + 1));
        other.remove(LINK_BYTES_MAX + 1);
        assert!(other.add(1) && !other.has_overflown());
    }
}
