//! The names of streams and subjects in NATS.
//!
//! Owns how a room becomes a token of a subject. A dot, a blank or a wildcard in the name of a room
//! means nothing to NATS: all but letters, digits, `-` and `_` is escaped.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::hub::broker::{Channel, MessageId};

/// The stream that keeps the messages of all rooms.
pub(super) const ROOMS: &str = "throng";

/// The stream that keeps fields of tables, and the places of messages that may come again.
pub(super) const FIELDS: &str = "throng-fields";

/// The subjects of [`ROOMS`], and where what it has taken is passed on.
pub(super) const ROOM_SUBJECTS: &str = "throng.room.*";
pub(super) const LIVE_SUBJECTS: &str = "throng.live.{{wildcard(1)}}";

/// The subjects of [`FIELDS`].
pub(super) const FIELD_SUBJECTS: [&str; 2] = ["throng.field.*.*", "throng.place.*.*.*"];

const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// A token must not be empty; nothing else becomes this one.
const EMPTY: &str = "%";

/// Where messages of a room are published.
pub(super) fn room(room: &str) -> String {
    format!("throng.room.{}", token(room))
}

/// Where they are heard, and what is said without a place too.
pub(super) fn channel(channel: Channel<'_>) -> String {
    match channel {
        Channel::Room(room) => format!("throng.live.{}", token(room)),
        Channel::Nodes => "throng.nodes".into(),
    }
}

pub(super) fn field(table: &str, field: &str) -> String {
    format!("throng.field.{}.{}", token(table), token(field))
}

pub(super) fn fields(table: &str) -> String {
    format!("throng.field.{}.*", token(table))
}

/// The field of a subject.
pub(super) fn field_of(subject: &str) -> Option<Cow<'_, str>> {
    let (_, token) = subject.rsplit_once('.')?;
    if token == EMPTY { Some("".into()) } else { percent_decode_str(token).decode_utf8().ok() }
}

/// By what NATS knows a message that may come again.
pub(super) fn message_id(room: &str, id: MessageId<'_>) -> String {
    format!("{}.{}.{}", token(room), token(id.sender), token(id.id))
}

/// Where its place is kept.
pub(super) fn place(message_id: &str) -> String {
    format!("throng.place.{message_id}")
}

fn token(name: &str) -> Cow<'_, str> {
    if name.is_empty() { EMPTY.into() } else { utf8_percent_encode(name, ESCAPED).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_room_is_called_it_is_one_token() {
        let names = ["lobby", "a.b", "*", ">", "a b", "%", "%25", "", "ä\u{0}", "a-b_C"];
        let mut subjects: Vec<_> = names.iter().map(|name| room(name)).collect();
        for (subject, name) in subjects.iter().zip(names) {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_%.".contains(c);
            assert!(subject.chars().all(is_plain) && subject.split('.').count() == 3, "{subject}");
            assert_eq!(field_of(&field("t", name)).as_deref(), Some(name));
        }
        subjects.sort();
        subjects.dedup();
        assert_eq!(subjects.len(), names.len());
    }

    #[test]
    fn parts_of_an_id_do_not_run_together() {
        let id = |sender, id| MessageId { sender, id, window: std::time::Duration::ZERO };
        assert_ne!(message_id("a", id("b.c", "d")), message_id("a", id("b", "c.d")));
        assert_ne!(message_id("a", id("", "b")), message_id("a", id("b", "")));
    }
}
