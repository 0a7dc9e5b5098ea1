//! The gate, on virtual time.

use super::*;
use crate::http::EncodeOptions;

fn gate(limits: HandshakeLimits) -> Arc<Gate> {
    Arc::new(Gate::new(limits))
}

fn addr(last: u8) -> Option<IpAddr> {
    Some([192, 0, 2, last].into())
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The limit that is met, and for how long.
fn met(entered: Result<Place, Refusal>) -> (Limit, Duration) {
    let refusal = entered.expect_err("a limit is met");
    (refusal.limit, refusal.retry_after)
}

#[test]
fn connections_in_all_are_counted_until_they_end() {
    let gate = gate(HandshakeLimits { connections_max: 3, ..HandshakeLimits::default() });
    let mut places: Vec<_> = (0..3).map(|n| gate.enter(addr(n), ms(0)).unwrap()).collect();
    assert_eq!(met(gate.enter(addr(9), ms(0))), (Limit::Connections, ROOM_AFTER));
    assert_eq!(met(gate.enter(None, ms(0))), (Limit::Connections, ROOM_AFTER));
    assert_eq!((gate.connections(), gate.refusals(Limit::Connections)), (3, 2));
    places.pop();
    places.push(gate.enter(addr(9), ms(0)).unwrap());
    drop(places);
    assert_eq!(gate.connections(), 0);
}

#[test]
fn connections_of_an_address_are_counted_until_they_end() {
    let limits = HandshakeLimits { connections_per_address_max: 2, ..HandshakeLimits::default() };
    let gate = gate(limits);
    let v6 = |text: &str| Some(text.parse::<IpAddr>().unwrap());
    let first = gate.enter(v6("2001:db8::1"), ms(0)).unwrap();
    let _second = gate.enter(v6("2001:db8::2"), ms(0)).unwrap();
    let expected = (Limit::ConnectionsPerAddress, ROOM_AFTER);
    assert_eq!(met(gate.enter(v6("2001:db8::3"), ms(0))), expected, "one /64 is one address");
    let _other = gate.enter(v6("2001:db8:0:1::1"), ms(0)).unwrap();
    drop(first);
    let _third = gate.enter(v6("2001:db8::4"), ms(0)).unwrap();
    let _mapped = gate.enter(v6("::ffff:192.0.2.1"), ms(0)).unwrap();
    let _plain = gate.enter(addr(1), ms(0)).unwrap();
    assert_eq!(met(gate.enter(addr(1), ms(0))), expected, "a mapped address is the same one");
    assert_eq!(gate.refusals(Limit::ConnectionsPerAddress), 2);
}

#[test]
fn handshakes_of_an_address_come_at_a_rate() {
    let rate_per_address = Some(Rate::per_second(2, 3));
    let gate = gate(HandshakeLimits { rate_per_address, ..HandshakeLimits::default() });
    for _ in 0..3 {
        assert!(gate.enter(addr(1), ms(0)).is_ok());
    }
    let expected = (Limit::HandshakesPerAddress, ms(500));
    assert_eq!(met(gate.enter(addr(1), ms(0))), expected, "that they ended again is no excuse");
    assert!(gate.enter(addr(2), ms(0)).is_ok(), "another address");
    assert!(gate.enter(addr(1), ms(500)).is_ok());
    assert_eq!(gate.connections(), 0);
}

/// One address that knocks too fast does not use up what is there for all.
#[test]
fn handshakes_in_all_come_at_a_rate() {
    let limits = HandshakeLimits {
        rate: Some(Rate::per_second(10, 20)),
        rate_per_address: Some(Rate::per_second(1, 5)),
        ..HandshakeLimits::default()
    };
    let gate = gate(limits);
    assert_eq!((0..1_000).filter(|_| gate.enter(addr(1), ms(0)).is_ok()).count(), 5);
    assert_eq!((2..=255).filter(|last| gate.enter(addr(*last), ms(0)).is_ok()).count(), 15);
    assert_eq!(met(gate.enter(None, ms(0))), (Limit::Handshakes, ms(100)));
    assert!(gate.enter(None, ms(100)).is_ok());
    assert_eq!(gate.connections(), 0);
}

/// Over the limit in all nothing of the rate is used up: who left makes room at once.
#[test]
fn a_full_server_does_not_count_the_handshakes_it_refuses() {
    let rate = Some(Rate::per_second(1, 2));
    let gate = gate(HandshakeLimits { connections_max: 1, rate, ..HandshakeLimits::default() });
    let place = gate.enter(addr(1), ms(0)).unwrap();
    for _ in 0..100 {
        assert_eq!(met(gate.enter(addr(2), ms(0))).0, Limit::Connections);
    }
    drop(place);
    assert!(gate.enter(addr(2), ms(0)).is_ok());
}

#[test]
fn connections_of_a_user_are_counted_until_they_end() {
    let limits = HandshakeLimits { connections_per_user_max: 2, ..HandshakeLimits::default() };
    let gate = gate(limits);
    let (ann, bob): (Arc<str>, Arc<str>) = ("ann".into(), "bob".into());
    let mut places: Vec<_> = (0..3).map(|n| gate.enter(addr(n), ms(0)).unwrap()).collect();
    assert_eq!(places[0].take_user(&ann), Ok(()));
    assert_eq!(places[1].take_user(&ann), Ok(()));
    assert_eq!(places[1].take_user(&ann), Ok(()), "it is counted already");
    let refusal = places[2].take_user(&ann).unwrap_err();
    assert_eq!(refusal.limit, Limit::ConnectionsPerUser);
    assert_eq!(places[2].take_user(&bob), Ok(()));
    places.remove(0);
    assert_eq!(places[1].take_user(&ann), Ok(()), "bob is ann now");
    drop(places);
    assert_eq!((gate.connections(), gate.counters.users.len()), (0, 0));
}

#[test]
fn each_refusal_says_which_limit_and_when_to_come_back() {
    for limit in Limit::ALL {
        let refusal = Refusal { limit, retry_after: ms(1_200) };
        let response = refusal.response();
        assert_eq!(response.status(), if limit == Limit::Connections { 503 } else { 429 });
        let mut bytes = Vec::new();
        response.encode(&mut bytes, EncodeOptions::CLOSE);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("\r\nRetry-After: 2\r\n"), "{text}");
        let body: serde_json::Value = serde_json::from_slice(response.body_bytes()).unwrap();
        assert_eq!(body["limit"], limit.name());
        assert_eq!(body["retry_after_ms"], 1_200);
    }
    let soon = Refusal { limit: Limit::Handshakes, retry_after: Duration::from_nanos(1) };
    let lines: Vec<_> = soon
        .response()
        .header_lines()
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert!(lines.contains(&("Retry-After".into(), "1".into())), "{lines:?}");
}

/// Loops on threads of their own come to the same count, and never past a limit.
#[test]
fn loops_share_a_gate() {
    let limits = HandshakeLimits {
        connections_max: 50,
        connections_per_address_max: 20,
        addresses_max: 64,
        rate: None,
        rate_per_address: None,
        ..HandshakeLimits::default()
    };
    let gate = gate(limits);
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let gate = &gate;
            scope.spawn(move || {
                let mut held = Vec::new();
                for round in 0..10_000_u32 {
                    let last = (round % 7) as u8;
                    match gate.enter(addr(last), ms(u64::from(round))) {
                        Ok(mut place) => {
                            let user: Arc<str> = format!("user{}", thread % 2).into();
                            assert_eq!(place.take_user(&user), Ok(()));
                            held.push(place);
                        }
                        Err(_) => held.clear(),
                    }
                    assert!(held.len() <= 50);
                }
            });
        }
    });
    assert_eq!((gate.connections(), gate.counters.users.len()), (0, 0));
    for last in 0..7 {
        let places: Vec<_> = (0..20).map(|_| gate.enter(addr(last), ms(10_000)).unwrap()).collect();
        assert_eq!(met(gate.enter(addr(last), ms(10_000))).0, Limit::ConnectionsPerAddress);
        drop(places);
    }
}

#[test]
fn with_other_limits_who_is_in_stays_counted() {
    let before = gate(HandshakeLimits::default());
    let place = before.enter(addr(1), ms(0)).unwrap();
    let tight = HandshakeLimits { connections_per_address_max: 1, ..HandshakeLimits::default() };
    let after = Arc::new(before.with_limits(tight));
    assert_eq!(met(after.enter(addr(1), ms(0))).0, Limit::ConnectionsPerAddress);
    assert_eq!(before.refusals(Limit::ConnectionsPerAddress), 1, "they count together");
    drop(place); // it came while the limits were others
    assert_eq!(after.connections(), 0);
    assert!(after.enter(addr(1), ms(0)).is_ok());
}
