//! The scripts that Redis runs for the nodes.
//!
//! Owns their text, and what is said to each. What stands between two nodes stands here alone.

use std::time::Duration;

use redis::{Cmd, Script};

use super::keys::Names;
use crate::hub::broker::{Channel, MessageId, Piece, Place};
use crate::hub::history::Span;

/// How much longer a room is known than its messages are kept, in milliseconds: so long a room in
/// which nothing is said has its epoch.
const HEAD_MS: u64 = 24 * 60 * 60 * 1000;

const PUBLISH: &str = include_str!("publish.lua");
const READ: &str = include_str!("read.lua");
const PUT: &str = include_str!("put.lua");
const LIST: &str = include_str!("list.lua");

/// All scripts.
pub(super) struct Scripts {
    publish: Script,
    read: Script,
    put: Script,
    list: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            publish: Script::new(PUBLISH),
            read: Script::new(READ),
            put: Script::new(PUT),
            list: Script::new(LIST),
        }
    }

    /// What makes them known to a Redis.
    pub(super) fn load() -> [Cmd; 4] {
        [PUBLISH, READ, PUT, LIST].map(|text| {
            let mut cmd = redis::cmd("SCRIPT");
            cmd.arg("LOAD").arg(text);
            cmd
        })
    }

    /// The place is that of the first message.
    pub(super) fn publish<'a>(
        &self,
        names: &Names,
        place: Place<'_>,
        messages: impl Iterator<Item = (Option<MessageId<'a>>, &'a [u8])> + Clone,
    ) -> Cmd {
        let ids = messages.clone().filter_map(|(id, _)| id);
        let seen = ids.map(|id| names.id(place.room, id.sender, id.id));
        let mut cmd = begin(&self.publish, names, place, seen);
        let age_ms = age_ms(place);
        cmd.arg(place.keep.messages_max).arg(age_ms.saturating_add(HEAD_MS)).arg(age_ms);
        cmd.arg(names.channel(Channel::Room(place.room)));
        for (id, body) in messages {
            cmd.arg(body).arg(id.map_or(0, |id| millis(id.window)));
        }
        cmd
    }

    pub(super) fn read(&self, names: &Names, place: Place<'_>, piece: Piece) -> Cmd {
        let mut cmd = begin(&self.read, names, place, None);
        cmd.arg(u8::from(piece.opens)).arg(age_ms(place).saturating_add(HEAD_MS));
        match piece.span {
            Span::Newest => cmd.arg("down").arg("+"),
            // Nothing is before the first.
            Span::Before(0 | 1) => cmd.arg("down").arg("0-1"),
            Span::Before(offset) => cmd.arg("down").arg(format!("({offset}-0")),
            Span::After(offset) => cmd.arg("up").arg(format!("({offset}-0")),
        };
        cmd.arg(piece.messages_max).arg(piece.bytes_max);
        cmd
    }

    pub(super) fn put(
        &self,
        names: &Names,
        table: &str,
        field: &str,
        lease: Duration,
        value: &[u8],
    ) -> Cmd {
        let mut cmd = call(&self.put, &[names.table(table)]);
        cmd.arg(field).arg(millis(lease)).arg(value);
        cmd
    }

    pub(super) fn list(&self, names: &Names, table: &str) -> Cmd {
        call(&self.list, &[names.table(table)])
    }
}

/// A call about a room: what all scripts about one are told first.
fn begin(
    script: &Script,
    names: &Names,
    place: Place<'_>,
    more: impl IntoIterator<Item = String>,
) -> Cmd {
    let keys = [names.head(place.room), names.log(place.room)].into_iter().chain(more);
    let mut cmd = call(script, &keys.collect::<Vec<_>>());
    let known = place.known.map_or_else(
        || (String::new(), 0),
        |position| (position.epoch.to_string(), position.offset),
    );
    cmd.arg(place.fresh.to_string()).arg(known.0).arg(known.1);
    cmd
}

fn call(script: &Script, keys: &[String]) -> Cmd {
    let mut cmd = redis::cmd("EVALSHA");
    cmd.arg(script.get_hash()).arg(keys.len()).arg(keys);
    cmd
}

/// How long messages are kept: at least a second, at most what Redis takes.
fn age_ms(place: Place<'_>) -> u64 {
    millis(place.keep.age).max(1000)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 50)
}
