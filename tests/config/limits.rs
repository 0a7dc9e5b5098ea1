//! The limits that `throng serve` has by its settings: each has its answer.

use crate::Person;
use crate::common::{Expect, Frame, RawClient, Server, Upgrade, eventually, http};
use crate::status;

fn metrics(server: &Server) -> String {
    let mut client = RawClient::connect(server);
    client.send(http::get("/metrics"));
    String::from_utf8(client.read_answer(false).body).expect("UTF-8")
}

#[test]
fn a_room_takes_so_many_messages_from_all_together() {
    let server = Server::serve(&["--room-message-rate", "1"]);
    let mut people = [Person::new(&server, "/ws"), Person::new(&server, "/ws")];
    for person in &mut people {
        assert_eq!(person.ask(r#"{"type":"join","room":"a"}"#)["type"], "ok");
    }
    let [ann, bob] = &mut people;
    assert_eq!(ann.read()["event"], "join");
    let text =
        |id: u32| format!(r#"{{"type":"text","id":{id},"room":"a","content":1,"echo":false}}"#);
    assert_eq!(ann.ask(&text(1))["type"], "ok");
    assert_eq!(bob.read()["type"], "text");
    assert_eq!(bob.ask(&text(2))["type"], "ok");
    // It is not the sender's fault alone: nobody is closed, however often it is tried.
    for id in 3..200 {
        let told = bob.ask(&text(id));
        if told["type"] == "ok" {
            continue; // a second has gone by
        }
        assert_eq!((&told["code"], &told["id"]), (&"rate_limited".into(), &id.into()), "{told}");
        assert!((1..=1000).contains(&told["retry_after_ms"].as_u64().expect("a time")), "{told}");
    }
    assert_eq!(bob.ask(r#"{"type":"heartbeat"}"#)["type"], "heartbeat");
    assert_eq!(bob.ask(r#"{"type":"join","room":"b"}"#)["type"], "ok");
    let other = bob.ask(r#"{"type":"text","id":0,"room":"b","content":1,"echo":false}"#);
    assert_eq!(other["type"], "ok", "another room has its own rate");
}

#[test]
fn a_room_takes_so_many_bytes() {
    let server = Server::serve(&["--room-bytes-rate", "1000"]);
    let mut ann = Person::new(&server, "/ws?room=a");
    let content = "x".repeat(1998); // 2,000 with its quotes, what may come at once
    let text = format!(r#"{{"type":"text","id":"big","content":"{content}","echo":false}}"#);
    assert_eq!(ann.ask(&text)["type"], "ok");
    let told = ann.ask(&text);
    assert_eq!((&told["code"], &told["id"]), (&"rate_limited".into(), &"big".into()), "{told}");
}

#[test]
fn a_connection_sends_so_many_bytes() {
    let server = Server::serve(&["--bytes-rate", "1000"]);
    let mut ann = Person::new(&server, "/ws");
    let big = format!(r#"{{"type":"heartbeat","pad":"{}","id":7}}"#, "x".repeat(1900));
    assert_eq!(ann.ask(&big)["type"], "heartbeat");
    let told = ann.ask(&big);
    assert_eq!((&told["code"], &told["id"]), (&"rate_limited".into(), &7.into()), "{told}");
    let mut echo = RawClient::open(&server, "/echo");
    echo.send(Frame::binary(vec![7; 2000]).bytes());
    echo.expect(&Expect::binary(vec![7; 2000]));
    echo.send(Frame::binary(vec![7; 2000]).bytes());
    echo.expect_close(1008);
}

#[test]
fn all_together_make_so_many_handshakes() {
    let server = Server::serve(&["--handshake-rate-total", "1"]);
    let statuses: Vec<_> = (0..3).map(|_| status(&server, &Upgrade::new("/ws"))).collect();
    assert_eq!(statuses, [101, 101, 429]);
    assert!(metrics(&server).contains("throng_limits_met_total{limit=\"handshakes\"} 1\n"));
}

#[test]
fn the_server_goes_by_its_names() {
    let server = Server::serve(&["--host", "chat.example.com", "--host", "localhost:81"]);
    for (host, expected) in [
        ("chat.example.com", 101),
        ("chat.example.com:8080", 101),
        ("localhost:81", 101),
        ("localhost", 403),
        ("evil.example", 403),
    ] {
        let upgrade = Upgrade::new("/ws").replace("Host", host);
        assert_eq!(status(&server, &upgrade), expected, "{host}");
    }
}

#[test]
fn presence_and_faults_have_their_limits() {
    let server = Server::serve(&["--max-presence", "1", "--max-faults", "2"]);
    let mut ann = Person::new(&server, "/ws?room=a&name=ann");
    let mut bob = Person::new(&server, "/ws?room=a&name=bob");
    let listed = bob.ask(r#"{"type":"presence"}"#);
    assert_eq!(
        (listed["members"].as_array().map(Vec::len), &listed["count"]),
        (Some(1), &2.into())
    );
    for _ in 0..2 {
        assert_eq!(ann.ask("no")["code"], "bad_json", "nobody was told that bob came");
    }
    assert_eq!(ann.ask("no")["code"], "bad_json");
    ann.0.expect_close(1008);
    let counted = "throng_errors_total{code=\"bad_json\"} 3\n";
    eventually("its loop has said so", 5.0, || metrics(&server).contains(counted));
}

#[test]
fn a_message_of_the_hub_has_64_kib_and_one_of_echo_64_mib() {
    let server = Server::serve(&[]);
    for (len, passes) in [(65_536, true), (65_537, false)] {
        let mut client = RawClient::open(&server, "/echo");
        client.send(Frame::binary(vec![1; len]).bytes());
        match passes {
            true => client.expect(&Expect::binary(vec![1; len])),
            false => client.expect_close(1009),
        }
    }
    let server = Server::echo(&[]);
    let mut client = RawClient::open(&server, "/");
    client.send(Frame::binary(vec![1; 1 << 20]).bytes());
    client.expect(&Expect::binary(vec![1; 1 << 20]));
}

/// However the kernel spreads them over the loops.
#[test]
fn connections_are_limited_over_all_loops() {
    let server = Server::serve(&["--loops", "3", "--max-connections", "4"]);
    let mut people: Vec<_> = (0..4).map(|_| Person::new(&server, "/ws")).collect();
    let upgrade = || status(&server, &Upgrade::new("/ws"));
    assert_eq!(upgrade(), 503);
    let counted = "throng_limits_met_total{limit=\"connections\"} 1";
    eventually("its loop has said so", 5.0, || metrics(&server).contains(counted));
    drop(people.pop());
    eventually("there is room again", 5.0, || upgrade() == 101);
}
