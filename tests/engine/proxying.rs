//! Connections behind a proxy that speaks the PROXY protocol.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use throng::http::Response;
use throng::net::{Config, ConnectionId, Handler, Mailboxes, Message, Peers, Request, Verdict};

use crate::Running;
use crate::common::http::{Upgrade, get};
use crate::common::{Expect, Frame, RawClient, each_chunking};

/// Says who asks, over HTTP and to each message.
struct Telling;

impl Handler for Telling {
    type Session = ();
    type Mail = ();

    fn request(&mut self, request: &Request<'_>) -> Verdict<()> {
        match (request.offer(), request.remote_addr()) {
            (Some(_), _) => Verdict::accept(()),
            (None, Some(addr)) => Verdict::Respond(Response::text(200, addr.to_string())),
            (None, None) => Verdict::Respond(Response::text(200, "nobody")),
        }
    }

    fn message(&mut self, peers: &mut Peers<()>, from: ConnectionId, _: Message<'_>) {
        let addr = peers.remote_addr(from).map_or("nobody".into(), |addr| addr.to_string());
        assert_eq!(peers.send(from, Message::text(&addr)), Ok(()));
    }
}

fn telling(config: Config) -> Running {
    Running::start(config, 1, |_, _: &Mailboxes<()>| Telling)
}

fn behind_proxy() -> Running {
    telling(Config { proxy_protocol: true, ..Config::default() })
}

const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";

/// Version 2: `command`, `family`, and what follows.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([0x20 | command, family]);
    bytes.extend((block.len() as u16).to_be_bytes());
    bytes.extend(block);
    bytes
}

/// 192.0.2.8:80, and a TLV of 600 bytes.
fn v2_tcp4() -> Vec<u8> {
    let addresses = [192, 0, 2, 8, 198, 51, 100, 1, 0, 80, 1, 187];
    v2(1, 0x11, &[&addresses[..], &[0x05, 0x02, 0x58], &[b'x'; 600]].concat())
}

/// Asks who we are, with the handshake and a message glued to the header, and cut in pieces.
fn asks(server: &Running, header: &[u8], expected: impl Fn(SocketAddr) -> String) {
    each_chunking(|chunking| {
        let stream = TcpStream::connect(server.addr).expect("it listens");
        let local = stream.local_addr().expect("an address");
        let mut client = RawClient::on(stream);
        let frame = Frame::text("who am I?").bytes();
        client.send_chunked(&[header, &Upgrade::new("/").bytes(), &frame].concat(), chunking);
        client.expect_upgrade();
        client.expect(&Expect::text(expected(local)));
    });
    let mut client = server.client();
    client.send([header, &get("/")].concat());
    assert_eq!(client.read_answer(false).status, 200);
}

#[test]
fn the_header_says_who_a_connection_is_from() {
    let server = behind_proxy();
    asks(&server, LINE, |_| "192.0.2.7:56324".into());
    asks(&server, &v2_tcp4(), |_| "192.0.2.8:80".into());
    let line = b"PROXY TCP6 2001:db8::9 2001:db8::1 443 443\r\n";
    asks(&server, line, |_| "[2001:db8::9]:443".into());
}

/// Where the proxy does not know, or speaks for itself, the address is its own; not that of who had
/// the connection's place before.
#[test]
fn a_header_without_an_address_leaves_the_one_of_tcp() {
    let server = behind_proxy();
    asks(&server, LINE, |_| "192.0.2.7:56324".into());
    asks(&server, b"PROXY UNKNOWN\r\n", |local| local.to_string());
    asks(&server, &v2(0, 0x00, b""), |local| local.to_string());
    asks(&server, &v2(1, 0x00, b""), |local| local.to_string());
    asks(&server, &v2(1, 0x31, &[0; 216]), |local| local.to_string());
}

/// All that comes until the connection is closed, with a reset or without.
fn all_that_comes(server: &Running, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.addr).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let _ = stream.write_all(bytes); // which may be reset meanwhile
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    received
}

#[test]
fn what_is_no_header_is_closed_without_an_answer() {
    let server = behind_proxy();
    let too_long = [&v2(1, 0x11, &[0; 12])[..14], &[0xff, 0xff]].concat();
    let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n";
    let cases: [&[u8]; 6] =
        [&get("/"), &Upgrade::new("/").bytes(), line, &too_long, b"PROXY TCP9 ", &[0; 300]];
    for bytes in cases {
        let rest = b" and the rest of it, until the line is too long to wait for its end".repeat(2);
        let sent = [bytes, &rest].concat();
        assert_eq!(all_that_comes(&server, &sent), b"", "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn a_header_has_to_come_in_the_time_of_a_handshake() {
    let handshake_timeout = Duration::from_millis(300);
    let server = telling(Config { proxy_protocol: true, handshake_timeout, ..Config::default() });
    assert_eq!(all_that_comes(&server, b"PROXY TCP4 192.0.2.7"), b"");
    assert_eq!(all_that_comes(&server, b""), b"");
    // The time for header and request is one.
    let received = all_that_comes(&server, &[LINE, b"GET / HT"].concat());
    assert!(received.starts_with(b"HTTP/1.1 408 "), "{:?}", String::from_utf8_lossy(&received));
}

#[test]
fn without_the_option_a_header_is_no_request() {
    let server = telling(Config::default());
    let mut client = server.client();
    client.send([LINE, &get("/")].concat());
    client.expect_refusal(&[400]);
}
