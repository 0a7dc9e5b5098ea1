//! When something has to have happened.
//!
//! Owns the arithmetic on time left. Never waits.

use std::time::{Duration, Instant};

/// A moment, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Option<Instant>);

/// The moment has passed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed;

impl Deadline {
    /// After so long from now. `None`, and what lies beyond the clock, is never.
    pub(super) fn after(time: Option<Duration>) -> Self {
        Self(time.and_then(|time| Instant::now().checked_add(time)))
    }

    /// What comes first of this and `time` from now.
    pub(super) fn within(self, time: Duration) -> Self {
        match (self.0, Self::after(Some(time)).0) {
            (Some(own), Some(other)) => Self(Some(own.min(other))),
            (own, other) => Self(own.or(other)),
        }
    }

    /// How long is left; `None` is for ever.
    pub(super) fn left(self) -> Result<Option<Duration>, Passed> {
        let Some(end) = self.0 else { return Ok(None) };
        match end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(Passed),
            left => Ok(Some(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left() {
        let hour = Duration::from_secs(3600);
        assert!(matches!(Deadline::after(None).left(), Ok(None)));
        assert!(matches!(Deadline::after(Some(Duration::MAX)).left(), Ok(None)));
        assert!(matches!(Deadline::after(Some(Duration::ZERO)).left(), Err(Passed)));
        assert!(matches!(Deadline::after(Some(hour)).left(), Ok(Some(left)) if left <= hour));
        let sooner = Deadline::after(Some(hour)).within(Duration::ZERO);
        assert!(matches!(sooner.left(), Err(Passed)));
        let sooner = Deadline::after(Some(Duration::ZERO)).within(hour);
        assert!(matches!(sooner.left(), Err(Passed)));
        assert!(matches!(Deadline::after(None).within(hour).left(), Ok(Some(_))));
    }
}
