//! What a client may ask for: one JSON object a message.
//!
//! Owns the grammar of commands and what is said of a bad one. Never carries one out.

use std::borrow::Cow;
use std::num::NonZeroU64;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use sha1::{Digest, Sha1};

use super::history::{Since, Span};
use super::json;

/// The longest name of a room or a sender, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// The longest id of a command, in bytes as it is written.
const ID_BYTES_MAX: usize = 64;

/// The longest id of a message, in bytes.
const MESSAGE_ID_BYTES_MAX: usize = 64;

/// A command, borrowed from its message.
#[derive(Debug, Deserialize)]
pub(super) struct Command<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) room: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) user: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) sender: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) seq: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) timestamp: Option<&'a RawValue>,
    pub(super) echo: Option<bool>,
    /// Of messages of one key the newest matters: see `--room-backlog`.
    #[serde(borrow)]
    pub(super) key: Option<Cow<'a, str>>,
    /// Tells a message that comes again from a new one.
    #[serde(borrow)]
    message_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) token: Option<Cow<'a, str>>,
    /// What somebody had before.
    #[serde(borrow)]
    pub(super) session: Option<Cow<'a, str>>,
    /// Up to where the rooms of a session are known.
    #[serde(borrow)]
    pub(super) rooms: Option<&'a RawValue>,
    #[serde(borrow)]
    since: Option<&'a RawValue>,
    #[serde(borrow)]
    limit: Option<&'a RawValue>,
    #[serde(borrow)]
    before: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
}

/// As much of a command as must be right to answer it.
#[derive(Deserialize)]
struct Id<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// What a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Come into a room.
    Join,
    /// Go out of it.
    Leave,
    /// Publish.
    Text,
    /// Send to one user.
    Direct,
    /// Who is there?
    Presence,
    /// What was said?
    History,
    /// Are you there?
    Heartbeat,
    /// Go on with a new token.
    Refresh,
    /// Have the rooms again that somebody had before.
    Resume,
}

/// What is wrong with a command: a code that stays the same, and words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) content: &'static str,
    /// When it may be tried again, where time helps.
    pub(super) retry_after_ms: Option<u64>,
}

impl Fault {
    pub(super) const fn new(code: &'static str, content: &'static str) -> Self {
        Self { code, content, retry_after_ms: None }
    }

    /// More was sent than is allowed.
    pub(super) const fn rate_limited(content: &'static str, retry_after_ms: u64) -> Self {
        Self { code: "rate_limited", content, retry_after_ms: Some(retry_after_ms) }
    }

    /// Whether the sender could have known better. What depends on others is nobody's fault, and
    /// who sends too fast is counted with the messages.
    pub(super) fn is_of_sender(&self) -> bool {
        let ours = [Self::OVERLOADED, Self::STORE_UNAVAILABLE, Self::SINK_FULL, Self::DEGRADED];
        let is_ours = ours.iter().any(|fault| fault.code == self.code);
        !is_ours && self.retry_after_ms.is_none()
    }

    /// Not everyone could be told: nobody's fault but the server's.
    pub(super) const OVERLOADED: Self = Self::new("overloaded", "not everyone may have got it");

    /// What must be on the disk cannot be written there now.
    pub(super) const STORE_UNAVAILABLE: Self =
        Self::new("store_unavailable", "the history of this room cannot be reached now");

    /// What must be handed to another service has nowhere to wait.
    pub(super) const SINK_FULL: Self =
        Self::new("sink_full", "another service has yet to take what was said before");
    /// The other nodes cannot be reached now.
    pub(super) const DEGRADED: Self =
        Self::new("degraded", "this node is alone: only its members have got it");

    /// The way to the other nodes has broken in between.
    pub(super) const UNCERTAIN: Self =
        Self::new("degraded", "it is not known whether this was published: look at the history");
}

impl<'a> Command<'a> {
    /// Reads a command. Beside the fault stands the id to answer with, where there is one.
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, (Option<&'a RawValue>, Fault)> {
        // What is read into fields below would take a list for them too.
        let is_object = message.trim_ascii_start().starts_with(b"{");
        if !is_object || !json::is_valid(message) {
            return Err((None, Fault::new("bad_json", "this is not one JSON object")));
        }
        serde_json::from_slice::<Self>(message).map_err(|_| {
            let fault = Fault::new("bad_command", "a field is missing or of the wrong kind");
            (only_id(message), fault)
        })
    }

    /// The id of a command that is not read, where it has one to answer with.
    pub(super) fn id_of(message: &'a [u8]) -> Option<&'a RawValue> {
        let is_object = message.trim_ascii_start().starts_with(b"{");
        let id = is_object.then(|| only_id(message)).flatten();
        id.filter(|id| json::is_valid(id.get().as_bytes()))
    }

    pub(super) fn kind(&self) -> Result<Kind, Fault> {
        match &*self.kind {
            "join" => Ok(Kind::Join),
            "leave" => Ok(Kind::Leave),
            "text" => Ok(Kind::Text),
            "direct" => Ok(Kind::Direct),
            "presence" => Ok(Kind::Presence),
            "history" => Ok(Kind::History),
            "heartbeat" => Ok(Kind::Heartbeat),
            "refresh" => Ok(Kind::Refresh),
            "resume" => Ok(Kind::Resume),
            _ => Err(Fault::new("unknown_type", "there is no command of this type")),
        }
    }

    /// The id to answer with: a number or a short string.
    pub(super) fn id(&self) -> Option<&'a RawValue> {
        self.id.filter(|id| is_scalar(id))
    }

    /// What the message stands for in its room: newer ones of the same key take its place where a
    /// member reads too slowly.
    pub(super) fn key(&self, room: &str) -> Result<Option<NonZeroU64>, Fault> {
        let Some(key) = self.key.as_deref() else { return Ok(None) };
        // The same on all nodes. Half of a cryptographic hash: nobody finds a key that takes the
        // place of another's. A name has no zero in it.
        let hash = Sha1::new().chain_update(room).chain_update([0]).chain_update(check_name(key)?);
        let half = hash.finalize().first_chunk().map_or(1, |half| u64::from_be_bytes(*half));
        Ok(NonZeroU64::new(half.max(1)))
    }

    /// The id by which the message is known where it comes again.
    pub(super) fn message_id(&self) -> Result<Option<&str>, Fault> {
        self.message_id.as_deref().map(check_message_id).transpose()
    }

    /// Up to where the client knows the room.
    pub(super) fn since(&self) -> Result<Option<Since>, Fault> {
        let parse = |since: &RawValue| {
            let fault = Fault::new("bad_command", "since is {\"epoch\":\"..\",\"offset\":N}");
            Since::parse(since.get()).ok_or(fault)
        };
        self.since.map(parse).transpose()
    }

    /// Which piece of history is asked for.
    pub(super) fn span(&self) -> Result<Span, Fault> {
        match (self.before, self.after) {
            (None, None) => Ok(Span::Newest),
            (Some(before), None) => Ok(Span::Before(whole(before)?)),
            (None, Some(after)) => Ok(Span::After(whole(after)?)),
            (Some(_), Some(_)) => Err(Fault::new("bad_command", "before, or after")),
        }
    }

    /// How many messages are asked for.
    pub(super) fn limit(&self) -> Result<Option<u64>, Fault> {
        self.limit.map(whole).transpose()
    }

    /// The number of a heartbeat, where it is one.
    pub(super) fn heartbeat_seq(&self) -> Option<u64> {
        self.seq?.get().parse().ok()
    }
}

/// The id of what is an object in JSON, whatever else stands in it.
fn only_id(message: &[u8]) -> Option<&RawValue> {
    let id = serde_json::from_slice::<Id<'_>>(message).ok()?.id;
    id.filter(|id| is_scalar(id))
}

/// A whole number that is not negative.
fn whole(number: &RawValue) -> Result<u64, Fault> {
    let fault = Fault::new("bad_command", "limit, before and after are whole numbers");
    number.get().parse().map_err(|_| fault)
}

/// A value that is there, `null` too: anything may be said.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Whether an id is a number or a short string.
fn is_scalar(id: &RawValue) -> bool {
    let is_start = |first: char| first == '"' || first == '-' || first.is_ascii_digit();
    id.get().starts_with(is_start) && id.get().len() <= ID_BYTES_MAX
}

/// Checks the name of a room or a sender: not empty, at most 128 bytes, no control characters.
pub(super) fn check_name(name: &str) -> Result<&str, Fault> {
    if name.is_empty() {
        Err(Fault::new("bad_name", "a name is empty"))
    } else if name.len() > NAME_BYTES_MAX {
        Err(Fault::new("bad_name", "a name is longer than 128 bytes"))
    } else if name.chars().any(char::is_control) {
        Err(Fault::new("bad_name", "a name has a control character"))
    } else {
        Ok(name)
    }
}

/// Checks the id of a message: not empty, at most 64 bytes, no control characters.
pub(super) fn check_message_id(id: &str) -> Result<&str, Fault> {
    if id.is_empty() || id.len() > MESSAGE_ID_BYTES_MAX || id.chars().any(char::is_control) {
        let content = "message_id has 1 to 64 bytes and no control characters";
        return Err(Fault::new("bad_command", content));
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(message: &str) -> &'static str {
        let command = Command::parse(message.as_bytes()).map_err(|(_, fault)| fault);
        match command.and_then(|command| command.kind()) {
            Ok(_) => "ok",
            Err(fault) => fault.code,
        }
    }

    #[test]
    fn each_fault_has_its_code() {
        assert_eq!(fault(r#"{"type":"text","content":"hi"}"#), "ok");
        assert_eq!(fault(r#"{"type":"te\u0078t","content":{"any":[1]}}"#), "ok");
        assert_eq!(fault(r#"{"type":"text","content":null}"#), "ok");
        assert_eq!(fault(r#"{"type":"fly"}"#), "unknown_type");
        assert_eq!(fault("{}"), "bad_command");
        assert_eq!(fault(r#"{"type":7}"#), "bad_command");
        assert_eq!(fault("hello"), "bad_json");
        assert_eq!(fault(r#"["text",null,"lobby"]"#), "bad_json");
        assert_eq!(fault(r#"{"type":"text"} x"#), "bad_json");
        let deep =
            format!(r#"{{"type":"text","content":{}{}}}"#, "[".repeat(9999), "]".repeat(9999));
        assert_eq!(fault(&deep), "bad_json");
    }

    #[test]
    fn an_id_is_a_scalar() {
        let id = |message: &'static str| {
            Command::parse(message.as_bytes()).unwrap().id().map(RawValue::get)
        };
        assert_eq!(id(r#"{"type":"text","id":7}"#), Some("7"));
        assert_eq!(id(r#"{"type":"text","id":"a"}"#), Some(r#""a""#));
        assert_eq!(id(r#"{"type":"text","id":[1]}"#), None);
        assert_eq!(id(r#"{"type":"text"}"#), None);
    }

    #[test]
    fn a_bad_command_is_answered_with_its_id() {
        let id = |message: &'static str| match Command::parse(message.as_bytes()) {
            Ok(command) => command.id().map(RawValue::get),
            Err((id, _)) => id.map(RawValue::get),
        };
        assert_eq!(id(r#"{"type":7,"id":"x"}"#), Some(r#""x""#));
        assert_eq!(id(r#"{"type":"text","room":[],"id":3}"#), Some("3"));
        assert_eq!(id(r#"{"type":7,"id":{"x":1}}"#), None);
        assert_eq!(id(r#"{"type":7,"id":1,"id":2}"#), None);
        assert_eq!(id(r#"[1]"#), None);
    }

    #[test]
    fn the_id_is_found_without_reading_the_rest() {
        let id = |message: &'static str| Command::id_of(message.as_bytes()).map(RawValue::get);
        assert_eq!(id(r#" {"type":"text","content":[1,{"id":2}],"id":7}"#), Some("7"));
        assert_eq!(id(r#"{"id":"a"}"#), Some(r#""a""#));
        for none in [r#"[7]"#, "7", "{", "", r#"{"id":[1]}"#, r#"{"id":"\ud800"}"#, r#"{"id":1"#] {
            assert_eq!(id(none), None, "{none}");
        }
    }

    #[test]
    fn names_are_checked() {
        assert!(check_name("café ☕").is_ok());
        assert!(check_name("").is_err());
        assert!(check_name("a\nb").is_err());
        assert!(check_name(&"x".repeat(129)).is_err());
    }
}
