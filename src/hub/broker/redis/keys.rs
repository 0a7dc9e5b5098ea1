//! The names of keys and channels in Redis.
//!
//! Owns how a room becomes a name and back. All keys of a room have one hash tag, so that they are
//! in one shard; a brace in the name of a room is escaped, so that the tag ends where it should.

use std::borrow::Cow;

use crate::hub::broker::Channel;

/// The names of one cluster of nodes: channels are the same in all databases of a Redis, and so the
/// database stands in the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(database: i64) -> Self {
        let prefix = if database == 0 { "throng".into() } else { format!("throng{database}") };
        Self { prefix }
    }

    /// The epoch and the offset of a room: a hash.
    pub(super) fn head(&self, room: &str) -> String {
        self.of(room, "head")
    }

    /// Its messages: a stream.
    pub(super) fn log(&self, room: &str) -> String {
        self.of(room, "log")
    }

    /// The place of a message that may come again: a string.
    pub(super) fn id(&self, room: &str, sender: &str, id: &str) -> String {
        self.of(room, &format!("id:{}:{sender}:{id}", sender.len()))
    }

    /// A table: a hash.
    pub(super) fn table(&self, table: &str) -> String {
        self.of(table, "table")
    }

    pub(super) fn channel(&self, channel: Channel<'_>) -> String {
        match channel {
            Channel::Room(room) => self.of(room, "live"),
            Channel::Nodes => format!("{}:nodes", self.prefix),
        }
    }

    /// The room of a channel; none for that of all nodes.
    pub(super) fn room<'a>(&self, channel: &'a str) -> Option<Cow<'a, str>> {
        let name = channel.strip_prefix(&*self.prefix)?.strip_prefix(":{")?;
        Some(unescape(name.strip_suffix("}:live")?))
    }

    fn of(&self, name: &str, what: &str) -> String {
        format!("{}:{{{}}}:{what}", self.prefix, escape(name))
    }
}

fn escape(name: &str) -> Cow<'_, str> {
    if name.contains(['{', '}', '%']) {
        name.replace('%', "%25").replace('{', "%7B").replace('}', "%7D").into()
    } else {
        name.into()
    }
}

fn unescape(name: &str) -> Cow<'_, str> {
    if name.contains('%') {
        name.replace("%7B", "{").replace("%7D", "}").replace("%25", "%").into()
    } else {
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_read_from_its_channel() {
        let names = Names::new(0);
        for room in ["lobby", "a:b", "}x", "{}", "%7B%", "ä{%25}"] {
            let channel = names.channel(Channel::Room(room));
            assert_eq!(names.room(&channel).as_deref(), Some(room), "{channel}");
            let tag = channel.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
            assert!(tag.is_some_and(|(tag, rest)| !tag.is_empty() && rest == ":live"));
        }
        assert_eq!(names.room(&names.channel(Channel::Nodes)), None);
        assert_eq!(names.room("throng:{a}:head"), None);
    }

    #[test]
    fn databases_do_not_meet() {
        let (one, other) = (Names::new(0), Names::new(3));
        assert_eq!(other.room(&one.channel(Channel::Room("a"))), None);
        assert_eq!(one.room(&other.channel(Channel::Room("a"))), None);
    }
}
