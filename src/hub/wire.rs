//! In which form a member speaks: JSON, or its Protobuf twin.
//!
//! Owns the names of the subprotocols, and what goes over the wire in each. Never knows what a
//! message means.

use super::protobuf;
use crate::net::{Message, MessageKind, SharedFrame};

/// A form of the hub's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wire {
    /// Text frames: also of those who ask for no subprotocol.
    #[default]
    Json,
    /// Binary frames.
    Protobuf,
}

impl Wire {
    pub(super) const ALL: [Self; 2] = [Self::Json, Self::Protobuf];

    /// Its subprotocol (RFC 6455 section 1.9).
    pub(super) const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "throng.v1.json",
            Self::Protobuf => "throng.v1.proto",
        }
    }

    pub(super) fn of_subprotocol(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wire| wire.subprotocol() == name)
    }

    /// The kind of its messages.
    pub(super) const fn kind(self) -> MessageKind {
        match self {
            Self::Json => MessageKind::Text,
            Self::Protobuf => MessageKind::Binary,
        }
    }

    /// What is said to who sends the other kind.
    pub(super) const fn reminder(self) -> &'static str {
        match self {
            Self::Json => "text is spoken here",
            Self::Protobuf => "binary is spoken here",
        }
    }

    /// A message that was written as JSON, in this form.
    pub(super) fn frame(self, json: &[u8]) -> SharedFrame {
        let kind = self.kind();
        match self {
            Self::Json => SharedFrame::new(Message { kind, payload: json }),
            Self::Protobuf => {
                let payload = &protobuf::delivery_from_json(json);
                SharedFrame::new(Message { kind, payload })
            }
        }
    }
}
