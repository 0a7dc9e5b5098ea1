//! The real binary as one of several nodes.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::authority::{Authority, text};
use crate::common::server::program;
use crate::common::{RawClient, Server, eventually};
use crate::nats::Nats;
use crate::nodes::{Person, heard};
use crate::rabbit::Rabbit;
use crate::redis::Redis;
use crate::servers::Kind;

pub fn person(server: &Server, target: &str) -> Person {
    let mut person = Person(RawClient::open(server, target));
    assert_eq!(person.read()["type"], "welcome");
    person
}

/// What the program says on standard error when it does not start.
pub fn complaint(flags: &[&str]) -> String {
    let mut command = Command::new(program());
    let output = command.args(["serve", "--listen", "127.0.0.1:0"]).args(flags).output();
    let output = output.expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

over_each_server!(
    two_programs_of_one_name_are_two_nodes,
    a_server_that_is_not_there_is_one_line,
    a_bad_address_is_one_line,
    servers_speak_tls,
    what_the_api_publishes_is_heard_on_all_nodes,
    nodes_know_who_is_on_another,
    the_rate_of_a_room_holds_over_all_nodes,
);

fn two_programs_of_one_name_are_two_nodes<S: Kind>() {
    let server = S::start();
    let url = server.url();
    let flags = [S::FLAG, &url, "--node", "same", "--durable", "d.*", "--history-db", "off"];
    let (one, other) = (Server::serve(&flags), Server::serve(&flags));
    let mut ann = person(&one, "/ws?name=ann");
    let mut bob = person(&other, "/ws?name=bob");
    for room in ["a", "d.1"] {
        ann.join(room, None);
        bob.join(room, None);
        // Both are the first of their loop: who is left out is told by the node.
        let text = r#"{"type":"text","id":1,"room":"ROOM","content":1,"echo":false}"#;
        assert_eq!(ann.ask(&text.replace("ROOM", room))["offset"], 1);
        assert_eq!(bob.hear(), heard(1, 1));
        assert_eq!(bob.publish(room, "2"), 2);
        assert_eq!(ann.hear(), heard(2, 2));
    }
    drop((ann, bob));
    // Nothing is left behind but what the server keeps.
    drop(one);
    let mut eve = person(&other, "/ws");
    assert_eq!(eve.history("d.1", "")["offset"], 2);
}

fn a_server_that_is_not_there_is_one_line<S: Kind>() {
    let login = if S::FLAG == "--nats" { "hush" } else { "ann:hush" };
    let url = format!("{}{login}@127.0.0.1:1", S::SCHEMES[0]);
    let said = complaint(&[S::FLAG, &url]);
    let errors: Vec<_> = said.lines().filter(|line| line.contains(S::NAME)).collect();
    assert_eq!(errors.len(), 1, "{said}");
    assert!(errors[0].contains("127.0.0.1:1") && errors[0].contains("start it"), "{said}");
    assert!(!said.contains("hush"), "{said}");
}

fn a_bad_address_is_one_line<S: Kind>() {
    let (flag, scheme) = (S::FLAG, S::SCHEMES[0]);
    for bad in ["127.0.0.1:6379", "http://:hush@127.0.0.1", &format!("{scheme}:hush@")] {
        let said = complaint(&[flag, bad]);
        assert!(said.contains(&format!("{flag}: this is not {scheme}")), "{said}");
        assert!(!said.contains("hush"), "{said}");
    }
    let said = complaint(&[flag, &format!("{scheme}127.0.0.1"), "--node", ""]);
    assert!(said.contains("--node: needs a name"), "{said}");
}

#[test]
fn nodes_have_one_broker() {
    let said = complaint(&["--redis", "redis://127.0.0.1", "--nats", "nats://127.0.0.1"]);
    assert!(said.contains("--nats: does not go together with --redis"), "{said}");
    for other in ["redis", "nats"] {
        let url = format!("{other}://127.0.0.1");
        let said = complaint(&["--rabbitmq", "amqp://127.0.0.1", &format!("--{other}"), &url]);
        let words = format!("--rabbitmq: does not go together with --{other}");
        assert!(said.contains(&words), "{said}");
    }
}

/// Runs with the login that a server wants, and fails with another; neither is in the log.
fn wants_login(flag: &str, right: &str, wrong: &str) {
    let said = complaint(&[flag, wrong]);
    assert!(said.contains(" at 127.0.0.1:") && !said.contains("hush"), "{said}");
    let server = Server::serve_logging("trace", &[flag, right]);
    person(&server, "/ws").join("a", None);
    assert!(!server.errors().contains("opensesame"), "no password in the log");
}

#[test]
fn a_redis_that_wants_another_password_is_one_line() {
    let redis = Redis::start();
    assert_eq!(redis.ask(&["CONFIG", "SET", "requirepass", "opensesame"]), "OK");
    let url = |password| redis.url().replace("redis://", &format!("redis://:{password}@"));
    wants_login("--redis", &url("opensesame"), &url("hush"));
}

#[test]
fn a_nats_that_wants_another_password_or_token_is_one_line() {
    let nats = Nats::start_with(&["--user", "ann", "--pass", "opensesame"]);
    let url = |login| nats.url().replace("nats://", &format!("nats://{login}@"));
    wants_login("--nats", &url("ann:opensesame"), &url("ann:hush"));
    let nats = Nats::start_with(&["--auth", "opensesame"]);
    let url = |login| nats.url().replace("nats://", &format!("nats://{login}@"));
    wants_login("--nats", &url("opensesame"), &url("hush"));
}

#[test]
fn a_rabbitmq_that_wants_another_password_is_one_line() {
    let rabbit = Rabbit::start();
    wants_login("--rabbitmq", &rabbit.url_as("ann:opensesame"), &rabbit.url_as("ann:hush"));
}

#[test]
fn a_nats_without_jetstream_is_one_line() {
    let nats = Nats::plain();
    let said = complaint(&["--nats", &nats.url()]);
    assert!(said.contains("NATS at") && said.contains("JetStream"), "{said}");
}

fn servers_speak_tls<S: Kind>() {
    let authority = Authority::new();
    let pair = authority.pair("broker", &["localhost"]);
    let (certificate, key, ca) = (text(&pair.certificate), text(&pair.key), text(&authority.ca()));
    let (_server, port) = S::start_with_tls(&certificate, &key, &ca);
    let url = format!("{}localhost:{port}", S::SCHEMES[1]);
    let server = Server::serve_with(&[("SSL_CERT_FILE", &ca)], &[S::FLAG, &url]);
    let mut ann = person(&server, "/ws");
    ann.join("a", None);
    assert_eq!(ann.publish("a", "1"), 1);
    // Whom nobody vouches for is not spoken to.
    let said = complaint(&[S::FLAG, &url]);
    let is_told = said.contains(&format!("{} localhost", S::NAME)) && said.contains("ertificate");
    assert!(is_told, "{said}");
}

fn what_the_api_publishes_is_heard_on_all_nodes<S: Kind>() {
    let broker = S::start();
    let url = broker.url();
    let flags = [S::FLAG, &url, "--api-key", "0123456789abcdef"];
    let (one, other) = (Server::serve(&flags), Server::serve(&flags));
    let mut bob = person(&other, "/ws?room=a");
    let post = |server: &Server, body: &str| {
        let mut client = RawClient::connect(server);
        client.send(format!(
            "POST /api/publish HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer 0123456789abcdef\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let answer = client.read_answer(false);
        (answer.status, String::from_utf8(answer.body).expect("words"))
    };
    let (status, words) = post(&one, r#"{"room":"a","content":1}"#);
    assert_eq!(status, 200, "{words}");
    assert_eq!(bob.hear(), heard(1, 1));
    let body = r#"{"room":"a","content":2,"sender":"shop","message_id":"m"}"#;
    for (server, duplicate) in [(&one, false), (&other, true), (&one, true)] {
        let (status, words) = post(server, body);
        assert_eq!(status, 200, "{words}");
        assert!(words.contains(&format!(r#""offset":2,"duplicate":{duplicate}"#)), "{words}");
    }
    assert_eq!(bob.hear(), heard(2, 2));
    assert_eq!(bob.publish("a", "3"), 3);
}

fn nodes_know_who_is_on_another<S: Kind>() {
    let broker = S::start();
    let url = broker.url();
    let (one, other) = (Server::serve(&[S::FLAG, &url]), Server::serve(&[S::FLAG, &url]));
    let mut ann = person(&one, "/ws?name=ann");
    let mut bob = person(&other, "/ws?name=bob");
    ann.join("a", None);
    bob.join("a", None);
    let is_told = |members: &[&str], person: &mut Person| {
        let answer = person.ask(r#"{"type":"presence","id":1,"room":"a"}"#);
        let told = answer["members"].as_array().expect("members").iter();
        let mut told: Vec<_> = told.filter_map(|name| name.as_str()).collect();
        told.sort_unstable();
        told == members
    };
    eventually("both know both", 10.0, || {
        is_told(&["ann", "bob"], &mut ann) && is_told(&["ann", "bob"], &mut bob)
    });
    ann.ask(r#"{"type":"direct","id":1,"user":"bob","content":1}"#);
    assert_eq!(bob.read_until(|message| message["type"] == "direct")["content"], 1);
    // A node that is killed takes its members with it when its lease is over.
    drop((one, ann));
    eventually("ann is gone", 15.0, || is_told(&["bob"], &mut bob));
}

/// How many messages of a room come in while members of all nodes say as much as they can.
fn let_in(people: &mut [Person], time: Duration) -> u64 {
    let (begin, mut count) = (Instant::now(), 0);
    while begin.elapsed() < time {
        for person in people.iter_mut() {
            let answer = person.say("a", "1");
            let is_in = answer["type"] == "ok";
            assert!(is_in || answer["code"] == "rate_limited", "{answer}");
            count += u64::from(is_in);
        }
        thread::sleep(Duration::from_millis(5));
    }
    count
}

fn the_rate_of_a_room_holds_over_all_nodes<S: Kind>() {
    const RATE: u64 = 20;
    let broker = S::start();
    let url = broker.url();
    let rate = RATE.to_string();
    for history in ["100", "0"] {
        let flags = [S::FLAG, &url, "--room-message-rate", &rate, "--history-messages", history];
        let servers: [Server; 3] = std::array::from_fn(|_| Server::serve(&flags));
        let enter = |server| {
            let mut person = person(server, "/ws");
            person.join("a", None);
            person
        };
        let mut people: Vec<Person> = servers.iter().map(enter).collect();
        // What each node lets in at once, twice the rate, has to be paid for first.
        let begin = Instant::now();
        let first = let_in(&mut people, Duration::from_secs(6));
        let most = begin.elapsed().as_secs() * RATE + 3 * 2 * RATE;
        assert!(first <= most + RATE, "{first} of {most}");
        let begin = Instant::now();
        let count = let_in(&mut people, Duration::from_secs(6)) as f64;
        let per_s = count / begin.elapsed().as_secs_f64();
        // Alone each would let in as many.
        let rate = RATE as f64;
        assert!(
            per_s > 0.5 * rate && per_s < 1.5 * rate,
            "{per_s} a second with history {history}"
        );
    }
}
