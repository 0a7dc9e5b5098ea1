//! What goes wrong with a broker, over the one in memory.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use throng::hub::broker::{Memory, Node, Relay};
use throng::hub::history::KeeperLimits;

use crate::common::eventually;
use crate::nodes::{Place, heard, history, offsets};

fn two(memory: &Memory) -> (Place, Place) {
    (Place::new(1, history(100), memory.clone()), Place::new(2, history(100), memory.clone()))
}

#[test]
fn a_node_does_not_start_without_its_broker() {
    let memory = Memory::default();
    memory.leave();
    let limits = KeeperLimits::default();
    let relay = Relay::start(Node::new("a"), history(1), limits, memory.clone());
    assert!(relay.is_err_and(|error| error.to_string().contains("away")));
}

#[test]
fn what_was_lost_on_the_way_is_read() {
    let memory = Memory::default();
    let (one, other) = two(&memory);
    let (mut ann, mut bob) = (one.person("/ws"), other.person("/ws"));
    ann.join("a", None);
    bob.join("a", None);
    assert_eq!(ann.publish("a", "1"), 1);
    memory.lose(3);
    (2..=4).for_each(|n| drop(ann.say("a", &n.to_string())));
    assert_eq!(ann.publish("a", "5"), 5);
    assert_eq!(bob.hear_many(5), (1..=5).map(|n| heard(n, n)).collect::<Vec<_>>());
    let stats = other.relay.stats();
    assert_eq!((stats.filled, stats.gaps), (1, 0));
}

#[test]
fn what_was_lost_and_is_not_kept_is_told_of() {
    let memory = Memory::default();
    let (one, other) = two(&memory);
    let (mut ann, mut bob) = (one.person("/ws"), other.person("/ws"));
    let epoch = ann.join("a", None)["epoch"].clone();
    bob.join("a", None);
    memory.lose(5);
    (1..=5).for_each(|n| drop(ann.say("a", &n.to_string())));
    memory.trim(2);
    ann.publish("a", "6");
    assert_eq!(bob.gap(), (epoch, 3));
    assert_eq!(bob.hear_many(3), (4..=6).map(|n| heard(n, n)).collect::<Vec<_>>());
    assert_eq!(other.relay.stats().gaps, 1);
}

#[test]
fn while_the_broker_is_away_a_node_serves_its_members() {
    let memory = Memory::default();
    let (one, other) = two(&memory);
    let mut ann = one.person("/ws?name=ann");
    let mut eve = one.person("/ws?name=eve");
    let mut bob = other.person("/ws?name=bob");
    let epoch = ann.join("a", None)["epoch"].clone();
    eve.join("a", None);
    bob.join("a", None);
    ann.join("d.1", None);
    ann.join("n.1", None);
    assert_eq!(ann.publish("a", "1"), 1);
    memory.leave();
    one.wait_connected(false);
    let answer = ann.say("a", "2");
    assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("degraded")));
    assert_eq!(eve.hear_many(2), [heard(1, 1), (Value::Null, json!(2))]);
    assert_eq!(ann.say("d.1", "1")["code"], "store_unavailable");
    assert_eq!(ann.say("n.1", "1")["code"], "degraded");
    // Who comes is let in, and gets what is in memory; who comes to another room knows no place.
    let mut joe = one.person("/ws");
    let answer = joe.join("a", Some((&epoch, 0)));
    assert_eq!((&answer["recovered"], offsets(&answer["messages"])), (&json!(true), vec![1]));
    let answer = joe.join("b", None);
    assert_eq!((&answer["offset"], &answer["recovered"]), (&Value::Null, &json!(false)));
    let (status, words) = one.readiness();
    assert_eq!((status, words.starts_with("ready, but alone: broker: ")), (200, true), "{words}");
    // It is nobody's fault, however often.
    (0..150).for_each(|_| assert_eq!(ann.say("a", "0")["code"], "degraded"));
    memory.back();
    one.wait_connected(true);
    other.wait_connected(true);
    assert_eq!(joe.gap().1, 0, "now it is known how far b is");
    assert_eq!(ann.publish("a", "3"), 2);
    assert_eq!(bob.hear_many(2), [heard(1, 1), heard(2, 3)]);
    assert_eq!(ann.publish("d.1", "1"), 1);
    assert_eq!(one.readiness(), (200, "ready\n".into()));
    assert!(one.relay.stats().reconnects >= 1);
}

#[test]
fn what_was_said_elsewhere_meanwhile_comes_when_the_broker_is_back() {
    let memory = Memory::default();
    let (one, other) = two(&memory);
    let (mut ann, mut bob) = (one.person("/ws"), other.person("/ws"));
    ann.join("a", None);
    bob.join("a", None);
    ann.publish("a", "1");
    assert_eq!(bob.hear(), heard(1, 1));
    memory.leave();
    other.wait_connected(false);
    memory.back();
    // Each comes back when it does: in between somebody has published.
    one.wait_connected(true);
    (2..=20).for_each(|n| assert_eq!(ann.publish("a", &n.to_string()), n));
    assert_eq!(bob.hear_many(19), (2..=20).map(|n| heard(n, n)).collect::<Vec<_>>());
}

#[test]
fn a_broker_that_has_forgotten_begins_a_new_epoch() {
    let memory = Memory::default();
    let (one, other) = two(&memory);
    let (mut ann, mut bob) = (one.person("/ws"), other.person("/ws"));
    let old = ann.join("a", None)["epoch"].clone();
    bob.join("a", None);
    (1..=3).for_each(|n| assert_eq!(ann.publish("a", &n.to_string()), n));
    bob.hear_many(3);
    memory.forget();
    assert_eq!(ann.publish("a", r#""new""#), 1);
    let (epoch, offset) = bob.gap();
    assert_eq!((epoch != old, offset), (true, 0));
    assert_eq!(bob.hear(), heard(1, "new"));
    let answer = one.person("/ws").join("a", Some((&old, 3)));
    assert_eq!((&answer["recovered"], &answer["epoch"]), (&json!(false), &epoch));
    assert_eq!(answer["offset"], 1);
    // The same where it is noticed by who comes back.
    memory.leave();
    one.wait_connected(false);
    memory.forget();
    memory.back();
    one.wait_connected(true);
    let (third, offset) = bob.gap();
    assert_eq!((third != epoch, offset), (true, 0));
    assert_eq!(ann.publish("a", "1"), 1);
    assert_eq!(bob.hear(), heard(1, 1));
}

#[test]
fn what_waits_for_the_broker_is_bounded() {
    let memory = Memory::default();
    let limits = KeeperLimits { operations_max: 50, bytes_max: 1 << 20 };
    let place = Place::limited(1, history(1000), memory.clone(), limits);
    let mut ann = place.person("/ws");
    ann.join("a", None);
    for n in 0..500 {
        ann.send(&format!(r#"{{"type":"text","id":{n},"room":"a","content":{n},"echo":false}}"#));
    }
    let (mut taken, mut refused) = (0, 0);
    while taken + refused < 500 {
        let answer = ann.read();
        match answer["type"].as_str() {
            Some("ok") => taken += 1,
            Some("error") => {
                assert_eq!(answer["code"], "overloaded");
                refused += 1;
            }
            _ => {}
        }
    }
    assert_eq!(ann.history("a", r#","limit":1000"#)["offset"], taken);
    eventually("nothing waits", 5.0, || place.relay.stats().waiting_bytes == 0);
}

#[test]
fn the_metrics_tell_of_the_broker() {
    let memory = Memory::default();
    let place = Place::new(1, history(10), memory.clone());
    let mut ann = place.person("/ws?room=a");
    ann.publish("a", "1");
    let (_, text) = place.get("/metrics");
    for line in ["throng_broker_connected 1", "throng_broker_published_total 1"] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    memory.leave();
    place.wait_connected(false);
    assert!(place.get("/metrics").1.contains("throng_broker_connected 0"));
    let begin = Instant::now();
    memory.back();
    place.wait_connected(true);
    assert!(begin.elapsed() < Duration::from_secs(5));
}
