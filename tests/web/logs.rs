//! Web rule 21: what is logged, and that a client cannot write into the log.

use serde_json::Value;

use crate::common::http::get;
use crate::common::{Frame, RawClient, Server, Upgrade, eventually};
use crate::tokens::{SECRET, Scratch, token_by};

/// The whole lines of a log of JSON.
fn lines(server: &Server) -> Vec<Value> {
    let log = server.errors();
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// The first line that says this and has all of these fields.
fn find(server: &Server, message: &str, fields: &[(&str, &str)]) -> Value {
    let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
    let mut found = None;
    eventually(&format!("{message} {fields:?}"), 5.0, || {
        let fits = |line: &Value| {
            line["message"] == message && fields.iter().all(|(name, v)| text(&line[*name]) == *v)
        };
        found = lines(server).into_iter().find(fits);
        found.is_some()
    });
    found.expect("just seen")
}

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
    let lines = || lines(&server);
    let has = |message: &str, field: &str, value: Value| {
        lines().iter().any(|line| line["message"] == message && line[field] == value)
    };
    let is_of = |message: &str, address: &str, status: Option<u16>| {
        lines().iter().any(|line| {
            let remote = line["remote"].as_str().unwrap_or_default();
            let fits = status.is_none_or(|status| line["status"] == status);
            line["message"] == message && remote == address && fits
        })
    };
    eventually("the log has told of all of it", 5.0, || {
        is_of("open", &inside, None)
            && has("closed", "cause", "peer".into())
            && is_of("refused", &without_token, Some(401))
            && is_of("refused", &stranger, Some(403))
    });
}

const PAGE: &str = "http://app.example";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A handshake from a page that is on the list, with a trace.
fn from_page(target: &str) -> Upgrade {
    let trace = format!("00-{TRACE}-00f067aa0ba902b7-01");
    Upgrade::new(target).header("Origin", PAGE).header("traceparent", trace)
}

fn enter(server: &Server, upgrade: &Upgrade) -> RawClient {
    let mut client = RawClient::connect(server);
    client.send(upgrade.bytes());
    client.expect_upgrade();
    client
}

/// A line tells who it is about: user, address, page and trace.
fn tells(line: &Value, user: Option<&str>) {
    assert_eq!(line["user"].as_str(), user, "{line}");
    assert_eq!((&line["client"], &line["origin"]), (&"127.0.0.1".into(), &PAGE.into()), "{line}");
    assert!(line["trace"].as_str().is_some_and(|trace| trace.contains(TRACE)), "{line}");
}

fn say(client: &mut RawClient, command: &str) {
    client.send(Frame::text(command).bytes());
}

#[test]
fn rule_21_each_line_tells_user_address_origin_and_trace() {
    let file = Scratch::new(SECRET);
    let flags = ["--jwt-secret-file", file.path(), "--allow-origin", PAGE, "--max-rooms", "1"];
    let limits = ["--max-connections-per-user", "2", "--message-rate", "2", "--max-faults", "3"];
    let json = ["--log-format", "json"];
    let filter = "info,throng::connections=debug,throng::hub=debug";
    let server = Server::serve_logging(filter, &[&flags[..], &limits, &json].concat());
    let token = token_by(SECRET, 60);
    let mut inside = enter(&server, &from_page(&format!("/ws?room=a&token={token}")));
    let open = find(&server, "open", &[("user", "ann")]);
    tells(&open, Some("ann"));
    assert_eq!(open["auth"], "token");
    // Limits and rights of commands.
    say(&mut inside, r#"{"type":"join","id":1,"room":"b"}"#);
    let refused = |code| find(&server, "a command is refused", &[("code", code)]);
    tells(&refused("too_many_rooms"), Some("ann"));
    say(&mut inside, r#"{"type":"refresh","id":2,"token":"nonsense"}"#);
    tells(&refused("malformed_token"), Some("ann"));
    say(&mut inside, &format!(r#"{{"type":"refresh","id":2,"token":"{token}"}}"#));
    tells(&find(&server, "goes on with a new token", &[]), Some("ann"));
    (0..20).for_each(|_| say(&mut inside, r#"{"type":"heartbeat"}"#));
    tells(&refused("rate_limited"), Some("ann"));
    // Limits at the door, by a token that is good.
    let _second = enter(&server, &from_page(&format!("/echo?token={token}")));
    let mut third = RawClient::connect(&server);
    third.send(from_page(&format!("/ws?token={token}")).bytes());
    assert_eq!(third.read_answer(false).status, 429);
    let reason = ("reason", "connections_per_user");
    tells(&find(&server, "refused", &[("status", "429"), reason]), Some("ann"));
    // A token that is none.
    let mut stranger = RawClient::connect(&server);
    stranger.send(from_page(&format!("/ws?token={}", token_by(SECRET, -60))).bytes());
    assert_eq!(stranger.read_answer(false).status, 401);
    tells(&find(&server, "refused", &[("status", "401"), ("reason", "expired_token")]), None);
    // A guest that is wrong too often.
    let mut guest = enter(&server, &from_page("/ws?name=eve"));
    assert_eq!(find(&server, "open", &[("user", "eve")])["auth"], "none");
    (0..4).for_each(|_| say(&mut guest, "nonsense"));
    let faults = ("reason", "too many faults");
    tells(&find(&server, "closed by the server", &[("code", "1008"), faults]), Some("eve"));
    // An end that nobody has said: what is told of it was known before.
    inside.reset();
    tells(&find(&server, "closed", &[("cause", "lost")]), Some("ann"));
}

/// Tokens that come after the handshake, and keys of the API and the dashboard.
#[test]
fn rule_21_what_comes_of_tokens_and_keys_is_logged() {
    let file = Scratch::new(SECRET);
    let flags = ["--jwt-secret-file", file.path(), "--require-token", "--first-message-token"];
    let others = ["--allow-origin", PAGE, "--api-key", "a-key-of-24-bytes-or-so", "--log-format"];
    let server = Server::serve_logging("throng=debug", &[&flags[..], &others, &["json"]].concat());
    let auth = |token: &str| format!(r#"{{"type":"auth","token":"{token}"}}"#);
    let mut good = enter(&server, &from_page("/ws"));
    say(&mut good, &auth(&token_by(SECRET, 60)));
    tells(&find(&server, "let in by the token of its first message", &[]), Some("ann"));
    let mut bad = enter(&server, &from_page("/ws"));
    say(&mut bad, &auth(&token_by(SECRET, -60)));
    let expired = ("reason", "expired_token");
    tells(&find(&server, "closed by the server", &[("code", "1008"), expired]), None);
    let trace = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n");
    for (target, words, reason) in [
        ("/api/rooms", "refused by the API", "bad_key"),
        ("/admin/access", "refused by the dashboard", "wrong_key"),
    ] {
        let mut client = RawClient::connect(&server);
        let key = "Authorization: Bearer another-key-of-24-bytes\r\n";
        client.send(format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nOrigin: {PAGE}\r\n{key}{trace}\r\n"
        ));
        assert_eq!(client.read_answer(false).status, 401);
        tells(&find(&server, words, &[("status", "401"), ("reason", reason)]), None);
    }
}

/// Who is refused in a crowd is told of ten times a second.
#[test]
fn rule_21_a_crowd_does_not_fill_the_log() {
    let server = Server::serve(&["--message-rate", "1", "--log-format", "json"]);
    let mut clients: Vec<_> = (0..5).map(|_| RawClient::open(&server, "/ws")).collect();
    for client in &mut clients {
        (0..40).for_each(|_| say(client, r#"{"type":"heartbeat"}"#));
    }
    let left_out = [("kind", "commands refused")];
    let words = "lines left out: 10 a second are said";
    let line = find(&server, words, &left_out);
    let said = lines(&server).iter().filter(|it| it["message"] == "a command is refused").count();
    assert!((10..60).contains(&said) && line["left_out"].as_u64() > Some(50), "{said}: {line}");
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
        for header in ["Host", "Origin", "User-Agent", "X-Forwarded-For", "traceparent"] {
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
        assert!(log.contains("(malformed)"), "an origin that is none: {log}");
    }
}
