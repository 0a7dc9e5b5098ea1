//! Class A14: what one message, one request or one token may hold has an edge: both sides of it are
//! shown.

use serde_json::{Value, json};

use crate::common::{Frame, RawClient, Server, Upgrade};
use crate::tokens::{SECRET, Scratch, now_s};

fn ask(client: &mut RawClient, command: &str) -> Value {
    client.send(Frame::text(command).bytes());
    serde_json::from_str(&client.read_text()).expect("JSON")
}

/// What is said to a command: the code of an error, else the type.
fn word(told: &Value) -> &str {
    told["code"].as_str().or(told["type"].as_str()).expect("a word")
}

#[test]
fn a14_a_message_has_its_edges() {
    let server = Server::serve(&["--max-rooms", "3", "--max-message", "4096"]);
    let mut client = RawClient::open(&server, "/ws?room=r");
    assert!(client.read_text().contains("welcome"));
    let name = |len: usize| "n".repeat(len);
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let text = |content: &str| format!(r#"{{"type":"text","content":{content}}}"#);
    let join = |room: &str| format!(r#"{{"type":"join","room":"{room}"}}"#);
    let direct = |user: &str| format!(r#"{{"type":"direct","id":1,"user":"{user}","content":1}}"#);
    let presence = |id: usize| format!(r#"{{"type":"presence","id":"{}"}}"#, name(id));
    for (command, expected) in [
        (text(&nested(126)), "text"),
        (text(&nested(129)), "bad_json"),
        (text(&nested(2000)), "bad_json"),
        (join(&name(128)), "ok"),
        (join(&name(129)), "bad_name"),
        (direct(&name(128)), "ok"),
        (direct(&name(129)), "bad_name"),
        (join("third"), "ok"),
        (join("fourth"), "too_many_rooms"),
        (join("third"), "ok"),
    ] {
        let told = ask(&mut client, &command);
        assert_eq!(word(&told), expected, "{command:.100}: {told}");
    }
    // An id comes back up to 64 bytes, with its quotes; a longer one is not kept.
    assert_eq!(ask(&mut client, &presence(62))["id"], name(62));
    assert_eq!(ask(&mut client, &presence(63)).get("id"), None);
    // A message of the limit is read, one byte more is not.
    let padded = |len: usize| {
        let command = r#"{"type":"heartbeat"}"#;
        format!("{command}{}", " ".repeat(len - command.len()))
    };
    assert_eq!(word(&ask(&mut client, &padded(4096))), "heartbeat");
    client.send(Frame::text(padded(4097)).bytes());
    client.expect_close(1009);
}

#[test]
fn a14_a_request_has_its_edges() {
    let server = Server::serve(&[]);
    let status = |upgrade: Upgrade| {
        let mut client = RawClient::connect(&server);
        client.send(upgrade.bytes());
        client.read_answer(false).status
    };
    for (len, expected) in [(128, 101), (129, 400)] {
        for key in ["room", "name"] {
            let target = format!("/ws?{key}={}", "n".repeat(len));
            assert_eq!(status(Upgrade::new(&target)), expected, "{key} of {len} bytes");
        }
    }
    // Five lines stand there already.
    let lines = |count: usize| {
        (5..count).fold(Upgrade::new("/ws"), |upgrade, n| upgrade.header(&format!("X-{n}"), "1"))
    };
    assert_eq!([status(lines(64)), status(lines(65))], [101, 431]);
}

#[test]
fn a14_a_token_has_its_edges() {
    let file = Scratch::new(SECRET);
    let server = Server::serve(&["--jwt-secret-file", file.path(), "--require-token"]);
    let status = |name: &str, value: Value| {
        let mut claims = json!({"sub": "ann", "exp": now_s() + 60});
        claims[name] = value;
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
        let token = jsonwebtoken::encode(&header, &claims, &key).expect("it signs");
        let mut client = RawClient::connect(&server);
        let upgrade = Upgrade::new("/ws").header("Authorization", format!("Bearer {token}"));
        client.send(upgrade.bytes());
        client.read_answer(false).status
    };
    let name = |len: usize| json!("n".repeat(len));
    let rooms = |count: usize, len: usize| {
        let room = json!({"match": "n".repeat(len), "rights": ["read"]});
        json!(vec![room; count])
    };
    for (claim, at_the_edge, past_it) in [
        ("sub", name(128), name(129)),
        ("jti", name(128), name(129)),
        ("rooms", rooms(64, 3), rooms(65, 3)),
        ("rooms", rooms(1, 128), rooms(1, 129)),
    ] {
        assert_eq!(status(claim, at_the_edge), 101, "{claim}");
        assert_eq!(status(claim, past_it), 401, "{claim}");
    }
}
