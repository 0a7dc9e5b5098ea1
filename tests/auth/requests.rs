//! From a request to an identity: the places of a token, cookies and origins, subprotocols.

use throng::handshake::Offer;
use throng::http::{HeadLimits, HeaderSlots, Request};
use throng::hub::auth::{
    AuthConfig, Authenticator, Identity, Issuer, Refusal, Source, Sources, first_message,
};
use throng::hub::origin::{Origins, Provenance, Scheme};

use crate::support::{NOW_S, SECRET, ann, by_secret, identify, token, with};

fn with_head<T>(target: &str, lines: &str, then: impl FnOnce(&Request<'_>) -> T) -> T {
    let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let mut slots = HeaderSlots::new();
    then(&Request::parse(head.as_bytes(), &mut slots, &HeadLimits::default()).expect("a request"))
}

fn ask(
    authenticator: &Authenticator,
    provenance: Provenance,
    target: &str,
    lines: &str,
) -> Result<Option<Identity>, Refusal> {
    with_head(target, lines, |head| authenticator.authenticate(head, provenance, NOW_S))
}

#[test]
fn a_token_in_each_place_says_who() {
    let (authenticator, token) = (by_secret(), token(&ann()));
    for (target, lines) in [
        ("/".to_owned(), format!("Authorization: Bearer {token}\r\n")),
        ("/".to_owned(), format!("Sec-WebSocket-Protocol: throng.v1.json, bearer.{token}\r\n")),
        (format!("/ws?room=a&token={token}"), String::new()),
        ("/".to_owned(), format!("Cookie: token={token}\r\n")),
    ] {
        let found = ask(&authenticator, Provenance::Same, &target, &lines);
        assert_eq!(&*found.unwrap().unwrap().sub, "ann", "{lines}");
    }
    let message = format!(r#"{{"type":"auth","token":"{token}"}}"#);
    let first = first_message(message.as_bytes()).unwrap();
    assert_eq!(&*identify(&authenticator, first.as_str()).unwrap().sub, "ann");
}

#[test]
fn without_a_token_where_none_is_needed() {
    let mut config = AuthConfig::new(vec![Issuer::secret(SECRET)]);
    assert_eq!(ask(&with(config.clone()), Provenance::Same, "/", ""), Ok(None));
    config.requires_token = true;
    let strict = with(config);
    assert_eq!(ask(&strict, Provenance::Same, "/", ""), Err(Refusal::Missing));
    assert!(strict.requires_token());
    // A token that is there and wrong does not make a guest.
    let wrong = "Authorization: Bearer a.b.c\r\n";
    assert_eq!(ask(&by_secret(), Provenance::Same, "/", wrong), Err(Refusal::Malformed));
}

#[test]
fn rule_2_a_cookie_counts_only_from_a_known_page() {
    let cookie = format!("Cookie: token={}\r\n", token(&ann()));
    let by = |provenance| ask(&by_secret(), provenance, "/", &cookie).map(|it| it.is_some());
    assert_eq!(by(Provenance::Same), Ok(true));
    assert_eq!(by(Provenance::Listed), Ok(true));
    assert_eq!(by(Provenance::Absent), Err(Refusal::CookieWithoutOrigin));
    assert_eq!(by(Provenance::Null), Err(Refusal::CookieWithoutOrigin));
    // A token that was sent on purpose needs no origin.
    let both = format!("{cookie}Authorization: Bearer {}\r\n", token(&ann()));
    assert!(ask(&by_secret(), Provenance::Absent, "/", &both).unwrap().is_some());
}

#[test]
fn rule_2_from_the_head_to_the_refusal() {
    let cookie = format!("Cookie: token={}\r\n", token(&ann()));
    let refused = |lines: &str| {
        with_head("/", lines, |head| {
            let provenance = Origins::default().check(head, Scheme::Http)?;
            by_secret().authenticate(head, provenance, NOW_S)
        })
        .map(|it| it.is_some())
    };
    assert_eq!(refused(&format!("{cookie}Origin: http://a\r\n")), Ok(true));
    assert_eq!(refused(&format!("{cookie}Origin: http://b\r\n")), Err(Refusal::Origin));
    assert_eq!(refused(&cookie), Err(Refusal::CookieWithoutOrigin));
}

#[test]
fn a_place_can_be_closed() {
    let mut config = AuthConfig::new(vec![Issuer::secret(SECRET)]);
    config.sources = Sources::ALL.without(Source::Query).without(Source::Cookie);
    let authenticator = with(config);
    let token = token(&ann());
    let cookie = format!("Cookie: token={token}\r\n");
    let target = format!("/?token={token}");
    assert_eq!(ask(&authenticator, Provenance::Same, &target, &cookie), Ok(None));
}

#[test]
fn rule_9_a_token_is_never_chosen_as_the_subprotocol() {
    let lines = |offered: &str| {
        format!(
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {offered}\r\n"
        )
    };
    let choose = |offered: &str| {
        with_head("/", &lines(offered), |head| {
            let offer = Offer::from_request(head).expect("a handshake").expect("a handshake");
            offer.choose(&["throng.v1.json", "throng.v1.proto"])
        })
    };
    assert_eq!(choose("bearer.a.b.c, throng.v1.json"), Some("throng.v1.json"));
    assert_eq!(choose("bearer.a.b.c"), None);
}
