//! A store that cannot be used: publishers of durable rooms are told, nothing is acknowledged that
//! is not there, other rooms go on, and `/readyz` says so until it is over.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

use throng::hub::history::{Keeper, KeeperLimits, SqliteStore};
use throng::net::OsClock;

use crate::common::{Folder, RawClient, Server, eventually, http};
use crate::place::{Place, history, store_of};
use crate::record::{Person, readiness};

fn serve(file: &Path) -> Server {
    let file = file.to_str().expect("a path in UTF-8");
    Server::serve(&["--history-db", file, "--durable", "d.*"])
}

fn person(server: &Server) -> Person {
    let mut person = Person::open(RawClient::connect(server), "/ws").0;
    person.join("m.1", None);
    person
}

/// In this room nothing can be published, and in others all is well.
fn is_told(person: &mut Person) {
    let answer = person.join("d.1", None);
    assert_eq!((&answer["recovered"], answer.get("epoch")), (&json!(false), None));
    let answer = person.ask(r#"{"type":"text","id":7,"room":"d.1","content":1}"#);
    assert_eq!((&answer["code"], &answer["id"]), (&json!("store_unavailable"), &json!(7)));
    let answer = person.ask(r#"{"type":"history","id":8,"room":"d.1"}"#);
    assert_eq!(answer["code"], "store_unavailable");
    assert!(person.publish("m.1", "1") > 0);
}

fn is_unready(server: &Server, reason: &str) {
    eventually("it says that it is not ready", 5.0, || {
        let (status, words) = readiness(RawClient::connect(server));
        status == 503 && words.contains(reason)
    });
    assert!(metric(server, "throng_store_up 0"));
}

fn is_ready(server: &Server) {
    eventually("it is ready", 10.0, || readiness(RawClient::connect(server)).0 == 200);
    assert!(metric(server, "throng_store_up 1"));
}

fn metric(server: &Server, line: &str) -> bool {
    let mut client = RawClient::connect(server);
    client.send(http::get("/metrics"));
    let body = String::from_utf8(client.read_answer(false).body).expect("text");
    body.lines().any(|other| other == line)
}

/// A good file with so many messages.
fn filled(folder: &Folder, count: u64) {
    let place = Place::durable(1, history(100_000), folder);
    let mut ann = place.person("/ws");
    ann.join("d.1", None);
    let content = format!("\"{}\"", "x".repeat(200));
    for _ in 1..count {
        let text = r#"{"type":"text","room":"d.1","content":CONTENT,"echo":false}"#;
        ann.send(&text.replace("CONTENT", &content));
    }
    assert_eq!(ann.publish("d.1", &content), count);
}

#[test]
fn a_locked_file_is_told_of_until_it_is_free() {
    let folder = Folder::new("history");
    filled(&folder, 3);
    let other = rusqlite::Connection::open(store_of(&folder)).expect("it opens");
    other.execute_batch("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE;").expect("it is locked");
    let server = serve(&store_of(&folder));
    is_unready(&server, "locked");
    let mut ann = person(&server);
    is_told(&mut ann);
    other.execute_batch("COMMIT").expect("it is free");
    drop(other);
    is_ready(&server);
    assert_eq!(ann.publish("d.1", "1"), 4);
    // Now it is the server's alone.
    let other = rusqlite::Connection::open(store_of(&folder)).expect("it opens");
    assert!(other.execute_batch("DELETE FROM messages").is_err());
    assert_eq!(ann.publish("d.1", "1"), 5);
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let folder = Folder::new("history");
    let garbage = vec![0x5a_u8; 20_000];
    fs::write(store_of(&folder), &garbage).expect("it is written");
    let server = serve(&store_of(&folder));
    is_unready(&server, "damaged");
    is_told(&mut person(&server));
    assert_eq!(fs::read(store_of(&folder)).expect("it is there"), garbage);
    // Somebody takes it away: it goes on without a restart, and with a new epoch.
    fs::remove_file(store_of(&folder)).expect("it is there");
    is_ready(&server);
    let mut ann = person(&server);
    assert!(ann.join("d.1", None)["epoch"].is_string());
    assert_eq!(ann.publish("d.1", "1"), 1);
}

/// The first page is whole, and what it refers to is not.
#[test]
fn damaged_pages_are_told_of() {
    let folder = Folder::new("history");
    filled(&folder, 2000);
    let mut file = fs::File::options().write(true).open(store_of(&folder)).expect("it is there");
    let len = file.metadata().expect("it has a size").len();
    assert!(len > 100_000);
    file.seek(SeekFrom::Start(4096)).expect("it can be written anywhere");
    file.write_all(&vec![0xa5; len as usize - 4096]).expect("it is written");
    drop(file);
    let server = serve(&store_of(&folder));
    is_unready(&server, "damaged");
    is_told(&mut person(&server));
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let folder = Folder::new("history");
    filled(&folder, 1);
    let other = rusqlite::Connection::open(store_of(&folder)).expect("it opens");
    other.pragma_update(None, "user_version", 99).expect("it is written");
    drop(other);
    let server = serve(&store_of(&folder));
    is_unready(&server, "newer");
    is_told(&mut person(&server));
}

/// A folder that is not there, and one that comes.
#[test]
fn a_file_that_cannot_be_made_is_told_of() {
    let folder = Folder::new("history");
    let file = folder.path().join("sub").join("throng.db");
    let server = serve(&file);
    is_unready(&server, "cannot be opened");
    is_told(&mut person(&server));
    fs::create_dir(folder.path().join("sub")).expect("a folder");
    is_ready(&server);
    assert_eq!(person(&server).publish("m.1", "1"), 2);
}

/// The pages of the file are limited, as a disk is, and then there are more.
#[test]
fn a_full_disk_acknowledges_nothing_and_goes_on_when_there_is_room() {
    let folder = Folder::new("history");
    let pages = Arc::new(AtomicU32::new(40));
    let (file, max) = (store_of(&folder), Arc::clone(&pages));
    let open = move || SqliteStore::open_small(&file, max.load(Ordering::SeqCst));
    let keeper = Keeper::start(history(100_000), KeeperLimits::default(), open).expect("a thread");
    let place = Place::with(1, history(100_000), Some(keeper.clone()));
    let mut ann = place.person("/ws");
    let begin = ann.join("d.1", None);
    ann.join("m.1", None);
    let mut acked: u64 = 0;
    let text = format!(r#"{{"type":"text","id":1,"room":"d.1","content":"{}"}}"#, "x".repeat(900));
    let fault = loop {
        let answer = ann.ask(&text);
        if answer["type"] == "error" {
            break answer["code"].clone();
        }
        acked += 1;
        assert_eq!(answer["offset"], acked);
        assert!(acked < 1000, "it never gets full");
    };
    assert_eq!(fault, "store_unavailable");
    assert!(acked > 20, "{acked}");
    eventually("it says why", 5.0, || keeper.reason().as_deref() == Some("the disk is full"));
    assert_eq!(ann.publish("m.1", "1"), 1);
    pages.store(10_000, Ordering::SeqCst);
    eventually("it goes on", 5.0, || keeper.reason().is_none());
    // No offset was used up by what was refused.
    assert_eq!(ann.publish("d.1", "1"), acked + 1);
    let answer = place.person("/ws").join("d.1", Some((&begin["epoch"], acked)));
    assert_eq!(
        (&answer["recovered"], answer["messages"].as_array().map(Vec::len)),
        (&json!(true), Some(1))
    );
}

/// What a member says while it waits for the store is held, up to a limit; each command past it is
/// answered too, by its id.
#[test]
fn what_is_said_while_waiting_is_held_or_refused_by_its_id() {
    let folder = Folder::new("history");
    let file = store_of(&folder);
    let open = move || SqliteStore::open(&file);
    let (keeper, mut writer) =
        Keeper::by_hand(history(100), KeeperLimits::default(), open, OsClock::default());
    let place = Place::with(1, history(100), Some(keeper));
    let mut ann = place.person("/ws?room=m.1");
    ann.send(r#"{"type":"history","id":1,"room":"d.1"}"#);
    for id in 2..302 {
        ann.send(&format!(r#"{{"type":"presence","id":{id},"room":"m.1"}}"#));
    }
    let refused: Vec<u64> = (0..44)
        .map(|_| {
            let answer = ann.read();
            assert_eq!(answer["code"], "overloaded", "{answer}");
            answer["id"].as_u64().expect("the id of the command")
        })
        .collect();
    assert_eq!(refused, (258..302).collect::<Vec<_>>());
    assert!(writer.step());
    let answered: Vec<_> = (0..257).map(|_| ann.read()["id"].as_u64()).collect();
    assert_eq!(answered, (1..258).map(Some).collect::<Vec<_>>());
}

/// The system refuses to let the files grow: the real binary, which must not die of it.
#[test]
fn a_disk_that_refuses_to_write_is_told_of() {
    let folder = Folder::new("history");
    filled(&folder, 10);
    let mut command = Command::new("sh");
    // In units of 512 bytes or of 1 KiB, as the shell has it. The signal would end the process.
    let line = "trap '' XFSZ; ulimit -f 200; exec \"$0\" serve \"$@\"";
    command.arg("-c").arg(line).arg(crate::common::server::program());
    let file = store_of(&folder);
    let file = file.to_str().expect("a path in UTF-8");
    let server = Server::start(command, &["--history-db", file, "--durable", "d.*"]);
    is_ready(&server);
    let mut ann = person(&server);
    ann.join("d.1", None);
    let text = format!(r#"{{"type":"text","id":1,"room":"d.1","content":"{}"}}"#, "x".repeat(3000));
    let mut acked = 10;
    loop {
        let answer = ann.ask(&text);
        if answer["type"] == "error" {
            assert_eq!(answer["code"], "store_unavailable");
            break;
        }
        acked += 1;
        assert!(acked < 1000, "it is never refused");
    }
    assert!(ann.publish("m.1", "1") > 0);
    drop(server);
    let place = Place::durable(1, history(100_000), &folder);
    let page = place.person("/ws").history("d.1", r#","limit":1"#);
    assert!(page["offset"].as_u64() >= Some(acked), "{acked}: {}", page["offset"]);
}
