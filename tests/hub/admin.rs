//! The dashboard: who may look, what a viewer is shown and what it may do.

use std::time::{Duration, Instant};

use serde_json::Value;
use throng::hub::auth::ApiKeys;
use throng::hub::{Config, Door};

use crate::common::http::{Upgrade, get};
use crate::{Person, Place};

const KEY: &str = "the/key=of(this)server";
/// The same, as a page writes it.
const ESCAPED: &str = "the%2Fkey%3Dof%28this%29server";

fn guarded() -> Place {
    let api_keys = Some(ApiKeys::new(&[KEY]).expect("a key"));
    Place::behind(2, Config::default(), Door { api_keys, ..Door::default() })
}

fn handshake(protocols: &str) -> Upgrade {
    Upgrade::new("/admin").header("Sec-WebSocket-Protocol", protocols)
}

fn viewer(place: &Place) -> Person {
    let mut client = place.client();
    client.send(handshake(&format!("throng.admin.v1, bearer.{ESCAPED}")).bytes());
    let answer = client.expect_upgrade();
    assert_eq!(answer.only("sec-websocket-protocol"), Some("throng.admin.v1"));
    let mut viewer = Person(client);
    let hello = viewer.read();
    assert_eq!((&hello["type"], &hello["loops"]), (&"hello".into(), &2.into()));
    viewer
}

/// The first snapshot of which this is true.
fn snapshot_where(viewer: &mut Person, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let snapshot = viewer.next_of("snapshot");
        if is(&snapshot) {
            return snapshot;
        }
        assert!(Instant::now() < end, "{what}: {snapshot}");
    }
}

fn refusal(place: &Place, request: &[u8], status: u16) -> String {
    let mut client = place.client();
    client.send(request);
    let body: Value = serde_json::from_slice(&client.expect_answer(status).body).expect("JSON");
    body["error"].as_str().expect("a code").to_owned()
}

#[test]
fn without_a_key_in_the_settings_nobody_may_look() {
    let place = Place::new(1);
    let offered = handshake("throng.admin.v1, bearer.anything").bytes();
    assert_eq!(refusal(&place, &offered, 403), "no_api_key");
    assert_eq!(refusal(&place, &get("/admin/access"), 403), "no_api_key");
}

#[test]
fn a_key_is_taken_from_two_places_and_never_from_the_url() {
    let place = guarded();
    let with = |name, value: &str| Upgrade::new("/admin").header(name, value).bytes();
    for (request, code) in [
        (Upgrade::new("/admin").bytes(), "missing_key"),
        (Upgrade::new(&format!("/admin?token={ESCAPED}")).bytes(), "missing_key"),
        (with("Cookie", &format!("token={KEY}")), "missing_key"),
        (with("Authorization", "Bearer the/key"), "wrong_key"),
        (handshake("throng.admin.v1, bearer.the%2Fkey").bytes(), "wrong_key"),
        (get("/admin/access"), "missing_key"),
    ] {
        assert_eq!(refusal(&place, &request, 401), code);
    }
    let mut client = place.client();
    client.send(with("Authorization", &format!("Bearer {KEY}")));
    client.expect_upgrade();
    let mut client = place.client();
    client.send(format!(
        "GET /admin/access HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n"
    ));
    client.expect_answer(204);
}

/// As at the API, which has the same keys.
#[test]
fn keys_are_not_guessed_quickly() {
    let place = guarded();
    let guess = "GET /admin/access HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a\r\n\r\n";
    let statuses: Vec<u16> = (0..200)
        .map(|_| {
            let mut client = place.client();
            client.send(guess);
            client.read_answer(false).status
        })
        .collect();
    assert_eq!((statuses[0], statuses.contains(&429)), (401, true), "{statuses:?}");
}

#[test]
fn a_page_of_another_origin_may_not_look_even_with_the_key() {
    let place = guarded();
    let offered = handshake(&format!("throng.admin.v1, bearer.{ESCAPED}"));
    let foreign = offered.header("Origin", "https://evil.example").bytes();
    assert_eq!(refusal(&place, &foreign, 403), "forbidden_origin");
}

#[test]
fn a_viewer_sees_all_loops_together() {
    let place = guarded();
    let mut viewer = viewer(&place);
    let first = viewer.next_of("snapshot");
    assert_eq!((&first["members"], &first["rates"]), (&0.into(), &Value::Null));
    assert_eq!(first["level"], "normal");
    let mut people: Vec<Person> =
        (0..12).map(|n| place.person(&format!("/ws?room=r{}&name=p{n}", n % 3))).collect();
    place.wait_for("r0", 4);
    let all = snapshot_where(&mut viewer, "all are seen", |it| it["members"] == 12);
    assert_eq!(all["connections"]["open"], 13, "the viewer is a connection, and no member");
    assert_eq!(all["loops"].as_array().map(Vec::len), Some(2));
    snapshot_where(&mut viewer, "the rooms", |it| {
        let rooms = it["rooms"]["by_members"].as_array().expect("a list");
        it["rooms"]["count"] == 3 && rooms.len() == 3 && rooms.iter().all(|it| it["count"] == 4)
    });
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        for _ in 0..40 {
            people[5].send(r#"{"type":"text","content":"again"}"#);
        }
        people[7].send(r#"{"type":"text","content":"once"}"#);
        let seen = viewer.next_of("snapshot");
        let (talkers, rooms) = (&seen["talkers"], &seen["rooms"]["by_messages"]);
        if talkers[0]["user"] == "p5" && rooms[0]["room"] == "r2" {
            assert!(talkers[0]["messages_per_s"].as_f64() > Some(10.0), "{talkers}");
            assert!(seen["rates"]["messages_in"].as_f64().is_some(), "{seen}");
            break;
        }
        assert!(Instant::now() < end, "{seen}");
    }
    drop(people);
    snapshot_where(&mut viewer, "they are gone", |it| {
        it["members"] == 0 && it["talkers"].as_array().is_some_and(Vec::is_empty)
    });
}

#[test]
fn a_viewer_looks_at_a_connection_and_ends_it() {
    let place = guarded();
    let (mut ann, _bob) =
        (place.person("/ws?room=a&name=ann"), place.person("/ws?room=a&name=bob"));
    place.wait_for("a", 2);
    let mut viewer = viewer(&place);
    let mut ask = |command: &str| {
        viewer.send(command);
        viewer.next_of("answer")
    };
    let members = ask(r#"{"type":"room","id":1,"room":"a"}"#);
    assert_eq!((&members["id"], &members["count"]), (&1.into(), &2.into()));
    let found = ask(r#"{"type":"user","id":2,"user":"ann"}"#);
    let id = found["connections"][0]["id"].as_str().expect("an id").to_owned();
    let connection = ask(&format!(r#"{{"type":"connection","id":3,"connection":"{id}"}}"#));
    let connection = &connection["connections"][0];
    assert_eq!((&connection["user"], &connection["rooms"][0]), (&"ann".into(), &"a".into()));
    assert!(connection["address"].as_str().is_some_and(|it| it.starts_with("127.0.0.1:")));
    let end = format!(r#"{{"type":"disconnect","id":4,"connection":"{id}"}}"#);
    assert_eq!(ask(&end)["count"], 1);
    assert_eq!(ann.next_of("system")["sender"], "bob");
    ann.0.expect_close(1008);
    drop(ann);
    place.wait_for("a", 1);
    assert_eq!(ask(&end)["count"], 0, "it has ended already");
    let gone = ask(&format!(r#"{{"type":"connection","id":5,"connection":"{id}"}}"#));
    assert_eq!(gone["count"], 0);
}

#[test]
fn a_viewer_that_writes_nonsense_is_told() {
    let place = guarded();
    let mut viewer = viewer(&place);
    for (command, code) in [
        ("nonsense", "bad_json"),
        (r#"{"type":"room"}"#, "bad_json"),
        (r#"{"type":"dance","id":1}"#, "unknown_type"),
        (r#"{"type":"room","id":1}"#, "bad_command"),
        (r#"{"type":"user","id":1,"user":""}"#, "bad_name"),
        (r#"{"type":"disconnect","id":1,"connection":"0.1"}"#, "bad_command"),
    ] {
        viewer.send(command);
        assert_eq!(viewer.next_of("error")["code"], code, "{command}");
    }
    // A connection of a loop that there is none of is a connection that there is none of.
    viewer.send(r#"{"type":"disconnect","id":9,"connection":"77.1.1"}"#);
    assert_eq!(viewer.next_of("answer")["count"], 0);
}
