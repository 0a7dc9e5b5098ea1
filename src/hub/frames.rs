//! One message to many members.
//!
//! Owns its frame in each form, made at most once whatever number of loops it goes to: JSON always,
//! Protobuf when the first who wants it is found. Never knows to whom it goes.

use std::sync::{Arc, OnceLock};

use super::wire::Wire;
use crate::net::SharedFrame;

/// A message in every form. Clones are one.
#[derive(Clone, Debug)]
pub(super) struct Frames(Arc<Forms>);

#[derive(Debug)]
struct Forms {
    json: SharedFrame,
    /// Made when the first who wants it is found.
    protobuf: OnceLock<SharedFrame>,
}

impl Frames {
    /// The frames of a message that was written as JSON.
    pub(super) fn new(json: &[u8]) -> Self {
        let (json, protobuf) = (Wire::Json.frame(json), OnceLock::new());
        Self(Arc::new(Forms { json, protobuf }))
    }

    pub(super) fn of(&self, wire: Wire) -> &SharedFrame {
        let Forms { json, protobuf } = &*self.0;
        match wire {
            Wire::Json => json,
            Wire::Protobuf => protobuf.get_or_init(|| Wire::Protobuf.frame(json.payload())),
        }
    }
}
