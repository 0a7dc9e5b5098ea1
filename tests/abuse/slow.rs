//! A6 and A7: those who do not read, and those who hardly write.

use std::time::{Duration, Instant};

use crate::Watch;
use crate::common::http::Upgrade;
use crate::common::{Expect, Frame, RawClient, Server, eventually};

#[test]
fn a6_a_client_that_never_reads() {
    let server = Server::echo(&["--write-timeout", "2"]);
    let mut watch = Watch::over(&server);
    let message = Frame::binary(vec![7; 60_000]).bytes();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = RawClient::open_narrow(&server, "/");
        // Its reading is paused, so that it cannot even send for ever.
        let taken = client.flood(&message, 64 << 20, Duration::from_millis(100));
        assert!(taken < 64 << 20, "all 64 MiB were taken from a client that reads nothing");
        clients.push(client);
        watch.is_served();
    }
    println!("{} KiB grown", watch.grown_kb(&server));
    // Four backlogs: each up to the mark of 64 KiB, the answers to one turn's reading (2 MiB) and
    // the message that was begun, in a buffer that doubles; 4 MiB for what the loop keeps.
    watch.is_bounded(&server, 4 * 2 * (64 + 2048 + 60) + 4096);
    watch.is_quiet(&server);
    watch.is_settled(&server); // cut by the write deadline, although they still hold on
    drop(clients);
}

#[test]
fn a6_one_large_answer_that_is_never_read() {
    let server = Server::echo(&["--write-timeout", "2"]);
    let mut watch = Watch::over(&server);
    let mut client = RawClient::open_narrow(&server, "/");
    client.send(Frame::binary(vec![7; 16 << 20]).bytes());
    eventually("the message is in", 5.0, || watch.grown_kb(&server) > 4096);
    watch.is_served();
    // The message as it came, and its rest in the backlog; each doubled where it is moved.
    watch.is_bounded(&server, 4 * (16 << 10) + 2048);
    watch.is_settled(&server);
    watch.gives_back_to(&server, 2048);
    drop(client);
}

#[test]
fn a6_a_stalled_member_of_a_busy_room() {
    let server = Server::serve(&[
        "--max-message",
        "1048576",
        "--write-timeout",
        "2",
        "--close-timeout",
        "1",
    ]);
    let mut watch = Watch::over(&server);
    let mut stalled = RawClient::open_narrow(&server, "/ws?room=busy&name=stalled");
    stalled.read_text();
    let mut members: Vec<RawClient> = Vec::new();
    for n in 0..3 {
        let mut member = RawClient::open(&server, &format!("/ws?room=busy&name=m{n}"));
        member.read_text();
        for earlier in &mut members {
            earlier.read_text(); // the join
        }
        members.push(member);
    }
    let content = "x".repeat(30_000);
    let message = format!(r#"{{"type":"text","content":"{content}"}}"#);
    // 500 x 30 KB: 15 MB for a member that takes perhaps 4 into the sockets' buffers.
    let mut slowest = Duration::ZERO;
    for _ in 0..500 {
        let sent = Instant::now();
        members[0].send(Frame::text(&message).bytes());
        for member in &mut members {
            let mut text = member.read_text();
            while !text.contains(r#""text""#) {
                text = member.read_text(); // the stalled one has left
            }
            assert!(text.contains(&content));
        }
        slowest = slowest.max(sent.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "a delivery took {slowest:?}");
    watch.is_served();
    println!("{} KiB grown, slowest {slowest:?}", watch.grown_kb(&server));
    // The frames are shared by all members, and the stalled one may be owed its cap: 8 MiB is
    // half of what was sent to it.
    watch.is_bounded(&server, 8 * 1024);
    drop(members);
    watch.is_settled(&server);
    drop(stalled);
}

#[test]
fn a6_a_reader_that_pauses_is_served_all_of_it() {
    let server = Server::echo(&["--write-timeout", "10"]);
    let mut watch = Watch::over(&server);
    let mut client = RawClient::open_narrow(&server, "/");
    let sender = client.stream.try_clone().expect("a second handle");
    let writer = std::thread::spawn(move || {
        let mut sender = RawClient::on(sender);
        for n in 0..400_u32 {
            let mut payload = vec![0; 50_000];
            payload[..4].copy_from_slice(&n.to_be_bytes());
            sender.send(Frame::binary(&payload).bytes());
        }
    });
    std::thread::sleep(Duration::from_millis(700));
    watch.is_served();
    for n in 0..400_u32 {
        let message = client.read_message();
        assert_eq!(message.payload.len(), 50_000);
        assert_eq!(message.payload[..4], n.to_be_bytes(), "in order, none left out");
    }
    writer.join().expect("the writer ends");
    drop(client);
    watch.is_settled(&server);
}

#[test]
fn a7_a_dribbler_is_cut_by_the_deadline() {
    let server = Server::echo(&["--handshake-timeout", "1"]);
    let mut watch = Watch::over(&server);
    let started = Instant::now();
    let mut client = RawClient::connect(&server);
    let request = Upgrade::new("/").header("X", "a".repeat(1000)).bytes();
    // A byte every 50 ms keeps the connection busy, and does not buy it time.
    let mut sender = RawClient::on(client.stream.try_clone().expect("a second handle"));
    let writer = std::thread::spawn(move || {
        for byte in request.iter().take(60) {
            if sender.try_send(&[*byte], crate::common::Chunking::Whole).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let answer = client.read_answer(false);
    let took = started.elapsed().as_secs_f64();
    assert_eq!(answer.status, 408, "{answer:?}");
    assert!((0.9..2.5).contains(&took), "the deadline of 1 s came after {took} s");
    writer.join().expect("the writer ends");
    drop(client);
    watch.is_settled(&server);
}

/// The kernel hands a connection over with its first bytes, or after about a second without any:
/// its time counts from there.
#[cfg(target_os = "linux")]
#[test]
fn a7_silence_is_accepted_late_and_cut_all_the_same() {
    let server = Server::echo(&["--handshake-timeout", "1", "--close-timeout", "1"]);
    let at_rest = server.fds_at_rest();
    let (mut silent, mut speaking) = (RawClient::connect(&server), RawClient::connect(&server));
    let connected = Instant::now();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.fd_count(), at_rest, "accepted without a word");
    speaking.send(Upgrade::new("/").bytes());
    speaking.expect_upgrade();
    assert!(connected.elapsed() < Duration::from_millis(900), "the test is too slow to tell");
    assert_eq!(server.fd_count(), at_rest + 1, "the one that has spoken, and no other");
    eventually("the silent one is accepted", 5.0, || server.fd_count() == at_rest + 2);
    let accepted = connected.elapsed().as_secs_f64();
    assert!(accepted > 0.5, "accepted after {accepted} s");
    let said = silent.read_to_end();
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"), "{said:?}");
    let cut = connected.elapsed().as_secs_f64();
    assert!((accepted + 0.8..accepted + 3.0).contains(&cut), "cut after {cut} s");
    speaking.expect_open();
}

#[test]
fn a_silent_peer_is_pinged_and_cut() {
    let server =
        Server::echo(&["--ping-interval", "1", "--pong-timeout", "1", "--close-timeout", "1"]);
    let at_rest = server.fds_at_rest();
    let (mut silent, mut alive) = (RawClient::open(&server, "/"), RawClient::open(&server, "/"));
    let ping = silent.read_frame();
    assert_eq!(ping.opcode, crate::common::frame::PING, "{ping}");
    let started = Instant::now();
    // The other one answers, and stays.
    while started.elapsed() < Duration::from_millis(3500) {
        if let Some(ping) = alive.next_frame(Duration::from_millis(100)) {
            assert_eq!(ping.opcode, crate::common::frame::PING, "{ping}");
            alive.send(Frame::pong(&ping.payload).bytes());
        }
    }
    alive.send(Frame::text("here").bytes());
    loop {
        let message = alive.read_message();
        if message.opcode == crate::common::frame::TEXT {
            assert_eq!(message.payload, b"here");
            break;
        }
        assert_eq!(message.opcode, crate::common::frame::PING, "{message}");
    }
    eventually("the silent one is cut", 3.0, || server.fd_count() <= at_rest + 1);
}

#[test]
fn messages_that_come_slowly_are_not_cut() {
    let server = Server::echo(&["--handshake-timeout", "1", "--ping-interval", "30"]);
    let mut client = RawClient::open(&server, "/");
    let frame = Frame::text("slow but honest").bytes();
    for byte in &frame {
        client.send([*byte]);
        std::thread::sleep(Duration::from_millis(70)); // 1.5 s in all, past the deadline of heads
    }
    client.expect(&Expect::text("slow but honest"));
}
