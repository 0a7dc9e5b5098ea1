//! When the level changes.
//!
//! Owns the hysteresis: up at once, down when it has been calm for a while. Never measures and
//! never reads a clock: pressure and time are arguments.

use std::time::Duration;

use super::level::Level;

/// A level is left when the pressure has stayed so many points below its threshold,
const MARGIN_PERCENT: f64 = 10.0;
/// for so long.
const CALM: Duration = Duration::from_secs(3);

/// The level, as the pressure moves it.
///
/// ```
/// use std::time::Duration;
/// use throng::hub::overload::{Controller, Level};
///
/// let mut controller = Controller::default();
/// let s = Duration::from_secs;
/// assert_eq!(controller.observe(s(0), 96.0), Level::Critical);
/// assert_eq!(controller.observe(s(1), 50.0), Level::Critical);
/// assert_eq!(controller.observe(s(4), 50.0), Level::Normal);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Controller {
    level: Level,
    calm: Option<Calm>,
}

/// A time in which a lower level would have done.
#[derive(Clone, Copy, Debug)]
struct Calm {
    since: Duration,
    /// The highest level that was needed in it.
    needed: Level,
}

impl Controller {
    /// The level, now that the pressure is so much. Up it goes at once; down, to what the last
    /// three seconds together have needed, so that one calm reading changes nothing and a calm of
    /// three seconds takes it all the way.
    pub fn observe(&mut self, now: Duration, percent: f64) -> Level {
        let reached = Level::at(percent);
        if reached >= self.level {
            (self.level, self.calm) = (reached, None);
            return self.level;
        }
        // Within the margin below its threshold a level is still needed.
        let needed = Level::at(percent + MARGIN_PERCENT).min(self.level);
        if needed == self.level {
            self.calm = None;
            return self.level;
        }
        let calm = self.calm.get_or_insert(Calm { since: now, needed });
        calm.needed = calm.needed.max(needed);
        if now.saturating_sub(calm.since) >= CALM {
            (self.level, self.calm) = (calm.needed, None);
        }
        self.level
    }

    /// The level that the last reading has led to.
    pub const fn level(&self) -> Level {
        self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a fake source, a reading each quarter of a second from `from_ms` on.
    fn feed(controller: &mut Controller, from_ms: u64, readings: &[f64]) -> Vec<Level> {
        let times = (0..).map(|n| Duration::from_millis(from_ms + 250 * n));
        times.zip(readings).map(|(now, percent)| controller.observe(now, *percent)).collect()
    }

    #[test]
    fn up_at_once_to_whatever_is_reached() {
        let mut controller = Controller::default();
        let levels = feed(&mut controller, 0, &[79.0, 80.0, 89.9, 91.0, 97.0]);
        use Level::{Busy, Critical, Degraded, Normal};
        assert_eq!(levels, [Normal, Busy, Busy, Degraded, Critical]);
        let mut sudden = Controller::default();
        assert_eq!(feed(&mut sudden, 0, &[100.0]), [Critical]);
    }

    #[test]
    fn down_only_after_a_calm_and_then_all_the_way() {
        let mut controller = Controller::default();
        feed(&mut controller, 0, &[99.0]);
        let levels = feed(&mut controller, 250, &[20.0; 16]);
        assert!(levels[..12].iter().all(|level| *level == Level::Critical), "{levels:?}");
        assert_eq!(levels[12..], [Level::Normal; 4]); // three seconds on
    }

    #[test]
    fn within_the_margin_it_stays() {
        let mut controller = Controller::default();
        feed(&mut controller, 0, &[82.0]);
        assert!(feed(&mut controller, 250, &[70.1; 100]).iter().all(|one| *one == Level::Busy));
        assert_eq!(feed(&mut controller, 30_000, &[69.9; 13]).last(), Some(&Level::Normal));
    }

    #[test]
    fn a_calm_that_is_broken_begins_anew() {
        let mut controller = Controller::default();
        feed(&mut controller, 0, &[99.0]);
        feed(&mut controller, 250, &[10.0; 11]);
        feed(&mut controller, 3_000, &[96.0]);
        assert!(feed(&mut controller, 3_250, &[10.0; 12]).iter().all(|one| *one >= Level::Busy));
        assert_eq!(feed(&mut controller, 6_250, &[10.0]), [Level::Normal]);
    }

    #[test]
    fn what_the_calm_has_needed_holds_after_it() {
        let mut controller = Controller::default();
        feed(&mut controller, 0, &[99.0]);
        let mut readings = [30.0; 13];
        readings[5] = 75.0; // busy, with the margin
        assert_eq!(feed(&mut controller, 250, &readings).last(), Some(&Level::Busy));
        assert_eq!(feed(&mut controller, 3_500, &[30.0; 13]).last(), Some(&Level::Normal));
    }

    #[test]
    fn around_a_threshold_it_does_not_flap() {
        let mut controller = Controller::default();
        let readings: Vec<f64> = (0..400).map(|n| if n % 2 == 0 { 94.0 } else { 96.0 }).collect();
        let levels = feed(&mut controller, 0, &readings);
        let changes = levels.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!((changes, levels.last()), (1, Some(&Level::Critical)));
    }
}
