//! Messages that were published lately and carry an id of their sender's.
//!
//! Owns what is remembered of each at the home of its room, for how long, and how many: a message
//! of the same room, sender and id is the same message. Never delivers, never reads a clock.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::delivery::Receipt;
use super::overload::Bound;

/// What a message takes in both tables, of which each may be half empty.
const MESSAGE_BYTES: u64 = 160;

/// Within what a message that comes again is told from a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// For how long an id is remembered. Default: 5 minutes.
    pub window: Duration,
    /// How many ids all loops together remember, at up to 160 bytes each; past it the oldest are
    /// forgotten before their time. 0 is none: every message is a new one. Default: 100,000.
    pub messages_max: usize,
}

impl Dedup {
    /// What all that is remembered takes in memory at most.
    pub const fn bound(&self) -> Bound {
        let bytes = (self.messages_max as u64).saturating_mul(MESSAGE_BYTES);
        Bound { bytes, words: "the ids of messages that could come again" }
    }
}

impl Default for Dedup {
    fn default() -> Self {
        Self { window: Duration::from_secs(300), messages_max: 100_000 }
    }
}

/// What stands for a room, a sender and an id: keyed with secrets of the loop, so that nobody can
/// find two that are one.
type Key = (u64, u64);

/// The ids that one loop remembers.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// When each was published, and its offset where it has one.
    published: HashMap<Key, (Duration, Option<u64>)>,
    /// The oldest first.
    order: VecDeque<(Duration, Key)>,
    hashers: [RandomState; 2],
}

impl Recent {
    /// The key of a message.
    pub(super) fn key(&self, room: &str, sender: &str, id: &str) -> Key {
        let message = (room, sender, id);
        let [one, other] = &self.hashers;
        (one.hash_one(message), other.hash_one(message))
    }

    /// What was answered to this message, if it was published within the window.
    pub(super) fn find(&mut self, key: Key, now: Duration, window: Duration) -> Option<Receipt> {
        self.expire(now, window);
        let (_, offset) = *self.published.get(&key)?;
        Some(Receipt { offset, is_duplicate: true })
    }

    /// Remembers a message, in place of the oldest where there are `max` already.
    pub(super) fn add(&mut self, key: Key, now: Duration, offset: Option<u64>, max: usize) {
        if max == 0 {
            return;
        }
        while self.order.len() >= max {
            self.forget_first();
        }
        self.published.insert(key, (now, offset));
        self.order.push_back((now, key));
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    fn expire(&mut self, now: Duration, window: Duration) {
        while self.order.front().is_some_and(|(then, _)| now.saturating_sub(*then) >= window) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some((then, key)) = self.order.pop_front() else { return };
        // One that was added again since is remembered from then on.
        if self.published.get(&key).is_some_and(|(since, _)| *since == then) {
            self.published.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn at(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn rule_23_an_id_is_of_a_room_and_a_sender() {
        let mut recent = Recent::default();
        let key = recent.key("a", "ann", "1");
        recent.add(key, at(0), Some(7), 9);
        for (room, sender, id, expected) in [
            ("a", "ann", "1", Some(Some(7))),
            ("a", "ann", "2", None),
            ("a", "bob", "1", None),
            ("b", "ann", "1", None),
            ("aa", "nn", "1", None),
        ] {
            let key = recent.key(room, sender, id);
            let found = recent.find(key, at(1), WINDOW).map(|receipt| receipt.offset);
            assert_eq!(found, expected, "{room} {sender} {id}");
        }
    }

    #[test]
    fn an_id_is_forgotten_after_its_window() {
        let mut recent = Recent::default();
        let key = recent.key("a", "ann", "1");
        recent.add(key, at(5), None, 9);
        assert!(recent.find(key, at(14), WINDOW).is_some_and(|receipt| receipt.is_duplicate));
        assert!(recent.find(key, at(15), WINDOW).is_none());
        assert!(recent.order.is_empty() && recent.published.is_empty());
        recent.add(key, at(15), None, 9);
        assert!(recent.find(key, at(24), WINDOW).is_some());
    }

    #[test]
    fn the_table_is_bounded_and_the_oldest_go() {
        let mut recent = Recent::default();
        let keys: Vec<_> = (0..1000).map(|n| recent.key("a", "ann", &n.to_string())).collect();
        for (n, key) in keys.iter().enumerate() {
            recent.add(*key, at(1), Some(n as u64), 100);
        }
        assert_eq!((recent.order.len(), recent.published.len()), (100, 100));
        assert!(recent.find(keys[899], at(2), WINDOW).is_none());
        assert!(recent.find(keys[900], at(2), WINDOW).is_some());
        // Told to keep fewer, it does from the next on.
        recent.add(keys[0], at(3), None, 10);
        assert_eq!((recent.order.len(), recent.published.len()), (10, 10));
        recent.add(keys[1], at(3), None, 0);
        assert!(recent.find(keys[1], at(3), WINDOW).is_none());
    }
}
