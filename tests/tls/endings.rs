//! Large messages over narrow sockets, and connections that end in the middle.

use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tungstenite::Message;

use crate::authority::{Authority, words};
use crate::common::{Frame, Server, eventually};
use crate::handshakes::metric;
use crate::peer::{BOTH, Secure, config, connect, echo, open};

/// A connection whose buffers hold next to nothing.
fn narrow(config: &Arc<rustls::ClientConfig>, addr: SocketAddr) -> Secure {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("an option");
    socket.set_send_buffer_size(4096).expect("an option");
    socket.connect(&SockAddr::from(addr)).expect("connected");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::clone(config), name).expect("a connection");
    StreamOwned::new(connection, socket.into())
}

#[test]
fn large_messages_over_narrow_sockets() {
    let authority = Authority::new();
    let flags = authority.pair("server", &["localhost"]).flags();
    let server = Server::echo(&words(&flags));
    for version in BOTH {
        let config = Arc::new(config(&authority, &[version], None));
        let mut socket = open(narrow(&config, server.address()), "/");
        for len in [16_384, 16_385, 100_000, 2_000_000] {
            let payload: Vec<u8> = (0..len).map(|at: usize| ((at * 31) >> 3) as u8).collect();
            socket.send(Message::binary(payload.clone())).expect("sent");
            let Message::Binary(back) = socket.read().expect("an answer") else {
                panic!("no binary message")
            };
            assert!(back == payload, "{len} bytes came back otherwise");
        }
    }
}

#[test]
fn a_peer_that_does_not_read_is_held_to_its_backlog() {
    let authority = Authority::new();
    let mut flags = authority.pair("server", &["localhost"]).flags();
    flags.extend(["--write-timeout".into(), "2".into(), "--compress".into(), "off".into()]);
    let server = Server::serve(&words(&flags));
    let config = Arc::new(config(&authority, &BOTH, None));
    let mut stalled = open(narrow(&config, server.address()), "/echo");
    let mut other = open(connect(&config, server.address(), "localhost"), "/echo");
    let before = server.rss_kb();
    let sent = thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let block = Message::binary(vec![1; 64 << 10]);
            stalled.get_ref().sock.set_write_timeout(Some(Duration::from_secs(8))).expect("set");
            (0..2000).take_while(|_| stalled.send(block.clone()).is_ok()).count()
        });
        for round in 0..20 {
            echo(&mut other, &format!("not held up, {round}"));
            thread::sleep(Duration::from_millis(20));
        }
        flood.join().expect("it ends")
    });
    assert!(sent < 500, "{sent} messages of 64 KiB were taken of a peer that reads none");
    let grown = server.rss_kb().saturating_sub(before);
    assert!(grown < 20_000, "{grown} KiB for one slow peer");
    eventually("it is cut", 10.0, || {
        metric(&authority, &server, "throng_closes_total{cause=\"write_timeout\"}") >= 1.0
    });
}

#[test]
fn tcp_that_ends_before_tls_is_lost() {
    let authority = Authority::new();
    let flags = authority.pair("server", &["localhost"]).flags();
    let server = Server::serve(&words(&flags));
    let lost = "throng_closes_total{cause=\"lost\"}";
    let config = Arc::new(config(&authority, &BOTH, None));
    // In the middle of a frame, of a record, and between two.
    for part in [0, 3, 20] {
        let mut socket = open(connect(&config, server.address(), "localhost"), "/echo");
        echo(&mut socket, "here");
        let stream = socket.get_mut();
        let mut record = Vec::new();
        stream.conn.writer().write_all(&Frame::text("cut").bytes()).expect("room");
        stream.conn.write_tls(&mut record).expect("in memory");
        stream.sock.write_all(&record[..part]).expect("sent");
        stream.sock.shutdown(Shutdown::Write).expect("open");
    }
    eventually("three are lost", 10.0, || metric(&authority, &server, lost) >= 3.0);
    // A Close, and then the end, is none.
    let mut socket = open(connect(&config, server.address(), "localhost"), "/echo");
    socket.close(None).expect("said");
    while socket.read().is_ok() {}
    let peer = "throng_closes_total{cause=\"peer\"}";
    eventually("one is closed", 10.0, || metric(&authority, &server, peer) >= 1.0);
    assert_eq!(metric(&authority, &server, lost), 3.0);
}

#[test]
fn a_server_that_stops_says_goodbye_and_ends_tls() {
    let authority = Authority::new();
    let flags = authority.pair("server", &["localhost"]).flags();
    let mut server = Server::serve(&words(&flags));
    let config = Arc::new(config(&authority, &BOTH, None));
    let mut socket = open(connect(&config, server.address(), "localhost"), "/echo");
    let half = crate::peer::dial(server.address());
    echo(&mut socket, "here");
    server.signal("TERM");
    let Message::Close(Some(close)) = socket.read().expect("a Close") else {
        panic!("something else")
    };
    assert_eq!(u16::from(close.code), 1001);
    while socket.read().is_ok() {}
    assert!(server.wait_exit(10.0).success());
    drop(half);
}
