//! The largest entries of a table that may be large.
//!
//! Owns a walk that goes on a part at each step, so that no step takes long, and what it has met.
//! Never holds an entry: it knows their numbers.

/// How many entries a step looks at: about a millisecond's work.
const STEP: usize = 16 << 10;

/// How many of the largest are kept.
const KEPT: usize = 16;

/// The walk.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    next: usize,
    /// The largest of this round so far, the largest first: value and number.
    met: Vec<(u64, usize)>,
    /// The largest of the last round.
    found: Vec<(u64, usize)>,
}

impl Sweep {
    /// Looks at the next part of a table whose numbers are below `end`. What is worth nothing is
    /// not kept.
    pub(super) fn step(&mut self, end: usize, value_of: impl Fn(usize) -> u64) {
        let from = if self.next < end { self.next } else { 0 };
        let to = end.min(from + STEP);
        for number in from..to {
            let value = value_of(number);
            let least = if self.met.len() < KEPT { 0 } else { self.met[KEPT - 1].0 };
            if value > least {
                let at = self.met.partition_point(|(other, _)| *other >= value);
                self.met.truncate(KEPT - 1);
                self.met.insert(at, (value, number));
            }
        }
        self.next = to;
        if to == end {
            self.found = std::mem::take(&mut self.met);
            self.next = 0;
        }
    }

    /// The numbers of the largest, as far as is known, in no order: what they are worth may have
    /// changed.
    pub(super) fn numbers(&self) -> Vec<usize> {
        let all = self.found.iter().chain(&self.met).map(|(_, number)| *number);
        let mut numbers: Vec<usize> = all.collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Forgets what it has met.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_table_is_done_in_one_step() {
        let mut sweep = Sweep::default();
        sweep.step(100, |number| number as u64 % 50);
        let numbers = sweep.numbers();
        assert_eq!(numbers.len(), KEPT);
        assert!(numbers.iter().all(|number| number % 50 >= 42), "{numbers:?}");
        sweep.step(100, |_| 0);
        assert!(sweep.numbers().is_empty(), "the next round has found nothing");
    }

    #[test]
    fn a_large_table_is_done_in_several_and_the_largest_are_known_meanwhile() {
        let (mut sweep, end) = (Sweep::default(), 3 * STEP + 5);
        let value = |number: usize| u64::from(number == 7 || number == end - 1) * number as u64;
        for _ in 0..4 {
            sweep.step(end, value);
        }
        assert_eq!(sweep.numbers(), [7, end - 1]);
        sweep.step(end, value);
        assert_eq!(sweep.numbers(), [7, end - 1], "of the last round and of this one");
    }

    #[test]
    fn a_table_that_has_shrunk_is_begun_anew() {
        let mut sweep = Sweep::default();
        sweep.step(2 * STEP, |_| 0);
        sweep.step(10, |number| number as u64);
        assert_eq!(sweep.numbers().len(), 9);
        sweep.step(0, |_| unreachable!("there is nothing to look at"));
        assert!(sweep.numbers().is_empty());
    }
}
