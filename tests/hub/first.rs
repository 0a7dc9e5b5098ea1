//! Who shows no token in the handshake: its first message, what it may cost until then, and how a
//! refusal looks after the upgrade.

use std::sync::Arc;
use std::time::{Duration, Instant};

use throng::hub::Door;
use throng::hub::limits::{Gate, HandshakeLimits};
use throng::hub::protobuf::{Command, CommandType, DeliveryType};

use crate::common::http::{Upgrade, get};
use crate::common::{Frame, RawClient, eventually, frame};
use crate::door::{enter, guarded_as, refusal, token, token_of};
use crate::twin::Twin;
use crate::{Person, Place};

fn by_first_message() -> Place {
    with_door(Door::default())
}

fn with_door(door: Door) -> Place {
    guarded_as(1, door, |config| {
        config.requires_token = true;
        config.takes_first_message = true;
    })
}

fn auth(token: &str) -> String {
    format!(r#"{{"type":"auth","token":"{token}"}}"#)
}

/// A Close with 1008 and this reason, which is answered, and the end.
fn expect_reason(client: &mut RawClient, reason: &str) {
    let close = client.read_frame();
    assert_eq!(close.opcode, frame::CLOSE, "{close}");
    assert_eq!(close.close_code(), Some(1008), "{close}");
    assert_eq!(String::from_utf8_lossy(&close.payload[2..]), reason);
    client.send(Frame::close(1008, "").bytes());
    client.expect_eof();
}

/// What `/metrics` says of one name.
fn metric(place: &Place, name: &str) -> Option<f64> {
    let mut client = place.client();
    client.send(get("/metrics"));
    let body = String::from_utf8(client.read_answer(false).body).expect("text");
    let line = body.lines().find(|line| line.split(' ').next() == Some(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn the_first_message_is_a_token() {
    let place = by_first_message();
    let mut ann = enter(&place, &Upgrade::new("/ws?room=r&name=eve"));
    ann.0.expect_open(); // a ping is no message
    let welcome = ann.ask(&auth(&token(60, None)));
    assert_eq!((&welcome["type"], &welcome["sender"]), (&"welcome".into(), &"ann".into()));
    assert_eq!(welcome["room"], "r");
    let expires_at = welcome["expires_at"].as_u64().expect("a time");
    let left_ms = expires_at - welcome["timestamp"].as_u64().expect("a time");
    assert!((50_000..=60_000).contains(&left_ms), "{left_ms}");
    assert_eq!(ann.fault(&auth(&token(60, None))), "unknown_type");
    // Who shows one in the handshake need not say it again.
    let mut bob = enter(&place, &Upgrade::new(&format!("/ws?token={}", token(60, None))));
    assert_eq!(bob.read()["sender"], "ann");
}

#[test]
fn a_twin_says_it_in_protobuf() {
    let place = by_first_message();
    let mut ann = Twin::upgrade(&place, Upgrade::new("/ws"), "throng.v1.proto");
    ann.send(&Command { token: Some(token(60, None)), ..Command::of(CommandType::Auth) });
    let welcome = ann.read();
    assert_eq!((welcome.kind(), welcome.sender.as_deref()), (DeliveryType::Welcome, Some("ann")));
    assert!(welcome.expires_at > welcome.timestamp);
    for wrong in [Frame::text(auth(&token(60, None))), Frame::binary("hello")] {
        let mut eve = Twin::upgrade(&place, Upgrade::new("/ws"), "throng.v1.proto");
        eve.0.send(wrong.bytes());
        expect_reason(&mut eve.0, "missing_token");
    }
}

#[test]
fn anything_else_is_turned_away() {
    let place = by_first_message();
    let _ann = enter(&place, &Upgrade::new(&format!("/ws?room=r&token={}", token(60, None))));
    let rows = [
        (r#"{"type":"text","room":"r","content":1}"#.to_owned(), "missing_token"),
        (r#"{"type":"join","room":"r"}"#.into(), "missing_token"),
        ("hello".into(), "missing_token"),
        (auth(""), "malformed_token"),
        (auth("a.b.c"), "malformed_token"),
        (auth(&token(0, None)), "expired_token"),
    ];
    for (first, reason) in rows {
        let mut eve = enter(&place, &Upgrade::new("/ws?room=r"));
        // What comes behind it is not heard, a good token neither.
        let both = [Frame::text(&first).bytes(), Frame::text(auth(&token(60, None))).bytes()];
        eve.0.send(both.concat());
        expect_reason(&mut eve.0, reason);
    }
    // Two tokens, or a bad one, in the handshake are refused there.
    let bad = refusal(&place, &Upgrade::new("/ws?token=x"), 401);
    assert_eq!(bad, "malformed_token");
    assert_eq!(refusal(&place, &Upgrade::new("/echo"), 401), "missing_token");
}

/// Reliability: nothing is inflated, at most 16 KiB is held, no room is joined, for 10 s.
#[test]
fn little_is_done_for_who_has_yet_to_say_who_it_is() {
    let place = by_first_message();
    let mut ann = enter(&place, &Upgrade::new(&format!("/ws?room=r&token={}", token(60, None))));
    assert_eq!(ann.read()["count"], 1);
    let deflate = "permessage-deflate; client_max_window_bits";
    let upgrade = |target| Upgrade::new(target).header("Sec-WebSocket-Extensions", deflate);
    let mut eve = place.client();
    eve.send(upgrade("/ws?room=r").bytes());
    assert_eq!(eve.expect_upgrade().only("sec-websocket-extensions"), None);
    let known = format!("/ws?token={}", token(60, None));
    let mut known_client = place.client();
    known_client.send(upgrade(&known).bytes());
    assert!(known_client.expect_upgrade().only("sec-websocket-extensions").is_some());
    // A compressed frame is a fault where nothing was agreed.
    eve.send(Frame::text("x").rsv(4).bytes());
    eve.expect_close(1002);
    // The header of a long message is enough, whole or in fragments.
    let mut eve = enter(&place, &Upgrade::new("/ws?room=r"));
    eve.0.send(Frame::text("").declare((16 << 10) + 1).header());
    eve.0.expect_close(1009);
    let mut eve = enter(&place, &Upgrade::new("/ws?room=r"));
    eve.0.send(Frame::text("x".repeat(16 << 10)).unfinished().bytes());
    eve.0.send(Frame::continuation("x").bytes());
    eve.0.expect_close(1009);
    // Nobody has come to the room meanwhile.
    ann.has_nothing();
    assert_eq!(ann.ask(r#"{"type":"presence","id":1}"#)["count"], 1);
}

/// What is said behind the token, in the same read, is held to the limit of all.
#[test]
fn the_limit_is_lifted_at_once() {
    let place = by_first_message();
    for cut in [0, 40] {
        let mut ann = enter(&place, &Upgrade::new("/ws?room=r"));
        let long = "x".repeat(100_000);
        let text = format!(r#"{{"type":"text","content":"{long}"}}"#);
        let bytes = [Frame::text(auth(&token(60, None))).bytes(), Frame::text(text).bytes()];
        let bytes = bytes.concat();
        ann.0.send(&bytes[..cut]);
        ann.0.send(&bytes[cut..]);
        assert_eq!(ann.read()["type"], "welcome");
        assert_eq!(ann.read()["content"], long.as_str());
    }
}

#[test]
fn who_says_nothing_lives_ten_seconds() {
    let place = by_first_message();
    let began = Instant::now();
    let mut silent = enter(&place, &Upgrade::new("/ws"));
    let mut busy = enter(&place, &Upgrade::new("/ws"));
    let mut ann = enter(&place, &Upgrade::new("/ws?room=r"));
    eventually("they are counted", 3.0, || metric(&place, "throng_unauthenticated") == Some(3.0));
    assert_eq!(ann.ask(&auth(&token(60, None)))["type"], "welcome");
    busy.0.expect_open(); // signs of life do not help
    expect_reason(&mut silent.0, "missing_token");
    let lived = began.elapsed();
    assert!(lived > Duration::from_secs(7) && lived < Duration::from_secs(11), "{lived:?}");
    expect_reason(&mut busy.0, "missing_token");
    ann.has_nothing();
    let refused = r#"throng_tokens_refused_total{code="missing_token"}"#;
    eventually("they are counted", 3.0, || {
        metric(&place, "throng_unauthenticated") == Some(0.0)
            && metric(&place, "throng_first_messages_total") == Some(1.0)
            && metric(&place, refused) == Some(2.0)
    });
}

/// The limits of an address and of a user hold for them too.
#[test]
fn they_have_places_like_all() {
    let limits = HandshakeLimits {
        connections_per_address_max: 4,
        connections_per_user_max: 1,
        ..HandshakeLimits::default()
    };
    let place = with_door(Door { gate: Some(Arc::new(Gate::new(limits))), ..Door::default() });
    let mut all: Vec<Person> = (0..4).map(|_| enter(&place, &Upgrade::new("/ws"))).collect();
    assert_eq!(refusal(&place, &Upgrade::new("/ws"), 429), "rate_limited");
    let (mut one, mut other) = (all.remove(0), all.remove(0));
    assert_eq!(one.ask(&auth(&token(60, None)))["sender"], "ann");
    other.send(&auth(&token(60, None)));
    expect_reason(&mut other.0, "rate_limited");
    assert_eq!(all[0].ask(&auth(&token_of("bob", 60, None)))["sender"], "bob");
}

#[test]
fn a_refusal_after_the_upgrade_says_why() {
    let place = guarded_as(2, Door::default(), |config| {
        config.requires_token = true;
        config.refuses_after_upgrade = true;
    });
    let old = token(0, None);
    for (target, reason) in [
        ("/ws".to_owned(), "missing_token"),
        ("/ws?token=a.b.c".into(), "malformed_token"),
        (format!("/ws?room=r&token={old}"), "expired_token"),
        (format!("/echo?token={old}"), "expired_token"),
    ] {
        let mut client = place.client();
        let hello = Frame::text(r#"{"type":"text","content":1}"#).bytes();
        client.send([Upgrade::new(&target).bytes(), hello].concat());
        client.expect_upgrade();
        expect_reason(&mut client, reason);
    }
    // A page has no business here before any token is looked at.
    let evil = Upgrade::new("/ws").header("Origin", "https://evil.example");
    assert_eq!(refusal(&place, &evil, 403), "forbidden_origin");
    let mut ann = enter(&place, &Upgrade::new(&format!("/ws?token={}", token(60, None))));
    assert_eq!(ann.read()["sender"], "ann");
}

/// What a page asks whose handshake was refused.
#[test]
fn the_reason_can_be_asked_for_without_a_handshake() {
    let late = |late: bool| {
        guarded_as(1, Door::default(), |config| {
            config.requires_token = true;
            config.refuses_after_upgrade = late;
        })
    };
    for place in [late(false), late(true)] {
        for (token, status) in [(token(60, None), 426), (token(0, None), 401), ("x".into(), 401)] {
            let mut client = place.client();
            let head =
                format!("GET /ws HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}");
            client.send(format!("{head}\r\n\r\n"));
            let answer = client.read_answer(false);
            assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
        }
        let mut client = place.client();
        client.send(get("/ws"));
        assert_eq!(client.read_answer(false).status, 401);
    }
    let place = Place::new(1);
    let mut client = place.client();
    client.send(get("/ws"));
    assert_eq!(client.read_answer(false).status, 426);
}
