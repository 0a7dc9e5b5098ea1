//! How often the HTTP API was asked.
//!
//! Owns one counter for each operation and status. Never grows past those.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The label of what is no operation: an unknown path or method, a preflight.
const NONE: &str = "none";

/// The counters, which all loops share.
#[derive(Debug, Default)]
pub(in crate::hub) struct Counts(Mutex<BTreeMap<(&'static str, u16), u64>>);

impl Counts {
    pub(super) fn add(&self, operation: Option<&'static str>, status: u16) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((operation.unwrap_or(NONE), status)).or_default() += 1;
    }

    /// Operation, status and how often.
    pub(in crate::hub) fn all(&self) -> Vec<(&'static str, u16, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|((operation, status), count)| (*operation, *status, *count)).collect()
    }
}
