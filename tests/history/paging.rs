//! `history`: pages backwards and forwards, from memory and from the store.

use serde_json::json;

use crate::common::Folder;
use crate::place::{Place, history};
use crate::record::offsets;

fn walk(place: &Place, room: &str, count: u64) {
    let mut ann = place.person("/ws");
    ann.join(room, None);
    (1..count).for_each(|n| {
        let text = r#"{"type":"text","room":"ROOM","content":NUMBER,"echo":false}"#;
        ann.send(&text.replace("ROOM", room).replace("NUMBER", &n.to_string()));
    });
    assert_eq!(ann.publish(room, "0"), count);
    for limit in [1, 7, 100, 1000] {
        let (mut forwards, mut backwards) = (Vec::new(), Vec::new());
        loop {
            let after = forwards.last().copied().unwrap_or(0);
            let page = ann.history(room, &format!(r#","limit":{limit},"after":{after}"#));
            let page_offsets = offsets(&page["messages"]);
            assert!(page_offsets.len() <= limit);
            forwards.extend(page_offsets);
            if page["more"] == false {
                break;
            }
        }
        let mut before = String::new();
        loop {
            let page = ann.history(room, &format!(r#","limit":{limit}{before}"#));
            assert_eq!(page["offset"], count);
            let mut page_offsets = offsets(&page["messages"]);
            before = format!(r#","before":{}"#, page_offsets[0]);
            page_offsets.extend(backwards);
            backwards = page_offsets;
            if page["more"] == false {
                break;
            }
        }
        assert_eq!(forwards, (1..=count).collect::<Vec<_>>(), "{limit}");
        assert_eq!(backwards, forwards, "{limit}");
        if limit == 1 && count > 200 {
            return; // one by one once, where it is cheap
        }
    }
}

#[test]
fn pages_in_memory_go_both_ways() {
    walk(&Place::new(1, history(500)), "m.1", 50);
    walk(&Place::new(3, history(500)), "m.1", 150);
}

/// Of 1,500 messages the last 1,000 at most are in memory after a start.
#[test]
fn pages_of_the_store_go_both_ways_also_after_a_start() {
    let folder = Folder::new("history");
    walk(&Place::durable(2, history(5000), &folder), "d.1", 150);
    let place = Place::durable(1, history(5000), &folder);
    let mut ann = place.person("/ws");
    ann.join("d.1", None);
    (0..1350).for_each(|_| {
        ann.send(r#"{"type":"text","room":"d.1","content":1,"echo":false}"#);
    });
    while ann.history("d.1", "")["offset"] != 1500 {}
    drop(ann);
    drop(place);
    let place = Place::durable(2, history(5000), &folder);
    let mut bob = place.person("/ws");
    let pages = [
        (r#","limit":3"#, vec![1498, 1499, 1500], true),
        (r#","limit":2,"before":1400"#, vec![1398, 1399], true),
        (r#","limit":2,"before":502"#, vec![500, 501], true),
        (r#","limit":2,"before":2"#, vec![1], false),
        (r#","limit":2,"before":1"#, vec![], false),
        (r#","limit":2,"after":0"#, vec![1, 2], true),
        (r#","limit":2,"after":499"#, vec![500, 501], true),
        (r#","limit":2,"after":1498"#, vec![1499, 1500], false),
        (r#","limit":2,"after":9999"#, vec![], false),
    ];
    for (fields, expected, more) in pages {
        let page = bob.history("d.1", fields);
        assert_eq!(
            (offsets(&page["messages"]), &page["more"]),
            (expected, &json!(more)),
            "{fields}"
        );
    }
}

#[test]
fn only_so_many_are_kept() {
    let folder = Folder::new("history");
    let place = Place::durable(1, history(10), &folder);
    for room in ["m.1", "d.1"] {
        let mut ann = place.person("/ws");
        ann.join(room, None);
        (0..25).for_each(|n| assert!(ann.publish(room, &n.to_string()) > 0));
        let page = ann.history(room, "");
        assert_eq!(offsets(&page["messages"]), (16..=25).collect::<Vec<_>>());
        let page = ann.history(room, r#","after":3"#);
        assert_eq!(offsets(&page["messages"]), (16..=25).collect::<Vec<_>>());
    }
    drop(place);
    let place = Place::durable(1, history(10), &folder);
    let page = place.person("/ws").history("d.1", r#","after":0"#);
    assert_eq!(offsets(&page["messages"]), (16..=25).collect::<Vec<_>>());
}

#[test]
fn a_bad_question_has_its_code() {
    let place = Place::new(1, history(10));
    let mut ann = place.person("/ws?room=r");
    ann.publish("r", "1");
    assert_eq!(offsets(&ann.ask(r#"{"type":"history","id":1}"#)["messages"]), [1]);
    for bad in [r#""limit":-1"#, r#""before":"1""#, r#""after":1.5"#, r#""before":1,"after":1"#] {
        let answer = ann.ask(&format!(r#"{{"type":"history","id":1,"room":"r",{bad}}}"#));
        assert_eq!((&answer["code"], &answer["id"]), (&json!("bad_command"), &json!(1)), "{bad}");
    }
    let answer = ann.ask(r#"{"type":"history","id":1,"room":""}"#);
    assert_eq!(answer["code"], "bad_name");
    // A room that nobody has been in has no history, and to ask makes none.
    assert_eq!(ann.history("nowhere", "")["messages"], json!([]));
}
