//! What a node knows of the logs: rooms, tables, and up to where it has read.
//!
//! Owns who this node is for the others, and that a log which goes on is told from another of its
//! name. It outlives a link: a node that comes back reads on where it was. Never reads or writes a
//! socket.

use std::time::Instant;

use super::entry::{Head, Stamp};
use super::fields::{FIELDS_BYTES_MAX, Fields};
use super::rooms::{MESSAGES_BYTES_MAX, Rooms};
use crate::hub::broker::BrokerError;

/// What all of this takes, in bytes, about: messages, fields, and 64 MiB for what is remembered of
/// rooms and of messages that may come again.
pub(super) const BYTES_MAX: u64 = (MESSAGES_BYTES_MAX + FIELDS_BYTES_MAX + (64 << 20)) as u64;

/// One of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    Rooms,
    Fields,
}

/// What is known of the logs.
#[derive(Debug)]
pub(super) struct Logs {
    /// Who this is: a number that is made up.
    pub(super) node: u64,
    start: Instant,
    /// How many entries it has written.
    written: u64,
    pub(super) rooms: Rooms,
    pub(super) fields: Fields,
    /// The last entry that was read of each log: its number, and what it said.
    last: [Option<(u64, Stamp)>; 2],
}

impl Log {
    pub(super) const BOTH: [Self; 2] = [Self::Rooms, Self::Fields];

    /// The stream; and by which key something is put into it.
    pub(super) const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Rooms => ("throng.rooms", "rooms"),
            Self::Fields => ("throng.fields", "fields"),
        }
    }
}

impl Logs {
    pub(super) fn new() -> Self {
        Self {
            // Without a random source the process would not have come so far.
            node: getrandom::u64().unwrap_or_default(),
            start: Instant::now(),
            written: 0,
            rooms: Rooms::default(),
            fields: Fields::default(),
            last: [None; 2],
        }
    }

    /// Nothing is known any more, but who this is.
    pub(super) fn forget(&mut self) {
        let Self { node, start, written, .. } = *self;
        *self = Self { node, start, written, ..Self::new() };
    }

    pub(super) fn time_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// What the next entry for a log says.
    pub(super) fn stamp(&mut self, log: Log) -> Stamp {
        self.written += 1;
        let read = match log {
            Log::Rooms => self.rooms.read(),
            Log::Fields => 0, // nothing there depends on it
        };
        Stamp { node: self.node, number: self.written, time_ms: self.time_ms(), read }
    }

    /// The number of the last entry that was read.
    pub(super) fn last(&self, log: Log) -> Option<u64> {
        self.last[log as usize].map(|(number, _)| number)
    }

    /// Whether this is the last entry that was read.
    pub(super) fn is_last(&self, log: Log, number: u64, entry: &[u8]) -> bool {
        let stamp = Head::read(entry).map(|(head, _)| head.stamp);
        stamp.is_some_and(|stamp| self.last[log as usize] == Some((number, stamp)))
    }

    /// Takes note of an entry that is read now; it is not one that was read before.
    pub(super) fn step(&mut self, log: Log, number: u64, stamp: Stamp) -> Result<(), BrokerError> {
        if self.last(log).is_some_and(|last| number <= last) {
            return Err(BrokerError("a log goes back".into()));
        }
        self.last[log as usize] = Some((number, stamp));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_goes_on_is_told_from_another() {
        let mut logs = Logs::new();
        let stamp = logs.stamp(Log::Rooms);
        let entry = Head::look(stamp).write(b"").unwrap();
        logs.step(Log::Rooms, 7, stamp).unwrap();
        assert!(logs.is_last(Log::Rooms, 7, &entry));
        assert!(!logs.is_last(Log::Rooms, 8, &entry) && !logs.is_last(Log::Fields, 7, &entry));
        let other = Head::look(logs.stamp(Log::Rooms)).write(b"").unwrap();
        assert!(!logs.is_last(Log::Rooms, 7, &other) && !logs.is_last(Log::Rooms, 7, b"x"));
        assert!(logs.step(Log::Rooms, 7, stamp).is_err(), "it never goes back");
        let node = logs.node;
        logs.forget();
        assert_eq!((logs.last(Log::Rooms), logs.node), (None, node));
    }
}
