//! The real loop over memory: whatever pieces the ciphertext comes and goes in, the same messages
//! arrive, in order, and the end is the same.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, SupportedProtocolVersion};
use throng::net::{
    CloseReason, Config, ConnectionId, EventLoop, Handler, Mailbox, Message, OsRandom, Peers,
    Platform, Tls, TlsPoll, TlsSetup,
};
use throng::tls::{Acceptor, Files};

use crate::authority::Authority;
use crate::common::random::Random;
use crate::common::{Frame, Upgrade};
use crate::peer::{BOTH, config};
use crate::world::{Memory, MemoryClock, MemoryPoll, Shared, World};

/// Echoes, and remembers what it was told.
#[derive(Clone, Default)]
struct Told(Rc<RefCell<Vec<String>>>);

impl<P: Platform> Handler<P> for Told {
    type Session = ();
    type Mail = ();

    fn message(&mut self, peers: &mut Peers<(), P>, from: ConnectionId, message: Message<'_>) {
        let first = message.payload.first().copied().unwrap_or_default();
        self.0.borrow_mut().push(format!("{} of {first}", message.payload.len()));
        let _ = peers.send(from, message);
    }

    fn close(&mut self, _: &mut Peers<(), P>, _: ConnectionId, (): (), reason: CloseReason<'_>) {
        let words = match reason {
            CloseReason::Peer(close) => format!("close {:?}", close.code.map(|it| it.get())),
            CloseReason::Lost => "lost".into(),
            other => format!("{other:?}"),
        };
        self.0.borrow_mut().push(words);
    }
}

/// One connection of a client in memory to a loop in memory.
pub struct Line {
    event_loop: EventLoop<Told, Tls<Memory>>,
    pub world: Shared,
    pub client: ClientConnection,
    told: Told,
    /// What the client has got, decrypted.
    pub got: Vec<u8>,
    /// The server has said that it sends no more.
    pub has_ended: bool,
}

impl Line {
    fn new(acceptor: &Arc<Acceptor>, config: &Arc<ClientConfig>, in_out: [usize; 2]) -> Self {
        let [piece_in, piece_out] = in_out;
        let mut world = World::default();
        (world.piece_in, world.piece_out) = (piece_in, piece_out);
        let world = Rc::new(RefCell::new(world));
        let poll =
            TlsPoll::new(MemoryPoll(Rc::clone(&world)), TlsSetup::accepting(acceptor), false);
        let told = Told::default();
        let clock = MemoryClock(Rc::clone(&world));
        let (mailbox, random) = (Mailbox::new(1, || {}), OsRandom::default());
        let event_loop =
            EventLoop::new(Config::default(), told.clone(), mailbox, poll, clock, random);
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(Arc::clone(config), name).expect("a connection");
        Self { event_loop, world, client, told, got: Vec::new(), has_ended: false }
    }

    /// A turn of the loop, and then of the client.
    fn turn(&mut self) {
        self.event_loop.turn().expect("nothing can fail in memory");
        let arrived = std::mem::take(&mut self.world.borrow_mut().outbox);
        let mut rest = &arrived[..];
        while !rest.is_empty() {
            self.client.read_tls(&mut rest).expect("in memory");
            let state = self.client.process_new_packets().expect("the server keeps to the rules");
            self.has_ended |= state.peer_has_closed();
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            self.client.reader().read_exact(&mut plain).expect("it is there");
            self.got.extend(plain);
        }
        self.send();
    }

    /// What the client has to say goes on its way.
    fn send(&mut self) {
        let mut out = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut out).expect("in memory");
        }
        self.world.borrow_mut().coming.extend(out);
    }

    fn turn_until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        for _ in 0..2_000_000 {
            if holds(self) {
                return;
            }
            self.turn();
        }
        panic!("never: {what}; told {:?}, got {} bytes", self.told.0.borrow(), self.got.len());
    }

    fn told(&self) -> Vec<String> {
        self.told.0.borrow().clone()
    }
}

/// An acceptor, and what its clients need.
pub fn parties(version: &'static SupportedProtocolVersion) -> (Arc<Acceptor>, Arc<ClientConfig>) {
    let authority = Authority::new();
    let pair = authority.pair("server", &["localhost"]);
    let acceptor = Acceptor::new(Files::new(pair.certificate, pair.key)).expect("good files");
    (Arc::new(acceptor), Arc::new(config(&authority, &[version], None)))
}

/// What the client says: frames of many kinds, the last of them a Close. And what comes back.
fn words() -> (Vec<u8>, Vec<u8>, Vec<String>) {
    let long: Vec<u8> = (0..40_000u32).map(|at| at as u8).collect();
    let (mut said, mut back) = (Upgrade::new("/").bytes(), Vec::new());
    for frame in [
        Frame::text("a"),
        Frame::binary(&long),
        Frame::binary([7; 1000]).unfinished(),
        Frame::ping("p"),
        Frame::continuation([8; 30]),
        Frame::text(""),
        Frame::close(1000, ""),
    ] {
        said.extend(frame.bytes());
    }
    let whole = [&[7; 1000][..], &[8; 30]].concat();
    for frame in [
        Frame::text("a"),
        Frame::binary(&long),
        Frame::pong("p"),
        Frame::binary(whole),
        Frame::text(""),
        Frame::close(1000, ""),
    ] {
        back.extend(frame.unmasked().bytes());
    }
    let told = ["1 of 97", "40000 of 0", "1030 of 7", "0 of 0", "close Some(1000)"];
    (said, back, told.map(String::from).into())
}

#[test]
fn the_same_messages_whatever_the_pieces() {
    let (said, back, told) = words();
    let mut random = Random::new(3);
    for version in BOTH {
        let (acceptor, config) = parties(version);
        let sizes = [1, 2, 5, 6, 17, 1000, 16_389, usize::MAX];
        let mut cases: Vec<[usize; 2]> = sizes.map(|size| [size, usize::MAX]).into();
        cases.extend(sizes.map(|size| [usize::MAX, size]));
        cases.extend((0..12).map(|_| [(); 2].map(|()| 1 + random.below(3000))));
        for pieces in cases {
            let mut line = Line::new(&acceptor, &config, pieces);
            line.client.writer().write_all(&said).expect("kept until it can be sent");
            line.send();
            line.turn_until("the end of TCP", |line| line.world.borrow().shut);
            let head_len = line.got.windows(4).position(|four| four == b"\r\n\r\n");
            let head_len = head_len.expect("an answer") + 4;
            assert!(line.got.starts_with(b"HTTP/1.1 101 "), "{pieces:?}");
            assert!(line.got[head_len..] == back, "{pieces:?}: other bytes came back");
            assert_eq!(line.told(), told, "{pieces:?}");
            assert!(line.has_ended, "{pieces:?}: the end of TLS is said");
            line.world.borrow_mut().fin = true;
            line.turn_until("the connection is gone", |line| line.world.borrow().gone);
        }
    }
}

#[test]
fn a_turn_writes_once_however_many_messages() {
    let (acceptor, config) = parties(&rustls::version::TLS13);
    let mut line = Line::new(&acceptor, &config, [usize::MAX; 2]);
    line.client.writer().write_all(&Upgrade::new("/").bytes()).expect("kept");
    line.send();
    line.turn_until("it is open", |line| line.got.ends_with(b"\r\n\r\n"));
    let before = line.world.borrow().writes;
    let many: Vec<u8> = (0..100).flat_map(|_| Frame::text("hello").bytes()).collect();
    line.client.writer().write_all(&many).expect("room");
    line.send();
    let got = line.got.len() + 100 * 7;
    line.turn_until("all are back", |line| line.got.len() == got);
    assert_eq!(line.world.borrow().writes - before, 1);
}

#[test]
fn a_cut_anywhere_is_an_end_once() {
    let (said, _, told) = words();
    for version in BOTH {
        let (acceptor, config) = parties(version);
        let mut random = Random::new(11);
        for round in 0..60 {
            let mut line = Line::new(&acceptor, &config, [usize::MAX; 2]);
            line.client.writer().write_all(&said).expect("kept");
            line.send();
            // All is on its way; so much of it arrives, and then TCP ends.
            line.turn();
            line.turn();
            line.turn();
            let left = line.world.borrow().coming.len();
            let cut = if left == 0 { 0 } else { random.below(left) };
            line.world.borrow_mut().coming.truncate(cut);
            line.world.borrow_mut().fin = true;
            line.turn_until("the connection is gone", |line| line.world.borrow().gone);
            let ends: Vec<_> = line.told().into_iter().filter(|it| !it.contains(" of ")).collect();
            assert!(ends.len() <= 1, "{round}: {ends:?}");
            assert!(ends.iter().all(|end| end == "lost" || *end == told[4]), "{round}: {ends:?}");
        }
    }
}

#[test]
fn the_end_of_tls_without_a_close_is_lost_and_is_answered() {
    for version in BOTH {
        let (acceptor, config) = parties(version);
        let mut line = Line::new(&acceptor, &config, [usize::MAX; 2]);
        line.client.writer().write_all(&Upgrade::new("/").bytes()).expect("kept");
        line.send();
        line.turn_until("it is open", |line| line.got.ends_with(b"\r\n\r\n"));
        // Glued to a message, and TCP goes on.
        line.client.writer().write_all(&Frame::text("last").bytes()).expect("room");
        line.client.send_close_notify();
        line.send();
        line.turn_until("the server ends too", |line| line.has_ended);
        assert_eq!(line.told(), ["4 of 108", "lost"]);
        assert!(line.got.ends_with(b"\x81\x04last"), "what was owed is still sent");
    }
}
