//! Token buckets.
//!
//! Owns how fast something may go on, and how much of it at once. Never reads a clock: the time is
//! an argument. A bucket is one number, the time at which it is full again, so that a new one is
//! full and nothing has to be filled in between.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long what was taken elsewhere can hold others up after the burst is gone, in nanoseconds.
const OWED_NS_MAX: u64 = 10_000_000_000;

/// So much in a time, and so much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    units: u64,
    period_ns: u64,
    /// How long an empty bucket takes to be full.
    filling_ns: u64,
}

impl Rate {
    /// `units` a second, of which `burst` may come at once. Zero is taken as one.
    pub const fn per_second(units: u32, burst: u32) -> Self {
        Self::new(units, 1_000_000_000, burst)
    }

    /// `units` a minute, which may come at once.
    pub const fn per_minute(units: u32) -> Self {
        Self::new(units, 60_000_000_000, units)
    }

    /// How many a second, rounded down.
    pub const fn units_per_second(&self) -> u64 {
        self.units.saturating_mul(1_000_000_000) / self.period_ns
    }

    const fn new(units: u32, period_ns: u64, burst: u32) -> Self {
        let units = if units == 0 { 1 } else { units } as u64;
        let rate = Self { units, period_ns, filling_ns: 0 };
        let burst = if burst == 0 { 1 } else { burst } as u64;
        Self { filling_ns: rate.ns(burst), ..rate }
    }

    /// How long it takes until so much is there again.
    const fn ns(&self, cost: u64) -> u64 {
        cost.saturating_mul(self.period_ns).div_ceil(self.units)
    }
}

/// A bucket, full at first.
///
/// ```
/// use std::time::Duration;
/// use throng::hub::limits::{Bucket, Rate};
///
/// let (rate, now) = (Rate::per_second(10, 2), Duration::from_secs(5));
/// let mut bucket = Bucket::default();
/// assert_eq!(bucket.take(now, 1, &rate), Ok(()));
/// assert_eq!(bucket.take(now, 1, &rate), Ok(()));
/// assert_eq!(bucket.take(now, 1, &rate), Err(Duration::from_millis(100)));
/// assert_eq!(bucket.take(now + Duration::from_millis(100), 1, &rate), Ok(()));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    full_at_ns: u64,
}

const _: () = assert!(size_of::<Bucket>() <= 16);

impl Bucket {
    /// Takes `cost` out. What is more than the burst is taken from a full bucket, which then needs
    /// the longer to fill: the rate holds, and a large message can pass.
    ///
    /// # Errors
    /// Nothing was taken: how long to wait until it can be.
    #[inline]
    pub fn take(&mut self, now: Duration, cost: u64, rate: &Rate) -> Result<(), Duration> {
        *self = self.after(now, cost, rate)?;
        Ok(())
    }

    /// Takes `cost` out that nobody has asked for, whether it is there or not: it was taken
    /// elsewhere. What is owed then has to come in first, of which at most ten seconds' worth is
    /// remembered.
    pub fn owe(&mut self, now: Duration, cost: u64, rate: &Rate) {
        let now_ns = nanoseconds(now);
        let full_at_ns = self.full_at_ns.max(now_ns);
        let latest_ns = now_ns.saturating_add(rate.filling_ns).saturating_add(OWED_NS_MAX);
        let after_ns = full_at_ns.saturating_add(rate.ns(cost));
        self.full_at_ns = after_ns.min(latest_ns).max(full_at_ns);
    }

    /// The bucket as it is after `cost` was taken out.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    #[inline]
    pub fn after(self, now: Duration, cost: u64, rate: &Rate) -> Result<Self, Duration> {
        let now_ns = nanoseconds(now);
        let full_at_ns = self.full_at_ns.max(now_ns);
        let after_ns = full_at_ns.saturating_add(rate.ns(cost));
        let room_at_ns = after_ns.saturating_sub(rate.filling_ns).min(full_at_ns);
        if room_at_ns > now_ns {
            return Err(Duration::from_nanos(room_at_ns - now_ns));
        }
        Ok(Self { full_at_ns: after_ns })
    }
}

/// A bucket that all loops take from. Their clocks began together but for some milliseconds, which
/// is also how exact it is.
#[derive(Debug, Default)]
pub struct SharedBucket(AtomicU64);

impl SharedBucket {
    /// Takes `cost` out.
    ///
    /// # Errors
    /// As [`Bucket::take`].
    pub fn take(&self, now: Duration, cost: u64, rate: &Rate) -> Result<(), Duration> {
        let mut full_at_ns = self.0.load(Relaxed);
        loop {
            let after = Bucket { full_at_ns }.after(now, cost, rate)?;
            match self.0.compare_exchange_weak(full_at_ns, after.full_at_ns, Relaxed, Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => full_at_ns = other,
            }
        }
    }
}

/// 584 years in 64 bits.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// How many of the tries, one each `step`, pass within `time`.
    fn passed(rate: Rate, step: Duration, time: Duration) -> u32 {
        let (mut bucket, mut now, mut passed) = (Bucket::default(), ms(77), 0);
        while now < ms(77) + time {
            passed += u32::from(bucket.take(now, 1, &rate).is_ok());
            now += step;
        }
        passed
    }

    #[test]
    fn the_rate_holds_and_the_burst_comes_once() {
        for (per_s, burst) in [(1, 1), (10, 1), (10, 30), (1_000, 50), (0, 0)] {
            let passed =
                passed(Rate::per_second(per_s, burst), Duration::from_micros(100), ms(10_000));
            assert_eq!(passed, 10 * per_s.max(1) + burst.max(1) - 1, "{per_s} {burst}");
        }
        assert_eq!(passed(Rate::per_minute(6), ms(10), Duration::from_secs(60)), 11);
        // Who keeps to the rate is never refused.
        assert_eq!(passed(Rate::per_second(100, 1), ms(10), Duration::from_secs(10)), 1_000);
    }

    #[test]
    fn who_waits_as_told_is_let_through_and_not_before() {
        let rate = Rate::per_second(3, 4); // a third of a second is no whole number of nanoseconds
        let (mut bucket, mut now) = (Bucket::default(), ms(0));
        for _ in 0..100 {
            if let Err(wait) = bucket.take(now, 1, &rate) {
                assert!(bucket.take(now + wait - Duration::from_nanos(1), 1, &rate).is_err());
                now += wait;
                assert_eq!(bucket.take(now, 1, &rate), Ok(()));
            }
        }
        assert!(now > Duration::from_secs(15), "{now:?}");
    }

    #[test]
    fn more_than_the_burst_passes_once_it_is_full_and_is_paid_for() {
        let rate = Rate::per_second(1_000, 100);
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(ms(0), 5_000, &rate), Ok(()));
        assert_eq!(bucket.take(ms(0), 1, &rate), Err(ms(4_901)));
        assert_eq!(bucket.take(ms(4_950), 5_000, &rate), Err(ms(50)), "it is not full");
        assert_eq!(bucket.take(ms(5_000), 5_000, &rate), Ok(()));
    }

    #[test]
    fn what_is_refused_takes_nothing() {
        let rate = Rate::per_second(10, 10);
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(ms(0), 8, &rate), Ok(()));
        for _ in 0..1_000 {
            assert_eq!(bucket.take(ms(0), 3, &rate), Err(ms(100)));
        }
        assert_eq!(bucket.take(ms(0), 2, &rate), Ok(()));
    }

    #[test]
    fn what_was_taken_elsewhere_is_owed_and_not_for_ever() {
        let rate = Rate::per_second(10, 20);
        let mut bucket = Bucket::default();
        bucket.owe(ms(0), 15, &rate);
        assert_eq!(bucket.take(ms(0), 5, &rate), Ok(()));
        bucket.owe(ms(0), 10, &rate);
        assert_eq!(bucket.take(ms(0), 1, &rate), Err(ms(1_100)));
        bucket.owe(ms(0), 1 << 40, &rate);
        assert_eq!(bucket.take(ms(0), 1, &rate), Err(ms(10_100)));
        // One message that was more than the burst is paid for as before.
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(ms(0), 1_000, &rate), Ok(()));
        bucket.owe(ms(0), 1, &rate);
        assert_eq!(bucket.take(ms(0), 1, &rate), Err(ms(98_100)));
    }

    #[test]
    fn no_number_overflows() {
        for rate in [Rate::per_second(u32::MAX, u32::MAX), Rate::per_second(1, u32::MAX)] {
            let mut bucket = Bucket::default();
            assert_eq!(bucket.take(Duration::MAX, u64::MAX, &rate), Ok(()));
            let mut bucket = Bucket::default();
            assert_eq!(bucket.take(ms(0), u64::MAX, &rate), Ok(()));
            assert!(bucket.take(ms(1), 1, &rate).is_err());
            bucket.owe(Duration::MAX, u64::MAX, &rate);
        }
    }

    #[test]
    fn loops_share_a_bucket() {
        let (bucket, rate) = (SharedBucket::default(), Rate::per_second(1, 1_000));
        let passed: usize = std::thread::scope(|scope| {
            let take = || (0..5_000).filter(|_| bucket.take(ms(5), 1, &rate).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 1_000);
    }
}
