//! Members whose every word is known: they say numbers in rooms, come and go, and take down what
//! they see, for the checker of `record`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::random::Random;
use crate::common::{Chunking, Frame, RawClient};
use crate::record::{Event, Kept, Wanderer};
use crate::served::Served;

/// One in memory, one durable.
pub const ROOMS: [&str; 2] = ["m.1", "d.1"];

/// How many messages of a member may be on their way.
const WINDOW: usize = 16;

/// A member.
pub struct Talker<'a>(Wanderer<'a>);

impl<'a> Talker<'a> {
    pub fn new(server: &'a Served, seed: u64) -> Self {
        let dial = |_: &mut Random| server.dial().ok().map(RawClient::on);
        Self(Wanderer::new(&ROOMS, seed, true, Box::new(dial)))
    }

    /// Says something until it is over, and leaves now and then.
    pub fn talk(mut self, first: u64, is_over: &AtomicBool) -> Self {
        let mut id = first;
        while !is_over.load(Ordering::SeqCst) {
            let Self(one) = &mut self;
            one.mend();
            one.client.publish(ROOMS[one.random.below(ROOMS.len())], id);
            id += 1;
            one.client.settle(WINDOW);
            self.listen(70);
            if self.0.random.below(200) == 0 {
                self.0.come_back();
            }
        }
        self.0.client.settle(0);
        self
    }

    /// Listens for a moment at a time until it is over.
    pub fn walk(mut self, is_over: &AtomicBool) -> Self {
        while !is_over.load(Ordering::SeqCst) {
            self.listen(900);
            self.0.come_back();
        }
        self
    }

    /// Takes what comes for a while of at most so many milliseconds.
    fn listen(&mut self, most_ms: usize) {
        let Self(one) = self;
        let end = Instant::now() + Duration::from_millis(one.random.below(most_ms) as u64);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            one.client.pump(left.max(Duration::from_millis(1)));
            one.mend();
        }
    }

    /// Sees all there is, and tells what has happened.
    pub fn finish(self, kept: &Kept) -> Vec<Event> {
        self.0.finish(kept, Duration::from_secs(30))
    }
}

/// Says numbers through the HTTP API until it is over; what was sent, and what was answered.
pub fn publish(server: &Served, first: u64, is_over: &AtomicBool) -> Vec<Event> {
    let mut events = Vec::new();
    for id in first.. {
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        let room = ROOMS[id as usize % ROOMS.len()].to_owned();
        events.push(Event::Sent { room: room.clone(), id });
        let body = format!(r#"{{"room":"{room}","content":{id},"message_id":"api-{id}"}}"#);
        match server.post("publish", &body) {
            Ok((200, body)) => {
                let answer: Value = serde_json::from_str(&body).expect("JSON");
                let offset = answer["published"][0]["offset"].as_u64();
                events.extend(offset.map(|offset| Event::Acked { room, id, offset }));
            }
            Ok((status, body)) => {
                assert_eq!(status, 503, "{body}");
                events.push(Event::Refused { room, id, code: "503".into() });
            }
            Err(_) => {} // nobody knows
        }
        thread::sleep(Duration::from_millis(100));
    }
    events
}

/// Takes down what the rooms keep, before it is too old to be kept.
pub struct Scribe<'a> {
    server: &'a Served,
    client: Option<RawClient>,
    pub kept: Kept,
}

impl<'a> Scribe<'a> {
    pub fn new(server: &'a Served) -> Self {
        let kept = ROOMS.iter().map(|room| ((*room).to_owned(), Vec::new())).collect();
        Self { server, client: None, kept }
    }

    /// Reads until it is over.
    pub fn read(mut self, is_over: &AtomicBool) -> Self {
        while !is_over.load(Ordering::SeqCst) {
            ROOMS.iter().for_each(|room| while self.turn_page(room) == Some(true) {});
            thread::sleep(Duration::from_millis(500));
        }
        self
    }

    /// Reads up to the end; where it cannot, the server is not well again.
    pub fn finish(mut self) -> Kept {
        for room in ROOMS {
            let end = Instant::now() + Duration::from_secs(30);
            while self.turn_page(room) != Some(false) {
                assert!(Instant::now() < end, "{room} cannot be read");
            }
        }
        self.kept
    }

    /// Takes the next page of a room; whether there is more, if it could be read.
    fn turn_page(&mut self, room: &str) -> Option<bool> {
        let page = self.ask(room);
        if page.is_none() {
            self.client = None; // it may be the connection
        }
        let (page, rows) = (page?, self.kept.get_mut(room)?);
        for message in page["messages"].as_array()? {
            rows.push((message["offset"].as_u64()?, message["content"].as_u64()?));
        }
        page["more"].as_bool()
    }

    fn ask(&mut self, room: &str) -> Option<Value> {
        if self.client.is_none() {
            let mut client = RawClient::on(self.server.dial().ok()?);
            let is_open = client.try_upgrade("/ws?name=scribe", crate::served::PATIENCE);
            self.client = is_open.then_some(client);
        }
        let client = self.client.as_mut()?;
        let after = self.kept[room].last().map_or(0, |(offset, _)| *offset);
        let question =
            format!(r#"{{"type":"history","id":1,"room":"{room}","limit":1000,"after":{after}}}"#);
        client.try_send(&Frame::text(question).bytes(), Chunking::Whole).ok()?;
        loop {
            let frame = client.next_frame(crate::served::PATIENCE)?;
            let said: Value = serde_json::from_slice(&frame.payload).ok()?;
            match said["type"].as_str()? {
                "ok" => return Some(said),
                "error" => return None,
                _ => {}
            }
        }
    }
}
