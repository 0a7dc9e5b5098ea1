//! What becomes of a room's messages where a member reads too slowly: by rule, and never without
//! a word.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use crate::common::{RawClient, Server};
use crate::{ask, member, metric, narrow_member};

const SENT: u64 = 3_000;

fn start() -> Server {
    Server::serve(&[
        "--room-backlog",
        "prices.*=keep-latest",
        "--room-backlog",
        "old.*=drop-oldest",
        "--room-backlog",
        "new.*=drop-newest",
        "--backlog-bytes",
        "262144",
        "--compress",
        "off",
    ])
}

/// Publishes so many numbered messages; whether each has a key of seven is for `key` to say.
fn publish(server: &Server, room: &str, bytes: usize, has_key: bool) {
    let mut talker = member(server, &format!("/ws?room={room}&name=talker"));
    let filler = "x".repeat(bytes);
    for number in 0..SENT {
        let key = if has_key { format!(r#""key":"k{}","#, number % 7) } else { String::new() };
        let content = format!(r#"{{"n":{number},"x":"{filler}"}}"#);
        let text = format!(r#"{{"type":"text","id":1,{key}"content":{content},"echo":false}}"#);
        assert_eq!(ask(&mut talker, &text)["type"], "ok");
    }
}

/// Reads all that a slow member gets: the numbers, how much news of who comes and goes, and how
/// many messages it is told that it did not get.
fn read_all(slow: &mut RawClient) -> (Vec<u64>, u64, u64) {
    let (mut numbers, mut news, mut dropped) = (Vec::new(), 0, 0);
    loop {
        let Some(frame) = slow.next_frame(Duration::from_secs(3)) else {
            return (numbers, news, dropped);
        };
        let message: Value = serde_json::from_slice(&frame.payload).expect("JSON");
        match (message["type"].as_str(), message["event"].as_str()) {
            (Some("text"), _) => numbers.push(message["content"]["n"].as_u64().expect("a number")),
            (Some("system"), Some("dropped")) => {
                dropped += message["count"].as_u64().expect("a count");
                assert!(message["content"].is_string() && message["timestamp"].is_u64());
            }
            (Some("system"), _) => news += 1,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn of_each_key_the_latest_is_kept() {
    let server = start();
    let mut slow = narrow_member(&server, "/ws?room=prices.1&name=slow");
    publish(&server, "prices.1", 4_000, true);
    let (numbers, news, dropped) = read_all(&mut slow);
    assert!(numbers.is_sorted(), "in their order");
    assert_eq!(numbers.len() as u64 + news + dropped, SENT + 2, "none without a word");
    assert!(dropped > 500, "{dropped}");
    let latest: HashMap<u64, u64> = numbers.iter().map(|number| (number % 7, *number)).collect();
    assert!((0..7).all(|key| latest[&key] >= SENT - 7), "{latest:?}");
    let replaced = metric(&server, "throng_drops_total{reason=\"replaced\"}");
    assert_eq!(replaced, dropped as f64);
    slow.expect_open();
}

#[test]
fn the_oldest_or_the_newest_are_dropped_and_counted() {
    // Small ones are neighbours in the backlog, large ones stand alone.
    for (room, bytes) in [("old.1", 1_000), ("old.2", 6_000), ("new.1", 1_000), ("new.2", 6_000)] {
        let server = start();
        let mut slow = narrow_member(&server, &format!("/ws?room={room}&name=slow"));
        let sent = if bytes > 5_000 { 1 } else { 2 };
        for _ in 0..sent {
            publish(&server, room, bytes, false);
        }
        let (numbers, news, dropped) = read_all(&mut slow);
        // The talker has come and gone each time.
        let all = numbers.len() as u64 + news + dropped;
        assert_eq!(all, sent * (SENT + 2), "{room}: none without a word");
        assert!(dropped > 100, "{room}: {dropped}");
        let has_last = numbers.last() == Some(&(SENT - 1));
        assert_eq!(has_last, room.starts_with("old"), "{room}");
        slow.expect_open();
    }
}

#[test]
fn a_room_without_a_rule_closes_who_is_too_slow() {
    let server = start();
    let mut slow = narrow_member(&server, "/ws?room=team&name=slow");
    publish(&server, "team", 6_000, false);
    let mut last = None;
    while let Some(frame) = slow.next_frame(Duration::from_secs(3)) {
        last = Some(frame);
    }
    assert_eq!(last.and_then(|frame| frame.close_code()), Some(1008));
}
