//! A store in memory that outlives the one who opened it, and fails as it is told.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use throng::hub::history::{
    Entry, Epoch, Placed, Position, Row, Rows, Span, Store, StoreError, Write, Written,
};
use throng::hub::sink::Held;

use crate::said::number;
use crate::world::Fault;

/// The epoch of all rooms of the store.
pub const EPOCH: u64 = 0x57_0e;

/// How the store does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mood {
    #[default]
    Well,
    /// It cannot be opened.
    Closed,
    /// Nothing can be read or written.
    Fails,
    /// It writes, and says that it has not.
    FailsBehind,
}

/// What is on the disk, and how the disk does.
#[derive(Default)]
pub struct Disk {
    rooms: BTreeMap<String, Vec<Row>>,
    /// The offset and time of what carries an id, by room, sender and id.
    ids: BTreeMap<[String; 3], (u64, u64)>,
    pub mood: Mood,
    pub planted: Option<Fault>,
    /// How often it was used, to plant a fault once in a while.
    uses: u64,
}

pub type SharedDisk = Rc<RefCell<Disk>>;

/// The store, as the keeper has it while it is open.
pub struct MemoryStore(SharedDisk);

pub fn open(disk: &SharedDisk) -> Result<MemoryStore, StoreError> {
    match disk.borrow().mood {
        Mood::Well | Mood::FailsBehind => Ok(MemoryStore(Rc::clone(disk))),
        Mood::Closed | Mood::Fails => Err(broken()),
    }
}

fn broken() -> StoreError {
    StoreError("the disk is full".into())
}

impl Disk {
    /// The numbers of the messages of each room.
    pub fn kept(&self) -> BTreeMap<String, Vec<u64>> {
        let ids = |rows: &Vec<Row>| rows.iter().filter_map(|row| number(&row.content)).collect();
        self.rooms.iter().map(|(room, rows)| (room.clone(), ids(rows))).collect()
    }

    fn is_planted(&mut self, fault: Fault, every: u64) -> bool {
        self.uses += 1;
        self.planted == Some(fault) && self.uses.is_multiple_of(every)
    }

    fn write(&mut self, entry: &Entry<'_>) -> Placed {
        let mut position = self.position(entry.room);
        if let Some(id) = entry.id {
            let key = [entry.room, entry.sender, id.text].map(String::from);
            match self.ids.get(&key) {
                Some((offset, timestamp)) if *timestamp >= id.oldest_ms => {
                    position.offset = *offset;
                    return Placed { position, is_repeat: true };
                }
                _ => self.ids.insert(key, (position.offset + 1, entry.timestamp)),
            };
        }
        position.offset += 1;
        let row = Row {
            offset: position.offset,
            sender: entry.sender.into(),
            content: entry.content.into(),
            timestamp: entry.timestamp,
        };
        if !self.is_planted(Fault::StoreLosesWrite, 7) {
            self.rooms.entry(entry.room.into()).or_default().push(row);
        }
        if self.is_planted(Fault::StoreSkipsOffset, 7) {
            position.offset += 1;
        }
        Placed { position, is_repeat: false }
    }

    fn position(&self, room: &str) -> Position {
        let offset = self.rooms.get(room).map_or(0, Vec::len) as u64;
        Position { epoch: Epoch(EPOCH), offset }
    }
}

impl Store for MemoryStore {
    fn append(&mut self, batch: &[Write<'_>], _: Held) -> Result<Written, StoreError> {
        let disk = &mut *self.0.borrow_mut();
        if disk.mood == Mood::Fails {
            return Err(broken());
        }
        let place = |write: &Write<'_>| match write {
            Write::Message(entry) => Some(Some(disk.write(entry))),
            Write::Event(_) => None,
        };
        let places = batch.iter().filter_map(place).collect();
        match disk.mood {
            Mood::FailsBehind => Err(broken()),
            Mood::Well | Mood::Closed | Mood::Fails => Ok(Written { places, dropped: 0 }),
        }
    }

    fn read(
        &mut self,
        room: &str,
        span: Span,
        messages_max: usize,
        bytes_max: usize,
        oldest_ms: u64,
    ) -> Result<Rows, StoreError> {
        let disk = &mut *self.0.borrow_mut();
        if disk.mood == Mood::Fails {
            return Err(broken());
        }
        let position = disk.position(room);
        let all = disk.rooms.get(room).map_or(&[][..], Vec::as_slice);
        let young = all.iter().filter(|row| row.timestamp >= oldest_ms);
        let mut bytes = 0;
        let mut fits = |row: &Row| {
            let is_first = bytes == 0;
            bytes += row.content.len() + 100;
            is_first || bytes <= bytes_max
        };
        let found: Vec<_> = match span {
            Span::After(offset) => young.filter(|row| row.offset > offset).collect(),
            Span::Before(offset) => young.rev().filter(|row| row.offset < offset).collect(),
            Span::Newest => young.rev().collect(),
        };
        let count = found.len();
        let taken = found.into_iter().take(messages_max).take_while(|row| fits(row));
        let mut rows: Vec<Row> = taken.cloned().collect();
        let has_more = rows.len() < count;
        if !matches!(span, Span::After(_)) {
            rows.reverse();
        }
        if rows.len() > 1 && disk.is_planted(Fault::StoreReadsShort, 2) {
            rows.remove(rows.len() / 2);
        }
        Ok(Rows { position, rows, has_more })
    }

    fn sweep(&mut self, _: &dyn Fn(&str) -> u64) -> Result<(), StoreError> {
        if self.0.borrow().mood == Mood::Fails { Err(broken()) } else { Ok(()) }
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        match self.0.borrow().mood {
            Mood::Well => Ok(()),
            Mood::Closed | Mood::Fails | Mood::FailsBehind => Err(broken()),
        }
    }
}
