//! The chat relay of `throng serve`, and how both commands stop.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::frame::{CLOSE, TEXT};
use crate::common::{Frame, RawClient, Server, each_chunking, eventually};

fn send(client: &mut RawClient, message: Value) {
    client.send(Frame::text(message.to_string()).bytes());
}

fn read(client: &mut RawClient) -> Value {
    let text = client.read_text();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
}

/// The next message of this type; those before it are passed over.
fn read_type(client: &mut RawClient, kind: &str) -> Value {
    for _ in 0..20 {
        let message = read(client);
        if message["type"] == kind {
            return message;
        }
    }
    panic!("no {kind} among 20 messages")
}

/// In a room, the welcome already read.
fn join(server: &Server, room: &str, name: &str) -> RawClient {
    let mut client = RawClient::open(server, &format!("/ws?room={room}&name={name}"));
    client.note(name);
    let welcome = read(&mut client);
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    client
}

fn now_ms() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_secs_f64() * 1000.0
}

#[test]
fn a_newcomer_is_welcomed_and_announced() {
    let server = Server::serve(&[]);
    let mut ann = RawClient::open(&server, "/ws?room=tea&name=ann");
    let welcome = read(&mut ann);
    assert_eq!(welcome["type"], "welcome");
    assert_eq!(welcome["room"], "tea");
    assert_eq!(welcome["sender"], "ann");
    assert_eq!(welcome["members"], json!(["ann"]));
    let age_ms = now_ms() - welcome["timestamp"].as_f64().expect("a number");
    assert!(age_ms.abs() < 60_000.0, "milliseconds since 1970: {welcome}");
    let mut bob = RawClient::open(&server, "/ws?room=tea&name=bob");
    let mut members = read(&mut bob)["members"].as_array().expect("a list").clone();
    members.sort_by_key(Value::to_string);
    assert_eq!(members, [json!("ann"), json!("bob")]);
    let joined = read(&mut ann);
    assert_eq!(joined["type"], "system");
    assert_eq!(joined["event"], "join");
    assert_eq!((&joined["room"], &joined["sender"]), (&json!("tea"), &json!("bob")));
    assert!(joined["content"].is_string() && joined["timestamp"].is_number(), "{joined}");
    bob.send(Frame::close(1000, "").bytes());
    bob.expect_close(1000);
    let left = read(&mut ann);
    assert_eq!((&left["type"], &left["event"]), (&json!("system"), &json!("leave")));
    assert_eq!(left["sender"], "bob");
}

#[test]
fn a_member_that_is_cut_off_leaves() {
    let server = Server::serve(&[]);
    let mut ann = join(&server, "tea", "ann");
    let bob = join(&server, "tea", "bob");
    assert_eq!(read(&mut ann)["event"], "join");
    bob.reset();
    let left = read(&mut ann);
    assert_eq!((&left["event"], &left["sender"]), (&json!("leave"), &json!("bob")));
    send(&mut ann, json!({"type": "presence", "id": 1}));
    assert_eq!(read_type(&mut ann, "ok")["members"], json!(["ann"]));
}

#[test]
fn a_text_reaches_everyone_then_the_sender_is_told() {
    let server = Server::serve(&[]);
    let (mut ann, mut bob) = (join(&server, "tea", "ann"), join(&server, "tea", "bob"));
    let mut eve = join(&server, "coffee", "eve");
    assert_eq!(read(&mut ann)["event"], "join");
    each_chunking(|chunking| {
        let content = "hi \u{1f600} \"quoted\" \\ <b>";
        let text = json!({"type": "text", "id": 1, "content": content});
        ann.send_chunked(&Frame::text(text.to_string()).bytes(), chunking);
        for client in [&mut ann, &mut bob] {
            let text = read(client);
            assert_eq!(text["type"], "text", "{text}");
            assert_eq!(text["room"], "tea");
            assert_eq!(text["sender"], "ann");
            assert_eq!(text["content"], content);
            assert!(text["timestamp"].is_number(), "{text}");
        }
        let ok = read(&mut ann);
        assert_eq!((&ok["type"], &ok["id"]), (&json!("ok"), &json!(1)));
    });
    eve.expect_silence(Duration::from_millis(50)); // another room
    ann.expect_open();
    bob.expect_open();
}

#[test]
fn the_simple_protocol_on_the_root_path() {
    let server = Server::serve(&[]);
    let mut clients: Vec<RawClient> = (0..3).map(|_| RawClient::open(&server, "/")).collect();
    for client in &mut clients {
        client.expect_open_among_texts();
    }
    let message = json!({"type": "text", "content": "hi", "sender": "bob", "timestamp": 1});
    send(&mut clients[0], message);
    for client in &mut clients[1..] {
        let text = read_type(client, "text");
        assert_eq!(text["content"], "hi");
        assert_eq!(text["sender"], "bob");
        assert_eq!(text["room"], "lobby");
        assert!(text["timestamp"].is_number(), "{text}");
    }
}

#[test]
fn presence_heartbeat_and_made_up_names() {
    let server = Server::serve(&[]);
    let mut ann = join(&server, "tea", "ann");
    let _other_ann = join(&server, "tea", "ann");
    let mut guest = RawClient::open(&server, "/ws?room=tea");
    let name = read(&mut guest)["sender"].as_str().expect("a name").to_owned();
    assert!(!name.is_empty() && name != "ann", "a guest has a name of its own: {name:?}");
    send(&mut ann, json!({"type": "presence", "id": 2}));
    let ok = read_type(&mut ann, "ok");
    assert_eq!(ok["id"], 2);
    let mut members: Vec<&str> =
        ok["members"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    members.sort_unstable();
    let mut due = ["ann", "ann", &name];
    due.sort_unstable();
    assert_eq!(members, due, "two of the same name count twice");
    let beat = json!({"type": "heartbeat", "seq": 7, "timestamp": 5});
    send(&mut ann, beat.clone());
    let answer = read_type(&mut ann, "heartbeat");
    assert_eq!((&answer["seq"], &answer["timestamp"]), (&json!(7), &json!(5)));
}

#[test]
fn what_cannot_be_understood_is_answered_and_survived() {
    let server = Server::serve(&["--max-message", "1000000"]);
    let mut ann = join(&server, "tea", "ann");
    let deep = "[".repeat(100_000);
    // Grammatical, and yet nothing that every reader in the room could take.
    let nested = format!(r#"{{"type":"text","content":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
    let bad = [
        "",
        "hello",
        "{",
        "null",
        "[]",
        "42",
        "\"text\"",
        "{}",
        r#"{"type":1}"#,
        r#"{"type":"no"}"#,
        r#"{"type":"text"}"#,
        r#"{"type":"text","content":"a"} x"#,
        r#"{"content":"no type"}"#,
        deep.as_str(),
        nested.as_str(),
        r#"{"type":"text","content":"\ud800"}"#,
        r#"{"type":"text","content":1e999999}"#,
    ];
    for text in bad {
        each_chunking(|chunking| {
            ann.note(format!("{text:.30}, {chunking:?}"));
            ann.send_chunked(&Frame::text(text).bytes(), chunking);
            let error = read(&mut ann);
            assert_eq!(error["type"], "error", "{text:.30}: {error}");
            assert!(error["code"].is_string() && error["content"].is_string(), "{error}");
        });
    }
    send(&mut ann, json!({"type": "nonsense", "id": 9}));
    assert_eq!(read(&mut ann)["id"], 9, "the error names the command");
    send(&mut ann, json!({"type": "text", "id": 10, "content": "still here"}));
    assert_eq!(read(&mut ann)["content"], "still here");
    assert_eq!(read(&mut ann)["id"], 10);
}

#[test]
fn a_room_sees_one_order() {
    let server = Server::serve(&[]);
    let mut members: Vec<RawClient> =
        (0..20).map(|n| join(&server, "order", &format!("m{n}"))).collect();
    for round in 0..10 {
        for (index, member) in members.iter_mut().enumerate() {
            send(member, json!({"type": "text", "content": format!("{round} from {index}")}));
        }
    }
    let orders: Vec<Vec<String>> = members
        .iter_mut()
        .map(|member| {
            let texts = (0..200).map(|_| read_type(member, "text")["content"].to_string());
            texts.collect()
        })
        .collect();
    for order in &orders {
        assert!(*order == orders[0], "two members saw different orders");
    }
    for index in 0..20 {
        let marker = format!("from {index}\"");
        let mine: Vec<&String> = orders[0].iter().filter(|one| one.ends_with(&marker)).collect();
        let in_order = mine.is_sorted() && mine.len() == 10;
        assert!(in_order, "the messages of one sender keep their order");
    }
}

fn stops_on(signal: &str, mut server: Server, target: &str) {
    let mut clients: Vec<RawClient> = (0..20).map(|_| RawClient::open(&server, target)).collect();
    for client in &mut clients {
        client.note(format!("{signal} {target}"));
        client.expect_open_among_texts();
    }
    let (mut plain, address) = (RawClient::connect(&server), server.address());
    plain.send("GET /heal"); // a request that is not finished must not hold it up
    server.signal(signal);
    for client in &mut clients {
        let mut message = client.read_message();
        while message.opcode == TEXT {
            message = client.read_message();
        }
        assert_eq!((message.opcode, message.close_code()), (CLOSE, Some(1001)), "{message}");
        client.send(Frame::close(1001, "").bytes());
        client.read_to_end();
    }
    assert_eq!(server.wait_exit(3.0).code(), Some(0), "{signal}");
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn a_signal_closes_everyone_with_1001_and_exits_0() {
    for signal in ["TERM", "INT"] {
        stops_on(signal, Server::echo(&["--drain", "1"]), "/");
        stops_on(signal, Server::serve(&["--drain", "1"]), "/ws?room=a&name=b");
    }
}

#[test]
fn peers_that_ignore_the_close_do_not_hold_up_the_exit() {
    let mut server = Server::serve(&["--drain", "1"]);
    let mut clients: Vec<RawClient> = (0..5).map(|_| RawClient::open(&server, "/echo")).collect();
    clients[0].send(Frame::text("begun").unfinished().bytes());
    let started = Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait_exit(4.0).code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    for client in &mut clients {
        let close = client.read_frame();
        assert_eq!(close.close_code(), Some(1001), "the Close was sent all the same");
    }
}

#[test]
fn an_empty_server_exits_at_once() {
    let mut server = Server::serve(&[]);
    RawClient::open(&server, "/echo").expect_open();
    let at_rest = server.fds_at_rest();
    eventually("the connection is gone", 2.0, || server.fd_count() <= at_rest);
    let started = Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait_exit(3.0).code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}
