//! How times are spread.
//!
//! Owns the histogram (HDR, three digits) and the short form in which it travels between processes.

use std::io;

use hdrhistogram::Histogram;

/// The longest time that is told from a longer one: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// What was recorded: a time in nanoseconds, and how often.
pub type Counts = Vec<(u64, u64)>;

/// A histogram of times in nanoseconds.
#[derive(Clone, Debug)]
pub struct Spread(Histogram<u64>);

impl Spread {
    pub fn new() -> io::Result<Self> {
        Histogram::new_with_bounds(1, LONGEST_NS, 3).map(Self).map_err(io::Error::other)
    }

    #[inline]
    pub fn record(&mut self, time_ns: u64) {
        self.0.saturating_record(time_ns.max(1));
    }

    pub fn add(&mut self, counts: &Counts) {
        for (time_ns, count) in counts {
            self.0.saturating_record_n((*time_ns).max(1), *count);
        }
    }

    /// Gives away what was recorded, and begins anew.
    pub fn take(&mut self) -> Counts {
        let recorded = self.0.iter_recorded();
        let counts = recorded.map(|at| (at.value_iterated_to(), at.count_at_value())).collect();
        self.0.reset();
        counts
    }

    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// The time, in microseconds, under which this share of all is: 0.99 for the 99th percentile.
    pub fn at_us(&self, share: f64) -> f64 {
        if self.0.is_empty() { 0.0 } else { self.0.value_at_quantile(share) as f64 / 1e3 }
    }

    pub fn max_us(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    pub fn mean_us(&self) -> f64 {
        self.0.mean() / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_travels_arrives() {
        let (mut sent, mut received) = (Spread::new().unwrap(), Spread::new().unwrap());
        for time_ns in [0, 1, 999, 1_000_000, 1_000_001, 5_000_000_000, u64::MAX] {
            sent.record(time_ns);
        }
        let (max, median) = (sent.max_us(), sent.at_us(0.5));
        received.add(&sent.take());
        assert_eq!((received.len(), sent.len()), (7, 0));
        assert_eq!((received.max_us(), received.at_us(0.5)), (max, median));
    }

    #[test]
    fn nothing_recorded_is_no_time() {
        let none = Spread::new().unwrap();
        assert_eq!((none.at_us(0.99), none.max_us(), none.mean_us()), (0.0, 0.0, 0.0));
    }
}
