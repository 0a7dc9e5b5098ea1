//! Class A15: origins that are checked badly elsewhere.

use super::*;
use crate::http::{HeadLimits, HeaderSlots};

const REFUSED: Result<Provenance, Refusal> = Err(Refusal::Origin);
const SAME: Result<Provenance, Refusal> = Ok(Provenance::Same);
const LISTED: Result<Provenance, Refusal> = Ok(Provenance::Listed);

fn with_head<T>(method: &str, lines: &[u8], then: impl FnOnce(&Request<'_>) -> T) -> T {
    let head = [method.as_bytes(), b" / HTTP/1.1\r\n", lines, b"\r\n"].concat();
    let mut slots = HeaderSlots::new();
    then(&Request::parse(&head, &mut slots, &HeadLimits::default()).unwrap())
}

fn check(
    origins: &Origins,
    host: &str,
    origin: &str,
    scheme: Scheme,
) -> Result<Provenance, Refusal> {
    let lines = format!("Host: {host}\r\nOrigin: {origin}\r\n");
    with_head("GET", lines.as_bytes(), |head| origins.check(head, scheme))
}

fn list() -> Origins {
    let entries = [
        "https://app.example.com",
        "https://*.example.org",
        "http://localhost:3000",
        "https://*.example.net:8443",
        "chrome-extension://abcdef",
        "*.example.edu",
    ];
    Origins::new(&entries).unwrap()
}

#[test]
fn a15_forty_origins() {
    let table = [
        // Exactly.
        ("https://app.example.com", LISTED),
        ("https://app.example.com:443", LISTED),
        ("HTTPS://APP.Example.COM", LISTED),
        ("http://localhost:3000", LISTED),
        ("chrome-extension://abcdef", LISTED),
        // Another scheme, port or host.
        ("http://app.example.com", REFUSED),
        ("https://app.example.com:8443", REFUSED),
        ("https://app.example.com:80", REFUSED),
        ("http://localhost", REFUSED),
        ("https://localhost:3000", REFUSED),
        ("http://127.0.0.1:3000", REFUSED),
        ("wss://app.example.com", REFUSED),
        ("https://example.com", REFUSED),
        ("https://other.example.com", REFUSED),
        ("chrome-extension://abcdefg", REFUSED),
        // Before and behind.
        ("https://app.example.com.evil.example", REFUSED),
        ("https://evilapp.example.com", REFUSED),
        ("https://app.example.com@evil.example", REFUSED),
        ("https://evil.example#app.example.com", REFUSED),
        ("https://evil.example/app.example.com", REFUSED),
        ("https://app.example.com/", REFUSED),
        ("https://app.example.com\\.evil.example", REFUSED),
        ("https://app.example.com.", REFUSED),
        ("https://app%2eexample.com", REFUSED),
        ("https://app.example.com:", REFUSED),
        ("https://app.example.com:0443", REFUSED),
        ("https://app.example.com:65979", REFUSED),
        ("https://app.example.com https://evil.example", REFUSED),
        ("https://app.example.com,https://evil.example", REFUSED),
        // Below a name: the dot has to be there.
        ("https://a.example.org", LISTED),
        ("https://a.b.example.org", LISTED),
        ("https://A.EXAMPLE.ORG", LISTED),
        ("https://a.example.net:8443", LISTED),
        ("https://a.example.edu", LISTED),
        ("https://example.org", REFUSED),
        ("https://.example.org", REFUSED),
        ("https://evil-example.org", REFUSED),
        ("https://evilexample.org", REFUSED),
        ("https://a.example.org.evil.example", REFUSED),
        ("http://a.example.org", REFUSED),
        ("https://a.example.net", REFUSED),
        ("http://a.example.edu", REFUSED),
        // No origin at all.
        ("null", REFUSED),
        ("NULL", REFUSED),
        ("", REFUSED),
        ("*", REFUSED),
        ("://app.example.com", REFUSED),
        ("app.example.com", REFUSED),
        ("file://", REFUSED),
    ];
    assert!(table.len() >= 40);
    for (origin, expected) in table {
        let found = check(&list(), "server.example", origin, Scheme::Https);
        assert_eq!(found, expected, "{origin}");
    }
}

#[test]
fn a15_the_same_origin_is_scheme_host_and_port() {
    let table = [
        ("a.example", "http://a.example", Scheme::Http, SAME),
        ("a.example", "https://a.example", Scheme::Https, SAME),
        ("a.example:443", "https://a.example", Scheme::Https, SAME),
        ("a.example", "https://a.example:443", Scheme::Https, SAME),
        ("a.example:", "http://a.example", Scheme::Http, SAME),
        ("A.example", "http://a.EXAMPLE", Scheme::Http, SAME),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", Scheme::Http, SAME),
        ("[::1]:8080", "http://[::1]:8080", Scheme::Http, SAME),
        ("[::1]", "http://[::1]", Scheme::Http, SAME),
        ("a.example", "https://a.example", Scheme::Http, REFUSED),
        ("a.example", "http://a.example", Scheme::Https, REFUSED),
        ("a.example:8080", "http://a.example", Scheme::Http, REFUSED),
        ("a.example", "http://a.example:8080", Scheme::Http, REFUSED),
        ("a.example", "http://b.a.example", Scheme::Http, REFUSED),
        ("b.a.example", "http://a.example", Scheme::Http, REFUSED),
        ("localhost:8080", "http://127.0.0.1:8080", Scheme::Http, REFUSED),
        ("a%2eexample", "http://a.example", Scheme::Http, REFUSED),
        ("a.example", "null", Scheme::Http, REFUSED),
    ];
    for (host, origin, scheme, expected) in table {
        let found = check(&Origins::default(), host, origin, scheme);
        assert_eq!(found, expected, "{host} {origin}");
    }
}

#[test]
fn rule_2_a_missing_origin_is_a_setting_of_its_own() {
    let lines = b"Host: a\r\n";
    let origins = list();
    let found = with_head("GET", lines, |head| origins.check(head, Scheme::Http));
    assert_eq!(found, Ok(Provenance::Absent));
    assert!(!Provenance::Absent.is_known_page());
    let origins = origins.absent(false);
    assert_eq!(with_head("GET", lines, |head| origins.check(head, Scheme::Http)), REFUSED);
}

#[test]
fn rule_3_null_is_refused_unless_named() {
    let origins = Origins::new(&["null"]).unwrap();
    let found = check(&origins, "a", "null", Scheme::Http);
    assert_eq!(found, Ok(Provenance::Null));
    assert!(!Provenance::Null.is_known_page());
}

#[test]
fn two_origins_and_unreadable_ones_are_refused() {
    for lines in [
        &b"Host: a\r\nOrigin: http://a\r\nOrigin: http://a\r\n"[..],
        b"Host: a\r\nOrigin: http://\xff\r\n",
    ] {
        let found = with_head("GET", lines, |head| Origins::default().check(head, Scheme::Http));
        assert_eq!(found, REFUSED);
    }
}

#[test]
fn rule_1_an_entry_names_pages() {
    for bad in [
        "*",
        "https://*",
        "*://a.example",
        "https://*.com",
        "https://*.",
        "https://*.0.0.1",
        "https://*.[::1]",
        "https://a.*.example",
        "https://a*.example",
        "https://a.example/",
        "",
        "https://",
        "https://a.example:port",
        "https://u@a.example",
        "https://a b",
        "https://*.*.example.com",
        "https://a%2eb",
    ] {
        assert!(Origins::new(&[bad]).is_err(), "{bad}");
    }
    let error = Origins::new(&["*"]).unwrap_err().to_string();
    assert_eq!(error, r#""*" is no origin: name the pages that may connect: not all may"#);
}

#[test]
fn a_preflight_is_answered() {
    let ask = |origin: &str| {
        let lines =
            format!("Host: server\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n");
        with_head("OPTIONS", lines.as_bytes(), |head| {
            list().preflight(head, Scheme::Http, "GET, POST")
        })
    };
    let value = |response: &Response, name: &str| {
        let mut lines = response.header_lines().iter();
        lines.find(|(line, _)| *line == name).map(|(_, value)| value.to_owned())
    };
    let yes = ask("https://app.example.com");
    assert_eq!(yes.status(), 204);
    let origin = value(&yes, "Access-Control-Allow-Origin");
    assert_eq!(origin.as_deref(), Some("https://app.example.com"));
    assert_eq!(value(&yes, "Access-Control-Allow-Methods").as_deref(), Some("GET, POST"));
    assert_eq!(value(&yes, "Vary").as_deref(), Some("Origin"));
    assert_eq!(value(&yes, "Access-Control-Allow-Credentials"), None);
    let no = ask("https://evil.example");
    assert_eq!((no.status(), value(&no, "Access-Control-Allow-Origin")), (403, None));
    let plain = with_head("OPTIONS", b"Host: server\r\n", |head| {
        list().preflight(head, Scheme::Http, "GET")
    });
    assert_eq!((plain.status(), value(&plain, "Allow").as_deref()), (204, Some("GET")));
}
