//! Lists, and ending what they show.

use serde_json::Value;

use crate::common::{Server, eventually};
use crate::{Person, api, fault, server};

/// Waits until a room has so many members on every loop.
fn wait_for(server: &Server, room: &str, count: u64) {
    eventually("the loops agree", 5.0, || {
        // Each new connection may be another loop's.
        (0..8).all(|_| {
            let rooms = api(server, "GET", &format!("/api/rooms?prefix={room}"), "");
            let known = rooms["rooms"].as_array().expect("a list").iter();
            let known = known.filter(|info| info["room"] == room);
            known.filter_map(|info| info["count"].as_u64()).sum::<u64>() == count
        })
    });
}

fn sorted(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("a list").iter();
    let mut names: Vec<_> = list.map(|name| name.as_str().expect("a name")).collect();
    names.sort_unstable();
    names
}

#[test]
fn rooms_members_and_connections_are_listed() {
    let server = server(&[]);
    let people: Vec<_> = (0..7)
        .map(|n| Person::enter(&server, &format!("/ws?room=team.{}&name=p{n}", n % 3)))
        .collect();
    let mut echo = crate::common::RawClient::open(&server, "/echo"); // in no list
    for (room, count) in [("team.0", 3), ("team.1", 2), ("team.2", 2)] {
        wait_for(&server, room, count);
    }
    let rooms = api(&server, "GET", "/api/rooms?prefix=team.&limit=2", "");
    let names: Vec<_> =
        rooms["rooms"].as_array().unwrap().iter().map(|room| &room["room"]).collect();
    assert_eq!(names, ["team.0", "team.1"]);
    assert_eq!((&rooms["count"], &rooms["complete"]), (&3.into(), &true.into()));
    assert_eq!(api(&server, "GET", "/api/rooms?prefix=x", "")["count"], 0);

    let room = api(&server, "GET", "/api/rooms/team%2E0", "");
    assert_eq!(sorted(&room["members"]), ["p0", "p3", "p6"]);
    assert_eq!((&room["room"], &room["count"]), (&"team.0".into(), &3.into()));
    let one = &room["connections"][0];
    assert_eq!(one["rooms"], serde_json::json!(["team.0"]));
    assert!(one["address"].as_str().is_some_and(|it| it.starts_with("127.0.0.1:")), "{one}");
    let nobody = api(&server, "GET", "/api/rooms/nobody", "");
    assert_eq!((&nobody["count"], &nobody["members"]), (&0.into(), &serde_json::json!([])));

    let some = api(&server, "GET", "/api/connections?limit=4", "");
    assert_eq!(some["connections"].as_array().map(Vec::len), Some(4));
    assert_eq!(some["count"], 7);
    let own = api(&server, "GET", "/api/connections?user=p5", "");
    assert_eq!((&own["count"], &own["connections"][0]["user"]), (&1.into(), &"p5".into()));
    for bad in ["limit=0", "limit=1001", "limit=x", "limit=-1", "limit=1&limit=2", "user=%00"] {
        let (status, code) = fault(&server, "GET", &format!("/api/connections?{bad}"), "");
        let expected = if bad.starts_with("user") { "bad_name" } else { "bad_query" };
        assert_eq!((status, &*code), (400, expected), "{bad}");
    }
    drop(people);
    echo.expect_open();
}

#[test]
fn a_connection_is_disconnected_and_only_once() {
    let server = server(&[]);
    let mut ann = Person::enter(&server, "/ws?name=ann");
    let mut bob = Person::enter(&server, "/ws?name=bob");
    let listed = api(&server, "GET", "/api/connections?user=ann", "");
    let id = listed["connections"][0]["id"].as_str().expect("an id");
    let target = format!("/api/connections/{id}");
    assert_eq!(api(&server, "DELETE", &target, "")["count"], 1);
    assert_eq!(ann.next_close(), (1008, "disconnected".into()));
    let again = fault(&server, "DELETE", &target, "");
    assert_eq!(again, (404, "no_such_connection".into()));
    for (id, expected) in [
        ("99.0.0", (404, "no_such_connection")),
        ("0.4294967295.1", (404, "no_such_connection")),
        ("0.4294967296.1", (400, "bad_path")),
        ("1", (400, "bad_path")),
        ("a.b.c", (400, "bad_path")),
    ] {
        let refused = fault(&server, "DELETE", &format!("/api/connections/{id}"), "");
        assert_eq!((refused.0, &*refused.1), expected, "{id}");
    }
    bob.send(r#"{"type":"heartbeat","seq":1}"#);
    assert_eq!(bob.next_of("heartbeat")["seq"], 1);
}

#[test]
fn a_user_is_disconnected_by_all_connections() {
    let server = server(&[]);
    let mut anns: Vec<_> = (0..5).map(|_| Person::enter(&server, "/ws?name=a%2Fb")).collect();
    let _bob = Person::enter(&server, "/ws?name=bob");
    assert_eq!(api(&server, "DELETE", "/api/users/a%2Fb", "")["count"], 5);
    for ann in &mut anns {
        assert_eq!(ann.next_close().0, 1008);
    }
    assert_eq!(api(&server, "DELETE", "/api/users/nobody", "")["count"], 0);
    assert_eq!(api(&server, "GET", "/api/connections?user=bob", "")["count"], 1);
}

#[test]
fn a_user_is_taken_out_of_a_room_and_stays_connected() {
    let server = server(&[]);
    let mut anns: Vec<_> = (0..3).map(|_| Person::enter(&server, "/ws?room=r&name=ann")).collect();
    let _bob = Person::enter(&server, "/ws?room=r&name=bob");
    wait_for(&server, "r", 4);
    assert_eq!(api(&server, "DELETE", "/api/rooms/r/members/ann", "")["count"], 3);
    wait_for(&server, "r", 1);
    for ann in &mut anns {
        ann.send(r#"{"type":"text","id":1,"content":"hi"}"#);
        assert_eq!(ann.next_of("error")["code"], "not_joined");
    }
    assert_eq!(api(&server, "DELETE", "/api/rooms/r/members/ann", "")["count"], 0);
}
