//! What one loop counts while somebody looks.
//!
//! Owns the counts of the interval that runs and of the last whole one: from tick to tick, whoever
//! asks and how often. Never looks up whose they are.

use std::time::Duration;

use super::heavy::{Heavy, Tally};
use super::sweep::Sweep;
use crate::net::ConnectionId;

/// Nobody looks any more where nothing was asked for so long.
const PATIENCE: Duration = Duration::from_secs(4);

/// How many of the heaviest are shown.
const SHOWN: usize = 10;

/// The counts of one loop.
#[derive(Debug, Default)]
pub(super) struct Watch {
    talkers: Heavy,
    rooms: Heavy,
    pub(super) slow: Sweep,
    began: Duration,
    asked: Duration,
    last: Interval,
}

/// What was counted in an interval that is over.
#[derive(Debug, Default)]
pub(super) struct Interval {
    pub(super) time: Duration,
    /// By connection.
    pub(super) talkers: Vec<(u64, Tally)>,
    /// By room.
    pub(super) rooms: Vec<(u64, Tally)>,
    /// The longest turn.
    pub(super) lag: Duration,
}

impl Watch {
    pub(super) fn new(now: Duration) -> Self {
        Self { began: now, asked: now, ..Self::default() }
    }

    /// A message has come.
    pub(super) fn hear(&mut self, from: ConnectionId, bytes: usize) {
        self.talkers.add(from.to_u64(), bytes);
    }

    /// A message was published in a room.
    pub(super) fn publish(&mut self, room: u32, bytes: usize) {
        self.rooms.add(u64::from(room), bytes);
    }

    /// Somebody looks: the last whole interval.
    pub(super) fn ask(&mut self, now: Duration) -> &Interval {
        self.asked = now;
        &self.last
    }

    /// The interval is over. Whether anybody still looks.
    pub(super) fn tick(&mut self, now: Duration, lag: Duration) -> bool {
        self.last = Interval {
            time: now.saturating_sub(self.began),
            talkers: self.talkers.top(SHOWN),
            rooms: self.rooms.top(SHOWN),
            lag,
        };
        self.talkers.clear();
        self.rooms.clear();
        self.began = now;
        now.saturating_sub(self.asked) < PATIENCE
    }
}

impl Interval {
    /// So many in the interval, as so many a second.
    pub(super) fn per_s(&self, count: u64) -> f64 {
        per_s(count, self.time)
    }
}

/// So many in a time, as so many a second, to a tenth.
pub(super) fn per_s(count: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64().max(1e-3);
    (count as f64 / seconds * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn an_interval_is_shown_when_it_is_over_and_to_everybody() {
        let mut watch = Watch::new(S);
        let ann = ConnectionId::from_u64(7);
        (0..30).for_each(|_| watch.hear(ann, 5));
        watch.publish(3, 5);
        assert!(watch.ask(S).talkers.is_empty());
        assert!(watch.tick(S * 3, Duration::from_millis(2)));
        for _ in 0..2 {
            let interval = watch.ask(S * 3);
            let (key, tally) = interval.talkers[0];
            assert_eq!((key, interval.per_s(tally.messages)), (7, 15.0));
            assert_eq!(interval.per_s(interval.talkers[0].1.bytes), 75.0);
            assert_eq!((interval.rooms[0].0, interval.lag.as_millis()), (3, 2));
        }
        assert!(watch.tick(S * 4, S));
        assert!(watch.ask(S * 4).talkers.is_empty());
    }

    #[test]
    fn it_ends_when_nobody_asks() {
        let mut watch = Watch::new(Duration::ZERO);
        watch.ask(S);
        assert!(watch.tick(S * 4, S));
        assert!(!watch.tick(S * 5, S));
    }
}
