//! Bad requests, and what is counted.

use std::time::Duration;

use crate::common::random::Random;
use crate::common::{RawClient, Server, eventually, http};
use crate::{KEY, WITH_KEY, api, code, fault, request, server};

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn paths_and_methods_that_are_not_there() {
    let server = server(&[]);
    for target in
        ["/api", "/api/", "/api/none", "/api/rooms/", "/api/rooms/a/b", "/api/users", "/api//rooms"]
    {
        assert_eq!(fault(&server, "GET", target, ""), (404, "not_found".into()), "{target}");
    }
    for (method, target, allow) in [
        ("GET", "/api/publish", "POST, OPTIONS"),
        ("PUT", "/api/rooms", "GET, HEAD, OPTIONS"),
        ("POST", "/api/health", "GET, HEAD, OPTIONS"),
        ("GET", "/api/connections/0.0.0", "DELETE, OPTIONS"),
        ("PATCH", "/api/revocations", "GET, HEAD, POST, DELETE, OPTIONS"),
        ("get", "/api/rooms", "GET, HEAD, OPTIONS"),
    ] {
        let (answer, body) = request(&server, method, target, &[WITH_KEY], "");
        let told = (answer.status, code(&body));
        assert_eq!(told, (405, "method_not_allowed".into()), "{method} {target}");
        assert_eq!(answer.only("allow"), Some(allow), "{method} {target}");
    }
    for (target, expected) in [
        ("/api/rooms/%", "bad_path"),
        ("/api/rooms/%4", "bad_path"),
        ("/api/rooms/%zz", "bad_path"),
        ("/api/rooms/%ff", "bad_path"),
        ("/api/rooms/%00", "bad_name"),
        ("/api/rooms/a%0Ab", "bad_name"),
        (&format!("/api/rooms/{}", "a".repeat(129)), "bad_name"),
    ] {
        assert_eq!(fault(&server, "GET", target, ""), (400, expected.into()), "{target}");
    }
}

#[test]
fn head_is_get_without_the_body() {
    let server = server(&[]);
    for target in ["/api/rooms", "/api/openapi.json"] {
        let (answer, _) = request(&server, "HEAD", target, &[WITH_KEY], "");
        let length = answer.only("content-length").expect("a length");
        assert_eq!((answer.status, length == "0"), (200, false), "{target}");
    }
}

#[test]
fn a_body_has_to_be_json_of_a_known_length_and_not_too_long() {
    let server = server(&[]);
    let body = r#"{"room":"r","content":1}"#;
    for (headers, expected) in [
        (&[WITH_KEY][..], (415, "unsupported_media_type")),
        (&[WITH_KEY, ("Content-Type", "text/plain")], (415, "unsupported_media_type")),
        (&[WITH_KEY, ("Content-Type", "application/jsonp")], (415, "unsupported_media_type")),
        (&[WITH_KEY, JSON, JSON], (415, "unsupported_media_type")),
    ] {
        let (answer, told) = request(&server, "POST", "/api/publish", headers, body);
        assert_eq!((answer.status, &*code(&told)), expected, "{headers:?}");
    }
    let with_charset = [WITH_KEY, ("Content-Type", "Application/JSON; charset=utf-8")];
    assert_eq!(request(&server, "POST", "/api/publish", &with_charset, body).0.status, 200);
    assert_eq!(fault(&server, "POST", "/api/publish", " "), (400, "bad_json".into()));
    let deep = format!(r#"{{"room":"r","content":{}{}}}"#, "[".repeat(9999), "]".repeat(9999));
    assert_eq!(fault(&server, "POST", "/api/publish", &deep), (400, "bad_json".into()));

    let most = format!(r#"{{"room":"r","content":"{}"}}"#, "x".repeat((64 << 10) - 25));
    assert_eq!(most.len(), 64 << 10);
    api(&server, "POST", "/api/publish", &most);
    for (framing, expected) in [
        ("Content-Length: 65537", (413, "too_large")),
        ("Content-Length: 18446744073709551615", (413, "too_large")),
        ("Transfer-Encoding: chunked", (411, "length_required")),
    ] {
        let mut client = RawClient::connect(&server);
        let (name, value) = WITH_KEY;
        client.send(format!(
            "POST /api/publish HTTP/1.1\r\nHost: a\r\n{name}: {value}\r\n{framing}\r\n\r\n"
        ));
        let answer = client.expect_refusal(&[expected.0]);
        let body = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(code(&body), expected.1, "{framing}");
        assert!(answer.only("traceresponse").is_some());
    }
    // Of a stranger no more than 16 KiB are held.
    for (length, shown, status) in
        [(16 << 10, "a-guess", None), ((16 << 10) + 1, "a-guess", Some(413)), (17 << 10, KEY, None)]
    {
        let mut client = RawClient::connect(&server);
        let head = format!("Host: a\r\nAuthorization: Bearer {shown}\r\n{}: {}", JSON.0, JSON.1);
        client.send(format!(
            "POST /api/publish HTTP/1.1\r\n{head}\r\nContent-Length: {length}\r\n\r\n"
        ));
        match status {
            Some(status) => drop(client.expect_refusal(&[status])),
            None => {
                client.expect_silence(Duration::from_millis(50)); // it waits for the body
                client.send(" ".repeat(length));
                assert_eq!(client.read_answer(false).status, if shown == KEY { 400 } else { 401 });
            }
        }
    }
    // Elsewhere it is as it was: text.
    let mut client = RawClient::connect(&server);
    client.send("POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n");
    let answer = client.expect_refusal(&[413]);
    assert_eq!(answer.only("content-type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn requests_of_one_connection_are_answered_in_order() {
    let server = server(&[]);
    let mut client = RawClient::connect(&server);
    let line = format!("{}: {}", WITH_KEY.0, WITH_KEY.1);
    let one = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
    // The first waits for all loops, the second for none.
    let targets = ["/api/connections", "/api/health", "/api/rooms/r", "/healthz", "/api/rooms"];
    client.send(targets.map(one).concat());
    let starts = targets.map(|_| {
        let answer = client.read_answer(false);
        assert_eq!(answer.status, 200);
        let body = String::from_utf8(answer.body).expect("UTF-8");
        body.chars().take(7).collect::<String>()
    });
    let expected = [r#"{"conne"#, r#"{"statu"#, r#"{"room""#, "ok\n", r#"{"rooms"#];
    assert_eq!(starts, expected);
}

fn metric(server: &Server, line: &str) -> bool {
    let mut client = RawClient::connect(server);
    client.send(http::get("/metrics"));
    let answer = client.read_answer(false);
    String::from_utf8(answer.body).expect("UTF-8").lines().any(|other| other == line)
}

#[test]
fn requests_are_counted_by_operation_and_status() {
    let server = server(&[]);
    api(&server, "GET", "/api/rooms", "");
    api(&server, "GET", "/api/connections", "");
    api(&server, "GET", "/api/connections", "");
    fault(&server, "GET", "/api/none", "");
    fault(&server, "POST", "/api/publish", "{}");
    request(&server, "POST", "/api/publish", &[], "{}");
    for line in [
        r#"throng_api_requests_total{operation="rooms",status="200"} 1"#,
        r#"throng_api_requests_total{operation="connections",status="200"} 2"#,
        r#"throng_api_requests_total{operation="none",status="404"} 1"#,
        r#"throng_api_requests_total{operation="publish",status="400"} 1"#,
        r#"throng_api_requests_total{operation="publish",status="401"} 1"#,
    ] {
        eventually(line, 5.0, || metric(&server, line));
    }
}

/// Requests with some bytes changed: each has an answer, and the server lives on.
#[test]
fn no_request_takes_the_server_down() {
    let server = server(&[]);
    let mut random = Random::new(20_261_121);
    let (name, value) = WITH_KEY;
    for _ in 0..600 {
        let (method, target, body) = [
            ("POST", "/api/publish", r#"{"rooms":["a","b"],"content":{"x":[1,"y"]},"sender":"s"}"#),
            ("POST", "/api/users/a%2Fb%C3%A9/publish", r#"{"content":"\u00e9"}"#),
            ("GET", "/api/rooms?prefix=a%20&limit=12", ""),
            ("DELETE", "/api/connections/0.1.2", ""),
            ("DELETE", "/api/rooms/a%2Fb/members/c", ""),
            ("DELETE", "/api/revocations?jti=a", ""),
        ][random.below(6)];
        let trace = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let length = body.len();
        let text = format!(
            "{method} {target} HTTP/1.1\r\nHost: a\r\n{name}: {value}\r\n{trace}\r\n\
             {}: {}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}",
            JSON.0, JSON.1
        );
        let mut bytes = text.into_bytes();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
        let mut client = RawClient::connect(&server);
        client.note(String::from_utf8_lossy(&bytes));
        client.send(&bytes);
        client.half_close();
        let answer = String::from_utf8_lossy(&client.read_to_end()).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 "), "{answer}");
    }
    api(&server, "GET", "/api/rooms", "");
}
