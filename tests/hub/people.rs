//! Users, and who is there.

use throng::hub::Config;

use crate::common::eventually;
use crate::{Person, Place, names};

/// Waits until each of these is told that so many are in its room: its loop has heard of all.
pub fn wait_until_told(people: &mut [Person], count: usize) {
    for person in people {
        eventually("its loop has heard of all", 5.0, || {
            person.ask_among_news(r#"{"type":"presence"}"#)["count"] == count
        });
    }
}

#[test]
fn a_direct_message_reaches_all_connections_of_a_user_and_no_one_else() {
    let place = Place::new(3);
    let mut anns: Vec<_> =
        (0..5).map(|n| place.person(&format!("/ws?room=r{n}&name=ann"))).collect();
    let mut bobs: Vec<_> = (0..5).map(|_| place.person("/ws?name=bob")).collect();
    let ok = bobs[0].ask(r#"{"type":"direct","id":1,"user":"ann","content":[1]}"#);
    assert_eq!((&ok["type"], &ok["id"]), (&"ok".into(), &1.into()));
    for ann in &mut anns {
        let direct = ann.read();
        assert_eq!((&direct["type"], &direct["sender"]), (&"direct".into(), &"bob".into()));
        assert_eq!(direct["content"][0], 1);
        assert!(direct["timestamp"].is_u64() && direct.get("room").is_none());
    }
    bobs.iter_mut().for_each(|bob| bob.has_nothing());
    // Those that have gone are no more.
    anns.truncate(2);
    bobs[1].send(r#"{"type":"direct","user":"ann","content":2}"#);
    assert_eq!(
        anns.iter_mut().map(|ann| ann.read()["content"].clone()).collect::<Vec<_>>(),
        [2, 2]
    );
}

#[test]
fn comings_and_goings_are_told_over_all_loops() {
    let place = Place::new(4);
    let mut watchers: Vec<_> = (0..6).map(|_| place.person("/ws?room=r&name=watcher")).collect();
    wait_until_told(&mut watchers, 6);
    let ann = place.person("/ws?room=r&name=ann");
    for watcher in &mut watchers {
        while watcher.next_of("system")["sender"] != "ann" {}
    }
    drop(ann);
    for watcher in &mut watchers {
        let left = watcher.next_of("system");
        assert_eq!((&left["event"], &left["sender"]), (&"leave".into(), &"ann".into()));
        let ok = watcher.ask(r#"{"type":"presence","id":9}"#);
        assert_eq!((&ok["room"], &ok["count"]), (&"r".into(), &6.into()));
    }
}

#[test]
fn presence_names_who_is_in_the_room_that_is_asked_for() {
    let place = Place::new(1);
    let mut ann = place.person("/ws?room=a&name=ann");
    let _bob = place.person("/ws?room=b&name=bob");
    assert_eq!(ann.fault(r#"{"type":"presence","room":"b"}"#), "not_joined");
    ann.ask(r#"{"type":"join","room":"b"}"#);
    let ok = ann.ask(r#"{"type":"presence","room":"b"}"#);
    assert_eq!(names(&ok["members"]), ["ann", "bob"]);
    assert_eq!(names(&ann.ask(r#"{"type":"presence"}"#)["members"]), ["ann"]);
}

/// In a large room nobody is told who comes and goes, lists stop, and counts are right even so.
#[test]
fn a_large_room_is_quiet_and_its_count_right() {
    for loops in [1, 3] {
        let place = Place::with(loops, Config { presence_max: 3, ..Config::default() });
        let mut people: Vec<_> = (0..3).map(|_| place.person("/ws?room=r&name=early")).collect();
        wait_until_told(&mut people, 3);
        let mut late: Vec<_> = (0..4).map(|_| place.person("/ws?room=r&name=late")).collect();
        wait_until_told(&mut people, 7);
        let ok = people[0].ask_among_news(r#"{"type":"presence"}"#);
        assert_eq!(ok["members"].as_array().map(Vec::len), Some(3));
        people.iter_mut().for_each(Person::has_nothing);
        late.pop();
        wait_until_told(&mut people, 6);
        people.iter_mut().for_each(Person::has_nothing);
        drop(late);
        assert_eq!(people[0].read()["event"], "leave"); // small again
    }
}
