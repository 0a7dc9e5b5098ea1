//! Who comes in, and what tokens and limits allow: at work in the hub.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use throng::hub::auth::{AuthConfig, Authenticator, Claims, Issuer, Signer};
use throng::hub::limits::{FlowLimits, Gate, HandshakeLimits, Rate};
use throng::hub::origin::Origins;
use throng::hub::{Config, Door};

use crate::common::http::Upgrade;
use crate::{Person, Place};

const SECRET: &[u8] = b"a secret that is long enough for anybody";

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A token of Ann's that lives so long, with these rooms.
pub fn token(seconds: u64, rooms: Option<&str>) -> String {
    token_of("ann", seconds, rooms)
}

pub fn token_of(sub: &str, seconds: u64, rooms: Option<&str>) -> String {
    let rooms = rooms.map(|rooms| serde_json::from_str(rooms).expect("rooms"));
    let exp = Some(now_s() + seconds);
    let claims = Claims { sub: sub.into(), exp, rooms, ..Claims::default() };
    Signer::secret(SECRET).and_then(|signer| signer.sign(&claims)).expect("it signs")
}

fn guarded(requires_token: bool) -> Place {
    guarded_as(2, Door::default(), |config| config.requires_token = requires_token)
}

/// A hub that takes Ann's tokens, in so many loops.
pub fn guarded_as(loops: usize, door: Door, change: impl FnOnce(&mut AuthConfig)) -> Place {
    Place::behind(loops, Config::default(), door_as(door, change))
}

/// A door that takes Ann's tokens.
pub fn door_as(door: Door, change: impl FnOnce(&mut AuthConfig)) -> Door {
    let mut config = AuthConfig::new(vec![Issuer::secret(SECRET)]);
    change(&mut config);
    let authenticator = Some(Arc::new(Authenticator::new(config).expect("one key")));
    Door { authenticator, ..door }
}

/// The answer to a handshake that is refused: its status, and the code in its body.
pub fn refusal(place: &Place, upgrade: &Upgrade, status: u16) -> String {
    let mut client = place.client();
    client.send(upgrade.bytes());
    let answer = client.expect_answer(status);
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    body["error"].as_str().expect("a code").to_owned()
}

pub fn enter(place: &Place, upgrade: &Upgrade) -> Person {
    let mut client = place.client();
    client.send(upgrade.bytes());
    client.expect_upgrade();
    Person(client)
}

#[test]
fn without_a_token_nobody_comes_in_where_one_is_needed() {
    let place = guarded(true);
    for target in ["/", "/ws", "/ws?token=", "/echo"] {
        let code = refusal(&place, &Upgrade::new(target), 401);
        assert!(["missing_token", "malformed_token"].contains(&&*code), "{target}: {code}");
    }
    let old = token(0, None);
    let code = refusal(&place, &Upgrade::new(&format!("/ws?token={old}")), 401);
    assert_eq!(code, "expired_token");
}

#[test]
fn a_token_says_who_somebody_is_however_it_comes() {
    let place = guarded(true);
    let token = token(60, None);
    let bearer = format!("Bearer {token}");
    let offered = format!("throng.v1.json, bearer.{token}");
    for upgrade in [
        Upgrade::new(&format!("/ws?name=eve&token={token}")),
        Upgrade::new("/ws?name=eve").header("Authorization", &bearer),
        Upgrade::new("/ws").header("Sec-WebSocket-Protocol", &offered),
    ] {
        let mut ann = enter(&place, &upgrade);
        assert_eq!(ann.next_of("welcome")["sender"], "ann");
        let text = ann.ask(r#"{"type":"text","sender":"eve","content":1}"#);
        assert_eq!(text["sender"], "ann", "{text}");
    }
}

#[test]
fn the_subprotocol_that_is_chosen_is_never_the_token() {
    let place = guarded(true);
    let offered = format!("bearer.{}, throng.v1.json", token(60, None));
    let mut client = place.client();
    client.send(Upgrade::new("/ws").header("Sec-WebSocket-Protocol", offered).bytes());
    let answer = client.expect_upgrade();
    assert_eq!(answer.only("sec-websocket-protocol"), Some("throng.v1.json"));
}

#[test]
fn a_token_without_a_right_is_told_forbidden() {
    let place = guarded(true);
    let rooms = r#"[{"match":"team.*","rights":["read","write"]},
                    {"match":"news","rights":["read"]},{"match":"@bob","rights":["write"]}]"#;
    let token = token(60, Some(rooms));
    let mut ann = enter(&place, &Upgrade::new(&format!("/ws?token={token}")));
    assert_eq!(ann.next_of("welcome")["sender"], "ann");
    for (command, answer) in [
        (r#"{"type":"join","id":1,"room":"team.a"}"#, "ok"),
        (r#"{"type":"join","id":2,"room":"news"}"#, "ok"),
        (r#"{"type":"join","id":3,"room":"secret"}"#, "forbidden"),
        (r#"{"type":"text","id":4,"room":"news","content":1}"#, "forbidden"),
        (r#"{"type":"presence","id":5,"room":"team.a"}"#, "forbidden"),
        (r#"{"type":"text","id":6,"content":1}"#, "forbidden"),
        (r#"{"type":"direct","id":7,"user":"carl","content":1}"#, "forbidden"),
        (r#"{"type":"direct","id":8,"user":"bob","content":1}"#, "ok"),
        (r#"{"type":"text","id":9,"room":"team.a","content":1,"echo":false}"#, "ok"),
    ] {
        let told = ann.ask(command);
        let said = if told["type"] == "error" { &told["code"] } else { &told["type"] };
        assert_eq!(said, answer, "{command}: {told}");
    }
}

/// A welcome is no way round the right to see who is there.
#[test]
fn a_welcome_lists_nobody_to_who_may_not_see_them() {
    let place = guarded(true);
    for (rights, seen) in [(r#"["read"]"#, 0), (r#"["read","presence"]"#, 2)] {
        let both = format!(r#"[{{"match":"news","rights":{rights}}}]"#);
        let token = token(60, Some(&both));
        let target = format!("/ws?room=news&token={token}");
        let (_first, mut ann) =
            (enter(&place, &Upgrade::new(&target)), enter(&place, &Upgrade::new(&target)));
        let welcome = ann.next_of("welcome");
        assert_eq!(welcome["room"], "news");
        let members = welcome["members"].as_array().expect("a list").len();
        assert_eq!((welcome["count"].as_u64(), members > 0), (Some(seen), seen > 0), "{welcome}");
        drop((_first, ann));
        place.wait_for("news", 0);
    }
}

#[test]
fn a_connection_ends_when_its_token_does() {
    let place = guarded(false);
    let mut ann = enter(&place, &Upgrade::new(&format!("/ws?token={}", token(2, None))));
    assert_eq!(ann.next_of("welcome")["sender"], "ann");
    ann.0.expect_close(1008);
    place.person("/ws").has_nothing(); // who has no token has no end either
}

/// It went on for ever there: only members were looked at.
#[test]
fn an_echo_ends_when_its_token_does() {
    let place = guarded(true);
    let mut ann = enter(&place, &Upgrade::new(&format!("/echo?token={}", token(2, None))));
    ann.send("one");
    assert_eq!(ann.0.read_text(), "one");
    ann.0.expect_close(1008);
}

#[test]
fn a_page_of_another_origin_is_refused() {
    let origins = Origins::new(&["https://app.example.com"]).expect("an origin");
    let place = Place::behind(1, Config::default(), Door { origins, ..Door::default() });
    for origin in ["https://evil.example", "null", "https://app.example.com.evil.example"] {
        assert_eq!(
            refusal(&place, &Upgrade::new("/ws").header("Origin", origin), 403),
            "forbidden_origin"
        );
    }
    enter(&place, &Upgrade::new("/ws").header("Origin", "https://app.example.com"));
}

#[test]
fn an_address_has_so_many_connections() {
    let limits = HandshakeLimits { connections_per_address_max: 2, ..HandshakeLimits::default() };
    let gate = Some(Arc::new(Gate::new(limits)));
    let place = Place::behind(2, Config::default(), Door { gate, ..Door::default() });
    let first = place.person("/ws");
    let _second = place.person("/ws");
    assert_eq!(refusal(&place, &Upgrade::new("/ws"), 429), "rate_limited");
    drop(first);
    crate::eventually("its place is free", 5.0, || {
        let mut client = place.client();
        client.send(Upgrade::new("/ws").bytes());
        client.read_answer(false).status == 101
    });
}

#[test]
fn who_sends_too_fast_is_told_and_then_closed() {
    let messages = Some(Rate::per_minute(3));
    let flow = Some(FlowLimits { messages, bytes: None, refusals_per_minute_max: 2 });
    let place = Place::behind(1, Config::default(), Door { flow, ..Door::default() });
    let mut hasty = place.person("/ws");
    for _ in 0..3 {
        hasty.has_nothing();
    }
    for _ in 0..2 {
        let told = hasty.ask(r#"{"type":"heartbeat"}"#);
        assert_eq!(told["code"], "rate_limited");
        assert!(told["retry_after_ms"].as_u64() > Some(0), "{told}");
    }
    hasty.send(r#"{"type":"heartbeat"}"#);
    hasty.0.expect_close(1008);
}
