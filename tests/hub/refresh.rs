//! A new token for a connection that goes on.

use throng::hub::Door;
use throng::hub::protobuf::{Command, CommandType, DeliveryType};

use crate::common::http::Upgrade;
use crate::door::{enter, guarded_as, now_s, token, token_of};
use crate::twin::Twin;
use crate::{Person, Place};

fn place() -> Place {
    guarded_as(2, Door::default(), |_| {})
}

fn ann(place: &Place, target: &str, token: &str) -> Person {
    let mut ann = enter(place, &Upgrade::new(&format!("{target}&token={token}")));
    assert_eq!(ann.next_of("welcome")["sender"], "ann");
    ann
}

fn refresh(token: &str) -> String {
    format!(r#"{{"type":"refresh","id":5,"token":"{token}"}}"#)
}

#[test]
fn a_new_token_lets_a_connection_live_on() {
    let place = place();
    let mut ann = ann(&place, "/ws?room=r", &token(2, None));
    let mut other = self::ann(&place, "/ws?room=r", &token(2, None));
    place.wait_for("r", 2); // else either may still hear that the other comes
    other.send(r#"{"type":"heartbeat"}"#);
    other.next_of("heartbeat");
    let done = ann.ask_among_news(&refresh(&token(60, None)));
    assert_eq!(done["id"], 5);
    let expires_at_s = done["expires_at"].as_u64().expect("a time") / 1000;
    assert!(expires_at_s > now_s() + 50, "{done}");
    other.0.expect_close(1008);
    while ann.next_of("system")["event"] == "join" {} // that of the other, which may come late
    ann.has_nothing();
}

#[test]
fn a_new_token_can_be_the_shorter() {
    let place = place();
    let mut ann = ann(&place, "/ws?room=r", &token(3600, None));
    assert_eq!(ann.ask(&refresh(&token(1, None)))["type"], "ok");
    ann.0.expect_close(1008);
}

#[test]
fn the_rights_are_those_of_the_new_token() {
    let place = place();
    let all = r#"[{"match":"*","rights":["read","write","presence"]}]"#;
    let mut ann = ann(&place, "/ws?room=a", &token(60, Some(all)));
    let mut bob = enter(&place, &Upgrade::new(&format!("/ws?token={}", token_of("bob", 60, None))));
    assert_eq!(bob.read()["sender"], "bob");
    for room in ["a", "b", "c"] {
        let join = format!(r#"{{"type":"join","id":1,"room":"{room}"}}"#);
        assert_eq!(ann.ask_among_news(&join)["room"], room);
        bob.ask_among_news(&join);
        place.wait_for(room, 2);
        assert_eq!(ann.next_of("system")["sender"], "bob");
    }
    let some = r#"[{"match":"b","rights":["read"]},{"match":"c","rights":["write"]}]"#;
    ann.send(&refresh(&token(60, Some(some))));
    // It is told of the rooms that it has left, and the others too.
    let (one, two) = (ann.read(), ann.read());
    let mut left: Vec<_> = [&one, &two].map(|it| (it["event"].clone(), it["room"].clone())).into();
    left.sort_by_key(|(_, room)| room.to_string());
    assert_eq!(left, [("leave".into(), "a".into()), ("leave".into(), "c".into())]);
    assert_eq!(ann.read()["type"], "ok");
    for room in ["a", "c"] {
        let told = [bob.next_of("system"), one.clone(), two.clone()];
        assert!(told.iter().any(|it| it["event"] == "leave" && it["room"] == room), "{told:?}");
    }
    for (command, code) in [
        (r#"{"type":"text","room":"a","content":1}"#, "not_joined"),
        (r#"{"type":"join","room":"c"}"#, "forbidden"),
        (r#"{"type":"text","room":"b","content":1}"#, "forbidden"),
        (r#"{"type":"presence","room":"b"}"#, "forbidden"),
    ] {
        assert_eq!(ann.fault(command), code, "{command}");
    }
    bob.send(r#"{"type":"text","room":"b","content":"still heard"}"#);
    assert_eq!(ann.next_of("text")["content"], "still heard");
}

#[test]
fn a_token_that_is_not_taken_has_changed_nothing() {
    let place = place();
    let rooms = r#"[{"match":"r","rights":["read","write","presence"]}]"#;
    let mut ann = ann(&place, "/ws?room=r", &token(5, Some(rooms)));
    for (bad, code) in [
        (token_of("bob", 60, None), "other_user"),
        (token(0, None), "expired_token"),
        ("a.b.c".into(), "malformed_token"),
        (String::new(), "malformed_token"),
        (format!("{}x", token(60, None)), "bad_signature"),
    ] {
        let answer = ann.ask(&refresh(&bad));
        assert_eq!((&answer["code"], &answer["id"]), (&code.into(), &5.into()), "{answer}");
    }
    assert_eq!(ann.fault(r#"{"type":"refresh"}"#), "bad_command");
    assert_eq!(ann.fault(r#"{"type":"join","room":"x"}"#), "forbidden");
    assert_eq!(ann.ask(r#"{"type":"text","content":1}"#)["sender"], "ann");
    ann.0.expect_close(1008); // at its old end
}

#[test]
fn who_came_without_a_token_has_none_to_follow() {
    let place = place();
    assert_eq!(place.person("/ws").fault(&refresh(&token(60, None))), "unauthorized");
    assert_eq!(Place::new(1).person("/ws").fault(&refresh("x")), "unauthorized");
}

#[test]
fn a_twin_refreshes_too() {
    let place = place();
    let target = format!("/ws?token={}", token(2, None));
    let mut ann = Twin::upgrade(&place, Upgrade::new(&target), "throng.v1.proto");
    let before = ann.read().expires_at.expect("a time");
    let refresh =
        Command { id: Some(1), token: Some(token(60, None)), ..Command::of(CommandType::Refresh) };
    ann.send(&refresh);
    let done = ann.read();
    assert_eq!((done.kind(), done.id), (DeliveryType::Ok, Some(1)));
    assert!(done.expires_at.expect("a time") > before + 50_000);
}
