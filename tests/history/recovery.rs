//! What `join` with `since` gives, and when it cannot.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use throng::hub::history::{History, Keep};

use crate::common::Folder;
use crate::place::{Place, history};
use crate::record::{Person, offsets};

/// Both kinds of rooms do the same.
fn each_kind(loops: usize, messages_max: usize, test: impl Fn(&Place, &str)) {
    test(&Place::new(loops, history(messages_max)), "m.1");
    let folder = Folder::new("history");
    test(&Place::durable(loops, history(messages_max), &folder), "d.1");
}

#[test]
fn who_comes_back_gets_exactly_what_it_missed() {
    for loops in [1, 3] {
        each_kind(loops, 100, |place, room| {
            let mut ann = place.person("/ws?name=ann");
            let begin = ann.join(room, None);
            assert_eq!((&begin["offset"], &begin["recovered"]), (&json!(0), &json!(false)));
            assert_eq!(begin["messages"], json!([]));
            let said: Vec<u64> = (0..9).map(|n| ann.publish(room, &n.to_string())).collect();
            assert_eq!(said, (1..10).collect::<Vec<_>>());
            for since in [0, 3, 8, 9] {
                let mut bob = place.person("/ws?name=bob");
                let answer = bob.join(room, Some((&begin["epoch"], since)));
                assert_eq!(answer["recovered"], true, "{answer}");
                assert_eq!((&answer["epoch"], &answer["offset"]), (&begin["epoch"], &json!(9)));
                assert_eq!(offsets(&answer["messages"]), (since + 1..=9).collect::<Vec<_>>());
                if since == 3 {
                    let first = &answer["messages"][0];
                    assert_eq!((&first["type"], &first["room"]), (&json!("text"), &json!(room)));
                    assert_eq!((&first["content"], &first["sender"]), (&json!(3), &json!("ann")));
                    assert!(first["timestamp"].as_u64() > Some(1_700_000_000_000));
                }
            }
        });
    }
}

#[test]
fn what_is_recovered_is_as_it_was_delivered() {
    each_kind(2, 100, |place, room| {
        let mut ann = place.person("/ws?name=ann");
        let begin = ann.join(room, None);
        ann.send(&format!(
            r#"{{"type":"text","room":"{room}","content":{{"b": [1.50,"\u00e9é"], "a":null}}}}"#
        ));
        let live = ann.read();
        let mut bob = place.person("/ws?name=bob");
        let answer = bob.join(room, Some((&begin["epoch"], 0)));
        assert_eq!(answer["messages"], json!([live]));
        let page = bob.history(room, "");
        assert_eq!(page["messages"], json!([live]));
    });
}

#[test]
fn what_cannot_be_recovered_is_said() {
    each_kind(2, 5, |place, room| {
        let mut ann = place.person("/ws");
        let begin = ann.join(room, None);
        (0..9).for_each(|n| assert!(ann.publish(room, &n.to_string()) > 0));
        let epoch = &begin["epoch"];
        let other = json!("0000000000000001");
        let foreign = json!("no epoch");
        // Too long ago, in the future, of another history.
        let rows: [(&Value, u64, bool); 6] = [
            (epoch, 3, false),
            (epoch, 4, true),
            (epoch, 10, false),
            (epoch, u64::MAX, false),
            (&other, 9, false),
            (&foreign, 9, false),
        ];
        for (epoch, since, expected) in rows {
            let answer = place.person("/ws").join(room, Some((epoch, since)));
            assert_eq!(answer["recovered"], expected, "{since}: {answer}");
            assert_eq!(answer["offset"], 9);
            let count = answer["messages"].as_array().map(Vec::len);
            assert_eq!(count, Some(if expected { 5 } else { 0 }));
        }
        for bad in ["7", r#"{"epoch":"e"}"#, r#"{"epoch":"e","offset":-1}"#] {
            let join = format!(r#"{{"type":"join","id":1,"room":"{room}","since":{bad}}}"#);
            assert_eq!(ann.ask(&join)["code"], "bad_command", "{bad}");
        }
    });
}

/// The limit of one answer: 1,000 messages.
#[test]
fn too_much_for_one_answer_is_paged() {
    each_kind(1, 5000, |place, room| {
        let mut ann = place.person("/ws");
        let begin = ann.join(room, None);
        for n in 0..1001 {
            let text = r#"{"type":"text","room":"ROOM","content":NUMBER,"echo":false}"#;
            ann.send(&text.replace("ROOM", room).replace("NUMBER", &n.to_string()));
        }
        ann.publish(room, "1001");
        let recovered = |since| {
            let answer = place.person("/ws").join(room, Some((&begin["epoch"], since)));
            let count = answer["messages"].as_array().map_or(0, Vec::len);
            (answer["recovered"].clone(), count)
        };
        assert_eq!(recovered(1), (json!(false), 0));
        assert_eq!(recovered(2), (json!(true), 1000));
    });
}

#[test]
fn a_room_without_history_has_none() {
    let place = Place::new(2, History::nothing());
    let mut ann = place.person("/ws");
    let answer = ann.join("r", Some((&json!("0000000000000001"), 0)));
    assert_eq!((&answer["recovered"], answer.get("epoch")), (&json!(false), None));
    let answer = ann.ask(r#"{"type":"text","id":1,"room":"r","content":1}"#);
    assert_eq!((&answer["type"], answer.get("offset")), (&json!("ok"), None));
    assert_eq!(ann.history("r", "")["messages"], json!([]));
}

#[test]
fn the_welcome_says_how_far_the_room_is() {
    for loops in [1, 4] {
        each_kind(loops, 100, |place, room| {
            let mut ann = place.person("/ws?name=ann");
            let epoch = ann.join(room, None)["epoch"].clone();
            ann.publish(room, "1");
            for n in 0..6 {
                let target = format!("/ws?room={room}&name=p{n}");
                let (mut person, welcome) = Person::open(place.client(), &target);
                assert_eq!((&welcome["room"], &welcome["epoch"]), (&json!(room), &epoch));
                // Its loop may have the last message yet to deliver: then that one follows.
                assert!(welcome["offset"].as_u64() <= Some(n + 1), "{welcome}");
                // What is said before the welcome has come is held, not lost.
                assert_eq!(person.publish(room, "2"), n + 2);
            }
        });
    }
}

/// A client that does not wait for the answer is answered in its order.
#[test]
fn what_follows_a_join_waits_for_it() {
    each_kind(4, 100, |place, room| {
        for n in 0..8 {
            let mut ann = place.person("/ws");
            let join = format!(r#"{{"type":"join","id":1,"room":"{room}"}}"#);
            let text = format!(r#"{{"type":"text","room":"{room}","content":{n},"echo":false}}"#);
            let leave = format!(r#"{{"type":"leave","id":3,"room":"{room}"}}"#);
            let beat = r#"{"type":"heartbeat","seq":4}"#;
            for command in [&join, &text, &leave, beat] {
                ann.send(command);
            }
            let mut kinds = Vec::new();
            while kinds.len() < 3 {
                let kind = ann.read()["type"].clone();
                // Of those before there may be something still on its way.
                kinds.extend((kind == "ok" || kind == "heartbeat").then_some(kind));
            }
            assert_eq!(json!(kinds), json!(["ok", "ok", "heartbeat"]));
        }
        let mut bob = place.person("/ws");
        let mut count = 0;
        while count < 8 {
            count = bob.history(room, "")["messages"].as_array().map_or(0, Vec::len);
        }
    });
}

#[test]
fn messages_go_with_their_age_and_the_room_with_its_last_message() {
    let keep = Keep { age: Duration::from_millis(300), ..Keep::default() };
    let place = Place::new(1, History { otherwise: keep, ..History::default() });
    let mut ann = place.person("/ws");
    let begin = ann.join("a", None);
    ann.publish("a", "1");
    thread::sleep(Duration::from_millis(400));
    ann.publish("a", "2");
    let recovered = |since: u64| {
        let answer = place.person("/ws").join("a", Some((&begin["epoch"], since)));
        (answer["recovered"] == true, answer["offset"].clone())
    };
    assert_eq!(recovered(0), (false, json!(2)));
    assert_eq!(recovered(1), (true, json!(2)));
    // Somebody is there: the place stays. Nobody is: it is forgotten, and the epoch is another.
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(recovered(2), (true, json!(2)));
    ann.ask(r#"{"type":"leave","id":1,"room":"a"}"#);
    thread::sleep(Duration::from_millis(3500));
    assert_eq!(recovered(2), (false, json!(0)));
}
