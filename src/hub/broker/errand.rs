//! What a node tells the others of its members, and has the broker keep of them.
//!
//! Owns how that is written: JSON with short names, as messages are, and the names of the tables.
//! What a node does not understand it passes over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Channel, Request};

/// The table of the nodes that live: a field for each.
const NODES: &str = "nodes";

/// Names, and how many of each.
pub(super) type Names = BTreeMap<Box<str>, i64>;

/// Something that presence wants done by the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// Tell those who follow a room.
    Say { room: Arc<str>, body: Vec<u8> },
    /// Keep something for a while.
    Put { table: String, field: String, value: Vec<u8>, lease: Duration },
    /// Keep it no longer.
    Remove { table: String, field: String },
    /// Read who is in a room, by node; or which nodes there are.
    List { room: Option<Arc<str>>, table: String },
}

/// Something that has changed among the members of a node in a room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Delta {
    /// The process that they are members of.
    #[serde(rename = "n")]
    pub(super) instance: u64,
    /// The version of its table before this; 0 where there was none.
    #[serde(rename = "f")]
    pub(super) from: u64,
    /// And after it.
    #[serde(rename = "v")]
    pub(super) version: u64,
    /// Names, and how many more of each.
    #[serde(rename = "c")]
    pub(super) changes: Names,
}

/// What is kept of the members of a node in a room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Content {
    #[serde(rename = "v")]
    pub(super) version: u64,
    /// Names, and how many of each.
    #[serde(rename = "m")]
    pub(super) names: Names,
}

/// So that it is told from a message.
#[derive(Deserialize, Serialize)]
struct Said<D> {
    #[serde(rename = "p")]
    delta: D,
}

impl Errand {
    /// As the broker is asked.
    pub(super) fn request(&self) -> Request<'_> {
        match self {
            Self::Say { room, body } => Request::Say { on: Channel::Room(room), body },
            Self::Put { table, field, value, lease } => {
                Request::Put { table, field, value, lease: *lease }
            }
            Self::Remove { table, field } => Request::Remove { table, field },
            Self::List { table, .. } => Request::List { table },
        }
    }

    pub(super) fn say(room: &Arc<str>, delta: &Delta) -> Self {
        Self::Say { room: Arc::clone(room), body: write(&Said { delta }) }
    }

    /// Has the members of a node in a room kept.
    pub(super) fn put(room: &str, instance: u64, content: &Content, lease: Duration) -> Self {
        Self::Put { table: table(room), field: field(instance), value: write(content), lease }
    }

    pub(super) fn remove(room: &str, instance: u64) -> Self {
        Self::Remove { table: table(room), field: field(instance) }
    }

    pub(super) fn list(room: &Arc<str>) -> Self {
        Self::List { room: Some(Arc::clone(room)), table: table(room) }
    }

    /// Says that a node lives, and what it is called.
    pub(super) fn beat(instance: u64, name: &str, lease: Duration) -> Self {
        let (table, field, value) = (NODES.into(), field(instance), name.into());
        Self::Put { table, field, value, lease }
    }

    /// Says that a node lives no longer.
    pub(super) fn leave(instance: u64) -> Self {
        Self::Remove { table: NODES.into(), field: field(instance) }
    }

    pub(super) fn list_nodes() -> Self {
        Self::List { room: None, table: NODES.into() }
    }
}

impl Delta {
    /// What was said in a room, if it is one.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        if !body.starts_with(b"{\"p\":") {
            return None; // most are messages
        }
        serde_json::from_slice::<Said<Self>>(body).ok().map(|said| said.delta)
    }
}

impl Content {
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }
}

/// The room whose members a table is about.
pub(super) fn room_of(table: &str) -> Option<&str> {
    table.strip_prefix("members:")
}

/// The process that a field of a table is about.
pub(super) fn instance_of(field: &str) -> Option<u64> {
    u64::from_str_radix(field, 16).ok()
}

fn table(room: &str) -> String {
    format!("members:{room}")
}

fn field(instance: u64) -> String {
    format!("{instance:016x}")
}

fn write(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|error| {
        tracing::error!(%error, "presence was not written"); // strings and numbers always can be
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delta_is_read_as_it_was_written_and_no_message_is_one() {
        let changes = [("ann \"x\"".into(), 2), ("bob".into(), -1)].into();
        let delta = Delta { instance: u64::MAX, from: 3, version: 4, changes };
        let Errand::Say { body, .. } = Errand::say(&"a".into(), &delta) else { panic!() };
        assert_eq!(Delta::read(&body), Some(delta));
        for other in [r#"{"s":"a","t":1,"n":1,"c":null}"#, "", "[]", r#"{"p":1}"#] {
            assert_eq!(Delta::read(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_field_names_its_process() {
        for instance in [0, 7, u64::MAX] {
            assert_eq!(instance_of(&field(instance)), Some(instance));
        }
        assert_eq!(instance_of("node-1"), None);
    }
}
