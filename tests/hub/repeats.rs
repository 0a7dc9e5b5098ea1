//! Web rule 23: a message that comes again, known by its `message_id`, is delivered once, and is
//! answered as the first was.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use throng::hub::history::History;
use throng::hub::protobuf::{Command, CommandType, DeliveryType};
use throng::hub::{Config, Dedup};

use crate::twin::Twin;
use crate::{Person, Place};

fn text(room: &str, id: &str, content: &str) -> String {
    json!({"type": "text", "id": 1, "room": room, "content": content, "message_id": id}).to_string()
}

/// Publishes, and takes the answer; deliveries before it are passed over.
fn publish(person: &mut Person, room: &str, id: &str, content: &str) -> Value {
    person.send(&text(room, id, content));
    person.next_of_any(&["ok", "error"])
}

/// What a member hears until it hears `last`.
fn heard(person: &mut Person, last: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let content = person.next_of("text")["content"].as_str().expect("text").to_owned();
        if content == last {
            return all;
        }
        all.push(content);
    }
}

fn without_history() -> Config {
    Config { history: History::nothing(), ..Config::default() }
}

/// With history and without, on one loop and on several, whichever of them is the room's home.
#[test]
fn rule_23_what_is_sent_twice_is_delivered_once() {
    for (loops, config) in [(1, Config::default()), (3, Config::default()), (3, without_history())]
    {
        let has_history = config.history != History::nothing();
        let place = Place::with(loops, config);
        let rooms: Vec<_> = (0..6).map(|n| format!("r{n}")).collect();
        let mut listeners: Vec<_> =
            rooms.iter().map(|room| place.person(&format!("/ws?room={room}"))).collect();
        for round in 0..3 {
            // Each round by another connection of the same user.
            let mut ann = place.person("/ws?name=ann");
            for (n, room) in rooms.iter().enumerate() {
                ann.ask(&format!(r#"{{"type":"join","id":9,"room":"{room}"}}"#));
                let ok = publish(&mut ann, room, &format!("m{n}"), "once");
                assert_eq!(ok["type"], "ok", "{ok}");
                assert_eq!(ok.get("offset"), has_history.then_some(&json!(1)), "{ok}");
                assert_eq!(ok.get("duplicate"), (round > 0).then_some(&json!(true)), "{ok}");
            }
        }
        let mut ann = place.person("/ws?name=ann");
        for (room, listener) in rooms.iter().zip(&mut listeners) {
            ann.ask(&format!(r#"{{"type":"join","id":9,"room":"{room}"}}"#));
            let ok = publish(&mut ann, room, "last", "last");
            assert_eq!(ok.get("offset"), has_history.then_some(&json!(2)), "{ok}");
            assert_eq!(heard(listener, "last"), ["once"], "{loops} loops, {room}");
        }
    }
}

#[test]
fn rule_23_an_id_is_its_senders_own() {
    let place = Place::new(2);
    let mut ann = place.person("/ws?room=r&name=ann");
    let mut bob = place.person("/ws?room=r&name=bob");
    let mut listener = place.person("/ws?room=r");
    assert_eq!(publish(&mut ann, "r", "1", "a")["offset"], 1);
    assert_eq!(publish(&mut bob, "r", "1", "b")["offset"], 2);
    assert_eq!(publish(&mut ann, "r", "2", "c")["offset"], 3);
    assert_eq!(publish(&mut ann, "r", "1", "changed")["offset"], 1);
    // Who it is from is what the members see: a guest may say.
    let mut guest = place.person("/ws?room=r");
    let said = json!({"type": "text", "id": 1, "content": 1, "sender": "ann", "message_id": "2"});
    guest.send(&said.to_string());
    assert_eq!(guest.next_of("ok")["offset"], 3);
    assert_eq!(publish(&mut bob, "r", "9", "last")["offset"], 4);
    assert_eq!(heard(&mut listener, "last"), ["a", "b", "c"]);
}

#[test]
fn rule_23_who_leaves_itself_out_hears_nothing_of_its_own() {
    for config in [Config::default(), without_history()] {
        let place = Place::with(3, config);
        let mut people: Vec<_> =
            (0..6).map(|n| place.person(&format!("/ws?room=r&name=p{n}"))).collect();
        place.wait_for("r", 6);
        for n in 0..6 {
            let said = json!({"type": "text", "id": 1, "room": "r", "content": format!("of {n}"),
                "message_id": "1", "echo": false});
            people[n].send(&said.to_string());
            people[n].send(&said.to_string());
            people[n].next_of("ok");
            for (_, person) in people.iter_mut().enumerate().filter(|(other, _)| *other != n) {
                assert_eq!(person.next_of("text")["content"], format!("of {n}"));
            }
        }
    }
}

#[test]
fn rule_23_an_id_is_known_for_a_window_and_so_many_are() {
    let dedup = Dedup { window: Duration::from_millis(200), messages_max: 2 };
    let place = Place::with(1, Config { dedup, ..Config::default() });
    let mut ann = place.person("/ws?room=r&name=ann");
    assert_eq!(publish(&mut ann, "r", "1", "a")["offset"], 1);
    assert_eq!(publish(&mut ann, "r", "1", "a")["duplicate"], true);
    thread::sleep(Duration::from_millis(250));
    assert_eq!(publish(&mut ann, "r", "1", "a")["offset"], 2);
    // Two more are the most that are known: the first is forgotten before its time.
    for id in ["2", "3"] {
        publish(&mut ann, "r", id, "b");
    }
    let again = publish(&mut ann, "r", "1", "a");
    assert_eq!((&again["offset"], again.get("duplicate")), (&json!(5), None));
    let dedup = Dedup { messages_max: 0, ..Dedup::default() };
    let place = Place::with(1, Config { dedup, ..Config::default() });
    let mut ann = place.person("/ws?room=r&name=ann");
    for offset in [1, 2] {
        assert_eq!(publish(&mut ann, "r", "1", "a")["offset"], offset);
    }
}

/// What was refused was not published, and is when it comes again.
#[test]
fn rule_23_a_refusal_is_not_remembered() {
    let place = Place::new(1);
    let mut ann = place.person("/ws?name=ann");
    let refused = publish(&mut ann, "r", "1", "a");
    assert_eq!(refused["code"], "not_joined");
    ann.ask(r#"{"type":"join","id":1,"room":"r"}"#);
    let ok = publish(&mut ann, "r", "1", "a");
    assert_eq!((&ok["offset"], ok.get("duplicate")), (&json!(1), None));
}

#[test]
fn rule_23_members_of_either_kind_have_the_same_ids() {
    let place = Place::new(2);
    let mut ann = place.person("/ws?room=r&name=ann");
    assert_eq!(publish(&mut ann, "r", "1", "a")["offset"], 1);
    let upgrade = crate::common::http::Upgrade::new("/ws?room=r&name=ann");
    let mut twin = Twin::upgrade(&place, upgrade, "throng.v1.proto");
    twin.read();
    twin.send(&Command {
        id: Some(7),
        content_json: Some("2".into()),
        message_id: Some("1".into()),
        ..Command::of(CommandType::Text)
    });
    let ok = twin.read();
    assert_eq!((ok.kind(), ok.id), (DeliveryType::Ok, Some(7)));
    assert_eq!((ok.offset, ok.duplicate), (Some(1), Some(true)));
}
