//! Who comes back has its rooms again: its own, those that it still may read, and nobody else's.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use throng::hub::Door;
use throng::hub::sessions::{Found, Memory, Record, SessionId, SessionStats, Sessions};

use crate::common::http::Upgrade;
use crate::door::{door_as, enter, token_of};
use crate::{Person, Place};

fn memory(life: Duration) -> Arc<dyn Sessions> {
    Arc::new(Memory::new(life, 1 << 20))
}

fn place(loops: usize) -> Place {
    Place::keeping(loops, Door::default(), memory(Duration::from_secs(60)))
}

/// Connects: the session of the welcome, and who it is.
fn come(place: &Place, target: &str) -> (Person, String, String) {
    let mut person = enter(place, &Upgrade::new(target));
    let welcome = person.next_of("welcome");
    let field = |name: &str| welcome[name].as_str().unwrap_or_default().to_owned();
    (person, field("session"), field("sender"))
}

fn join(person: &mut Person, room: &str) -> Value {
    person.ask_among_news(&format!(r#"{{"type":"join","id":1,"room":"{room}"}}"#))
}

fn say(person: &mut Person, room: &str, content: u64) {
    let text = r#"{"type":"text","id":2,"room":"ROOM","content":CONTENT,"echo":false}"#;
    let text = text.replace("ROOM", room).replace("CONTENT", &content.to_string());
    assert!(person.ask_among_news(&text)["offset"].is_u64());
}

fn resume(session: &str, rooms: &Value) -> String {
    json!({"type": "resume", "id": 7, "session": session, "rooms": rooms}).to_string()
}

/// The answers to a resume: those of its rooms, and the last.
fn resumed(person: &mut Person) -> (Vec<Value>, Value) {
    let mut rooms = Vec::new();
    loop {
        let answer = person.next_of_any(&["ok", "error"]);
        if answer.get("session").is_some() || answer["type"] == "error" {
            return (rooms, answer);
        }
        rooms.push(answer);
    }
}

fn names(rooms: &Value) -> Vec<&str> {
    let rooms = rooms.as_array().expect("a list").iter();
    rooms.map(|room| room["room"].as_str().expect("a name")).collect()
}

/// Who asks for the session that it has is its one owner still.
#[test]
fn a_session_that_its_owner_resumes_ends_with_it() {
    let sessions = memory(Duration::ZERO);
    let place = Place::keeping(1, Door::default(), Arc::clone(&sessions));
    let (mut ann, session, name) = come(&place, "/ws");
    ann.send(&resume(&session, &json!([])));
    let (_, last) = resumed(&mut ann);
    assert_eq!((&last["session"], &last["sender"]), (&json!(session), &json!(name)));
    join(&mut ann, "a");
    drop(ann);
    place.wait_for("a", 0);
    assert_eq!(sessions.stats().sessions, 0);
}

#[test]
fn rooms_and_a_guests_name_come_back_with_what_was_missed() {
    for loops in [1, 3] {
        let place = place(loops);
        let (mut ann, session, name) = come(&place, "/ws");
        assert!(name.starts_with("guest-") && session.len() == 32, "{name} {session}");
        let mut known = Vec::new();
        for room in ["a", "b", "c"] {
            let answer = join(&mut ann, room);
            known.push(json!({"room": room, "epoch": answer["epoch"], "offset": 0}));
        }
        ann.ask_among_news(r#"{"type":"leave","id":1,"room":"b"}"#);
        drop(ann);
        place.wait_for("a", 0);
        let (mut bob, ..) = come(&place, "/ws?room=a&name=bob");
        say(&mut bob, "a", 1);
        say(&mut bob, "a", 2);
        // It is known up to where `a` is, and not `c`.
        let (mut ann, other, _) = come(&place, "/ws");
        assert_ne!(session, other);
        ann.send(&resume(&session, &json!([known[0]])));
        // What is said behind it is carried out behind it.
        ann.send(r#"{"type":"text","id":8,"room":"c","content":3}"#);
        let (rooms, last) = resumed(&mut ann);
        assert_eq!((&last["id"], &last["session"]), (&json!(7), &json!(session)));
        assert_eq!(last["sender"], json!(name));
        assert_eq!(names(&last["rooms"]), ["a", "c"]);
        assert_eq!(
            (&last["rooms"][0]["offset"], &last["rooms"][1]["offset"]),
            (&json!(2), &json!(0))
        );
        assert_eq!(last["rooms"][0]["epoch"], known[0]["epoch"]);
        assert_eq!((&rooms[0]["room"], &rooms[0]["recovered"]), (&json!("a"), &json!(true)));
        let missed = rooms[0]["messages"].as_array().expect("messages").iter();
        let missed: Vec<_> = missed.map(|message| message["content"].clone()).collect();
        assert_eq!(json!(missed), json!([1, 2]));
        assert_eq!((&rooms[1]["room"], &rooms[1]["recovered"]), (&json!("c"), &json!(false)));
        assert_eq!(ann.next_of("text")["sender"], json!(name));
        assert_eq!(ann.next_of("ok")["id"], 8);
        assert_eq!(bob.next_of("system")["sender"], json!(name));
    }
}

#[test]
fn a_url_can_ask_for_a_session() {
    let place = place(2);
    let (mut ann, session, name) = come(&place, "/ws");
    join(&mut ann, "a");
    drop(ann);
    place.wait_for("a", 0);
    let mut ann = enter(&place, &Upgrade::new(&format!("/?session={session}&room=x")));
    let welcome = ann.read();
    assert_eq!((&welcome["type"], &welcome["sender"]), (&json!("welcome"), &json!(name)));
    assert_eq!((&welcome["session"], welcome.get("room")), (&json!(session), None));
    let (rooms, last) = resumed(&mut ann);
    assert_eq!((rooms.len(), names(&last["rooms"])), (1, vec!["a"]));
    assert!(last.get("id").is_none());
    // One that is not there is told after the welcome, and it is a newcomer.
    let mut bob = enter(&place, &Upgrade::new(&format!("/ws?session={}", "0".repeat(32))));
    let welcome = bob.read();
    assert_eq!(welcome["type"], "welcome");
    assert_ne!(welcome["session"], json!("0".repeat(32)));
    assert_eq!(bob.read()["code"], "unknown_session");
    join(&mut bob, "b");
    // What is no session at all counts as none.
    let mut eve = enter(&place, &Upgrade::new("/ws?session=x&room=a"));
    assert_eq!(eve.read()["room"], "a");
}

#[test]
fn what_cannot_be_resumed_is_told() {
    let place = Place::keeping(1, Door::default(), memory(Duration::from_millis(200)));
    let (mut ann, session, _) = come(&place, "/ws?name=ann");
    join(&mut ann, "a");
    drop(ann);
    let (mut bob, ..) = come(&place, "/ws");
    for (command, code) in [
        (r#"{"type":"resume"}"#, "bad_command"),
        (r#"{"type":"resume","session":"x"}"#, "bad_command"),
        (r#"{"type":"resume","session":7}"#, "bad_command"),
        (&resume(&session, &json!([1])), "bad_command"),
        (&resume(&session, &json!({"a": 1})), "bad_command"),
        (&resume(&"f".repeat(32), &json!([])), "unknown_session"),
    ] {
        assert_eq!(bob.fault(command), code, "{command}");
    }
    join(&mut bob, "b");
    assert_eq!(bob.fault(&resume(&session, &json!([]))), "bad_command");
    // Its time is over.
    thread::sleep(Duration::from_millis(300));
    let (mut ann, ..) = come(&place, "/ws");
    assert_eq!(ann.fault(&resume(&session, &json!([]))), "unknown_session");
    // A server that keeps none.
    let place = Place::new(1);
    let (mut ann, none, _) = come(&place, "/ws");
    assert_eq!(none, "");
    assert_eq!(ann.fault(&resume(&session, &json!([]))), "unknown_session");
}

/// The one of the connection that resumes goes, so that there are no more than there are clients.
#[test]
fn a_client_has_one_session() {
    let sessions = memory(Duration::from_secs(60));
    let place = Place::keeping(2, Door::default(), Arc::clone(&sessions));
    let (ann, session, _) = come(&place, "/ws");
    let mut people = vec![ann];
    for _ in 0..5 {
        let (mut ann, ..) = come(&place, "/ws");
        ann.send(&resume(&session, &json!([])));
        assert_eq!(resumed(&mut ann).1["session"], json!(session));
        people.push(ann);
    }
    assert_eq!(sessions.stats().sessions, 1);
    assert_eq!(sessions.stats().resumed, 5);
}

#[test]
fn a_session_is_its_users_and_rights_are_asked_again() {
    let door = door_as(Door::default(), |config| config.requires_token = false);
    let place = Place::keeping(2, door, memory(Duration::from_secs(60)));
    let target =
        |user: &str, rooms: Option<&str>| format!("/ws?token={}", token_of(user, 60, rooms));
    let (mut ann, session, _) = come(&place, &target("ann", None));
    for room in ["a", "b", "c"] {
        join(&mut ann, room);
    }
    drop(ann);
    place.wait_for("c", 0);
    // Neither another user nor a guest of that name gets it.
    for target in [target("bob", None), "/ws?name=ann".to_owned()] {
        let (mut other, ..) = come(&place, &target);
        assert_eq!(other.fault(&resume(&session, &json!([]))), "unknown_session");
    }
    // Nor does a user get what a guest had.
    let (guest, of_guest, _) = come(&place, "/ws?name=ann");
    drop(guest);
    let (mut ann, ..) = come(&place, &target("ann", None));
    assert_eq!(ann.fault(&resume(&of_guest, &json!([]))), "unknown_session");
    drop(ann);
    // Her new token allows less.
    let rooms = r#"[{"match":"b","rights":["read"]},{"match":"c","rights":["write"]}]"#;
    let (mut ann, ..) = come(&place, &target("ann", Some(rooms)));
    ann.send(&resume(&session, &json!([])));
    let (rooms, last) = resumed(&mut ann);
    assert_eq!((rooms.len(), names(&last["rooms"])), (1, vec!["b"]));
    // What she may not read is gone from it.
    drop(ann);
    let (mut ann, ..) = come(&place, &target("ann", None));
    ann.send(&resume(&session, &json!([])));
    assert_eq!(names(&resumed(&mut ann).1["rooms"]), ["b"]);
}

/// Sessions that are somewhere else: what is found is told later, from another thread.
#[derive(Debug)]
struct Elsewhere(Arc<dyn Sessions>);

impl Sessions for Elsewhere {
    fn open(&self, id: SessionId, record: Record) {
        self.0.open(id, record);
    }

    fn enter(&self, id: SessionId, room: &str) {
        self.0.enter(id, room);
    }

    fn leave(&self, id: SessionId, room: &str) {
        self.0.leave(id, room);
    }

    fn close(&self, id: SessionId) {
        self.0.close(id);
    }

    fn forget(&self, id: SessionId) {
        self.0.forget(id);
    }

    fn resume(&self, id: SessionId, found: Found) -> Option<Option<Record>> {
        let record = self.0.resume(id, Box::new(|_| {})).flatten();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            found(record);
        });
        None
    }

    fn stats(&self) -> SessionStats {
        self.0.stats()
    }
}

/// Two servers that know the same sessions, as two nodes do.
#[test]
fn a_client_can_come_back_to_another_server() {
    let sessions: Arc<dyn Sessions> = Arc::new(Elsewhere(memory(Duration::from_secs(60))));
    let places = [1, 2].map(|loops| Place::keeping(loops, Door::default(), Arc::clone(&sessions)));
    let (mut ann, session, name) = come(&places[0], "/ws");
    join(&mut ann, "a");
    join(&mut ann, "b");
    drop(ann);
    places[0].wait_for("a", 0);
    let (mut ann, ..) = come(&places[1], "/ws");
    ann.send(&resume(&session, &json!([])));
    ann.send(r#"{"type":"join","id":9,"room":"c"}"#);
    let (rooms, last) = resumed(&mut ann);
    assert_eq!((rooms.len(), names(&last["rooms"])), (2, vec!["a", "b"]));
    assert_eq!(last["sender"], json!(name));
    assert_eq!(ann.next_of("ok")["room"], "c");
    drop(ann);
    places[1].wait_for("c", 0);
    // By the URL too, and one that goes while it waits harms nobody.
    drop(enter(&places[0], &Upgrade::new(&format!("/ws?session={session}"))));
    let mut ann = enter(&places[0], &Upgrade::new(&format!("/ws?session={session}")));
    assert_eq!(ann.read()["sender"], json!(name));
    assert_eq!(names(&resumed(&mut ann).1["rooms"]), ["a", "b", "c"]);
}
