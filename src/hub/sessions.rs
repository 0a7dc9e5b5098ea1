//! Who was in which rooms, for those who come back.
//!
//! Owns what a session is, the seam to whatever holds sessions, and the table in memory, which all
//! loops of a server share. Never brings anybody into a room: see `resuming`.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

/// What a session takes in memory beside its names, and a room beside its name.
const SESSION_BYTES: usize = 256;
const ROOM_BYTES: usize = 32;

/// The most rooms that one session remembers, of whom several have at a time.
const ROOMS_MAX: usize = 4096;

/// The name of a session. Who knows it may take the session over: it is printed by nobody.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u128);

/// What is kept of somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// By which name it was known.
    pub name: Box<str>,
    /// Whether a token said so: then the session is for nobody else.
    pub has_token: bool,
    /// The rooms that it was in.
    pub rooms: Vec<Box<str>>,
}

/// What is told about a session when it is known: once, with nothing where there is none.
pub type Found = Box<dyn FnOnce(Option<Record>) + Send>;

/// Holds sessions. Nothing here may wait: what takes time is done later, in the order in which it
/// was asked for. A session lives while somebody has it, and for a time after that.
pub trait Sessions: fmt::Debug + Send + Sync {
    /// A session begins.
    fn open(&self, id: SessionId, record: Record);

    /// Who has it has come into a room.
    fn enter(&self, id: SessionId, room: &str);

    /// Who has it has left a room.
    fn leave(&self, id: SessionId, room: &str);

    /// Who had it is gone, as many times as it was opened and resumed: its time begins to run out.
    fn close(&self, id: SessionId);

    /// It will not be asked for any more.
    fn forget(&self, id: SessionId);

    /// Somebody comes back, and has it from now on, if it is there. The answer, where it is known
    /// at once; else `found` is called, from whatever thread, in any case and within seconds.
    fn resume(&self, id: SessionId, found: Found) -> Option<Option<Record>>;

    /// What there is, and what was asked for.
    fn stats(&self) -> SessionStats;
}

/// What there is of sessions, and what was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionStats {
    /// Sessions.
    pub sessions: u64,
    /// What they take in memory.
    pub bytes: u64,
    /// How often one was resumed.
    pub resumed: u64,
    /// How often one was asked for that is not there.
    pub unknown: u64,
    /// Sessions that went since there was no room for them.
    pub dropped: u64,
}

/// Sessions in memory: they end with the server.
///
/// ```
/// use std::time::Duration;
/// use throng::hub::sessions::{Memory, Record, SessionId, Sessions};
///
/// let sessions = Memory::new(Duration::from_secs(1800), 1 << 20);
/// let id = SessionId(7);
/// sessions.open(id, Record { name: "ann".into(), ..Record::default() });
/// sessions.enter(id, "lobby");
/// sessions.close(id);
/// let record = sessions.resume(id, Box::new(|_| {})).flatten().expect("it is there");
/// assert_eq!((&*record.name, &*record.rooms[0]), ("ann", "lobby"));
/// ```
#[derive(Debug)]
pub struct Memory {
    life: Duration,
    bytes_max: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    held: HashMap<SessionId, Held>,
    /// Those whom nobody has, by their ends.
    ends: BTreeSet<(Instant, SessionId)>,
    bytes: usize,
    resumed: u64,
    unknown: u64,
    dropped: u64,
}

#[derive(Debug)]
struct Held {
    record: Record,
    /// How many have it.
    owners: u32,
    end: Option<Instant>,
}

impl Memory {
    /// No sessions yet. Each lives for so long after it was closed, and all together take so many
    /// bytes at most: past them those go that would end first.
    pub fn new(life: Duration, bytes_max: usize) -> Self {
        Self { life, bytes_max, table: Mutex::default() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while let Some((end, id)) = table.ends.first().copied()
            && end <= now
        {
            table.remove(id);
        }
        table
    }
}

impl Sessions for Memory {
    fn open(&self, id: SessionId, record: Record) {
        let mut table = self.table();
        table.bytes += record.bytes();
        table.held.insert(id, Held { record, owners: 1, end: None });
        table.shrink(id, self.bytes_max);
    }

    fn enter(&self, id: SessionId, room: &str) {
        let mut table = self.table();
        let Some(held) = table.held.get_mut(&id) else { return };
        let rooms = &held.record.rooms;
        if rooms.len() >= ROOMS_MAX || rooms.iter().any(|other| **other == *room) {
            return;
        }
        held.record.rooms.push(room.into());
        table.bytes += ROOM_BYTES + room.len();
        table.shrink(id, self.bytes_max);
    }

    fn leave(&self, id: SessionId, room: &str) {
        let mut table = self.table();
        let Some(held) = table.held.get_mut(&id) else { return };
        let Some(at) = held.record.rooms.iter().position(|other| **other == *room) else { return };
        held.record.rooms.remove(at);
        table.bytes -= ROOM_BYTES + room.len();
    }

    fn close(&self, id: SessionId) {
        let mut table = self.table();
        let Some(held) = table.held.get_mut(&id) else { return };
        held.owners = held.owners.saturating_sub(1);
        if held.owners == 0 && held.end.is_none() {
            let end = Instant::now() + self.life;
            held.end = Some(end);
            table.ends.insert((end, id));
        }
    }

    fn forget(&self, id: SessionId) {
        self.table().remove(id);
    }

    fn resume(&self, id: SessionId, _: Found) -> Option<Option<Record>> {
        let mut table = self.table();
        let found = table.held.get_mut(&id).map(|held| {
            held.owners += 1;
            (held.end.take(), held.record.clone())
        });
        match &found {
            Some((end, _)) => {
                table.resumed += 1;
                end.map(|end| table.ends.remove(&(end, id)));
            }
            None => table.unknown += 1,
        }
        Some(found.map(|(_, record)| record))
    }

    fn stats(&self) -> SessionStats {
        let table = self.table();
        SessionStats {
            sessions: table.held.len() as u64,
            bytes: table.bytes as u64,
            resumed: table.resumed,
            unknown: table.unknown,
            dropped: table.dropped,
        }
    }
}

impl Table {
    fn remove(&mut self, id: SessionId) {
        let Some(held) = self.held.remove(&id) else { return };
        self.bytes -= held.record.bytes();
        if let Some(end) = held.end {
            self.ends.remove(&(end, id));
        }
    }

    /// Holds to the budget: those go that would end first, and at last the one that has grown.
    fn shrink(&mut self, id: SessionId, bytes_max: usize) {
        while self.bytes > bytes_max {
            let first = self.ends.first().map_or(id, |(_, first)| *first);
            self.remove(first);
            self.dropped += 1;
            if first == id {
                return;
            }
        }
    }
}

impl Record {
    /// What it takes in memory, about.
    fn bytes(&self) -> usize {
        let rooms: usize = self.rooms.iter().map(|room| ROOM_BYTES + room.len()).sum();
        SESSION_BYTES + self.name.len() + rooms
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(***)")
    }
}

impl FromStr for SessionId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex);
        number.map(Self).ok_or("a session has 32 hexadecimal digits")
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(60);

    fn ann() -> Record {
        Record { name: "ann".into(), ..Record::default() }
    }

    fn resume(sessions: &Memory, id: u128) -> Option<Vec<String>> {
        let record = sessions.resume(SessionId(id), Box::new(|_| {})).expect("at once")?;
        Some(record.rooms.into_iter().map(String::from).collect())
    }

    /// The bytes are what all of them take, and only those end whom nobody has.
    fn check(sessions: &Memory) {
        let table = sessions.table();
        let bytes: usize = table.held.values().map(|held| held.record.bytes()).sum();
        assert_eq!(bytes, table.bytes);
        assert_eq!(table.held.values().filter(|held| held.owners == 0).count(), table.ends.len());
    }

    #[test]
    fn who_comes_back_has_the_rooms_that_it_had() {
        let sessions = Memory::new(LIFE, 1 << 20);
        sessions.open(SessionId(1), ann());
        for room in ["a", "b", "a", "c"] {
            sessions.enter(SessionId(1), room);
        }
        sessions.leave(SessionId(1), "b");
        sessions.leave(SessionId(1), "x");
        sessions.close(SessionId(1));
        assert_eq!(resume(&sessions, 1), Some(vec!["a".into(), "c".into()]));
        assert_eq!(resume(&sessions, 2), None);
        check(&sessions);
        let SessionStats { sessions: count, resumed, unknown, .. } = sessions.stats();
        assert_eq!((count, resumed, unknown), (1, 1, 1));
    }

    #[test]
    fn a_session_remembers_so_many_rooms_and_no_more() {
        let sessions = Memory::new(LIFE, 1 << 24);
        sessions.open(SessionId(1), ann());
        (0..ROOMS_MAX + 9).for_each(|n| sessions.enter(SessionId(1), &n.to_string()));
        assert_eq!(resume(&sessions, 1).map(|rooms| rooms.len()), Some(ROOMS_MAX));
        check(&sessions);
    }

    #[test]
    fn a_session_lives_while_somebody_has_it() {
        let sessions = Memory::new(Duration::ZERO, 1 << 20);
        sessions.open(SessionId(1), ann());
        assert!(resume(&sessions, 1).is_some()); // the first is not known to be gone
        sessions.close(SessionId(1));
        assert!(resume(&sessions, 1).is_some());
        sessions.close(SessionId(1));
        sessions.close(SessionId(1));
        assert_eq!(resume(&sessions, 1), None);
        sessions.open(SessionId(2), ann());
        sessions.forget(SessionId(2));
        assert_eq!(resume(&sessions, 2), None);
        check(&sessions);
    }

    #[test]
    fn the_budget_holds_and_those_go_that_would_end_first() {
        let sessions = Memory::new(LIFE, 1000);
        for id in 0..3 {
            sessions.open(SessionId(id), ann());
            sessions.close(SessionId(id));
        }
        sessions.open(SessionId(3), ann());
        assert_eq!(
            [0, 1, 2, 3].map(|id| resume(&sessions, id).is_some()),
            [false, true, true, true]
        );
        // All are in use: the one that wants more goes.
        sessions.enter(SessionId(3), &"r".repeat(100));
        sessions.enter(SessionId(3), &"s".repeat(100));
        assert_eq!([1, 2, 3].map(|id| resume(&sessions, id).is_some()), [true, true, false]);
        assert_eq!(sessions.stats().dropped, 2);
        check(&sessions);
    }

    #[test]
    fn a_name_is_read_as_it_is_written_and_not_printed() {
        let id = SessionId(0xab);
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "ab", &"+".repeat(32), &"0".repeat(33)] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
        assert_eq!(format!("{id:?}"), "SessionId(***)");
    }
}
