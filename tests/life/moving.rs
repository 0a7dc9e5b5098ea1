//! Connections move to the process that follows: not a byte is lost, doubled or cut, and nobody in
//! a room notices.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::frame::{BINARY, PONG, Received, TEXT, stream};
use crate::common::http::Upgrade;
use crate::common::random::Random;
use crate::common::{Expect, Frame, RawClient, Server, eventually};
use crate::fleet::Fleet;
use crate::is_full;
use crate::lineage::Lineage;

/// How many members a room has.
const ROOM: usize = 20;

/// What one member has said, and what it has heard.
#[derive(Default)]
struct Talk {
    /// How many commands it has begun to send, and what of the last is to be sent yet.
    sent: u64,
    rest: Vec<u8>,
    acknowledged: u64,
    offset: Option<u64>,
    epoch: Option<String>,
}

impl Talk {
    /// The next bytes that it sends: frames are cut anywhere, the headers too.
    fn next(&mut self, random: &mut Random) -> Vec<u8> {
        if self.rest.is_empty() {
            self.sent += 1;
            let text = json!({"type": "text", "id": self.sent, "content": "x".repeat(200)});
            let text = text.to_string();
            let (front, back) = text.as_bytes().split_at(random.below(text.len()));
            self.rest = match self.sent % 3 {
                0 => stream(&[
                    Frame::text(front).unfinished(),
                    Frame::ping("between"),
                    Frame::continuation(back),
                ]),
                _ => Frame::text(&text).bytes(),
            };
        }
        let count = 1 + random.below(self.rest.len());
        self.rest.drain(..count).collect()
    }

    fn hear(&mut self, frame: &Received) {
        if frame.opcode == PONG {
            assert_eq!(frame.payload, b"between");
            return;
        }
        assert_eq!(frame.opcode, TEXT, "{frame}");
        let said: Value = serde_json::from_slice(&frame.payload).expect("JSON");
        match said["type"].as_str() {
            Some("welcome") => {
                self.epoch = said["epoch"].as_str().map(str::to_owned);
            }
            Some("ok") => {
                assert_eq!(said["id"], self.acknowledged + 1, "an answer is lost or doubled");
                self.acknowledged += 1;
            }
            Some("text") => {
                let offset = said["offset"].as_u64().expect("an offset");
                let due = self.offset.map_or(offset, |last| last + 1);
                assert_eq!(offset, due, "a message is lost or doubled");
                self.offset = Some(offset);
            }
            _ => panic!("nobody has come or gone: {said}"),
        }
    }
}

fn stay_connected(flags: &[&str], count: usize, upgrades: usize) {
    let mut server = Lineage::new(Server::serve(flags));
    let mut fleet = Fleet::new();
    for n in 0..count {
        fleet.open(server.address(), &format!("/ws?room=r{}&name=n{n}", n / ROOM));
    }
    let mut talks: Vec<Talk> = (0..count).map(|_| Talk::default()).collect();
    let mut random = Random::new(7);
    // Comings are told up to here.
    let mut heard = Instant::now();
    while heard.elapsed() < Duration::from_millis(500) {
        fleet.turn(Duration::from_millis(10), |index, frame| {
            heard = Instant::now();
            let said: Value = serde_json::from_slice(&frame.payload).expect("JSON");
            if said["type"] != "system" {
                talks[index].hear(&frame);
            }
        });
    }
    for _ in 0..upgrades {
        let (before, since) = (server.pids().len(), Instant::now());
        server.signal("USR2");
        while server.pids().len() == before || since.elapsed() < Duration::from_millis(700) {
            assert!(since.elapsed() < Duration::from_secs(60), "no other process");
            for _ in 0..20 {
                let index = random.below(count);
                let bytes = talks[index].next(&mut random);
                fleet.send(index, &bytes);
            }
            fleet.turn(Duration::from_millis(5), |index, frame| talks[index].hear(&frame));
        }
        server.wait_for_the_old(15.0);
    }
    // What was begun is ended, and all is answered.
    for (index, talk) in talks.iter_mut().enumerate() {
        let rest = std::mem::take(&mut talk.rest);
        fleet.send(index, &rest);
    }
    let end = Instant::now() + Duration::from_secs(20);
    while talks.iter().any(|talk| talk.acknowledged < talk.sent) && Instant::now() < end {
        fleet.turn(Duration::from_millis(10), |index, frame| talks[index].hear(&frame));
    }
    let silence = Instant::now() + Duration::from_millis(300);
    while Instant::now() < silence {
        fleet.turn(Duration::from_millis(10), |index, frame| talks[index].hear(&frame));
    }
    let ended: Vec<_> = fleet.members.iter().filter_map(|member| member.end.clone()).collect();
    assert_eq!(ended, [], "everyone is there still");
    let lost: Vec<_> =
        talks.iter().filter(|talk| talk.acknowledged != talk.sent).map(|talk| talk.sent).collect();
    assert!(lost.is_empty(), "not answered: {lost:?}");
    let mut said = 0;
    for room in talks.chunks(ROOM) {
        let sent: u64 = room.iter().map(|talk| talk.sent).sum();
        assert!(room.iter().all(|talk| talk.offset.unwrap_or(0) == sent), "all have heard all");
        said += sent;
    }
    eprintln!("{count} stayed over {upgrades} upgrades, {said} messages, {flags:?}");
    // The rooms have gone on: who was away gets what it missed, from any process.
    let (epoch, offset) = (&talks[0].epoch, talks[0].offset.unwrap_or(0).saturating_sub(5));
    let since = json!({"epoch": epoch, "offset": offset});
    let since = json!({"type": "join", "id": 1, "room": "r0", "since": since});
    let mut late = RawClient::open(&server.first, "/ws?name=late");
    late.read_text(); // welcome
    late.send(Frame::text(since.to_string()).bytes());
    let answer: Value = serde_json::from_str(&late.read_text()).expect("JSON");
    assert_eq!(answer["recovered"], true, "{answer}");
    assert_eq!(answer["count"], ROOM + 1, "{}", answer["count"]);
    server.signal("TERM");
}

/// G10 of docs/reliability.md, its second half.
#[test]
fn g10_everyone_stays_connected() {
    let (count, upgrades) = if is_full() { (2_000, 20) } else { (200, 3) };
    stay_connected(&["--drain", "1"], count, upgrades);
}

#[test]
fn g10_everyone_stays_connected_with_two_loops() {
    stay_connected(&["--drain", "1", "--loops", "2"], 100, 2);
}

#[test]
fn what_a_slow_peer_is_owed_moves_with_it() {
    let mut server = Lineage::new(Server::serve(&["--drain", "1"]));
    let mut client = RawClient::open_narrow(&server.first, "/echo");
    let messages: Vec<Vec<u8>> = (0..40_u8).map(|n| vec![n; 60_000]).collect();
    let mut writer = client.stream.try_clone().expect("a second handle");
    let bytes: Vec<u8> = messages.iter().flat_map(|it| Frame::binary(it).bytes()).collect();
    let writing = std::thread::spawn(move || {
        std::io::Write::write_all(&mut writer, &bytes).expect("all is taken in the end");
    });
    std::thread::sleep(Duration::from_millis(300)); // a part is owed, a part is unread
    for _ in 0..2 {
        server.upgrade();
        server.wait_for_the_old(15.0);
    }
    for message in &messages {
        let frame = client.read_frame();
        assert!(frame.opcode == BINARY && frame.payload == *message, "{frame}");
    }
    writing.join().expect("written");
    client.expect_open();
}

#[test]
fn who_cannot_move_is_asked_to_leave() {
    let flags = ["--drain", "1", "--compress", "dedicated"];
    let mut server = Lineage::new(Server::serve(&flags));
    let mut plain = RawClient::open(&server.first, "/echo");
    let mut packed = RawClient::connect(&server.first);
    let offer = "permessage-deflate";
    packed.send(Upgrade::new("/echo").header("Sec-WebSocket-Extensions", offer).bytes());
    assert!(packed.expect_upgrade().only("sec-websocket-extensions").is_some());
    server.upgrade();
    let close = packed.read_frame();
    assert_eq!(close.close_code(), Some(1001));
    plain.expect_open();
    drop(packed);
    server.wait_for_the_old(15.0);
    plain.expect_open();
}

#[test]
fn a_request_under_way_is_answered_by_the_old() {
    let mut server = Lineage::new(Server::serve(&["--drain", "1"]));
    let mut slow = RawClient::connect(&server.first);
    slow.send("GET /healthz HTTP/1.1\r\nHost: ");
    let mut handshake = RawClient::connect(&server.first);
    let request = Upgrade::new("/echo").bytes();
    handshake.send(&request[..40]);
    std::thread::sleep(Duration::from_millis(100));
    server.upgrade();
    slow.send("localhost\r\n\r\n");
    assert_eq!(slow.read_answer(false).status, 200);
    handshake.send(&request[40..]);
    handshake.expect_upgrade();
    handshake.expect(&Expect::Close(1001));
    server.wait_for_the_old(15.0);
}

#[test]
fn a_process_that_dies_in_the_middle_costs_nobody_anything() {
    let folder = std::env::temp_dir().join(format!("throng-middle-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("throng");
    std::fs::copy(crate::common::server::program(), &path).expect("a copy");
    let mut command = std::process::Command::new(&path);
    command.arg("serve");
    let mut server = Lineage::new(Server::start(command, &["--drain", "1"]));
    let mut clients: Vec<_> = (0..20).map(|_| RawClient::open(&server.first, "/echo")).collect();
    for client in &mut clients {
        client.send(&Frame::text("straddles").bytes()[..7]);
    }
    // It says that it is ready, takes one packet of what it is handed, and is gone.
    let script = "#!/usr/bin/perl\nopen(my $s, '+<&=0') or die $!;\nmy $b;\n\
        for (1..3) { sysread($s, $b, 65536); }\n\
        syswrite($s, \"\\x08\\x04\\x10\\x01\");\nsysread($s, $b, 65536);\nexit 3;\n";
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, script).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("may be run");
    server.signal("USR2");
    let is_said = || server.first.errors().contains("it has ended: exit status: 3");
    eventually("the failure is logged", 20.0, is_said);
    for client in &mut clients {
        client.send(&Frame::text("straddles").bytes()[7..]);
        client.expect(&Expect::text("straddles"));
    }
    RawClient::open(&server.first, "/echo").expect_open();
    let _ = std::fs::remove_dir_all(&folder);
}
