//! Who is in a room over all nodes, and what is for users wherever they are.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::client::PATIENCE;
use crate::common::{RawClient, eventually};
use crate::nodes::{API_KEY, Cluster, Node};
use crate::record::Person;
use crate::relay::Mode;

/// A member of one room.
struct Member(Person);

impl Member {
    fn enter(node: &Node, room: &str, name: &str) -> (Self, Value) {
        let mut person = node.person(&format!("/ws?name={name}"));
        let answer = person.join(room, None);
        (Self(person), answer)
    }

    /// The next message of a type.
    fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.0.read();
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// What is told of who comes and goes. Who had come to another node just before may be told of
    /// first.
    fn is_told(&mut self, event: &str, name: &str) {
        loop {
            let told = self.next_of("system");
            if (&told["event"], &told["sender"]) == (&json!(event), &json!(name)) {
                return;
            }
            assert_eq!(told["event"], "join", "{told}, and not {event} of {name}");
        }
    }

    /// Waits until all of these are known here, and nobody else: other nodes hear of who comes some
    /// milliseconds after the answer.
    fn knows(&mut self, room: &str, names: &(Vec<String>, u64)) {
        let mut known = self.presence(room);
        let end = Instant::now() + PATIENCE;
        while known != *names {
            assert!(Instant::now() < end, "not known in {PATIENCE:?}: {names:?}, but {known:?}");
            known = self.presence(room);
        }
    }

    /// What is told within a time, of all kinds.
    fn hear(&mut self, time: Duration) -> Vec<Value> {
        let (end, mut heard) = (Instant::now() + time, Vec::new());
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let Some(frame) = self.0.0.next_frame(left) else { break };
            heard.push(serde_json::from_slice(&frame.payload).unwrap_or(Value::Null));
        }
        heard
    }

    fn presence(&mut self, room: &str) -> (Vec<String>, u64) {
        let ask = format!(r#"{{"type":"presence","id":1,"room":"{room}"}}"#);
        names(&self.0.ask(&ask))
    }

    fn is_closed(&mut self) -> (Option<u16>, String) {
        loop {
            let frame = self.0.0.next_frame(Duration::from_secs(10)).expect("a close frame");
            if frame.opcode == crate::common::frame::CLOSE {
                let reason = String::from_utf8_lossy(&frame.payload[2..]).into_owned();
                return (frame.close_code(), reason);
            }
        }
    }
}

/// The names in an answer, in their order, and the number.
fn names(answer: &Value) -> (Vec<String>, u64) {
    let names = answer["members"].as_array().unwrap_or_else(|| panic!("{answer}")).iter();
    let mut names: Vec<_> = names.map(|name| name.as_str().expect("a name").to_owned()).collect();
    names.sort_unstable();
    (names, answer["count"].as_u64().expect("a number"))
}

fn cluster() -> Cluster {
    Cluster::start(3, &["--api-key", API_KEY, "--loops", "2"])
}

fn three(names: [&str; 3]) -> (Vec<String>, u64) {
    (names.map(Into::into).into(), 3)
}

#[test]
fn who_is_on_other_nodes_is_listed_and_told_of() {
    let cluster = cluster();
    let [one, two, other] = &cluster.nodes[..] else { panic!("three nodes") };
    let (mut ann, _) = Member::enter(one, "a", "ann");
    let (mut bob, _) = Member::enter(two, "a", "bob");
    bob.knows("a", &(vec!["ann".into(), "bob".into()], 2));
    ann.is_told("join", "bob");
    let (mut cec, _) = Member::enter(other, "a", "cec");
    cec.knows("a", &three(["ann", "bob", "cec"]));
    for member in [&mut ann, &mut bob] {
        member.is_told("join", "cec");
        assert_eq!(member.presence("a"), three(["ann", "bob", "cec"]));
    }
    let room = other.api("GET", "/api/rooms/a", "");
    assert_eq!((names(&room), &room["complete"]), (three(["ann", "bob", "cec"]), &json!(true)));
    let connections = room["connections"].as_array().expect("a list");
    let mut nodes: Vec<_> = connections.iter().map(|one| one["node"].clone()).collect();
    nodes.sort_unstable_by_key(Value::to_string);
    assert_eq!(nodes, [json!("node-0"), json!("node-1"), json!("node-2")]);
    let all = one.api("GET", "/api/connections", "");
    assert_eq!((&all["count"], &all["complete"]), (&json!(3), &json!(true)));
    drop(bob);
    for member in [&mut ann, &mut cec] {
        member.is_told("leave", "bob");
    }
    cec.0.ask(r#"{"type":"leave","id":1,"room":"a"}"#);
    ann.is_told("leave", "cec");
    assert_eq!(ann.presence("a"), (vec!["ann".into()], 1));
    assert_eq!(ann.hear(Duration::from_millis(200)), [] as [Value; 0], "each is told of once");
}

#[test]
fn the_members_of_a_node_that_dies_leave_within_ten_seconds_and_those_of_others_stay() {
    let cluster = cluster();
    let [one, two, other] = &cluster.nodes[..] else { panic!("three nodes") };
    let (mut ann, _) = Member::enter(one, "a", "ann");
    let (_bob, _) = Member::enter(two, "a", "bob");
    ann.is_told("join", "bob");
    let (mut cec, _) = Member::enter(other, "a", "cec");
    ann.is_told("join", "cec");
    let killed = Instant::now();
    two.kill();
    ann.is_told("leave", "bob");
    let noticed = killed.elapsed();
    assert!(noticed < Duration::from_secs(11), "noticed after {noticed:?}");
    cec.is_told("leave", "bob");
    assert_eq!(cec.presence("a"), (vec!["ann".into(), "cec".into()], 2));
    // A newcomer does not find it either, and what it had kept is gone.
    let (mut dan, answer) = Member::enter(other, "a", "dan");
    assert_eq!(names(&answer), three(["ann", "cec", "dan"]));
    two.start_again();
    let (_eve, answer) = Member::enter(two, "a", "eve");
    assert_eq!(answer["count"], 4);
    dan.is_told("join", "eve");
}

#[test]
fn a_node_that_stops_says_so() {
    let cluster = cluster();
    let [one, two, _] = &cluster.nodes[..] else { panic!("three nodes") };
    let (mut ann, _) = Member::enter(one, "a", "ann");
    let (_bob, _) = Member::enter(two, "a", "bob");
    ann.is_told("join", "bob");
    eventually("all know each other", 5.0, || one.metric("throng_broker_nodes") == 3.0);
    two.stop();
    let stopped = Instant::now();
    ann.is_told("leave", "bob");
    let room = one.api("GET", "/api/rooms/a", "");
    assert_eq!((names(&room), &room["complete"]), ((vec!["ann".into()], 1), &json!(true)));
    assert!(stopped.elapsed() < Duration::from_secs(2), "after {:?}", stopped.elapsed());
    assert_eq!(one.metric("throng_broker_nodes"), 2.0);
}

#[test]
fn a_node_that_is_cut_off_is_gone_for_the_others_and_comes_back() {
    let cluster = cluster();
    let [one, two, _] = &cluster.nodes[..] else { panic!("three nodes") };
    let (mut ann, _) = Member::enter(one, "a", "ann");
    let (mut bob, _) = Member::enter(two, "a", "bob");
    ann.is_told("join", "bob");
    bob.knows("a", &(vec!["ann".into(), "bob".into()], 2));
    two.relay.set(Mode::Cut);
    let (mut cec, answer) = Member::enter(two, "a", "cec");
    bob.is_told("join", "cec");
    assert_eq!(answer["count"], 3, "what was known of the others stays");
    ann.is_told("leave", "bob");
    assert_eq!(ann.presence("a"), (vec!["ann".into()], 1));
    cluster.heal();
    let mut told = [ann.next_of("system"), ann.next_of("system")];
    told.sort_unstable_by_key(|told| told["sender"].to_string());
    for (told, name) in told.iter().zip(["bob", "cec"]) {
        assert_eq!((&told["event"], &told["sender"]), (&json!("join"), &json!(name)));
    }
    assert_eq!(cec.presence("a"), three(["ann", "bob", "cec"]));
    let others = bob.hear(Duration::from_millis(300));
    let told = others.iter().filter(|told| told["event"] != "gap");
    assert_eq!(told.count(), 0, "{others:?}");
}

#[test]
fn nobody_leaves_because_redis_is_started_again_or_has_forgotten_all() {
    let cluster = cluster();
    let [one, two, other] = &cluster.nodes[..] else { panic!("three nodes") };
    let (mut ann, _) = Member::enter(one, "a", "ann");
    let (mut bob, _) = Member::enter(two, "a", "bob");
    ann.is_told("join", "bob");
    cluster.redis().kill();
    std::thread::sleep(Duration::from_secs(1));
    cluster.redis().start_again();
    cluster.heal();
    assert_eq!(cluster.redis().ask(&["FLUSHALL"]), "OK");
    let heard = [ann.hear(Duration::from_secs(9)), bob.hear(Duration::from_millis(100))].concat();
    let left: Vec<_> = heard.iter().filter(|told| told["event"] == "leave").collect();
    assert_eq!(left, [] as [&Value; 0]);
    let (_cec, answer) = Member::enter(other, "a", "cec");
    assert_eq!(names(&answer), three(["ann", "bob", "cec"]));
}

#[test]
fn what_is_for_a_user_or_for_all_finds_them_on_every_node() {
    let cluster = cluster();
    let [one, two, other] = &cluster.nodes[..] else { panic!("three nodes") };
    let (mut ann, _) = Member::enter(one, "a", "ann");
    let mut bobs = [two, other].map(|node| Member::enter(node, "b", "bob").0);
    let direct = r#"{"type":"direct","id":1,"user":"bob","content":{"n":[1,2]}}"#;
    assert_eq!(ann.0.ask(direct)["type"], "ok");
    for bob in &mut bobs {
        let got = bob.next_of("direct");
        assert_eq!((&got["content"], &got["sender"]), (&json!({"n": [1, 2]}), &json!("ann")));
    }
    one.api("POST", "/api/users/bob/publish", r#"{"content":7,"sender":"back end"}"#);
    for bob in &mut bobs {
        let got = bob.next_of("direct");
        assert_eq!((&got["content"], &got["sender"]), (&json!(7), &json!("back end")));
    }
    other.api("POST", "/api/broadcast", r#"{"content":"all","sender":"back end"}"#);
    for member in bobs.iter_mut().chain([&mut ann]) {
        let got = member.next_of("text");
        assert_eq!((&got["content"], got.get("room")), (&json!("all"), None));
    }
    assert_eq!(ann.hear(Duration::from_millis(200)), [] as [Value; 0], "each gets it once");
}

#[test]
fn a_user_is_disconnected_or_taken_out_of_a_room_on_every_node() {
    let cluster = cluster();
    let [one, two, other] = &cluster.nodes[..] else { panic!("three nodes") };
    let (mut ann, _) = Member::enter(one, "a", "ann");
    let mut bobs = [one, two, other].map(|node| Member::enter(node, "a", "bob").0);
    let done = one.api("DELETE", "/api/rooms/a/members/bob", "");
    assert_eq!(done["count"], 3);
    for bob in &mut bobs {
        while bob.next_of("system")["event"] != "leave" {}
    }
    eventually("the room knows", 5.0, || ann.presence("a") == (vec!["ann".into()], 1));
    let done = other.api("DELETE", "/api/users/bob", "");
    assert_eq!(done["count"], 3);
    for bob in &mut bobs {
        assert_eq!(bob.is_closed(), (Some(1008), "disconnected".into()));
    }
    // Who cannot reach the others says so.
    two.relay.set(Mode::Cut);
    eventually("the node knows", 10.0, || two.is_alone());
    let (answer, body) = two.request("DELETE", "/api/users/ann", "");
    assert_eq!((answer.status, &body["code"]), (503, &json!("overloaded")));
    assert_eq!(two.api("GET", "/api/rooms/a", "")["complete"], false);
    assert_eq!(ann.presence("a").1, 1);
}

/// The file of a secret, and tokens that are signed with it.
fn tokens() -> (crate::common::Folder, String, impl Fn(&str, &str) -> String) {
    const SECRET: &[u8] = b"a secret that is long enough for anybody";
    let folder = crate::common::Folder::new("secret");
    let file = folder.path().join("secret");
    std::fs::write(&file, SECRET).expect("a file");
    let token = |sub: &str, jti: &str| {
        use throng::hub::auth::{Claims, Signer};
        let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let exp = now_s.expect("after 1970").as_secs() + 600;
        let (sub, jti) = (sub.into(), Some(jti.into()));
        let claims = Claims { sub, jti, exp: Some(exp), ..Claims::default() };
        Signer::secret(SECRET).expect("long").sign(&claims).expect("a token")
    };
    (folder, file.display().to_string(), token)
}

#[test]
fn a_token_is_revoked_and_connections_of_a_user_are_counted_on_every_node() {
    let (_folder, file, token) = tokens();
    let flags = ["--api-key", API_KEY, "--jwt-secret-file", &file];
    let cluster = Cluster::start(3, &[&flags[..], &["--max-connections-per-user", "2"]].concat());
    let [one, two, other] = &cluster.nodes[..] else { panic!("three nodes") };
    let target = |jti: &str| format!("/ws?room=a&token={}", token("ann", jti));
    let mut bad = Member(one.person(&target("bad")));
    let good = two.person(&target("good"));
    let status = |node: &Node| {
        let mut client: RawClient = node.dial();
        client.send(crate::common::Upgrade::new(&target("more")).bytes());
        client.read_answer(false).status
    };
    eventually("two are enough", 5.0, || status(other) == 429 && status(one) == 429);
    drop(good);
    eventually("there is room for one", 5.0, || status(other) == 101);
    assert_eq!(two.api("POST", "/api/revocations", r#"{"jti":"bad"}"#)["count"], 1);
    assert_eq!(bad.is_closed(), (Some(1008), "revoked_token".into()));
    for node in &cluster.nodes {
        let mut client = node.dial();
        client.send(crate::common::Upgrade::new(&target("bad")).bytes());
        let answer = client.read_answer(false);
        assert!(String::from_utf8_lossy(&answer.body).contains("revoked_token"), "{answer:?}");
    }
}

#[test]
fn a_node_that_starts_later_or_was_cut_off_knows_what_was_revoked_and_what_was_taken_out() {
    let (_folder, file, token) = tokens();
    let cluster = Cluster::start(3, &["--api-key", API_KEY, "--jwt-secret-file", &file]);
    let [one, two, late] = &cluster.nodes[..] else { panic!("three nodes") };
    let is_refused = |node: &Node, jti: &str| {
        let mut client = node.dial();
        let target = format!("/ws?token={}", token("ann", jti));
        client.send(crate::common::Upgrade::new(&target).bytes());
        client.read_answer(false).status == 401
    };
    let eventually_all = |what: &str, jti: &str, refused: bool| {
        eventually(what, 15.0, || {
            cluster.nodes.iter().all(|node| is_refused(node, jti) == refused)
        });
    };
    // One node is down, and one is cut off; who is connected there has to go too.
    late.kill();
    let mut bob = Member(two.person(&format!("/ws?token={}", token("bob", "cut"))));
    two.relay.set(Mode::Cut);
    eventually("the node knows", 10.0, || two.is_alone());
    for jti in ["late", "cut"] {
        one.request("POST", "/api/revocations", &json!({ "jti": jti }).to_string());
    }
    assert!(!is_refused(two, "cut"));
    late.start_again();
    two.relay.set(Mode::Pass);
    assert_eq!(bob.is_closed(), (Some(1008), "revoked_token".into()));
    eventually_all("all know", "late", true);
    eventually_all("all know", "cut", true);
    // Redis has forgotten all, and a node comes that never knew.
    cluster.redis().ask(&["FLUSHALL"]);
    cluster.redis().kill();
    cluster.redis().start_again();
    cluster.heal();
    late.kill();
    late.start_again();
    eventually_all("it was written again", "late", true);
    // One that misses it does not put it back.
    two.relay.set(Mode::Cut);
    eventually("the node knows", 10.0, || two.is_alone());
    one.request("DELETE", "/api/revocations?jti=late", "");
    eventually("the others know", 15.0, || !is_refused(one, "late") && !is_refused(late, "late"));
    assert!(is_refused(two, "late"));
    two.relay.set(Mode::Pass);
    late.kill();
    late.start_again();
    eventually_all("it is taken out everywhere", "late", false);
    // Those that were killed are counted, and asked, until their leases end.
    eventually("three live, and answer", 30.0, || {
        let all = two.api("GET", "/api/connections", "");
        all["complete"] == true && two.metric("throng_broker_nodes") == 3.0
    });
    assert_eq!(two.api("DELETE", "/api/revocations?jti=cut", ""), json!({"ok": true}));
    eventually_all("it is taken out at once", "cut", false);
}
