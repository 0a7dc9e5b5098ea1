//! An entry of a log: what a node wants done, as it stands in a stream.
//!
//! Owns how it is written: a line of JSON with short names, since a person may look at it, and
//! after it the message or the value as it is. What a node does not understand, such as a field of
//! a later version, it passes over. Never decides what becomes of an entry.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::hub::broker::{BrokerError, MessageId, Place};
use crate::hub::history::{Epoch, Position};

/// What all entries say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Stamp {
    /// Who has written it.
    #[serde(rename = "n")]
    pub(super) node: u64,
    /// The how many-th of it this is.
    #[serde(rename = "i")]
    pub(super) number: u64,
    /// Its time, in milliseconds since it has started.
    #[serde(rename = "t")]
    pub(super) time_ms: u64,
    /// Up to where it had read the log: the number of the first entry that it had not.
    #[serde(rename = "l")]
    pub(super) read: u64,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) enum Kind {
    /// Nothing: who has written it wants to know how far the log is.
    #[serde(rename = "look")]
    Look,
    /// A message gets its place.
    #[serde(rename = "message")]
    Message,
    /// A room begins, if it is not there.
    #[serde(rename = "open")]
    Open,
    /// A field is put into a table.
    #[serde(rename = "put")]
    Put,
    /// It is taken out.
    #[serde(rename = "remove")]
    Remove,
}

/// An epoch and an offset.
type Written = (Cow<'static, str>, u64);

/// The line of an entry.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Head<'a> {
    #[serde(rename = "k")]
    pub(super) kind: Kind,
    #[serde(flatten)]
    pub(super) stamp: Stamp,
    /// The room, or the table.
    #[serde(rename = "r", borrow, default, skip_serializing_if = "str::is_empty")]
    pub(super) name: Cow<'a, str>,
    /// How far the room was for who has written it; none where it was not there.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    base: Option<Written>,
    /// Up to where it has told its members.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    known: Option<Written>,
    /// The epoch, where the room begins now.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    fresh: Option<Cow<'static, str>>,
    /// How many messages are kept.
    #[serde(rename = "m", default, skip_serializing_if = "is_default")]
    pub(super) messages_max: usize,
    /// Who has said a message that may come again.
    #[serde(rename = "s", borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) sender: Option<Cow<'a, str>>,
    /// What the sender calls it; or the field of a table.
    #[serde(rename = "d", borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Cow<'a, str>>,
    /// For how long a field is there, in milliseconds.
    #[serde(rename = "x", default, skip_serializing_if = "is_default")]
    pub(super) lease_ms: u64,
}

impl<'a> Head<'a> {
    pub(super) const fn look(stamp: Stamp) -> Self {
        Self {
            kind: Kind::Look,
            stamp,
            name: Cow::Borrowed(""),
            base: None,
            known: None,
            fresh: None,
            messages_max: 0,
            sender: None,
            id: None,
            lease_ms: 0,
        }
    }

    /// A message, or none where the room is only to begin.
    pub(super) fn of_room(
        stamp: Stamp,
        kind: Kind,
        place: Place<'a>,
        base: Option<Position>,
        id: Option<MessageId<'a>>,
    ) -> Self {
        Self {
            kind,
            name: place.room.into(),
            base: base.map(written),
            known: place.known.map(written),
            fresh: Some(place.fresh.to_string().into()),
            messages_max: place.keep.messages_max,
            sender: id.map(|id| id.sender.into()),
            id: id.map(|id| id.id.into()),
            ..Self::look(stamp)
        }
    }

    pub(super) fn of_field(
        stamp: Stamp,
        kind: Kind,
        table: &'a str,
        field: &'a str,
        lease: Duration,
    ) -> Self {
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let (name, id) = (table.into(), Some(field.into()));
        Self { kind, name, id, lease_ms, ..Self::look(stamp) }
    }

    pub(super) fn base(&self) -> Option<Position> {
        self.base.as_ref().and_then(read)
    }

    pub(super) fn known(&self) -> Option<Position> {
        self.known.as_ref().and_then(read)
    }

    pub(super) fn fresh(&self) -> Epoch {
        self.fresh.as_ref().and_then(|epoch| epoch.parse().ok()).unwrap_or(Epoch(0))
    }

    /// Says the same as of another place that was read up to.
    pub(super) fn restate(&mut self, read: u64, base: Option<Position>) {
        self.stamp.read = read;
        self.base = base.map(written);
    }

    /// The same, without a borrow.
    pub(super) fn into_owned(self) -> Head<'static> {
        let owned = |text: Cow<'a, str>| Cow::<'static, str>::Owned(text.into_owned());
        Head {
            kind: self.kind,
            stamp: self.stamp,
            name: owned(self.name),
            base: self.base,
            known: self.known,
            fresh: self.fresh,
            messages_max: self.messages_max,
            sender: self.sender.map(owned),
            id: self.id.map(owned),
            lease_ms: self.lease_ms,
        }
    }

    /// The entry: this, and what comes after it.
    pub(super) fn write(&self, body: &[u8]) -> Result<Vec<u8>, BrokerError> {
        let mut entry = serde_json::to_vec(self).map_err(|error| BrokerError(error.to_string()))?;
        entry.push(b'\n');
        entry.extend_from_slice(body);
        Ok(entry)
    }

    /// Reads an entry; none where it is not ours.
    pub(super) fn read(entry: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let end = entry.iter().position(|byte| *byte == b'\n')?;
        let head = serde_json::from_slice(&entry[..end]).ok()?;
        Some((head, &entry[end + 1..]))
    }
}

fn written(position: Position) -> Written {
    (position.epoch.to_string().into(), position.offset)
}

fn read((epoch, offset): &Written) -> Option<Position> {
    Some(Position { epoch: epoch.parse().ok()?, offset: *offset })
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::history::Keep;

    const STAMP: Stamp = Stamp { node: u64::MAX, number: 2, time_ms: 3, read: 4 };

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let known = Position { epoch: Epoch(5), offset: u64::MAX };
        let room = "a \"b\"\n";
        let place = Place { room, keep: &Keep::default(), known: Some(known), fresh: Epoch(7) };
        let id = MessageId { sender: "ann\n", id: "m", window: Duration::ZERO };
        let head = Head::of_room(STAMP, Kind::Message, place, Some(known), Some(id));
        let entry = head.write(b"one\ntwo").unwrap();
        let (read, body) = Head::read(&entry).unwrap();
        assert_eq!(
            (read.kind, read.stamp, &*read.name, body),
            (Kind::Message, STAMP, room, &b"one\ntwo"[..])
        );
        assert_eq!((read.base(), read.known(), read.fresh()), (Some(known), Some(known), Epoch(7)));
        assert_eq!((read.sender.as_deref(), read.id.as_deref()), (Some("ann\n"), Some("m")));
        assert_eq!(read.messages_max, 100);
        let look = Head::look(STAMP).write(b"").unwrap();
        assert_eq!(look, b"{\"k\":\"look\",\"n\":18446744073709551615,\"i\":2,\"t\":3,\"l\":4}\n");
    }

    #[test]
    fn what_is_no_entry_is_none_and_more_fields_are_passed_over() {
        for bad in ["", "{}", "{}\n", "x\n", r#"{"k":"other","n":1,"i":1,"t":1,"l":1}"#] {
            assert!(Head::read(bad.as_bytes()).is_none(), "{bad}");
        }
        let later = b"{\"k\":\"look\",\"n\":1,\"i\":1,\"t\":1,\"l\":1,\"y\":[{}]}\n";
        assert!(Head::read(later).is_some());
    }
}
