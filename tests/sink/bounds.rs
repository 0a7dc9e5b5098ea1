//! An outbox that is full, and settings that do not go together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::common::Folder;
use crate::common::{Server, eventually};
use crate::failures::contents;
use crate::receiver::{OK, Receiver, Reply, metric, person, serve_telling, store_of};

#[test]
fn a_full_outbox_drops_the_oldest_and_refuses_what_may_not_be_dropped() {
    let is_away = Arc::new(AtomicBool::new(true));
    let away = Arc::clone(&is_away);
    let rule = move |_: usize, _: &str| match away.load(Ordering::SeqCst) {
        true => Reply::Status(503, ""),
        false => OK,
    };
    let (folder, receiver) = (Folder::new("sink"), Receiver::new(rule));
    let flags = ["--sink-waiting", "10", "--sink-events", "message"];
    let server = serve_telling(&store_of(&folder), &receiver.url(), &flags);
    let mut ann = person(&server, "ann");
    ann.join("d.1", None);
    ann.join("m.1", None);
    for n in 1..=30 {
        assert_eq!(ann.publish("m.1", &n.to_string()), n);
    }
    let dropped = r#"throng_sink_events_total{result="dropped"}"#;
    eventually("the oldest go", 5.0, || metric(&server, dropped) == 20);
    for n in 1..=10 {
        assert_eq!(ann.publish("d.1", &n.to_string()), n);
    }
    assert_eq!(metric(&server, dropped), 30);
    let answer = ann.ask(r#"{"type":"text","id":5,"room":"d.1","content":11}"#);
    assert_eq!((&answer["code"], &answer["id"]), (&json!("sink_full"), &json!(5)));
    // Others go on.
    assert_eq!(ann.publish("m.1", "31"), 31);
    is_away.store(false, Ordering::SeqCst);
    receiver.wait_for(10, 10.0);
    // What was refused has taken no offset, and is nowhere.
    eventually("there is room again", 5.0, || {
        let answer = ann.ask(r#"{"type":"text","id":5,"room":"d.1","content":12}"#);
        assert!(answer["offset"] == 11 || answer["code"] == "sink_full", "{answer}");
        answer["type"] == "ok"
    });
    let events = receiver.wait_for(11, 10.0);
    assert_eq!(contents(&events)["d.1"], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12]);
    assert_eq!(ann.history("d.1", "")["messages"].as_array().map(Vec::len), Some(11));
}

#[test]
fn settings_that_do_not_go_together_are_said_at_the_start() {
    let fault = |flags: &[&str]| {
        let output = std::process::Command::new(crate::common::server::program())
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(flags)
            .output()
            .expect("it runs");
        assert!(!output.status.success(), "{flags:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    for (flags, words) in [
        (&["--sink", "ftp://a/b"][..], "must begin with http://"),
        (&["--sink", "http://u:pw7x@h/"], "takes no user"),
        (&["--sink", "redis://h"], "needs the name of a stream"),
        (&["--sink", "http://h", "--history-db", "off"], "needs a --history-db"),
        (&["--sink-room", "a"], "needs --sink"),
        (&["--sink", "redis://h/s", "--sink-secret-file", "Cargo.toml"], "is for a webhook"),
        (&["--sink", "http://h", "--sink-events", "shout"], "shout"),
        (&["--sink", "http://h", "--sink-waiting", "0"], "0"),
    ] {
        let said = fault(flags);
        assert!(said.contains(words), "{flags:?}: {said}");
    }
}

/// Neither the password of a Redis nor the query of a webhook stands in the log.
#[test]
fn secrets_of_an_address_are_not_logged() {
    let folder = Folder::new("sink");
    let file = store_of(&folder);
    let file = file.to_str().expect("a path in UTF-8");
    for url in ["redis://:pw7x@127.0.0.1:1/s", "http://127.0.0.1:1/?key=pw7x"] {
        let flags = ["--history-db", file, "--sink", url, "--sink-pause", "0.1"];
        let server = Server::serve_logging("trace", &flags);
        let mut ann = person(&server, "ann");
        ann.join("a", None);
        eventually("it fails", 10.0, || metric(&server, "throng_sink_failures_total") > 2);
        let log = server.errors();
        assert!(log.contains("the sink takes no events"), "{log}");
        assert!(!log.contains("pw7x"), "{log}");
    }
}
