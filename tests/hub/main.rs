//! The hub, in this process and over real sockets: rooms, users, presence, bad input, and the way
//! in from outside.
//!
//! Owns the tests of what a client is told. What each command's grammar is stands with the parser.

#[path = "../common/mod.rs"]
mod common;
#[path = "../engine/running.rs"]
mod running;

mod admin;
mod control;
mod door;
mod faults;
mod first;
mod people;
mod refresh;
mod repeats;
mod rooms;
mod sessions;
mod twin;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use throng::hub::sessions::Sessions;
use throng::hub::{Config, Control, Door, Hub, Reply, Task};
use throng::net;

use common::{Frame, RawClient, eventually};
use running::Running;

/// A hub, and the way in from outside.
pub struct Place {
    server: Running,
    pub control: Control,
}

impl Place {
    pub fn new(loops: usize) -> Self {
        Self::with(loops, Config::default())
    }

    pub fn with(loops: usize, config: Config) -> Self {
        Self::behind(loops, config, Door::default())
    }

    pub fn behind(loops: usize, config: Config, door: Door) -> Self {
        Self::start(loops, config, door, None)
    }

    /// With sessions.
    pub fn keeping(loops: usize, door: Door, sessions: Arc<dyn Sessions>) -> Self {
        Self::start(loops, Config::default(), door, Some(sessions))
    }

    fn start(
        loops: usize,
        config: Config,
        door: Door,
        sessions: Option<Arc<dyn Sessions>>,
    ) -> Self {
        let door = Arc::new(door);
        let way_in = Arc::new(Mutex::new(None));
        let found = Arc::clone(&way_in);
        let server = Running::start(net::Config::default(), loops, move |index, mailboxes| {
            *found.lock().expect("not poisoned") = Some(Control::new(mailboxes.clone()));
            let hub = Hub::with_config(index, mailboxes.clone(), config.clone());
            let hub = hub.behind(Arc::clone(&door));
            match &sessions {
                Some(sessions) => hub.resuming(Arc::clone(sessions)),
                None => hub,
            }
        });
        let mut control = None;
        eventually("the loops start", 5.0, || {
            control = way_in.lock().expect("not poisoned").clone();
            control.is_some()
        });
        Self { server, control: control.expect("just seen") }
    }

    /// Connects, and takes the welcome.
    pub fn person(&self, target: &str) -> Person {
        let mut person = Person(self.server.open(target));
        assert_eq!(person.read()["type"], "welcome");
        person
    }

    pub fn client(&self) -> RawClient {
        self.server.client()
    }

    pub fn ask(&self, task: Task) -> Reply {
        let (sender, replies) = std::sync::mpsc::channel();
        self.control.ask(task, move |reply| {
            let _ = sender.send(reply); // the test may have failed
        });
        replies.recv_timeout(Duration::from_secs(10)).expect("the loops answer")
    }

    /// Waits until a room has so many members on every loop.
    pub fn wait_for(&self, room: &str, count: usize) {
        eventually("the loops agree", 5.0, || {
            let task = Task::Rooms { prefix: room.into(), max: 9 };
            let known = self.ask(task).rooms;
            let known = known.iter().find(|info| *info.room == *room);
            known.map_or(0, |info| info.count) == count
        });
    }
}

/// A client that speaks JSON.
pub struct Person(pub RawClient);

impl Person {
    pub fn send(&mut self, command: &str) {
        self.0.send(Frame::text(command).bytes());
    }

    pub fn read(&mut self) -> Value {
        serde_json::from_str(&self.0.read_text()).expect("JSON")
    }

    /// The next message of a type; what comes before it is passed over.
    pub fn next_of(&mut self, kind: &str) -> Value {
        self.next_of_any(&[kind])
    }

    /// The next message of one of these types.
    pub fn next_of_any(&mut self, kinds: &[&str]) -> Value {
        loop {
            let message = self.read();
            if kinds.iter().any(|kind| message["type"] == *kind) {
                return message;
            }
        }
    }

    /// Sends a command, and takes what comes next for its answer.
    pub fn ask(&mut self, command: &str) -> Value {
        self.send(command);
        self.read()
    }

    /// The same, where news of who comes and goes may come first.
    pub fn ask_among_news(&mut self, command: &str) -> Value {
        self.send(command);
        self.next_of("ok")
    }

    /// The code of the error that comes next.
    pub fn fault(&mut self, command: &str) -> String {
        let answer = self.ask(command);
        assert_eq!(answer["type"], "error", "{command}: {answer}");
        assert!(answer["content"].is_string(), "{answer}");
        answer["code"].as_str().expect("a code").to_owned()
    }

    /// Nothing more has come: the answer to a heartbeat is next.
    pub fn has_nothing(&mut self) {
        let answer = self.ask(r#"{"type":"heartbeat"}"#);
        assert_eq!(answer["type"], "heartbeat", "{answer}");
    }
}

/// The names in a list.
pub fn names(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list").iter();
    let mut names: Vec<_> = list.map(|name| name.as_str().expect("a name").to_owned()).collect();
    names.sort();
    names
}
