//! Who does the most of something.
//!
//! Owns a small table that finds the heaviest of any number of keys (Space-Saving: Metwally,
//! Agrawal, El Abbadi, 2005). A key that makes up more than one part in [`SLOTS`] of all is
//! certain to be in it. What is said of a key was counted: never too much, perhaps too little.

/// How many keys are known at once.
const SLOTS: usize = 64;

/// What was counted for one key since it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// The weight of those that had the slot before.
    inherited: u64,
}

/// The heaviest keys.
#[derive(Debug, Default)]
pub(super) struct Heavy {
    /// In the order of `tallies`, and apart so that a search reads little.
    keys: Vec<u64>,
    tallies: Vec<Tally>,
}

impl Tally {
    const fn weight(&self) -> u64 {
        self.inherited + self.messages
    }
}

impl Heavy {
    /// Counts a message of a key.
    pub(super) fn add(&mut self, key: u64, bytes: usize) {
        let known = self.keys.iter().position(|other| *other == key);
        let at = known.unwrap_or_else(|| self.admit(key));
        let tally = &mut self.tallies[at];
        tally.messages += 1;
        tally.bytes += bytes as u64;
    }

    /// The heaviest first.
    pub(super) fn top(&self, max: usize) -> Vec<(u64, Tally)> {
        let mut top: Vec<_> = self.keys.iter().copied().zip(self.tallies.iter().copied()).collect();
        top.sort_unstable_by_key(|(key, tally)| (std::cmp::Reverse(tally.messages), *key));
        top.truncate(max);
        top
    }

    /// Begins anew, and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.tallies.clear();
    }

    /// Makes a slot for a key: a free one, or that of the lightest.
    fn admit(&mut self, key: u64) -> usize {
        if self.keys.len() < SLOTS {
            self.keys.push(key);
            self.tallies.push(Tally::default());
            return self.keys.len() - 1;
        }
        let weights = self.tallies.iter().map(Tally::weight).enumerate();
        let (at, weight) = weights.min_by_key(|(_, weight)| *weight).unwrap_or_default();
        self.keys[at] = key;
        self.tallies[at] = Tally { inherited: weight, ..Tally::default() };
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_keys_are_counted_exactly() {
        let mut heavy = Heavy::default();
        for n in 0..60_u64 {
            (0..=n).for_each(|_| heavy.add(n, 10));
        }
        let top = heavy.top(2).into_iter().map(|(key, tally)| (key, tally.messages, tally.bytes));
        assert_eq!(top.collect::<Vec<_>>(), [(59, 60, 600), (58, 59, 590)]);
        heavy.clear();
        assert!(heavy.top(9).is_empty());
    }

    /// Three who say a tenth of all each, among 20,000 who say one thing.
    #[test]
    fn the_heaviest_of_a_crowd_are_found_and_never_overstated() {
        let (mut heavy, mut crowd) = (Heavy::default(), 1_000);
        for round in 0..20_000_u64 {
            if round % 10 < 3 {
                heavy.add(round % 10, 1);
            } else {
                crowd += 1;
                heavy.add(crowd, 1);
            }
        }
        let top = heavy.top(3);
        let mut keys: Vec<u64> = top.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        assert_eq!(keys, [0, 1, 2]);
        assert!(top.iter().all(|(_, tally)| (1_500..=2_000).contains(&tally.messages)), "{top:?}");
        assert_eq!(heavy.keys.len(), SLOTS);
    }
}
