//! Bad input: each has its code and the command's id, too much of it ends the connection, and
//! nothing of it harms others.

use throng::hub::Config;

use crate::Place;
use crate::common::Frame;
use crate::common::random::Random;

#[test]
fn every_bad_command_has_its_code_and_its_id() {
    let long = "x".repeat(129);
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let rows = [
        ("bad_json", "hello".into()),
        ("bad_json", String::new()),
        ("bad_json", r#"{"type":"text"}{}"#.into()),
        ("bad_json", r#"{"type":"text","content":"\ud800"}"#.into()),
        ("bad_json", format!(r#"{{"type":"text","content":{deep}}}"#)),
        ("bad_json", r#"{"type":"text","content":1e999999}"#.into()),
        ("bad_command", "{}".into()),
        ("bad_json", "[1]".into()),
        ("bad_json", r#"["text",1,"r",null,2]"#.into()),
        ("bad_command", r#"{"id":1,"type":7}"#.into()),
        ("bad_command", r#"{"id":1,"type":"text","room":["r"],"content":1}"#.into()),
        ("bad_command", r#"{"id":1,"type":"text","echo":"no","content":1}"#.into()),
        ("bad_command", r#"{"id":1,"type":"text"}"#.into()),
        ("bad_command", r#"{"id":1,"type":"text","content":1,"message_id":""}"#.into()),
        ("bad_command", r#"{"id":1,"type":"text","content":1,"message_id":"a\u0000"}"#.into()),
        ("bad_command", r#"{"id":1,"type":"text","content":1,"message_id":7}"#.into()),
        ("bad_command", format!(r#"{{"id":1,"type":"text","content":1,"message_id":"{long}"}}"#)),
        (
            "bad_command",
            r#"{"id":1,"type":"direct","user":"ann","content":1,"message_id":"a"}"#.into(),
        ),
        ("bad_command", r#"{"id":1,"type":"join"}"#.into()),
        ("bad_command", r#"{"id":1,"type":"direct","user":"ann"}"#.into()),
        ("bad_command", r#"{"id":1,"type":"direct","content":"ann"}"#.into()),
        ("bad_command", r#"{"id":1,"type":"text","type":"text"}"#.into()),
        ("unknown_type", r#"{"id":1,"type":"fly"}"#.into()),
        ("unknown_type", r#"{"id":1,"type":"welcome"}"#.into()),
        ("bad_name", r#"{"id":1,"type":"join","room":""}"#.into()),
        ("bad_name", r#"{"id":1,"type":"join","room":"a\nb"}"#.into()),
        ("bad_name", r#"{"id":1,"type":"join","room":"a\u0085b"}"#.into()),
        ("bad_name", format!(r#"{{"id":1,"type":"join","room":"{long}"}}"#)),
        ("bad_name", format!(r#"{{"id":1,"type":"direct","user":"{long}","content":1}}"#)),
        ("bad_name", r#"{"id":1,"type":"text","content":1,"sender":"\u0000"}"#.into()),
        ("not_joined", r#"{"id":1,"type":"text","room":"other","content":1}"#.into()),
        ("not_joined", r#"{"id":1,"type":"presence","room":"other"}"#.into()),
        ("not_joined", r#"{"id":1,"type":"leave","room":"other"}"#.into()),
    ];
    let place = Place::new(1);
    let mut guest = place.person("/ws?room=r");
    let _other = place.person("/ws?room=other");
    for (code, command) in rows {
        let answer = guest.ask(&command);
        assert_eq!(
            (&answer["type"], &answer["code"]),
            (&"error".into(), &code.into()),
            "{command}"
        );
        let is_twice = command.matches("\"type\"").count() == 2;
        let has_id = command.contains(r#""id":1"#);
        assert!(is_twice || answer.get("id").is_some() == has_id, "{command}: {answer}");
    }
    assert_eq!(guest.ask(r#"{"type":"text","content":"still here"}"#)["content"], "still here");
}

/// A14: what is in one message is bounded, and what is large but right is taken.
#[test]
fn a14_many_keys_are_read_once_and_kept_nowhere() {
    let place = Place::new(1);
    let mut ann = place.person("/ws?room=r");
    let keys: Vec<String> = (0..50_000).map(|n| format!(r#""k{n}":{n}"#)).collect();
    let extra = format!(r#"{{"type":"presence","id":1,{}}}"#, keys.join(","));
    assert_eq!(ann.ask(&extra)["type"], "ok");
    let levels = format!("{}{}", "[".repeat(126), "]".repeat(126));
    assert_eq!(ann.ask(&format!(r#"{{"type":"text","content":{levels}}}"#))["type"], "text");
    let id = format!(r#"{{"type":"presence","id":"{}"}}"#, "i".repeat(1000));
    assert!(ann.ask(&id).get("id").is_none());
}

#[test]
fn too_many_faults_end_the_connection() {
    let place = Place::with(1, Config { faults_per_minute_max: 5, ..Config::default() });
    let mut bad = place.person("/ws?room=r");
    let mut good = place.person("/ws?room=r");
    for n in 0..6 {
        bad.send(&format!(r#"{{"type":"fly","id":{n}}}"#));
    }
    // What comes behind the Close does nothing.
    bad.send(r#"{"type":"text","content":"too late"}"#);
    for n in 0..6 {
        assert_eq!(bad.next_of("error")["id"], n);
    }
    let close = bad.0.read_frame();
    assert_eq!(close.close_code(), Some(1008), "{close}");
    bad.0.send(Frame::close(1008, "").bytes());
    assert_eq!(good.read()["event"], "leave");
    good.has_nothing();
}

/// A13: no bytes of a client end the process, and nobody else is harmed by them.
#[test]
fn a13_nothing_that_is_sent_harms_the_loop() {
    let place = Place::with(1, Config { faults_per_minute_max: u16::MAX, ..Config::default() });
    let mut good = place.person("/ws?room=quiet&name=good");
    let mut bad = place.person("/ws?room=r&name=bad");
    let mut random = Random::new(11);
    let seeds = [
        r#"{"type":"join","id":1,"room":"r2"}"#,
        r#"{"type":"text","id":"x","room":"r","content":{"a":[1,-2.5e3,"\u00e9"]},"echo":false}"#,
        r#"{"type":"direct","user":"good","content":null,"sender":"s","timestamp":1}"#,
        r#"{"type":"heartbeat","seq":18446744073709551615,"timestamp":"t"}"#,
        r#"{"type":"leave","room":"r2"}"#,
        r#"{"type":"presence","since":{"epoch":"e","offset":-1}}"#,
    ];
    let parts = ["{", "}", "[", "]", ",", ":", "\"", "\\u0000", "null", "1e9", "\"type\"", "text"];
    for round in 0..3000 {
        let mut text = seeds[random.below(seeds.len())].to_owned();
        for _ in 0..random.below(4) {
            let mut at = random.below(text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            match random.below(3) {
                0 => text.insert_str(at, parts[random.below(parts.len())]),
                1 => text.truncate(at),
                _ => text.replace_range(..at, ""),
            }
        }
        bad.send(&text);
        if round % 500 == 0 {
            good.send(&format!(r#"{{"type":"text","content":{round}}}"#));
            assert_eq!(good.next_of("text")["content"], round);
        }
    }
    bad.send(r#"{"type":"heartbeat","timestamp":"the last"}"#);
    while bad.next_of("heartbeat")["timestamp"] != "the last" {}
}

/// Names of the URL are held to the same rules, before anything is agreed.
#[test]
fn a_bad_name_in_the_url_is_refused() {
    let place = Place::new(1);
    for target in ["/ws?room=", "/ws?room=a%00b", "/ws?name=a%0ab"] {
        let mut client = place.client();
        client.send(crate::common::Upgrade::new(target).bytes());
        assert_eq!(client.read_answer(false).status, 400, "{target}");
    }
}
