//! Many clients that publish, leave and come back at once: everyone sees one order.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use throng::net;

use crate::checker::{Event, Joined, Trial, check};
use crate::common::RawClient;
use crate::common::random::Random;
use crate::place::{Folder, Person, Place, history, offsets};

/// How many messages of a client may be on their way.
const WINDOW: usize = 32;

/// A client that takes down what it does and what it is told.
pub struct Recorder {
    person: Person,
    pub events: Vec<Event>,
    /// Its messages without an answer, the oldest first: the id, and the room.
    pub pending: VecDeque<(u64, String)>,
    /// Up to where it knows each room.
    pub known: HashMap<String, (Value, u64)>,
    /// How many of its messages were not taken.
    pub refused: usize,
    since: Option<u64>,
    /// Its last `join`.
    asked: String,
    is_joining: bool,
}

impl Recorder {
    pub fn new(client: RawClient) -> Self {
        Self {
            person: Person::open(client, "/ws").0,
            events: Vec::new(),
            pending: VecDeque::new(),
            known: HashMap::new(),
            refused: 0,
            since: None,
            asked: String::new(),
            is_joining: false,
        }
    }

    /// Comes back on another connection; what is not answered never will be.
    pub fn reconnect(&mut self, client: RawClient) {
        self.person = Person::open(client, "/ws").0;
        self.pending.clear();
    }

    /// Comes into a room, and gets what it missed there.
    pub fn join(&mut self, room: &str) {
        let known = self.known.get(room);
        self.since = known.map(|(_, offset)| *offset);
        let since = known.map_or(String::new(), |(epoch, offset)| {
            format!(r#","since":{{"epoch":{epoch},"offset":{offset}}}"#)
        });
        self.asked = format!(r#"{{"type":"join","id":"join","room":"{room}"{since}}}"#);
        self.person.send(&self.asked.clone());
        self.is_joining = true;
        let end = Instant::now() + Duration::from_secs(20);
        while self.is_joining {
            assert!(Instant::now() < end, "no answer to join");
            self.pump(Duration::from_millis(100));
        }
    }

    pub fn publish(&mut self, room: &str, id: u64) {
        self.events.push(Event::Sent { room: room.into(), id });
        self.pending.push_back((id, room.into()));
        let text = format!(r#"{{"type":"text","id":{id},"room":"{room}","content":{id}}}"#);
        let frame = crate::common::Frame::text(&text).bytes();
        // The server may be gone: then there is no answer, and no more to see.
        let _ = self.person.0.try_send(&frame, crate::common::Chunking::Whole);
    }

    /// Takes one message, if one comes; whether it did.
    pub fn pump(&mut self, patience: Duration) -> bool {
        let Some(frame) = self.person.0.next_frame(patience) else { return false };
        let message: Value = serde_json::from_slice(&frame.payload).expect("JSON");
        match message["type"].as_str() {
            Some("text") => self.see(&message),
            Some("ok") if message["id"] == "join" => self.joined(&message),
            Some("ok") => {
                let id = message["id"].as_u64().expect("the id of a message");
                let room = self.answered(id);
                let offset = message["offset"].as_u64().expect("an offset");
                self.events.push(Event::Acked { room, id, offset });
            }
            Some("error") if message["id"] == "join" => {
                assert_eq!(message["code"], "overloaded", "{message}");
                let again = self.asked.clone();
                self.person.send(&again);
            }
            Some("error") => {
                drop(self.answered(message["id"].as_u64().expect("the id of a message")));
                self.refused += 1;
            }
            _ => {}
        }
        true
    }

    /// Takes all that comes until nothing of its own is on its way, or the server is gone.
    pub fn settle(&mut self, left: usize) {
        let end = Instant::now() + Duration::from_secs(30);
        while self.pending.len() > left {
            assert!(Instant::now() < end, "no answer to {:?}", self.pending.front());
            self.pump(Duration::from_millis(100));
        }
    }

    /// Waits until it has seen a room up to an offset.
    pub fn see_up_to(&mut self, room: &str, offset: u64) {
        let end = Instant::now() + Duration::from_secs(30);
        while self.known[room].1 < offset {
            assert!(Instant::now() < end, "{room}: {} of {offset}", self.known[room].1);
            self.pump(Duration::from_millis(100));
        }
        // What should not come would come now.
        while self.pump(Duration::from_millis(20)) {}
        self.events.push(Event::Ended { room: room.into() });
    }

    fn answered(&mut self, id: u64) -> String {
        let at = self.pending.iter().position(|(other, _)| *other == id);
        self.pending.remove(at.unwrap_or_else(|| panic!("{id} was not asked"))).expect("found").1
    }

    fn see(&mut self, message: &Value) {
        let room = message["room"].as_str().expect("a room").to_owned();
        let (id, offset) = place(message);
        if let Some(known) = self.known.get_mut(&room) {
            known.1 = offset;
        }
        self.events.push(Event::Seen { room, id, offset });
    }

    fn joined(&mut self, answer: &Value) {
        let room = answer["room"].as_str().expect("a room").to_owned();
        let offset = answer["offset"].as_u64().unwrap_or_else(|| panic!("{answer}"));
        self.known.insert(room.clone(), (answer["epoch"].clone(), offset));
        let joined = Joined {
            epoch: answer["epoch"].to_string(),
            offset,
            since: self.since,
            recovered: answer["recovered"] == true,
            messages: answer["messages"]
                .as_array()
                .expect("a list")
                .iter()
                .map(place)
                .map(|(id, offset)| (offset, id))
                .collect(),
        };
        self.events.push(Event::Joined { room, joined });
        self.is_joining = false;
    }
}

/// The id of a message, which is its content, and its offset.
fn place(message: &Value) -> (u64, u64) {
    let number = |field: &str| message[field].as_u64().unwrap_or_else(|| panic!("{message}"));
    (number("content"), number("offset"))
}

/// All that a room has kept, page by page.
pub fn kept(person: &mut Person, room: &str) -> Vec<(u64, u64)> {
    let mut rows = Vec::new();
    loop {
        let after = rows.last().map_or(0, |(offset, _)| *offset);
        let page = person.history(room, &format!(r#","limit":1000,"after":{after}"#));
        let messages = page["messages"].as_array().expect("messages");
        rows.extend(messages.iter().map(place).map(|(id, offset)| (offset, id)));
        assert!(offsets(&page["messages"]).is_sorted());
        if page["more"] != true {
            return rows;
        }
    }
}

/// Four that publish and four that come and go, in two rooms at once.
fn run(place: &Place, rooms: [&str; 2], seed: u64, count: usize) -> (Trial, usize) {
    let publishing = AtomicUsize::new(4);
    let clients = thread::scope(|scope| {
        let publishers: Vec<_> = (0..4_u64)
            .map(|number| {
                let publishing = &publishing;
                scope.spawn(move || {
                    let mut random = Random::new(seed + number);
                    let mut client = Recorder::new(place.client());
                    rooms.iter().for_each(|room| client.join(room));
                    for n in 0..count as u64 {
                        client.publish(rooms[random.below(2)], number << 32 | n);
                        client.settle(WINDOW);
                        if random.below(50) == 0 {
                            thread::sleep(Duration::from_millis(2));
                        }
                    }
                    client.settle(0);
                    publishing.fetch_sub(1, Ordering::SeqCst);
                    client
                })
            })
            .collect();
        let walkers: Vec<_> = (0..4)
            .map(|number| {
                let publishing = &publishing;
                scope.spawn(move || {
                    let mut random = Random::new(seed * 100 + number);
                    let mut client = Recorder::new(place.client());
                    while publishing.load(Ordering::SeqCst) > 0 {
                        rooms.iter().for_each(|room| client.join(room));
                        let end = Instant::now() + Duration::from_millis(random.below(40) as u64);
                        while Instant::now() < end {
                            client.pump(Duration::from_millis(1));
                        }
                        client.reconnect(place.client());
                    }
                    rooms.iter().for_each(|room| client.join(room));
                    client
                })
            })
            .collect();
        let all = publishers.into_iter().chain(walkers);
        all.map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    let mut reader = place.person("/ws");
    let (mut trial, mut refused) = (Trial::default(), 0);
    for room in rooms {
        trial.kept.insert(room.into(), kept(&mut reader, room));
    }
    for mut client in clients {
        for room in rooms {
            client.see_up_to(room, trial.kept[room].len() as u64);
        }
        refused += client.refused;
        trial.clients.push(client.events);
    }
    (trial, refused)
}

/// What really happens over so many loops.
pub fn record(loops: usize, seed: u64) -> Trial {
    let place = Place::new(loops, history(1_000_000));
    let (trial, refused) = run(&place, ["m.1", "m.2"], seed, 400);
    assert_eq!(refused, 0);
    trial
}

fn assert_true(trial: &Trial) {
    assert_eq!(check(trial), Vec::<String>::new());
    let resumed = trial.clients.iter().flatten().filter(
        |event| matches!(event, Event::Joined { joined, .. } if !joined.messages.is_empty()),
    );
    assert!(resumed.count() > 5, "somebody had missed something");
}

#[test]
fn all_loops_see_one_order_and_nobody_misses_anything() {
    for (loops, seed) in [(1, 1), (2, 2), (4, 3)] {
        assert_true(&record(loops, seed));
    }
}

#[test]
fn the_same_holds_for_durable_rooms() {
    for (loops, seed) in [(1, 4), (3, 5)] {
        let folder = Folder::new();
        let place = Place::durable(loops, history(1_000_000), &folder);
        let (trial, refused) = run(&place, ["d.1", "d.2"], seed, 400);
        assert_eq!(refused, 0);
        assert_true(&trial);
    }
}

/// Loops that cannot tell each other all at once: some messages are refused, and none is lost.
#[test]
fn full_mailboxes_cost_no_order() {
    let engine = net::Config { mailbox_max: 3, ..net::Config::default() };
    let place = Place::on(engine, 4, history(1_000_000), None);
    let (trial, refused) = run(&place, ["m.1", "m.2"], 6, 600);
    assert_true(&trial);
    assert!(refused > 0, "the mailboxes were never full");
}
