//! Something that has happened in a room.
//!
//! Owns its parts, and how it is told to others as JSON. Never knows who hears of it.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::hub::history::{Epoch, Position};

/// What an event takes in the outbox beside its texts.
const OVERHEAD_BYTES: u64 = 64;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Somebody has come.
    Join = 1,
    /// Somebody has gone.
    Leave = 2,
    /// Somebody has published.
    Message = 3,
}

/// Something that has happened in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// Where.
    pub room: Arc<str>,
    /// Who has come, gone or spoken.
    pub sender: Box<str>,
    /// What was said: a JSON value.
    pub content: Option<Box<str>>,
    /// The place of the message, where the room has a history.
    pub position: Option<Position>,
    /// Milliseconds since 1970.
    pub timestamp: u64,
}

/// The JSON of an event.
#[derive(Serialize)]
struct Told<'a> {
    id: &'a str,
    seq: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    room: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    sender: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a RawValue>,
    timestamp: u64,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Join, Self::Leave, Self::Message];

    /// Its name in JSON and in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Message => "message",
        }
    }
}

impl Event {
    /// What it takes in the outbox, about.
    pub fn bytes(&self) -> u64 {
        Self::bytes_of(&self.room, &self.sender, self.content.as_deref().unwrap_or_default())
    }

    pub(in crate::hub) const fn bytes_of(room: &str, sender: &str, content: &str) -> u64 {
        OVERHEAD_BYTES + (room.len() + sender.len() + content.len()) as u64
    }

    /// All that is said of it.
    pub(super) fn json(&self, id: &str, seq: u64) -> serde_json::Result<String> {
        let content = self.content.as_deref().map(serde_json::from_str::<&RawValue>).transpose()?;
        serde_json::to_string(&Told {
            id,
            seq,
            kind: self.kind.name(),
            room: &self.room,
            epoch: self.position.map(|position| position.epoch),
            offset: self.position.map(|position| position.offset),
            sender: &self.sender,
            content,
            timestamp: self.timestamp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_all_that_is_known_of_it() {
        let message = Event {
            kind: EventKind::Message,
            room: "a".into(),
            sender: "ann".into(),
            content: Some(r#"{"x": [1]}"#.into()),
            position: Some(Position { epoch: Epoch(0xab), offset: 7 }),
            timestamp: 5,
        };
        assert_eq!(
            message.json("e-3", 3).expect("JSON"),
            r#"{"id":"e-3","seq":3,"type":"message","room":"a","epoch":"00000000000000ab","#
                .to_owned()
                + r#""offset":7,"sender":"ann","content":{"x": [1]},"timestamp":5}"#
        );
        let join = Event { kind: EventKind::Join, content: None, position: None, ..message };
        assert_eq!(
            join.json("e-4", 4).expect("JSON"),
            r#"{"id":"e-4","seq":4,"type":"join","room":"a","sender":"ann","timestamp":5}"#
        );
    }
}
