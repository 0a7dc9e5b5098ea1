//! The Protobuf twin of the hub's messages: subprotocol `throng.v1.proto`.
//!
//! Owns the shape of both kinds of message, as `docs/throng.v1.proto` publishes it, and their way
//! to JSON and from it, field for field: what a message means is said once, for both. Never carries
//! a command out.
//!
//! ```
//! use throng::hub::protobuf::{Command, CommandType, Message};
//!
//! let join = Command { id: Some(1), room: Some("a".into()), ..Command::of(CommandType::Join) };
//! assert_eq!(join.encode_to_vec(), b"\x08\x01\x10\x01\x1a\x01a");
//! ```

pub use prost::Message;
use serde::de::{Deserializer, Error as _};
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::command::Fault;

/// What a client sends.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct Command {
    /// What it asks for.
    #[prost(enumeration = "CommandType", tag = "1")]
    #[serde(rename = "type", serialize_with = "write_type")]
    pub kind: i32,
    /// Comes back in the answer.
    #[prost(uint64, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The room that is meant.
    #[prost(string, optional, tag = "3")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// The user that is meant.
    #[prost(string, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What is said: one JSON value as text.
    #[prost(string, optional, tag = "5")]
    #[serde(
        rename = "content",
        serialize_with = "write_value",
        skip_serializing_if = "Option::is_none"
    )]
    pub content_json: Option<String>,
    /// Who says it, where a guest does.
    #[prost(string, optional, tag = "6")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// The number of a heartbeat.
    #[prost(uint64, optional, tag = "7")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The time of a heartbeat.
    #[prost(uint64, optional, tag = "8")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    /// Whether the sender gets its own text too.
    #[prost(bool, optional, tag = "9")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub echo: Option<bool>,
    /// A token.
    #[prost(string, optional, tag = "10")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Of messages of one key the newest matters.
    #[prost(string, optional, tag = "11")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Up to where a room is known.
    #[prost(message, optional, tag = "12")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
    /// How many messages of a history.
    #[prost(uint64, optional, tag = "13")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// The messages before this offset.
    #[prost(uint64, optional, tag = "14")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// The messages after this offset.
    #[prost(uint64, optional, tag = "15")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Tells a message that comes again from a new one.
    #[prost(string, optional, tag = "16")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// What the client had before.
    #[prost(string, optional, tag = "17")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Up to where the rooms of a session are known.
    #[prost(message, repeated, tag = "18")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rooms: Vec<Stand>,
}

/// A room, and how far it is or is known.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
pub struct Stand {
    /// The room.
    #[prost(string, tag = "1")]
    pub room: String,
    /// Which history, where it has one.
    #[prost(string, tag = "2")]
    #[serde(default)]
    pub epoch: String,
    /// Its last message.
    #[prost(uint64, tag = "3")]
    #[serde(default)]
    pub offset: u64,
}

/// A place in a room.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct Since {
    /// Which history.
    #[prost(string, tag = "1")]
    pub epoch: String,
    /// The last message that is known.
    #[prost(uint64, tag = "2")]
    pub offset: u64,
}

/// What a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CommandType {
    /// Nothing.
    Unspecified = 0,
    /// To come into a room.
    Join = 1,
    /// To go out of it.
    Leave = 2,
    /// To publish.
    Text = 3,
    /// To send to one user.
    Direct = 4,
    /// Who is there.
    Presence = 5,
    /// A sign of life.
    Heartbeat = 6,
    /// To live on with a new token.
    Refresh = 7,
    /// To be let in with a token.
    Auth = 8,
    /// What was said.
    History = 9,
    /// To have the rooms again that one had before.
    Resume = 10,
}

/// What the hub sends.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub struct Delivery {
    /// What it is.
    #[prost(enumeration = "DeliveryType", tag = "1")]
    #[serde(rename = "type", deserialize_with = "read_type")]
    pub kind: i32,
    /// That of the command.
    #[prost(uint64, optional, tag = "2")]
    pub id: Option<u64>,
    /// The room.
    #[prost(string, optional, tag = "3")]
    pub room: Option<String>,
    /// What was said: one JSON value as text.
    #[prost(string, optional, tag = "4")]
    #[serde(rename = "content", deserialize_with = "read_value")]
    pub content_json: Option<String>,
    /// Words for people, of a system message or an error.
    #[prost(string, optional, tag = "5")]
    #[serde(skip)]
    pub content: Option<String>,
    /// Who has said it, or has come or gone; in a welcome, who you are.
    #[prost(string, optional, tag = "6")]
    pub sender: Option<String>,
    /// When, in milliseconds since 1970.
    #[prost(uint64, optional, tag = "7")]
    pub timestamp: Option<u64>,
    /// What a system message tells of.
    #[prost(string, optional, tag = "8")]
    pub event: Option<String>,
    /// Who is in the room.
    #[prost(string, repeated, tag = "9")]
    pub members: Vec<String>,
    /// How many are in the room.
    #[prost(uint64, optional, tag = "10")]
    pub count: Option<u64>,
    /// What is wrong.
    #[prost(string, optional, tag = "11")]
    pub code: Option<String>,
    /// How long to wait, in milliseconds.
    #[prost(uint64, optional, tag = "12")]
    pub retry_after_ms: Option<u64>,
    /// The number of a heartbeat.
    #[prost(uint64, optional, tag = "13")]
    pub seq: Option<u64>,
    /// How many numbers before it were skipped.
    #[prost(uint64, optional, tag = "14")]
    pub lost: Option<u64>,
    /// When the token ends, in milliseconds since 1970.
    #[prost(uint64, optional, tag = "15")]
    pub expires_at: Option<u64>,
    /// The trace of the connection (W3C Trace Context).
    #[prost(string, optional, tag = "16")]
    pub traceparent: Option<String>,
    /// Which history of the room.
    #[prost(string, optional, tag = "17")]
    pub epoch: Option<String>,
    /// The place of a message in its room; how far a room is.
    #[prost(uint64, optional, tag = "18")]
    pub offset: Option<u64>,
    /// Whether `messages` are all that was missed.
    #[prost(bool, optional, tag = "19")]
    pub recovered: Option<bool>,
    /// Whether there is more of a history.
    #[prost(bool, optional, tag = "20")]
    pub more: Option<bool>,
    /// What was missed, or was asked for.
    #[prost(message, repeated, tag = "21")]
    pub messages: Vec<Delivery>,
    /// Whether the message had come before, and was not published again.
    #[prost(bool, optional, tag = "22")]
    pub duplicate: Option<bool>,
    /// When to connect anew, in milliseconds from now.
    #[prost(uint64, optional, tag = "23")]
    pub after_ms: Option<u64>,
    /// With it one can come back.
    #[prost(string, optional, tag = "24")]
    pub session: Option<String>,
    /// The rooms of a session that was resumed.
    #[prost(message, repeated, tag = "25")]
    pub rooms: Vec<Stand>,
}

/// What a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum DeliveryType {
    /// Something newer than this.
    Unspecified = 0,
    /// The first.
    Welcome = 1,
    /// Somebody has published.
    Text = 2,
    /// Somebody has sent to one user.
    Direct = 3,
    /// Somebody came or went.
    System = 4,
    /// A command was carried out.
    Ok = 5,
    /// A command was not carried out.
    Error = 6,
    /// The answer to a heartbeat.
    Heartbeat = 7,
    /// The server stops: connect anew.
    Reconnect = 8,
}

impl Command {
    /// A command of a type, and nothing else.
    pub fn of(kind: CommandType) -> Self {
        Self { kind: kind.into(), ..Self::default() }
    }
}

impl CommandType {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Text => "text",
            Self::Direct => "direct",
            Self::Presence => "presence",
            Self::Heartbeat => "heartbeat",
            Self::Refresh => "refresh",
            Self::Auth => "auth",
            Self::History => "history",
            Self::Resume => "resume",
        }
    }
}

impl DeliveryType {
    fn of(name: &str) -> Self {
        match name {
            "welcome" => Self::Welcome,
            "text" => Self::Text,
            "direct" => Self::Direct,
            "system" => Self::System,
            "ok" => Self::Ok,
            "error" => Self::Error,
            "heartbeat" => Self::Heartbeat,
            "reconnect" => Self::Reconnect,
            _ => Self::Unspecified,
        }
    }
}

/// The JSON of a command. Beside the fault stands the id to answer with, where there is one.
pub(super) fn command_to_json(message: &[u8]) -> Result<Vec<u8>, (Option<Box<RawValue>>, Fault)> {
    let unreadable = Fault::new("bad_command", "this is not one Protobuf command");
    let command = Command::decode(message).map_err(|_| (None, unreadable))?;
    serde_json::to_vec(&command).map_err(|_| {
        let id = command.id.and_then(|id| to_raw_value(&id).ok());
        (id, Fault::new("bad_json", "content_json is not one JSON value"))
    })
}

/// The Protobuf of a message that the hub has written as JSON.
pub(super) fn delivery_from_json(json: &[u8]) -> Vec<u8> {
    let mut delivery = serde_json::from_slice::<Delivery>(json).unwrap_or_else(|error| {
        tracing::error!(%error, "a message was not turned into Protobuf"); // it is our own
        Delivery::default()
    });
    if matches!(delivery.kind(), DeliveryType::System | DeliveryType::Error) {
        let words = delivery.content_json.take();
        delivery.content = words.and_then(|words| serde_json::from_str(&words).ok());
    }
    delivery.encode_to_vec()
}

fn write_type<S: Serializer>(kind: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    // A type that is newer than this is unknown.
    let kind = CommandType::try_from(*kind).unwrap_or(CommandType::Unspecified);
    serializer.serialize_str(kind.name())
}

/// Puts the value where it belongs, if it is one and no more.
fn write_value<S: Serializer>(value: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let value = value.as_deref().unwrap_or("null");
    let value: &RawValue = serde_json::from_str(value).map_err(S::Error::custom)?;
    value.serialize(serializer)
}

fn read_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    match DeliveryType::of(&name) {
        DeliveryType::Unspecified => Err(D::Error::custom("a type without a twin")),
        kind => Ok(kind.into()),
    }
}

fn read_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let value = <&RawValue>::deserialize(deserializer)?;
    Ok(Some(value.get().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::de::Visitor;
    use serde::de::value::Error;

    use super::super::{command, delivery};
    use super::*;

    /// The names of the fields that a struct is read from.
    struct Names(BTreeSet<&'static str>);

    impl<'de> Deserializer<'de> for &mut Names {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            Err(<Error as serde::de::Error>::custom("not a struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Error> {
            self.0.extend(fields);
            Err(<Error as serde::de::Error>::custom("the names are enough"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    fn names<'de, T: Deserialize<'de>>() -> BTreeSet<&'static str> {
        let mut names = Names(BTreeSet::new());
        assert!(T::deserialize(&mut names).is_err());
        names.0
    }

    fn keys(json: &[u8]) -> Vec<String> {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(json).unwrap();
        object.keys().cloned().collect()
    }

    /// Whoever gives a command or a delivery another field has to give it to its twin too.
    #[test]
    fn every_field_of_json_has_its_twin() {
        let text = || Some("x".to_owned());
        let whole = Command {
            kind: CommandType::Text.into(),
            id: Some(1),
            room: text(),
            user: text(),
            content_json: Some("1".into()),
            sender: text(),
            seq: Some(1),
            timestamp: Some(1),
            echo: Some(true),
            token: text(),
            key: text(),
            since: Some(Since::default()),
            limit: Some(1),
            before: Some(1),
            after: Some(1),
            message_id: text(),
            session: text(),
            rooms: vec![Stand::default()],
        };
        let twin = keys(&command_to_json(&whole.encode_to_vec()).unwrap());
        let twin: BTreeSet<&str> = twin.iter().map(String::as_str).collect();
        assert_eq!(twin, names::<command::Command<'_>>());
        let said: BTreeSet<String> =
            delivery::every().iter().flat_map(|json| keys(json.as_bytes())).collect();
        let said: BTreeSet<&str> = said.iter().map(String::as_str).collect();
        assert_eq!(said, names::<Delivery>());
        for json in delivery::every() {
            let delivery = Delivery::decode(&*delivery_from_json(json.as_bytes())).unwrap();
            assert_ne!(delivery.kind(), DeliveryType::Unspecified, "{json}");
        }
    }

    fn json(command: &Command) -> Result<String, &'static str> {
        let json = command_to_json(&command.encode_to_vec());
        json.map(|json| String::from_utf8(json).unwrap()).map_err(|(_, fault)| fault.code)
    }

    #[test]
    fn a_command_becomes_the_same_command() {
        let whole = Command {
            kind: CommandType::Text.into(),
            id: Some(7),
            room: Some("a\"b".into()),
            user: Some("u".into()),
            content_json: Some(r#" {"a": [1, "\u00e9"]} "#.into()),
            sender: Some("s".into()),
            seq: Some(u64::MAX),
            timestamp: Some(0),
            echo: Some(false),
            token: Some("t".into()),
            key: Some("k".into()),
            since: Some(Since { epoch: "e".into(), offset: 5 }),
            limit: Some(6),
            before: Some(7),
            after: Some(8),
            message_id: Some("m".into()),
            session: Some("s".into()),
            rooms: vec![Stand { room: "r".into(), epoch: "e".into(), offset: 9 }],
        };
        let expected = concat!(
            r#"{"type":"text","id":7,"room":"a\"b","user":"u","content":{"a": [1, "\u00e9"]},"#,
            r#""sender":"s","seq":18446744073709551615,"timestamp":0,"echo":false,"token":"t","#,
            r#""key":"k","since":{"epoch":"e","offset":5},"limit":6,"before":7,"after":8,"#,
            r#""message_id":"m","session":"s","#,
            r#""rooms":[{"room":"r","epoch":"e","offset":9}]}"#,
        );
        assert_eq!(json(&whole).as_deref(), Ok(expected));
        assert_eq!(json(&Command::default()).as_deref(), Ok(r#"{"type":""}"#));
        let newer = Command { kind: 1000, ..Command::default() };
        assert_eq!(json(&newer).as_deref(), Ok(r#"{"type":""}"#));
    }

    #[test]
    fn content_cannot_end_the_object_that_it_stands_in() {
        for bad in [r#"1,"room":"b""#, "1}", "", " ", "nul", r#"{"a":1"#, "1 2", "\u{0}"] {
            let content_json = Some(bad.into());
            let command = Command { content_json, id: Some(3), ..Command::of(CommandType::Text) };
            let (id, fault) = command_to_json(&command.encode_to_vec()).unwrap_err();
            assert_eq!((fault.code, id.unwrap().get()), ("bad_json", "3"), "{bad}");
        }
    }

    #[test]
    fn what_is_no_command_is_a_fault() {
        for bad in [&b"\xff"[..], b"\x08", b"\x1a\x05ab", b"\x1a\x01\xff", b"hello", b"{}"] {
            let (id, fault) = command_to_json(bad).unwrap_err();
            assert_eq!((fault.code, id.is_none()), ("bad_command", true), "{bad:?}");
        }
        // A field of a number that is yet unknown is passed over, as in JSON.
        let newer = b"\x08\x06\xa2\x06\x03abc";
        assert_eq!(command_to_json(newer).unwrap(), br#"{"type":"heartbeat"}"#);
    }

    #[test]
    fn words_are_told_from_content() {
        let decode = |json: &str| Delivery::decode(&*delivery_from_json(json.as_bytes())).unwrap();
        let text = decode(r#"{"type":"text","room":"a","content":"hi","sender":"s"}"#);
        assert_eq!((text.content_json.as_deref(), text.content), (Some("\"hi\""), None));
        let error = decode(r#"{"type":"error","id":4,"code":"gone","content":"it \"is\""}"#);
        assert_eq!((error.content.as_deref(), error.content_json), (Some("it \"is\""), None));
        assert_eq!((error.id, error.code.as_deref()), (Some(4), Some("gone")));
        let dropped = decode(r#"{"type":"system","event":"dropped","count":3,"content":"gone"}"#);
        assert_eq!((dropped.event.as_deref(), dropped.count), (Some("dropped"), Some(3)));
        assert_eq!(dropped.content.as_deref(), Some("gone"));
    }
}
