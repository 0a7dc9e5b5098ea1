//! Connections that may send little until the handler says otherwise.

use throng::extension::{self, Deflater, Mode};
use throng::handshake::Acceptance;
use throng::net::{Config, ConnectionId, Handler, Message, Peers, Request, Verdict};

use crate::Running;
use crate::common::http::Upgrade;
use crate::common::{Expect, Frame, RawClient};

/// As [`Frame::rsv`] counts.
const RSV1: u8 = 4;

const MAX: usize = throng::proto::LIMITED_BYTES_MAX as usize;

/// Limits who comes to `/limited`; "lift" lifts the limits of all who are there.
struct Limiting {
    limited: Vec<ConnectionId>,
}

impl Handler for Limiting {
    type Session = ();
    type Mail = ();

    fn request(&mut self, request: &Request<'_>) -> Verdict<()> {
        let acceptance = match request.head().path() {
            "/limited" => Acceptance::new().limited(),
            "/plain" => Acceptance::new().without_extensions(),
            _ => Acceptance::new(),
        };
        Verdict::Accept(acceptance, ())
    }

    fn open(&mut self, _: &mut Peers<()>, id: ConnectionId) {
        self.limited.push(id);
    }

    fn message(&mut self, peers: &mut Peers<()>, from: ConnectionId, message: Message<'_>) {
        if message.payload == b"lift" {
            self.limited.iter().for_each(|id| peers.lift_limit(*id));
        }
        let _ = peers.send(from, Message::text(&message.payload.len().to_string()));
    }
}

fn start() -> Running {
    Running::start(Config::default(), 1, |_, _| Limiting { limited: Vec::new() })
}

fn send(client: &mut RawClient, len: usize) {
    client.send(Frame::binary("x".repeat(len)).bytes());
}

#[test]
fn a_limited_connection_sends_short_messages() {
    let server = start();
    let mut client = server.open("/limited");
    send(&mut client, MAX);
    client.expect(&Expect::text(MAX.to_string()));
    send(&mut client, MAX + 1);
    client.expect_close(1009);
    let mut client = server.open("/");
    send(&mut client, MAX + 1);
    client.expect(&Expect::text((MAX + 1).to_string()));
}

#[test]
fn a_limit_is_lifted_by_its_own_message_and_by_another_connection() {
    let server = start();
    let mut own = server.open("/limited");
    own.send([Frame::text("lift").bytes(), Frame::binary("x".repeat(2 * MAX)).bytes()].concat());
    own.expect(&Expect::text("4"));
    own.expect(&Expect::text((2 * MAX).to_string()));
    let mut other = server.open("/limited");
    own.send(Frame::text("lift").bytes());
    own.expect(&Expect::text("4"));
    send(&mut other, 100 * MAX);
    other.expect(&Expect::text((100 * MAX).to_string()));
}

/// Where compression was agreed, the limit is on what comes out.
#[test]
fn what_is_inflated_is_limited_too() {
    let server = start();
    let open = |target: &str| {
        let mut client = server.client();
        let offer = Upgrade::new(target).header("Sec-WebSocket-Extensions", "permessage-deflate");
        client.send(offer.bytes());
        let is_agreed = client.expect_upgrade().only("sec-websocket-extensions").is_some();
        (client, is_agreed)
    };
    let deflated = |len: usize| {
        let (config, mut out) = (extension::Config::new(Mode::Dedicated), Vec::new());
        Deflater::new(&config, 15).deflate(&vec![0; len], &mut out, false);
        Frame::binary(out).rsv(RSV1).bytes()
    };
    let (mut client, is_agreed) = open("/limited");
    assert!(is_agreed);
    client.send(deflated(MAX));
    client.expect(&Expect::text(MAX.to_string()));
    client.send(deflated(MAX + 1));
    client.expect_close(1009);
    let (mut client, is_agreed) = open("/plain");
    assert!(!is_agreed, "nothing is to be inflated");
    client.send(deflated(1));
    client.expect_close(1002);
}
