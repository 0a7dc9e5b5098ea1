//! An answer in the making.
//!
//! Owns the parts that each of those who were asked adds, on its own thread, and that the answer is
//! given once, when the last has let go of it. Never knows what is asked.

use std::fmt;
use std::sync::{Mutex, PoisonError};

/// What becomes of the parts.
type Done<P> = Box<dyn FnOnce(Vec<P>) + Send>;

/// The parts so far.
pub(super) struct Parts<P> {
    parts: Mutex<Vec<P>>,
    done: Mutex<Option<Done<P>>>,
}

impl<P> Parts<P> {
    /// Calls `done` with all parts when this is dropped: on the thread of who was the last.
    pub(super) fn new(done: impl FnOnce(Vec<P>) + Send + 'static) -> Self {
        let done: Done<P> = Box::new(done);
        Self { parts: Mutex::default(), done: Mutex::new(Some(done)) }
    }

    pub(super) fn add(&self, part: P) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).push(part);
    }
}

impl<P> Drop for Parts<P> {
    fn drop(&mut self) {
        let parts = self.parts.get_mut().unwrap_or_else(PoisonError::into_inner);
        let done = self.done.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(done) = done.take() {
            done(std::mem::take(parts));
        }
    }
}

impl<P> fmt::Debug for Parts<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}
