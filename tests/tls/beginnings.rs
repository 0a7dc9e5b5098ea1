//! What else comes to a TLS port: plain HTTP, garbage, and what a proxy says first.

use std::io::{Read, Write};
use std::sync::Arc;

use crate::authority::{Authority, words};
use crate::common::{Frame, RawClient, Server, http};
use crate::handshakes::metric;
use crate::peer::{BOTH, config, connect, dial, echo, open};

#[test]
fn row_015_plain_http_on_a_tls_port_is_told_so() {
    let authority = Authority::new();
    let flags = authority.pair("server", &["localhost"]).flags();
    let server = Server::serve(&words(&flags));
    let upgrade = crate::common::Upgrade::new("/ws").bytes();
    for request in [http::get("/"), upgrade, b"POST / HTTP/1.1\r\nContent-Le".to_vec()] {
        let mut client = RawClient::connect(&server);
        client.send(&request);
        let answer = client.expect_answer(400);
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(body.contains("this port speaks TLS") && body.contains("https://"), "{body}");
        client.expect_eof();
    }
}

#[test]
fn plain_and_tls_share_a_port_where_that_is_asked_for() {
    let authority = Authority::new();
    let mut flags = authority.pair("server", &["localhost"]).flags();
    flags.push("--tls-or-plain".into());
    let server = Server::echo(&words(&flags));
    let config = Arc::new(config(&authority, &BOTH, None));
    let mut secure = open(connect(&config, server.address(), "localhost"), "/");
    let mut plain = RawClient::open(&server, "/");
    for round in 0..3 {
        echo(&mut secure, &format!("by TLS, {round}"));
        plain.send(Frame::text(format!("as it is, {round}")).bytes());
        assert_eq!(plain.read_text(), format!("as it is, {round}"));
    }
    // What is neither has the plain answer.
    let mut client = RawClient::connect(&server);
    client.send(b"\x01\x02\x03\x04\r\n\r\n");
    client.expect_answer(400);
}

#[test]
fn row_015_garbage_is_cut_and_counted() {
    let authority = Authority::new();
    let flags = authority.pair("server", &["localhost"]).flags();
    let server = Server::serve(&words(&flags));
    let samples: [&[u8]; 8] = [
        b"\x00",
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", // SSL 2
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\xff\xff",                 // a record that is too long
        b"\x16\x03\x01\x00\x00",                 // and an empty one
        b"\x17\x03\x03\x00\x05hello",            // data before the handshake
        b"\x15\x03\x03\x00\x02\x02\x28",         // an alert first
        b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00", // a message of the server's
    ];
    for sample in samples {
        let mut stream = dial(server.address());
        stream.write_all(sample).expect("sent");
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest); // an end or a reset, in time
        let in_time = ended
            .as_ref()
            .map_or_else(|error| error.kind() == std::io::ErrorKind::ConnectionReset, |_| true);
        assert!(in_time, "{sample:?}: {ended:?}");
        assert!(rest.is_empty() || rest[0] == 0x15, "{sample:?}: {rest:?}"); // an alert
    }
    let config = Arc::new(config(&authority, &BOTH, None));
    let mut random = crate::common::random::Random::new(7);
    for _ in 0..200 {
        // A good handshake, and then bytes that no key has made.
        let mut stream = connect(&config, server.address(), "localhost");
        let junk: Vec<u8> = (0..random.below(300)).map(|_| random.next() as u8).collect();
        let _ = stream.sock.write_all(&junk);
        drop(stream);
    }
    assert!(metric(&authority, &server, "throng_tls_failures_total") >= 7.0);
    echo(&mut open(connect(&config, server.address(), "localhost"), "/echo"), "alive");
}

#[test]
fn a_proxy_says_first_whose_connection_it_is() {
    let authority = Authority::new();
    let mut flags = authority.pair("server", &["localhost"]).flags();
    flags.extend(["--proxy-protocol".into(), "--tls-or-plain".into()]);
    let server = Server::echo(&words(&flags));
    let header = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
    let config = Arc::new(config(&authority, &BOTH, None));
    // The header alone, in two parts, and glued to what follows.
    for glued in [false, true] {
        for cut in [header.len(), 7] {
            let mut stream = crate::peer::begin(&config, server.address(), "localhost");
            stream.sock.write_all(&header[..cut]).expect("sent");
            if cut < header.len() {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            let mut rest = header[cut..].to_vec();
            if glued {
                stream.conn.write_tls(&mut rest).expect("in memory");
            }
            stream.sock.write_all(&rest).expect("sent");
            stream.conn.complete_io(&mut stream.sock).expect("a handshake");
            echo(&mut open(stream, "/"), "behind a proxy");
        }
    }
    let mut plain = RawClient::connect(&server);
    plain.send([&header[..], &crate::common::Upgrade::new("/").bytes()].concat());
    plain.expect_upgrade();
}
