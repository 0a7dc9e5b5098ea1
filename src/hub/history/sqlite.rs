//! The store in one SQLite file.
//!
//! Owns the schema, its migrations and the statements. The file is locked for as long as the store
//! is open: two servers that wrote to it would not tell each other's clients.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params,
};

use super::outbox::{Line, Outbox};
use super::{
    Entry, EntryId, Epoch, Placed, Position, Row, Rows, Span, Store, StoreError, Taken, Write,
    Written,
};
use crate::hub::sink::Held;

/// How long somebody else's lock is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// How many rooms are remembered by name.
const ROOMS_KNOWN_MAX: usize = 16_384;

/// How many rooms a sweep looks at.
const SWEEP_ROOMS: u32 = 64;

/// What a probe writes, in bytes: more than fits into what the last page has left.
const PROBE_BYTES: u32 = 32 << 10;

/// Each brings the schema one version further; `user_version` counts them.
const MIGRATIONS: [&str; 3] = [
    "
    -- One line: the epoch of every room, made with the file.
    CREATE TABLE history (epoch INTEGER NOT NULL);
    INSERT INTO history VALUES (random());
    -- last_offset: how many messages the room has had.
    CREATE TABLE rooms (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last_offset INTEGER NOT NULL
    ) STRICT;
    -- timestamp: milliseconds since 1970. status: 0 is published; rows of any other are not read.
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY, room INTEGER NOT NULL REFERENCES rooms (id),
        offset INTEGER NOT NULL, sender TEXT NOT NULL, content TEXT NOT NULL,
        timestamp INTEGER NOT NULL, status INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE UNIQUE INDEX messages_by_offset ON messages (room, offset);
    CREATE TABLE probe (bytes BLOB NOT NULL);
",
    // message_id: by which its sender's message is known where it comes again.
    "
    ALTER TABLE messages ADD COLUMN message_id TEXT;
    CREATE INDEX messages_by_id ON messages (room, message_id) WHERE message_id IS NOT NULL;
",
    // What is yet to be handed to another service. kind: 1 join, 2 leave, 3 message. is_firm: the
    // message of a durable room. seq is never used again.
    "
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, is_firm INTEGER NOT NULL,
        bytes INTEGER NOT NULL, timestamp INTEGER NOT NULL, epoch INTEGER, offset INTEGER,
        room TEXT NOT NULL, sender TEXT NOT NULL, content TEXT
    ) STRICT;
    CREATE INDEX outbox_loose ON outbox (seq) WHERE is_firm = 0;
",
];

/// A store in one SQLite file, which it makes when it is not there. Needs the feature `cli`.
///
/// ```
/// use throng::hub::history::{Entry, Keep, Span, SqliteStore, Store, Write};
/// use throng::hub::sink::Held;
///
/// let file = std::env::temp_dir().join(format!("throng-doc-{}.db", std::process::id()));
/// let mut store = SqliteStore::open(&file)?;
/// let keep = Keep::default();
/// let (room, sender, content, timestamp, id) = ("a", "ann", "1", 7, None);
/// let entry = Entry { room, sender, content, timestamp, id, keep: &keep, is_noted: false };
/// let written = store.append(&[Write::Message(entry)], Held::default())?;
/// assert_eq!(written.places[0].map(|place| place.position.offset), Some(1));
/// assert_eq!(store.read("a", Span::Newest, 10, 1000, 0)?.rows.len(), 1);
/// # drop(store);
/// # std::fs::remove_file(&file).unwrap();
/// # Ok::<(), throng::hub::history::StoreError>(())
/// ```
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    epoch: Epoch,
    /// The numbers of rooms that were written to.
    rooms: HashMap<Box<str>, Room>,
    /// Up to which room, by its number, the last sweep has come.
    swept: i64,
    outbox: Outbox,
}

/// What is written in one transaction.
struct Round<'a, 'b> {
    transaction: &'a Transaction<'a>,
    rooms: &'a HashMap<Box<str>, Room>,
    outbox: &'a mut Outbox,
    epoch: Epoch,
    /// The rooms with new messages, and the last of each.
    written: HashMap<&'b str, (Room, &'b Entry<'b>)>,
}

/// A room as the file has it.
#[derive(Clone, Copy, Debug)]
struct Room {
    id: i64,
    offset: u64,
}

impl From<rusqlite::Error> for StoreError {
    /// Words for everyone: what SQLite says can name files, and goes to the log.
    fn from(error: rusqlite::Error) -> Self {
        tracing::debug!(%error, "the store says");
        let words = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => "the disk is full",
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "the file is locked",
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "the file is damaged",
            Some(ErrorCode::CannotOpen) => "the file cannot be opened",
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => "the file is read-only",
            Some(ErrorCode::SystemIoFailure) => "the disk fails",
            Some(_) | None => "the file cannot be used",
        };
        Self(words.into())
    }
}

impl SqliteStore {
    /// Opens the file, or makes it, and brings its schema up to date.
    ///
    /// # Errors
    /// What SQLite says: it cannot be written to, another process has locked it, it is no database,
    /// or a newer throng has made it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::with(Connection::open(path)?)
    }

    /// The same, with pages of which there may be `pages_max`: a disk that is full, for tests.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_small(path: &Path, pages_max: u32) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "max_page_count", pages_max)?;
        Self::with(connection)
    }

    fn with(mut connection: Connection) -> Result<Self, StoreError> {
        connection.busy_timeout(LOCK_TIMEOUT)?;
        connection.pragma_update(None, "locking_mode", "exclusive")?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.set_prepared_statement_cache_capacity(32);
        let transaction = Self::begin(&mut connection)?;
        let version: u32 =
            transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let Some(missing) = MIGRATIONS.get(version as usize..) else {
            return Err(StoreError(format!("schema {version} is of a newer throng")));
        };
        for migration in missing {
            transaction.execute_batch(migration)?;
        }
        transaction.pragma_update(None, "user_version", MIGRATIONS.len() as u32)?;
        let epoch: i64 =
            transaction.query_row("SELECT epoch FROM history", [], |row| row.get(0))?;
        let outbox = Outbox::open(&transaction)?;
        transaction.commit()?;
        let epoch = Epoch(epoch.cast_unsigned());
        Ok(Self { connection, epoch, rooms: HashMap::new(), swept: 0, outbox })
    }

    /// To write from the start: a lock that is taken half way is refused at once.
    fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
        connection.transaction_with_behavior(TransactionBehavior::Immediate)
    }
}

impl<'b> Round<'_, 'b> {
    /// Writes a message, if it is not there; `None` where the outbox has no room for it.
    fn place(
        &mut self,
        entry: &'b Entry<'b>,
        outbox_max: Held,
    ) -> rusqlite::Result<Option<Placed>> {
        let known = self.written.get(entry.room).map(|(room, _)| *room);
        let mut room = match known.or_else(|| self.rooms.get(entry.room).copied()) {
            Some(room) => room,
            None => open_room(self.transaction, entry.room)?,
        };
        if let Some(id) = entry.id
            && let Some(offset) = find_message(self.transaction, room, entry.sender, id)?
        {
            let position = Position { epoch: self.epoch, offset };
            return Ok(Some(Placed { position, is_repeat: true }));
        }
        let line = entry.is_noted.then(|| Line::of_entry(entry));
        if line.as_ref().is_some_and(|line| !self.outbox.has_room(line, outbox_max)) {
            return Ok(None);
        }
        room.offset += 1;
        insert(self.transaction, room, entry)?;
        self.written.insert(entry.room, (room, entry));
        let position = Position { epoch: self.epoch, offset: room.offset };
        if let Some(line) = line {
            self.outbox.insert(self.transaction, &line.at(position))?;
        }
        Ok(Some(Placed { position, is_repeat: false }))
    }

    /// Takes note of how far the rooms are, and drops what they do not keep any more.
    fn trim(&self) -> rusqlite::Result<()> {
        for (room, last) in self.written.values() {
            let mut update = self
                .transaction
                .prepare_cached("UPDATE rooms SET last_offset = ?2 WHERE id = ?1")?;
            update.execute(params![room.id, room.offset.cast_signed()])?;
            let gone = room.offset.saturating_sub(last.keep.messages_max as u64);
            let mut trim = self
                .transaction
                .prepare_cached("DELETE FROM messages WHERE room = ?1 AND offset <= ?2")?;
            trim.execute(params![room.id, gone.cast_signed()])?;
        }
        Ok(())
    }
}

impl Store for SqliteStore {
    fn append(&mut self, batch: &[Write<'_>], outbox_max: Held) -> Result<Written, StoreError> {
        if self.rooms.len() > ROOMS_KNOWN_MAX {
            self.rooms.clear();
        }
        let transaction = Self::begin(&mut self.connection)?;
        self.outbox.forget_handed(&transaction)?;
        let (rooms, outbox) = (&self.rooms, &mut self.outbox);
        let (epoch, written) = (self.epoch, HashMap::new());
        let mut round = Round { transaction: &transaction, rooms, outbox, epoch, written };
        let mut places = Vec::with_capacity(batch.len());
        for write in batch {
            match write {
                Write::Message(entry) => places.push(round.place(entry, outbox_max)?),
                Write::Event(event) => round.outbox.insert(&transaction, &Line::of(event))?,
            }
        }
        round.trim()?;
        let written = round.written;
        let dropped = self.outbox.trim(&transaction, outbox_max)?;
        transaction.commit()?;
        for (name, (room, _)) in written {
            match self.rooms.get_mut(name) {
                Some(known) => *known = room,
                None => drop(self.rooms.insert(name.into(), room)),
            }
        }
        Ok(Written { places, dropped })
    }

    fn read(
        &mut self,
        room: &str,
        span: Span,
        messages_max: usize,
        bytes_max: usize,
        oldest_ms: u64,
    ) -> Result<Rows, StoreError> {
        let found = find_room(&self.connection, room)?;
        let Some(room) = found else {
            let position = Position { epoch: self.epoch, offset: 0 };
            return Ok(Rows { position, rows: Vec::new(), has_more: false });
        };
        let (from, to, order) = match span {
            Span::Newest => (0, i64::MAX, "DESC"),
            Span::Before(offset) => (0, signed(offset).saturating_sub(1), "DESC"),
            Span::After(offset) => (signed(offset).saturating_add(1), i64::MAX, "ASC"),
        };
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT offset, sender, content, timestamp FROM messages
             WHERE room = ?1 AND offset BETWEEN ?2 AND ?3 AND timestamp >= ?4 AND status = 0
             ORDER BY offset {order}"
        ))?;
        let mut cursor = statement.query(params![room.id, from, to, signed(oldest_ms)])?;
        let (mut rows, mut bytes, mut has_more) = (Vec::new(), 0, false);
        while let Some(found) = cursor.next()? {
            let row = row(found)?;
            bytes += row.sender.len() + row.content.len();
            if rows.len() >= messages_max || (!rows.is_empty() && bytes > bytes_max) {
                has_more = true;
                break;
            }
            rows.push(row);
        }
        if !matches!(span, Span::After(_)) {
            rows.reverse();
        }
        let position = Position { epoch: self.epoch, offset: room.offset };
        Ok(Rows { position, rows, has_more })
    }

    fn take(
        &mut self,
        after: Option<(Epoch, u64)>,
        events_max: usize,
        bytes_max: usize,
    ) -> Result<Taken, StoreError> {
        let after = after.filter(|(epoch, _)| *epoch == self.epoch).map_or(0, |(_, seq)| seq);
        let events = self.outbox.read(&self.connection, after, events_max, bytes_max)?;
        Ok(Taken { epoch: self.epoch, events })
    }

    fn held(&self) -> Held {
        self.outbox.held()
    }

    fn sweep(&mut self, oldest_ms: &dyn Fn(&str) -> u64) -> Result<(), StoreError> {
        let transaction = Self::begin(&mut self.connection)?;
        self.outbox.forget_handed(&transaction)?;
        let mut rooms: Vec<(i64, String)> = Vec::new();
        {
            let mut statement = transaction
                .prepare_cached("SELECT id, name FROM rooms WHERE id > ?1 ORDER BY id LIMIT ?2")?;
            let mut cursor = statement.query(params![self.swept, SWEEP_ROOMS])?;
            while let Some(found) = cursor.next()? {
                rooms.push((found.get(0)?, found.get(1)?));
            }
            // Messages of a room stand in the order of their times: the first that is young enough
            // ends it.
            let mut delete = transaction.prepare_cached(
                "DELETE FROM messages WHERE room = ?1 AND offset < coalesce(
                    (SELECT offset FROM messages WHERE room = ?1 AND timestamp >= ?2
                     ORDER BY offset LIMIT 1), 9223372036854775807)",
            )?;
            for (id, name) in &rooms {
                delete.execute(params![id, signed(oldest_ms(name))])?;
            }
        }
        transaction.commit()?;
        self.swept = rooms.last().map_or(0, |(id, _)| *id);
        Ok(())
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        let transaction = Self::begin(&mut self.connection)?;
        transaction.execute("INSERT INTO probe VALUES (zeroblob(?1))", [PROBE_BYTES])?;
        transaction.commit()?;
        self.connection.execute("DELETE FROM probe", [])?;
        Ok(())
    }
}

/// SQLite's whole numbers have a sign.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn find_room(connection: &Connection, name: &str) -> rusqlite::Result<Option<Room>> {
    let mut statement =
        connection.prepare_cached("SELECT id, last_offset FROM rooms WHERE name = ?1")?;
    let room = |row: &rusqlite::Row<'_>| {
        let offset: i64 = row.get(1)?;
        Ok(Room { id: row.get(0)?, offset: offset.cast_unsigned() })
    };
    statement.query_row([name], room).optional()
}

fn open_room(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<Room> {
    if let Some(room) = find_room(transaction, name)? {
        return Ok(room);
    }
    let mut statement =
        transaction.prepare_cached("INSERT INTO rooms (name, last_offset) VALUES (?1, 0)")?;
    Ok(Room { id: statement.insert([name])?, offset: 0 })
}

/// The offset of a message that is there already.
fn find_message(
    transaction: &Transaction<'_>,
    room: Room,
    sender: &str,
    id: EntryId<'_>,
) -> rusqlite::Result<Option<u64>> {
    let mut statement = transaction.prepare_cached(
        "SELECT offset FROM messages
         WHERE room = ?1 AND message_id = ?2 AND sender = ?3 AND timestamp > ?4",
    )?;
    let oldest_ms = signed(id.oldest_ms);
    let offset = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    let found = statement.query_row(params![room.id, id.text, sender, oldest_ms], offset);
    Ok(found.optional()?.map(i64::cast_unsigned))
}

fn insert(transaction: &Transaction<'_>, room: Room, entry: &Entry<'_>) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO messages (room, offset, sender, content, timestamp, message_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let (offset, timestamp) = (room.offset.cast_signed(), signed(entry.timestamp));
    let Entry { sender, content, id, .. } = entry;
    let id = id.map(|id| id.text);
    statement.execute(params![room.id, offset, sender, content, timestamp, id])?;
    Ok(())
}

fn row(found: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let (offset, timestamp): (i64, i64) = (found.get(0)?, found.get(3)?);
    let (sender, content): (String, String) = (found.get(1)?, found.get(2)?);
    Ok(Row {
        offset: offset.cast_unsigned(),
        sender: sender.into(),
        content: content.into(),
        timestamp: timestamp.cast_unsigned(),
    })
}
