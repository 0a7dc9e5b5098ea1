//! When messages are due that are sent at a rate.
//!
//! Owns the schedule. It never waits for a reply: what is late stays due at the time that was
//! intended, so that a server that stalls is charged for all that it held up.

use super::clock::{SECOND_NS, now_ns};

/// How much of what is overdue is sent at once, before replies are read.
const AT_ONCE_MAX: u64 = 4096;

/// A schedule of so many a second.
#[derive(Debug)]
pub struct Pace {
    start_ns: u64,
    interval_ns: f64,
    sent: u64,
}

impl Pace {
    /// Begins now.
    pub fn new(rate: f64) -> Self {
        Self { start_ns: now_ns(), interval_ns: SECOND_NS as f64 / rate, sent: 0 }
    }

    /// When the next one is due.
    pub fn next_ns(&self) -> u64 {
        self.start_ns + (self.sent as f64 * self.interval_ns) as u64
    }

    /// The times of what is due by now, to be sent in this order.
    pub fn due(&mut self, now_ns: u64) -> impl Iterator<Item = u64> + use<> {
        let first = self.sent;
        let passed_ns = now_ns.saturating_sub(self.start_ns);
        let due = (passed_ns as f64 / self.interval_ns) as u64 + 1;
        self.sent = due.max(first).min(first + AT_ONCE_MAX);
        let (start_ns, interval_ns) = (self.start_ns, self.interval_ns);
        (first..self.sent).map(move |number| start_ns + (number as f64 * interval_ns) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_is_due_when_it_was_intended() {
        let mut pace = Pace { start_ns: 1000, interval_ns: 100.0, sent: 0 };
        assert_eq!(pace.due(999).collect::<Vec<_>>(), [1000], "the first at once");
        assert_eq!(pace.due(1000).count(), 0);
        assert_eq!(pace.next_ns(), 1100);
        assert_eq!(pace.due(1350).collect::<Vec<_>>(), [1100, 1200, 1300]);
        assert_eq!(pace.due(1350).count(), 0);
        assert_eq!(pace.due(u64::MAX / 2).count() as u64, AT_ONCE_MAX);
    }
}
