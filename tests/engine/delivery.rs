//! Messages in pieces, slow peers and the policies about them, and the end of connections.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use throng::frame::CloseCode;
use throng::net::{
    BacklogPolicy, Chunk, CloseReason, Config, ConnectionId, Handler, Message, Peers, SendError,
    SharedFrame,
};
use throng::proto::Delivery;

use crate::Running;
use crate::common::frame::CLOSE;
use crate::common::{Expect, Frame, eventually};

/// What a handler saw, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// Writes down what happens. A text says what to do.
struct Logging {
    log: Log,
    /// How many messages `flood` could send.
    taken: usize,
}

impl Logging {
    fn note(&self, line: impl Into<String>) {
        self.log.lock().expect("no test panics with it").push(line.into());
    }
}

impl Handler for Logging {
    type Session = ();
    type Mail = ();

    fn open(&mut self, _: &mut Peers<()>, _: ConnectionId) {
        self.note("open");
    }

    fn message(&mut self, peers: &mut Peers<()>, from: ConnectionId, message: Message<'_>) {
        match message.as_text() {
            Some("flood") => {
                let frame = SharedFrame::new(Message::binary(&[7; 10_000]));
                for number in 0..2_000_u32 {
                    // Small and large, own and shared bytes in turn.
                    let own = peers.send(from, Message::binary(&number.to_be_bytes()));
                    let shared = peers.send_shared(from, &frame);
                    self.taken += usize::from(own.is_ok()) + usize::from(shared.is_ok());
                    if own == Err(SendError::Closed) {
                        break;
                    }
                }
                self.note(format!("taken {}", self.taken));
            }
            Some("close") => {
                let code = CloseCode::new(4001).expect("a private code");
                assert_eq!(peers.close(from, code, "bye"), Ok(()));
                assert_eq!(peers.close(from, code, "bye"), Err(SendError::Closed));
                assert_eq!(peers.send(from, message), Err(SendError::Closed));
            }
            Some("ping") => assert_eq!(peers.ping(from, b"hello"), Ok(())),
            _ => assert_eq!(peers.send(from, message), Ok(())),
        }
    }

    fn chunk(&mut self, _: &mut Peers<()>, _: ConnectionId, chunk: Chunk<'_>) {
        self.note(format!("chunk {} last {}", chunk.payload.len(), chunk.last));
    }

    fn drain(&mut self, _: &mut Peers<()>, _: ConnectionId) {
        self.note("drain");
    }

    fn close(&mut self, peers: &mut Peers<()>, id: ConnectionId, (): (), reason: CloseReason<'_>) {
        assert!(!peers.is_open(id));
        self.note(format!("close {reason:?}"));
    }
}

fn logging(config: Config) -> (Running, Log) {
    let log = Log::default();
    let seen = Arc::clone(&log);
    let server = Running::start(config, 1, move |_, _| Logging { log: log.clone(), taken: 0 });
    (server, seen)
}

fn has(log: &Log, wanted: &str) -> bool {
    log.lock().expect("no test panics with it").iter().any(|line| line.starts_with(wanted))
}

#[test]
fn a_message_is_delivered_in_the_pieces_that_arrive() {
    let mut config = Config::default();
    config.settings.delivery = Delivery::Chunks;
    let (server, log) = logging(config);
    let mut client = server.open("/");
    let frame = Frame::binary([1; 300_000]).bytes();
    let (front, back) = frame.split_at(1_000);
    client.send(front);
    eventually("the first piece", 5.0, || has(&log, "chunk 9"));
    client.send(back);
    eventually("the last piece", 5.0, || {
        log.lock().expect("no test panics with it").iter().any(|line| line.ends_with("last true"))
    });
    let lines = log.lock().expect("no test panics with it").clone();
    let total: usize =
        lines.iter().filter_map(|line| line.split(' ').nth(1)?.parse::<usize>().ok()).sum();
    assert_eq!(total, 300_000, "{lines:?}");
}

#[test]
fn who_reads_too_slowly_is_closed_by_default() {
    let config = Config { backlog_bytes_max: 1 << 20, ..Config::default() };
    let (server, log) = logging(config);
    let mut client = server.open("/");
    client.send(Frame::text("flood").bytes());
    eventually("the close", 5.0, || has(&log, "close Backlogged"));
    // What was under way arrives whole, then the Close.
    loop {
        let frame = client.read_frame();
        if frame.opcode == CLOSE {
            break assert_eq!(frame.close_code(), Some(1008));
        }
        assert!(matches!(frame.payload.len(), 4 | 10_000), "a whole frame");
    }
    client.expect_eof();
}

#[test]
fn the_oldest_or_the_newest_can_be_dropped_instead() {
    for (policy, keeps_last) in
        [(BacklogPolicy::DropOldest, true), (BacklogPolicy::DropNewest, false)]
    {
        let config = Config {
            backlog_bytes_max: 1 << 20,
            backlog_policy: policy,
            write_timeout: Duration::from_secs(20),
            ..Config::default()
        };
        let (server, log) = logging(config);
        let mut client = server.open("/");
        client.send(Frame::text("flood").bytes());
        eventually("the flood", 5.0, || has(&log, "taken"));
        client.send(Frame::text("end").bytes());
        let mut numbers = Vec::new();
        loop {
            let frame = client.read_frame();
            match frame.payload.len() {
                4 => numbers.push(u32::from_be_bytes(frame.payload[..4].try_into().expect("4"))),
                10_000 => {}
                _ => break assert_eq!(frame.payload, b"end", "{policy:?}"),
            }
        }
        assert!(numbers.is_sorted(), "{policy:?}");
        assert!(numbers.len() < 2_000, "{policy:?}: something was dropped");
        assert_eq!(numbers.last() == Some(&1_999), keeps_last, "{policy:?}");
        assert!(has(&log, "drain"), "{policy:?}: it has caught up");
    }
}

#[test]
fn a_close_of_ours_ends_with_the_peers() {
    let (server, log) = logging(Config::default());
    let mut client = server.open("/");
    client.send(Frame::text("close").bytes());
    let close = client.read_frame();
    assert_eq!((close.close_code(), &close.payload[2..]), (Some(4001), &b"bye"[..]));
    // A message that crosses it is not delivered, a ping is still answered.
    client.send(Frame::text("crossing").bytes());
    client.send(Frame::ping("p").bytes());
    client.expect(&Expect::pong("p"));
    client.send(Frame::close(4001, "").bytes());
    client.expect_eof();
    eventually("one close", 5.0, || has(&log, "close Peer"));
    let lines = log.lock().expect("no test panics with it").clone();
    assert_eq!(lines.len(), 2, "one open and one close: {lines:?}");
}

#[test]
fn a_peer_that_never_answers_our_close_is_cut() {
    let config = Config { close_timeout: Duration::from_millis(200), ..Config::default() };
    let (server, log) = logging(config);
    let mut client = server.open("/");
    client.send(Frame::text("close").bytes());
    assert_eq!(client.read_frame().close_code(), Some(4001));
    eventually("the timeout", 5.0, || has(&log, "close Timeout(Close)"));
}

#[test]
fn a_silent_peer_is_pinged_and_then_closed() {
    let config = Config {
        ping_interval: Duration::from_millis(200),
        pong_timeout: Duration::from_millis(200),
        ..Config::default()
    };
    let (server, log) = logging(config);
    let mut client = server.open("/");
    let ping = client.read_frame();
    assert_eq!((ping.opcode, ping.payload.len()), (0x9, 8));
    client.send(Frame::pong(&ping.payload).bytes());
    let again = client.read_frame();
    assert_eq!(again.opcode, 0x9, "another, as it has answered");
    assert_ne!(again.payload, ping.payload);
    client.expect_close(1008);
    client.expect_eof();
    assert!(has(&log, "close Timeout(Pong)"));
}

#[test]
fn a_handler_can_ping() {
    let (server, _) = logging(Config::default());
    let mut client = server.open("/");
    client.send(Frame::text("ping").bytes());
    assert_eq!(client.read_frame().payload, b"hello");
}
