//! One connection at a time is being opened to a remote address (RFC 6455, section 4.1, item 2).
//!
//! Owns the process-wide list of who is connecting. It holds a place only while somebody connects
//! there, so it is never longer than the number of threads that do.

use super::deadline::Deadline;
use super::{ClientError, Step};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

static CONNECTING: Mutex<BTreeSet<Remote>> = Mutex::new(BTreeSet::new());
static FREED: Condvar = Condvar::new();

/// Whom a connection is opened to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Remote {
    Address(SocketAddr),
    /// `host:port` behind a proxy, where no address is known: each name counts as another host.
    Name(String),
}

/// The right to connect; it ends when it goes out of scope.
#[derive(Debug)]
pub(super) struct Turn(Remote);

impl Turn {
    /// Waits until nobody else is connecting there.
    pub(super) fn wait(remote: Remote, deadline: Deadline) -> Result<Self, ClientError> {
        let mut connecting = lock();
        while connecting.contains(&remote) {
            connecting = match deadline.left().map_err(|_| ClientError::Timeout(Step::Turn))? {
                None => FREED.wait(connecting).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    let woken = FREED.wait_timeout(connecting, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        connecting.insert(remote.clone());
        Ok(Self(remote))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock().remove(&self.0);
        FREED.notify_all();
    }
}

/// A set of addresses cannot be left half changed: a panic elsewhere does not spoil it.
fn lock() -> MutexGuard<'static, BTreeSet<Remote>> {
    CONNECTING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn name(name: &str) -> Remote {
        Remote::Name(name.to_owned())
    }

    #[test]
    fn rfc6455_4_1_2_one_at_a_time() {
        let (inside, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let turn = Turn::wait(name("one:80"), Deadline::after(None)).unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::sleep(Duration::from_millis(2));
                    inside.fetch_sub(1, Ordering::SeqCst);
                    passed.fetch_add(1, Ordering::SeqCst);
                    drop(turn);
                });
            }
        });
        assert_eq!(passed.load(Ordering::SeqCst), 8);
        assert!(!lock().contains(&name("one:80")), "nothing is left behind");
    }

    #[test]
    fn who_waits_too_long_is_told_and_others_are_not_held_up() {
        let soon = || Deadline::after(Some(Duration::from_millis(5)));
        let _turn = Turn::wait(name("two:80"), Deadline::after(None)).unwrap();
        let late = Turn::wait(name("two:80"), soon());
        assert!(matches!(late, Err(ClientError::Timeout(Step::Turn))));
        assert!(Turn::wait(name("two:81"), soon()).is_ok());
        assert!(Turn::wait(Remote::Address(([127, 0, 0, 1], 80).into()), soon()).is_ok());
    }
}
