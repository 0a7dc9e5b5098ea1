//! What the server asks of a page, and what its answers give away.

use std::process::Command;

use crate::common::frame::CLOSE;
use crate::common::http::{get, request};
use crate::common::{Answer, Frame, RawClient, Server, Upgrade};
use crate::tokens::{SECRET, Scratch, token_by, ways};

const PAGES: [&str; 9] =
    ["/", "/chat.js", "/throng.js", "/healthz", "/readyz", "/metrics", "/ws", "/echo", "/nowhere"];

fn ask(server: &Server, bytes: impl AsRef<[u8]>) -> Answer {
    let mut client = RawClient::connect(server);
    client.send(bytes);
    client.read_answer(false)
}

/// Browsers ask nobody before they open a WebSocket: whichever path it is, the server must look.
#[test]
fn rule_4_every_upgrade_asks_for_the_origin() {
    let server = Server::serve(&[]);
    for path in ["/", "/ws", "/echo", "/ws?room=r&name=ann", "/echo?"] {
        let from = |origin: &str| Upgrade::new(path).header("Origin", origin);
        assert_eq!(ask(&server, from("http://localhost").bytes()).status, 101, "{path}");
        for origin in ["http://evil.example", "https://localhost", "http://localhost:81", "null"] {
            let answer = ask(&server, from(origin).bytes());
            assert_eq!(answer.status, 403, "{path} {origin}");
            assert!(String::from_utf8_lossy(&answer.body).contains("forbidden_origin"));
        }
    }
}

/// A sibling is of the same site to a browser, which sends it the cookie, and of another origin.
#[test]
fn rule_5_a_sibling_has_no_use_of_the_cookie() {
    let file = Scratch::new(SECRET);
    let server = Server::serve(&["--jwt-secret-file", file.path(), "--require-token"]);
    let cookie = format!("token={}", token_by(SECRET, 60));
    let from = |origin: &str| {
        let upgrade = Upgrade::new("/ws").replace("Host", "app.example.com");
        upgrade.header("Origin", origin).header("Cookie", &cookie)
    };
    assert_eq!(ask(&server, from("http://app.example.com").bytes()).status, 101);
    for origin in ["http://blog.example.com", "http://example.com", "http://a.app.example.com"] {
        assert_eq!(ask(&server, from(origin).bytes()).status, 403, "{origin}");
    }
    // Who is no page has no use of it either.
    let alone = Upgrade::new("/ws").header("Cookie", &cookie);
    assert_eq!(ask(&server, alone.bytes()).status, 403);
}

#[test]
fn rule_6_no_cookie_is_ever_set() {
    let file = Scratch::new(SECRET);
    let server = Server::serve(&["--jwt-secret-file", file.path()]);
    let mut requests: Vec<_> = PAGES.map(get).into();
    for token in [token_by(SECRET, 60), "none".into()] {
        requests.extend(ways("/ws", &token).iter().map(Upgrade::bytes));
    }
    for request in requests {
        let answer = ask(&server, &request);
        let said = String::from_utf8_lossy(&request).into_owned();
        assert_eq!(answer.only("set-cookie"), None, "{said}");
    }
}

/// Tokens and messages on plain HTTP are for this machine and for a proxy on it, unless told else.
#[test]
fn rule_19_by_default_only_this_machine_is_served() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throng"));
    let help = command.args(["serve", "--help"]).output().expect("the program");
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    let listen = help.split("--listen").nth(1).expect("the option");
    let listen = listen.split("--").next().expect("what is said of it");
    assert!(listen.contains("[default: 127.0.0.1:"), "{listen}");
}

/// Words that only who has written the program would know.
const INTERNALS: [&str; 12] = [
    "src/",
    ".rs",
    "panicked",
    "unwrap",
    "os error",
    "jsonwebtoken",
    "serde",
    "Some(",
    "Err(",
    "/tmp",
    "thread",
    "0x",
];

fn gives_nothing_away(case: &str, text: &str, path: &str) {
    let own = [path, SECRET];
    let words = INTERNALS.iter().chain(&own);
    let told: Vec<_> = words.filter(|word| text.contains(**word)).collect();
    assert!(told.is_empty(), "{case}: {told:?} in {text}");
    let version = concat!("throng/", env!("CARGO_PKG_VERSION"));
    assert!(!text.contains(version) && !text.contains("throng 0."), "{case}: {text}");
}

#[test]
fn rule_22_answers_and_close_reasons_tell_no_internals() {
    let file = Scratch::new(SECRET);
    let server = Server::serve(&["--jwt-secret-file", file.path()]);
    let mut requests: Vec<_> = vec![
        request("POST", "/"),
        request("DELETE", "/ws"),
        get("/nowhere"),
        get("/ws"),
        b"NONSENSE\r\n\r\n".to_vec(),
        b"GET / HTTP/3.0\r\nHost: a\r\n\r\n".to_vec(),
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n".to_vec(),
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n".to_vec(),
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20_000)).into_bytes(),
        Upgrade::new("/ws?room=%00").bytes(),
        Upgrade::new("/nowhere").bytes(),
        Upgrade::new("/ws").replace("Sec-WebSocket-Version", "8").bytes(),
        Upgrade::new("/ws").replace("Sec-WebSocket-Key", "x").bytes(),
        Upgrade::new("/ws").header("Sec-WebSocket-Extensions", "permessage-deflate; =").bytes(),
        Upgrade::new("/ws").header("Origin", "http://evil.example").bytes(),
    ];
    for token in [token_by("another-secret-that-is-long-enough-too", 60), "a.b.c".into()] {
        requests.extend(ways("/ws", &token).iter().map(Upgrade::bytes));
    }
    for request in requests {
        let case = String::from_utf8_lossy(&request).into_owned();
        let mut client = RawClient::connect(&server);
        client.send(&request);
        let answer = client.read_answer(false);
        assert!(answer.status >= 400, "{case:.200}: {answer:?}");
        let body = String::from_utf8(answer.body.clone()).expect("an answer in UTF-8");
        let head: String = answer.headers.iter().map(|(_, value)| value.as_str()).collect();
        gives_nothing_away(&case, &format!("{body}{head}"), file.path());
    }
    for breach in [
        Frame::new(3, "x"),
        Frame::text([0xff, 0xfe]),
        Frame::text("x").rsv(2),
        Frame::text("x").unmasked(),
        Frame::continuation("x"),
        Frame::ping([0; 126]),
        Frame::close(1005, ""),
        Frame::binary("").declare(1 << 40),
        Frame::binary("x"),
    ] {
        let mut client = RawClient::open(&server, "/ws");
        client.send(breach.bytes());
        let mut frame = client.read_frame();
        while frame.opcode != CLOSE {
            frame = client.read_frame();
        }
        let reason = String::from_utf8(frame.payload[2..].to_vec()).expect("a reason in UTF-8");
        gives_nothing_away("a breach", &reason, file.path());
    }
}
