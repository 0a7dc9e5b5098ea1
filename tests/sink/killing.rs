//! `kill -9` of the server while a service fails now and then: every durable message that was
//! acknowledged comes to it at least once, in the order of its room.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use crate::common::Folder;
use crate::common::random::Random;
use crate::common::{RawClient, Server};
use crate::failures::contents;
use crate::receiver::{OK, Receiver, Reply, once, serve_telling, store_of};
use crate::record::Person;

const ROOMS: [&str; 2] = ["d.1", "d.2"];

/// What a publisher knows.
#[derive(Default)]
struct Record {
    acked: HashMap<&'static str, Vec<u64>>,
    next: u64,
}

/// Publishes until the server is gone, which is killed after so many messages.
fn live(server: &mut Server, record: &mut Record, cut: usize, random: &mut Random) {
    let mut ann = Person::open(RawClient::connect(server), "/ws?name=ann").0;
    for room in ROOMS {
        ann.join(room, None);
    }
    let mut sent = HashMap::new();
    for _ in 0..cut {
        let (room, n) = (ROOMS[random.below(2)], record.next);
        record.next += 1;
        sent.insert(n, room);
        let text = r#"{"type":"text","id":N,"room":"ROOM","content":N,"echo":false}"#;
        ann.send(&text.replace('N', &n.to_string()).replace("ROOM", room));
    }
    let kill_after = random.below(cut);
    let mut is_alive = true;
    let mut acked = Vec::new();
    loop {
        if is_alive && acked.len() >= kill_after {
            server.signal("KILL");
            is_alive = false;
        }
        match ann.0.next_frame(Duration::from_millis(if is_alive { 5 } else { 500 })) {
            Some(frame) => {
                let answer: Value = serde_json::from_slice(&frame.payload).expect("JSON");
                if answer["type"] == "ok" {
                    acked.push(answer["id"].as_u64().expect("an id"));
                }
            }
            None if is_alive => {}
            None => break,
        }
    }
    server.wait_exit(10.0);
    for n in acked {
        record.acked.entry(sent[&n]).or_default().push(n);
    }
}

#[test]
fn what_was_acknowledged_comes_whatever_happens() {
    let lives = if std::env::var_os("THRONG_FULL").is_some() { 50 } else { 6 };
    let rule = |number: usize, _: &str| match number % 7 {
        3 => Reply::Status(500, ""),
        5 => Reply::Hangup,
        _ => OK,
    };
    let (folder, receiver) = (Folder::new("sink"), Receiver::new(rule));
    let flags = ["--sink-batch", "9", "--sink-events", "message", "--history-messages", "100000"];
    let serve = || serve_telling(&store_of(&folder), &receiver.url(), &flags);
    let (mut record, mut random) = (Record::default(), Random::new(21));
    for _ in 0..lives {
        live(&mut serve(), &mut record, 400, &mut random);
    }
    let server = serve();
    let mut ann = Person::open(RawClient::connect(&server), "/ws").0;
    let mut kept = 0;
    for room in ROOMS {
        let offset = ann.join(room, None)["offset"].as_u64().expect("an offset");
        kept += offset as usize;
    }
    let events = receiver.wait_for(kept, 60.0);
    let came = contents(&events);
    let acked: usize = record.acked.values().map(Vec::len).sum();
    println!(
        "{lives} lives: {acked} acknowledged, {kept} kept, {} told in {} requests",
        receiver.taken().len(),
        receiver.posts().len()
    );
    assert!(acked > lives * 20, "{acked}");
    assert_eq!(events.len(), kept, "what is kept is what is told");
    for room in ROOMS {
        let came = &came[room];
        assert!(came.is_sorted_by(|one, other| one < other), "{room} is out of order");
        for n in &record.acked[room] {
            assert!(came.binary_search(n).is_ok(), "{n} of {room} was lost");
        }
    }
    // An event that came twice came as the same.
    let mut by_id = HashMap::new();
    for event in receiver.taken() {
        let id = event["id"].to_string();
        assert_eq!(*by_id.entry(id).or_insert_with(|| event.clone()), event);
    }
    assert_eq!(once(receiver.taken()).len(), by_id.len());
}
