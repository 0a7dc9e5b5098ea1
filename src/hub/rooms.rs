//! The rooms of one loop, and who sits in them.
//!
//! Owns a dense list of members for each room, so that a broadcast is one walk. A member's place in
//! a room and the room's seat of a member point at each other, so that coming and going cost
//! nothing that grows. Never sends.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use slab::Slab;

use super::history::Position;
use super::members::{Home, Member, Members};
use super::overload::{RoomRule, RoomRules};
use super::seats::Seat;
use super::wire::Wire;
use crate::net::ConnectionId;

/// A place in a room: the member's number, and which of its seats this is.
#[derive(Clone, Copy, Debug)]
struct Place {
    member: u32,
    seat: u32,
}

/// One room, as one loop sees it: its own members, and the names of those on other loops and on
/// other nodes.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: Arc<str>,
    pub(super) rule: RoomRule,
    /// The connections of its members; `places` has the same order.
    pub(super) ids: Vec<ConnectionId>,
    places: Vec<Place>,
    /// How many of them speak Protobuf.
    twins: usize,
    /// How many times each name is taken on other loops.
    elsewhere: BTreeMap<Arc<str>, i64>,
    elsewhere_count: i64,
    /// The same of other nodes; without a name those of whom only the number is known.
    far: BTreeMap<Arc<str>, i64>,
    far_count: i64,
    /// How far this loop has delivered what another gives its order.
    pub(super) position: Option<Position>,
}

/// All rooms that have a member, here or on another loop, and all members that are here.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    pub(super) members: Members,
    rooms: Slab<Room>,
    by_name: HashMap<Arc<str>, u32>,
    rules: RoomRules,
    /// How many seats are taken.
    seats: usize,
    /// Rooms that nobody of this node is in any more, where somebody wants to know.
    emptied: Option<Vec<Arc<str>>>,
}

impl Room {
    fn new(name: Arc<str>, rule: RoomRule) -> Self {
        Self {
            name,
            rule,
            ids: Vec::new(),
            places: Vec::new(),
            twins: 0,
            elsewhere: BTreeMap::new(),
            elsewhere_count: 0,
            far: BTreeMap::new(),
            far_count: 0,
            position: None,
        }
    }

    /// How many members there are on all loops, and on all nodes.
    pub(super) fn count(&self) -> usize {
        self.ids.len().saturating_add_signed((self.elsewhere_count + self.far_count) as isize)
    }

    /// How many of its members on this loop speak in one form.
    pub(super) fn count_of(&self, wire: Wire) -> usize {
        match wire {
            Wire::Json => self.ids.len() - self.twins,
            Wire::Protobuf => self.twins,
        }
    }

    /// Whether nobody of this node is there.
    fn is_deserted(&self) -> bool {
        self.ids.is_empty() && self.elsewhere.is_empty()
    }
}

impl Rooms {
    /// No rooms yet, and what holds for each by its name.
    pub(super) fn new(rules: RoomRules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// About what rooms and members take, in bytes.
    pub(super) fn held_bytes(&self) -> u64 {
        const NAME: usize = 48; // a short one, where it stands and where it is looked for
        const SEAT: usize = size_of::<ConnectionId>() + size_of::<Place>() + size_of::<Seat>();
        let rooms = self.rooms.capacity() * size_of::<Room>() + self.rooms.len() * 2 * NAME;
        let members = self.members.capacity() * size_of::<Member>() + self.members.len() * NAME;
        (rooms + members + 2 * SEAT * self.seats) as u64
    }

    /// From now on, takes note of rooms that nobody of this node is in any more.
    pub(super) fn tell_emptied(&mut self) {
        self.emptied.get_or_insert_default();
    }

    /// Whether there are such rooms.
    pub(super) fn has_emptied(&self) -> bool {
        self.emptied.as_ref().is_some_and(|emptied| !emptied.is_empty())
    }

    /// Rooms that nobody of this node is in any more, since this was asked last.
    pub(super) fn take_emptied(&mut self) -> Vec<Arc<str>> {
        self.emptied.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The number of the room of that name, if anybody is in it.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// Whether somebody of this node is in the room of that name.
    pub(super) fn has_members(&self, name: &str) -> bool {
        self.find(name).is_some_and(|room| !room.is_deserted())
    }

    /// The room of a number.
    pub(super) fn room(&self, number: u32) -> Option<&Room> {
        self.rooms.get(number as usize)
    }

    /// The room of that name, if anybody is in it.
    pub(super) fn find(&self, name: &str) -> Option<&Room> {
        self.room(self.number(name)?)
    }

    pub(super) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// How many seats are taken.
    pub(super) const fn seats(&self) -> usize {
        self.seats
    }

    /// No room has a number from this one on.
    pub(super) fn numbers_end(&self) -> usize {
        self.rooms.capacity()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Room> {
        self.rooms.iter().map(|(_, room)| room)
    }

    /// Takes note of how far a room is, if anybody is in it.
    pub(super) fn place(&mut self, room: &str, position: Position) {
        if let Some(number) = self.number(room) {
            self.rooms[number as usize].position = Some(position);
        }
    }

    /// The members of a room that are on this loop.
    pub(super) fn members_of(&self, room: &Room) -> impl Iterator<Item = &Member> {
        room.places.iter().filter_map(|place| self.members.find(place.member))
    }

    /// The connections of a room's members on this loop who speak in one form.
    pub(super) fn ids_of(&self, room: &Room, wire: Wire) -> impl Iterator<Item = ConnectionId> {
        let members = self.members_of(room).filter(move |member| member.wire == wire);
        members.map(|member| member.id)
    }

    /// The names of a room's members on all loops and nodes, at most `max`.
    pub(super) fn names<'a>(&'a self, room: &'a Room, max: usize) -> Vec<&'a str> {
        let far = room.far.iter().filter(|(name, _)| !name.is_empty());
        let elsewhere = room.elsewhere.iter().chain(far).flat_map(|(name, count)| {
            std::iter::repeat_n(&**name, usize::try_from(*count).unwrap_or(0))
        });
        let here = self.members_of(room).map(|member| &*member.name);
        here.chain(elsewhere).take(max).collect()
    }

    /// Whether a member sits in a room.
    pub(super) fn is_in(&self, member: u32, room: u32) -> bool {
        self.members.find(member).is_some_and(|member| member.seats.position(room).is_some())
    }

    /// Seats a member in a room where it does not sit yet: the room's number.
    pub(super) fn join(&mut self, member: u32, room: &str) -> u32 {
        let number = self.open(room);
        let room = &mut self.rooms[number as usize];
        if let Some(who) = self.members.find_mut(member) {
            let (seat, place) = (who.seats.len() as u32, room.ids.len() as u32);
            who.seats.push(Seat { room: number, place });
            room.ids.push(who.id);
            self.seats += 1;
            room.twins += usize::from(who.wire == Wire::Protobuf);
            room.places.push(Place { member, seat });
        }
        number
    }

    /// Takes a member out of a room: the room's name, if it was there.
    pub(super) fn leave(&mut self, member: u32, room: u32) -> Option<Arc<str>> {
        let who = self.members.find_mut(member)?;
        let at = who.seats.position(room)?;
        let seat = who.seats.swap_remove(at)?;
        self.seats -= 1;
        if who.home == Home::Room(room) {
            who.home = Home::Left;
        }
        let is_twin = who.wire == Wire::Protobuf;
        // The last seat of the member has a new number now.
        if let Some(moved) = who.seats.as_slice().get(at as usize).copied() {
            self.rooms[moved.room as usize].places[moved.place as usize].seat = at;
        }
        // The last member of the room has a new place now.
        let left = &mut self.rooms[room as usize];
        let (name, place) = (Arc::clone(&left.name), seat.place as usize);
        left.ids.swap_remove(place);
        left.places.swap_remove(place);
        left.twins -= usize::from(is_twin);
        if let Some(moved) = left.places.get(place).copied()
            && let Some(who) = self.members.find_mut(moved.member)
            && let Some(other) = who.seats.seat_mut(moved.seat)
        {
            other.place = seat.place;
        }
        self.note_if_deserted(room);
        Some(name)
    }

    /// Members have come to a room on other loops, or have left it.
    pub(super) fn count_elsewhere(&mut self, room: &str, name: &Arc<str>, change: i64) {
        let number = self.open(room);
        let room = &mut self.rooms[number as usize];
        let count = room.elsewhere.entry(Arc::clone(name)).or_default();
        *count += change;
        if *count == 0 {
            room.elsewhere.remove(name);
        }
        room.elsewhere_count += change;
        self.note_if_deserted(number);
    }

    /// Members have come to a room on other nodes, or have left it.
    pub(super) fn count_far(&mut self, room: &str, name: &Arc<str>, change: i64) {
        let number = self.open(room);
        let room = &mut self.rooms[number as usize];
        let count = room.far.entry(Arc::clone(name)).or_default();
        *count += change;
        if *count == 0 {
            room.far.remove(name);
        }
        room.far_count += change;
        self.forget_if_empty(number);
    }

    fn open(&mut self, name: &str) -> u32 {
        if let Some(number) = self.by_name.get(name) {
            return *number;
        }
        let name: Arc<str> = name.into();
        let rule = self.rules.rule(&name);
        let number = self.rooms.insert(Room::new(Arc::clone(&name), rule)) as u32;
        self.by_name.insert(name, number);
        number
    }

    fn note_if_deserted(&mut self, number: u32) {
        let room = &self.rooms[number as usize];
        if !room.is_deserted() {
            return;
        }
        if let Some(emptied) = &mut self.emptied {
            emptied.push(Arc::clone(&room.name));
        }
        self.forget_if_empty(number);
    }

    fn forget_if_empty(&mut self, number: u32) {
        let room = &self.rooms[number as usize];
        if room.is_deserted() && room.far.is_empty() {
            let room = self.rooms.remove(number as usize);
            self.by_name.remove(&room.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_members(count: u64) -> Rooms {
        let mut rooms = Rooms::default();
        for n in 0..count {
            let name = n.to_string().into();
            let mut member = Member::new(ConnectionId::from_u64(n), name, false, 0);
            member.wire = Wire::ALL[n as usize % 2];
            rooms.members.insert(member);
        }
        rooms
    }

    /// Every seat and every place point at each other.
    fn check(rooms: &Rooms) {
        let mut places = 0;
        for (number, room) in &rooms.rooms {
            assert_eq!(room.ids.len(), room.places.len());
            for wire in Wire::ALL {
                assert_eq!(rooms.ids_of(room, wire).count(), room.count_of(wire));
            }
            places += room.places.len();
            for (at, place) in room.places.iter().enumerate() {
                let member = rooms.members.find(place.member).unwrap();
                assert_eq!(member.id, room.ids[at]);
                let seat = Seat { room: number as u32, place: at as u32 };
                assert_eq!(member.seats.as_slice()[place.seat as usize], seat);
            }
        }
        let seats: usize = rooms.members.iter().map(|(_, member)| member.seats.len()).sum();
        assert_eq!(seats, places);
    }

    #[test]
    fn who_leaves_is_replaced_by_the_last() {
        let mut rooms = with_members(3);
        let room = rooms.join(0, "a");
        rooms.join(1, "a");
        rooms.join(2, "a");
        assert_eq!(rooms.leave(0, room).as_deref(), Some("a"));
        assert_eq!(rooms.leave(0, room), None);
        assert_eq!(rooms.names(rooms.find("a").unwrap(), 9), ["2", "1"]);
        check(&rooms);
    }

    #[test]
    fn seats_and_places_point_at_each_other_whatever_happens() {
        let mut rooms = with_members(20);
        let mut state = 1_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (member, name) = ((state >> 40) as u32 % 20, format!("r{}", (state >> 50) % 12));
            match rooms.number(&name).filter(|room| rooms.is_in(member, *room)) {
                Some(room) => drop(rooms.leave(member, room)),
                None => drop(rooms.join(member, &name)),
            }
        }
        check(&rooms);
        for member in 0..20 {
            while let Some(seat) = rooms.members.find(member).unwrap().seats.as_slice().first() {
                let room = seat.room;
                rooms.leave(member, room);
            }
        }
        assert!(rooms.rooms.is_empty() && rooms.by_name.is_empty());
    }

    #[test]
    fn an_empty_room_is_forgotten() {
        let mut rooms = with_members(1);
        let room = rooms.join(0, "a");
        rooms.count_elsewhere("a", &"y".into(), 1);
        rooms.leave(0, room);
        assert_eq!(rooms.find("a").map(Room::count), Some(1));
        rooms.count_elsewhere("a", &"y".into(), -1);
        assert!(rooms.find("a").is_none());
        assert!(rooms.rooms.is_empty());
    }

    #[test]
    fn who_is_on_other_nodes_is_listed_and_keeps_no_room_from_being_let_go() {
        let mut rooms = with_members(1);
        rooms.tell_emptied();
        let room = rooms.join(0, "a");
        rooms.count_far("a", &"y".into(), 2);
        rooms.count_far("a", &"".into(), 5);
        let found = rooms.find("a").unwrap();
        assert_eq!((found.count(), rooms.names(found, 9)), (8, vec!["0", "y", "y"]));
        rooms.leave(0, room);
        assert!(!rooms.has_members("a") && rooms.number("a").is_some());
        assert_eq!(rooms.take_emptied(), [Arc::from("a")]);
        rooms.count_far("a", &"y".into(), -2);
        rooms.count_far("a", &"".into(), -5);
        assert!(rooms.rooms.is_empty() && rooms.take_emptied().is_empty());
    }
}
