//! Pages of other origins (Fetch, section 3.3).

use crate::common::{Answer, Server};
use crate::{WITH_KEY, code, request, server};

const LISTED: &str = "https://app.example.com";
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn listing() -> Server {
    server(&["--allow-origin", LISTED])
}

/// No page is let in on the answer.
fn has_no_cors(answer: &Answer) {
    let cors = answer.headers.iter().find(|(name, _)| name.starts_with("access-control-"));
    assert!(cors.is_none(), "{cors:?}");
}

#[test]
fn a_preflight_is_answered_by_the_list() {
    let server = listing();
    for (target, methods) in [
        ("/api/publish", "POST, OPTIONS"),
        ("/api/rooms/r", "GET, HEAD, OPTIONS"),
        ("/api/connections/0.0.0", "DELETE, OPTIONS"),
        ("/api/health", "GET, HEAD, OPTIONS"),
    ] {
        let wanted = ("Access-Control-Request-Method", "POST");
        let (answer, _) = request(&server, "OPTIONS", target, &[("Origin", LISTED), wanted], "");
        assert_eq!(answer.status, 204, "{target}");
        assert_eq!(answer.only("access-control-allow-origin"), Some(LISTED));
        assert_eq!(answer.only("access-control-allow-methods"), Some(methods));
        let headers = answer.only("access-control-allow-headers").expect("headers");
        assert!(headers.contains("authorization") && headers.contains("content-type"));
        assert_eq!(answer.only("access-control-allow-credentials"), None);
        assert_eq!(answer.only("vary"), Some("Origin"));

        for other in ["https://evil.example", "null", "http://app.example.com"] {
            let headers = [("Origin", other), wanted];
            let (answer, body) = request(&server, "OPTIONS", target, &headers, "");
            assert_eq!((answer.status, &*code(&body)), (403, "forbidden_origin"), "{other}");
            has_no_cors(&answer);
        }
        let (answer, _) = request(&server, "OPTIONS", target, &[], "");
        assert_eq!((answer.status, answer.only("allow")), (204, Some(methods)));
        has_no_cors(&answer);
    }
    assert_eq!(request(&server, "OPTIONS", "/api/none", &[], "").0.status, 404);
}

#[test]
fn a_page_on_the_list_reads_answers_good_and_bad() {
    let server = listing();
    for (headers, status) in
        [(&[WITH_KEY, ("Origin", LISTED)][..], 200), (&[("Origin", LISTED)], 401)]
    {
        let (answer, _) = request(&server, "GET", "/api/connections", headers, "");
        assert_eq!(answer.status, status);
        assert_eq!(answer.only("access-control-allow-origin"), Some(LISTED));
        let exposed = answer.only("access-control-expose-headers");
        assert_eq!(exposed, Some("retry-after, traceresponse"));
        assert_eq!(answer.only("vary"), Some("Origin"));
    }
    let (answer, _) =
        request(&server, "GET", "/api/rooms", &[WITH_KEY, ("Origin", "http://api.example")], "");
    assert_eq!(answer.only("access-control-allow-origin"), Some("http://api.example"), "its own");
    let (answer, _) = request(&server, "GET", "/api/rooms", &[WITH_KEY], "");
    has_no_cors(&answer);
    assert_eq!(answer.only("vary"), Some("Origin"));
}

#[test]
fn a_page_that_is_not_on_the_list_changes_nothing_and_reads_nothing() {
    let server = listing();
    let evil = ("Origin", "https://evil.example");
    let (answer, _) = request(&server, "GET", "/api/rooms", &[WITH_KEY, evil], "");
    assert_eq!(answer.status, 200);
    has_no_cors(&answer);
    for (method, target, body) in [
        ("POST", "/api/publish", r#"{"room":"r","content":1}"#),
        ("POST", "/api/broadcast", r#"{"content":1}"#),
        ("POST", "/api/revocations", r#"{"sub":"ann"}"#),
        ("DELETE", "/api/users/ann", ""),
        ("DELETE", "/api/rooms/r/members/ann", ""),
    ] {
        let (answer, told) = request(&server, method, target, &[WITH_KEY, JSON, evil], body);
        assert_eq!((answer.status, &*code(&told)), (403, "forbidden_origin"), "{method} {target}");
        has_no_cors(&answer);
        let twice = [WITH_KEY, JSON, ("Origin", LISTED), ("Origin", LISTED)];
        assert_eq!(request(&server, method, target, &twice, body).0.status, 403);
    }
}
