//! What the tests share: nodes in this process, a client that speaks JSON.

use std::time::Duration;

use serde_json::{Value, json};

use throng::hub::broker::{Broker, Node, Relay};
use throng::hub::history::{History, Keep, KeeperLimits, Rule};
use throng::hub::{Config, Hub, Metrics};
use throng::net;

use crate::common::{Frame, RawClient, eventually, http};
use crate::running::Running;

/// One node of several.
pub struct Place {
    server: Running,
    pub relay: Relay,
}

/// Rules by which rooms of `d.*` are durable, those of `n.*` keep nothing, and each other keeps so
/// many messages.
pub fn history(messages_max: usize) -> History {
    let otherwise = Keep { messages_max, ..Keep::default() };
    let rule = |pattern: &str, keep| Rule {
        pattern: throng::hub::auth::Pattern::new(pattern).expect("a pattern"),
        keep,
    };
    let durable = Keep { is_durable: true, ..otherwise.clone() };
    let rules = vec![rule("d.*", durable), rule("n.*", Keep::NOTHING)];
    History { rules, otherwise, ..History::default() }
}

impl Place {
    pub fn new(loops: usize, history: History, broker: impl Broker) -> Self {
        Self::limited(loops, history, broker, KeeperLimits::default())
    }

    pub fn limited(
        loops: usize,
        history: History,
        broker: impl Broker,
        limits: KeeperLimits,
    ) -> Self {
        let relay = Relay::start(Node::new("node"), history.clone(), limits, broker);
        let relay = relay.expect("the broker is there");
        let (of_hubs, metrics) = (relay.clone(), Metrics::default());
        metrics.watch_relay(&relay);
        // Some wait long for a server that starts, and read nothing meanwhile.
        let engine =
            net::Config { ping_interval: Duration::from_secs(600), ..net::Config::default() };
        let server = Running::start(engine, loops, move |index, mailboxes| {
            let config = Config { history: history.clone(), ..Config::default() };
            let hub = Hub::with_config(index, mailboxes.clone(), config);
            hub.metrics(&metrics).relaying(&of_hubs)
        });
        Self { server, relay }
    }

    /// Connects, and takes the welcome.
    pub fn person(&self, target: &str) -> Person {
        let mut person = Person(self.server.open(target));
        assert_eq!(person.read()["type"], "welcome");
        person
    }

    /// What `/readyz` says.
    pub fn readiness(&self) -> (u16, String) {
        self.get("/readyz")
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let mut client = self.server.client();
        client.send(http::get(path));
        let answer = client.read_answer(false);
        (answer.status, String::from_utf8(answer.body).expect("words"))
    }

    /// Waits until the broker can be used, or cannot.
    pub fn wait_connected(&self, is_connected: bool) {
        let what = if is_connected { "the broker is back" } else { "the broker is away" };
        eventually(what, 10.0, || self.relay.stats().is_connected == is_connected);
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

    /// The answer to a command; deliveries and news before it are passed over.
    pub fn ask(&mut self, command: &str) -> Value {
        self.send(command);
        self.read_until(|message| message["type"] == "ok" || message["type"] == "error")
    }

    /// The next message of which this holds; others before it are passed over.
    pub fn read_until(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.read();
            if holds(&message) {
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

    /// Publishes, and gives the answer.
    pub fn say(&mut self, room: &str, content: &str) -> Value {
        self.ask(&format!(r#"{{"type":"text","id":2,"room":"{room}","content":{content}}}"#))
    }

    /// Publishes, and gives the offset that `ok` says.
    pub fn publish(&mut self, room: &str, content: &str) -> u64 {
        let answer = self.say(room, content);
        assert_eq!(answer["type"], "ok", "{answer}");
        answer["offset"].as_u64().expect("an offset")
    }

    /// Publishes without an answer.
    pub fn mutter(&mut self, room: &str, content: &str) {
        self.send(&format!(r#"{{"type":"text","room":"{room}","content":{content}}}"#));
    }

    pub fn history(&mut self, room: &str, fields: &str) -> Value {
        let answer = self.ask(&format!(r#"{{"type":"history","id":3,"room":"{room}"{fields}}}"#));
        assert_eq!(answer["type"], "ok", "{answer}");
        answer
    }

    /// The next text: its offset and content.
    pub fn hear(&mut self) -> (Value, Value) {
        let text = self.read_until(|message| message["type"] == "text");
        (text["offset"].clone(), text["content"].clone())
    }

    /// The next texts: their offsets and contents.
    pub fn hear_many(&mut self, count: usize) -> Vec<(Value, Value)> {
        (0..count).map(|_| self.hear()).collect()
    }

    /// The next news of a gap: its epoch and offset.
    pub fn gap(&mut self) -> (Value, u64) {
        let gap = self.read_until(|message| message["event"] == "gap");
        (gap["epoch"].clone(), gap["offset"].as_u64().expect("an offset"))
    }
}

/// The offsets of messages.
pub fn offsets(messages: &Value) -> Vec<u64> {
    let messages = messages.as_array().expect("messages").iter();
    messages.map(|message| message["offset"].as_u64().expect("an offset")).collect()
}

/// An offset and a content, as [`Person::hear`] gives them.
pub fn heard(offset: u64, content: impl Into<Value>) -> (Value, Value) {
    (json!(offset), content.into())
}
