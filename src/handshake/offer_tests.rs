//! Tables of handshakes, one rule each.

use super::*;
use crate::http::{HeadLimits, HeaderSlots, HttpError};
use HandshakeError as E;

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const VALID: [&str; 5] =
    ["Host: a", "Upgrade: websocket", "Connection: Upgrade", KEY, "Sec-WebSocket-Version: 13"];

/// What becomes of a request: the offer is handed to `with`.
fn offer<T>(
    line: &str,
    headers: &[&str],
    with: impl FnOnce(Offer<'_>) -> T,
) -> Result<Option<T>, E> {
    let head = format!("{line}\r\n{}\r\n\r\n", headers.join("\r\n"));
    let mut slots = HeaderSlots::new();
    let request = Request::parse(head.as_bytes(), &mut slots, &HeadLimits::default())?;
    Ok(Offer::from_request(&request)?.map(with))
}

fn result(line: &str, headers: &[&str]) -> Result<bool, E> {
    offer(line, headers, |_| ()).map(|offer| offer.is_some())
}

/// The valid handshake with the header at `index` replaced by `lines`.
fn replaced(index: usize, lines: &[&str]) -> Result<bool, E> {
    let headers = [&VALID[..index], lines, &VALID[index + 1..]].concat();
    result("GET /chat HTTP/1.1", &headers)
}

/// The valid handshake with more lines.
fn added<T>(lines: &[&str], with: impl FnOnce(Offer<'_>) -> T) -> Result<T, E> {
    let headers = [&VALID[..], lines].concat();
    offer("GET /chat HTTP/1.1", &headers, with).map(Option::unwrap)
}

#[test]
fn plain_http_is_no_attempt() {
    assert_eq!(result("GET / HTTP/1.1", &["Host: a"]), Ok(false));
    assert_eq!(result("GET / HTTP/1.1", &["Host: a", "Upgrade: h2c"]), Ok(false));
    assert_eq!(result("POST / HTTP/1.1", &["Host: a", "Content-Length: 3"]), Ok(false));
    let versioned = ["Host: a", "Upgrade: websocket/13", "Connection: Upgrade"];
    assert_eq!(result("GET / HTTP/1.1", &versioned), Ok(false));
    assert_eq!(result("GET / HTTP/1.0", &["X: y"]), Ok(false));
}

#[test]
fn rfc6455_4_2_1_item_1_method_and_version() {
    let table = [
        ("GET / HTTP/1.1", Ok(true)),
        ("GET ws://b/x HTTP/1.1", Ok(true)),
        ("POST / HTTP/1.1", Err(E::Method)),
        ("HEAD / HTTP/1.1", Err(E::Method)),
        ("get / HTTP/1.1", Err(E::Method)),
        ("GET / HTTP/1.0", Err(E::HttpVersion)),
        ("GET / HTTP/2.0", Err(E::Http(HttpError::Version))),
    ];
    for (line, expected) in table {
        assert_eq!(result(line, &VALID), expected, "{line}");
    }
}

#[test]
fn rfc6455_4_2_1_each_header_is_needed_once_and_valid() {
    const HOST: usize = 0;
    const UPGRADE: usize = 1;
    const CONNECTION: usize = 2;
    const KEY_LINE: usize = 3;
    const VERSION_LINE: usize = 4;
    let table: [(usize, &[&str], Result<bool, E>); 27] = [
        (HOST, &[], Err(E::Http(HttpError::HostMissing))),
        (HOST, &["Host: a", "Host: a"], Err(E::Http(HttpError::HostRepeated))),
        (UPGRADE, &["upgrade: h2c, WebSocket"], Ok(true)),
        (UPGRADE, &["Upgrade: h2c", "UPGRADE:\twebsocket "], Ok(true)),
        (UPGRADE, &[], Err(E::Upgrade)),
        (UPGRADE, &["Upgrade: websocket/13"], Err(E::Upgrade)),
        (UPGRADE, &["Upgrade: websockets"], Err(E::Upgrade)),
        (UPGRADE, &["Upgrade: web, socket"], Err(E::Upgrade)),
        (CONNECTION, &["Connection: keep-alive, Upgrade"], Ok(true)),
        (CONNECTION, &["Connection: keep-alive", "connection: upgrade"], Ok(true)),
        (CONNECTION, &[], Err(E::Connection)),
        (CONNECTION, &["Connection: keep-alive"], Err(E::Connection)),
        (CONNECTION, &["Connection: no-upgrade"], Err(E::Connection)),
        (CONNECTION, &["Connection: keep-alive Upgrade"], Err(E::Connection)),
        (KEY_LINE, &[], Err(E::KeyMissing)),
        (KEY_LINE, &[KEY, KEY], Err(E::KeyRepeated)),
        (KEY_LINE, &["Sec-WebSocket-Key:"], Err(E::KeyInvalid)),
        (KEY_LINE, &["Sec-WebSocket-Key: dGhl"], Err(E::KeyInvalid)),
        (KEY_LINE, &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWVl"], Err(E::KeyInvalid)),
        (VERSION_LINE, &["Sec-WebSocket-Version:  13\t"], Ok(true)),
        (VERSION_LINE, &[], Err(E::Version)),
        (VERSION_LINE, &["Sec-WebSocket-Version: 8"], Err(E::Version)),
        (VERSION_LINE, &["Sec-WebSocket-Version: 013"], Err(E::Version)),
        (VERSION_LINE, &["Sec-WebSocket-Version: 13, 8"], Err(E::Version)),
        (VERSION_LINE, &["Sec-WebSocket-Version: \u{e9}"], Err(E::Version)),
        (VERSION_LINE, &["Sec-WebSocket-Version: 13"; 2], Err(E::VersionRepeated)),
        (VERSION_LINE, &["Sec-WebSocket-Version: 13", "Origin: http://a"], Ok(true)),
    ];
    for (index, lines, expected) in table {
        assert_eq!(replaced(index, lines), expected, "{lines:?}");
    }
    let mut backwards = VALID;
    backwards.reverse();
    assert_eq!(result("GET / HTTP/1.1", &backwards), Ok(true));
}

#[test]
fn rfc9112_6_no_body() {
    let fault = |line| added(&[line], |_| ()).err();
    assert_eq!(fault("Content-Length: 0"), None);
    assert_eq!(fault("Content-Length: 1"), Some(E::Body));
    assert_eq!(fault("Transfer-Encoding: chunked"), Some(E::Body));
    let identity = Some(E::Http(HttpError::TransferEncoding));
    assert_eq!(fault("Transfer-Encoding: identity"), identity);
}

#[test]
fn origin_is_read_once_or_refused() {
    let origin = |lines: &[&str]| added(lines, |offer| offer.origin().map(str::to_owned));
    assert_eq!(origin(&[]), Ok(None));
    assert_eq!(origin(&["Origin: https://a.example"]), Ok(Some("https://a.example".into())));
    assert_eq!(origin(&["Origin: null"]), Ok(Some("null".into())));
    assert_eq!(origin(&["Origin:"]), Ok(Some(String::new())));
    assert_eq!(origin(&["Origin: a", "Origin: a"]), Err(E::Origin));
    assert_eq!(origin(&["Origin: \u{e9}"]), Err(E::Origin));
}

#[test]
fn rfc6455_4_1_item_10_subprotocols() {
    let list = |lines: &[&str]| {
        added(lines, |offer| offer.subprotocols().map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(list(&[]).unwrap(), [""; 0]);
    assert_eq!(list(&["Sec-WebSocket-Protocol: b, a"]).unwrap(), ["b", "a"]);
    let two_lines = ["Sec-WebSocket-Protocol: b", "sec-websocket-protocol: ,a , B"];
    assert_eq!(list(&two_lines).unwrap(), ["b", "a", "B"]);
    assert_eq!(list(&["Sec-WebSocket-Protocol:"]), Err(E::Subprotocols));
    assert_eq!(list(&["Sec-WebSocket-Protocol: a b"]), Err(E::Subprotocols));
    assert_eq!(list(&["Sec-WebSocket-Protocol: \u{e9}"]), Err(E::Subprotocols));
    assert_eq!(list(&["Sec-WebSocket-Protocol: a, b, a"]), Err(E::SubprotocolRepeated));
    let many = |count: usize| {
        let names: Vec<_> = (0..count).map(|number| format!("p{number}")).collect();
        list(&[&format!("Sec-WebSocket-Protocol: {}", names.join(","))]).map(|list| list.len())
    };
    assert_eq!(many(SUBPROTOCOLS_MAX), Ok(SUBPROTOCOLS_MAX));
    assert_eq!(many(SUBPROTOCOLS_MAX + 1), Err(E::TooManySubprotocols));
}

#[test]
fn rfc6455_4_2_2_the_subprotocol_is_one_of_the_clients() {
    added(&["Sec-WebSocket-Protocol: b, a, c"], |offer| {
        assert_eq!(offer.choose(&["a", "b"]), Some("b"));
        assert_eq!(offer.choose(&["x", "c"]), Some("c"));
        assert_eq!(offer.choose(&["A", "x"]), None);
        assert_eq!(offer.choose(&[]), None);
        assert_eq!(offer.check(&Acceptance::new()), Ok(()));
        assert_eq!(offer.check(&Acceptance::new().subprotocol("c")), Ok(()));
        let other = Acceptance::new().subprotocol("x");
        assert_eq!(offer.check(&other), Err(E::SubprotocolNotOffered));
    })
    .unwrap();
    added(&[], |offer| {
        assert_eq!(offer.choose(&["a"]), None);
        let any = Acceptance::new().subprotocol("a");
        assert_eq!(offer.check(&any), Err(E::SubprotocolNotOffered));
    })
    .unwrap();
}

#[test]
fn rfc6455_9_1_extensions_over_several_lines() {
    let names = |lines: &[&str]| {
        added(lines, |offer| {
            offer.extensions().map(|it| (it.name().to_owned(), it.params().count())).collect()
        })
        .map(|names: Vec<_>| format!("{names:?}"))
    };
    let lines = ["Sec-WebSocket-Extensions: x, y; a=1; b", "sec-websocket-extensions: ,z;c=\"d\""];
    assert_eq!(names(&lines).unwrap(), r#"[("x", 0), ("y", 2), ("z", 1)]"#);
    assert_eq!(names(&[]).unwrap(), "[]");
    let malformed = ["Sec-WebSocket-Extensions: x", "Sec-WebSocket-Extensions: y;"];
    assert_eq!(names(&malformed), Err(E::Extensions));
    assert_eq!(names(&["Sec-WebSocket-Extensions:"]), Err(E::Extensions));
    let spanning = ["Sec-WebSocket-Extensions: x;a=\"1", "Sec-WebSocket-Extensions: 2\""];
    assert_eq!(names(&spanning), Err(E::Extensions));
}
