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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::protobuf::{Delivery, Message};

    #[test]
    fn each_form_is_made_once_and_when_it_is_wanted() {
        let frames = Frames::new(br#"{"type":"text","content":"hi","sender":"ann"}"#);
        let elsewhere = frames.clone();
        assert!(frames.0.protobuf.get().is_none());
        let twin = elsewhere.of(Wire::Protobuf);
        assert!(std::ptr::eq(twin, frames.of(Wire::Protobuf)));
        let delivery = Delivery::decode(twin.payload()).unwrap();
        assert_eq!(delivery.content_json.as_deref(), Some("\"hi\""));
        assert!(std::ptr::eq(elsewhere.of(Wire::Json), frames.of(Wire::Json)));
    }
}
