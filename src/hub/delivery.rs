//! What the hub says: one JSON object a message.
//!
//! Owns the shape of everything that is sent. Never decides to whom.

use serde::Serialize;
use serde_json::value::RawValue;

use super::command::Fault;
use super::history::{Epoch, Kept, Position};
use super::resuming::Stand;
use super::sessions::SessionId;

/// A message of the hub. `timestamp` and `expires_at` are milliseconds since 1970.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Delivery<'a> {
    /// The first, to a newcomer.
    Welcome {
        #[serde(skip_serializing_if = "Option::is_none")]
        room: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<Epoch>,
        #[serde(skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
        sender: &'a str,
        members: &'a [&'a str],
        count: usize,
        traceparent: String,
        timestamp: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<u64>,
        /// With it one can come back, where sessions are kept.
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<SessionId>,
    },
    /// What somebody has published.
    Text {
        #[serde(skip_serializing_if = "Option::is_none")]
        room: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
        content: &'a RawValue,
        sender: &'a str,
        timestamp: u64,
    },
    /// What somebody has sent to one user.
    Direct { content: &'a RawValue, sender: &'a str, timestamp: u64 },
    /// Somebody came or went.
    System { room: &'a str, event: Event, sender: &'a str, content: String, timestamp: u64 },
    /// A member that was too slow has not got everything.
    #[serde(rename = "system")]
    Dropped { event: Event, count: u64, content: String, timestamp: u64 },
    /// Something is missing in a room: what comes next follows this place.
    #[serde(rename = "system")]
    Gap { room: &'a str, event: Event, epoch: Epoch, offset: u64, content: String, timestamp: u64 },
    /// A command was carried out.
    Ok {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        room: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        members: Option<&'a [&'a str]>,
        #[serde(skip_serializing_if = "Option::is_none")]
        count: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<Epoch>,
        #[serde(skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
        /// To `join`: whether all that was missed follows.
        #[serde(skip_serializing_if = "Option::is_none")]
        recovered: Option<bool>,
        /// To `history`: whether there is more, in the direction that was asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        more: Option<bool>,
    },
    /// What was said is published: its place, where it has one, and whether that was before.
    #[serde(rename = "ok")]
    Published {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        duplicate: Option<bool>,
    },
    /// A new token was taken, and this is when it ends.
    #[serde(rename = "ok")]
    Refreshed {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<u64>,
        timestamp: u64,
    },
    /// Somebody has its session again, with these rooms.
    #[serde(rename = "ok")]
    Resumed {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        session: SessionId,
        sender: &'a str,
        rooms: &'a [Stand<'a>],
    },
    /// A command was not carried out.
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        code: &'a str,
        content: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// The server stops: this connection ends in so long, and another is taken then.
    Reconnect { after_ms: u64, timestamp: u64 },
    /// The answer to a heartbeat: what it said, and how many before it did not come.
    Heartbeat {
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        timestamp: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        lost: Option<u64>,
    },
}

/// What a publisher hears of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    /// Its place, where the room has a history.
    pub(super) offset: Option<u64>,
    /// Whether it had come before, and was not published again.
    pub(super) is_duplicate: bool,
}

impl Receipt {
    /// A message that is published now.
    pub(super) fn new(position: Option<Position>) -> Self {
        Self { offset: position.map(|position| position.offset), is_duplicate: false }
    }
}

/// What a system message tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Event {
    Join,
    Leave,
    Dropped,
    Gap,
}

impl<'a> Delivery<'a> {
    pub(super) const fn fault(id: Option<&'a RawValue>, fault: Fault) -> Self {
        let Fault { code, content, retry_after_ms } = fault;
        Self::Error { id, code, content, retry_after_ms }
    }

    pub(super) fn system(room: &'a str, event: Event, sender: &'a str, timestamp: u64) -> Self {
        let content = match event {
            Event::Join => format!("{sender} joined"),
            Event::Leave => format!("{sender} left"),
            Event::Dropped | Event::Gap => String::new(), // of no sender: see `Dropped`, `Gap`
        };
        Self::System { room, event, sender, content, timestamp }
    }

    /// Nothing but that it was done.
    pub(super) const fn done(id: Option<&'a RawValue>) -> Self {
        Self::ok(id, None)
    }

    /// What was said is published.
    pub(super) fn published(id: Option<&'a RawValue>, receipt: Receipt) -> Self {
        let Receipt { offset, is_duplicate } = receipt;
        Self::Published { id, offset, duplicate: is_duplicate.then_some(true) }
    }

    pub(super) const fn ok(id: Option<&'a RawValue>, room: Option<&'a str>) -> Self {
        let (members, count, epoch, offset) = (None, None, None, None);
        Self::Ok { id, room, members, count, epoch, offset, recovered: None, more: None }
    }

    /// Writes the message to `buffer`, in place of what was there.
    pub(super) fn encode<'b>(&self, buffer: &'b mut Vec<u8>) -> &'b [u8] {
        buffer.clear();
        if let Err(error) = serde_json::to_writer(&mut *buffer, self) {
            // Strings and numbers always can be written.
            tracing::error!(%error, "a message was not written");
        }
        buffer
    }

    /// The same, with `messages` at its end, each as it was delivered.
    pub(super) fn encode_with<'b>(&self, buffer: &'b mut Vec<u8>, messages: &[Kept]) -> &'b [u8] {
        self.encode(buffer);
        buffer.pop(); // the brace
        buffer.extend_from_slice(b",\"messages\":[");
        for (at, kept) in messages.iter().enumerate() {
            if at > 0 {
                buffer.push(b',');
            }
            buffer.extend_from_slice(kept.frame.payload());
        }
        buffer.extend_from_slice(b"]}");
        buffer
    }
}

/// One of each, with all that it can say.
#[cfg(test)]
pub(super) fn every() -> Vec<String> {
    let value = RawValue::from_string("7".into()).unwrap();
    let (content, id, room, timestamp) = (&*value, Some(&*value), Some("a"), 1);
    let (sender, members, expires_at) = ("ann", &["ann"][..], Some(2));
    let (epoch, offset) = (Some(Epoch(1)), Some(1));
    let every = [
        Delivery::Welcome {
            room,
            epoch,
            offset,
            sender,
            members,
            count: 1,
            traceparent: "00".into(),
            timestamp,
            expires_at,
            session: Some(SessionId(1)),
        },
        Delivery::Text { room, offset, content, sender, timestamp },
        Delivery::Direct { content, sender, timestamp },
        Delivery::system("a", Event::Join, sender, timestamp),
        Delivery::Dropped { event: Event::Dropped, count: 3, content: "gone".into(), timestamp },
        Delivery::Gap {
            room: "a",
            event: Event::Gap,
            epoch: Epoch(1),
            offset: 1,
            content: "gone".into(),
            timestamp,
        },
        Delivery::Ok {
            id,
            room,
            members: Some(members),
            count: Some(1),
            epoch,
            offset,
            recovered: Some(true),
            more: Some(true),
        },
        Delivery::Published { id, offset, duplicate: Some(true) },
        Delivery::Refreshed { id, expires_at, timestamp },
        Delivery::Resumed {
            id,
            session: SessionId(1),
            sender,
            rooms: &[Stand { room: "a", epoch, offset }],
        },
        Delivery::Error { id, code: "gone", content: "it is gone", retry_after_ms: Some(1) },
        Delivery::Reconnect { after_ms: 1, timestamp },
        Delivery::Heartbeat { seq: id, timestamp: id, lost: Some(1) },
    ];
    let frame = crate::net::SharedFrame::new(crate::net::Message::text("{}"));
    let kept = Kept { offset: 1, timestamp, frame };
    let mut buffer = Vec::new();
    let page = Delivery::ok(id, room).encode_with(&mut buffer, &[kept]).to_vec();
    let page = String::from_utf8(page).unwrap();
    every.iter().map(|one| serde_json::to_string(one).unwrap()).chain([page]).collect()
}
