//! Publishing: to rooms, to a user, to all.

use serde_json::{Value, json};

use crate::{Person, api, fault, server};

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
