//! Redis away: what goes on, what is refused, how much waits, and how soon all is one again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::eventually;
use crate::nodes::{Cluster, Node};
use crate::record::Person;

/// What may wait for the broker, and a little that is on its way.
const QUEUE_BYTES_MAX: f64 = (9 << 20) as f64;

fn enter(node: &Node, name: &str) -> Person {
    let mut person = node.person(&format!("/ws?name={name}"));
    ["m.1", "d.1"].iter().for_each(|room| drop(person.join(room, None)));
    person
}

fn text(room: &str, content: &str) -> String {
    format!(r#"{{"type":"text","id":1,"room":"{room}","content":{content}}}"#)
}

/// The next message that somebody has said.
fn next_text(person: &mut Person) -> Value {
    loop {
        let message = person.read();
        if message["type"] == "text" {
            return message;
        }
    }
}

#[test]
fn local_rooms_go_on_and_all_is_one_again_five_seconds_after_redis_is_back() {
    let cluster = Cluster::start(2, &[]);
    let [one, other] = &cluster.nodes[..] else { panic!("two nodes") };
    let (mut ann, mut near) = (enter(one, "ann"), enter(one, "near"));
    let mut far = enter(other, "far");
    for room in ["m.1", "d.1"] {
        assert_eq!(ann.publish(room, "1"), 1);
        for person in [&mut near, &mut far] {
            let got = next_text(person);
            assert_eq!((&got["room"], &got["offset"]), (&json!(room), &json!(1)));
        }
    }
    cluster.redis().kill();
    for node in [one, other] {
        eventually("it is known", 5.0, || node.is_alone());
    }
    // In memory: those of this node get it, and who says it is told.
    assert_eq!(ann.ask(&text("m.1", "2"))["code"], "degraded");
    let got = next_text(&mut near);
    assert_eq!((&got["content"], got.get("offset")), (&json!(2), None));
    // Durable: nobody does.
    assert_eq!(ann.ask(&text("d.1", "3"))["code"], "store_unavailable");
    // Each on its node can come, go and be seen.
    let answer = enter(one, "new").ask(r#"{"type":"presence","id":1,"room":"m.1"}"#);
    assert_eq!(answer["type"], "ok", "{answer}");
    cluster.redis().start_again();
    let back = Instant::now();
    let mut offset = Value::Null;
    eventually("a message has a place again", 5.0, || {
        let answer = ann.ask(&text("m.1", "4"));
        offset = answer["offset"].clone();
        answer["type"] == "ok"
    });
    eventually("a durable room takes messages again", 5.0, || {
        ann.ask(&text("d.1", "5"))["type"] == "ok"
    });
    assert!(back.elapsed() < Duration::from_secs(5), "after {:?}", back.elapsed());
    assert_eq!(offset, 2, "what was said meanwhile has no place");
    for person in [&mut near, &mut far] {
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let got = next_text(person);
            // Those that were refused before have no place.
            if !got["offset"].is_null() {
                seen.push((got["room"].clone(), got["offset"].clone()));
            }
        }
        seen.sort_unstable_by_key(|(room, _)| room.to_string());
        assert_eq!(seen, [(json!("d.1"), json!(2)), (json!("m.1"), json!(2))]);
    }
    assert!(back.elapsed() < Duration::from_secs(5), "after {:?}", back.elapsed());
}

/// The link is there, and nothing comes through: what waits is bounded, and who is too much is
/// told.
#[test]
fn at_most_eight_mebibytes_wait() {
    let cluster = Cluster::start(1, &[]);
    let node = &cluster.nodes[0];
    // Each is alone in its room, so that nobody reads too slowly.
    let mut people: Vec<Person> = (0..4).map(|_| node.person("/ws")).collect();
    for (n, person) in people.iter_mut().enumerate() {
        person.join(&format!("m.{n}"), None);
    }
    node.relay.set(crate::relay::Mode::Hold);
    let content = format!("\"{}\"", "x".repeat(60_000));
    let quiet = r#","echo":false}"#;
    let mut most = 0.0_f64;
    for _ in 0..100 {
        for (n, person) in people.iter_mut().enumerate() {
            let text = text(&format!("m.{n}"), &content);
            person.send(&(text.trim_end_matches('}').to_owned() + quiet));
        }
        most = most.max(node.metric("throng_broker_queue_bytes"));
    }
    assert!(most > (1 << 20) as f64, "{most} bytes waited");
    assert!(most < QUEUE_BYTES_MAX, "{most} bytes waited");
    // Too much for what may wait, or, once Redis is taken for gone, for this node alone.
    let mut codes = Vec::new();
    while let Some(frame) = people[0].0.next_frame(Duration::from_secs(3)) {
        let message: Value = serde_json::from_slice(&frame.payload).expect("JSON");
        if message["type"] == "error" {
            let code = message["code"].as_str().unwrap_or_default().to_owned();
            assert!(["overloaded", "degraded"].contains(&&*code), "{message}");
            codes.push(code);
        }
    }
    assert!(!codes.is_empty(), "somebody is told");
    cluster.heal();
    eventually("nothing waits any more", 10.0, || node.metric("throng_broker_queue_bytes") == 0.0);
    eventually("messages are taken again", 5.0, || {
        let mut new = enter(node, "new");
        new.ask(&text("m.1", "1"))["type"] == "ok"
    });
}
