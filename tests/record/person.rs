//! A client that speaks JSON, and asks one thing at a time.

use std::time::Duration;

use serde_json::Value;

use crate::common::http::{self, Upgrade};
use crate::common::{Frame, RawClient};

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

    /// The same, where the server may be about to go.
    pub fn try_open(mut client: RawClient, target: &str) -> Option<Self> {
        let patience = Duration::from_secs(10);
        let is_open = client.try_upgrade(target, patience);
        is_open.then(|| client.next_frame(patience))?.map(|_| Self(client))
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

    /// Asks for history: what `fields` say beside the room.
    pub fn history(&mut self, room: &str, fields: &str) -> Value {
        let answer = self.ask(&format!(r#"{{"type":"history","id":3,"room":"{room}"{fields}}}"#));
        assert_eq!(answer["type"], "ok", "{answer}");
        answer
    }

    /// Publishes without an answer.
    pub fn mutter(&mut self, room: &str, content: &str) {
        self.send(&format!(r#"{{"type":"text","room":"{room}","content":{content}}}"#));
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

/// What `/readyz` says.
pub fn readiness(mut client: RawClient) -> (u16, String) {
    client.send(http::get("/readyz"));
    let answer = client.read_answer(false);
    (answer.status, String::from_utf8(answer.body).expect("words"))
}
