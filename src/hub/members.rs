//! The members of one loop: everybody who speaks to the hub.
//!
//! Owns what is kept of each, and the way from a user's name to all connections of that user. A
//! user costs four bytes in a table: the connections of one are chained to each other. Never sends,
//! never knows a room's members.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use slab::Slab;

use super::auth::{Identity, Priority};
use super::door::Pass;
use super::seats::Seats;
use super::trace::Trace;
use super::wire::Wire;
use crate::net::ConnectionId;

/// How many members the table has room for from the start: it is mapped as pages of its own, which
/// cost nothing until they are used and move without a copy.
const TABLE_START: usize = 4096;

const NONE: u32 = u32::MAX;

/// Somebody who speaks to the hub, by one connection.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: ConnectionId,
    pub(super) name: Box<str>,
    pub(super) seats: Seats,
    pub(super) home: Home,
    /// Others of the same name.
    next: u32,
    previous: u32,
    /// The low half of the number that its last heartbeat had, if there was one.
    heartbeat: u32,
    has_heartbeat: bool,
    faults: Faults,
    /// When it came, in seconds since 1970.
    pub(super) opened_s: u32,
    /// Whether the name was made up, so that a message may bring another.
    pub(super) is_guest: bool,
    /// The form in which it speaks.
    pub(super) wire: Wire,
    /// What the door has kept of it.
    pub(super) pass: Option<Box<Pass>>,
}

// An idle connection in one room takes at most 256 bytes: see docs/performance.md.
const _: () = assert!(size_of::<Member>() <= 88);

/// The room that is meant where none is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// The lobby, which is joined when it is first spoken in.
    Lobby,
    /// The room that the URL named, by its number.
    Room(u32),
    /// That room was left.
    Left,
}

/// How often a member was wrong within a minute.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    minute: u16,
    count: u16,
}

/// All members of a loop, by number, and by name.
#[derive(Debug)]
pub(super) struct Members {
    table: Slab<Member>,
    /// For each name, the first of its chain.
    by_name: HashTable<u32>,
    hasher: RandomState,
    /// How many speak Protobuf.
    twins: usize,
}

impl Member {
    pub(super) fn new(id: ConnectionId, name: Box<str>, is_guest: bool, opened_s: u32) -> Self {
        Self {
            id,
            name,
            seats: Seats::None,
            home: Home::Lobby,
            next: NONE,
            previous: NONE,
            heartbeat: 0,
            has_heartbeat: false,
            faults: Faults::default(),
            opened_s,
            is_guest,
            wire: Wire::Json,
            pass: None,
        }
    }

    /// Who its token says that it is.
    pub(super) fn identity(&self) -> Option<&Identity> {
        self.pass.as_ref()?.identity.as_ref()
    }

    /// How much its messages matter, as its token says.
    pub(super) fn priority(&self) -> Priority {
        self.identity().map_or(Priority::Normal, |identity| identity.priority)
    }

    /// In how many rooms it may be, where its token says.
    pub(super) fn rooms_max(&self) -> Option<usize> {
        self.identity()?.limits.rooms.map(|rooms| rooms as usize)
    }

    /// The trace that its handshake has brought.
    pub(super) fn trace(&self) -> Option<&Trace> {
        self.pass.as_ref()?.trace.as_deref()
    }

    /// When its token ends, in milliseconds since 1970.
    pub(super) fn expires_at_ms(&self) -> Option<u64> {
        self.identity()?.expires_at_s.map(|end_s| end_s.saturating_mul(1000))
    }

    /// Takes the number of a heartbeat, and says how many were skipped since the last. A number
    /// that is no higher begins anew.
    pub(super) fn hear(&mut self, seq: u64) -> u64 {
        let seq = seq as u32;
        let last = std::mem::replace(&mut self.heartbeat, seq);
        let has_last = std::mem::replace(&mut self.has_heartbeat, true);
        let ahead = if has_last { seq.wrapping_sub(last) } else { 0 };
        if ahead > u32::MAX / 2 { 0 } else { u64::from(ahead.saturating_sub(1)) }
    }

    /// Counts one more fault; whether it was one too many. `minute` counts from any start.
    pub(super) fn is_at_fault(&mut self, minute: u16, max: u16) -> bool {
        let faults = &mut self.faults;
        if faults.minute != minute {
            *faults = Faults { minute, count: 0 };
        }
        faults.count = faults.count.saturating_add(1);
        faults.count > max
    }
}

impl Default for Members {
    fn default() -> Self {
        let table = Slab::with_capacity(TABLE_START);
        Self { table, by_name: HashTable::new(), hasher: RandomState::new(), twins: 0 }
    }
}

impl Members {
    /// Takes a member in: its number.
    pub(super) fn insert(&mut self, member: Member) -> u32 {
        self.twins += usize::from(member.wire == Wire::Protobuf);
        let number = self.table.insert(member) as u32;
        self.link(number);
        number
    }

    /// Puts a member that is in no chain at the beginning of that of its name.
    fn link(&mut self, number: u32) {
        let table = &mut self.table;
        let hash = self.hasher.hash_one(&table[number as usize].name);
        let is_of_name = |first: &u32| table[*first as usize].name == table[number as usize].name;
        match self.by_name.find_mut(hash, is_of_name) {
            Some(first) => {
                let next = std::mem::replace(first, number);
                table[number as usize].next = next;
                table[next as usize].previous = number;
            }
            None => {
                let hash_of = |first: &u32| self.hasher.hash_one(&table[*first as usize].name);
                self.by_name.insert_unique(hash, number, hash_of);
            }
        }
    }

    /// Takes a member out of the chain of its name.
    fn unlink(&mut self, number: u32) {
        let Some(member) = self.find(number) else { return };
        let (next, previous) = (member.next, member.previous);
        if previous == NONE {
            let hash = self.hasher.hash_one(&member.name);
            let entry = self.by_name.find_entry(hash, |first| *first == number);
            match entry {
                Ok(entry) if next == NONE => drop(entry.remove()),
                Ok(mut entry) => *entry.get_mut() = next,
                Err(_) => {} // each first stands in the table
            }
        } else if let Some(before) = self.find_mut(previous) {
            before.next = next;
        }
        if let Some(after) = self.find_mut(next) {
            after.previous = previous;
        }
    }

    /// Lets a member go, who sits nowhere any more.
    pub(super) fn remove(&mut self, number: u32) -> Option<Member> {
        self.unlink(number);
        let member = self.table.try_remove(number as usize)?;
        self.twins -= usize::from(member.wire == Wire::Protobuf);
        Some(member)
    }

    /// Gives a member another name; its number stays.
    pub(super) fn rename(&mut self, number: u32, name: &str) {
        if self.find(number).is_none_or(|member| *member.name == *name) {
            return;
        }
        self.unlink(number);
        if let Some(member) = self.find_mut(number) {
            member.name = name.into();
            (member.next, member.previous) = (NONE, NONE);
        }
        self.link(number);
    }

    pub(super) fn find(&self, number: u32) -> Option<&Member> {
        self.table.get(number as usize)
    }

    pub(super) fn find_mut(&mut self, number: u32) -> Option<&mut Member> {
        self.table.get_mut(number as usize)
    }

    /// All connections of a user, by number.
    pub(super) fn of_user(&self, name: &str) -> impl Iterator<Item = (u32, &Member)> {
        let hash = self.hasher.hash_one(name);
        let first = self.by_name.find(hash, |first| *self.table[*first as usize].name == *name);
        let mut next = first.copied().unwrap_or(NONE);
        std::iter::from_fn(move || {
            let number = next;
            let member = self.find(number)?;
            next = member.next;
            Some((number, member))
        })
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// For how many members the table has room.
    pub(super) fn capacity(&self) -> usize {
        self.table.capacity()
    }

    /// Whether anybody speaks in this form.
    pub(super) fn has(&self, wire: Wire) -> bool {
        match wire {
            Wire::Json => self.len() > self.twins,
            Wire::Protobuf => self.twins > 0,
        }
    }

    /// No member has a number from this one on.
    pub(super) fn numbers_end(&self) -> usize {
        self.table.capacity()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Member)> {
        self.table.iter().map(|(number, member)| (number as u32, member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(n: u64, name: &str) -> Member {
        Member::new(ConnectionId::from_u64(n), name.into(), false, 0)
    }

    fn connections(members: &Members, name: &str) -> Vec<u32> {
        let mut found: Vec<_> = members.of_user(name).map(|(number, _)| number).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn a_user_has_all_of_its_connections_and_no_other() {
        let mut members = Members::default();
        for n in 0..3000 {
            members.insert(member(n, &format!("u{}", n % 1000)));
        }
        assert_eq!(connections(&members, "u7"), [7, 1007, 2007]);
        for gone in [1007, 2007, 7] {
            members.remove(gone);
            assert!(!connections(&members, "u7").contains(&gone));
        }
        assert!(connections(&members, "u7").is_empty());
        assert_eq!(members.insert(member(9, "u8")), 7);
        assert_eq!(connections(&members, "u8"), [7, 8, 1008, 2008]);
        assert_eq!(members.by_name.len(), 999);
    }

    #[test]
    fn a_member_with_another_name_is_found_by_that() {
        let mut members = Members::default();
        for n in 0..6 {
            members.insert(member(n, &format!("u{}", n % 2)));
        }
        members.rename(2, "u1");
        members.rename(3, "u3");
        members.rename(9, "u3");
        assert_eq!(connections(&members, "u0"), [0, 4]);
        assert_eq!(connections(&members, "u1"), [1, 2, 5]);
        assert_eq!(connections(&members, "u3"), [3]);
        (0..6).for_each(|number| drop(members.remove(number)));
        assert_eq!(members.by_name.len(), 0);
    }

    #[test]
    fn numbers_that_were_skipped_are_counted() {
        let mut member = member(0, "ann");
        let lost = [5, 6, 9, 9, 3, 4, 1 << 40].map(|seq| member.hear(seq));
        assert_eq!(lost, [0, 0, 2, 0, 0, 0, 0]);
    }

    #[test]
    fn faults_are_counted_by_the_minute() {
        let mut member = member(0, "ann");
        assert!(!(0..3).any(|_| member.is_at_fault(1, 3)));
        assert!(member.is_at_fault(1, 3));
        assert!(!member.is_at_fault(2, 3));
    }
}
