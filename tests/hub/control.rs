//! The way in from outside, over several loops.

use std::sync::Arc;

use serde_json::json;

use throng::frame::CloseCode;
use throng::hub::limits::{Gate, HandshakeLimits, Rate, RoomFlows, RoomLimits};
use throng::hub::{Config, ControlError, Door, Task, To, Who};

use crate::Place;
use crate::people::wait_until_told;

#[test]
fn publishing_from_outside_reaches_rooms_users_or_all() {
    let place = Place::new(3);
    let mut people: Vec<_> =
        (0..6).map(|n| place.person(&format!("/ws?room=r{}&name=p{n}", n % 2))).collect();
    for room in ["r0", "r1"] {
        place.wait_for(room, 3);
    }
    let publish = |to: Vec<To>, content: &str| place.control.publish(to, "desk", content);
    publish(vec![To::Room("r0".into())], r#""to r0""#).expect("it is taken");
    publish(vec![To::Room("r1".into()), To::Room("none".into())], "1").expect("it is taken");
    publish(vec![To::User("p4".into())], r#"{"to":"p4"}"#).expect("it is taken");
    // A room has an order, and what is said elsewhere has its own.
    for (n, person) in people.iter_mut().enumerate() {
        let (room, content) = if n % 2 == 0 { ("r0", "to r0".into()) } else { ("r1", 1.into()) };
        let mut heard = vec![person.next_of_any(&["text", "direct"])];
        if n == 4 {
            heard.push(person.next_of_any(&["text", "direct"]));
        }
        heard.sort_by_key(|message| message["type"] == "direct");
        let text = &heard[0];
        assert_eq!((&text["room"], &text["content"]), (&room.into(), &content));
        assert_eq!(text["sender"], "desk");
        if n == 4 {
            let direct = &heard[1];
            assert_eq!(json!([direct["type"], direct["content"]["to"]]), json!(["direct", "p4"]));
        }
    }
    publish(vec![To::All], r#""to all""#).expect("it is taken");
    for person in &mut people {
        let text = person.next_of("text");
        assert_eq!((&text["content"], text.get("room")), (&"to all".into(), None));
    }
}

#[test]
fn what_is_wrong_from_outside_is_said_at_once() {
    let place = Place::new(1);
    let publish = |to, sender, content| place.control.publish(vec![to], sender, content);
    assert_eq!(publish(To::All, "desk", "{1}"), Err(ControlError::Content));
    assert!(matches!(publish(To::All, "a\nb", "1"), Err(ControlError::Name(_))));
    assert!(matches!(publish(To::Room("".into()), "desk", "1"), Err(ControlError::Name(_))));
}

#[test]
fn rooms_members_and_connections_are_listed_over_all_loops() {
    let place = Place::new(3);
    let mut people: Vec<_> =
        (0..7).map(|n| place.person(&format!("/ws?room=team.{}&name=p{n}", n % 3))).collect();
    people[0].ask_among_news(r#"{"type":"join","room":"other"}"#);
    for (room, count) in [("team.0", 3), ("team.1", 2), ("team.2", 2), ("other", 1)] {
        place.wait_for(room, count);
    }
    let rooms = place.ask(Task::Rooms { prefix: "team.".into(), max: 2 });
    let listed: Vec<_> = rooms.rooms.iter().map(|info| (&*info.room, info.count)).collect();
    assert_eq!((listed, rooms.count), (vec![("team.0", 3), ("team.1", 2)], 3));

    let members = place.ask(Task::Members { room: "team.0".into(), max: 99 });
    let mut users: Vec<_> = members.connections.iter().map(|one| &*one.user).collect();
    users.sort_unstable();
    assert_eq!((users, members.count), (vec!["p0", "p3", "p6"], 3));
    assert!(members.is_whole);

    let some = place.ask(Task::Connections { user: None, max: 4 });
    assert_eq!((some.connections.len(), some.count), (4, 7));
    let own = place.ask(Task::Connections { user: Some("p0".into()), max: 9 }).connections;
    assert_eq!(own.len(), 1);
    let mut rooms: Vec<_> = own[0].rooms.iter().map(|room| &**room).collect();
    rooms.sort_unstable();
    assert_eq!(rooms, ["other", "team.0"]);
    assert!(own[0].address.is_some_and(|address| address.ip().is_loopback()));
    assert!(own[0].opened_s > 1_700_000_000);
    let json = serde_json::to_value(&own[0]).expect("JSON");
    assert_eq!(json["id"], own[0].id.to_string());
}

#[test]
fn a_connection_and_a_user_can_be_disconnected() {
    let place = Place::new(3);
    let disconnect = |who| {
        let (code, reason) = (CloseCode::POLICY_VIOLATION, "enough".into());
        place.ask(Task::Disconnect { who, code, reason }).count
    };
    let mut anns: Vec<_> = (0..4).map(|_| place.person("/ws?name=ann")).collect();
    let mut bob = place.person("/ws?name=bob");
    let bobs = place.ask(Task::Connections { user: Some("bob".into()), max: 9 }).connections;
    assert_eq!(disconnect(Who::Connection(bobs[0].id)), 1);
    assert_eq!(bob.0.read_frame().close_code(), Some(1008));
    drop(bob);
    assert_eq!(disconnect(Who::User("ann".into())), 4);
    for ann in &mut anns {
        assert_eq!(ann.0.read_frame().close_code(), Some(1008));
    }
    drop(anns);
    assert_eq!(disconnect(Who::User("nobody".into())), 0);
    let mut stale = bobs[0].id;
    stale.loop_index = 99;
    let lost = Task::Disconnect {
        who: Who::Connection(stale),
        code: CloseCode::NORMAL,
        reason: "".into(),
    };
    assert_eq!(place.ask(lost).count, 0);
}

#[test]
fn a_user_can_be_taken_out_of_a_room() {
    let place = Place::new(3);
    let mut anns: Vec<_> = (0..3).map(|_| place.person("/ws?room=r&name=ann")).collect();
    let bob = place.person("/ws?room=r&name=bob");
    place.wait_for("r", 4);
    let task = Task::Unsubscribe { user: "ann".into(), room: "r".into() };
    assert_eq!(place.ask(task).count, 3);
    place.wait_for("r", 1);
    for ann in &mut anns {
        let told = |told: &serde_json::Value| told["event"] == "leave" && told["sender"] == "ann";
        while !told(&ann.next_of("system")) {}
        ann.send(r#"{"type":"text","id":1,"content":"hi"}"#);
        assert_eq!(ann.next_of("error")["code"], "not_joined");
    }
    wait_until_told(&mut [bob], 1);
}

#[test]
fn limits_change_for_who_is_in_and_who_comes() {
    let gate = |max| {
        let limits = HandshakeLimits { connections_per_address_max: max, ..Default::default() };
        Door { gate: Some(Arc::new(Gate::new(limits))), ..Door::default() }
    };
    let before = gate(9);
    let kept = Door { gate: before.gate.clone(), ..Door::default() };
    let place = Place::behind(2, Config::default(), before);
    let mut anns: Vec<_> = (0..4).map(|_| place.person("/ws?name=ann")).collect();
    let messages = Some(Rate::per_minute(1));
    let rooms = RoomFlows::new(RoomLimits { messages, bytes: None, rooms_max: 9 });
    let door = Door { rooms: Some(Arc::new(rooms)), ..gate(4).replacing(&kept) };
    let config = Config { rooms_max: 1, ..Config::default() };
    place.control.change(&config, &Arc::new(door)).expect("the loops have room");
    let mut passed = 0;
    for ann in &mut anns {
        ann.has_nothing(); // what comes next is behind the loop's mail
        assert_eq!(ann.ask_among_news(r#"{"type":"join","room":"a"}"#)["type"], "ok");
        ann.send(r#"{"type":"join","id":1,"room":"b"}"#);
        assert_eq!(ann.next_of("error")["code"], "too_many_rooms");
        ann.send(r#"{"type":"text","id":7,"room":"a","content":1,"echo":false}"#);
        let told = std::iter::repeat_with(|| ann.read()).find(|told| told["id"] == 7);
        let told = told.expect("an answer");
        passed += usize::from(told["type"] == "ok");
        assert!(told["type"] == "ok" || told["code"] == "rate_limited", "{told}");
    }
    assert_eq!(passed, 1, "all loops count a room together");
    let mut fifth = place.client();
    fifth.send(crate::common::http::Upgrade::new("/ws").bytes());
    fifth.expect_answer(429);
}
