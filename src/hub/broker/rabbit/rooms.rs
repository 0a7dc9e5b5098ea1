//! Rooms: what all nodes have put into the log of rooms, as one node has read it.
//!
//! Owns how the order of a log becomes the places of messages, the same for all who read it, and
//! what is kept of the messages in memory. A state machine without I/O: entries come in, in the
//! order of the log, and each has an outcome. Never looks at a clock, and never waits.
//!
//! Who writes an entry says up to where it had read the log (`read`), and how far the room was then
//! (`base`). So whoever reads it knows all it needs: the place after `base`, and whatever other
//! entries of that room stand between. One that has begun to read in the middle of the log, since
//! its beginning is not kept, comes to the same as one that has read all of it.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;

use super::clock::Clock;
use super::entry::{Head, Kind};
use crate::hub::broker::{MessageId, Piece, Place, Rows, is_lost};
use crate::hub::history::{Epoch, Placed, Position, Span};

/// What the messages of all rooms take in memory together, at most, in bytes.
pub(super) const MESSAGES_BYTES_MAX: usize = 64 << 20;

/// What a message takes beside its bytes.
const OVERHEAD_BYTES: usize = 128;

/// An entry that comes later than so many others after what its writer had read is not carried
/// out: nothing has to be known of what was before.
const LATE: u64 = 1 << 16;

/// How many entries are remembered: by them a message that comes again is known, and a room in
/// which nothing was said for longer may be forgotten. More than [`LATE`].
const MARKS_MAX: usize = 1 << 17;

/// Of how many rooms it is known how far they are, beside those of these entries.
const ROOMS_MAX: usize = 1 << 17;

/// A sender, and what it calls its message.
type Id = (Box<str>, Box<str>);

/// The rooms.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    rooms: HashMap<Arc<str>, Room>,
    /// The number of the first entry that was read; none before there is one.
    first: Option<u64>,
    /// The number of the first that was not.
    read: u64,
    /// Entries of rooms of which it is not known how far they were.
    unplaced: HashMap<Box<str>, Vec<Unplaced>>,
    clock: Clock,
    /// The messages that are kept, by their age, and some that are not any more: the number of the
    /// entry, and its room.
    messages: VecDeque<(u64, Arc<str>)>,
    held: Held,
    /// The entries of rooms, by their age.
    marks: VecDeque<(u64, Arc<str>, Option<Id>)>,
    /// Rooms in which nothing was said for long, by their age.
    quiet: VecDeque<(u64, Arc<str>)>,
}

/// What the messages that are kept take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    count: usize,
    bytes: usize,
}

/// How far a room is, and what is kept of it.
#[derive(Debug)]
struct Room {
    position: Position,
    /// The number that follows that of its last entry.
    end: u64,
    rows: VecDeque<Row>,
    ids: HashMap<Id, Seen>,
}

/// A message.
#[derive(Debug)]
struct Row {
    number: u64,
    offset: u64,
    body: Box<[u8]>,
}

/// A message that may come again.
#[derive(Debug)]
struct Seen {
    number: u64,
    time_ms: u64,
    position: Position,
}

/// An entry that waits until it is known how far its room was.
#[derive(Debug)]
struct Unplaced {
    number: u64,
    head: Head<'static>,
    body: Box<[u8]>,
    /// Whether even that does not tell what becomes of it.
    is_unclear: bool,
}

/// What has become of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has this place, or has had it.
    Placed(Placed),
    /// There is no message in it.
    Nothing,
    /// It came too late, and changes nothing.
    TooLate,
    /// It is not known, to this node, what place it has.
    Unknown,
}

impl Rooms {
    /// The number of the first entry that was not read.
    pub(super) const fn read(&self) -> u64 {
        self.read
    }

    /// How far a room is; none where it is not there.
    pub(super) fn position(&self, room: &str) -> Option<Position> {
        self.rooms.get(room).map(|room| room.position)
    }

    /// Whether a room goes on, for one that knows it so far.
    pub(super) fn goes_on(&self, place: Place<'_>) -> bool {
        self.position(place.room).is_some_and(|position| !is_lost(position, place.known))
    }

    /// The place of a message that has come before, for a node at this time of its own.
    pub(super) fn repeat(
        &self,
        room: &str,
        id: MessageId<'_>,
        (node, time_ms): (u64, u64),
    ) -> Option<Placed> {
        let now_ms = self.clock.at(node, time_ms);
        let key = (id.sender.into(), id.id.into());
        let seen = self.rooms.get(room)?.ids.get(&key)?;
        let age_ms = u128::from(now_ms.saturating_sub(seen.time_ms));
        let position = seen.position;
        (age_ms < id.window.as_millis()).then_some(Placed { position, is_repeat: true })
    }

    /// Takes the next entry of the log, which has this number.
    pub(super) fn take(&mut self, number: u64, head: &Head<'_>, body: &[u8]) -> Outcome {
        let first = *self.first.get_or_insert(number);
        self.read = number + 1;
        let now_ms = self.clock.hear(&head.stamp);
        match head.kind {
            Kind::Message | Kind::Open => {}
            Kind::Look | Kind::Put | Kind::Remove => return Outcome::Nothing,
        }
        let read = head.stamp.read;
        // Nobody can have read what comes after it: it was written into another log.
        if read > number || number - read > LATE {
            return Outcome::TooLate;
        }
        // From there on nothing waits for what was written before the first.
        if number > first.saturating_add(2 * LATE) {
            self.unplaced.clear();
        }
        let is_unclear = read < first && head.id.is_some();
        if is_unclear && let Some(room) = self.rooms.remove(&*head.name) {
            self.held.let_go(&room.rows);
        }
        let is_known = self.rooms.contains_key(&*head.name);
        let outcome = if is_known || (read >= first && !self.unplaced.contains_key(&*head.name)) {
            self.apply(number, head, body, now_ms)
        } else {
            let one =
                Unplaced { number, head: head.clone().into_owned(), body: body.into(), is_unclear };
            self.place_later(one, now_ms)
        };
        self.forget();
        outcome
    }

    /// Puts an entry to those of its room that wait; and gives them all a place, if it can be said.
    fn place_later(&mut self, one: Unplaced, now_ms: u64) -> Outcome {
        let (read, base) = (one.head.stamp.read, one.head.base());
        let name: Box<str> = (&*one.head.name).into();
        let waiting = self.unplaced.entry(name.clone()).or_default();
        waiting.push(one);
        let is_after = |one: &Unplaced| one.number >= read;
        let is_clear = |one: &Unplaced| !is_after(one) || !one.is_unclear;
        if self.first.is_some_and(|first| read < first) || !waiting.iter().all(is_clear) {
            return Outcome::Unknown;
        }
        let mut outcome = Outcome::Unknown;
        let waiting = self.unplaced.remove(&name).unwrap_or_default();
        for mut one in waiting.into_iter().filter(is_after) {
            // From there on the room is known, and only what stands in between counts.
            one.head.restate(read, base);
            outcome = self.apply(one.number, &one.head, &one.body, now_ms);
        }
        outcome
    }

    fn apply(&mut self, number: u64, head: &Head<'_>, body: &[u8], time_ms: u64) -> Outcome {
        let id = head.sender.as_deref().zip(head.id.as_deref());
        let id = id.map(|(sender, id)| Id::from((sender.into(), id.into())));
        let known = self.rooms.get_key_value(&*head.name).map(|(name, _)| Arc::clone(name));
        let name = known.unwrap_or_else(|| Arc::from(&*head.name));
        let read = head.stamp.read;
        let room = self.rooms.entry(Arc::clone(&name)).or_insert_with(Room::nowhere);
        let seen = id.as_ref().and_then(|id| room.ids.get(id)).filter(|seen| seen.number >= read);
        if let Some(seen) = seen {
            return Outcome::Placed(Placed { position: seen.position, is_repeat: true });
        }
        // Who has read all there is of a room says how far it is.
        let before = if room.end <= read { head.base() } else { Some(room.position) };
        let before = before.filter(|before| !is_lost(*before, head.known()));
        let before = before.unwrap_or(Position { epoch: head.fresh(), offset: 0 });
        if before != room.position {
            self.held.let_go(&mem::take(&mut room.rows));
        }
        (room.position, room.end) = (before, number + 1);
        if head.kind == Kind::Open {
            self.marks.push_back((number, name, None));
            return Outcome::Nothing;
        }
        room.position.offset += 1;
        let position = room.position;
        if let Some(id) = id.clone() {
            room.ids.insert(id, Seen { number, time_ms, position });
        }
        let row = Row { number, offset: position.offset, body: body.into() };
        self.held.take(&row);
        room.rows.push_back(row);
        let gone = room.rows.len().saturating_sub(head.messages_max);
        room.rows.drain(..gone).for_each(|row| self.held.let_go([&row]));
        self.messages.push_back((number, Arc::clone(&name)));
        self.marks.push_back((number, name, id));
        Outcome::Placed(Placed { position, is_repeat: false })
    }

    /// Keeps no more than there is room for.
    fn forget(&mut self) {
        while self.held.bytes > MESSAGES_BYTES_MAX
            && let Some((number, name)) = self.messages.pop_front()
        {
            let Some(room) = self.rooms.get_mut(&name) else { continue };
            if room.rows.front().is_some_and(|row| row.number == number) {
                self.held.let_go(&room.rows.pop_front());
            }
        }
        let Self { rooms, messages, quiet, .. } = self;
        if messages.len() > 2 * self.held.count + MARKS_MAX {
            messages.retain(|(number, name)| {
                let oldest = rooms.get(name).and_then(|room| room.rows.front());
                oldest.is_some_and(|row| row.number <= *number)
            });
        }
        let is_last = |rooms: &HashMap<Arc<str>, Room>, number: u64, name: &Arc<str>| {
            rooms.get(name).is_some_and(|room| room.end == number + 1)
        };
        if quiet.len() > 2 * ROOMS_MAX {
            quiet.retain(|(number, name)| is_last(rooms, *number, name));
        }
        while self.marks.len() > MARKS_MAX
            && let Some((number, name, id)) = self.marks.pop_front()
        {
            if let (Some(id), Some(room)) = (id, rooms.get_mut(&name))
                && room.ids.get(&id).is_some_and(|seen| seen.number == number)
            {
                room.ids.remove(&id);
            }
            if is_last(rooms, number, &name) {
                quiet.push_back((number, name));
            }
        }
        while rooms.len() > ROOMS_MAX
            && let Some((number, name)) = quiet.pop_front()
        {
            if is_last(rooms, number, &name)
                && let Some(room) = rooms.remove(&name)
            {
                self.held.let_go(&room.rows);
            }
        }
    }

    /// Reads a piece of what is kept, and how far the room is.
    pub(super) fn rows(&self, place: Place<'_>, piece: Piece) -> Rows {
        let room = self.rooms.get(place.room);
        let Some(room) = room.filter(|room| !is_lost(room.position, place.known)) else {
            let position = Position { epoch: place.fresh, offset: 0 };
            return Rows { position, rows: Vec::new(), has_more: false };
        };
        let kept = room.rows.len().saturating_sub(place.keep.messages_max);
        let kept = room.rows.range(kept..);
        let (mut rows, mut bytes, mut has_more) = (Vec::new(), 0, false);
        let mut take = |row: &Row| {
            bytes += row.body.len();
            has_more =
                rows.len() >= piece.messages_max || (!rows.is_empty() && bytes > piece.bytes_max);
            if !has_more {
                rows.push((row.offset, row.body.clone()));
            }
            !has_more
        };
        match piece.span {
            Span::After(after) => {
                kept.filter(|row| row.offset > after).all(&mut take);
            }
            Span::Newest => {
                kept.rev().all(&mut take);
            }
            Span::Before(before) => {
                kept.rev().filter(|row| row.offset < before).all(&mut take);
            }
        }
        if !matches!(piece.span, Span::After(_)) {
            rows.reverse();
        }
        Rows { position: room.position, rows, has_more }
    }
}

impl Room {
    /// One of which nothing was read.
    fn nowhere() -> Self {
        let position = Position { epoch: Epoch(0), offset: 0 };
        Self { position, end: 0, rows: VecDeque::new(), ids: HashMap::new() }
    }
}

impl Held {
    const fn take(&mut self, row: &Row) {
        self.count += 1;
        self.bytes += OVERHEAD_BYTES + row.body.len();
    }

    fn let_go<'r>(&mut self, rows: impl IntoIterator<Item = &'r Row>) {
        for row in rows {
            self.count -= 1;
            self.bytes -= OVERHEAD_BYTES + row.body.len();
        }
    }
}
