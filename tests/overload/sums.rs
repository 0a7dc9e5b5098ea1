//! What all connections of a loop may hold together.

use std::time::Duration;

use crate::common::http::Upgrade;
use crate::common::{Frame, RawClient, Server, eventually};
use crate::{answer, ask, member, metric, narrow_member, say};

const BACKLOGS: f64 = 16.0 * 1024.0 * 1024.0;

/// Twenty who read nothing could be owed 80 MiB by their own limits.
#[test]
fn what_all_slow_members_are_owed_is_bounded() {
    let flags = [
        "--memory-budget",
        "512M",
        "--max-connections",
        "500",
        "--max-message",
        "65536",
        "--backlogs-bytes",
        "16M",
        "--compress",
        "off",
    ];
    let server = Server::serve(&flags);
    let before_kb = server.rss_kb();
    let mut talker = member(&server, "/ws?room=busy&name=talker");
    let slow: Vec<_> =
        (0..20).map(|n| narrow_member(&server, &format!("/ws?room=busy&name=s{n}"))).collect();
    let content = "x".repeat(16 << 10);
    let text =
        format!(r#"{{"type":"text","id":1,"room":"busy","content":"{content}","echo":false}}"#);
    let (mut highest, mut highest_kb) = (0.0_f64, 0);
    for round in 0..40 {
        for _ in 0..20 {
            say(&mut talker, &text);
        }
        for _ in 0..20 {
            // Low priority it is not: it is never shed.
            assert_eq!(answer(&mut talker)["type"], "ok", "{round}");
        }
        highest = highest.max(metric(&server, "throng_backlog_bytes"));
        highest_kb = highest_kb.max(server.rss_kb());
    }
    // The numbers are up to a second old.
    eventually("what is owed shows", 5.0, || {
        highest = highest.max(metric(&server, "throng_backlog_bytes"));
        highest > 0.0
    });
    let cut = "throng_closes_total{cause=\"overloaded\"}";
    eventually("some were closed", 5.0, || metric(&server, cut) >= 1.0);
    assert!(metric(&server, "throng_drops_total{reason=\"overloaded\"}") >= 1.0);
    println!("{highest} bytes owed at most, {} KiB grown", highest_kb - before_kb);
    assert!(highest > 0.0 && highest <= BACKLOGS / 8.0 * 9.0, "{highest}");
    assert!(highest_kb - before_kb < 64 << 10, "{highest_kb} from {before_kb}");
    drop(slow);
    eventually("all is given back", 10.0, || metric(&server, "throng_backlog_bytes") == 0.0);
}

/// One who is closed over it is told so: 1013, after what was under way.
#[test]
fn who_is_owed_most_goes_first() {
    let flags = ["--backlogs-bytes", "2M", "--backlog-bytes", "8388608", "--compress", "off"];
    let server = Server::serve(&flags);
    let mut talker = member(&server, "/ws?name=talker");
    let mut hog = narrow_member(&server, "/ws?name=hog");
    let mut modest = narrow_member(&server, "/ws?name=modest");
    let content = "x".repeat(60_000);
    let owed = "throng_closes_total{cause=\"overloaded\"}";
    let direct =
        |user: &str| format!(r#"{{"type":"direct","id":1,"user":"{user}","content":"{content}"}}"#);
    for _ in 0..60 {
        assert_eq!(ask(&mut talker, &direct("modest"))["type"], "ok"); // into the socket's buffers
    }
    let mut sent = 0;
    eventually("the hog is closed", 20.0, || {
        for _ in 0..10 {
            assert_eq!(ask(&mut talker, &direct("hog"))["type"], "ok");
            sent += 1;
        }
        metric(&server, owed) >= 1.0
    });
    let mut taken = 0;
    let close = loop {
        let frame = hog.next_frame(Duration::from_secs(5)).expect("a Close at the end");
        if frame.opcode == 0x8 {
            break frame;
        }
        taken += 1;
    };
    assert_eq!(close.close_code(), Some(1013));
    assert!(taken < sent, "{taken} of {sent}");
    for _ in 0..60 {
        assert!(modest.read_text().contains("direct"));
    }
    modest.expect_open();
}

#[test]
fn what_has_come_in_part_is_bounded() {
    let flags = ["--partial-bytes", "8M", "--max-message", "1048576", "--compress", "off"];
    let server = Server::serve(&flags);
    let whole = Frame::binary(vec![7; 1 << 20]).bytes();
    let mut clients: Vec<_> = (0..40).map(|_| RawClient::open(&server, "/echo")).collect();
    for client in &mut clients {
        // One that was closed meanwhile takes no more.
        let _ = client.try_send(&whole[..900_000], crate::common::client::Chunking::Whole);
    }
    let closed = "throng_closes_total{cause=\"overloaded\"}";
    eventually("those of whom most is held are closed", 10.0, || metric(&server, closed) >= 30.0);
    let held = metric(&server, "throng_memory_bytes{owner=\"partial\"}");
    assert!(held <= f64::from(8 << 20) + f64::from(16 << 20), "{held}, the pool included");
    // An honest message has room.
    let mut honest = RawClient::open(&server, "/echo");
    honest.send(Frame::binary(vec![1; 100_000]).bytes());
    assert_eq!(honest.read_message().payload.len(), 100_000);
    let codes: Vec<_> = clients
        .iter_mut()
        .filter_map(|client| client.next_frame(Duration::from_millis(100))?.close_code())
        .collect();
    assert!(codes.len() >= 30 && codes.iter().all(|code| *code == 1013), "{codes:?}");
}

#[test]
fn requests_in_part_are_bounded_too() {
    let server = Server::serve(&["--partial-bytes", "100000", "--handshake-timeout", "60"]);
    let mut head = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    head.resize(10_300, b'x');
    let mut clients: Vec<_> = (0..10).map(|_| RawClient::connect(&server)).collect();
    for client in &mut clients {
        client.send(&head);
    }
    // Of equals the last have to go, until three eighths are free.
    for client in clients.iter_mut().skip(6) {
        let answer = client.expect_refusal(&[503]);
        assert_eq!(answer.only("retry-after"), Some("5"));
    }
    for client in clients.iter_mut().take(6) {
        client.send(b"\r\n\r\n");
        client.expect_answer(200);
    }
}

/// What a compressed message takes in part is what it is inflated with, before a byte of it has
/// come: who holds that goes first, and not who is in the middle of an honest message.
#[test]
fn who_holds_an_inflater_for_nothing_goes_first() {
    let server = Server::serve(&["--partial-bytes", "2000000"]);
    let mut honest = RawClient::open(&server, "/echo");
    honest.send(Frame::text("honest ").unfinished().bytes());
    let upgrade = Upgrade::new("/echo").header("Sec-WebSocket-Extensions", "permessage-deflate");
    let empty = Frame::text("").rsv(4).unfinished().bytes();
    let _others: Vec<RawClient> = (0..80)
        .map(|_| {
            let mut client = RawClient::connect(&server);
            client.send(upgrade.bytes());
            client.expect_upgrade();
            client.send(&empty);
            client
        })
        .collect();
    let cut = "throng_closes_total{cause=\"overloaded\"}";
    eventually("some were closed", 5.0, || metric(&server, cut) >= 1.0);
    honest.send(Frame::continuation("to the end").bytes());
    assert_eq!(honest.read_message().payload, b"honest to the end");
}
