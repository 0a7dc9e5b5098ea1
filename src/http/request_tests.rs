//! Tables of requests and what becomes of them.

use super::*;
use proptest::prelude::*;

const SMALL: HeadLimits = HeadLimits { head_bytes_max: 512, target_bytes_max: 16, headers_max: 3 };

fn fault_of(head: &[u8]) -> Option<HttpError> {
    Request::parse(head, &mut HeaderSlots::new(), &HeadLimits::default()).err()
}

/// The fault of a request with these lines after the request line and Host.
fn fault_with(lines: &[u8]) -> Option<HttpError> {
    fault_of(&[b"GET / HTTP/1.1\r\nHost: a\r\n", lines, b"\r\n\r\n"].concat())
}

#[test]
fn a_request_in_full() {
    let head = b"\r\nPOST /a?b=c HTTP/1.1\r\nhOST:\ta.example:81 \r\nX: 1\r\nx:2\r\n\
                 Content-Length: 007\r\nY: \xff\xfe\r\nZ:\r\n\r\n";
    let mut slots = HeaderSlots::new();
    let request = Request::parse(head, &mut slots, &HeadLimits::default()).unwrap();
    assert_eq!(request.method(), "POST");
    assert_eq!((request.path(), request.query()), ("/a", Some("b=c")));
    assert_eq!((request.version_minor(), request.is_http_11()), (1, true));
    assert_eq!(request.host(), Some("a.example:81"));
    assert_eq!(request.header("X"), Some(&b"1"[..]));
    assert_eq!(request.headers("x").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(request.header("y"), Some(&b"\xff\xfe"[..]));
    assert_eq!(request.header("z"), Some(&b""[..]));
    assert_eq!(request.header("w"), None);
    assert_eq!(request.body(), Body::Length(7));
    assert_eq!(request.all_headers().iter().count(), 6);
    assert!(request.keep_alive());
}

#[test]
fn rfc9112_3_request_lines() {
    let table: [(&[u8], Option<HttpError>); 20] = [
        (b"GET / HTTP/1.1", None),
        (b"WHAT-EVER / HTTP/1.1", None),
        (b"GET http://b/ HTTP/1.1", None),
        (b"OPTIONS * HTTP/1.1", None),
        (b"GET / HTTP/2.0", Some(HttpError::Version)),
        (b"PRI * HTTP/2.0", Some(HttpError::Version)),
        (b"GET / HTTP/1.2", Some(HttpError::Version)),
        (b"GET / HTTP/0.9", Some(HttpError::Version)),
        (b"GET / HTTP/1.12", Some(HttpError::RequestLine)),
        (b"GET / HTTP/11", Some(HttpError::RequestLine)),
        (b"GET / http/1.1", Some(HttpError::RequestLine)),
        (b"GET / HTTP/1.1 ", Some(HttpError::RequestLine)),
        (b"GET /", Some(HttpError::RequestLine)),
        (b"GET  / HTTP/1.1", Some(HttpError::RequestLine)),
        (b"GET /  HTTP/1.1", Some(HttpError::RequestLine)),
        (b"GET /\t HTTP/1.1", Some(HttpError::RequestLine)),
        (b" GET / HTTP/1.1", Some(HttpError::RequestLine)),
        (b"G(T / HTTP/1.1", Some(HttpError::RequestLine)),
        (b"GET /\xc3\xa9 HTTP/1.1", Some(HttpError::Target)),
        (b"CONNECT a:1 HTTP/1.1", Some(HttpError::Connect)),
    ];
    for (line, expected) in table {
        let head = [line, b"\r\nHost: a\r\n\r\n"].concat();
        assert_eq!(fault_of(&head), expected, "{}", line.escape_ascii());
    }
}

type HostResult = Result<Option<&'static str>, HttpError>;

#[test]
fn rfc9112_3_2_host() {
    let table: [(&[u8], HostResult); 13] = [
        (b"GET / HTTP/1.1\r\n", Err(HttpError::HostMissing)),
        (b"GET http://b/ HTTP/1.1\r\n", Err(HttpError::HostMissing)),
        (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n", Ok(Some("b"))),
        (b"GET http://b/ HTTP/1.1\r\nHost: a b\r\n", Err(HttpError::HostInvalid)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n", Err(HttpError::HostRepeated)),
        (b"GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n", Err(HttpError::HostRepeated)),
        (b"GET / HTTP/1.1\r\nHost:\r\n", Err(HttpError::HostInvalid)),
        (b"GET / HTTP/1.0\r\nHost:\r\n", Err(HttpError::HostInvalid)),
        (b"GET / HTTP/1.0\r\n", Ok(None)),
        (b"GET / HTTP/1.0\r\nHost: [::1]:8\r\n", Ok(Some("[::1]:8"))),
        (b"GET / HTTP/1.1\r\nHost: a, b\r\n", Err(HttpError::HostInvalid)),
        (b"GET / HTTP/1.1\r\nHost: u@a\r\n", Err(HttpError::HostInvalid)),
        (b"GET / HTTP/1.1\r\nHost: \xff\r\n", Err(HttpError::HostInvalid)),
    ];
    for (lines, expected) in table {
        let head = [lines, b"\r\n"].concat();
        let mut slots = HeaderSlots::new();
        let request = Request::parse(&head, &mut slots, &HeadLimits::default());
        assert_eq!(request.map(|it| it.host()), expected, "{}", lines.escape_ascii());
    }
}

#[test]
fn rfc9112_5_header_lines() {
    let table: [(&[u8], Option<HttpError>); 12] = [
        (b"A: b", None),
        (b"A: \xe9", None),
        (b"A: b\tc", None),
        (b"A: b\r\n folded", Some(HttpError::HeaderName)),
        (b"A:\r\n folded", Some(HttpError::HeaderName)),
        (b"A : b", Some(HttpError::HeaderName)),
        (b"A\t: b", Some(HttpError::HeaderName)),
        (b": b", Some(HttpError::HeaderName)),
        (b"no colon", Some(HttpError::HeaderName)),
        (b"A: \x01", Some(HttpError::ControlByte)),
        (b"A: \x7f", Some(HttpError::HeaderValue)),
        (b"A: b\nB: c", Some(HttpError::BareLf)),
    ];
    for (lines, expected) in table {
        assert_eq!(fault_with(lines), expected, "{}", lines.escape_ascii());
    }
    let folded_first = b"GET / HTTP/1.1\r\n Host: a\r\n\r\n";
    assert_eq!(fault_of(folded_first), Some(HttpError::HeaderName));
}

#[test]
fn rfc9112_6_3_body_framing() {
    let table: [(&[u8], Result<Body, HttpError>); 20] = [
        (b"X: y", Ok(Body::None)),
        (b"Content-Length: 0", Ok(Body::Length(0))),
        (b"Content-Length: 18446744073709551615", Ok(Body::Length(u64::MAX))),
        (b"Content-Length: 18446744073709551616", Err(HttpError::ContentLength)),
        (b"Content-Length:", Err(HttpError::ContentLength)),
        (b"Content-Length: +1", Err(HttpError::ContentLength)),
        (b"Content-Length: -1", Err(HttpError::ContentLength)),
        (b"Content-Length: 0x1", Err(HttpError::ContentLength)),
        (b"Content-Length: 1 1", Err(HttpError::ContentLength)),
        (b"Content-Length: 1, 1", Err(HttpError::ContentLength)),
        (b"Content-Length: 1\r\nContent-Length: 1", Err(HttpError::ContentLength)),
        (b"Transfer-Encoding: chunked", Ok(Body::Chunked)),
        (b"Transfer-Encoding: Chunked\r\nTransfer-Encoding:", Ok(Body::Chunked)),
        (b"Transfer-Encoding: gzip, chunked", Err(HttpError::TransferCoding)),
        (b"Transfer-Encoding: chunked, gzip", Err(HttpError::TransferEncoding)),
        (b"Transfer-Encoding: chunked, chunked", Err(HttpError::TransferEncoding)),
        (b"Transfer-Encoding: xchunked", Err(HttpError::TransferEncoding)),
        (b"Transfer-Encoding: \x80chunked", Err(HttpError::TransferEncoding)),
        (b"Transfer-Encoding:", Err(HttpError::TransferEncoding)),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 1", Err(HttpError::TransferEncoding)),
    ];
    for (lines, expected) in table {
        let head = [b"POST / HTTP/1.1\r\nHost: a\r\n", lines, b"\r\n\r\n"].concat();
        let mut slots = HeaderSlots::new();
        let request = Request::parse(&head, &mut slots, &HeadLimits::default());
        assert_eq!(request.map(|it| it.body()), expected, "{}", lines.escape_ascii());
    }
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(fault_of(old), Some(HttpError::TransferEncoding));
}

#[test]
fn rfc9112_9_3_keep_alive() {
    let table = [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, CLOSE\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: x\r\nConnection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ];
    for (version, lines, expected) in table {
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        let mut slots = HeaderSlots::new();
        let limits = HeadLimits::default();
        let request = Request::parse(head.as_bytes(), &mut slots, &limits).unwrap();
        assert_eq!(request.keep_alive(), expected, "{version} {lines}");
    }
}

#[test]
fn limits_and_incomplete_heads() {
    let fault = |head: &str, limits: &HeadLimits| {
        Request::parse(head.as_bytes(), &mut HeaderSlots::new(), limits).err()
    };
    let with = |lines: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    assert_eq!(fault(&with("A: b\r\nC: d\r\n"), &SMALL), None);
    assert_eq!(fault(&with("A: b\r\nC: d\r\nE: f\r\n"), &SMALL), Some(HttpError::TooManyHeaders));
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length));
    assert_eq!(fault(&target(15), &SMALL), None);
    assert_eq!(fault(&target(16), &SMALL), Some(HttpError::TargetTooLong));
    let unlimited = HeadLimits { headers_max: usize::MAX, ..HeadLimits::default() };
    let lines = "A: b\r\n".repeat(crate::http::HEADERS_MAX - 1);
    assert_eq!(fault(&with(&lines), &unlimited), None);
    assert_eq!(fault(&with(&(lines + "A: b\r\n")), &unlimited), Some(HttpError::TooManyHeaders));
    for not_one_head in ["", "GET / HTTP/1.1\r\n", "\r\n", &(with("") + "x")] {
        let expected = Some(HttpError::Incomplete);
        assert_eq!(fault(not_one_head, &HeadLimits::default()), expected, "{not_one_head}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        line in proptest::collection::vec(any::<u8>(), 0..40),
        lines in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        fault_of(&line);
        fault_with(&lines);
        fault_of(&[b"GET ", &line[..], b" HTTP/1.1\r\nHost: ", &lines, b"\r\n\r\n"].concat());
    }
}
