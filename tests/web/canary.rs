//! Web rules 8, 9 and 21: secrets go in by every way there is, and come out nowhere: in no line of
//! the log at its fullest, in no metric, in no answer.

use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::common::http::get;
use crate::common::{Frame, RawClient, Server, Upgrade, eventually};
use crate::tokens::{SECRET, Scratch, token_by, ways};

const API_KEY: &str = "canary-api-key-Wx3-0123456789abcdef";
const WRONG_KEY: &str = "canary-wrong-key-Hd8-0123456789abcdef";
const CONTENT: &str = "canary-content-Kp5";
const REASON: &str = "canary-reason-Lm9";
const GARBAGE: &str = "canary-garbage-Tv2";
/// What a careless hand puts into the secret's file: too short to be one.
const SHORT_SECRET: &str = "canary-short-Yb6";

/// What must be found nowhere, with the words for the complaint.
fn canaries(tokens: &[String]) -> Vec<(String, String)> {
    let mut all: Vec<_> =
        [("the secret", SECRET), ("the API key", API_KEY), ("a message", CONTENT)]
            .iter()
            .chain(&[("a reason", REASON), ("garbage", GARBAGE), ("a bad secret", SHORT_SECRET)])
            .chain(&[("a wrong API key", WRONG_KEY)])
            .map(|(what, text)| ((*what).to_owned(), (*text).to_owned()))
            .collect();
    let bytes: Vec<_> = SECRET.bytes().take(6).map(|byte| byte.to_string()).collect();
    all.push(("the secret, as a list".into(), bytes.join(", ")));
    all.push(("the secret, in base64".into(), STANDARD.encode(SECRET)[..16].to_owned()));
    all.push(("the start of a token".into(), "eyJ".into()));
    for token in tokens {
        for (part, name) in token.split('.').zip(["header", "claims", "signature"]) {
            if part.len() >= 16 {
                // Cut short it is one too.
                all.push((format!("the {name} of {token}"), part[part.len() - 16..].to_owned()));
                all.push((format!("the {name} of {token}"), part[..16].to_owned()));
            }
        }
    }
    all
}

/// The canaries that are in a text.
fn found(canaries: &[(String, String)], text: &str) -> Vec<String> {
    let here = canaries.iter().filter(|(_, canary)| text.contains(canary.as_str()));
    here.map(|(what, _)| what.clone()).collect()
}

fn bad_tokens(good: &str) -> Vec<String> {
    let (message, _) = good.rsplit_once('.').expect("three parts");
    let unsigned = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let claims = message.split('.').nth(1).expect("three parts");
    vec![
        token_by("another-secret-that-is-long-enough-too", 60),
        token_by(SECRET, -60),
        format!("{message}.AAAA"),
        format!("{unsigned}.{claims}."),
        GARBAGE.into(),
        format!("{GARBAGE}.{GARBAGE}.{GARBAGE}"),
    ]
}

/// All that clients were told.
#[derive(Default)]
struct Told(String);

impl Told {
    /// Sends a request, and keeps the answer.
    fn ask(&mut self, server: &Server, bytes: &[u8]) -> (u16, RawClient) {
        let mut client = RawClient::connect(server);
        client.send(bytes);
        let answer = client.read_answer(false);
        self.0.push_str(&format!("{:?} {}", answer, String::from_utf8_lossy(&answer.body)));
        (answer.status, client)
    }

    /// Everything that still comes.
    fn rest(&mut self, mut client: RawClient) {
        while let Some(frame) = client.next_frame(Duration::from_millis(20)) {
            self.0.push_str(&String::from_utf8_lossy(&frame.payload));
        }
    }
}

/// Comes in by every way with each token, speaks, and leaves in every way.
fn come_in(server: &Server, told: &mut Told, good: &str, bad: &[String]) {
    for path in ["/", "/ws", "/echo"] {
        for (number, upgrade) in ways(path, good).iter().enumerate() {
            let (status, mut client) = told.ask(server, &upgrade.bytes());
            assert_eq!(status, 101, "{path}, way {number}");
            let text = format!(r#"{{"type":"text","content":"{CONTENT}","echo":false}}"#);
            client.send(Frame::text(if path == "/echo" { "hi" } else { &text }).bytes());
            client.send(Frame::text(format!("{{{CONTENT}")).bytes());
            match number % 4 {
                0 => client.send(Frame::close(1000, REASON).bytes()),
                1 => client.send(Frame::close(1005, REASON).bytes()),
                2 => client.send(Frame::new(3, CONTENT).bytes()),
                _ => client.send(Frame::text(CONTENT).unfinished().bytes()),
            }
            // An echo is what it is for; what else comes is the server's own word.
            if path == "/echo" { drop(client) } else { told.rest(client) }
        }
        for token in bad {
            for upgrade in ways(path, token) {
                let (status, _) = told.ask(server, &upgrade.bytes());
                assert_eq!(status, 401, "{token}");
            }
        }
    }
}

/// Requests that are broken in other ways, and carry a token or a key.
fn stumble(server: &Server, told: &mut Told, good: &str) {
    let bearer = |secret: &str| format!("Authorization: Bearer {secret}\r\n");
    let with = |start: &str, lines: &str| format!("{start}\r\nHost: localhost\r\n{lines}\r\n");
    for (request, status) in [
        (with(&format!("GET /ws?token={good} HTTP/2.0"), ""), 505),
        (with(&format!("GET /nowhere?token={good} HTTP/1.1"), &bearer(good)), 404),
        (with(&format!("POST /ws?token={good} HTTP/1.1"), &bearer(good)), 405),
        (with(&format!("GET /ws?token={good} HTTP/1.1"), "Upgrade: websocket\r\n"), 400),
        (with("GET /ws HTTP/1.1", &bearer(&format!("{good}\u{1}"))), 400),
        (with("GET /ws HTTP/1.1", &format!("X: {}\r\n{}", "x".repeat(20_000), bearer(good))), 431),
        (with(&format!("GET /ws?token={good}&{} HTTP/1.1", "x".repeat(20_000)), ""), 414),
        (format!("{GARBAGE} {good}\r\n\r\n"), 400),
    ] {
        let (answered, _) = told.ask(server, request.as_bytes());
        // Some of them differ from server to server; that it is a refusal does not.
        assert!(answered >= 400, "{answered}, not {status}: {request:.80}");
    }
    // In the middle of a head, and gone.
    let mut client = RawClient::connect(server);
    client.send(format!("GET /ws?token={good} HTTP/1.1\r\nAuthorization: Bearer {good}"));
    thread::sleep(Duration::from_millis(50));
    client.reset();
}

/// Tokens that come in messages: as the first, and in place of one that is there.
fn say_tokens(server: &Server, told: &mut Told, good: &str, bad: &[String]) {
    let tokens = || bad.iter().map(String::as_str).chain([good]);
    for token in tokens() {
        let mut client = RawClient::open(server, "/ws?room=r");
        client.send(Frame::text(format!(r#"{{"type":"auth","token":"{token}"}}"#)).bytes());
        told.rest(client);
    }
    for token in tokens() {
        let mut client = RawClient::open(server, &format!("/ws?token={good}"));
        let refresh = format!(r#"{{"type":"refresh","id":1,"token":"{token}"}}"#);
        client.send(Frame::text(refresh).bytes());
        told.rest(client);
    }
}

/// The HTTP API with the right key, with a wrong one, and with one where it has nothing to do.
fn use_api(server: &Server, told: &mut Told, good: &str) {
    for (bearer, expected) in [(API_KEY, 200), (WRONG_KEY, 401), (good, 403)] {
        let line = format!("Authorization: Bearer {bearer}\r\n");
        let content = format!(r#"{{"room":"r","content":"{CONTENT}"}}"#);
        let length = content.len();
        let host = "Host: localhost\r\n";
        let kind = "Content-Type: application/json\r\n";
        for request in [
            format!("GET /api/rooms HTTP/1.1\r\n{host}{line}\r\n"),
            format!(
                "POST /api/publish HTTP/1.1\r\n{host}{line}{kind}Content-Length: {length}\r\n\r\n\
                 {content}"
            ),
        ] {
            let (status, _) = told.ask(server, request.as_bytes());
            assert_eq!(status, expected, "{bearer}: {request:.20}");
        }
    }
    for target in [format!("/api/rooms?key={API_KEY}"), format!("/api/{API_KEY}")] {
        assert!(told.ask(server, &get(&target)).0 >= 400, "{target}");
    }
}

/// A ticket by the key, which is told to who asks for it and to nobody else.
fn ticket(server: &Server) -> String {
    let body = r#"{"sub":"ann"}"#;
    let mut client = RawClient::connect(server);
    client.send(format!(
        "POST /api/tickets HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {API_KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let answer = client.read_answer(false);
    assert_eq!(answer.status, 200, "{answer:?}");
    let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    body["ticket"].as_str().expect("a ticket").to_owned()
}

/// Tickets that are good, used, another page's, broken, and where there is nothing to be used for.
fn use_tickets(server: &Server, told: &mut Told, ticket: &str) {
    let upgrade = |path: &str, ticket: &str| Upgrade::new(&format!("{path}ticket={ticket}"));
    let of_page = upgrade("/ws?", ticket).header("Origin", "http://localhost");
    for (bytes, status) in [
        (of_page.bytes(), 401),
        (upgrade("/ws?room=r&", &ticket[1..]).bytes(), 401),
        (upgrade("/nowhere?", ticket).bytes(), 404),
        (get(&format!("/ws?ticket={ticket}")), 426),
        (upgrade("/ws?%74icket=x&", ticket).bytes(), 401),
        (upgrade("/ws?room=r&", ticket).bytes(), 101),
        (upgrade("/ws?room=r&", ticket).bytes(), 401),
        (get(&format!("/ws?ticket={ticket}")), 401),
        (get(&format!("/api/rooms?ticket={ticket}")), 401),
    ] {
        let (answered, client) = told.ask(server, &bytes);
        assert_eq!(answered, status, "{}", String::from_utf8_lossy(&bytes));
        if status == 101 {
            told.rest(client);
        }
    }
}

#[test]
fn rule_8_secrets_come_out_nowhere() {
    for format in ["text", "json"] {
        let file = Scratch::new(SECRET);
        let tokens = ["--jwt-secret-file", file.path(), "--require-token", "--first-message-token"];
        let others = ["--api-key", API_KEY, "--log-format", format];
        let server = Server::serve_logging("trace", &[&tokens[..], &others[..]].concat());
        let good = token_by(SECRET, 600);
        let bad = bad_tokens(&good);
        let ticket = ticket(&server);
        let all = [std::slice::from_ref(&good), &bad[..], std::slice::from_ref(&ticket)];
        let canaries = canaries(&all.concat());
        let mut told = Told::default();
        come_in(&server, &mut told, &good, &bad);
        say_tokens(&server, &mut told, &good, &bad);
        use_api(&server, &mut told, &good);
        use_tickets(&server, &mut told, &ticket);
        stumble(&server, &mut told, &good);
        file.replace(SHORT_SECRET);
        eventually("the log has told of all of it", 15.0, || {
            let log = server.errors();
            ["open", "closed", "refused", "the new keys are broken"]
                .iter()
                .all(|word| log.contains(word))
        });
        let log = server.errors();
        assert!(log.len() < 200 << 10, "more than is kept of it: {} bytes", log.len());
        assert_eq!(found(&canaries, &log), [""; 0], "in the log:\n{log}");
        let mut client = RawClient::connect(&server);
        client.send(get("/metrics"));
        let metrics = String::from_utf8(client.read_answer(false).body).expect("UTF-8");
        assert!(metrics.contains("throng_handshakes_refused_total{reason=\"401\"}"));
        assert_eq!(found(&canaries, &metrics), [""; 0], "in the metrics:\n{metrics}");
        assert!(told.0.contains("welcome") && told.0.contains("bad_signature"));
        assert_eq!(found(&canaries, &told.0), [""; 0], "in what clients were told:\n{}", told.0);
    }
}

/// The search itself can fail.
#[test]
fn a_canary_is_found_where_it_is() {
    let good = token_by(SECRET, 600);
    let canaries = canaries(std::slice::from_ref(&good));
    let signature = good.rsplit('.').next().expect("three parts");
    assert_eq!(found(&canaries, "GET /ws?token=[redacted]"), [""; 0]);
    assert_eq!(found(&canaries, &format!("token={}", &signature[..20])).len(), 1);
    assert!(found(&canaries, &format!("GET /ws?token={good}")).len() > 3);
    assert_eq!(found(&canaries, &format!("{:?}", SECRET.as_bytes())).len(), 1);
    assert_eq!(found(&canaries, &format!("key={API_KEY}")), ["the API key"]);
}
