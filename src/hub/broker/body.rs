//! A message as it goes over the bus.
//!
//! Owns how it is written: one JSON object with short names, since a person may look at it in the
//! broker. What a node does not understand, such as a field of a later version, it passes over.

use std::num::NonZeroU64;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::hub::sequencer::{Author, Origin, Publish};
use crate::net::ConnectionId;

/// The fields of a message.
#[derive(Debug, Deserialize, Serialize)]
struct Body<'a> {
    /// Who has said it.
    #[serde(rename = "s", borrow)]
    sender: std::borrow::Cow<'a, str>,
    /// Milliseconds since 1970.
    #[serde(rename = "t")]
    timestamp: u64,
    /// What it stands for.
    #[serde(rename = "k", skip_serializing_if = "Option::is_none", default)]
    key: Option<NonZeroU64>,
    /// The process that it comes from.
    #[serde(rename = "n")]
    instance: u64,
    /// Who is not to get it there: loop, member, connection.
    #[serde(rename = "w", skip_serializing_if = "Option::is_none", default)]
    without: Option<(usize, u32, u64)>,
    /// Whether who has said it is no member of the room.
    #[serde(rename = "o", skip_serializing_if = "std::ops::Not::not", default)]
    is_from_outside: bool,
    #[serde(rename = "c", borrow)]
    content: &'a RawValue,
}

/// Writes a message of this node.
pub(super) fn encode(instance: u64, publish: &Publish) -> Vec<u8> {
    let without = publish.without();
    let body = Body {
        sender: (&*publish.sender).into(),
        timestamp: publish.timestamp,
        key: publish.key,
        instance,
        without: without.map(|origin| (origin.loop_index, origin.member, origin.id.to_u64())),
        is_from_outside: !publish.is_counted,
        content: &publish.content,
    };
    serde_json::to_vec(&body).unwrap_or_else(|error| {
        tracing::error!(%error, "a message was not written"); // strings and numbers always can be
        Vec::new()
    })
}

/// Reads a message, and from which process it comes; none where it is no message. `by` is set where
/// it is of this process, and somebody is not to get it.
pub(super) fn decode(instance: u64, room: &Arc<str>, body: &[u8]) -> Option<(Publish, u64)> {
    let body: Body<'_> = serde_json::from_slice(body).ok()?;
    let without = body.without.filter(|_| body.instance == instance);
    let by = without.map(|(loop_index, member, id)| Author::Member {
        origin: Origin { loop_index, member, id: ConnectionId::from_u64(id) },
        id: None,
        has_echo: false,
    });
    let publish = Publish {
        room: Arc::clone(room),
        sender: body.sender.into(),
        content: body.content.to_owned(),
        timestamp: body.timestamp,
        key: body.key,
        message_id: None,
        by,
        is_counted: body.instance != instance && !body.is_from_outside,
    };
    Some((publish, body.instance))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(has_echo: bool) -> Publish {
        let origin = Origin { loop_index: 1, member: 2, id: ConnectionId::from_u64(3 << 32 | 4) };
        Publish {
            room: "a".into(),
            sender: "ann \"x\"".into(),
            content: RawValue::from_string(r#"{"b":[1]}"#.into()).unwrap(),
            timestamp: 1_712_345_678_901,
            key: NonZeroU64::new(7),
            message_id: None,
            by: Some(Author::Member { origin, id: None, has_echo }),
            is_counted: true,
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let body = encode(9, &publish(false));
        let (read, instance) = decode(9, &"a".into(), &body).unwrap();
        assert_eq!((&*read.sender, read.timestamp, instance), ("ann \"x\"", 1_712_345_678_901, 9));
        assert_eq!((read.content.get(), read.key), (r#"{"b":[1]}"#, NonZeroU64::new(7)));
        assert_eq!(read.without(), publish(false).without());
    }

    #[test]
    fn who_is_left_out_is_known_on_its_own_node_only() {
        let body = encode(9, &publish(false));
        assert!(decode(8, &"a".into(), &body).unwrap().0.without().is_none());
        let body = encode(9, &publish(true));
        assert!(decode(9, &"a".into(), &body).unwrap().0.without().is_none());
    }

    #[test]
    fn what_is_no_message_is_none_and_more_fields_are_passed_over() {
        for bad in ["", "{}", "[]", r#"{"s":"a","t":1,"n":1}"#] {
            assert!(decode(1, &"a".into(), bad.as_bytes()).is_none(), "{bad}");
        }
        let later = br#"{"s":"a","t":1,"n":1,"c":null,"x":{"y":1}}"#;
        assert!(decode(1, &"a".into(), later).is_some());
    }

    #[test]
    fn what_members_of_other_nodes_say_is_counted() {
        let is_counted = |by_member, reader| {
            let body = encode(9, &Publish { is_counted: by_member, ..publish(true) });
            decode(reader, &"a".into(), &body).unwrap().0.is_counted
        };
        assert!(is_counted(true, 8), "a member of another node");
        assert!(!is_counted(true, 9) && !is_counted(false, 8) && !is_counted(false, 9));
    }
}
