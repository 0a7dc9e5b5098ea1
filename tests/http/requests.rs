//! Plain requests: routes, methods, limits, connections that are kept.

use std::time::{Duration, Instant};

use crate::common::http::{Upgrade, get, request};
use crate::common::{Chunking, Expect, Frame, RawClient, Server, each_chunking};

const OPEN: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n";

#[test]
fn a_plain_get_on_echo_is_told_to_upgrade() {
    let server = Server::echo(&[]);
    for path in ["/", "/anything", "/a/b?c=d"] {
        each_chunking(|chunking| {
            let mut client = RawClient::connect(&server);
            client.send_chunked(&get(path), chunking);
            let answer = client.read_answer(false);
            assert_eq!(answer.status, 426, "{answer:?}");
            assert!(answer.has_token("upgrade", "websocket"), "{answer:?}");
            assert_eq!(answer.only("sec-websocket-version"), Some("13"));
        });
    }
}

#[test]
fn a_plain_get_on_ws_and_echo_of_serve_is_426() {
    let server = Server::serve(&[]);
    for path in ["/ws", "/echo", "/ws?room=a"] {
        let mut client = RawClient::connect(&server);
        client.send(get(path));
        let answer = client.expect_answer(426);
        assert!(answer.has_token("upgrade", "websocket"), "{answer:?}");
        assert_eq!(answer.only("sec-websocket-version"), Some("13"));
    }
}

#[test]
fn the_chat_page_and_its_head() {
    let server = Server::serve(&[]);
    each_chunking(|chunking| {
        let mut client = RawClient::connect(&server);
        client.send_chunked(&get("/"), chunking);
        let page = client.read_answer(false);
        assert_eq!(page.status, 200, "{page:?}");
        let kind = page.only("content-type").expect("a Content-Type");
        assert!(kind.starts_with("text/html"), "{kind}");
        assert!(page.body.starts_with(b"<!"), "an HTML page");
        let mut client = RawClient::connect(&server);
        client.send_chunked(&[request("HEAD", "/"), get("/healthz")].concat(), chunking);
        let head = client.read_answer(true);
        assert_eq!(head.status, 200);
        assert_eq!(head.only("content-length"), page.only("content-length"));
        assert_eq!(head.only("content-type"), page.only("content-type"));
        assert_eq!(
            client.read_answer(false).body.trim_ascii(),
            b"ok",
            "no body came with the head"
        );
    });
}

#[test]
fn health_unknown_paths_and_methods() {
    let server = Server::serve(&[]);
    let mut client = RawClient::connect(&server);
    client.send(get("/healthz"));
    let answer = client.read_answer(false);
    assert_eq!((answer.status, answer.body.trim_ascii()), (200, &b"ok"[..]));
    for path in ["/nothing", "/healthz/", "/healthz/x", "/index.htm", "/ws/", "/../healthz"] {
        let mut client = RawClient::connect(&server);
        client.note(path);
        client.send(get(path));
        client.expect_answer(404);
    }
    for path in ["/", "/healthz", "/ws", "/echo"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
            let mut client = RawClient::connect(&server);
            client.note(format!("{method} {path}"));
            client.send(request(method, path));
            let answer = client.expect_answer(405);
            assert!(answer.has_token("allow", "GET"), "{method} {path}: {answer:?}");
        }
    }
}

#[test]
fn a_connection_is_kept_for_more_requests() {
    let server = Server::serve(&[]);
    each_chunking(|chunking| {
        let mut client = RawClient::connect(&server);
        for _ in 0..20 {
            client.send_chunked(&get("/healthz"), chunking);
            assert_eq!(client.read_answer(false).status, 200);
            client.send_chunked(&get("/nothing"), chunking);
            assert_eq!(client.read_answer(false).status, 404);
        }
        client.send_chunked(format!("{OPEN}Connection: close\r\n\r\n").as_bytes(), chunking);
        let last = client.read_answer(false);
        assert!(last.has_token("connection", "close"), "{last:?}");
        client.expect_eof();
    });
    // HTTP/1.0 is kept only on request.
    let mut client = RawClient::connect(&server);
    client.send("GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(client.read_answer(false).status, 200);
    client.expect_eof();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::serve(&[]);
    let paths = [("/healthz", 200), ("/nothing", 404), ("/", 200)];
    let one_round: Vec<u8> = paths.iter().flat_map(|(path, _)| get(path)).collect();
    each_chunking(|chunking| {
        let mut client = RawClient::connect(&server);
        client.note(format!("{chunking:?}"));
        client.send_chunked(&one_round.repeat(5), chunking);
        for (path, status) in paths.iter().cycle().take(paths.len() * 5) {
            assert_eq!(client.read_answer(false).status, *status, "{path}");
        }
        client.expect_silence(Duration::from_millis(20));
    });
}

#[test]
fn requests_an_upgrade_and_frames_in_one_stream() {
    let server = Server::serve(&[]);
    let stream = [
        get("/healthz"),
        get("/nothing"),
        Upgrade::new("/echo").bytes(),
        Frame::text("first").bytes(),
        Frame::ping("p").bytes(),
        Frame::close(1000, "").bytes(),
    ];
    each_chunking(|chunking| {
        let mut client = RawClient::connect(&server);
        client.note(format!("{chunking:?}"));
        client.send_chunked(&stream.concat(), chunking);
        assert_eq!(client.read_answer(false).status, 200);
        assert_eq!(client.read_answer(false).status, 404);
        client.expect_upgrade();
        client.expect(&Expect::text("first"));
        client.expect(&Expect::pong("p"));
        client.expect_close(1000);
    });
}

#[test]
fn many_frames_glued_to_the_upgrade_request() {
    let server = Server::echo(&[]);
    let large = vec![b'x'; 200_000];
    let mut stream = Upgrade::new("/").bytes();
    for n in 0..300 {
        stream.extend(Frame::text(format!("message {n}")).bytes());
    }
    stream.extend(Frame::binary(&large).bytes());
    each_chunking(|chunking| {
        let mut client = RawClient::connect(&server);
        client.note(format!("{chunking:?}"));
        client.send_chunked(&stream, chunking);
        client.expect_upgrade();
        for n in 0..300 {
            client.expect(&Expect::text(format!("message {n}")));
        }
        client.expect(&Expect::binary(&large));
        client.expect_open();
    });
}

#[test]
fn a_target_in_absolute_form_is_its_path() {
    let server = Server::serve(&[]);
    let absolute = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let cases = [
        ("http://localhost/healthz", 200),
        ("http://localhost/healthz?x=1", 200),
        ("HTTP://localhost/healthz", 200),
        ("http://localhost/nothing", 404),
        ("http://localhost/", 200),
        ("http://localhost", 200),
        ("http:///healthz", 400),
        ("ftp://localhost/healthz", 400),
        ("localhost/healthz", 400),
        ("http://user@localhost/healthz", 400),
    ];
    for (target, status) in cases {
        each_chunking(|chunking| {
            let mut client = RawClient::connect(&server);
            client.note(target);
            client.send_chunked(absolute(target).as_bytes(), chunking);
            client.expect_answer(status);
        });
    }
    for scheme in ["http", "ws"] {
        let mut client = RawClient::open(&server, &format!("{scheme}://localhost/echo"));
        client.expect_open();
    }
}

#[test]
fn an_empty_line_before_a_request_is_forgiven() {
    let server = Server::serve(&[]);
    each_chunking(|chunking| {
        let mut client = RawClient::connect(&server);
        client.send_chunked(&[b"\r\n".to_vec(), get("/healthz")].concat(), chunking);
        assert_eq!(client.read_answer(false).status, 200);
    });
}

#[test]
fn heads_and_targets_over_the_limit() {
    let server = Server::serve(&[]);
    let cases = [
        (get(&format!("/{}", "a".repeat(8 * 1024 + 64))), 414),
        (get(&format!("/{}", "a".repeat(15 * 1024))), 414),
        (format!("{OPEN}X: {}\r\n\r\n", "a".repeat(16 * 1024)).into_bytes(), 431),
        (format!("{OPEN}{}\r\n", "X: a\r\n".repeat(200)).into_bytes(), 431),
        (format!("{OPEN}{}: a\r\n\r\n", "X".repeat(16 * 1024)).into_bytes(), 431),
    ];
    for (head, status) in &cases {
        each_chunking(|chunking| {
            let mut client = RawClient::connect(&server);
            client.note(format!("{status}, {} bytes, {chunking:?}", head.len()));
            client.send_chunked(head, chunking);
            client.expect_refusal(&[*status]);
        });
    }
    let mut client = RawClient::connect(&server);
    client.send(get(&format!("/{}", "a".repeat(7 * 1024))));
    assert_eq!(client.read_answer(false).status, 404, "7 KiB of target are within the limit");
}

#[test]
fn a_head_that_is_too_slow_is_408() {
    let server = Server::serve(&["--handshake-timeout", "1"]);
    let started = Instant::now();
    let starts = ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\n"];
    let mut clients = starts.map(|start| {
        let mut client = RawClient::connect(&server);
        client.note(format!("{start:?}"));
        client.send(start);
        client
    });
    for client in &mut clients {
        client.expect_refusal(&[408]);
    }
    let took = started.elapsed().as_secs_f64();
    assert!((0.9..4.0).contains(&took), "the deadline of 1 s came after {took} s");
}

#[test]
fn versions_that_are_not_spoken_are_505() {
    let server = Server::serve(&[]);
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/3.0"] {
        let mut client = RawClient::connect(&server);
        client.note(version);
        client.send(format!("GET /healthz {version}\r\nHost: localhost\r\n\r\n"));
        client.expect_refusal(&[505]);
    }
    // What an HTTP/2 client says first.
    let mut client = RawClient::connect(&server);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.expect_refusal(&[400, 505]);
}

#[test]
fn an_error_can_be_read_while_the_client_still_sends() {
    let server = Server::serve(&[]);
    let megabyte = vec![b'a'; 1 << 20];
    let cases: [(&str, String, u16); 3] = [
        ("a head without end", format!("{OPEN}X: "), 431),
        ("a target without end", "GET /".to_owned(), 414),
        (
            "a body on an upgrade",
            {
                let upgrade = Upgrade::new("/ws").header("Content-Length", "1048576");
                String::from_utf8(upgrade.bytes()).expect("ASCII")
            },
            400,
        ),
    ];
    for (name, start, status) in &cases {
        let mut client = RawClient::connect(&server);
        client.note(name);
        let mut sender = RawClient::on(client.stream.try_clone().expect("a second handle"));
        let bytes = [start.as_bytes(), &megabyte].concat();
        let writer = std::thread::spawn(move || sender.try_send(&bytes, Chunking::Random(3)));
        client.expect_refusal(&[*status]);
        let sent = writer.join().expect("the writer ends");
        assert!(sent.is_ok(), "{name}: {sent:?}");
    }
}

#[test]
fn a_request_body_is_not_the_next_request() {
    let server = Server::serve(&[]);
    let inner = get("/healthz");
    let head = format!(
        "POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        inner.len()
    );
    each_chunking(|chunking| {
        let mut client = RawClient::connect(&server);
        client.note(format!("{chunking:?}"));
        client.send_chunked(&[head.as_bytes(), &inner].concat(), chunking);
        let answer = client.read_answer(false);
        assert!(matches!(answer.status, 404 | 405 | 413), "{answer:?}");
        if answer.has_token("connection", "close") {
            client.expect_eof();
        } else {
            client.expect_silence(Duration::from_millis(50)); // no answer to the body
        }
    });
}
