//! Nodes that are well: what each does when nothing goes wrong. Each case runs over the broker in
//! memory, over Redis, over NATS and over RabbitMQ.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use throng::hub::broker::Memory;

use crate::common::eventually;
use crate::nats::Nats;
use crate::nodes::{Place, heard, history, offsets};
use crate::rabbit::Rabbit;
use crate::redis::Redis;
use crate::servers::Kind;

/// Nodes over one broker: of one loop, of two, and so on.
fn places(count: usize, place: impl FnMut(usize) -> Place) -> Vec<Place> {
    (1..=count).map(place).collect()
}

/// Runs a case over each broker.
fn over_each(count: usize, messages_max: usize, case: impl Fn(&[Place])) {
    let (memory, history) = (Memory::default(), history(messages_max));
    case(&places(count, |loops| Place::new(loops, history.clone(), memory.clone())));
    let redis = Redis::start();
    case(&places(count, |loops| redis.place(loops, history.clone())));
    let nats = Nats::start();
    case(&places(count, |loops| nats.place(loops, history.clone())));
    let rabbit = Rabbit::start();
    case(&places(count, |loops| rabbit.place(loops, history.clone())));
}

#[test]
fn the_order_of_a_room_is_the_same_on_all_nodes() {
    over_each(3, 1000, |places| {
        let mut people: Vec<_> =
            places.iter().flat_map(|place| [place.person("/ws"), place.person("/ws")]).collect();
        people.iter_mut().for_each(|person| drop(person.join("a", None)));
        for n in 0..50 {
            for (number, person) in people.iter_mut().enumerate() {
                person.mutter("a", &format!("[{number},{n}]"));
            }
        }
        let first = people[0].hear_many(300);
        let told: Vec<_> = first.iter().map(|(offset, _)| offset.as_u64().unwrap()).collect();
        assert_eq!(told, (1..=300).collect::<Vec<_>>());
        for person in &mut people[1..] {
            assert_eq!(person.hear_many(300), first);
        }
        for number in 0..people.len() as u64 {
            let own = first.iter().filter(|(_, content)| content[0] == number);
            let own: Vec<_> = own.map(|(_, content)| content[1].as_u64().unwrap()).collect();
            assert_eq!(own, (0..50).collect::<Vec<_>>(), "each one's in its order");
        }
    });
}

#[test]
fn what_was_missed_is_got_on_another_node() {
    over_each(2, 1000, |places| {
        for room in ["a", "d.1"] {
            let mut ann = places[0].person("/ws?name=ann");
            let mut bob = places[0].person("/ws?name=bob");
            let begin = ann.join(room, None);
            assert_eq!(begin["offset"], 0);
            assert_eq!(ann.publish(room, r#""one""#), 1);
            drop(ann);
            bob.join(room, None);
            for n in 2..=5 {
                assert_eq!(bob.publish(room, &n.to_string()), n);
            }
            let mut ann = places[1].person("/ws?name=ann");
            let back = ann.join(room, Some((&begin["epoch"], 1)));
            assert_eq!((&back["recovered"], &back["epoch"]), (&json!(true), &begin["epoch"]));
            assert_eq!(offsets(&back["messages"]), [2, 3, 4, 5]);
            assert_eq!(back["messages"][3]["sender"], "bob");
            assert_eq!(back["messages"][3]["content"], 5);
            // And what comes next follows.
            assert_eq!(bob.publish(room, "6"), 6);
            assert_eq!(ann.hear(), heard(6, 6));
        }
    });
}

#[test]
fn newcomers_have_no_gap_and_no_double_while_others_publish() {
    over_each(2, 5000, |places| {
        let mut ann = places[0].person("/ws");
        let epoch = ann.join("a", None)["epoch"].clone();
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1..=1500 {
                    ann.mutter("a", &n.to_string());
                    if n % 10 == 0 {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
                assert_eq!(ann.publish("a", "1501"), 1501);
            });
            for place in [&places[1], &places[0], &places[1], &places[1]] {
                scope.spawn(|| {
                    let mut known = 0;
                    while known < 1501 {
                        let mut bob = place.person("/ws");
                        let answer = bob.join("a", Some((&epoch, known)));
                        assert_eq!(answer["recovered"], true, "{answer}");
                        for offset in offsets(&answer["messages"]) {
                            assert_eq!(offset, known + 1);
                            known = offset;
                        }
                        assert_eq!(answer["offset"], known);
                        for _ in 0..60.min(1501 - known) {
                            assert_eq!(bob.hear().0, known + 1);
                            known += 1;
                        }
                    }
                });
            }
        });
    });
}

#[test]
fn who_wants_no_echo_has_none_on_its_node_and_others_hear() {
    over_each(2, 10, |places| {
        let mut ann = places[0].person("/ws");
        let mut bob = places[1].person("/ws");
        for room in ["a", "n.a"] {
            ann.join(room, None);
            bob.join(room, None);
            let text = r#"{"type":"text","id":1,"room":"ROOM","content":1,"echo":false}"#;
            ann.send(&text.replace("ROOM", room));
            ann.mutter(room, "2");
            assert_eq!([bob.hear().1, bob.hear().1], [json!(1), json!(2)]);
            assert_eq!(ann.read_until(|message| message["type"] == "text")["content"], 2);
        }
    });
}

#[test]
fn one_gets_its_own_message_before_the_answer() {
    over_each(2, 10, |places| {
        for place in places {
            let mut ann = place.person("/ws");
            for room in ["a", "b", "d.c"] {
                ann.join(room, None);
                for n in 0..20 {
                    ann.send(&format!(r#"{{"type":"text","id":1,"room":"{room}","content":{n}}}"#));
                    // Who was on the other place before may be told of as gone.
                    let mut next = || ann.read_until(|message| message["type"] != "system");
                    assert_eq!([&next()["type"], &next()["type"]], ["text", "ok"]);
                }
            }
        }
    });
}

#[test]
fn history_is_one_for_all_nodes() {
    over_each(2, 6, |places| {
        let mut ann = places[0].person("/ws");
        let epoch = ann.join("a", None)["epoch"].clone();
        for n in 1..=8 {
            ann.publish("a", &n.to_string());
        }
        // On the other node nobody is in the room.
        let mut bob = places[1].person("/ws");
        let mut page = |fields: &str| {
            let page = bob.history("a", fields);
            assert_eq!((&page["epoch"], &page["offset"]), (&epoch, &json!(8)));
            (offsets(&page["messages"]), page["more"].clone())
        };
        assert_eq!(page(r#","limit":3"#), (vec![6, 7, 8], json!(true)));
        assert_eq!(page(r#","limit":3,"before":6"#), (vec![3, 4, 5], json!(false)));
        assert_eq!(page(r#","before":1"#), (vec![], json!(false)));
        assert_eq!(page(r#","before":0"#), (vec![], json!(false)));
        assert_eq!(page(r#","limit":2,"after":5"#), (vec![6, 7], json!(true)));
        assert_eq!(page(r#","after":8"#), (vec![], json!(false)));
        assert_eq!(page(r#","after":18446744073709551615"#), (vec![], json!(false)));
        // What was trimmed cannot be recovered.
        let answer = places[1].person("/ws").join("a", Some((&epoch, 1)));
        assert_eq!((&answer["recovered"], &answer["offset"]), (&json!(false), &json!(8)));
        let answer = places[1].person("/ws").join("a", Some((&epoch, 2)));
        assert_eq!(offsets(&answer["messages"]), [3, 4, 5, 6, 7, 8]);
        // A room of which nothing is known.
        let page = places[1].person("/ws").history("nobody", "");
        assert_eq!((&page["messages"], &page["more"]), (&json!([]), &json!(false)));
    });
}

#[test]
fn a_room_that_keeps_nothing_is_heard_on_all_nodes() {
    over_each(2, 10, |places| {
        let mut ann = places[0].person("/ws?name=ann");
        let mut bob = places[1].person("/ws?name=bob");
        let answer = ann.join("n.a", None);
        assert_eq!((&answer["offset"], &answer["recovered"]), (&Value::Null, &json!(false)));
        bob.join("n.a", None);
        assert_eq!(ann.say("n.a", "1")["type"], "ok");
        assert_eq!(bob.hear(), (Value::Null, json!(1)));
        assert_eq!(bob.say("n.a", "2")["type"], "ok");
        assert_eq!(ann.hear(), (Value::Null, json!(2)));
        assert_eq!(bob.say("n.a", "3")["type"], "ok");
        assert_eq!(ann.hear(), (Value::Null, json!(3)), "and nothing twice");
    });
}

#[test]
fn who_speaks_in_the_lobby_is_heard_on_all_nodes() {
    over_each(2, 10, |places| {
        let mut bob = places[1].person("/ws?room=lobby");
        let mut ann = places[0].person("/ws");
        let hello = |n| format!(r#"{{"type":"text","id":1,"content":{n}}}"#);
        ann.send(&hello(1));
        // She is told of bob, whom her node has just heard of.
        let mut kinds = std::iter::repeat_with(|| ann.read()["type"].clone());
        let mut next = || kinds.find(|kind| kind != "system");
        assert_eq!((next(), next()), (Some(json!("text")), Some(json!("ok"))));
        assert_eq!(bob.hear(), heard(1, 1));
        bob.send(&hello(2));
        assert_eq!(ann.hear(), heard(2, 2));
    });
}

#[test]
fn a_room_is_let_go_of_when_nobody_is_in_it() {
    let memory = Memory::default();
    let place = Place::new(2, history(10), memory.clone());
    let mut ann = place.person("/ws?room=a");
    let epoch = ann.join("b", None)["epoch"].clone();
    ann.ask(r#"{"type":"leave","room":"b","id":1}"#);
    assert_eq!((memory.subscribers("a"), memory.subscribers("b")), (1, 1));
    eventually("b is let go of", 15.0, || memory.subscribers("b") == 0);
    assert_eq!(memory.subscribers("a"), 1);
    let other = Place::new(1, history(10), memory);
    let mut bob = other.person("/ws?room=b");
    assert_eq!(bob.publish("b", "1"), 1);
    let answer = ann.join("b", Some((&epoch, 0)));
    assert_eq!(offsets(&answer["messages"]), [1]);
    assert_eq!(bob.publish("b", "2"), 2);
    assert_eq!(ann.hear(), heard(2, 2));
}

#[test]
fn a_message_that_comes_again_is_published_once_whatever_node_it_comes_to() {
    over_each(2, 10, |places| {
        let mut people = [places[0].person("/ws?name=ann"), places[1].person("/ws?name=ann")];
        let mut bob = places[1].person("/ws?name=bob");
        bob.join("a", None);
        let text = r#"{"type":"text","id":1,"room":"a","content":1,"message_id":"m"}"#;
        for person in &mut people {
            person.join("a", None);
        }
        let first = people[0].ask(text);
        assert_eq!((&first["offset"], &first["duplicate"]), (&json!(1), &Value::Null));
        for person in &mut people {
            let again = person.ask(text);
            assert_eq!((&again["offset"], &again["duplicate"]), (&json!(1), &json!(true)));
        }
        // Another's message of that id is another.
        assert_eq!(bob.ask(text)["offset"], 2);
        assert_eq!(people[0].publish("a", "3"), 3);
        assert_eq!(people[0].history("a", "")["offset"], 3);
    });
}
