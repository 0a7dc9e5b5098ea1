//! Joining, leaving and publishing.

use std::collections::HashMap;

use serde_json::json;

use throng::hub::{Config, Task};

use crate::common::random::Random;
use crate::{Person, Place, names};

#[test]
fn one_connection_is_in_many_rooms() {
    let place = Place::new(1);
    let mut ann = place.person("/ws?name=ann");
    let mut bob = place.person("/ws?room=b&name=bob");
    let ok = ann.ask(r#"{"type":"join","id":1,"room":"a"}"#);
    assert_eq!(json!([ok["type"], ok["id"], ok["room"], ok["count"]]), json!(["ok", 1, "a", 1]));
    let ok = ann.ask(r#"{"type":"join","id":"two","room":"b"}"#);
    assert_eq!(names(&ok["members"]), ["ann", "bob"]);
    assert_eq!((&ok["id"], &ok["count"]), (&"two".into(), &2.into()));
    let came = bob.read();
    assert_eq!((&came["event"], &came["sender"]), (&"join".into(), &"ann".into()));

    bob.send(r#"{"type":"text","content":{"any":[1,null]}}"#);
    let text = ann.read();
    assert_eq!((&text["room"], &text["sender"]), (&"b".into(), &"bob".into()));
    assert_eq!(text["content"]["any"][1], serde_json::Value::Null);
    assert!(text["timestamp"].as_u64() > Some(1_700_000_000_000));
    assert_eq!(bob.next_of("text")["content"], text["content"]);
    ann.send(r#"{"type":"text","room":"a","content":"alone"}"#);
    assert_eq!(ann.read()["room"], "a");
    bob.has_nothing();

    let ok = ann.ask(r#"{"type":"leave","id":3,"room":"b"}"#);
    assert_eq!((&ok["type"], &ok["room"]), (&"ok".into(), &"b".into()));
    assert_eq!(bob.read()["event"], "leave");
    bob.send(r#"{"type":"text","content":"gone?"}"#);
    bob.next_of("text");
    ann.has_nothing();
    assert_eq!(ann.fault(r#"{"type":"text","room":"b","content":1}"#), "not_joined");
}

#[test]
fn to_join_twice_is_to_join_once() {
    let place = Place::new(1);
    let (mut ann, mut bob) = (place.person("/ws?room=r&name=ann"), place.person("/ws?room=r"));
    ann.next_of("system");
    assert_eq!(bob.ask(r#"{"type":"join","room":"r"}"#)["count"], 2);
    ann.has_nothing();
    bob.ask(r#"{"type":"leave","room":"r"}"#);
    assert_eq!(ann.read()["event"], "leave");
    assert_eq!(ann.ask(r#"{"type":"presence"}"#)["count"], 1);
}

#[test]
fn the_sender_can_leave_itself_out() {
    let place = Place::new(1);
    let (mut ann, mut bob) = (place.person("/ws?room=r&name=ann"), place.person("/ws?room=r"));
    ann.next_of("system");
    let ok = ann.ask(r#"{"type":"text","id":5,"content":"hi","echo":false}"#);
    assert_eq!((&ok["type"], &ok["id"]), (&"ok".into(), &5.into()));
    assert_eq!(bob.read()["content"], "hi");
}

#[test]
fn rooms_of_a_connection_are_limited() {
    let place = Place::with(1, Config { rooms_max: 2, ..Config::default() });
    let mut ann = place.person("/ws?room=a");
    assert_eq!(ann.ask(r#"{"type":"join","room":"b"}"#)["type"], "ok");
    assert_eq!(ann.fault(r#"{"type":"join","id":1,"room":"c"}"#), "too_many_rooms");
    assert_eq!(ann.ask(r#"{"type":"join","room":"b"}"#)["type"], "ok");
    assert_eq!(ann.ask(r#"{"type":"leave","room":"a"}"#)["type"], "ok");
    assert_eq!(ann.ask(r#"{"type":"join","room":"c"}"#)["type"], "ok");
}

/// DESIGN section 7: what a program gets that only knows `type`, `content`, `sender`, `timestamp`.
#[test]
fn without_a_room_the_lobby_is_meant() {
    let place = Place::new(1);
    let mut there = place.person("/");
    let mut anywhere = place.person("/ws");
    anywhere.send(r#"{"type":"text","content":"hi","sender":"bob","timestamp":1}"#);
    assert_eq!(there.read()["event"], "join");
    for person in [&mut there, &mut anywhere] {
        let text = person.next_of("text");
        assert_eq!((&text["content"], &text["sender"]), (&"hi".into(), &"bob".into()));
        assert_eq!(text["room"], "lobby");
    }
    // The URL's room is meant where it named one, also when it was left.
    let mut named = place.person("/ws?room=r");
    named.ask(r#"{"type":"leave"}"#);
    assert_eq!(named.fault(r#"{"type":"text","content":"hi"}"#), "not_joined");
}

#[test]
fn the_name_of_the_url_holds_and_a_guest_may_bring_one() {
    let place = Place::new(1);
    let mut ann = place.person("/ws?room=r&name=ann");
    ann.send(r#"{"type":"text","content":1,"sender":"bob"}"#);
    assert_eq!(ann.read()["sender"], "ann");
    let mut guest = place.person("/ws?room=s");
    guest.send(r#"{"type":"text","content":1}"#);
    assert!(guest.read()["sender"].as_str().is_some_and(|name| name.starts_with("guest-")));
    guest.send(r#"{"type":"text","content":1,"sender":"bob"}"#);
    assert_eq!(guest.read()["sender"], "bob");
}

#[test]
fn a_heartbeat_comes_back_with_what_was_lost() {
    let place = Place::new(1);
    let mut ann = place.person("/ws");
    let beat = |ann: &mut Person, seq| {
        let answer = ann.ask(&format!(r#"{{"type":"heartbeat","seq":{seq},"timestamp":1.5}}"#));
        assert_eq!((answer["seq"].as_u64(), &answer["timestamp"]), (Some(seq), &1.5.into()));
        answer["lost"].as_u64()
    };
    let lost = [7, 8, 12, 3].map(|seq| beat(&mut ann, seq));
    assert_eq!(lost, [None, None, Some(3), None]);
}

/// All that a model of rooms says of who gets what is so, over several loops.
#[test]
fn who_gets_what_agrees_with_a_model() {
    let place = Place::new(3);
    let mut people: Vec<_> = (0..6).map(|n| place.person(&format!("/ws?name=p{n}"))).collect();
    let mut rooms: HashMap<String, Vec<usize>> = HashMap::new();
    let mut joined_at = [0; 6];
    let mut random = Random::new(5);
    for step in 0..300_u64 {
        let (who, room) = (random.below(6), format!("r{}", random.below(4)));
        let members = rooms.entry(room.clone()).or_default();
        let is_in = members.contains(&who);
        match random.below(3) {
            0 if !is_in => {
                people[who].send(&format!(r#"{{"type":"join","id":{step},"room":"{room}"}}"#));
                members.push(who);
                joined_at[who] = step;
                assert_eq!(people[who].next_of("ok")["id"], step);
            }
            1 if is_in => {
                people[who].send(&format!(r#"{{"type":"leave","id":{step},"room":"{room}"}}"#));
                members.retain(|one| *one != who);
                assert_eq!(people[who].next_of("ok")["id"], step);
            }
            _ if is_in => {
                let text = format!(r#"{{"type":"text","room":"{room}","content":{step}}}"#);
                people[who].send(&text);
                for member in members.clone() {
                    // What was on its way to a loop when somebody joined there comes too.
                    loop {
                        match people[member].next_of("text")["content"].as_u64() {
                            Some(said) if said == step => break,
                            said => assert!(said < Some(joined_at[member]), "{member}: {said:?}"),
                        }
                    }
                }
            }
            _ => {}
        }
    }
    rooms.retain(|_, members| !members.is_empty());
    for (room, members) in &rooms {
        place.wait_for(room, members.len());
    }
    let all = place.ask(Task::Rooms { prefix: "".into(), max: 99 });
    assert_eq!(all.count, rooms.len());
    for (room, members) in &rooms {
        let told = place.ask(Task::Members { room: (&**room).into(), max: 99 });
        let mut told: Vec<_> = told.connections.iter().map(|one| one.user.to_string()).collect();
        let mut expected: Vec<_> = members.iter().map(|who| format!("p{who}")).collect();
        told.sort();
        expected.sort();
        assert_eq!(told, expected);
    }
}
