//! Rows 1 to 10, 20 to 22 and 98: the opening handshake, line by line.

use crate::common::http::{Answer, Upgrade, accept_for};
use crate::common::random::Random;
use crate::common::{RawClient, Server, each_chunking, each_cut, eventually, exchange};

/// `request` is refused with one of `statuses`; what is glued behind it is never looked at.
pub fn refused(server: &Server, name: &str, request: &[u8], statuses: &[u16]) -> Answer {
    let mut last = None;
    each_chunking(|chunking| {
        let mut client = RawClient::connect(server);
        client.note(format!("{name}, {chunking:?}"));
        client.send_chunked(request, chunking);
        last = Some(client.expect_refusal(statuses));
    });
    last.expect("there are three chunkings")
}

/// `request` opens a connection that works.
pub fn accepted(server: &Server, name: &str, request: &[u8]) -> Answer {
    let mut last = None;
    each_chunking(|chunking| {
        let mut client = RawClient::connect(server);
        client.note(format!("{name}, {chunking:?}"));
        client.send_chunked(request, chunking);
        last = Some(client.expect_upgrade());
        client.expect_open();
    });
    last.expect("there are three chunkings")
}

pub fn upgrade() -> Upgrade {
    Upgrade::new("/")
}

/// The known vector (RFC 6455, 1.3): the tests' own hash is right, so it may judge the server.
#[test]
fn the_accept_check_itself_is_right() {
    use crate::common::http::{ACCEPT, KEY};
    assert_eq!(accept_for(KEY), ACCEPT);
    assert_ne!(accept_for("dGhlIHNhbXBsZSBub25jZg=="), ACCEPT);
}

#[test]
fn row_001_only_get_with_http_1_1() {
    let server = Server::echo(&[]);
    for method in ["POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "get", "GETT"] {
        let request = upgrade().method(method).bytes();
        each_chunking(|chunking| {
            let mut client = RawClient::connect(&server);
            client.note(method);
            client.send_chunked(&request, chunking);
            let answer = client.read_answer(method == "HEAD");
            assert_eq!(answer.status, 405, "{method}: {answer:?}");
            assert!(answer.has_token("allow", "GET"), "{method}: {answer:?}");
        });
    }
    refused(&server, "HTTP/1.0", &upgrade().version("HTTP/1.0").bytes(), &[400]);
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/3.0", "HTTP/0.9"] {
        refused(&server, version, &upgrade().version(version).bytes(), &[505]);
    }
    for version in ["http/1.1", "HTTP/1.", "HTTP/11", "HTTPS/1.1", "1.1"] {
        refused(&server, version, &upgrade().version(version).bytes(), &[400, 505]);
    }
}

#[test]
fn row_002_grammar_errors_are_refused() {
    let server = Server::echo(&[]);
    let good = String::from_utf8(upgrade().bytes()).expect("ASCII");
    let bad: [(&str, &str, &str); 14] = [
        ("two blanks in the request line", "GET / ", "GET  / "),
        ("no target", "GET / HTTP/1.1", "GET HTTP/1.1"),
        ("a blank in the target", "GET / ", "GET /a b "),
        ("a blank after the version", "HTTP/1.1\r\n", "HTTP/1.1 \r\n"),
        ("no colon", "Upgrade: websocket", "Upgrade websocket"),
        ("a blank before the colon", "Upgrade: websocket", "Upgrade : websocket"),
        ("an empty name", "Upgrade: websocket", ": x\r\nUpgrade: websocket"),
        ("a blank before a name", "Upgrade: websocket", " Upgrade: websocket"),
        ("a folded line", "Upgrade: websocket", "X: a\r\n b\r\nUpgrade: websocket"),
        ("NUL in a value", "Upgrade: websocket", "X: a\0b\r\nUpgrade: websocket"),
        ("a lone LF", "websocket\r\n", "websocket\n"),
        ("a lone CR", "Host: localhost", "Host: local\rhost"),
        ("a control byte in a name", "Upgrade: ", "X\x01: a\r\nUpgrade: "),
        ("a fragment in the target", "GET / ", "GET /#top "),
    ];
    for (name, from, to) in bad {
        let request = good.replacen(from, to, 1);
        assert_ne!(request, good, "{name}");
        refused(&server, name, request.as_bytes(), &[400]);
    }
    refused(&server, "no version", b"GET /\r\n\r\n", &[400, 505]);
    refused(&server, "another protocol", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", &[400]);
    refused(&server, "a TLS hello", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n\r\n", &[400]);
}

#[test]
fn row_003_host_exactly_once() {
    let server = Server::echo(&[]);
    refused(&server, "no Host", &upgrade().without("Host").bytes(), &[400]);
    refused(&server, "the same twice", &upgrade().header("Host", "localhost").bytes(), &[400]);
    refused(&server, "two hosts", &upgrade().header("Host", "elsewhere").bytes(), &[400]);
    for host in ["a b", "a/b", "user@host", "a,b", "host:80:80", "host:port", "ho\u{7f}st"] {
        refused(&server, host, &upgrade().replace("Host", host).bytes(), &[400]);
    }
    for host in ["localhost:8080", "127.0.0.1", "[::1]:9001", "example.org"] {
        accepted(&server, host, &upgrade().replace("Host", host).bytes());
    }
}

#[test]
fn row_004_upgrade_contains_websocket() {
    let server = Server::echo(&[]);
    for value in ["WebSocket", "WEBSOCKET", "foo, websocket", "websocket , foo", "\twebsocket "] {
        accepted(&server, value, &upgrade().replace("Upgrade", value).bytes());
    }
    let lines = upgrade().replace("Upgrade", "h2c").header("Upgrade", "websocket");
    accepted(&server, "on the second line", &lines.bytes());
    refused(&server, "no Upgrade", &upgrade().without("Upgrade").bytes(), &[400, 426]);
    for value in ["websockets", "xwebsocket", "web socket", "h2c", "", "websocket/13"] {
        refused(&server, value, &upgrade().replace("Upgrade", value).bytes(), &[400, 426]);
    }
}

#[test]
fn row_005_connection_has_the_token_upgrade() {
    let server = Server::echo(&[]);
    for value in ["upgrade", "UPGRADE", "keep-alive, Upgrade", "Upgrade,keep-alive", ", upgrade,"] {
        accepted(&server, value, &upgrade().replace("Connection", value).bytes());
    }
    let lines = upgrade().replace("Connection", "keep-alive").header("Connection", "upgrade");
    accepted(&server, "on the second line", &lines.bytes());
    refused(&server, "no Connection", &upgrade().without("Connection").bytes(), &[400]);
    for value in ["keep-alive", "close", "Upgraded", "x-upgrade", "up grade", "", "\"upgrade\""] {
        refused(&server, value, &upgrade().replace("Connection", value).bytes(), &[400]);
    }
}

#[test]
fn row_006_key_once_and_of_16_bytes() {
    let server = Server::echo(&[]);
    let name = "Sec-WebSocket-Key";
    refused(&server, "no key", &upgrade().without(name).bytes(), &[400]);
    let again = upgrade().header(name, "AAAAAAAAAAAAAAAAAAAAAA==");
    refused(&server, "two keys", &again.bytes(), &[400]);
    let same = upgrade().header(name, "dGhlIHNhbXBsZSBub25jZQ==");
    refused(&server, "the same key twice", &same.bytes(), &[400]);
    let bad = [
        "",
        "=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZXg=",
        "dGhlIHNhbXBsZSBub25jZXh5",
        "dGhlIHNhbXBsZSBub25jZ!==",
        "dGhlIHNhb BsZSBub25jZQ==",
        "-_hlIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25jZQ==, AAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ];
    for key in bad {
        refused(&server, key, &upgrade().replace(name, key).bytes(), &[400]);
    }
}

#[test]
fn row_007_other_versions_are_refused() {
    let server = Server::echo(&[]);
    let name = "Sec-WebSocket-Version";
    let answer = refused(&server, "no version", &upgrade().without(name).bytes(), &[426]);
    assert_eq!(answer.only("sec-websocket-version"), Some("13"));
    for version in ["0", "7", "8", "12", "14", "113", "130", "255"] {
        let request = upgrade().replace(name, version).bytes();
        let answer = refused(&server, version, &request, &[426]);
        assert_eq!(answer.only("sec-websocket-version"), Some("13"), "{version}");
        assert!(answer.has_token("upgrade", "websocket"), "{version}: {answer:?}");
    }
    for version in ["", "013", "+13", "13.0", "13, 8", "8, 13", "thirteen", "256"] {
        refused(&server, version, &upgrade().replace(name, version).bytes(), &[400, 426]);
    }
    let twice = upgrade().header(name, "8");
    refused(&server, "two versions", &twice.bytes(), &[400, 426]);
}

#[test]
fn row_008_the_refusal_lists_what_is_accepted() {
    let server = Server::echo(&[]);
    let name = "Sec-WebSocket-Version";
    let answer = refused(&server, "8", &upgrade().replace(name, "8").bytes(), &[426]);
    let listed: Vec<String> = answer
        .all("sec-websocket-version")
        .join(",")
        .split(',')
        .map(|version| version.trim().to_owned())
        .collect();
    assert_eq!(listed, ["13"]);
    for version in &listed {
        accepted(&server, version, &upgrade().replace(name, version).bytes());
    }
    for other in 0..=20 {
        let other = other.to_string();
        if !listed.contains(&other) {
            let mut client = RawClient::connect(&server);
            client.send(upgrade().replace(name, &other).bytes());
            client.expect_refusal(&[426]);
        }
    }
}

#[test]
fn row_009_an_origin_that_is_not_accepted_is_403() {
    each_cut(|| {
        let server = Server::serve(&[]);
        for origin in ["http://evil.example", "https://localhost", "null"] {
            let mut client = RawClient::connect(&server);
            client.note(origin);
            client.send(Upgrade::new("/ws").header("Origin", origin).bytes());
            client.expect_answer(403);
        }
    });
}

#[test]
fn row_098_a_server_for_certain_sites_answers_others_403() {
    each_cut(|| {
        let server = Server::serve(&["--allow-origin", "https://app.example.com"]);
        for (origin, status) in [
            ("https://app.example.com", 101),
            ("http://localhost", 101), // its own page
            ("https://app.example.com.evil.example", 403),
            ("http://app.example.com", 403),
            ("https://app.example.com:8443", 403),
        ] {
            let mut client = RawClient::connect(&server);
            client.note(origin);
            client.send(Upgrade::new("/ws").header("Origin", origin).bytes());
            assert_eq!(client.read_answer(false).status, status, "{origin}");
        }
    });
}

#[test]
fn row_010_unknown_resource_is_404() {
    let server = Server::serve(&[]);
    for path in ["/nowhere", "/ws/", "/ws/x", "/echoes", "/WS", "/healthz/ws", "//", "/.", "/%00"] {
        each_chunking(|chunking| {
            let mut client = RawClient::connect(&server);
            client.note(format!("{path}, {chunking:?}"));
            client.send_chunked(&Upgrade::new(path).bytes(), chunking);
            let answer = client.read_answer(false);
            let refused = answer.status == 404 || (path == "/%00" && answer.status == 400);
            assert!(refused, "{path}: {answer:?}");
        });
    }
    let mut client = RawClient::open(&server, "/echo");
    client.expect_open();
}

#[test]
fn row_013_the_answer_is_101_upgrade_websocket() {
    let server = Server::echo(&[]);
    let answer = accepted(&server, "plain", &upgrade().bytes());
    assert_eq!(answer.status, 101);
    assert_eq!(answer.only("upgrade").map(str::to_ascii_lowercase).as_deref(), Some("websocket"));
    assert!(answer.has_token("connection", "upgrade"));
    assert_eq!(answer.only("content-length"), None, "a 101 has no body");
    assert_eq!(answer.only("transfer-encoding"), None, "a 101 has no body");
}

#[test]
fn row_014_accept_is_the_hash_of_the_key() {
    use base64::Engine;
    let server = Server::echo(&[]);
    let mut random = Random::new(14);
    for _ in 0..20 {
        let mut key = [0; 24];
        let nonce = random.bytes(16);
        let written = base64::engine::general_purpose::STANDARD.encode_slice(nonce, &mut key);
        assert_eq!(written, Ok(24));
        let key = std::str::from_utf8(&key).expect("base64 is ASCII");
        each_chunking(|chunking| {
            let mut client = RawClient::connect(&server);
            let request = upgrade().replace("Sec-WebSocket-Key", key);
            client.send_chunked(&request.bytes(), chunking);
            let answer = client.read_answer(false);
            assert_eq!(answer.status, 101, "{key}");
            assert_eq!(answer.only("sec-websocket-accept"), Some(accept_for(key).as_str()));
        });
    }
}

#[test]
fn row_016_header_names_without_case_in_any_order() {
    let server = Server::echo(&[]);
    let text = String::from_utf8(upgrade().bytes()).expect("ASCII");
    let (line, headers) = text.trim_end().split_once("\r\n").expect("a request line");
    let headers: Vec<&str> = headers.split("\r\n").collect();
    for turn in 0..headers.len() {
        let mut order = headers.clone();
        order.rotate_left(turn);
        for reversed in [false, true] {
            if reversed {
                order.reverse();
            }
            let cased = order.iter().enumerate().map(|(index, header)| {
                let (name, value) = header.split_once(':').expect("a colon");
                let upper = (index + turn) % 2 == 0;
                let name = if upper { name.to_uppercase() } else { name.to_lowercase() };
                format!("{name}:{value}\r\n")
            });
            let request = format!("{line}\r\n{}\r\n", cased.collect::<String>());
            accepted(&server, &request, request.as_bytes());
        }
    }
}

#[test]
fn row_020_abort_in_the_handshake_closes() {
    let server = Server::echo(&[]);
    let request = upgrade().bytes();
    let at_rest = server.fds_at_rest();
    for cut in [1, 20, request.len() / 2, request.len() - 1] {
        each_chunking(|chunking| {
            let mut client = RawClient::connect(&server);
            client.note(format!("cut at {cut}, {chunking:?}"));
            client.send_chunked(&request[..cut], chunking);
            client.half_close();
            let answer = client.read_to_end(); // it may say why
            assert!(!answer.starts_with(b"HTTP/1.1 101"), "half a request was accepted");
            let mut client = RawClient::connect(&server);
            client.send_chunked(&request[..cut], chunking);
            client.reset();
        });
    }
    eventually("the sockets are given back", 5.0, || server.fd_count() <= at_rest);
    RawClient::open(&server, "/").expect_open();
}

#[test]
fn row_021_a_body_is_refused_and_never_read_as_frames() {
    use crate::common::Frame;
    let server = Server::echo(&[]);
    let frame = Frame::text("smuggled").bytes();
    let next = upgrade().bytes();
    let length = frame.len().to_string();
    let chunked = [b"f\r\n".to_vec(), frame.clone(), b"\r\n0\r\n\r\n".to_vec()].concat();
    let cases: [(&str, Upgrade, &[u8]); 6] = [
        ("a frame as body", upgrade().header("Content-Length", &length), &frame),
        ("a request as body", upgrade().header("Content-Length", next.len().to_string()), &next),
        ("chunked", upgrade().header("Transfer-Encoding", "chunked"), &chunked),
        ("identity", upgrade().header("Transfer-Encoding", "identity"), &frame),
        ("a bad length", upgrade().header("Content-Length", "+5"), &frame),
        ("a body that never comes", upgrade().header("Content-Length", "100000"), b""),
    ];
    for (name, request, body) in cases {
        refused(&server, name, &[request.bytes(), body.to_vec()].concat(), &[400]);
    }
    accepted(&server, "no body", &upgrade().header("Content-Length", "0").bytes());
    // And the bytes behind a request without a body are frames, at once.
    exchange(&server, "frames", &frame, &[crate::common::Expect::text("smuggled")]);
}

#[test]
fn row_022_requests_are_bounded_in_size_and_time() {
    let server = Server::echo(&["--handshake-timeout", "1"]);
    let long = "a".repeat(9 * 1024);
    refused(&server, "9 KiB target", &Upgrade::new(&format!("/{long}")).bytes(), &[414]);
    let head = upgrade().header("X-Long", "a".repeat(17 * 1024)).bytes();
    refused(&server, "17 KiB head", &head, &[431]);
    let many = (0..200).fold(upgrade(), |request, n| request.header(&format!("X-{n}"), "a"));
    refused(&server, "200 headers", &many.bytes(), &[431]);
    let fitting = upgrade().header("X-Long", "a".repeat(7 * 1024));
    accepted(&server, "7 KiB head", &fitting.bytes());
    let mut slow = Vec::new(); // all at once, as each takes a second
    each_chunking(|chunking| {
        let mut client = RawClient::connect(&server);
        client.note(format!("half a request, {chunking:?}"));
        client.send_chunked(&upgrade().bytes()[..60], chunking);
        slow.push(client);
    });
    for mut client in slow {
        client.expect_refusal(&[408]);
    }
}
