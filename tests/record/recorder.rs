//! A client that takes down what it does and what it is told, for the checker.

use std::collections::{HashMap, HashSet, VecDeque};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::checker::{Event, Joined};
use super::person::{Person, offsets};
use crate::common::{Chunking, Frame, RawClient, frame};

/// How long it waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a `join` may have to be said again.
const PASSING: [&str; 3] = ["overloaded", "degraded", "store_unavailable"];

/// A client that takes down what it does and what it is told.
pub struct Recorder {
    person: Person,
    pub events: Vec<Event>,
    /// Its messages without an answer, the oldest first: the id, and the room.
    pub pending: VecDeque<(u64, String)>,
    /// Up to where it knows each room.
    pub known: HashMap<String, (Value, u64)>,
    /// The rooms of which it does not know how far they are.
    pub blind: HashSet<String>,
    since: Option<u64>,
    /// Its last `join`.
    asked: String,
    is_joining: bool,
    is_closed: bool,
}

impl Recorder {
    pub fn new(client: RawClient) -> Self {
        Self {
            person: Person::open(client, "/ws").0,
            events: Vec::new(),
            pending: VecDeque::new(),
            known: HashMap::new(),
            blind: HashSet::new(),
            since: None,
            asked: String::new(),
            is_joining: false,
            is_closed: false,
        }
    }

    /// Comes back on another connection; what is not answered never will be.
    pub fn reconnect(&mut self, client: RawClient) {
        assert!(self.try_reconnect(client), "no handshake");
    }

    /// The same, where the server may be about to go; whether it did.
    pub fn try_reconnect(&mut self, client: RawClient) -> bool {
        let Some(person) = Person::try_open(client, "/ws") else { return false };
        (self.person, self.is_closed, self.is_joining) = (person, false, false);
        self.pending.clear();
        true
    }

    /// The end of its connection will be a reset.
    pub fn break_off(&self) {
        let socket = socket2::SockRef::from(&self.person.0.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    }

    /// Whether its connection is gone.
    pub fn is_gone(&self) -> bool {
        self.is_closed || self.person.0.is_ended()
    }

    /// How many of its messages were not taken.
    pub fn refused(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Refused { .. })).count()
    }

    /// Comes into a room, and gets what it missed there.
    pub fn join(&mut self, room: &str) {
        assert!(self.try_join(room), "{room}: the connection is gone");
    }

    /// The same, where the server may be about to go; whether there was an answer.
    pub fn try_join(&mut self, room: &str) -> bool {
        let known = self.known.get(room);
        self.since = known.map(|(_, offset)| *offset);
        let since = known.map_or(String::new(), |(epoch, offset)| {
            format!(r#","since":{{"epoch":{epoch},"offset":{offset}}}"#)
        });
        self.asked = format!(r#"{{"type":"join","id":"join","room":"{room}"{since}}}"#);
        self.say(&self.asked.clone());
        self.is_joining = true;
        let end = Instant::now() + PATIENCE;
        while self.is_joining {
            if self.is_gone() {
                return false;
            }
            assert!(Instant::now() < end, "no answer to {}", self.asked);
            self.pump(Duration::from_millis(100));
        }
        true
    }

    pub fn publish(&mut self, room: &str, id: u64) {
        self.events.push(Event::Sent { room: room.into(), id });
        self.pending.push_back((id, room.into()));
        self.say(&format!(r#"{{"type":"text","id":{id},"room":"{room}","content":{id}}}"#));
    }

    /// Takes one message, if one comes; whether it did.
    pub fn pump(&mut self, patience: Duration) -> bool {
        let Some(frame) = self.person.0.next_frame(patience) else { return false };
        if frame.opcode != frame::TEXT {
            self.is_closed |= frame.opcode == frame::CLOSE;
            return true;
        }
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
                let code = message["code"].as_str().unwrap_or_default();
                assert!(PASSING.contains(&code), "{message}");
                thread::sleep(Duration::from_millis(5));
                self.say(&self.asked.clone());
            }
            Some("error") => {
                let id = message["id"].as_u64().unwrap_or_else(|| panic!("{message}"));
                let (room, code) = (self.answered(id), message["code"].as_str().expect("a code"));
                self.events.push(Event::Refused { room, id, code: code.into() });
            }
            Some("system") if message["event"] == "gap" => {
                self.lose_sight(message["room"].as_str().expect("a room"));
            }
            _ => {}
        }
        true
    }

    /// Takes all that comes until no more of its own is on its way, or the server is gone.
    pub fn settle(&mut self, left: usize) {
        let end = Instant::now() + PATIENCE;
        while self.pending.len() > left && !self.is_gone() {
            assert!(Instant::now() < end, "no answer to {:?}", self.pending.front());
            self.pump(Duration::from_millis(100));
        }
    }

    /// Waits until it has seen a room up to an offset.
    pub fn see_up_to(&mut self, room: &str, offset: u64) {
        let end = Instant::now() + PATIENCE;
        while self.known[room].1 < offset {
            assert!(Instant::now() < end, "{room}: {} of {offset}", self.known[room].1);
            self.pump(Duration::from_millis(100));
        }
        // What should not come would come now.
        while self.pump(Duration::from_millis(20)) {}
        self.events.push(Event::Ended { room: room.into() });
    }

    /// The server may be gone: then there is no answer, and no more to see.
    fn say(&mut self, command: &str) {
        let _ = self.person.0.try_send(&Frame::text(command).bytes(), Chunking::Whole);
    }

    fn answered(&mut self, id: u64) -> String {
        let at = self.pending.iter().position(|(other, _)| *other == id);
        self.pending.remove(at.unwrap_or_else(|| panic!("{id} was not asked"))).expect("found").1
    }

    fn lose_sight(&mut self, room: &str) {
        self.blind.insert(room.into());
        self.events.push(Event::Blind { room: room.into() });
    }

    fn see(&mut self, message: &Value) {
        let room = message["room"].as_str().expect("a room").to_owned();
        if message["offset"].is_null() {
            let id = message["content"].as_u64().expect("an id");
            self.events.push(Event::Unplaced { room, id });
            return;
        }
        let (id, offset) = place(message);
        if let Some(known) = self.known.get_mut(&room)
            && !self.blind.contains(&room)
        {
            known.1 = offset;
        }
        self.events.push(Event::Seen { room, id, offset });
    }

    fn joined(&mut self, answer: &Value) {
        self.is_joining = false;
        let room = answer["room"].as_str().expect("a room").to_owned();
        let Some(offset) = answer["offset"].as_u64() else { return self.lose_sight(&room) };
        self.blind.remove(&room);
        self.known.insert(room.clone(), (answer["epoch"].clone(), offset));
        let messages = answer["messages"].as_array().expect("a list").iter().map(place);
        let joined = Joined {
            epoch: answer["epoch"].to_string(),
            offset,
            since: self.since,
            recovered: answer["recovered"] == true,
            messages: messages.map(|(id, offset)| (offset, id)).collect(),
        };
        self.events.push(Event::Joined { room, joined });
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
