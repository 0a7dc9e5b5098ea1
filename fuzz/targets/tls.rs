//! A loop that speaks TLS, and a client of which some bytes are wrong: the loop never panics, never
//! spins, and in the end nothing is left of the connection.
//!
//! The input: a byte that says how it is meant. Either all that arrives follows; or a real client
//! speaks, of whose bytes those at one place are others, and what follows is what it says.

#![no_main]

use std::io::Write;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use throng::hub::{Hub, Mail};
use throng::net::{Config, EventLoop, Mailbox, Mailboxes, Tls, TlsPoll, TlsSetup};
use throng::tls::{Acceptor, Files};
use throng_fuzz::Plan;
use throng_fuzz::memory::{Memory, MemoryClock, MemoryPoll, MemoryRandom, Shared};

const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tls/certificate.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tls/key.pem");

/// How often a loop may turn for one piece.
const TURNS: usize = 24;

static ACCEPTOR: LazyLock<Arc<Acceptor>> = LazyLock::new(|| {
    Arc::new(Acceptor::new(Files::new(CERTIFICATE, KEY)).expect("the files are good"))
});

static CLIENTS: LazyLock<[Arc<ClientConfig>; 2]> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(CERTIFICATE).expect("a certificate");
    roots.add(certificate).expect("it can be trusted");
    [&TLS12, &TLS13].map(|version| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version");
        Arc::new(config.with_root_certificates(roots.clone()).with_no_client_auth())
    })
});

struct Play {
    world: Shared,
    event_loop: EventLoop<Hub, Tls<Memory>>,
    link: usize,
}

fuzz_target!(|input: &[u8]| {
    let mut plan = Plan::new(input);
    let kind = plan.byte();
    let mut play = Play::new(kind & 2 != 0);
    let piece = usize::from(plan.byte()) * 8 + 1;
    if kind & 1 == 0 {
        plan.rest().chunks(piece).for_each(|bytes| play.receive(bytes));
    } else {
        play.converse(plan, kind, piece);
    }
    play.world.borrow_mut().hang_up(play.link);
    for _ in 0..TURNS {
        play.world.borrow_mut().now += Duration::from_secs(10);
        play.event_loop.turn().expect("memory does not fail");
    }
    assert_eq!(play.event_loop.connections(), 0, "a connection stays");
});

impl Play {
    fn new(takes_plain: bool) -> Self {
        let world: Shared = Rc::default();
        let mailbox: Mailbox<Mail> = Mailbox::new(64, world.borrow().waker());
        let mailboxes: Mailboxes<Mail> = Arc::from([mailbox.clone()]);
        let setup = TlsSetup { takes_plain, ..TlsSetup::accepting(&ACCEPTOR) };
        let event_loop = EventLoop::new(
            Config::default(),
            Hub::new(0, mailboxes),
            mailbox,
            TlsPoll::new(MemoryPoll(Rc::clone(&world)), setup, false),
            MemoryClock(Rc::clone(&world)),
            MemoryRandom(Rc::clone(&world)),
        );
        let link = world.borrow_mut().connect(&[]);
        Self { world, event_loop, link }
    }

    /// Something arrives.
    fn receive(&mut self, bytes: &[u8]) {
        self.world.borrow_mut().send(self.link, bytes);
        for _ in 0..TURNS {
            self.event_loop.turn().expect("memory does not fail");
            if !self.world.borrow().has_news() {
                break;
            }
        }
        assert!(!self.world.borrow().has_news(), "the loop does not come to rest");
    }

    /// A client that keeps the rules, but for the bytes at one place.
    fn converse(&mut self, mut plan: Plan<'_>, kind: u8, piece: usize) {
        let config = &CLIENTS[usize::from(kind >> 2 & 1)];
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = ClientConnection::new(Arc::clone(config), name).expect("a client");
        let mut wrong_at = usize::from(u16::from_be_bytes(plan.bytes()));
        let wrong = plan.byte();
        let frames = plan.rest();
        let mut is_said = false;
        for _ in 0..6 {
            let mut out = Vec::new();
            while client.wants_write() && client.write_tls(&mut out).is_ok() {}
            if let Some(byte) = out.get_mut(wrong_at) {
                *byte ^= wrong;
            }
            wrong_at = wrong_at.wrapping_sub(out.len());
            out.chunks(piece).for_each(|bytes| self.receive(bytes));
            let answer = std::mem::take(&mut self.world.borrow_mut().links[self.link].outbox);
            let mut rest = &answer[..];
            while !rest.is_empty() && client.read_tls(&mut rest).is_ok_and(|count| count > 0) {
                if client.process_new_packets().is_err() {
                    return;
                }
            }
            if !client.is_handshaking() && !is_said {
                is_said = true;
                let request = b"GET /ws?room=r HTTP/1.1\r\nHost: localhost\r\n\
                    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
                let said = [&request[..], frames].concat();
                let _ = client.writer().write(&said); // as much as there is room for
            }
        }
    }
}
