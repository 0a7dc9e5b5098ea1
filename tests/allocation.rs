//! What the loop takes from the allocator: nothing for a message once it is warm, and never more
//! than what has arrived asks for.
//!
//! The real loop over real sockets, turned by hand on the thread of the test, where
//! `allocation_counter` counts.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use allocation_counter::{AllocationInfo, measure};
use throng::net::{
    Config, ConnectionId, EventLoop, Handler, Mailbox, Message, Os, OsClock, OsPoll, OsRandom,
    Peers, SharedFrame,
};
use throng::proto::{Inbound, Role, Settings, Spare};

/// Echoes; sends a frame to all where a message begins with `*`.
struct Program {
    ids: Vec<ConnectionId>,
    frame: SharedFrame,
}

impl Handler for Program {
    type Session = ();
    type Mail = ();

    fn open(&mut self, _: &mut Peers<()>, id: ConnectionId) {
        self.ids.push(id);
    }

    fn message(&mut self, peers: &mut Peers<()>, from: ConnectionId, message: Message<'_>) {
        if message.payload.first() == Some(&b'*') {
            peers.broadcast(self.ids.iter().copied(), &self.frame);
        } else {
            let _ = peers.send(from, message);
        }
    }

    fn close(
        &mut self,
        _: &mut Peers<()>,
        id: ConnectionId,
        (): (),
        _: throng::net::CloseReason<'_>,
    ) {
        self.ids.retain(|other| *other != id);
    }
}

struct Bench {
    event_loop: EventLoop<Program, Os>,
    addr: SocketAddr,
    clients: Vec<TcpStream>,
    /// What the loop has taken since it was last asked.
    taken: AllocationInfo,
}

impl Bench {
    fn new(broadcast_len: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let text = "b".repeat(broadcast_len);
        let program = Program {
            ids: Vec::with_capacity(1000),
            frame: SharedFrame::new(Message::text(&text)),
        };
        let poll = OsPoll::new(vec![listener.into()]).unwrap();
        let mailbox = Mailbox::new(1, || {});
        let (clock, random) = (OsClock::default(), OsRandom::default());
        let event_loop = EventLoop::new(Config::default(), program, mailbox, poll, clock, random);
        Self { event_loop, addr, clients: Vec::new(), taken: AllocationInfo::default() }
    }

    fn turn(&mut self) {
        self.taken += measure(|| self.event_loop.turn().unwrap());
    }

    fn taken(&mut self) -> AllocationInfo {
        std::mem::take(&mut self.taken)
    }

    /// Opens connections until there are so many.
    fn connect(&mut self, count: usize) {
        while self.clients.len() < count {
            let mut client = TcpStream::connect(self.addr).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            client.set_nodelay(true).unwrap();
            let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
                Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
            client.write_all(request.as_bytes()).unwrap();
            self.clients.push(client);
            while self.event_loop.handler().ids.len() < self.clients.len() {
                self.turn();
            }
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") {
                self.clients.last_mut().unwrap().read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            assert!(head.starts_with(b"HTTP/1.1 101 "));
        }
    }

    fn disconnect(&mut self) {
        self.clients.clear();
        while self.event_loop.connections() > 0 {
            self.turn();
        }
    }

    /// Sends bytes to the loop, and lets it turn until this client has an answer of such a length.
    fn ask(&mut self, client: usize, bytes: &[u8], answer_len: usize) {
        self.clients[client].write_all(bytes).unwrap();
        self.turn();
        let mut answer = [0; 4096];
        self.clients[client].read_exact(&mut answer[..answer_len]).unwrap();
    }

    /// Does something often enough to be warm, and then says what it takes.
    fn when_warm(&mut self, mut action: impl FnMut(&mut Self)) -> AllocationInfo {
        (0..50).for_each(|_| action(self));
        self.taken();
        (0..500).for_each(|_| action(self));
        self.taken()
    }
}

/// A frame of a client: masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

#[test]
fn an_echo_allocates_nothing() {
    let mut bench = Bench::new(1);
    bench.connect(3);
    let hello = frame(0x81, b"hello");
    let taken = bench.when_warm(|bench| bench.ask(1, &hello, 7));
    assert_eq!(taken.count_total, 0, "{taken:?}");
}

#[test]
fn many_messages_in_one_read_allocate_nothing() {
    let mut bench = Bench::new(1);
    bench.connect(1);
    let many = frame(0x82, &[7; 30]).repeat(100);
    let taken = bench.when_warm(|bench| bench.ask(0, &many, 3200));
    assert_eq!(taken.count_total, 0, "{taken:?}");
}

#[test]
fn a_message_in_fragments_allocates_nothing() {
    let mut bench = Bench::new(1);
    bench.connect(1);
    let [first, ping, last] = [frame(0x01, b"hel"), frame(0x89, b"x"), frame(0x80, b"lo")];
    let taken = bench.when_warm(|bench| {
        bench.clients[0].write_all(&first).unwrap();
        bench.turn();
        bench.ask(0, &ping[..3], 0);
        bench.ask(0, &ping[3..], 3);
        bench.ask(0, &last, 7);
    });
    assert_eq!(taken.count_total, 0, "{taken:?}");
}

#[test]
fn a_ping_allocates_nothing() {
    let mut bench = Bench::new(1);
    bench.connect(1);
    let ping = frame(0x89, b"are you there?");
    let taken = bench.when_warm(|bench| bench.ask(0, &ping, 16));
    assert_eq!(taken.count_total, 0, "{taken:?}");
}

#[test]
fn a_broadcast_allocates_nothing_for_a_member() {
    for len in [20, 4000] {
        let mut bench = Bench::new(len);
        bench.connect(100);
        let ask = frame(0x81, b"*");
        let answer_len = len + if len < 126 { 2 } else { 4 };
        let taken = bench.when_warm(|bench| {
            bench.ask(0, &ask, answer_len);
            let mut answer = [0; 4096];
            for client in &mut bench.clients[1..] {
                client.read_exact(&mut answer[..answer_len]).unwrap();
            }
        });
        assert_eq!(taken.count_total, 0, "{len}: {taken:?}");
    }
}

#[test]
fn a_connection_at_rest_owns_no_heap() {
    let mut bench = Bench::new(1);
    bench.connect(200); // the tables have grown
    bench.disconnect();
    bench.taken();
    bench.connect(150);
    let hello = frame(0x81, b"hello");
    for client in 0..150 {
        bench.ask(client, &hello, 7);
    }
    let taken = bench.taken();
    assert!(taken.bytes_current <= 0, "{taken:?}");
}

/// The header announces the most that is allowed; a little of it comes.
fn announcing(settings: &Settings, bytes: usize) -> Vec<u8> {
    let mut stream = vec![0x82, 0xFF];
    stream.extend_from_slice(&settings.message_bytes_max.to_be_bytes());
    stream.extend_from_slice(&[0; 4]);
    stream.extend(std::iter::repeat_n(7, bytes));
    stream
}

/// One first buffer of a large message, with what it stands in.
const SMALL: u64 = (16 << 10) + 1024;

#[test]
fn memory_follows_what_has_come_in_the_core() {
    let settings = Settings::new(Role::Server);
    for come in [0, 1, 1000] {
        let mut stream = announcing(&settings, come);
        let (mut inbound, mut spare) = (Inbound::new(), Spare::default());
        let taken = measure(|| {
            let mut events = inbound.receive(&settings, &mut spare, &mut stream);
            assert_eq!(events.next(), None);
            drop(events);
            assert!(
                inbound.direct(&settings).is_none(),
                "nothing is made ready for what is not here"
            );
        });
        // What has come moves into the new buffer while the old one is still there.
        assert!(taken.bytes_max <= 1024 + 3 * come as u64, "{come}: {taken:?}");
    }
}

#[test]
fn memory_follows_what_has_come_in_the_loop() {
    const COUNT: usize = 50;
    let mut bench = Bench::new(1);
    bench.connect(COUNT);
    bench.taken();
    let stream = announcing(&Settings::new(Role::Server), 100);
    for piece in [&stream[..], &[7], &[7; 99]] {
        for client in 0..COUNT {
            bench.clients[client].write_all(piece).unwrap();
            bench.turn();
        }
    }
    let held = bench.taken().bytes_current;
    assert!(held <= SMALL as i64 * COUNT as i64, "{held} bytes for {COUNT} connections");
    // Who is gone leaves nothing behind, once the loop has seen that its spares are not used.
    bench.clients.truncate(1);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2500) {
        bench.turn();
    }
    assert_eq!(bench.event_loop.connections(), 1);
    let left = held + bench.taken().bytes_current;
    assert!(left <= 2 * SMALL as i64, "{left} bytes are left");
}

/// Doubling, and one small buffer: not what a vector makes of that when it doubles again.
#[test]
fn a_message_that_comes_slowly_is_held_in_twice_its_size() {
    let mut bench = Bench::new(1);
    bench.connect(1);
    bench.clients[0].write_all(&announcing(&Settings::new(Role::Server), 0)).unwrap();
    bench.turn();
    bench.taken();
    let mut held = 0;
    for come in (1000..=200_000).step_by(1000) {
        bench.clients[0].write_all(&[7; 1000]).unwrap();
        bench.turn();
        held += bench.taken().bytes_current;
        let most = 2 * come + SMALL as i64;
        assert!(held <= most, "{held} bytes for the {come} that have come");
    }
}
