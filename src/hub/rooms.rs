//! The rooms of one loop, and who is in them.
//!
//! Owns a dense list of members for each room, so that a broadcast is one walk, and a member's
//! place in it, so that leaving costs nothing that grows. Never sends.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

use crate::net::ConnectionId;

/// Where somebody is: the room, and the place in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    room: u32,
    place: u32,
}

/// One room, as one loop sees it: its own members, and the names of those on other loops.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: Arc<str>,
    pub(super) members: Vec<ConnectionId>,
    names: Vec<Arc<str>>,
    /// How many times each name is taken on other loops.
    elsewhere: HashMap<Arc<str>, i64>,
    elsewhere_count: i64,
}

/// All rooms that have a member, here or on another loop.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    rooms: Slab<Room>,
    by_name: HashMap<Arc<str>, u32>,
}

impl Room {
    fn new(name: Arc<str>) -> Self {
        Self {
            name,
            members: Vec::new(),
            names: Vec::new(),
            elsewhere: HashMap::new(),
            elsewhere_count: 0,
        }
    }

    /// How many members there are on all loops.
    pub(super) fn count(&self) -> usize {
        self.members.len().saturating_add_signed(self.elsewhere_count as isize)
    }

    /// The names of members on all loops, at most `max`.
    pub(super) fn names(&self, max: usize) -> Vec<&str> {
        let elsewhere = self.elsewhere.iter().flat_map(|(name, count)| {
            std::iter::repeat_n(&**name, usize::try_from(*count).unwrap_or(0))
        });
        self.names.iter().map(|name| &**name).chain(elsewhere).take(max).collect()
    }

    fn is_empty(&self) -> bool {
        self.members.is_empty() && self.elsewhere.is_empty()
    }
}

impl Rooms {
    /// The room of that name, if anybody is in it.
    pub(super) fn find(&self, name: &str) -> Option<&Room> {
        self.by_name.get(name).map(|room| &self.rooms[*room as usize])
    }

    /// The room that somebody sits in.
    pub(super) fn room(&self, seat: Seat) -> &Room {
        &self.rooms[seat.room as usize]
    }

    /// Takes a member in.
    pub(super) fn join(&mut self, room: &str, id: ConnectionId, name: Arc<str>) -> Seat {
        let index = self.open(room);
        let room = &mut self.rooms[index as usize];
        let place = room.members.len() as u32;
        room.members.push(id);
        room.names.push(name);
        Seat { room: index, place }
    }

    /// Lets a member go: its name, and the member that now sits in its place.
    pub(super) fn leave(&mut self, seat: Seat) -> (Arc<str>, Option<ConnectionId>) {
        let room = &mut self.rooms[seat.room as usize];
        let place = seat.place as usize;
        room.members.swap_remove(place);
        let name = room.names.swap_remove(place);
        let moved = room.members.get(place).copied();
        self.forget_if_empty(seat.room);
        (name, moved)
    }

    /// Members have come to a room on other loops, or have left it.
    pub(super) fn count_elsewhere(&mut self, room: &str, name: &Arc<str>, change: i64) {
        let index = self.open(room);
        let room = &mut self.rooms[index as usize];
        let count = room.elsewhere.entry(Arc::clone(name)).or_default();
        *count += change;
        if *count == 0 {
            room.elsewhere.remove(name);
        }
        room.elsewhere_count += change;
        self.forget_if_empty(index);
    }

    fn open(&mut self, name: &str) -> u32 {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let name: Arc<str> = name.into();
        let index = self.rooms.insert(Room::new(Arc::clone(&name))) as u32;
        self.by_name.insert(name, index);
        index
    }

    fn forget_if_empty(&mut self, index: u32) {
        if self.rooms[index as usize].is_empty() {
            let room = self.rooms.remove(index as usize);
            self.by_name.remove(&room.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> ConnectionId {
        ConnectionId::from_u64(n)
    }

    #[test]
    fn who_leaves_is_replaced_by_the_last() {
        let mut rooms = Rooms::default();
        let seats: Vec<_> = (0..3).map(|n| rooms.join("a", id(n), n.to_string().into())).collect();
        assert_eq!(rooms.leave(seats[0]), ("0".into(), Some(id(2))));
        let room = rooms.find("a").unwrap();
        assert_eq!(room.members, [id(2), id(1)]);
        assert_eq!(room.names(9), ["2", "1"]);
    }

    #[test]
    fn an_empty_room_is_forgotten() {
        let mut rooms = Rooms::default();
        let seat = rooms.join("a", id(0), "x".into());
        rooms.count_elsewhere("a", &"y".into(), 1);
        assert_eq!(rooms.leave(seat), ("x".into(), None));
        assert_eq!(rooms.find("a").map(Room::count), Some(1));
        rooms.count_elsewhere("a", &"y".into(), -1);
        assert!(rooms.find("a").is_none());
        assert!(rooms.rooms.is_empty());
    }
}
