//! A crowd that comes back at once after a restart: everybody gets what it missed, and the store is
//! read once for each room and not for each of them.
//!
//! `THRONG_FULL=1` makes it 10,000; `THRONG` names another build of the program.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::Folder;
use crate::common::http::{Upgrade, get};
use crate::common::{Frame, RawClient, Server};
use crate::place::store_of;
use crate::record::Person;

const MESSAGES: u64 = 300;

fn serve(folder: &Folder) -> Server {
    let file = store_of(folder);
    let file = file.to_str().expect("a path in UTF-8");
    let flags = ["--history-db", file, "--durable", "d.*", "--history-messages", "1000"];
    Server::serve(&flags)
}

fn reads(server: &Server) -> u64 {
    let mut client = RawClient::connect(server);
    client.send(get("/metrics"));
    let body = String::from_utf8(client.read_answer(false).body).expect("text");
    let line = body.lines().find_map(|line| line.strip_prefix("throng_store_reads_total "));
    line.and_then(|value| value.parse::<f64>().ok()).expect("the metric") as u64
}

/// Clients of one thread come, each with a place of its own, and stay until all have what they
/// missed: how long that took for each.
fn come_back(
    server: &Server,
    epoch: &Value,
    who: std::ops::Range<u64>,
    rooms: u64,
) -> Vec<Duration> {
    let begin = Instant::now();
    let come = |n: u64| {
        let mut client = RawClient::connect(server);
        let since = MESSAGES - 1 - n % 100;
        let (room, place) = (n % rooms, format!(r#"{{"epoch":{epoch},"offset":{since}}}"#));
        let join = format!(r#"{{"type":"join","id":1,"room":"d.{room}","since":{place}}}"#);
        client.send([Upgrade::new("/ws").bytes(), Frame::text(&join).bytes()].concat());
        (client, MESSAGES - since)
    };
    let clients: Vec<_> = who.map(come).collect();
    let answered = clients.into_iter().map(|(mut client, missed)| {
        client.expect_upgrade();
        let mut person = Person(client);
        let answer = loop {
            let message = person.read();
            if message["type"] == "ok" {
                break message;
            }
        };
        assert_eq!(answer["recovered"], true, "{answer}");
        let messages = answer["messages"].as_array().expect("messages");
        assert_eq!(messages.len() as u64, missed);
        (person, begin.elapsed())
    });
    let answered: Vec<_> = answered.collect();
    answered.iter().map(|(_, time)| *time).collect()
}

fn crowd(count: u64, rooms: u64) {
    let folder = Folder::new("history");
    let mut server = serve(&folder);
    let mut ann = Person::open(RawClient::connect(&server), "/ws").0;
    let mut epoch = Value::Null;
    for room in 0..rooms {
        let room = format!("d.{room}");
        epoch = ann.join(&room, None)["epoch"].clone();
        let content = format!("\"{}\"", "x".repeat(100));
        for _ in 1..MESSAGES {
            let text = r#"{"type":"text","room":"ROOM","content":CONTENT,"echo":false}"#;
            ann.send(&text.replace("ROOM", &room).replace("CONTENT", &content));
        }
        assert_eq!(ann.publish(&room, &content), MESSAGES);
    }
    server.signal("KILL");
    server.wait_exit(5.0);
    let server = serve(&folder);
    let threads = 8;
    let mut times: Vec<Duration> = thread::scope(|scope| {
        let share = |at: u64| count * at / threads..count * (at + 1) / threads;
        let (server, epoch) = (&server, &epoch);
        let come = |at| scope.spawn(move || come_back(server, epoch, share(at), rooms));
        let running: Vec<_> = (0..threads).map(come).collect();
        running.into_iter().flat_map(|one| one.join().expect("no panic")).collect()
    });
    times.sort_unstable();
    let (half, last) = (times[times.len() / 2], times[times.len() - 1]);
    let reads = reads(&server);
    println!("{count} clients, {rooms} rooms: half {half:.2?}, all {last:.2?}, {reads} reads");
    assert_eq!(times.len() as u64, count);
    assert!(reads <= rooms, "{reads} reads");
}

#[test]
fn who_comes_back_in_a_crowd_costs_the_store_no_more_than_one() {
    let is_full = std::env::var_os("THRONG_FULL").is_some();
    let count = if is_full { 10_000 } else { 200 };
    rlimit::increase_nofile_limit(count + 1000).expect("files may be opened");
    crowd(count, 1);
    crowd(count, 10);
}

/// What is not in memory any more, since the room was loaded long ago, is read once for all who ask
/// for the same at one time.
#[test]
fn the_same_piece_is_read_once_for_many() {
    let folder = Folder::new("history");
    let server = serve(&folder);
    let mut ann = Person::open(RawClient::connect(&server), "/ws").0;
    ann.join("d.1", None);
    // More than is kept in memory when the room is read again: a page of 1 MiB.
    let content = format!("\"{}\"", "x".repeat(4000));
    for _ in 0..400 {
        let text = r#"{"type":"text","room":"d.1","content":CONTENT,"echo":false}"#;
        ann.send(&text.replace("CONTENT", &content));
    }
    assert_eq!(ann.publish("d.1", "1"), 401);
    drop(ann);
    drop(server);
    let server = serve(&folder);
    let mut people: Vec<_> =
        (0..50).map(|_| Person::open(RawClient::connect(&server), "/ws").0).collect();
    people[0].history("d.1", r#","limit":1"#);
    let before = reads(&server);
    for person in &mut people {
        person.send(r#"{"type":"history","id":3,"room":"d.1","limit":100,"before":50}"#);
    }
    for person in &mut people {
        let answer = person.read();
        assert_eq!(answer["messages"].as_array().map(Vec::len), Some(49));
    }
    let reads = reads(&server) - before;
    assert!((1..50).contains(&reads), "{reads} reads");
    println!("50 questions, {reads} reads");
}
