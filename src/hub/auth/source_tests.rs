//! Where tokens are found, and where they are hidden.

use super::*;
use crate::http::{HeadLimits, HeaderSlots};

type Found = Result<Option<(Source, String)>, Refusal>;

fn find(target: &str, lines: &str, sources: Sources) -> Found {
    let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let mut slots = HeaderSlots::new();
    let head = Request::parse(head.as_bytes(), &mut slots, &HeadLimits::default()).unwrap();
    let found = token_of(&head, sources)?;
    Ok(found.map(|(source, token)| (source, token.as_str().to_owned())))
}

fn at(source: Source, token: &str) -> Found {
    Ok(Some((source, token.to_owned())))
}

#[test]
fn each_place() {
    let table = [
        ("/", "", Ok(None)),
        ("/", "Authorization: Bearer a.b.c\r\n", at(Source::Authorization, "a.b.c")),
        ("/", "authorization: bEARER   a.b.c \r\n", at(Source::Authorization, "a.b.c")),
        ("/", "Authorization: Basic YTpi\r\n", Ok(None)),
        ("/", "Authorization: Bearer\r\n", Err(Refusal::Malformed)),
        ("/", "Authorization: Bearera.b.c\r\n", Ok(None)),
        ("/", "Authorization: Bearer \u{e9}\r\n", at(Source::Authorization, "\u{e9}")),
        ("/?token=a.b.c", "", at(Source::Query, "a.b.c")),
        ("/?x=1&%74oken=a%2Eb.c", "", at(Source::Query, "a.b.c")),
        ("/?Token=a", "", Ok(None)),
        ("/?token=", "", Err(Refusal::Malformed)),
        ("/?token", "", Err(Refusal::Malformed)),
        ("/", "Cookie: token=a.b.c\r\n", at(Source::Cookie, "a.b.c")),
        ("/", "Cookie: x=1; token=\"a.b.c\";y=2\r\n", at(Source::Cookie, "a.b.c")),
        ("/", "Cookie: xtoken=a; token2=b; tokens=c\r\n", Ok(None)),
        ("/", "Cookie: token=\r\n", Ok(None)),
        (
            "/",
            "Sec-WebSocket-Protocol: throng.v1.json, bearer.a.b.c\r\n",
            at(Source::Subprotocol, "a.b.c"),
        ),
        ("/", "Sec-WebSocket-Protocol: bearer.\r\n", Err(Refusal::Malformed)),
        ("/", "Sec-WebSocket-Protocol: chat, bearer\r\n", Ok(None)),
    ];
    for (target, lines, expected) in table {
        assert_eq!(find(target, lines, Sources::ALL), expected, "{target} {lines}");
    }
}

#[test]
fn what_is_said_on_purpose_goes_first() {
    let all = "Cookie: token=d\r\nSec-WebSocket-Protocol: bearer.b\r\nAuthorization: Bearer a\r\n";
    let mut sources = Sources::ALL;
    for (source, token) in Source::ALL.into_iter().zip(["a", "b", "c", "d"]) {
        assert_eq!(find("/?token=c", all, sources), at(source, token));
        assert_eq!(find("/?token=c", all, Sources::only(source)), at(source, token));
        sources = sources.without(source);
    }
    assert_eq!(find("/?token=c", all, sources), Ok(None));
}

#[test]
fn two_tokens_in_one_place_are_refused() {
    for (target, lines) in [
        ("/", "Authorization: Bearer a\r\nAuthorization: Bearer a\r\n"),
        ("/?token=a&token=b", ""),
        ("/", "Cookie: token=a; token=b\r\n"),
        ("/", "Cookie: token=a\r\nCookie: token=b\r\n"),
        ("/", "Sec-WebSocket-Protocol: bearer.a, bearer.b\r\n"),
    ] {
        assert_eq!(find(target, lines, Sources::ALL), Err(Refusal::Repeated), "{target} {lines}");
    }
}

#[test]
fn no_token_is_left_in_a_target() {
    let table = [
        ("/ws", "/ws"),
        ("/ws?", "/ws?"),
        ("/ws?room=a", "/ws?room=a"),
        ("/ws?token=SECRET", "/ws?token=***"),
        ("/ws?token=SECRET&token=SECRET&x", "/ws?token=***&token=***&x"),
        ("/ws?%74%6Fken=SECRET", "/ws?%74%6Fken=***"),
        ("/ws?TOKEN=SECRET=SECRET", "/ws?TOKEN=***"),
        ("/ws?access_token=SECRET", "/ws?access_token=***"),
        ("/ws?x=1&ticket=SECRET.SECRET", "/ws?x=1&ticket=***"),
        ("/ws?Ticke%74=SECRET", "/ws?Ticke%74=***"),
        ("/ws?token", "/ws?token"),
        ("/ws?&&token=SECRET&", "/ws?&&token=***&"),
        ("/ws?tokens=kept", "/ws?tokens=kept"),
    ];
    for (target, expected) in table {
        assert_eq!(redact_target(target), expected);
    }
}

#[test]
fn no_token_is_left_in_a_header() {
    let table = [
        ("AUTHORIZATION", "Bearer SECRET", "***"),
        ("cookie", "a=b; token=SECRET", "***"),
        ("Proxy-Authorization", "Basic SECRET", "***"),
        ("sec-websocket-protocol", "a,bearer.SECRET , b", "a, bearer.***, b"),
        ("Origin", "https://a", "https://a"),
    ];
    for (name, value, expected) in table {
        assert_eq!(redact_header(name, value.as_bytes()), expected);
    }
    assert_eq!(format!("{:?}", Token("SECRET".into())), "Token(***)");
}
