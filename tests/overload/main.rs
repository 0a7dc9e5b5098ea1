//! The real binary when it has too much to do: the budget, the levels and what each sheds, what
//! becomes of messages for slow members, and what a token says.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod backlogs;
mod budget;
mod levels;
mod sources;
mod sums;
mod tokens;

use common::http::Upgrade;
use common::{Frame, RawClient, Server, eventually, http};

/// The samples of `/metrics` that begin so, by the rest of their names.
fn metric(server: &Server, name: &str) -> f64 {
    let mut client = RawClient::connect(server);
    client.send(http::get("/metrics"));
    let body = String::from_utf8(client.read_answer(false).body).expect("text");
    let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().expect("a number")
}

/// Waits until the level is this.
fn await_level(server: &Server, level: f64) {
    let what = format!("level {level}");
    eventually(&what, 10.0, || metric(server, "throng_degrade_level") == level);
}

/// A member of a room, who has had the welcome.
fn member(server: &Server, target: &str) -> RawClient {
    welcomed(RawClient::open(server, target))
}

/// The same, with a receive buffer so small that it is felt at once when it does not read.
fn narrow_member(server: &Server, target: &str) -> RawClient {
    welcomed(RawClient::open_narrow(server, target))
}

fn welcomed(mut client: RawClient) -> RawClient {
    let welcome = client.read_text();
    assert!(welcome.contains(r#""welcome""#), "{welcome}");
    client
}

fn say(client: &mut RawClient, command: &str) {
    client.send(Frame::text(command).bytes());
}

/// The next answer that is no news of who comes and goes.
fn answer(client: &mut RawClient) -> serde_json::Value {
    loop {
        let text = client.read_text();
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        if value["type"] != "system" {
            return value;
        }
    }
}

fn ask(client: &mut RawClient, command: &str) -> serde_json::Value {
    say(client, command);
    answer(client)
}

/// So many bytes of a request that goes on: a quiet part of what may be held.
fn press(server: &Server, bytes: usize) -> RawClient {
    let mut client = RawClient::connect(server);
    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    head.resize(bytes, b'x');
    client.send(head);
    client
}

/// A handshake, and the status that it gets.
fn knock(server: &Server, target: &str) -> http::Answer {
    let mut client = RawClient::connect(server);
    client.send(Upgrade::new(target).bytes());
    client.read_answer(false)
}
