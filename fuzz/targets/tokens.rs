//! Tokens: whatever a head carries, nobody comes in without a signature; nothing of a token is left
//! in what is logged; and an origin that is let in is the server's or on the list.
//!
//! The input: two bytes for the list of places and what is done, then a head, a token or a message.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use throng::http::{HeadLimits, HeaderSlots, Request};
use throng::hub::auth::{
    AuthConfig, Authenticator, Issuer, Pattern, Refusal, Source, Sources, first_message,
    redact_header, redact_target, token_of,
};
use throng::hub::hosts::Hosts;
use throng::hub::origin::{Origins, Provenance, Scheme};
use throng_fuzz::{Plan, head};

const NOW_S: u64 = 1_800_000_000;

static SERVER: LazyLock<Authenticator> = LazyLock::new(|| {
    let issuers = vec![
        Issuer::secret(b"one secret that nobody can guess"),
        Issuer::secret(b"another one, of somebody else...").named("a"),
    ];
    Authenticator::new(AuthConfig::new(issuers)).expect("two good secrets")
});

fuzz_target!(|input: &[u8]| {
    let mut plan = Plan::new(input);
    let [what, places] = plan.bytes();
    let sources = [Source::Authorization, Source::Subprotocol, Source::Query, Source::Cookie]
        .into_iter()
        .enumerate()
        .filter(|(index, _)| places >> index & 1 != 0)
        .fold(Sources::ALL, |sources, (_, source)| sources.without(source));
    match what % 4 {
        0 => one_head(plan.rest(), sources),
        1 => one_head(&head::head(plan), sources),
        2 => one_token(plan.rest()),
        _ => names(plan.rest()),
    }
});

fn one_head(head: &[u8], sources: Sources) {
    let mut slots = HeaderSlots::new();
    let Ok(head) = Request::parse(head, &mut slots, &HeadLimits::default()) else { return };
    if let Ok(Some((_, token))) = token_of(&head, sources) {
        assert!(!token.as_str().is_empty());
        assert_eq!(format!("{token:?}"), "Token(***)");
        // Where it is long enough to be no chance, it is in nothing that is logged.
        let target = format!("{}?{}", head.path(), head.query().unwrap_or(""));
        let found = token_of(&head, Sources::only(Source::Query));
        if let Ok(Some((_, token))) = found {
            let left: Vec<_> = tokens_left(&redact_target(&target));
            assert!(left.iter().all(|value| *value == "***"), "{target}: {token:?}");
        }
    }
    for (name, value) in head.all_headers().iter() {
        let shown = redact_header(name, value);
        let is_list = name.eq_ignore_ascii_case("sec-websocket-protocol");
        let hidden = |it: &str| !it.starts_with("bearer.") || it == "bearer.***";
        assert!(!is_list || shown.split(", ").all(hidden), "{shown}");
    }
    origin(&head);
    for provenance in [Provenance::Same, Provenance::Absent] {
        let verdict = SERVER.authenticate(&head, provenance, NOW_S);
        assert!(!matches!(verdict, Ok(Some(_))), "somebody came in");
    }
}

/// The values of `token` in a target, as the server reads them.
fn tokens_left(target: &str) -> Vec<String> {
    let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut slots = HeaderSlots::new();
    let Ok(head) = Request::parse(head.as_bytes(), &mut slots, &HeadLimits::default()) else {
        return Vec::new();
    };
    match token_of(&head, Sources::only(Source::Query)) {
        Ok(Some((_, token))) => vec![token.as_str().to_owned()],
        Ok(None) | Err(_) => Vec::new(),
    }
}

fn origin(head: &Request<'_>) {
    let entries = ["https://a.example", "https://*.b.example", "null"];
    let origins = Origins::new(&entries).expect("a good list");
    let text = head.header("origin").map(String::from_utf8_lossy).unwrap_or_default();
    let text = text.to_ascii_lowercase();
    let stem = text.strip_suffix(":443").unwrap_or(&text);
    match origins.check(head, Scheme::Https) {
        Ok(Provenance::Same) => {
            let host = head.host().unwrap_or_default().to_ascii_lowercase();
            assert!(text.contains(host.split(':').next().unwrap_or_default()), "{text} {host}");
        }
        Ok(Provenance::Listed) => {
            let below = stem.starts_with("https://") && stem.ends_with(".b.example");
            assert!(stem == "https://a.example" || below, "{text}");
        }
        Ok(Provenance::Null) => assert_eq!(text, "null"),
        Ok(Provenance::Absent) => assert!(head.header("origin").is_none()),
        Err(refusal) => assert_eq!(refusal, Refusal::Origin),
    }
    let shared = origins.preflight(head, Scheme::Https, "GET");
    assert!(matches!(shared.status(), 204 | 403));
}

fn one_token(bytes: &[u8]) {
    if let Ok(token) = first_message(bytes) {
        assert!(SERVER.identify(token.as_str(), NOW_S).is_err());
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    assert!(SERVER.identify(text, NOW_S).is_err(), "somebody came in");
}

/// A list of names by an operator, and a pattern by an issuer: neither panics.
fn names(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let entries: Vec<_> = text.split('\n').collect();
    let _ = Origins::new(&entries);
    let _ = Hosts::new(&entries);
    let _ = redact_target(text);
    let Some((pattern, room)) = text.split_once('\n') else { return };
    if let Ok(pattern) = Pattern::new(pattern) {
        let matches = pattern.matches(room);
        if !pattern.to_string().contains('*') {
            assert_eq!(matches, pattern.to_string() == room);
        }
    }
}
