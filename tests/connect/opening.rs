//! What is asked for in the handshake, and coming back after a loss.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tungstenite::handshake::server::{Request, Response};

use crate::common::Server;
use crate::run::{Run, close, next_text, read_to_end, run, serve};

#[test]
fn headers_and_subprotocols() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/p?q=1", listener.local_addr().expect("an address"));
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        #[allow(clippy::result_large_err)] // tungstenite's
        let look = |request: &Request, mut response: Response| {
            let header = |name: &str| request.headers()[name].to_str().expect("ASCII").to_owned();
            assert_eq!((&*header("x-a"), &*header("authorization")), ("b: c", "Bearer t"));
            assert_eq!(header("sec-websocket-protocol"), "v2, v1");
            assert_eq!(request.uri().to_string(), "/p?q=1");
            let chosen = "v1".parse().expect("a value");
            response.headers_mut().insert("sec-websocket-protocol", chosen);
            Ok(response)
        };
        read_to_end(tungstenite::accept_hdr(stream, look).expect("a handshake"));
    });
    let flags = ["-H", "X-A: b: c", "-H", "Authorization:Bearer t", "-s", "v2", "-s", "v1"];
    run(&url, &flags, b"").ends_with(0, ", subprotocol v1\n");
    server.join().expect("the server is content");
}

#[test]
fn a_lost_connection_comes_back() {
    let (url, server) = serve(vec![
        |mut socket| assert_eq!(next_text(&mut socket), "one"), // and cuts it
        |mut socket| {
            assert_eq!(next_text(&mut socket), "two");
            close(socket, 1000, "");
        },
    ]);
    let (mut run, mut stdin) = Run::piped(&url, &["--reconnect"]);
    stdin.write_all(b"one\n").expect("a pipe");
    run.errors.wait_for(&["lost", "connecting again (attempt 1)", "connected to"]);
    stdin.write_all(b"two\n").expect("a pipe");
    run.ends_with(0, "closed by the server: 1000");
    server.join().expect("the server is content");
}

/// A way to the server that counts the bytes which the client sends.
fn counting(server: &Server) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    let (counted, address) = (Arc::new(AtomicUsize::new(0)), server.address());
    let count = Arc::clone(&counted);
    thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a connection");
        let mut server = TcpStream::connect(address).expect("a server");
        let (mut back, mut to) =
            (server.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
        thread::spawn(move || {
            let _ = std::io::copy(&mut back, &mut to); // to the end, whatever it is
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
        let mut block = [0; 4096];
        while let Ok(len @ 1..) = client.read(&mut block) {
            count.fetch_add(len, Ordering::Relaxed);
            if server.write_all(&block[..len]).is_err() {
                return;
            }
        }
    });
    (url, counted)
}

#[test]
fn compression() {
    let server = Server::echo(&["--compress", "dedicated"]);
    let lines: String =
        (0..200).map(|n| format!("{{\"number\":{n},{}}}\n", "x".repeat(500))).collect();
    for (flags, bytes_max, words) in [
        (&["--compress"][..], 12_000, "permessage-deflate"),
        (&["--compress=shared"], 12_000, "no_context_takeover"),
        (&["--compress", "--compress-level=9"], 10_000, "permessage-deflate"),
        (&["--compress=off"], usize::MAX, ""),
        (&[], usize::MAX, ""),
    ] {
        let (url, counted) = counting(&server);
        let mut run = run(&url, flags, lines.as_bytes());
        run.ends_with(0, words);
        assert!(run.out.text() == lines);
        let bytes = counted.load(Ordering::Relaxed);
        assert!(bytes < bytes_max, "{flags:?}: {bytes}");
        if words.is_empty() {
            assert!(bytes > lines.len() && !run.errors.text().contains("deflate"));
        }
    }
    let plain = Server::echo(&["--compress", "off"]);
    let mut run = run(&crate::run::url_of(&plain, "/"), &["--compress"], b"x\n");
    run.ends_with(0, "closed: 1000");
    assert!(!run.errors.text().contains("deflate"));
    self::run(&crate::run::url_of(&plain, "/"), &["--compress=zip"], b"").ends_with(2, "dedicated");
    let [level_0, level_10] = ["--compress-level=0", "--compress-level=10"];
    for flags in [["--compress", level_0], ["--compress", level_10]] {
        self::run(&crate::run::url_of(&plain, "/"), &flags, b"").ends_with(2, "1..=9");
    }
}
