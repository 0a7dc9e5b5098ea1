//! What is said over RabbitMQ without a place, and kept nowhere.
//!
//! Owns how it is written, and by which key it is handed on: each node has a queue of its own,
//! bound to the keys of what it follows. A key has 255 bytes at most; a room of a longer name is
//! known by its hash, and the name stands in what is said. Never sends anything.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::hub::broker::{Channel, News};

/// A name that is longer is known by its hash.
const NAME_BYTES_MAX: usize = 200;

/// The line before what is said.
#[derive(Deserialize, Serialize)]
struct Head<'a> {
    /// The room; none where it is for all nodes.
    #[serde(rename = "r", borrow, default, skip_serializing_if = "Option::is_none")]
    room: Option<Cow<'a, str>>,
}

/// By what it is handed on.
pub(super) fn key(channel: Channel<'_>) -> Cow<'_, str> {
    match channel {
        Channel::Nodes => "nodes".into(),
        Channel::Room(room) if room.len() <= NAME_BYTES_MAX => format!("room.{room}").into(),
        Channel::Room(room) => {
            let mut key = String::from("hash.");
            for byte in Sha256::digest(room.as_bytes()) {
                let _ = write!(key, "{byte:02x}"); // a String takes all
            }
            key.into()
        }
    }
}

pub(super) fn write(channel: Channel<'_>, body: &[u8]) -> Vec<u8> {
    let room = match channel {
        Channel::Room(room) => Some(room.into()),
        Channel::Nodes => None,
    };
    let mut said = serde_json::to_vec(&Head { room }).unwrap_or_default(); // a text always can be
    said.push(b'\n');
    said.extend_from_slice(body);
    said
}

/// Reads what was said; none where it is not ours.
pub(super) fn read(said: &[u8]) -> Option<News> {
    let end = said.iter().position(|byte| *byte == b'\n')?;
    let head: Head<'_> = serde_json::from_slice(&said[..end]).ok()?;
    let room = head.room.map(|room| Arc::from(&*room));
    Some(News::Said { room, body: said[end + 1..].into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_read_as_it_was_written() {
        for room in ["a", "", "a\nb \"c\""] {
            let news = read(&write(Channel::Room(room), b"x\ny"));
            let body = b"x\ny"[..].into();
            assert_eq!(news, Some(News::Said { room: Some(room.into()), body }));
        }
        let news = read(&write(Channel::Nodes, b""));
        assert_eq!(news, Some(News::Said { room: None, body: b""[..].into() }));
        for bad in [&b""[..], b"{}", b"x\n"] {
            assert_eq!(read(bad), None);
        }
    }

    #[test]
    fn each_channel_has_a_key_of_its_own() {
        let long = ["a".repeat(1000), "a".repeat(999)];
        let rooms = ["", "nodes", "a", &long[0], &long[1]];
        let mut keys: Vec<_> = rooms.iter().map(|room| key(Channel::Room(room))).collect();
        keys.push(key(Channel::Nodes));
        assert!(keys.iter().all(|key| key.len() <= 255));
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), rooms.len() + 1);
    }
}
