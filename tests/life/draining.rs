//! A server that is told to stop: everyone is told, and asked to leave, evenly.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::frame::{CLOSE, Received, TEXT};
use crate::common::http::{Upgrade, get};
use crate::common::{Frame, RawClient, Server, eventually};
use crate::fleet::{End, Fleet};
use crate::is_full;

fn json(frame: &Received) -> Value {
    assert_eq!(frame.opcode, TEXT, "{frame}");
    serde_json::from_slice(&frame.payload).expect("JSON")
}

/// What a member of the room `a` has heard.
#[derive(Clone, Default)]
struct Heard {
    offsets: Vec<u64>,
    reconnect: Option<(Instant, Duration)>,
}

/// It is asked to leave, and does.
fn leaves(client: &mut RawClient) {
    let close = client.read_frame();
    assert_eq!((close.opcode, close.close_code()), (CLOSE, Some(1001)), "{close}");
    client.send(Frame::close(1001, "").bytes());
    client.expect_eof();
}

/// G9 of docs/reliability.md: goodbyes are even, no frame is cut, and nothing is lost that was
/// acknowledged.
#[test]
fn g9_goodbyes_are_even_and_nothing_is_lost() {
    let (count, seconds, most) = if is_full() { (5_000, 30, 0.2) } else { (300, 3, 0.35) };
    let pause = Duration::from_millis(if is_full() { 500 } else { 50 });
    let drain = seconds.to_string();
    let flags = ["--drain", &drain, "--drain-rate", "1", "--max-presence", "0"];
    let mut server = Server::serve(&flags);
    let mut fleet = Fleet::new();
    for _ in 0..count {
        fleet.open(server.address(), "/ws?room=a");
    }
    let mut heard = vec![Heard::default(); count];
    let mut acknowledged = Vec::new();
    let publisher = count - 1; // the last to be asked to leave
    server.signal("TERM");
    let started = Instant::now();
    let mut next = started;
    while fleet.alive() > 0 && started.elapsed() < Duration::from_secs(seconds + 10) {
        let mut see = |index: usize, frame: Received| {
            let said = json(&frame);
            match said["type"].as_str() {
                Some("text") => heard[index].offsets.push(said["offset"].as_u64().expect("one")),
                Some("ok") => acknowledged.push(said["offset"].as_u64().expect("an offset")),
                Some("reconnect") => {
                    let after_ms = said["after_ms"].as_u64().expect("a time");
                    let after = (Instant::now(), Duration::from_millis(after_ms));
                    assert!(heard[index].reconnect.replace(after).is_none(), "told twice");
                }
                Some("welcome") => {}
                _ => panic!("{said}"),
            }
        };
        fleet.turn(Duration::from_millis(5), &mut see);
        if Instant::now() >= next && fleet.members[publisher].close.is_none() {
            next += pause;
            fleet.send(publisher, &Frame::text(r#"{"type":"text","id":1,"content":1}"#).bytes());
        }
    }
    assert_eq!(fleet.other_ends(&End::Closed(1001)), [], "every end is a clean one");
    let (mut by_second, mut latest) = (vec![0; seconds as usize], 0.0_f64);
    let closes = fleet.members.iter().filter_map(|member| Some(member.close?.0));
    let first = closes.min().expect("some were closed");
    for (member, heard) in fleet.members.iter().zip(&heard) {
        let (closed, _) = member.close.expect("it was closed");
        let second = (closed - first).as_secs() as usize;
        by_second[second.min(seconds as usize - 1)] += 1;
        let (told, after) = heard.reconnect.expect("everyone was told");
        let late = (closed - started).as_secs_f64() - (told + after - started).as_secs_f64();
        latest = latest.max(late.abs());
        let is_whole = heard.offsets.windows(2).all(|pair| pair[1] == pair[0] + 1);
        assert!(is_whole, "a gap in {:?}", heard.offsets);
    }
    eprintln!("goodbyes by the second: {by_second:?}, at most {latest} s off what was said");
    assert!(latest < 3.0, "a goodbye {latest} s off what was said");
    let mean = count as f64 / seconds as f64;
    for count in &by_second {
        assert!((f64::from(*count) - mean).abs() <= mean * most, "{by_second:?}");
    }
    // Whoever was still there has all that was acknowledged.
    let last = fleet.members.len() - 2;
    let closed = heard[last].offsets.last().copied().unwrap_or(0);
    assert!(acknowledged.len() as u64 > 20, "{acknowledged:?}");
    assert!(closed + 3 >= acknowledged.len() as u64, "{closed} of {}", acknowledged.len());
    assert_eq!(server.wait_exit(8.0).code(), Some(0));
}

#[test]
fn a_server_that_drains_says_so_and_takes_nobody() {
    let mut server = Server::serve(&["--drain", "3", "--drain-rate", "1"]);
    let mut clients: Vec<_> = (0..3).map(|_| RawClient::open(&server, "/echo")).collect();
    server.signal("TERM");
    leaves(&mut clients[0]);
    let mut probe = RawClient::connect(&server);
    probe.send(get("/readyz"));
    let answer = probe.read_answer(false);
    assert_eq!((answer.status, answer.body), (503, b"not ready: stopping\n".to_vec()));
    for (path, status) in [("/healthz", 200), ("/metrics", 200)] {
        let mut probe = RawClient::connect(&server);
        probe.send(get(path));
        let answer = probe.read_answer(false);
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.has_token("connection", "close"), "{path}: {answer:?}");
    }
    for path in ["/", "/echo", "/ws?room=a"] {
        let mut late = RawClient::connect(&server);
        late.send(Upgrade::new(path).bytes());
        let answer = late.read_answer(false);
        assert_eq!((answer.status, answer.only("retry-after")), (503, Some("1")), "{path}");
    }
    // Those who are there are served until it is their turn.
    clients[2].expect_open();
    for client in &mut clients[1..] {
        leaves(client);
    }
    assert_eq!(server.wait_exit(5.0).code(), Some(0));
}

#[test]
fn a_few_peers_do_not_take_the_whole_time() {
    let mut server = Server::serve(&["--drain", "60"]);
    let mut clients: Vec<_> = (0..10).map(|_| RawClient::open(&server, "/echo")).collect();
    let started = Instant::now();
    server.signal("INT");
    for client in &mut clients {
        leaves(client);
    }
    drop(clients);
    assert_eq!(server.wait_exit(5.0).code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut server = Server::serve(&["--drain", "60", "--drain-rate", "1"]);
    let mut clients: Vec<_> = (0..60).map(|_| RawClient::open(&server, "/echo")).collect();
    server.signal("TERM");
    leaves(&mut clients[0]);
    clients[59].expect_open();
    server.signal("TERM");
    assert_eq!(server.wait_exit(1.0).code(), Some(143));
}

#[test]
fn a_request_that_is_waited_for_is_answered_before_the_end() {
    let mut server = Server::serve(&["--drain", "2", "--drain-rate", "1"]);
    let mut held: Vec<_> = (0..2).map(|_| RawClient::open(&server, "/echo")).collect();
    let mut slow = RawClient::connect(&server);
    slow.send("GET /healthz HTTP/1.1\r\nHost: ");
    let at_rest = server.fds_at_rest();
    server.signal("TERM");
    leaves(&mut held[0]);
    slow.send("localhost\r\n\r\n");
    assert_eq!(slow.read_answer(false).status, 200);
    eventually("they have gone", 3.0, || server.fd_count() < at_rest);
    leaves(&mut held[1]);
    assert_eq!(server.wait_exit(5.0).code(), Some(0));
}
