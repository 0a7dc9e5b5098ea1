//! Log lines that a crowd of peers can bring about.
//!
//! Owns how many of one kind are said a second, and the line about those that were left out. Never
//! says the others.

use std::time::Duration;

/// How many lines of one kind are said a second.
const LINES_PER_SECOND_MAX: u32 = 10;

/// The lines of one kind.
#[derive(Debug, Default)]
pub(crate) struct Sampling {
    second: u64,
    said: u32,
    left_out: u64,
}

impl Sampling {
    /// Whether one more line is to be said.
    pub(crate) fn admits(&mut self, now: Duration) -> bool {
        if self.second != now.as_secs() {
            self.second = now.as_secs();
            self.said = 0;
        }
        let admits = self.said < LINES_PER_SECOND_MAX;
        if admits {
            self.said += 1;
        } else {
            self.left_out += 1;
        }
        admits
    }

    /// Says how many were left out, if any were.
    pub(crate) fn say_left_out(&mut self, kind: &str) {
        if let Some(left_out) = self.take_left_out() {
            let most = LINES_PER_SECOND_MAX;
            tracing::info!(kind, left_out, "lines left out: {most} a second are said");
        }
    }

    /// How many were left out since this was last asked.
    fn take_left_out(&mut self) -> Option<u64> {
        let left_out = std::mem::take(&mut self.left_out);
        (left_out > 0).then_some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_lines_and_none_is_forgotten() {
        let mut sampling = Sampling::default();
        let mut admitted = |ms: u64, tries: usize| {
            (0..tries).filter(|_| sampling.admits(Duration::from_millis(ms))).count()
        };
        assert_eq!(admitted(0, 25), 10);
        assert_eq!(admitted(999, 5), 0);
        assert_eq!(admitted(1000, 12), 10);
        assert_eq!(sampling.take_left_out(), Some(22));
        assert_eq!(sampling.take_left_out(), None);
    }
}
