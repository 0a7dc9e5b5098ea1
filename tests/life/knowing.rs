//! What a server knows moves with it: who somebody is, what may be done, and what was revoked.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use throng::hub::auth::{Claims, RoomClaim, Signer};

use crate::common::http::Upgrade;
use crate::common::{Folder, Frame, RawClient, Server};
use crate::lineage::Lineage;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const KEY: &str = "a-key-for-the-tests";

fn token(sub: &str, jti: &str, rooms: Value) -> String {
    let rooms: Option<Vec<RoomClaim>> = serde_json::from_value(rooms).expect("rooms");
    let claims = Claims {
        sub: sub.into(),
        jti: Some(jti.into()),
        exp: Some(u64::from(u32::MAX)),
        rooms,
        ..Claims::default()
    };
    Signer::secret(SECRET.as_bytes()).expect("a secret").sign(&claims).expect("claims")
}

fn handshake(server: &Server, token: &str) -> RawClient {
    let mut client = RawClient::connect(server);
    let bearer = format!("Bearer {token}");
    client.send(Upgrade::new("/ws?room=a").header("Authorization", bearer).bytes());
    client
}

fn said(client: &mut RawClient) -> Value {
    serde_json::from_str(&client.read_text()).expect("JSON")
}

fn ask(client: &mut RawClient, command: &Value) -> Value {
    client.send(Frame::text(command.to_string()).bytes());
    loop {
        let answer = said(client);
        if answer["id"] == command["id"] {
            return answer;
        }
    }
}

fn post(server: &Server, path: &str, body: &Value) -> u16 {
    let mut client = RawClient::connect(server);
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(head + &body);
    client.read_answer(false).status
}

#[test]
fn who_somebody_is_moves() {
    let folder = Folder::new("who");
    let file = folder.file("secret");
    fs::write(&file, SECRET).expect("written");
    let flags = [
        "--drain",
        "1",
        "--jwt-secret-file",
        &file,
        "--require-token",
        "--max-connections-per-user",
        "1",
        "--api-key",
        KEY,
    ];
    let mut server = Lineage::new(Server::serve(&flags));
    let reader = token("ann", "a1", json!([{"match": "a", "rights": ["read"]}]));
    let mut ann = handshake(&server.first, &reader);
    ann.expect_upgrade();
    assert_eq!(said(&mut ann)["sender"], "ann");
    let anyone = token("bob", "b1", Value::Null);
    assert_eq!(post(&server.first, "/api/revocations", &json!({"jti": "b1"})), 200);
    assert_eq!(handshake(&server.first, &anyone).read_answer(false).status, 401);
    for _ in 0..2 {
        server.upgrade();
        server.wait_for_the_old(10.0);
        let answer = ask(&mut ann, &json!({"type": "text", "id": 1, "content": 1}));
        assert_eq!(answer["code"], "forbidden", "{answer}");
        let answer = ask(&mut ann, &json!({"type": "join", "id": 2, "room": "b"}));
        assert_eq!(answer["code"], "forbidden", "{answer}");
        assert_eq!(handshake(&server.first, &reader).read_answer(false).status, 429, "counted");
        assert_eq!(handshake(&server.first, &anyone).read_answer(false).status, 401, "revoked");
    }
    assert_eq!(post(&server.first, "/api/revocations", &json!({"jti": "a1"})), 200);
    ann.expect_close(1008);
    let other = token("ann", "a2", Value::Null);
    handshake(&server.first, &other).expect_upgrade(); // its place is free
}

#[test]
fn durable_rooms_go_on() {
    let folder = Folder::new("durable");
    let flags = ["--drain", "1", "--durable", "a", "--history-db", &folder.file("throng.db")];
    let mut server = Lineage::new(Server::serve(&flags));
    let mut ann = RawClient::open(&server.first, "/ws?room=a&name=ann");
    let mut due = 1;
    for round in 0..3 {
        for _ in 0..5 {
            let until = Instant::now() + Duration::from_secs(10);
            let publish = json!({"type": "text", "id": due, "content": round, "echo": false});
            let mut answer = ask(&mut ann, &publish);
            // Until the old process has closed the file.
            while answer["code"] == "store_unavailable" && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(50));
                answer = ask(&mut ann, &publish);
            }
            assert_eq!(answer["offset"], due, "{answer}");
            due += 1;
        }
        server.upgrade();
        server.wait_for_the_old(10.0);
    }
}

#[test]
fn of_two_forms_each_keeps_its_own() {
    let mut server = Lineage::new(Server::serve(&["--drain", "1"]));
    let mut twin = RawClient::connect(&server.first);
    let request = Upgrade::new("/ws?room=a").header("Sec-WebSocket-Protocol", "throng.v1.proto");
    twin.send(request.bytes());
    twin.expect_upgrade();
    let mut ann = RawClient::open(&server.first, "/ws?room=a&name=ann");
    server.upgrade();
    server.wait_for_the_old(10.0);
    let answer = ask(&mut ann, &json!({"type": "text", "id": 1, "content": "hi"}));
    assert_eq!(answer["offset"], 1, "{answer}");
    let is_hi = |payload: &[u8]| payload.windows(4).any(|window| window == b"\"hi\"");
    while !is_hi(&twin.read_message().payload) {}
    let answer = ask(&mut ann, &json!({"type": "presence", "id": 2, "room": "a"}));
    assert_eq!(answer["count"], 2, "{answer}");
    let answer = ask(&mut ann, &json!({"type": "history", "id": 3}));
    assert_eq!(answer["messages"].as_array().map(Vec::len), Some(1), "{answer}");
}

#[test]
fn where_somebody_comes_from_moves() {
    let flags = ["--drain", "1", "--trust-proxy", "127.0.0.1", "--api-key", KEY];
    let mut server = Lineage::new(Server::serve(&flags));
    let mut ann = RawClient::connect(&server.first);
    let request = Upgrade::new("/ws?name=ann").header("X-Forwarded-For", "192.0.2.7");
    ann.send(request.header("X-Forwarded-Proto", "http").bytes());
    ann.expect_upgrade();
    server.upgrade();
    server.wait_for_the_old(10.0);
    let mut client = RawClient::connect(&server.first);
    let list = "GET /api/connections HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ";
    client.send(format!("{list}{KEY}\r\n\r\n"));
    let answer = client.read_answer(false).body;
    let listed: Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(listed["connections"][0]["address"], "192.0.2.7", "{listed}");
}
