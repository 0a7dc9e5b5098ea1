//! The outbox in the SQLite file: events that are yet to be handed over.
//!
//! Owns its statements, and the count of what stands in it. Never begins or ends a transaction, and
//! never hands anything over. After a failure the count is wrong: the file is opened anew.

use rusqlite::types::ToSql;
use rusqlite::{Connection, Row, Transaction, params};

use super::sqlite::signed;
use super::{Entry, Epoch, Position};
use crate::hub::sink::{Event, EventKind, Held};

/// The outbox of a file that is open.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    all: Held,
    /// The messages of durable rooms.
    firm: Held,
    /// Up to this number all was handed over.
    handed: u64,
    /// Up to this number all is gone.
    gone: u64,
}

/// An event to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    kind: EventKind,
    room: &'a str,
    sender: &'a str,
    content: Option<&'a str>,
    position: Option<Position>,
    timestamp: u64,
    bytes: u64,
    /// Whether it may not be dropped.
    is_firm: bool,
}

impl<'a> Line<'a> {
    pub(super) fn of(event: &'a Event) -> Self {
        Self {
            kind: event.kind,
            room: &event.room,
            sender: &event.sender,
            content: event.content.as_deref(),
            position: event.position,
            timestamp: event.timestamp,
            bytes: event.bytes(),
            is_firm: false,
        }
    }

    /// A message of a durable room, which has its place first when it is written.
    pub(super) fn of_entry(entry: &Entry<'a>) -> Self {
        let Entry { room, sender, content, timestamp, .. } = *entry;
        Self {
            kind: EventKind::Message,
            room,
            sender,
            content: Some(content),
            position: None,
            timestamp,
            bytes: Event::bytes_of(room, sender, content),
            is_firm: true,
        }
    }

    pub(super) fn at(self, position: Position) -> Self {
        Self { position: Some(position), ..self }
    }
}

impl Outbox {
    pub(super) fn open(connection: &Connection) -> rusqlite::Result<Self> {
        let all = count(connection, "SELECT count(*), total(bytes) FROM outbox", params![])?;
        let firm = "SELECT count(*), total(bytes) FROM outbox WHERE is_firm = 1";
        let firm = count(connection, firm, params![])?;
        Ok(Self { all, firm, handed: 0, gone: 0 })
    }

    pub(super) const fn held(&self) -> Held {
        self.all
    }

    /// Whether a message of a durable room finds room, if all goes that may.
    pub(super) fn has_room(&self, line: &Line<'_>, max: Held) -> bool {
        let firm = self.firm;
        firm.events < max.events && firm.bytes + line.bytes <= max.bytes
    }

    pub(super) fn insert(
        &mut self,
        transaction: &Transaction<'_>,
        line: &Line<'_>,
    ) -> rusqlite::Result<()> {
        let mut statement = transaction.prepare_cached(
            "INSERT INTO outbox
                 (kind, is_firm, bytes, timestamp, epoch, offset, room, sender, content)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        let epoch = line.position.map(|position| position.epoch.0.cast_signed());
        let offset = line.position.map(|position| position.offset.cast_signed());
        statement.execute(params![
            line.kind as i64,
            line.is_firm,
            signed(line.bytes),
            signed(line.timestamp),
            epoch,
            offset,
            line.room,
            line.sender,
            line.content,
        ])?;
        let more = Held { events: 1, bytes: line.bytes };
        self.all = self.all.plus(more);
        if line.is_firm {
            self.firm = self.firm.plus(more);
        }
        Ok(())
    }

    /// Deletes what was handed over.
    pub(super) fn forget_handed(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        if self.handed <= self.gone {
            return Ok(());
        }
        let handed = signed(self.handed);
        let of = "SELECT count(*), total(bytes) FROM outbox WHERE seq <= ?1";
        self.all = self.all.minus(count(transaction, of, params![handed])?);
        let of = "SELECT count(*), total(bytes) FROM outbox WHERE seq <= ?1 AND is_firm = 1";
        self.firm = self.firm.minus(count(transaction, of, params![handed])?);
        transaction.prepare_cached("DELETE FROM outbox WHERE seq <= ?1")?.execute([handed])?;
        self.gone = self.handed;
        Ok(())
    }

    /// Drops the oldest that may go, where there is too much: how many.
    pub(super) fn trim(
        &mut self,
        transaction: &Transaction<'_>,
        max: Held,
    ) -> rusqlite::Result<u64> {
        let mut dropped = 0;
        while self.all.events > max.events || self.all.bytes > max.bytes {
            // Some at once, so that a full outbox is not trimmed at every write.
            let excess = self.all.events.saturating_sub(max.events).max(max.events / 1024 + 1);
            let mut statement = transaction.prepare_cached(
                "DELETE FROM outbox WHERE seq IN
                     (SELECT seq FROM outbox WHERE is_firm = 0 ORDER BY seq LIMIT ?1)
                 RETURNING bytes",
            )?;
            let mut gone = Held::default();
            let mut cursor = statement.query([signed(excess)])?;
            while let Some(row) = cursor.next()? {
                let bytes: i64 = row.get(0)?;
                gone = gone.plus(Held { events: 1, bytes: bytes.cast_unsigned() });
            }
            if gone.events == 0 {
                break; // what is left has to stay
            }
            self.all = self.all.minus(gone);
            dropped += gone.events;
        }
        Ok(dropped)
    }

    /// What stands behind the number `after`, up to which all was handed over.
    pub(super) fn read(
        &mut self,
        connection: &Connection,
        after: u64,
        events_max: usize,
        bytes_max: usize,
    ) -> rusqlite::Result<Vec<(u64, Event)>> {
        self.handed = self.handed.max(after);
        let mut statement = connection.prepare_cached(
            "SELECT seq, kind, timestamp, epoch, offset, room, sender, content FROM outbox
             WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )?;
        let mut cursor = statement.query(params![signed(after), events_max as i64])?;
        let (mut events, mut bytes) = (Vec::new(), 0);
        while let Some(row) = cursor.next()? {
            let event = event(row)?;
            bytes += event.bytes();
            if !events.is_empty() && bytes > bytes_max as u64 {
                break;
            }
            let seq: i64 = row.get(0)?;
            events.push((seq.cast_unsigned(), event));
        }
        Ok(events)
    }
}

fn count(connection: &Connection, of: &str, params: &[&dyn ToSql]) -> rusqlite::Result<Held> {
    connection.prepare_cached(of)?.query_row(params, |row| {
        let (events, bytes): (i64, f64) = (row.get(0)?, row.get(1)?);
        Ok(Held { events: events.cast_unsigned(), bytes: bytes as u64 })
    })
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let (kind, timestamp): (i64, i64) = (row.get(1)?, row.get(2)?);
    let (epoch, offset): (Option<i64>, Option<i64>) = (row.get(3)?, row.get(4)?);
    let (room, sender): (String, String) = (row.get(5)?, row.get(6)?);
    let content: Option<String> = row.get(7)?;
    let position = |(epoch, offset): (i64, i64)| Position {
        epoch: Epoch(epoch.cast_unsigned()),
        offset: offset.cast_unsigned(),
    };
    Ok(Event {
        kind: EventKind::ALL
            .into_iter()
            .find(|it| *it as i64 == kind)
            .unwrap_or(EventKind::Message),
        room: room.into(),
        sender: sender.into(),
        content: content.map(Into::into),
        position: epoch.zip(offset).map(position),
        timestamp: timestamp.cast_unsigned(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::{Keep, SqliteStore, Store, Taken, Write};
    use super::*;

    struct File(PathBuf);

    impl File {
        fn new(name: &str) -> Self {
            let name = format!("throng-outbox-{}-{name}.db", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn open(&self) -> SqliteStore {
            SqliteStore::open(&self.0).expect("it opens")
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            for end in ["db", "db-wal"] {
                let _ = std::fs::remove_file(self.0.with_extension(end));
            }
        }
    }

    const MAX: Held = Held { events: 100, bytes: 100_000 };

    fn join(timestamp: u64) -> Event {
        let (room, sender) = ("a".into(), "ann".into());
        Event { kind: EventKind::Join, room, sender, content: None, position: None, timestamp }
    }

    fn say(store: &mut SqliteStore, content: &str, max: Held) -> Option<u64> {
        let keep = Keep::default();
        let (room, sender) = ("d", "ann");
        let entry =
            Entry { room, sender, content, timestamp: 9, id: None, keep: &keep, is_noted: true };
        let written = store.append(&[Write::Message(entry)], max).expect("it is written");
        written.places[0].map(|place| place.position.offset)
    }

    fn note(store: &mut SqliteStore, timestamp: u64, max: Held) -> u64 {
        store.append(&[Write::Event(&join(timestamp))], max).expect("it is written").dropped
    }

    fn times(store: &mut SqliteStore, after: u64) -> Vec<(u64, u64)> {
        let epoch = store.take(None, 1, 1).expect("it is read").epoch;
        let taken = store.take(Some((epoch, after)), 100, 1 << 20).expect("it is read");
        taken.events.iter().map(|(seq, event)| (*seq, event.timestamp)).collect()
    }

    #[test]
    fn what_was_not_handed_over_is_there_after_a_restart_and_numbers_go_on() {
        let file = File::new("restart");
        let mut store = file.open();
        for n in 1..=3 {
            note(&mut store, n, MAX);
        }
        assert_eq!(say(&mut store, "1", MAX), Some(1));
        let taken = store.take(None, 100, 1 << 20).expect("it is read");
        let (seq, last) = taken.events.last().expect("four");
        let position = Position { epoch: taken.epoch, offset: 1 };
        assert_eq!((*seq, last.position, last.content.as_deref()), (4, Some(position), Some("1")));
        assert_eq!(times(&mut store, 2), [(3, 3), (4, 9)]);
        store.sweep(&|_| 0).expect("it is swept");
        assert_eq!(store.held().events, 2);
        drop(store);
        let mut store = file.open();
        assert_eq!(store.held().events, 2);
        assert_eq!(times(&mut store, 0), [(3, 3), (4, 9)]);
        // All is handed over: the next has a number of its own all the same.
        assert_eq!(times(&mut store, 4), []);
        store.sweep(&|_| 0).expect("it is swept");
        assert_eq!(store.held(), Held::default());
        drop(store);
        let mut store = file.open();
        note(&mut store, 7, MAX);
        assert_eq!(times(&mut store, 0), [(5, 7)]);
    }

    #[test]
    fn a_full_outbox_drops_the_oldest_and_never_the_message_of_a_durable_room() {
        let file = File::new("full");
        let mut store = file.open();
        let max = Held { events: 4, bytes: 100_000 };
        assert_eq!(say(&mut store, "1", max), Some(1));
        let dropped: u64 = (1..=6).map(|n| note(&mut store, n, max)).sum();
        assert!(dropped > 0 && store.held().events <= 4);
        assert_eq!(times(&mut store, 0)[0], (1, 9));
        for n in 2..=4 {
            assert_eq!(say(&mut store, "1", max), Some(n));
        }
        assert_eq!(say(&mut store, "1", max), None);
        assert_eq!(note(&mut store, 7, max), 1);
        assert_eq!(store.held().events, 4);
        // One is handed over: there is room for one, which has the offset that was not used.
        assert_eq!(times(&mut store, 1).len(), 3);
        assert_eq!((say(&mut store, "1", max), say(&mut store, "1", max)), (Some(5), None));
        // Bytes are bounded as well.
        assert_eq!(say(&mut store, "1", Held { events: 9, bytes: 100 }), None);
    }

    /// As where somebody takes a broken file away while the server runs.
    #[test]
    fn a_number_of_another_outbox_says_nothing_of_this_one() {
        let file = File::new("another");
        let mut store = file.open();
        for n in 1..=3 {
            note(&mut store, n, MAX);
        }
        let Taken { epoch, .. } = store.take(None, 1, 1).expect("it is read");
        let other = Some((Epoch(epoch.0 ^ 1), 2));
        assert_eq!(store.take(other, 100, 1 << 20).expect("it is read").events.len(), 3);
        store.sweep(&|_| 0).expect("it is swept");
        assert_eq!(store.held().events, 3);
    }

    #[test]
    fn a_batch_holds_to_its_bytes_but_is_never_empty() {
        let file = File::new("bytes");
        let mut store = file.open();
        for n in 1..=3 {
            note(&mut store, n, MAX);
        }
        let mut count = |bytes| store.take(None, 100, bytes).expect("it is read").events.len();
        let one = join(1).bytes() as usize;
        assert_eq!([count(0), count(one * 2), count(one * 9)], [1, 2, 3]);
    }
}
