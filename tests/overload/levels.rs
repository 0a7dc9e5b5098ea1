//! The levels, one after the other and back. What is held of requests in part is the pressure that
//! a test can dose: so many bytes of a limit.

use std::time::{Duration, Instant};

use crate::common::http::Upgrade;
use crate::common::{Frame, RawClient, Server, eventually, http};
use crate::{answer, ask, await_level, knock, member, metric, press};

const API_KEY: &str = "key-of-these-tests-0123456789";

/// Publishes by the HTTP API.
fn publish(server: &Server, path: &str, body: &str) -> http::Answer {
    let mut client = RawClient::connect(server);
    let length = body.len();
    client.send(format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {API_KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    client.read_answer(false)
}

fn start() -> Server {
    Server::serve(&[
        "--degrade",
        "--partial-bytes",
        "100000",
        "--handshake-timeout",
        "60",
        "--room-priority",
        "chatter.*=low",
        "--room-priority",
        "vip=high",
        "--api-key",
        API_KEY,
    ])
}

#[test]
fn each_level_sheds_its_own_and_ends_with_the_load() {
    let server = start();
    let mut ann = member(&server, "/ws?room=team&name=ann");
    ask(&mut ann, r#"{"type":"join","id":1,"room":"chatter.1"}"#);
    let low = r#"{"type":"text","id":2,"room":"chatter.1","content":"hi","echo":false}"#;
    let normal = r#"{"type":"text","id":3,"room":"team","content":"hi","echo":false}"#;
    assert_eq!(ask(&mut ann, low)["type"], "ok");
    let mut load: Vec<_> = (0..8).map(|_| press(&server, 10_300)).collect();

    await_level(&server, 1.0);
    let error = ask(&mut ann, low);
    assert_eq!((&error["type"], &error["code"]), (&"error".into(), &"overloaded".into()));
    assert_eq!(error["id"], 2);
    assert_eq!(ask(&mut ann, normal)["type"], "ok");
    let mut bob = member(&server, "/ws?room=team&name=bob");
    let news = ann.read_text();
    assert!(news.contains(r#""join""#), "{news}");

    load.push(press(&server, 10_300));
    await_level(&server, 2.0);
    assert_eq!(ask(&mut ann, low)["code"], "overloaded");
    assert_eq!(ask(&mut bob, normal)["type"], "ok");
    assert!(ann.read_text().contains(r#""content":"hi""#));
    let carol = member(&server, "/ws?room=team&name=carol");
    ann.expect_open(); // nobody has told it of carol

    load.push(press(&server, 3_500));
    await_level(&server, 3.0);
    let refused = knock(&server, "/ws?room=team");
    assert_eq!((refused.status, refused.only("retry-after")), (503, Some("5")), "{refused:?}");
    let body = String::from_utf8(refused.body).expect("text");
    assert!(body.starts_with(r#"{"error":"overloaded""#), "{body}");
    assert_eq!(ask(&mut ann, normal)["type"], "ok"); // who is in goes on
    let mut client = RawClient::connect(&server);
    client.send(http::get("/healthz"));
    client.expect_answer(200);

    drop(load);
    let ended = Instant::now();
    eventually("new members are let in", 10.0, || knock(&server, "/ws").status == 101);
    let took = ended.elapsed();
    println!("normal after {took:?}");
    // At most five seconds, and one for a machine that has other things to do.
    assert!((Duration::from_secs(3)..Duration::from_secs(6)).contains(&took), "{took:?}");
    await_level(&server, 0.0);
    answer(&mut bob); // the text of ann
    assert_eq!(ask(&mut ann, low)["type"], "ok");
    for (level, least) in [("busy", 2.0), ("degraded", 1.0), ("critical", 1.0)] {
        let sheds = metric(&server, &format!("throng_sheds_total{{level=\"{level}\"}}"));
        assert!(sheds >= least, "{level}: {sheds}");
    }
    let log = server.errors();
    for words in ["more is shed", "less is shed", "critical", "queue"] {
        assert!(log.contains(words), "{words}: {log}");
    }
    drop(carol);
}

/// What back ends publish weighs as much as what members do.
#[test]
fn the_api_is_told_what_is_shed() {
    let server = start();
    let mut ann = member(&server, "/ws?room=team&name=ann");
    ask(&mut ann, r#"{"type":"join","id":1,"room":"chatter.1"}"#);
    let low = [
        r#"{"room":"chatter.1","content":"low"}"#,
        r#"{"room":"chatter.1","content":"low","message_id":"1"}"#,
        r#"{"rooms":["team","chatter.1"],"content":"low"}"#,
    ];
    let normal = r#"{"rooms":["team","vip"],"content":"normal"}"#;
    let load: Vec<_> = (0..8).map(|_| press(&server, 10_300)).collect();
    await_level(&server, 1.0);
    let before = metric(&server, "throng_sheds_total{level=\"busy\"}");
    for body in low {
        let refused = publish(&server, "/api/publish", body);
        assert_eq!((refused.status, refused.only("retry-after")), (503, Some("5")), "{body}");
        let words = String::from_utf8(refused.body).expect("text");
        assert!(words.starts_with(r#"{"code":"overloaded""#), "{words}");
    }
    assert_eq!(metric(&server, "throng_sheds_total{level=\"busy\"}"), before + 3.0);
    assert_eq!(publish(&server, "/api/publish", normal).status, 200);
    assert_eq!(publish(&server, "/api/broadcast", r#"{"content":"all"}"#).status, 200);
    // Nobody got it, nor any part of it.
    assert_eq!(answer(&mut ann)["content"], "normal");
    assert_eq!(answer(&mut ann)["content"], "all");
    drop(load);
    await_level(&server, 0.0);
    assert_eq!(publish(&server, "/api/publish", low[1]).status, 200);
    assert_eq!(answer(&mut ann)["content"], "low");
}

#[test]
fn nothing_is_compressed_while_it_is_degraded() {
    let server = start();
    let mut client = RawClient::connect(&server);
    let offer = "permessage-deflate; client_no_context_takeover";
    client.send(Upgrade::new("/echo").header("Sec-WebSocket-Extensions", offer).bytes());
    assert!(client.expect_upgrade().only("sec-websocket-extensions").is_some());
    let text = "abc".repeat(1000);
    let mut is_compressed = || {
        client.send(Frame::text(&text).bytes());
        let frame = client.read_frame_raw(Duration::from_secs(5));
        frame.rsv != 0
    };
    assert!(is_compressed());
    let load: Vec<_> = (0..9).map(|_| press(&server, 10_300)).collect();
    await_level(&server, 2.0);
    eventually("it goes out as it is", 3.0, || !is_compressed());
    drop(load);
    eventually("it is compressed again", 10.0, is_compressed);
}

#[test]
fn without_the_flag_nothing_is_shed() {
    let server = Server::serve(&["--partial-bytes", "100000", "--handshake-timeout", "60"]);
    let _load: Vec<_> = (0..9).map(|_| press(&server, 10_300)).collect();
    let partial = "throng_memory_bytes{owner=\"partial\"}";
    eventually("it is held", 5.0, || metric(&server, partial) > 92_000.0);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(metric(&server, "throng_degrade_level"), 0.0);
    assert_eq!(knock(&server, "/ws").status, 101);
}

#[test]
fn descriptors_that_run_out_are_pressure_too() {
    let server = Server::serve_with_descriptors(100, &["--degrade"]);
    let mut members = Vec::new();
    let pressure = "throng_pressure_ratio{source=\"descriptors\"}";
    eventually("nobody is let in any more", 20.0, || {
        let mut client = RawClient::connect(&server);
        client.send(Upgrade::new("/ws?name=member").bytes());
        let status = client.read_answer(false).status;
        members.push(client);
        if status == 101 && server.fd_count() > 85 {
            std::thread::sleep(Duration::from_millis(300)); // it is looked at four times a second
        }
        status == 503 && metric(&server, pressure) >= 0.9 // a busy machine has other reasons
    });
    // The loop has not run into its end: there is room for those who look after it.
    assert!((0.9..1.0).contains(&metric(&server, pressure)), "{}", metric(&server, pressure));
    drop(members);
    eventually("new members are let in", 10.0, || knock(&server, "/ws").status == 101);
}
