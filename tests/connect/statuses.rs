//! The exit status says what happened, and standard error says it in words.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use crate::common::Server;
use crate::run::{Run, Socket, close, read_to_end, run, serve, url_of};

#[test]
fn usage() {
    for (url, flags, words) in [
        ("ftp://a/", &[][..], "ws://"),
        ("ws://a/#b", &[], "fragment"),
        ("ws://127.0.0.1:1/", &["--header", "none"], "NAME: VALUE"),
        ("ws://127.0.0.1:1/", &["--header", "Upgrade: h2c"], "Upgrade"),
        ("ws://127.0.0.1:1/", &["--timeout", "0"], "more than 0"),
        ("ws://127.0.0.1:1/", &["--retries", "3"], "--reconnect"),
        ("ws://127.0.0.1:1/", &["--proxy", "127.0.0.1"], "proxy"),
    ] {
        run(url, flags, b"").ends_with(2, words);
    }
}

#[test]
fn refused() {
    let server = Server::serve(&[]);
    run(&url_of(&server, "/nowhere"), &[], b"x\n").ends_with(3, "refused: 404 Not Found");
    for (answer, words) in [
        ("", "did not answer"),
        ("SSH-2.0-x\r\n\r\n", "no valid HTTP response"),
        ("HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "Accept"),
        ("HTTP/1.1 401 No\r\nContent-Length: 4\r\n\r\n\x1b[2J", "Unauthorized\n  \\x1b[2J\n"),
        ("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "to /x (see --redir"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("ws://{}/", listener.local_addr().expect("an address"));
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        });
        run(&url, &[], b"").ends_with(3, words);
    }
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/", silent.local_addr().expect("an address"));
    run(&url, &["--timeout", "0.3"], b"").ends_with(3, "timed out");
}

#[test]
fn unreachable() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let url = format!("ws://{free}/");
    run(&url, &[], b"").ends_with(4, "cannot be connected to");
    let mut patient = run(&url, &["--reconnect", "--retries", "2"], b"");
    patient.ends_with(4, "(attempt 2)");
    assert_eq!(patient.errors.text().matches("connecting again").count(), 2);
    run("ws://nowhere.invalid/", &[], b"").ends_with(4, "cannot be resolved");
}

#[test]
fn closed_by_the_server() {
    for (script, status, words) in [
        (
            (|socket| close(socket, 1000, "bye")) as fn(Socket),
            0,
            "server: 1000 (normal closure): bye",
        ),
        (|socket| close(socket, 1001, ""), 0, "server: 1001 (going away)\n"),
        (|socket| close(socket, 1011, "a\x1b[2Jb"), 1, "(internal error): a\\x1b[2Jb\n"),
        (|socket| close(socket, 4321, ""), 1, "4321 (a code of the application)"),
        (|mut socket| drop(socket.close(None).map(|()| read_to_end(socket))), 0, "no code"),
        (drop, 1, "the connection was lost"),
    ] {
        let (url, _server) = serve(vec![script]);
        let (mut run, _stdin) = Run::piped(&url, &[]);
        run.ends_with(status, words);
    }
}

#[test]
fn a_server_without_a_sign_of_life_is_given_up() {
    let (url, _server) = serve(vec![|socket| {
        thread::sleep(Duration::from_secs(10));
        drop(socket);
    }]);
    let (mut run, _stdin) = Run::piped(&url, &["--ping-interval", "0.2"]);
    run.ends_with(1, "sign of life");

    let server = Server::echo(&[]);
    let (mut run, stdin) = Run::piped(&url_of(&server, "/"), &["--ping-interval", "0.1"]);
    thread::sleep(Duration::from_millis(600));
    drop(stdin);
    run.ends_with(0, "closed: 1000");
    assert!(!run.errors.text().contains("pong"), "nobody asked for it");
}

#[test]
fn signals() {
    for (name, status) in [("INT", 130), ("TERM", 143)] {
        let (url, server) = serve(vec![|socket| assert_eq!(read_to_end(socket), Some(1001))]);
        let (mut run, _stdin) = Run::piped(&url, &[]);
        run.errors.wait_for(&["connected"]);
        run.signal(name);
        run.ends_with(status, "closed: 1001");
        server.join().expect("the server is content");
    }
}
