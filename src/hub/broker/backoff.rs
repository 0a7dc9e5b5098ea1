//! How long to wait before a broker is tried again.
//!
//! Owns the arithmetic: twice as long after each failure, up to a bound, and of that a random part,
//! so that the nodes of a cluster do not come all at once. Never sleeps, has no random source.

use std::time::Duration;

/// The longest wait after the first failure, in milliseconds.
const START_MS: u64 = 50;

/// The longest of all.
const MAX_MS: u64 = 2000;

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// After one more failure: how long to wait, from a random number.
    pub(super) fn next(&mut self, random: u64) -> Duration {
        let most_ms = START_MS.saturating_mul(1 << self.failures.min(16)).min(MAX_MS);
        self.failures = self.failures.saturating_add(1);
        Duration::from_millis(1 + random % most_ms)
    }

    /// It went well.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_its_bound_and_begins_anew() {
        let mut backoff = Backoff::default();
        for _ in 0..100 {
            assert!(backoff.next(u64::MAX) <= Duration::from_millis(MAX_MS));
        }
        assert_eq!(backoff.next(MAX_MS - 1), Duration::from_millis(MAX_MS));
        backoff.reset();
        assert_eq!(backoff.next(START_MS - 1), Duration::from_millis(START_MS));
        assert_eq!(backoff.next(2 * START_MS - 1), Duration::from_millis(2 * START_MS));
    }
}
