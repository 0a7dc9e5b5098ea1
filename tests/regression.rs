//! One test for each bug, named after what a user would have seen.
//!
//! Owns the bugs that none of the other tests is about. Each test says in a line what was wrong.
#![cfg(feature = "cli")]

#[path = "common/mod.rs"]
mod common;

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use throng::extension::{self, Inflater, Mode};
use throng::frame::CloseCode;
use throng::hub::Hub;
use throng::net::{
    BacklogPolicy, CloseReason, Config, ConnectionId, Handler, Mailboxes, Message, Peers, Request,
    SharedFrame, Stopper, Verdict,
};
use throng::proto::{Delivery, Inbound, Role, Settings, Spare};

use common::client::PATIENCE;
use common::http::Upgrade;
use common::{Chunking, Frame, RawClient, Server, eventually};

/// The library's server on a thread of its own, stopped when it goes out of scope.
struct Running {
    addr: SocketAddr,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start<H: Handler>(
        config: Config,
        loops: usize,
        make: impl Fn(usize, &Mailboxes<H::Mail>) -> H + Send + Sync + 'static,
    ) -> Self {
        let builder = throng::net::Server::builder().listen("127.0.0.1:0").loops(loops);
        let server = builder.config(config).bind().expect("a free port");
        let (addr, stopper) = (server.local_addrs()[0], server.stopper());
        let thread = thread::spawn(move || server.run(make).expect("the loop turns"));
        Self { addr, stopper, thread: Some(thread) }
    }

    fn open(&self, target: &str) -> RawClient {
        let mut client = RawClient::on(TcpStream::connect(self.addr).expect("it listens"));
        client.send(Upgrade::new(target).bytes());
        client.expect_upgrade();
        client
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        let ended = self.thread.take().map_or(Ok(()), JoinHandle::join);
        assert!(ended.is_ok() || thread::panicking(), "the server's thread panicked");
    }
}

fn read(client: &mut RawClient) -> Value {
    serde_json::from_str(&client.read_text()).expect("JSON")
}

/// The next message of that type; the others are passed over.
fn read_of_type(client: &mut RawClient, wanted: &str) -> Value {
    let mut messages = std::iter::repeat_with(|| read(client));
    messages.find(|message| message["type"] == wanted).expect("it goes on until there is one")
}

/// The arena was written out, and emptied, between two members of one broadcast; the second was
/// then owed a place in it that no longer existed: a panic, or somebody else's bytes.
#[test]
fn a_message_of_a_mebibyte_reaches_every_member() {
    let server = Server::serve(&["--max-message", "4194304"]);
    let mut clients: Vec<_> =
        (0..3).map(|n| RawClient::open(&server, &format!("/ws?room=r&name=n{n}"))).collect();
    let content = "x".repeat(2 << 20);
    clients[0].send(Frame::text(format!(r#"{{"type":"text","content":"{content}"}}"#)).bytes());
    for client in &mut clients {
        let text = read_of_type(client, "text");
        assert!(text["content"] == *content);
    }
}

/// The same by count: 65,536 pieces owed in one turn. Ids are answered, so that what a member is
/// owed is not in one piece.
#[test]
fn many_messages_at_once_to_many_members_arrive_in_order() {
    let (members, count) = (150, 1000);
    let server = Server::serve(&[]);
    let mut clients: Vec<_> =
        (0..members).map(|n| RawClient::open(&server, &format!("/ws?room=r&name=n{n}"))).collect();
    let commands: Vec<u8> = (0..count)
        .flat_map(|n| Frame::text(format!(r#"{{"type":"text","id":{n},"content":{n}}}"#)).bytes())
        .collect();
    clients[0].send(commands);
    for client in &mut clients {
        for n in 0..count {
            assert_eq!(read_of_type(client, "text")["content"], n);
        }
    }
}

/// Fills the arena with pieces for two peers, and then broadcasts to both, a slow one between them.
#[derive(Default)]
struct Filling {
    all: Vec<ConnectionId>,
}

impl Handler for Filling {
    type Session = ();
    type Mail = ();

    fn open(&mut self, _: &mut Peers<()>, id: ConnectionId) {
        self.all.push(id);
    }

    fn message(&mut self, peers: &mut Peers<()>, from: ConnectionId, message: Message<'_>) {
        let command: Vec<usize> = message
            .as_text()
            .expect("a text")
            .split(' ')
            .map(|word| word.parse().expect("a number"))
            .collect();
        let [pieces, slow] = command[..] else {
            let _ = peers.send(from, Message::binary(&[7; 16 << 20])); // it will not read that
            return;
        };
        for n in 0..pieces {
            peers.send(self.all[n % 2], Message::text("x")).expect("it reads");
        }
        let frame = SharedFrame::new(Message::text("to all"));
        peers.broadcast([self.all[0], self.all[slow], self.all[1]], &frame);
    }
}

/// The Close that a slow member was owed made the arena full: it was written out in the middle of
/// the broadcast, and the next member was owed a place in it that no longer existed.
#[test]
fn a_member_that_is_cut_in_the_middle_of_a_broadcast_spoils_it_for_nobody() {
    let config = Config { backlog_bytes_max: 1 << 20, ..Config::default() };
    let server = Running::start(config, 1, |_, _| Filling::default());
    let mut clients = [server.open("/"), server.open("/")];
    let mut slow: Vec<_> = (0..8).map(|_| server.open("/")).collect();
    for client in &mut slow {
        client.send(Frame::text("0").bytes());
    }
    thread::sleep(Duration::from_millis(300));
    for (n, _) in slow.iter().enumerate() {
        let pieces = 65_531 + n;
        clients[0].send(Frame::text(format!("{pieces} {}", 2 + n)).bytes());
        for (which, client) in clients.iter_mut().enumerate() {
            for _ in 0..(pieces + 1 - which) / 2 {
                assert_eq!(client.read_text(), "x");
            }
            assert_eq!(client.read_text(), "to all");
        }
    }
}

/// A broadcast that nobody took stayed in the arena until something else was sent: one client alone
/// in its room could fill it by many times what it sent, past 4 GiB with some hundred of them.
#[test]
fn messages_to_nobody_are_not_kept() {
    let server = Server::serve(&[]);
    let (room, name) = ("r".repeat(128), "n".repeat(128));
    let mut client = RawClient::open(&server, &format!("/ws?room={room}&name={name}"));
    client.read_text();
    let before = server.rss_kb();
    let command = Frame::text(r#"{"type":"text","content":1,"echo":false}"#).bytes();
    let mut sender = RawClient::on(client.stream.try_clone().expect("a second handle"));
    let writer = thread::spawn(move || sender.send(command.repeat(200_000)));
    let mut most = 0;
    while !writer.is_finished() {
        most = server.rss_kb().max(most);
    }
    writer.join().expect("the writer ends");
    // The arena is to be 1 MiB at most, the receive buffer is there already.
    let grown = most.saturating_sub(before);
    assert!(grown < 4096, "{grown} KiB");
}

/// Opens a pair; when the first of it is closed, the second is told.
#[derive(Default)]
struct Partners {
    all: Vec<ConnectionId>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Handler for Partners {
    type Session = ();
    type Mail = ();

    fn open(&mut self, _: &mut Peers<()>, id: ConnectionId) {
        self.all.push(id);
    }

    fn message(&mut self, _: &mut Peers<()>, _: ConnectionId, _: Message<'_>) {}

    fn close(&mut self, peers: &mut Peers<()>, _: ConnectionId, (): (), reason: CloseReason<'_>) {
        self.log.lock().expect("no test panics with it").push(format!("{reason:?}"));
        let code = CloseCode::new(4000).expect("a private code");
        for other in &self.all {
            let _ = peers.close(*other, code, "your partner has left"); // or it has left as well
        }
    }
}

/// Deadlines that were over in one pass were acted on by what the connection was waited for *then*:
/// a handler that closed one while the other expired had its Close thrown away with the connection.
#[test]
fn a_close_from_within_the_expiry_of_another_is_sent() {
    let config = Config {
        ping_interval: Duration::from_millis(100),
        pong_timeout: Duration::from_millis(500),
        ..Config::default()
    };
    let log = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&log);
    let server = Running::start(config, 1, move |_, _| Partners {
        log: Arc::clone(&log),
        ..Partners::default()
    });
    let mut clients = [server.open("/"), server.open("/")];
    let mut codes = Vec::new();
    for client in &mut clients {
        assert_eq!(client.read_frame().opcode, 0x9, "a ping, and it is not answered");
        client.note("in the pass that closes the other");
        codes.push(client.read_frame().close_code());
        client.send(Frame::close(1000, "").bytes());
        client.expect_eof();
    }
    codes.sort_unstable();
    let log = seen.lock().expect("no test panics with it").clone();
    assert!(matches!(codes[..], [Some(1008), Some(1008 | 4000)]), "{codes:?} {log:?}");
}

/// Sends the first peer 32 KiB for each message of another, as far as it may, and counts.
#[derive(Clone, Default)]
struct Producer {
    first: Option<ConnectionId>,
    refused: Arc<AtomicUsize>,
    drains: Arc<AtomicUsize>,
}

impl Handler for Producer {
    type Session = ();
    type Mail = ();

    fn open(&mut self, _: &mut Peers<()>, id: ConnectionId) {
        self.first.get_or_insert(id);
    }

    fn message(&mut self, peers: &mut Peers<()>, _: ConnectionId, _: Message<'_>) {
        let first = self.first.expect("it is open");
        for _ in 0..8 {
            if peers.send(first, Message::binary(&[7; 4096])).is_err() {
                self.refused.fetch_add(1, Relaxed);
            }
        }
    }

    fn drain(&mut self, _: &mut Peers<()>, _: ConnectionId) {
        self.drains.fetch_add(1, Relaxed);
    }
}

/// With a limit below the mark past which a peer is not read from, a peer was refused messages, and
/// that it had caught up was never told.
#[test]
fn that_a_refused_peer_has_caught_up_is_told() {
    let config = Config {
        backlog_bytes_max: 16 << 10,
        backlog_policy: BacklogPolicy::DropNewest,
        ..Config::default()
    };
    let producer = Producer::default();
    let shared = producer.clone();
    let server = Running::start(config, 1, move |_, _| shared.clone());
    let (mut client, mut asking) = (server.open("/"), server.open("/"));
    while producer.refused.load(Relaxed) == 0 {
        asking.send(Frame::text("more").bytes());
        thread::sleep(Duration::from_millis(1)); // one turn each
    }
    while client.next_frame(Duration::from_millis(300)).is_some() {}
    eventually("it is told", 2.0, || producer.drains.load(Relaxed) > 0);
}

/// Never decides.
struct Undecided;

impl Handler for Undecided {
    type Session = ();
    type Mail = ();

    fn request(&mut self, _: &Request<'_>) -> Verdict<()> {
        Verdict::Pending
    }

    fn message(&mut self, _: &mut Peers<()>, _: ConnectionId, _: Message<'_>) {}
}

/// A server that stopped hung up on who was in the middle of a handshake, without a word.
#[test]
fn a_server_that_stops_says_so_to_a_handshake_under_way() {
    let server = Running::start(Config::default(), 1, |_, _| Undecided);
    let mut pending = RawClient::on(TcpStream::connect(server.addr).expect("it listens"));
    pending.note("pending");
    pending.send(Upgrade::new("/").bytes());
    let mut partial = RawClient::on(TcpStream::connect(server.addr).expect("it listens"));
    partial.note("partial");
    partial.send(&Upgrade::new("/").bytes()[..40]);
    thread::sleep(Duration::from_millis(100));
    server.stopper.stop();
    for client in [&mut pending, &mut partial] {
        client.expect_refusal(&[503]);
    }
}

/// A value of JSON was kept as a tree, sixteen times the size of its text and more.
#[test]
fn content_is_not_taken_apart() {
    let server = Server::serve(&["--max-message", "67108864", "--history-messages", "0"]);
    let mut client = RawClient::open(&server, "/ws?room=r");
    client.read_text();
    let before = server.rss_kb();
    let list = format!("[0{}]", ",0".repeat(4 << 20));
    let frame = Frame::text(format!(r#"{{"type":"text","content":{list}}}"#)).bytes();
    let mut sender = RawClient::on(client.stream.try_clone().expect("a second handle"));
    let writer = thread::spawn(move || sender.send(frame));
    let mut most = 0;
    let end = Instant::now() + Duration::from_secs(3);
    while !writer.is_finished() || Instant::now() < end {
        most = server.rss_kb().max(most);
        thread::sleep(Duration::from_millis(2));
    }
    writer.join().expect("the writer ends");
    let grown = most.saturating_sub(before);
    // 8 MiB of text: the message, what is said of it, the frame, what is owed, each up to twice.
    assert!(grown < 8 * 8 * 1024, "{grown} KiB");
    assert!(client.read_text().len() > 8 << 20);
    eventually("all of it is given back", 5.0, || server.rss_kb() < before + 4096);
}

/// Who is in no room and names one was put into the lobby, and then told off.
#[test]
fn a_message_to_a_room_one_is_not_in_joins_none() {
    let server = Server::serve(&[]);
    let mut client = RawClient::open(&server, "/ws");
    assert_eq!(read(&mut client)["type"], "welcome");
    client.send(Frame::text(r#"{"type":"text","room":"elsewhere","content":1}"#).bytes());
    assert_eq!(read(&mut client)["code"], "not_joined");
    client.send(Frame::text(r#"{"type":"presence"}"#).bytes());
    let answer = read(&mut client);
    assert_eq!(answer["code"], "not_joined", "{answer}");
}

/// A hundred come to a room and are gone, ten times.
fn come_and_go(server: &Running) {
    for _ in 0..10 {
        let mut crowd: Vec<RawClient> = (0..100)
            .map(|_| RawClient::on(TcpStream::connect(server.addr).expect("it listens")))
            .collect();
        for client in &mut crowd {
            client.send(Upgrade::new("/ws?room=r&name=crowd").bytes());
        }
        for client in &mut crowd {
            client.expect_upgrade();
        }
        crowd.into_iter().for_each(RawClient::reset);
    }
}

/// News of comings and goings that found the other loop's mailbox full was dropped for good: the
/// room had members for ever that had long left, and was never forgotten. With one watcher the
/// other loop has no connection in the end, and nothing that would wake it.
#[test]
fn presence_is_right_after_an_overload() {
    for count in [6, 1] {
        let config = Config { mailbox_max: 4, ..Config::default() };
        let server = Running::start(config, 2, |index, boxes| Hub::new(index, boxes.clone()));
        let watch = |_| server.open("/ws?room=r&name=watcher");
        let mut watchers: Vec<_> = (0..count).map(watch).collect();
        come_and_go(&server);
        thread::sleep(Duration::from_millis(2500));
        for watcher in &mut watchers {
            watcher.send(Frame::text(r#"{"type":"presence","id":1}"#).bytes());
            assert_eq!(read_of_type(watcher, "ok")["count"], count);
        }
    }
}

/// What was passed on was checked without the object around it: it could be one level deeper than
/// the readers of serde_json, and others, go.
#[test]
fn what_is_delivered_can_be_read() {
    let server = Server::serve(&[]);
    let mut client = RawClient::open(&server, "/ws?room=r");
    client.read_text();
    for depth in 120..130 {
        let content = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        client.send(Frame::text(format!(r#"{{"type":"text","content":{content}}}"#)).bytes());
        let text = client.read_text();
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{depth} levels: {text}");
    }
}

/// Reads at `bytes_per_s` to the end; how much came, and whether it ended in order.
fn read_slowly(client: &mut RawClient, bytes_per_s: usize) -> (usize, bool) {
    let (start, mut total, mut block) = (Instant::now(), 0, vec![0; bytes_per_s / 20]);
    client.stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    loop {
        match client.stream.read(&mut block) {
            Ok(0) => return (total, true),
            Ok(n) => total += n,
            Err(_) => return (total, false),
        }
        let due = Duration::from_secs_f64(total as f64 / bytes_per_s as f64);
        thread::sleep(due.saturating_sub(start.elapsed()));
    }
}

/// The kernel tells of room in a socket when a third of it is free, which can be a megabyte: who
/// read steadily, but not so much within the deadline, was cut as one who reads nothing.
#[test]
fn who_reads_slowly_but_steadily_is_not_cut() {
    let server = Server::echo(&["--write-timeout", "0.5", "--close-timeout", "20"]);
    let mut client = RawClient::open_narrow(&server, "/");
    let size = 10 << 20;
    client.send(Frame::binary(vec![7; size]).bytes());
    let mut sender = RawClient::on(client.stream.try_clone().expect("a second handle"));
    let closer = thread::spawn(move || {
        thread::sleep(Duration::from_secs(5)); // long past the deadline
        sender.try_send(&Frame::close(1000, "").bytes(), Chunking::Whole)
    });
    let (total, in_order) = read_slowly(&mut client, 1_500_000);
    closer.join().expect("it ends").expect("the server is still there");
    assert!(in_order && total == 10 + size + 4, "{total} of {size}");
}

/// The time for the close handshake went by while what was owed before the Close was still on its
/// way: who was reading it did not get the rest, nor the Close.
#[test]
fn who_reads_what_comes_before_the_close_gets_the_close() {
    let server = Server::echo(&["--close-timeout", "1"]);
    let mut client = RawClient::open_narrow(&server, "/");
    let size = 12 << 20;
    client.send(Frame::binary(vec![7; size]).bytes());
    client.send(Frame::close(1000, "").bytes());
    let (total, in_order) = read_slowly(&mut client, 3_000_000);
    assert!(in_order && total == 10 + size + 4, "{total} of {size}");
}

/// With delivery in chunks, the buffer of a ping that was cut inside a message was kept for as long
/// as the connection.
#[test]
fn a_cut_ping_between_chunks_leaves_no_buffer_behind() {
    let whole = Settings::new(Role::Server);
    let chunks = Settings { delivery: Delivery::Chunks, ..whole.clone() };
    let mut spare = Spare::default();
    let mut feed = |inbound: &mut Inbound, settings: &Settings, bytes: Vec<u8>, cut: usize| {
        let mut bytes = bytes;
        let (front, back) = bytes.split_at_mut(cut);
        for part in [front, back] {
            let mut events = inbound.receive(settings, &mut spare, part);
            while let Some(event) = events.next() {
                event.expect("all is well");
            }
        }
        spare.bytes()
    };
    let large = Frame::binary([7; 100_000]).bytes();
    let kept = feed(&mut Inbound::new(), &whole, large, 50_000);
    assert!(kept >= 100_000, "one buffer is in the pool");
    let (first, ping) = (Frame::binary("a").unfinished().bytes(), Frame::ping("ping").bytes());
    let cut = first.len() + ping.len() - 2;
    let bytes = [first, ping, Frame::continuation("b").bytes()].concat();
    assert_eq!(feed(&mut Inbound::new(), &chunks, bytes, cut), kept);
}

/// Says a lot at once: each message is new, and has digits in common with the one before.
#[derive(Default)]
struct Talkative {
    random: Option<common::random::Random>,
}

impl Handler for Talkative {
    type Session = ();
    type Mail = ();

    fn message(&mut self, peers: &mut Peers<()>, from: ConnectionId, _: Message<'_>) {
        let random = self.random.get_or_insert_with(|| common::random::Random::new(1));
        for number in 0..8000 {
            let digits: String =
                random.bytes(1000).iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = peers.send(from, Message::text(&format!("{number} {digits}")));
        }
    }
}

/// A message that was compressed with what came before it cannot be dropped: what came after it was
/// garbage to the peer.
#[test]
fn what_is_compressed_in_a_context_is_not_dropped() {
    let config = Config {
        deflate: extension::Config::new(Mode::Dedicated),
        backlog_bytes_max: 256 << 10,
        backlog_policy: BacklogPolicy::DropOldest,
        ..Config::default()
    };
    let server = Running::start(config, 1, |_, _| Talkative::default());
    let mut client = RawClient::on(TcpStream::connect(server.addr).expect("it listens"));
    let offer = Upgrade::new("/").header("Sec-WebSocket-Extensions", "permessage-deflate");
    client.send(offer.bytes());
    client.expect_upgrade();
    client.send(Frame::text("go").bytes());
    thread::sleep(Duration::from_secs(3));
    let (mut inflater, mut room, mut last) = (Inflater::new(), vec![0; 4096], -1);
    client.send(Frame::ping("the end").bytes());
    loop {
        let frame = client.read_frame_raw(PATIENCE);
        if frame.payload == b"the end" {
            break;
        }
        assert_eq!(frame.rsv, 4, "compressed");
        let mut input = &frame.payload[..];
        let n = inflater.step(&mut input, &mut room).expect("it can be inflated");
        inflater.finish().expect("it is whole");
        let text = std::str::from_utf8(&room[..n]).expect("digits");
        let (number, digits) = text.split_once(' ').expect("a number and digits");
        let number: i32 = number.parse().expect("a number");
        assert!(number > last && digits.len() == 2000, "{number} after {last}");
        last = number;
    }
    assert!(last > 0);
}

/// A Close inside a message, good or bad, left the message's buffer with the connection.
#[test]
fn a_close_inside_a_message_leaves_no_buffer_behind() {
    for close in [&[0x88, 2, 3, 0xE8][..], &[0x88, 1, 3]] {
        let (settings, mut spare) = (Settings::new(Role::Client), Spare::default());
        let mut inbound = Inbound::new();
        let mut wire = vec![0x02, 126, 0x10, 0x00]; // 4 KiB of a message that goes on
        wire.resize(4 + 4096, b'x');
        wire.extend_from_slice(close);
        let mut events = inbound.receive(&settings, &mut spare, &mut wire);
        while events.next().is_some() {}
        drop(events);
        let mut kept = Spare::default();
        inbound.release(&mut kept);
        assert_eq!(kept.bytes(), 0, "{close:02x?}");
    }
}

/// A pong set the deadline of the next ping, but not when the loop looks at deadlines next.
#[test]
fn pings_come_at_their_interval_whatever_the_pong_timeout() {
    let server = Server::echo(&["--ping-interval", "0.2", "--pong-timeout", "3"]);
    let mut client = RawClient::open(&server, "/");
    let began = Instant::now();
    for _ in 0..4 {
        let ping = client.read_frame();
        assert_eq!(ping.opcode, 0x9);
        client.send(Frame::pong(&ping.payload).bytes());
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}
