//! Messages that come again in durable rooms: the store knows them, over a restart too.

use std::time::Duration;

use serde_json::{Value, json};
use throng::hub::history::{Entry, EntryId, Keep, Span, SqliteStore, Store, Write};
use throng::hub::sink::Held;

use crate::common::Folder;
use crate::place::{Place, history, store_of};
use crate::record::{Person, offsets};

/// Writes these: the offset of each, and whether it was there before.
fn append(store: &mut SqliteStore, entries: &[Entry<'_>]) -> Vec<(u64, bool)> {
    let entries: Vec<_> = entries.iter().copied().map(Write::Message).collect();
    let places = store.append(&entries, Held::default()).expect("written").places;
    places.into_iter().flatten().map(|it| (it.position.offset, it.is_repeat)).collect()
}

fn publish(person: &mut Person, id: &str, content: &str) -> Value {
    let text = json!({"type": "text", "id": 2, "room": "d.1", "content": content,
        "message_id": id});
    person.ask(&text.to_string())
}

#[test]
fn rule_23_a_durable_message_is_known_after_a_restart() {
    let folder = Folder::new("history");
    for (round, loops) in [1, 2, 3].into_iter().enumerate() {
        let place = Place::durable(loops, history(100), &folder);
        let mut ann = place.person("/ws?name=ann");
        ann.join("d.1", None);
        for n in 0..3 {
            // A few that are on their way at once, of which one is written.
            for _ in 0..3 {
                let text = json!({"type": "text", "room": "d.1", "content": n,
                    "message_id": format!("m{n}"), "echo": false});
                ann.send(&text.to_string());
            }
            let ok = publish(&mut ann, &format!("m{n}"), "again");
            assert_eq!((&ok["offset"], &ok["duplicate"]), (&json!(n + 1), &json!(true)), "{ok}");
        }
        let fresh = publish(&mut ann, &format!("round {round}"), "fresh");
        assert_eq!((&fresh["offset"], fresh.get("duplicate")), (&json!(round + 4), None));
        let page = ann.history("d.1", "");
        assert_eq!(offsets(&page["messages"]), (1..=round as u64 + 4).collect::<Vec<_>>());
    }
}

#[test]
fn the_store_knows_an_id_by_room_sender_and_age() {
    let folder = Folder::new("history");
    let mut store = SqliteStore::open(&store_of(&folder)).expect("a file");
    let keep = Keep { is_durable: true, messages_max: 100, ..Keep::default() };
    let (content, is_noted) = ("1", false);
    let mut say = |room: &str, sender: &str, id: Option<&str>, timestamp: u64| {
        let id = id.map(|text| EntryId { text, oldest_ms: timestamp.saturating_sub(1000) });
        let entry = Entry { room, sender, content, timestamp, id, keep: &keep, is_noted };
        append(&mut store, &[entry])[0]
    };
    assert_eq!(say("a", "ann", Some("1"), 5000), (1, false));
    assert_eq!(say("a", "ann", Some("1"), 5999), (1, true));
    assert_eq!(say("a", "bob", Some("1"), 5999), (2, false));
    assert_eq!(say("b", "ann", Some("1"), 5999), (1, false));
    assert_eq!(say("a", "ann", Some("2"), 5999), (3, false));
    assert_eq!(say("a", "ann", None, 5999), (4, false));
    assert_eq!(say("a", "ann", Some("1"), 6000), (5, false), "its window is over");
    assert_eq!(say("a", "ann", Some("1"), 6500), (5, true));
    // Twice in one batch, of a room that is new.
    let id = Some(EntryId { text: "1", oldest_ms: 0 });
    let (room, sender) = ("c", "s");
    let entry = Entry { room, sender, content, timestamp: 9, id, keep: &keep, is_noted };
    assert_eq!(append(&mut store, &[entry, entry]), [(1, false), (1, true)]);
    let rows = store.read("c", Span::Newest, 9, 1 << 20, 0).expect("read");
    assert_eq!((rows.position.offset, rows.rows.len()), (1, 1));
}

/// A file of the first version is brought up to date, and has what it had.
#[test]
fn a_file_without_ids_gets_them() {
    let folder = Folder::new("history");
    let keep = Keep { is_durable: true, age: Duration::from_secs(60), ..Keep::default() };
    let (room, sender, content, timestamp, is_noted) = ("a", "ann", "1", 7, false);
    let entry = |id| Entry { room, sender, content, timestamp, id, keep: &keep, is_noted };
    let mut store = SqliteStore::open(&store_of(&folder)).expect("a file");
    append(&mut store, &[entry(None)]);
    drop(store);
    let old = rusqlite::Connection::open(store_of(&folder)).expect("a file");
    old.execute_batch(
        "DROP TABLE outbox; DROP INDEX messages_by_id; ALTER TABLE messages DROP COLUMN message_id;
         PRAGMA user_version = 1;",
    )
    .expect("as it was");
    drop(old);
    let mut store = SqliteStore::open(&store_of(&folder)).expect("it is brought up to date");
    let id = Some(EntryId { text: "1", oldest_ms: 0 });
    assert_eq!(append(&mut store, &[entry(id), entry(id)]), [(2, false), (2, true)]);
}
