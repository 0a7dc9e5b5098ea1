//! What is known of every message: who was told what about it.
//!
//! Owns the one order of each room, put together from what anybody sees. Whoever sees another order
//! has found a fault.

use std::collections::{BTreeMap, BTreeSet};

use crate::rooms::{ROOMS, Room};

/// How many ids each connection has.
pub const IDS_PER_LINK: u64 = 1_000_000;

/// The places of one room, in one of its epochs.
#[derive(Default)]
struct Log {
    /// For each offset, the message.
    messages: BTreeMap<u64, u64>,
    /// For each message, the offset.
    offsets: BTreeMap<u64, u64>,
}

/// A message, as it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub room: usize,
    /// Whether its sender gets it too.
    pub has_echo: bool,
    /// Whether it has an id, and is sent twice.
    pub comes_again: bool,
}

#[derive(Default)]
pub struct Truth {
    /// By room and epoch.
    logs: BTreeMap<(usize, u64), Log>,
    sent: BTreeMap<u64, Sent>,
    refused: BTreeSet<u64>,
    /// What was acknowledged in rooms of the store, and at which offset.
    stored: BTreeMap<u64, (usize, u64)>,
    /// A message that was refused may be there all the same: the store fails behind the write.
    is_lax: bool,
}

impl Truth {
    pub fn new(is_lax: bool) -> Self {
        Self { is_lax, ..Self::default() }
    }

    pub fn send(&mut self, id: u64, sent: Sent) {
        self.sent.insert(id, sent);
    }

    pub fn sent(&self, id: u64) -> Option<Sent> {
        self.sent.get(&id).copied()
    }

    pub fn sent_to(&self, id: u64) -> Option<usize> {
        self.sent(id).map(|sent| sent.room)
    }

    pub fn is_refused(&self, id: u64) -> bool {
        self.refused.contains(&id)
    }

    /// A publisher was told that nothing came of it.
    pub fn refuse(&mut self, room: usize, id: u64) -> Result<(), String> {
        self.refused.insert(id);
        let logs = self.logs.range((room, 0)..=(room, u64::MAX));
        match logs.into_iter().any(|(_, log)| log.offsets.contains_key(&id)) {
            true if !self.is_lax => Err(format!("{id} was refused, and seen")),
            _ => Ok(()),
        }
    }

    /// A publisher was told that it is kept.
    pub fn store(&mut self, room: usize, offset: u64, id: u64) {
        self.stored.insert(id, (room, offset));
    }

    /// Somebody sees a message at its place.
    pub fn see(&mut self, room: usize, epoch: u64, offset: u64, id: u64) -> Result<(), String> {
        if self.sent_to(id) != Some(room) {
            return Err(format!("{id} was never sent to {}", Room::name(room)));
        }
        if self.refused.contains(&id) && !self.is_lax {
            return Err(format!("{id} was refused, and is seen"));
        }
        let log = self.logs.entry((room, epoch)).or_default();
        let at = format!("at {offset} of {} in {epoch:x}", Room::name(room));
        match log.messages.insert(offset, id) {
            Some(other) if other != id => return Err(format!("{id} and {other} {at}")),
            Some(_) => return Ok(()),
            None => {}
        }
        if let Some(other) = log.offsets.insert(id, offset) {
            return Err(format!("{id} {at} and at {other}"));
        }
        // What one connection says comes in the order in which it says it.
        let first = id - id % IDS_PER_LINK;
        let before = log.offsets.range(first..id).next_back();
        let after = log.offsets.range(id + 1..first + IDS_PER_LINK).next();
        let is_late = before.is_some_and(|(_, before)| *before > offset);
        if is_late || after.is_some_and(|(_, after)| *after < offset) {
            return Err(format!("{id} {at}, out of the order of its sender"));
        }
        Ok(())
    }

    /// Where somebody has seen what: room, epoch, offset and message.
    pub fn places(&self) -> impl Iterator<Item = (usize, u64, u64, u64)> {
        let of_log = |((room, epoch), log): (&(usize, u64), &Log)| {
            let (room, epoch) = (*room, *epoch);
            let places = log.messages.iter().map(move |(at, id)| (room, epoch, *at, *id));
            places.collect::<Vec<_>>()
        };
        self.logs.iter().flat_map(of_log)
    }

    /// The last offset that anybody has seen in an epoch of a room.
    pub fn last(&self, room: usize, epoch: u64) -> u64 {
        let log = self.logs.get(&(room, epoch));
        log.and_then(|log| log.messages.last_key_value()).map_or(0, |(offset, _)| *offset)
    }

    /// Whether all that was acknowledged, or seen, stands in the store, and nothing else does.
    pub fn audit(&self, kept: &BTreeMap<String, Vec<u64>>, epoch: u64) -> Result<(), String> {
        for room in (0..ROOMS).filter(|room| Room::of(*room).is_durable()) {
            let name = Room::name(room);
            let rows = kept.get(name).map_or(&[][..], Vec::as_slice);
            let at = |offset: u64| rows.get(usize::try_from(offset).ok()?.checked_sub(1)?).copied();
            for (id, (_, offset)) in self.stored.iter().filter(|(_, (of, _))| *of == room) {
                if at(*offset) != Some(*id) {
                    return Err(format!(
                        "{id} was acknowledged at {offset} of {name}, and is lost"
                    ));
                }
            }
            let seen = self.logs.get(&(room, epoch)).into_iter().flat_map(|log| &log.messages);
            for (offset, id) in seen {
                if at(*offset) != Some(*id) {
                    return Err(format!("{id} was seen at {offset} of {name}, and is lost"));
                }
            }
            let unique: BTreeSet<_> = rows.iter().collect();
            if unique.len() != rows.len() {
                return Err(format!("a message stands twice in {name}"));
            }
            if rows.iter().any(|id| self.sent_to(*id) != Some(room)) {
                return Err(format!("{name} holds what was never sent there"));
            }
        }
        Ok(())
    }
}
