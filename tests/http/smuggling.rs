//! Class A8: requests that two programs would read differently. Each is refused with 4xx and the
//! connection is closed, so that nothing glued behind it is ever taken for a request.

use crate::common::http::{Upgrade, get};
use crate::common::{Frame, RawClient, Server, each_chunking};

/// Refused once, and what follows is neither a request nor a frame.
fn refused_and_closed(server: &Server, name: &str, request: &[u8]) {
    let behind = [get("/healthz"), Upgrade::new("/echo").bytes(), Frame::text("x").bytes()];
    let bytes = [request.to_vec(), behind.concat()].concat();
    each_chunking(|chunking| {
        let mut client = RawClient::connect(server);
        client.note(format!("{name}, {chunking:?}"));
        client.send_chunked(&bytes, chunking);
        client.expect_refusal(&[400, 426, 501, 505]);
    });
}

/// Header lines that spoil any request, plain or upgrade.
const SPOILERS: [(&str, &str); 26] = [
    ("two hosts", "Host: elsewhere\r\n"),
    ("the same host again", "Host: localhost\r\n"),
    ("length twice", "Content-Length: 5\r\nContent-Length: 6\r\n"),
    ("the same length twice", "Content-Length: 5\r\nContent-Length: 5\r\n"),
    ("a list of lengths", "Content-Length: 5, 5\r\n"),
    ("length and chunked", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    ("chunked and length", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
    ("a signed length", "Content-Length: +5\r\n"),
    ("a negative length", "Content-Length: -5\r\n"),
    ("a hexadecimal length", "Content-Length: 0x5\r\n"),
    ("a blank in the length", "Content-Length: 5 5\r\n"),
    ("an empty length", "Content-Length: \r\n"),
    ("a length over 64 bits", "Content-Length: 99999999999999999999\r\n"),
    ("a blank before the colon", "Content-Length : 5\r\n"),
    ("a tab before the colon", "Transfer-Encoding\t: chunked\r\n"),
    ("a folded value", "X: a\r\n Content-Length: 5\r\n"),
    ("a value folded by a tab", "X: a\r\n\tb\r\n"),
    ("a bare LF", "X: a\nContent-Length: 5\r\n"),
    ("a bare CR", "X: a\rContent-Length: 5\r\n"),
    ("NUL in a value", "X: a\0b\r\n"),
    ("NUL in a name", "X\0Y: a\r\n"),
    ("DEL in a value", "X: a\u{7f}b\r\n"),
    ("a control byte in a value", "X: a\u{1}b\r\n"),
    ("no colon", "Content-Length 5\r\n"),
    ("no name", ": 5\r\n"),
    ("a name with brackets", "X(Y): a\r\n"),
];

#[test]
fn a8_spoilt_header_lines() {
    let server = Server::serve(&[]);
    for (name, spoiler) in SPOILERS {
        let plain = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{spoiler}\r\n");
        refused_and_closed(&server, name, plain.as_bytes());
        let upgrade = String::from_utf8(Upgrade::new("/echo").bytes()).expect("ASCII");
        let upgrade =
            upgrade.replacen("Host: localhost\r\n", &format!("Host: localhost\r\n{spoiler}"), 1);
        refused_and_closed(&server, &format!("upgrade with {name}"), upgrade.as_bytes());
    }
}

#[test]
fn a8_spoilt_request_lines() {
    let server = Server::serve(&[]);
    let lines: [(&str, &[u8]); 17] = [
        ("two blanks", b"GET  /healthz HTTP/1.1"),
        ("a tab", b"GET\t/healthz HTTP/1.1"),
        ("a blank at the start", b" GET /healthz HTTP/1.1"),
        ("a blank at the end", b"GET /healthz HTTP/1.1 "),
        ("four words", b"GET /healthz /echo HTTP/1.1"),
        ("no version", b"GET /healthz"),
        ("a version in small letters", b"GET /healthz http/1.1"),
        ("two lines in one", b"GET /healthz HTTP/1.1\rHost: x"),
        ("NUL in the target", b"GET /heal\0thz HTTP/1.1"),
        ("a control byte in the target", b"GET /heal\x01thz HTTP/1.1"),
        ("DEL in the target", b"GET /heal\x7fthz HTTP/1.1"),
        ("not ASCII in the target", b"GET /h\xc3\xa9 HTTP/1.1"),
        ("a fragment", b"GET /healthz#x HTTP/1.1"),
        ("no slash", b"GET healthz HTTP/1.1"),
        ("an asterisk", b"GET * HTTP/1.1"),
        ("a method that is no token", b"G@T /healthz HTTP/1.1"),
        ("an empty target", b"GET  HTTP/1.1"),
    ];
    for (name, line) in lines {
        let request = [line, b"\r\nHost: localhost\r\n\r\n"].concat();
        refused_and_closed(&server, name, &request);
    }
}

#[test]
fn a8_bodies_on_upgrades() {
    let server = Server::serve(&[]);
    let cases = [
        ("a body", vec![("Content-Length", "5")]),
        ("chunked", vec![("Transfer-Encoding", "chunked")]),
        ("chunked in capitals", vec![("TRANSFER-ENCODING", "CHUNKED")]),
        ("identity", vec![("Transfer-Encoding", "identity")]),
        ("gzip, chunked", vec![("Transfer-Encoding", "gzip, chunked")]),
        ("chunked twice", vec![("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")]),
        ("xchunked", vec![("Transfer-Encoding", "xchunked")]),
        ("an empty coding", vec![("Transfer-Encoding", "")]),
    ];
    for (name, headers) in cases {
        let upgrade = Upgrade::new("/echo");
        let request = headers.iter().fold(upgrade, |all, (name, value)| all.header(name, value));
        refused_and_closed(&server, name, &request.bytes());
    }
}

#[test]
fn a8_one_path_in_other_clothes() {
    let server = Server::serve(&[]);
    let paths = [
        "//echo",
        "/./echo",
        "/x/../echo",
        "/echo/",
        "/echo/.",
        "/%2fecho",
        "/echo%2f",
        "/echo%00",
        "/%2e/echo",
        "/x/%2e%2e/echo",
        "/echo;x",
        "/ECHO",
        "/echo%20",
        "/echo%",
        "/%zzecho",
        "/%2565cho",
        "\\echo",
        "/\\echo",
        "/echo\\",
    ];
    for path in paths {
        // Refused, whatever the reason: no other spelling opens the door.
        let mut client = RawClient::connect(&server);
        client.note(path);
        client.send(Upgrade::new(path).bytes());
        let status = client.read_answer(false).status;
        assert!(matches!(status, 400 | 404), "{path}: {status}");
    }
    // An encoded letter is either the letter everywhere or nowhere.
    let mut client = RawClient::connect(&server);
    client.send(get("/ech%6f"));
    let plain = client.read_answer(false).status;
    let mut client = RawClient::connect(&server);
    client.send(Upgrade::new("/ech%6f").bytes());
    let upgrade = client.read_answer(false).status;
    assert!(matches!((plain, upgrade), (426, 101) | (404, 404) | (400, 400)), "{plain} {upgrade}");
}

#[test]
fn a8_old_handshakes_are_not_spoken() {
    let server = Server::echo(&[]);
    let hixie = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\
        Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\
        Origin: http://localhost\r\n\r\n^n:ds[4U";
    let hixie75 = "GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
        Host: localhost\r\nOrigin: http://localhost\r\n\r\n";
    for request in [hixie, hixie75] {
        refused_and_closed(&server, "hixie", request.as_bytes());
    }
    for version in ["4", "5", "6", "7", "8"] {
        let request = Upgrade::new("/").replace("Sec-WebSocket-Version", version).bytes();
        refused_and_closed(&server, &format!("hybi {version}"), &request);
    }
}
