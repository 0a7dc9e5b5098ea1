//! Sessions that all nodes know, and what a node tells a service of what it has published.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::http::Upgrade;
use crate::common::{RawClient, Server, eventually};
use crate::nodes::Person;
use crate::redis::Redis;

fn serve(redis: &Redis, more: &[&str]) -> Server {
    let url = redis.url();
    let flags = ["--redis", &url, "--sessions", "--history-db", "off", "--durable", "d.*"];
    Server::serve(&[&flags[..], more].concat())
}

/// Connects: the session of the welcome, and the name.
fn come(server: &Server) -> (Person, Value, Value) {
    let mut client = RawClient::connect(server);
    client.send(Upgrade::new("/ws").bytes());
    client.expect_upgrade();
    let mut person = Person(client);
    let welcome = person.read();
    (person, welcome["session"].clone(), welcome["sender"].clone())
}

/// Resumes: the rooms, or the code of the error.
fn resume(person: &mut Person, session: &Value, rooms: &Value) -> (Vec<Value>, Value) {
    let command = json!({"type": "resume", "id": 7, "session": session, "rooms": rooms});
    person.send(&command.to_string());
    let mut all = Vec::new();
    loop {
        let answer = person.read();
        if answer["type"] == "error" {
            return (all, answer["code"].clone());
        }
        if answer.get("session").is_some() {
            return (all, answer);
        }
        if answer["type"] == "ok" {
            all.push(answer);
        }
    }
}

fn names(answer: &Value) -> Vec<String> {
    let rooms = answer["rooms"].as_array().expect("a list").iter();
    let mut names: Vec<String> =
        rooms.map(|room| room["room"].as_str().expect("a name").to_owned()).collect();
    names.sort_unstable();
    names
}

#[test]
fn who_comes_back_to_another_node_has_its_rooms_and_what_was_missed() {
    let redis = Redis::start();
    let (mut one, other) = (serve(&redis, &[]), serve(&redis, &["--loops", "2"]));
    let (mut ann, session, name) = come(&one);
    let mut known = Vec::new();
    for room in ["a", "b", "d.1"] {
        let answer = ann.join(room, None);
        known.push(json!({"room": room, "epoch": answer["epoch"], "offset": 0}));
    }
    assert_eq!(ann.ask(r#"{"type":"leave","id":1,"room":"b"}"#)["type"], "ok");
    let id = session.as_str().expect("a session");
    eventually("Redis knows", 5.0, || {
        let fields = redis.ask(&["HKEYS", &format!("throng:session:{id}")]);
        fields.contains("room:a") && fields.contains("room:d.1") && !fields.contains("room:b")
    });
    // The node dies, and she goes on at the other.
    one.signal("KILL");
    one.wait_exit(5.0);
    let (mut bob, ..) = come(&other);
    bob.join("d.1", None);
    assert_eq!(bob.publish("d.1", "5"), 1);
    let (mut ann, ..) = come(&other);
    let (rooms, last) = resume(&mut ann, &session, &json!(known));
    assert_eq!((names(&last), &last["sender"]), (vec!["a".into(), "d.1".into()], &name));
    let durable = rooms.iter().find(|room| room["room"] == "d.1").expect("an answer");
    assert_eq!(
        (&durable["recovered"], &durable["messages"][0]["content"]),
        (&json!(true), &json!(5))
    );
    // What she does there is known here, and what nobody has is not.
    ann.join("c", None);
    drop(ann);
    let one = serve(&redis, &[]);
    eventually("the room is kept", 5.0, || {
        let (mut ann, ..) = come(&one);
        names(&resume(&mut ann, &session, &json!([])).1) == ["a", "c", "d.1"]
    });
    let (mut eve, ..) = come(&one);
    let unknown = json!("0".repeat(32));
    assert_eq!(resume(&mut eve, &unknown, &json!([])).1, "unknown_session");
}

#[test]
fn a_session_ends_with_its_time_and_lives_while_somebody_has_it() {
    let redis = Redis::start();
    let server = serve(&redis, &["--session-ttl", "2"]);
    let (mut ann, held, _) = come(&server);
    ann.join("a", None);
    let (gone, left, _) = come(&server);
    drop(gone);
    std::thread::sleep(Duration::from_millis(4500));
    let (mut bob, ..) = come(&server);
    assert_eq!(resume(&mut bob, &left, &json!([])).1, "unknown_session");
    assert_eq!(names(&resume(&mut bob, &held, &json!([])).1), ["a"]);
}

#[test]
fn while_redis_is_away_no_session_is_found_and_nobody_waits() {
    let mut redis = Redis::start();
    let server = serve(&redis, &[]);
    let (mut ann, session, _) = come(&server);
    ann.join("a", None);
    let key = format!("throng:session:{}", session.as_str().expect("a session"));
    eventually("Redis knows", 5.0, || redis.ask(&["EXISTS", &key]) == "1");
    redis.kill();
    let (mut bob, ..) = come(&server);
    assert_eq!(resume(&mut bob, &session, &json!([])).1, "unknown_session");
    redis.start_again();
    eventually("it is found again", 10.0, || {
        let (mut bob, ..) = come(&server);
        resume(&mut bob, &session, &json!([])).1.get("rooms").is_some()
    });
}
