//! SIGHUP: what can change does, for who is there and who comes; the rest is named.

use crate::common::{Frame, RawClient, Server, Upgrade, eventually};
use crate::{Person, SettingsFile, status};

const HEARTBEAT: &str = r#"{"type":"heartbeat","id":7}"#;

/// A server with a file that a test writes anew.
struct Place {
    file: SettingsFile,
    server: Server,
}

impl Place {
    fn new(text: &str, flags: &[&str]) -> Self {
        let file = SettingsFile::new(text);
        let server = Server::serve(&[&["--config", file.name()], flags].concat());
        Self { file, server }
    }

    /// Has it read a new file, and waits until the log has said so with these words, once more.
    fn read_again(&self, text: &str, words: &str) {
        let lines = || self.server.errors().lines().filter(|line| line.contains(words)).count();
        let before = lines();
        self.file.write(text);
        self.server.hang_up();
        eventually(words, 10.0, || lines() > before);
    }

    fn change(&self, text: &str) {
        self.read_again(text, "these settings have changed keys");
    }
}

#[test]
fn a_rate_changes_under_live_connections() {
    for loops in ["1", "2"] {
        let place = Place::new("", &["--loops", loops]);
        let mut ann = Person::new(&place.server, "/ws");
        for _ in 0..50 {
            assert_eq!(ann.ask(HEARTBEAT)["type"], "heartbeat");
        }
        place.change("message_rate = 1\n");
        eventually("its loop has heard of it", 5.0, || {
            let told = ann.ask(HEARTBEAT);
            let is_limited = told["code"] == "rate_limited";
            assert!(!is_limited || told["id"] == 7, "{told}");
            is_limited
        });
        let mut bob = Person::new(&place.server, "/ws");
        for _ in 0..2 {
            assert_eq!(bob.ask(HEARTBEAT)["type"], "heartbeat");
        }
        assert_eq!(bob.ask(HEARTBEAT)["code"], "rate_limited");
        place.change("message_rate = 1000000\n");
        eventually("it may again", 5.0, || bob.ask(HEARTBEAT)["type"] == "heartbeat");
        for _ in 0..50 {
            assert_eq!(bob.ask(HEARTBEAT)["type"], "heartbeat");
        }
    }
}

#[test]
fn rooms_origins_and_names_change() {
    let place = Place::new("max_rooms = 2\nallow_origin = ['https://a.example']\n", &[]);
    let enters = |name: &str, value: &str| {
        let upgrade = Upgrade::new("/ws").without("Host");
        let host = if name == "Host" { value } else { "localhost" };
        let upgrade = upgrade.header("Host", host);
        let origin = if name == "Origin" { value } else { "https://a.example" };
        status(&place.server, &upgrade.header("Origin", origin)) == 101
    };
    let mut ann = Person::new(&place.server, "/ws");
    assert_eq!(ann.rooms(), 2);
    assert!(!enters("Origin", "https://b.example") && enters("Host", "any.example"));
    place.change(
        "max_rooms = 4\nallow_origin = ['https://a.example', 'https://b.example']\n\
         host = ['localhost']\n",
    );
    eventually("she may join more", 5.0, || ann.rooms() == 4);
    eventually("another page may come", 5.0, || enters("Origin", "https://b.example"));
    assert!(!enters("Host", "any.example"));
}

#[test]
fn keys_of_the_api_change() {
    let [old, new] = ["an old key of the API", "a new key of the API"].map(|k| k.replace(' ', "-"));
    let place = Place::new(&format!("api_key = ['{old}']\n"), &[]);
    let opens = |key: &str| {
        let mut client = RawClient::connect(&place.server);
        let head = format!("Host: a\r\nAuthorization: Bearer {key}\r\n\r\n");
        client.send(format!("GET /api/rooms HTTP/1.1\r\n{head}"));
        client.read_answer(false).status == 200
    };
    assert!(opens(&old) && !opens(&new));
    place.change(&format!("api_key = ['{new}']\n"));
    eventually("the new one opens", 5.0, || opens(&new));
    assert!(!opens(&old));
    let errors = place.server.errors();
    assert!(!errors.contains(&old) && !errors.contains(&new), "{errors}");
}

#[test]
fn who_is_in_stays_counted() {
    let place = Place::new("max_connections_per_ip = 5\n", &[]);
    let first = Person::new(&place.server, "/ws");
    let _second = Person::new(&place.server, "/ws");
    place.change("max_connections_per_ip = 2\n");
    eventually("a third is one too many", 5.0, || {
        status(&place.server, &Upgrade::new("/ws")) == 429
    });
    drop(first);
    eventually("its place is free", 5.0, || status(&place.server, &Upgrade::new("/ws")) == 101);
}

#[test]
fn what_needs_a_restart_is_named_and_stays() {
    let place = Place::new("max_message = 1000\n", &[]);
    let mut ann = Person::new(&place.server, "/ws");
    let words = "these settings have changed: each needs a restart keys=loops, max_message";
    for rooms in [1, 3] {
        place.change(&format!("max_message = 2000\nloops = 2\nmax_rooms = {rooms}\n"));
        let errors = place.server.errors();
        let lines: Vec<_> = errors.lines().rev().take(2).collect();
        assert!(lines[1].contains("WARN") && lines[1].ends_with(words), "{lines:?}");
        assert!(lines[0].ends_with("changed keys=max_rooms"), "{lines:?}");
        ann.ask(HEARTBEAT); // what her loop does next comes behind its mail
        assert_eq!(ann.rooms(), rooms, "the rest has changed");
    }
    ann.0.send(Frame::text("x".repeat(1001)).bytes());
    ann.0.expect_close(1009);
    place.read_again("max_message = 1000\nmax_rooms = 3\n", "nothing else has changed");
}

#[test]
fn a_broken_file_changes_nothing() {
    let place = Place::new("max_rooms = 2\n", &[]);
    let mut ann = Person::new(&place.server, "/ws");
    assert_eq!(ann.rooms(), 2);
    for (text, words) in [
        ("max_rooms = 3\nloops = 0\n", "toml:2:9: loops: 0 is not in 1..=1024"),
        ("max_rooms = \n", "toml:1:13: "),
        ("max_rooms = 3\nrequire_token = true\n", "toml:2:1: require_token: needs keys"),
    ] {
        let said = || -> Vec<String> {
            let errors = place.server.errors();
            errors.lines().filter(|line| line.contains("reload")).map(str::to_owned).collect()
        };
        let before = said().len();
        place.read_again(text, words);
        let said = said().split_off(before);
        assert_eq!(said.len(), 1, "one line: {said:?}");
        assert!(said[0].contains("ERROR") && said[0].contains("the old stay"), "{said:?}");
    }
    std::fs::remove_file(place.file.name()).expect("it was there");
    place.server.hang_up();
    eventually("it is missed", 5.0, || place.server.errors().contains("No such file"));
    assert_eq!(ann.rooms(), 2);
    place.change("max_rooms = 3\n");
    eventually("she may join one more", 5.0, || ann.rooms() == 3);
}

#[test]
fn the_log_changes() {
    let place = Place::new("max_faults = 1\n", &[]);
    let come = || drop(Person::new(&place.server, "/ws?name=ann"));
    let words = "throng::connections: open";
    come();
    place.change("max_faults = 1\nlog = 'info,throng::connections=debug'\n");
    assert!(!place.server.errors().contains(words));
    come();
    eventually("it is in the log", 5.0, || place.server.errors().contains(words));
}

#[test]
fn a_flag_still_overrules_the_file() {
    let place = Place::new("max_rooms = 2\n", &["--max-rooms", "3"]);
    let mut ann = Person::new(&place.server, "/ws");
    place.read_again("max_rooms = 5\n", "nothing else has changed");
    assert_eq!(ann.rooms(), 3);
}
