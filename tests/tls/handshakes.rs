//! Handshakes with a server: versions, ALPN, sessions that are resumed, and how many at once.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::HandshakeKind;

use crate::authority::{Authority, words};
use crate::common::{Server, eventually};
use crate::peer::{BOTH, begin, config, connect, echo, open};

/// What `/metrics` says of one sample, asked over a connection of its own.
pub fn metric(authority: &Authority, server: &Server, name: &str) -> f64 {
    let config = Arc::new(config(authority, &BOTH, None));
    let mut stream = connect(&config, server.address(), "localhost");
    let request = "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("the end of TLS was said");
    let line = text.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
    line.rsplit_once(' ').expect("a value").1.parse().expect("a number")
}

#[test]
fn row_099_both_versions_with_alpn() {
    let authority = Authority::new();
    let flags = authority.pair("server", &["localhost"]).flags();
    let server = Server::echo(&words(&flags));
    for version in BOTH {
        let mut config = config(&authority, &[version], None);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = connect(&Arc::new(config), server.address(), "localhost");
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(stream.conn.protocol_version(), Some(version.version));
        let mut socket = open(stream, "/");
        for text in ["a", &"b".repeat(20_000), ""] {
            echo(&mut socket, text);
        }
        socket.close(None).expect("said");
        while socket.read().is_ok() {}
    }
    let mut config = config(&authority, &BOTH, None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut stream = begin(&Arc::new(config), server.address(), "localhost");
    let error = stream.write_all(b"x").expect_err("h2 is not spoken here").to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
}

/// A page of the server itself is of `https` here, and a page of `http` is somebody else's.
#[test]
fn the_api_knows_that_it_is_asked_over_tls() {
    let authority = Authority::new();
    let mut flags = authority.pair("server", &["localhost"]).flags();
    flags.extend(["--api-key", "key-of-these-tests-0123456789"].map(String::from));
    let server = Server::serve(&words(&flags));
    let config = Arc::new(config(&authority, &BOTH, None));
    for (origin, status) in [("https://localhost", "200 OK"), ("http://localhost", "403 Forbidden")]
    {
        let mut stream = connect(&config, server.address(), "localhost");
        let request = format!(
            "DELETE /api/users/ann HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\
             Authorization: Bearer key-of-these-tests-0123456789\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("the end of TLS was said");
        assert!(text.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{origin}: {text}");
    }
}

#[test]
fn the_first_line_says_https() {
    let authority = Authority::new();
    let pair = authority.pair("server", &["localhost"]);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_throng"));
    command.args(["echo", "--listen", "127.0.0.1:0"]).args(pair.flags());
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    let output = child.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).expect("a line");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(line.starts_with("listening on https://127.0.0.1:"), "{line}");
}

#[test]
fn sessions_are_resumed_in_both_versions_and_over_loops() {
    let authority = Authority::new();
    let mut flags = authority.pair("server", &["localhost"]).flags();
    flags.extend(["--loops".into(), "2".into()]);
    let server = Server::serve(&words(&flags));
    for version in BOTH {
        let config = Arc::new(config(&authority, &[version], None));
        let mut kinds = Vec::new();
        for _ in 0..4 {
            let mut socket = open(connect(&config, server.address(), "localhost"), "/echo");
            echo(&mut socket, "tickets of TLS 1.3 come behind the handshake");
            kinds.push(socket.get_ref().conn.handshake_kind().expect("a handshake"));
        }
        let resumed = kinds.iter().filter(|kind| **kind == HandshakeKind::Resumed).count();
        assert_eq!((kinds[0], resumed), (HandshakeKind::Full, 3), "{kinds:?}");
    }
    let resumed = "throng_tls_handshakes_total{kind=\"resumed\"}";
    eventually("both loops have told", 5.0, || metric(&authority, &server, resumed) >= 6.0);
}

#[test]
fn more_at_once_than_a_turn_takes() {
    let authority = Authority::new();
    let flags = authority.pair("server", &["localhost"]).flags();
    let server = Server::echo(&words(&flags));
    let config = Arc::new(config(&authority, &BOTH, None));
    let addr = server.address();
    // All have sent their first word before any waits for an answer.
    let mut streams: Vec<_> = (0..200).map(|_| begin(&config, addr, "localhost")).collect();
    for stream in &mut streams {
        stream.conn.write_tls(&mut stream.sock).expect("sent");
    }
    for mut stream in streams {
        stream.conn.complete_io(&mut stream.sock).expect("a handshake");
        echo(&mut open(stream, "/"), "in");
    }
}

#[test]
fn half_handshakes_are_cut_in_time() {
    let authority = Authority::new();
    let mut flags = authority.pair("server", &["localhost"]).flags();
    flags.extend(["--handshake-timeout".into(), "1".into()]);
    let server = Server::echo(&words(&flags));
    let config = Arc::new(config(&authority, &BOTH, None));
    let mut hello = Vec::new();
    let mut stream = begin(&config, server.address(), "localhost");
    stream.conn.write_tls(&mut hello).expect("in memory");
    let began = Instant::now();
    let halves = [&[][..], &hello[..1], &hello[..hello.len() / 2], &hello[..]];
    let mut streams: Vec<_> = halves.iter().map(|_| crate::peer::dial(server.address())).collect();
    for (stream, half) in streams.iter_mut().zip(halves) {
        stream.write_all(half).expect("sent");
    }
    // One that says a little now and then has no more time than the others.
    let mut slow = crate::peer::dial(server.address());
    let bytes = hello.clone();
    let dribble = thread::spawn(move || {
        for byte in bytes {
            if slow.write_all(&[byte]).is_err() || began.elapsed() > Duration::from_secs(5) {
                return began.elapsed();
            }
            thread::sleep(Duration::from_millis(20));
        }
        began.elapsed()
    });
    for mut stream in streams {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest); // an end, or a reset
        assert!(!rest.starts_with(b"HTTP"), "nothing is said in plain text");
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
    let time = dribble.join().expect("it ends");
    assert!(time < Duration::from_secs(4), "{time:?}");
    eventually("they are gone", 3.0, || server.fds_at_rest() < 20);
}

#[test]
fn a_silent_peer_after_the_handshake_is_told_408() {
    let authority = Authority::new();
    let mut flags = authority.pair("server", &["localhost"]).flags();
    flags.extend(["--handshake-timeout".into(), "1".into()]);
    let server = Server::echo(&words(&flags));
    let config = Arc::new(config(&authority, &BOTH, None));
    let mut stream = connect(&config, server.address(), "localhost");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the end of TLS was said");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[test]
fn key_updates_without_end_harm_nobody_else() {
    let authority = Authority::new();
    let flags = authority.pair("server", &["localhost"]).flags();
    let server = Server::echo(&words(&flags));
    let config = Arc::new(config(&authority, &[&rustls::version::TLS13], None));
    let mut other = open(connect(&config, server.address(), "localhost"), "/");
    let mut flood = connect(&config, server.address(), "localhost");
    for _ in 0..10_000 {
        let asked = flood.conn.refresh_traffic_keys();
        if asked.is_err() || flood.conn.write_tls(&mut flood.sock).is_err() {
            break;
        }
    }
    echo(&mut other, "still here");
    let mut updated = open(connect(&config, server.address(), "localhost"), "/");
    for round in 0..20 {
        updated.get_mut().conn.refresh_traffic_keys().expect("TLS 1.3");
        echo(&mut updated, &format!("with new keys, {round}"));
    }
    assert!(!server.errors().contains("panicked"));
}

/// TLS 1.2 has it, rustls does not: who asks is told no, and costs others nothing. OpenSSL's client
/// asks by a line `R` and gives up when it is refused, so a flood of it is a flood of connections.
#[test]
fn renegotiation_is_refused() {
    let authority = Authority::new();
    let flags = authority.pair("server", &["localhost"]).flags();
    let server = Server::echo(&words(&flags));
    let config = Arc::new(config(&authority, &BOTH, None));
    let mut other = open(connect(&config, server.address(), "localhost"), "/");
    let address = server.address().to_string();
    let ask = || {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-tls1_2", "-connect", &address]).stdin(Stdio::piped());
        openssl.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = openssl.spawn().expect("tests/run installs openssl");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(b"R\n").expect("it reads");
        let said = child.wait_with_output().expect("it ends"); // by itself: it was refused
        drop(input);
        String::from_utf8_lossy(&said.stderr).into_owned()
    };
    thread::scope(|scope| {
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        for thread in asking {
            let said = thread.join().expect("no panic");
            assert!(said.contains("no renegotiation"), "{said}");
        }
    });
    echo(&mut other, "still here");
}
