//! Web rule 21: what is logged, and that a client cannot write into the log.

use crate::common::http::get;
use crate::common::{Frame, RawClient, Server, Upgrade, eventually};
use crate::tokens::{SECRET, Scratch, token_by};

#[test]
fn rule_21_openings_ends_and_refusals_are_logged_with_their_address() {
    let file = Scratch::new(SECRET);
    let flags = ["--jwt-secret-file", file.path(), "--require-token", "--log-format", "json"];
    let server = Server::serve_logging("throng=debug", &flags);
    let connect = |upgrade: Upgrade| {
        let mut client = RawClient::connect(&server);
        client.send(upgrade.bytes());
        let status = client.read_answer(false).status;
        (status, client.stream.local_addr().expect("an address").to_string(), client)
    };
    let target = format!("/echo?token={}", token_by(SECRET, 60));
    let (status, inside, mut client) = connect(Upgrade::new(&target));
    assert_eq!(status, 101);
    client.send(Frame::close(1000, "").bytes());
    client.expect_close(1000);
    let (status, without_token, _) = connect(Upgrade::new("/echo"));
    assert_eq!(status, 401);
    let (status, stranger, _) = connect(Upgrade::new("/").header("Origin", "http://evil.example"));
    assert_eq!(status, 403);
    let lines = || -> Vec<serde_json::Value> {
        let log = server.errors();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    };
    let has = |message: &str, field: &str, value: serde_json::Value| {
        lines().iter().any(|line| line["message"] == message && line[field] == value)
    };
    let is_of = |message: &str, address: &str, status: Option<u16>| {
        lines().iter().any(|line| {
            let remote = line["remote"].as_str().unwrap_or_default();
            let fits = status.is_none_or(|status| line["status"] == status);
            line["message"] == message && remote.contains(address) && fits
        })
    };
    eventually("the log has told of all of it", 5.0, || {
        is_of("open", &inside, None)
            && has("closed", "cause", "peer".into())
            && is_of("refused", &without_token, Some(401))
            && is_of("refused", &stranger, Some(403))
    });
}

/// Each word of a client that could end a line, colour a terminal or look like a field.
#[test]
fn rule_21_a_client_cannot_write_into_the_log() {
    const MARK: &str = "mark-of-a-client";
    for format in ["text", "json"] {
        let server = Server::serve_logging("trace", &["--log-format", format]);
        let spoilt = format!("{MARK}\n2026-01-01T00:00:00Z ERROR {MARK}\u{1b}[31m status=200");
        let encoded = format!("{MARK}%0a%1b[31m%0d%00%c2%85");
        for target in
            [format!("/ws?name={encoded}"), format!("/{encoded}"), format!("/?x={encoded}")]
        {
            for bytes in [get(&target), Upgrade::new(&target).bytes()] {
                let mut client = RawClient::connect(&server);
                client.send(bytes);
                client.read_answer(false);
            }
        }
        for header in ["Host", "Origin", "User-Agent", "X-Forwarded-For", "Sec-WebSocket-Key"] {
            for value in [spoilt.clone(), spoilt.replace(['\n', '\u{1b}'], "\u{85}")] {
                let upgrade = Upgrade::new("/ws").header(header, value);
                let mut client = RawClient::connect(&server);
                client.send(upgrade.bytes());
                client.read_answer(false);
            }
        }
        let mut client = RawClient::open(&server, "/ws?name=ann&room=r");
        let content = serde_json::to_string(&spoilt).expect("JSON");
        for command in [
            format!(r#"{{"type":"text","content":{content}}}"#),
            format!(r#"{{"type":{content}}}"#),
            format!(r#"{{"type":"join","room":{content}}}"#),
            spoilt.clone(),
        ] {
            client.send(Frame::text(command).bytes());
        }
        client.send(Frame::close(4000, &spoilt).bytes());
        eventually("the log tells of its end", 5.0, || server.errors().contains("cause"));
        let log = server.errors();
        assert!(log.matches("refused").count() >= 5, "{log}");
        let is_plain = |byte: char| byte == '\n' || !byte.is_control();
        assert!(log.chars().all(is_plain), "control characters in {log:?}");
        for line in log.lines() {
            // Each line is the program's own: it begins as they all do.
            let start = if format == "json" { "{\"timestamp\":\"20" } else { "20" };
            assert!(line.starts_with(start) && !line.starts_with("2026-01-01"), "{line}");
        }
        assert!(!log.contains(MARK), "words of a client in {log}");
    }
}
