//! What the tests of history share: a hub in this process, a client that speaks JSON, a folder.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use throng::hub::history::{History, Keep, Keeper, Rule, SqliteStore};
use throng::hub::{Config, Hub};
use throng::net;

use crate::common::http::Upgrade;
use crate::common::{Frame, RawClient, http};
use crate::running::Running;

/// A folder of its own, removed in the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("throng-history-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub fn file(&self) -> PathBuf {
        self.0.join("throng.db")
    }

    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // what is left is in the way of nobody
    }
}

/// A hub that keeps something.
pub struct Place {
    server: Running,
    /// It goes after the server.
    _keeper: Option<Keeper>,
}

/// Rules by which rooms of `d.*` are durable, and each keeps so many messages.
pub fn history(messages_max: usize) -> History {
    let otherwise = Keep { messages_max, ..Keep::default() };
    let keep = Keep { is_durable: true, ..otherwise.clone() };
    let pattern = throng::hub::auth::Pattern::new("d.*").expect("a pattern");
    History { rules: vec![Rule { pattern, keep }], otherwise, ..History::default() }
}

impl Place {
    pub fn new(loops: usize, history: History) -> Self {
        Self::with(loops, history, None)
    }

    /// With a store in this folder.
    pub fn durable(loops: usize, history: History, folder: &Folder) -> Self {
        let file = folder.file();
        let open = move || SqliteStore::open(&file);
        let keeper = Keeper::start(history.clone(), Default::default(), open).expect("a thread");
        Self::with(loops, history, Some(keeper))
    }

    pub fn with(loops: usize, history: History, keeper: Option<Keeper>) -> Self {
        Self::on(net::Config::default(), loops, history, keeper)
    }

    pub fn on(engine: net::Config, loops: usize, history: History, keeper: Option<Keeper>) -> Self {
        let of_hubs = keeper.clone();
        let server = Running::start(engine, loops, move |index, mailboxes| {
            let config = Config { history: history.clone(), ..Config::default() };
            let hub = Hub::with_config(index, mailboxes.clone(), config);
            match &of_hubs {
                Some(keeper) => hub.keeping(keeper),
                None => hub,
            }
        });
        Self { server, _keeper: keeper }
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
}

/// A client that speaks JSON.
pub struct Person(pub RawClient);

impl Person {
    /// Upgrades, and takes the welcome.
    pub fn open(mut client: RawClient, target: &str) -> (Self, Value) {
        client.send(Upgrade::new(target).bytes());
        client.expect_upgrade();
        let mut person = Self(client);
        let welcome = person.read();
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        (person, welcome)
    }

    pub fn send(&mut self, command: &str) {
        self.0.send(Frame::text(command).bytes());
    }

    pub fn read(&mut self) -> Value {
        serde_json::from_str(&self.0.read_text()).expect("JSON")
    }

    /// The answer to a command; deliveries and news before it are passed over.
    pub fn ask(&mut self, command: &str) -> Value {
        self.send(command);
        loop {
            let message = self.read();
            if message["type"] == "ok" || message["type"] == "error" {
                return message;
            }
        }
    }

    pub fn join(&mut self, room: &str, since: Option<(&Value, u64)>) -> Value {
        let since = since.map_or(String::new(), |(epoch, offset)| {
            format!(r#","since":{{"epoch":{epoch},"offset":{offset}}}"#)
        });
        let answer = self.ask(&format!(r#"{{"type":"join","id":1,"room":"{room}"{since}}}"#));
        assert_eq!(answer["type"], "ok", "{answer}");
        answer
    }

    /// Publishes, and gives the offset that `ok` says.
    pub fn publish(&mut self, room: &str, content: &str) -> u64 {
        let text = format!(r#"{{"type":"text","id":2,"room":"{room}","content":{content}}}"#);
        let answer = self.ask(&text);
        assert_eq!(answer["type"], "ok", "{answer}");
        answer["offset"].as_u64().expect("an offset")
    }

    /// Asks for history: what `fields` say beside the room.
    pub fn history(&mut self, room: &str, fields: &str) -> Value {
        let answer = self.ask(&format!(r#"{{"type":"history","id":3,"room":"{room}"{fields}}}"#));
        assert_eq!(answer["type"], "ok", "{answer}");
        answer
    }
}

/// The offsets of messages.
pub fn offsets(messages: &Value) -> Vec<u64> {
    let messages = messages.as_array().expect("messages").iter();
    messages.map(|message| message["offset"].as_u64().expect("an offset")).collect()
}

/// What `/readyz` says.
pub fn readiness(mut client: RawClient) -> (u16, String) {
    client.send(http::get("/readyz"));
    let answer = client.read_answer(false);
    (answer.status, String::from_utf8(answer.body).expect("words"))
}
