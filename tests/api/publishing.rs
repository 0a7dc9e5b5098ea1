//! Publishing: to rooms, to a user, to all.

use serde_json::{Value, json};

use crate::{Person, WITH_KEY, api, code, fault, request, server};

#[test]
fn a_room_gets_what_is_published_on_every_loop() {
    let server = server(&[]);
    let mut people: Vec<_> =
        (0..8).map(|n| Person::enter(&server, &format!("/ws?room=r{}&name=p{n}", n % 2))).collect();
    let done = api(&server, "POST", "/api/publish", r#"{"room":"r0","content":"hi"}"#);
    assert_eq!(done, json!({ "ok": true }));
    let body = r#"{"rooms":["r1","r1","r0"],"content":{"n":[1,null]},"sender":"desk"}"#;
    api(&server, "POST", "/api/publish", body);
    for (n, person) in people.iter_mut().enumerate() {
        if n % 2 == 0 {
            let text = person.next_of("text");
            assert_eq!((&text["content"], &text["sender"]), (&json!("hi"), &json!("server")));
            assert!(text["timestamp"].as_u64().is_some_and(|ms| ms > 1_700_000_000_000));
        }
        let text = person.next_of("text");
        assert_eq!(text["room"], format!("r{}", n % 2));
        assert_eq!((&text["content"], &text["sender"]), (&json!({"n":[1,null]}), &json!("desk")));
    }
    // Named twice, told once: what comes next is what is published next.
    api(&server, "POST", "/api/broadcast", r#"{"content":null}"#);
    for person in &mut people {
        let text = person.next_of("text");
        assert_eq!((&text["content"], text.get("room")), (&Value::Null, None));
    }
}

#[test]
fn a_user_gets_it_by_all_connections_and_nobody_else_does() {
    let server = server(&[]);
    let mut anns: Vec<_> =
        (0..4).map(|_| Person::enter(&server, "/ws?name=ann%20%2F%20caf%C3%A9")).collect();
    let mut bob = Person::enter(&server, "/ws?name=bob");
    let target = "/api/users/ann%20%2f%20caf%c3%a9/publish";
    api(&server, "POST", target, r#"{"content":"psst"}"#);
    api(&server, "POST", "/api/users/nobody/publish", r#"{"content":"psst"}"#);
    for ann in &mut anns {
        let direct = ann.next_of("direct");
        assert_eq!((&direct["content"], &direct["sender"]), (&json!("psst"), &json!("server")));
    }
    bob.send(r#"{"type":"heartbeat","seq":1}"#);
    assert_eq!(bob.read()["type"], "heartbeat");
}

#[test]
fn what_cannot_be_published_is_refused_whole() {
    let server = server(&[]);
    let mut ann = Person::enter(&server, "/ws?room=r");
    let many = |count: usize| {
        let rooms: Vec<_> = (0..count).map(|n| format!("r{n}")).collect();
        json!({ "rooms": rooms, "content": 1 }).to_string()
    };
    let long = json!({ "room": "x".repeat(129), "content": 1 }).to_string();
    for (body, expected) in [
        (r#"{"room":"r"}"#, "bad_request"),
        (r#"{"content":1}"#, "bad_request"),
        (r#"{"room":"r","rooms":["r"],"content":1}"#, "bad_request"),
        (r#"{"room":7,"content":1}"#, "bad_request"),
        (r#"{"rooms":"r","content":1}"#, "bad_request"),
        (r#"{"room":"r","content":1,"sender":[]}"#, "bad_request"),
        (r#"{"room":"r","content":1,"contents":2}"#, "bad_request"),
        (r#"{"room":"r","content":1,"content":2}"#, "bad_request"),
        (r#"{"room":"","content":1}"#, "bad_name"),
        (r#"{"room":"a\nb","content":1}"#, "bad_name"),
        (r#"{"rooms":["r",""],"content":1}"#, "bad_name"),
        (r#"{"room":"r","content":1,"sender":""}"#, "bad_name"),
        (&long, "bad_name"),
        (r#"{"rooms":[],"content":1}"#, "too_many_rooms"),
        (&many(101), "too_many_rooms"),
        (r#"{"room":"r","content":01}"#, "bad_json"),
        (r#"{"room":"r","content":"\ud800"}"#, "bad_json"),
        (r#"["r",null,1,null]"#, "bad_json"),
        ("hello", "bad_json"),
    ] {
        let refused = fault(&server, "POST", "/api/publish", body);
        assert_eq!(refused, (400, expected.to_owned()), "{body}");
    }
    api(&server, "POST", "/api/publish", &many(100));
    api(&server, "POST", "/api/publish", r#"{"room":"r","content":"the first"}"#);
    assert_eq!(ann.next_of("text")["content"], "the first");
}

/// A request that is sent again, since its answer was lost: published once, answered the same.
#[test]
fn rule_23_a_request_with_a_key_of_its_own_publishes_once() {
    const JSON: (&str, &str) = ("Content-Type", "application/json");
    for flags in [&[][..], &["--history-messages", "0"]] {
        let server = server(flags);
        let mut ann = Person::enter(&server, "/ws?room=a&name=ann");
        let mut bob = Person::enter(&server, "/ws?room=b&name=bob");
        let post = |path: &str, key: &str, body: &str| {
            let headers = [WITH_KEY, JSON, ("Idempotency-Key", key)];
            let (answer, body) = request(&server, "POST", path, &headers, body);
            (answer.status, body)
        };
        let offset = |offset: u64| flags.is_empty().then_some(json!(offset));
        let place = |room: &str, at: u64, duplicate: bool| {
            let mut place = json!({"room": room, "duplicate": duplicate});
            if let Some(offset) = offset(at) {
                place["offset"] = offset;
            }
            place
        };
        let body = r#"{"rooms":["b","a"],"content":"one"}"#;
        for duplicate in [false, true, true] {
            let (status, told) = post("/api/publish", "k-1", body);
            let expected = [place("a", 1, duplicate), place("b", 1, duplicate)];
            assert_eq!((status, told), (200, json!({"ok": true, "published": expected})));
        }
        // In quotes, and in the body, it is the same; a room where it has not been gets it.
        let body = r#"{"rooms":["a","c"],"content":"other","message_id":"k-1"}"#;
        let (_, told) = post("/api/publish", r#""k-1""#, body);
        assert_eq!(told["published"], json!([place("a", 1, true), place("c", 1, false)]));
        // Another sender is another.
        let body = r#"{"room":"a","content":"two","sender":"desk","message_id":"k-1"}"#;
        let told = api(&server, "POST", "/api/publish", body);
        assert_eq!(told["published"], json!([place("a", 2, false)]));
        for (path, key, body) in [
            ("/api/publish", "", r#"{"room":"a","content":1}"#),
            ("/api/publish", &"k".repeat(65), r#"{"room":"a","content":1}"#),
            ("/api/publish", "k-1", r#"{"room":"a","content":1,"message_id":"k-2"}"#),
            ("/api/broadcast", "k-1", r#"{"content":1}"#),
            ("/api/users/ann/publish", "k-1", r#"{"content":1}"#),
        ] {
            let (status, told) = post(path, key, body);
            assert_eq!((status, &*code(&told)), (400, "bad_request"), "{path} {key} {body}");
        }
        let twice = [WITH_KEY, JSON, ("Idempotency-Key", "a"), ("Idempotency-Key", "a")];
        let body = r#"{"room":"a","content":1}"#;
        assert_eq!(request(&server, "POST", "/api/publish", &twice, body).0.status, 400);
        api(&server, "POST", "/api/broadcast", r#"{"content":"last"}"#);
        for (person, expected) in [(&mut ann, &["one", "two"][..]), (&mut bob, &["one"])] {
            for content in expected.iter().chain(&["last"]) {
                assert_eq!(person.next_of("text")["content"], *content);
            }
        }
    }
}

#[test]
fn rule_23_where_the_store_cannot_be_reached_it_says_so() {
    let server = server(&["--durable", "d.*", "--history-db", "/nowhere/throng.db"]);
    let body = r#"{"rooms":["d.1","a"],"content":1,"message_id":"1"}"#;
    let refused = fault(&server, "POST", "/api/publish", body);
    assert_eq!(refused, (503, "store_unavailable".to_owned()));
    let told = api(&server, "POST", "/api/publish", r#"{"room":"a","content":1,"message_id":"1"}"#);
    assert_eq!(told["published"][0]["duplicate"], true);
}
