//! The pulse of a loop: a sign that it goes on, for who watches over it.
//!
//! Owns when it is due. It comes out of the loop's own turn: a loop that hangs has none.

use std::fmt;
use std::time::Duration;

/// Something that is called from a loop's turns.
pub(super) struct Pulse {
    every: Duration,
    due: Duration,
    beat: Box<dyn FnMut() + Send>,
}

impl Pulse {
    /// At once, and then about so often.
    pub(super) fn new(every: Duration, beat: impl FnMut() + Send + 'static) -> Self {
        Self { every, due: Duration::ZERO, beat: Box::new(beat) }
    }

    /// When it is due.
    pub(super) const fn due(&self) -> Duration {
        self.due
    }

    /// A turn ends.
    pub(super) fn beat(&mut self, now: Duration) {
        if now >= self.due {
            self.due = now + self.every;
            (self.beat)();
        }
    }
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulse").field("every", &self.every).finish_non_exhaustive()
    }
}
