//! What goes wrong with a real server: each case over Redis, over NATS and over RabbitMQ.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use throng::hub::broker::{Broker, Link};
use throng::hub::history::History;

use crate::common::client::PATIENCE;
use crate::common::eventually;
use crate::common::process::{Process, free_address};
use crate::nats::Nats;
use crate::nodes::{Place, heard, history, offsets};
use crate::rabbit::Rabbit;
use crate::redis::Redis;

/// A server that can be a broker, as tests see it.
pub trait Kind: Sized {
    /// The flag of the program.
    const FLAG: &'static str;
    /// How an error about it begins.
    const NAME: &'static str;
    /// How its address begins; and with TLS.
    const SCHEMES: [&'static str; 2];

    fn start() -> Self;

    /// One that nobody else uses, so that it can be killed.
    fn start_alone() -> Self {
        Self::start()
    }

    /// With TLS too, or instead; and on which port.
    fn start_with_tls(certificate: &str, key: &str, ca: &str) -> (Self, u16);
    fn process(&mut self) -> &mut Process;
    fn url(&self) -> String;
    /// A way to it, beside those of nodes.
    fn link(&self) -> Box<dyn Link + Send>;
    /// One more node.
    fn place(&self, loops: usize, history: History) -> Place;

    /// Has it forget everything.
    fn empty(&self);
    /// Has it keep only the last messages of a room.
    fn trim(&self, room: &str, count: usize);
    /// Has it forget what came after this offset.
    fn lose_end(&self, room: &str, last: u64);
    /// Has it refuse to write, or write again.
    fn refuse(&self, refuses: bool);

    /// After it was killed.
    fn start_again(&mut self);
}

impl Kind for Redis {
    const FLAG: &'static str = "--redis";
    const NAME: &'static str = "Redis at";
    const SCHEMES: [&'static str; 2] = ["redis://", "rediss://"];

    fn start() -> Self {
        Self::start()
    }

    fn start_with_tls(certificate: &str, key: &str, ca: &str) -> (Self, u16) {
        let port = free_address().port();
        let files = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file"];
        let rest = [ca, "--tls-auth-clients", "no", "--tls-port", &port.to_string()];
        (Self::start_with(&[&files[..], &rest].concat()), port)
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn url(&self) -> String {
        self.url()
    }

    fn link(&self) -> Box<dyn Link + Send> {
        Box::new(self.broker().connect().expect("it is there"))
    }

    fn place(&self, loops: usize, history: History) -> Place {
        Place::new(loops, history, self.broker())
    }

    fn start_again(&mut self) {
        self.start_again();
    }

    fn empty(&self) {
        assert_eq!(self.ask(&["FLUSHALL"]), "OK");
    }

    fn trim(&self, room: &str, count: usize) {
        let (key, count) = (format!("throng:{{{room}}}:log"), count.to_string());
        assert_ne!(self.ask(&["XTRIM", &key, "MAXLEN", &count]), "0");
    }

    fn lose_end(&self, room: &str, last: u64) {
        self.ask(&["HSET", &format!("throng:{{{room}}}:head"), "o", &last.to_string()]);
        for offset in last + 1..=last + 10 {
            self.ask(&["XDEL", &format!("throng:{{{room}}}:log"), &format!("{offset}-0")]);
        }
    }

    fn refuse(&self, refuses: bool) {
        let bytes = if refuses { "1" } else { "0" };
        assert_eq!(self.ask(&["CONFIG", "SET", "maxmemory", bytes]), "OK");
    }
}

over_each_server!(
    a_server_that_is_killed_in_the_middle_loses_nothing_that_was_acknowledged,
    rooms_go_on_when_the_server_is_back,
    a_server_that_was_emptied_begins_a_new_epoch,
    a_server_that_has_lost_the_end_begins_a_new_epoch,
    a_stream_that_was_trimmed_cannot_recover,
    what_a_server_refuses_is_not_acknowledged,
    a_server_that_stalls_holds_nobody_up_for_long,
    nodes_that_publish_at_once_are_given_one_order,
);

fn two(server: &impl Kind) -> (Place, Place) {
    (server.place(1, history(5000)), server.place(2, history(5000)))
}

/// What has an `ok` is there, in every room; no offset is given twice; both nodes hear the same.
fn a_server_that_is_killed_in_the_middle_loses_nothing_that_was_acknowledged<S: Kind>() {
    let mut server = S::start_alone();
    let (one, other) = two(&server);
    let mut ann = one.person("/ws");
    let mut bob = other.person("/ws");
    let room = "d.1";
    let epoch = ann.join(room, None)["epoch"].clone();
    bob.join(room, None);
    let publisher = thread::spawn(move || {
        let (mut acknowledged, mut refused) = (BTreeSet::new(), 0);
        let begin = Instant::now();
        for n in 0.. {
            let answer = ann.say(room, &n.to_string());
            match answer["type"].as_str() {
                Some("ok") => assert!(acknowledged.insert((answer["offset"].as_u64(), n))),
                _ => {
                    assert_eq!(answer["code"], "store_unavailable");
                    refused += 1;
                    thread::sleep(Duration::from_millis(10));
                }
            }
            if begin.elapsed() > Duration::from_secs(4) {
                break;
            }
        }
        (acknowledged, refused)
    });
    for _ in 0..2 {
        thread::sleep(Duration::from_millis(700));
        server.process().kill();
        thread::sleep(Duration::from_millis(300));
        server.start_again();
    }
    let (acknowledged, refused) = publisher.join().expect("no panic");
    assert!(refused > 0 && acknowledged.len() > 10, "{refused} of {}", acknowledged.len());
    one.wait_connected(true);
    other.wait_connected(true);
    let mut eve = one.person("/ws");
    let (mut kept, mut after) = (BTreeSet::new(), 0);
    let end = Instant::now() + PATIENCE;
    loop {
        let fields = format!(r#""room":"{room}","limit":1000,"after":{after}"#);
        let page = eve.ask(&format!(r#"{{"type":"history","id":3,{fields}}}"#));
        if page["code"] == "store_unavailable" && Instant::now() < end {
            continue; // a server that is busy with its start may be lost once more
        }
        assert_eq!(page["epoch"], epoch, "{page}");
        for message in page["messages"].as_array().expect("messages") {
            let offset = message["offset"].as_u64();
            assert_eq!(offset, Some(after + 1));
            after += 1;
            kept.insert((offset, message["content"].as_i64().expect("a number")));
        }
        if page["more"] == false {
            break;
        }
    }
    assert!(acknowledged.is_subset(&kept), "what was acknowledged is there");
    // What came over the broken way is read: each message once, in its order.
    for offset in 1..=after {
        let (told, content) = bob.hear();
        assert_eq!(told, offset);
        assert!(kept.contains(&(Some(offset), content.as_i64().expect("a number"))));
    }
}

fn rooms_go_on_when_the_server_is_back<S: Kind>() {
    let mut server = S::start_alone();
    let (one, other) = two(&server);
    let (mut ann, mut bob) = (one.person("/ws"), other.person("/ws"));
    ann.join("a", None);
    bob.join("a", None);
    ann.join("n.a", None);
    bob.join("n.a", None);
    assert_eq!(ann.publish("a", "1"), 1);
    server.process().kill();
    one.wait_connected(false);
    other.wait_connected(false);
    assert_eq!(ann.say("a", "2")["code"], "degraded");
    server.start_again();
    let begin = Instant::now();
    one.wait_connected(true);
    other.wait_connected(true);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(ann.publish("a", "3"), 2);
    assert_eq!(bob.hear_many(2), [heard(1, 1), heard(2, 3)]);
    assert_eq!(ann.say("n.a", "4")["type"], "ok");
    assert_eq!(bob.hear(), (Value::Null, json!(4)));
}

fn a_server_that_was_emptied_begins_a_new_epoch<S: Kind>() {
    let server = S::start();
    let (one, other) = two(&server);
    let (mut ann, mut bob) = (one.person("/ws"), other.person("/ws"));
    let old = ann.join("a", None)["epoch"].clone();
    bob.join("a", None);
    (1..=3).for_each(|n| assert_eq!(ann.publish("a", &n.to_string()), n));
    bob.hear_many(3);
    server.empty();
    ann.send(r#"{"type":"text","id":2,"room":"a","content":"new"}"#);
    let (epoch, offset) = bob.gap();
    assert_eq!((epoch != old, offset), (true, 0));
    assert_eq!(bob.hear(), heard(1, "new"));
    // So it is for who has published it.
    assert_eq!(ann.gap(), (epoch.clone(), 0));
    assert_eq!(ann.hear(), heard(1, "new"));
    let answer = other.person("/ws").join("a", Some((&old, 3)));
    assert_eq!((&answer["recovered"], &answer["epoch"]), (&json!(false), &epoch));
}

/// A server that comes back with less than was seen gives no offset a second time.
fn a_server_that_has_lost_the_end_begins_a_new_epoch<S: Kind>() {
    let server = S::start();
    let (one, other) = two(&server);
    let (mut ann, mut bob) = (one.person("/ws"), other.person("/ws"));
    let old = ann.join("a", None)["epoch"].clone();
    bob.join("a", None);
    (1..=5).for_each(|n| assert_eq!(ann.publish("a", &n.to_string()), n));
    bob.hear_many(5);
    server.lose_end("a", 3);
    ann.send(r#"{"type":"text","id":2,"room":"a","content":"new"}"#);
    let (epoch, offset) = bob.gap();
    assert_eq!((epoch != old, offset), (true, 0));
    assert_eq!(bob.hear(), heard(1, "new"));
}

fn a_stream_that_was_trimmed_cannot_recover<S: Kind>() {
    let server = S::start();
    let (one, other) = two(&server);
    let mut ann = one.person("/ws");
    let epoch = ann.join("a", None)["epoch"].clone();
    (1..=9).for_each(|n| assert_eq!(ann.publish("a", &n.to_string()), n));
    server.trim("a", 3);
    let answer = other.person("/ws").join("a", Some((&epoch, 4)));
    assert_eq!((&answer["recovered"], &answer["messages"]), (&json!(false), &json!([])));
    let answer = other.person("/ws").join("a", Some((&epoch, 6)));
    assert_eq!(offsets(&answer["messages"]), [7, 8, 9]);
}

fn what_a_server_refuses_is_not_acknowledged<S: Kind>() {
    let server = S::start();
    let (one, _other) = two(&server);
    let mut ann = one.person("/ws");
    ann.join("a", None);
    ann.join("d.1", None);
    server.refuse(true);
    assert_eq!(ann.say("a", "1")["code"], "degraded");
    assert_eq!(ann.say("d.1", "1")["code"], "store_unavailable");
    let (status, words) = one.readiness();
    assert!(status == 200 && words.contains("alone: broker: "), "{words}");
    server.refuse(false);
    assert_eq!((ann.publish("a", "1"), ann.publish("d.1", "1")), (1, 1));
    assert_eq!(one.readiness(), (200, "ready\n".into()));
}

/// A server that says nothing is taken for gone, and nobody hangs on it.
fn a_server_that_stalls_holds_nobody_up_for_long<S: Kind>() {
    let mut server = S::start_alone();
    let (one, other) = two(&server);
    let (mut ann, mut bob) = (one.person("/ws"), other.person("/ws"));
    let epoch = ann.join("a", None)["epoch"].clone();
    bob.join("a", None);
    ann.join("d.1", None);
    assert_eq!(ann.publish("a", "1"), 1);
    server.process().stall();
    let begin = Instant::now();
    // The first does not know what became of it; later ones know that this node is alone.
    let answer = ann.say("a", "2");
    assert_eq!(answer["code"], "degraded", "{answer}");
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    one.wait_connected(false);
    let begin = Instant::now();
    for _ in 0..20 {
        assert_eq!(ann.say("a", "3")["code"], "degraded");
        assert_eq!(ann.say("d.1", "3")["code"], "store_unavailable");
    }
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    server.process().go_on();
    one.wait_connected(true);
    other.wait_connected(true);
    let last = ann.publish("a", "4");
    // What was under way has come through, or not: there is one order of it.
    let page = ann.history("a", "");
    assert_eq!(page["epoch"], epoch);
    let kept = offsets(&page["messages"]);
    assert_eq!(kept, (1..=last).collect::<Vec<_>>());
}

/// Two nodes that publish in one room: each message has an offset of its own, and none is missing.
fn nodes_that_publish_at_once_are_given_one_order<S: Kind>() {
    const EACH: u64 = 300;
    let server = S::start();
    let (one, other) = two(&server);
    let mut bob = other.person("/ws");
    bob.join("a", None);
    let (start, threads) = (std::sync::Barrier::new(2), [&one, &other]);
    let given: Vec<Vec<u64>> = thread::scope(|scope| {
        let publish = |place: &Place| {
            let mut person = place.person("/ws");
            person.join("a", None);
            start.wait();
            (0..EACH).map(|n| person.publish("a", &n.to_string())).collect()
        };
        let threads = threads.map(|place| scope.spawn(move || publish(place)));
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(given.iter().all(|offsets| offsets.is_sorted()));
    let mut all = given.concat();
    all.sort_unstable();
    assert_eq!(all, (1..=2 * EACH).collect::<Vec<_>>());
    let heard = bob.hear_many(all.len());
    assert!(heard.iter().zip(1..).all(|((offset, _), n)| *offset == n));
    assert_eq!((one.relay.stats().gaps, other.relay.stats().gaps), (0, 0));
}

#[test]
fn rooms_expire_in_redis() {
    let redis = Redis::start();
    let (one, _other) = two(&redis);
    let mut ann = one.person("/ws");
    ann.join("a", None);
    ann.publish("a", "1");
    let ttl = |key: &str| redis.ask(&["TTL", key]).parse::<i64>().expect("a number");
    assert!((3590..=3600).contains(&ttl("throng:{a}:log")));
    assert!((90_000 - 10..=90_000).contains(&ttl("throng:{a}:head")));
}

#[test]
fn nats_keeps_what_the_rules_ask_for() {
    let nats = Nats::start();
    let keeps = || {
        let config = nats.config();
        (config.max_messages_per_subject, config.max_age.as_secs())
    };
    let day = 24 * 60 * 60;
    let (one, other) = two(&nats);
    assert_eq!(keeps(), (100, 3600 + day));
    one.person("/ws").join("a", None);
    assert_eq!(keeps(), (5000, 3600 + day));
    // Who needs less takes nothing away.
    let few = nats.place(1, history(3));
    let mut ann = few.person("/ws");
    let epoch = ann.join("a", None)["epoch"].clone();
    assert_eq!(keeps(), (5000, 3600 + day));
    // And a node gives out no more than its own rules say.
    (1..=5).for_each(|n| assert_eq!(ann.publish("a", &n.to_string()), n));
    assert_eq!(few.person("/ws").join("a", Some((&epoch, 1)))["recovered"], false);
    let answer = other.person("/ws").join("a", Some((&epoch, 1)));
    assert_eq!(offsets(&answer["messages"]), [2, 3, 4, 5]);
}

/// The place of a message is known as long as its id, though the message is gone.
#[test]
fn nats_knows_the_place_of_a_message_that_was_trimmed() {
    let nats = Nats::start();
    let (one, other) = two(&nats);
    let mut ann = one.person("/ws?name=ann");
    ann.join("a", None);
    let text = r#"{"type":"text","id":1,"room":"a","content":1,"message_id":"m"}"#;
    assert_eq!(ann.ask(text)["offset"], 1);
    (2..=4).for_each(|n| assert_eq!(ann.publish("a", &n.to_string()), n));
    nats.trim("a", 2);
    let mut ann = other.person("/ws?name=ann");
    ann.join("a", None);
    let again = ann.ask(text);
    assert_eq!((&again["offset"], &again["duplicate"]), (&json!(1), &json!(true)), "{again}");
}

/// As Redis after `FLUSHALL`: the streams are made again, and rooms begin anew.
#[test]
fn a_nats_whose_streams_were_deleted_makes_them_again() {
    let nats = Nats::start();
    let (one, _other) = two(&nats);
    let mut ann = one.person("/ws");
    let old = ann.join("d.1", None)["epoch"].clone();
    assert_eq!(ann.publish("d.1", "1"), 1);
    assert!(nats.ask(async |context| context.delete_stream("throng").await).is_ok());
    assert_eq!(ann.say("d.1", "2")["code"], "store_unavailable");
    let begin = Instant::now();
    let answer = loop {
        let answer = ann.say("d.1", "3");
        if answer["type"] == "ok" || begin.elapsed() > Duration::from_secs(5) {
            break answer;
        }
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(answer["offset"], 1, "{answer}");
    assert_ne!(ann.history("d.1", "")["epoch"], old);
}

/// A node that starts when the beginning of the log is not kept any more comes to the same as one
/// that has read all of it.
#[test]
fn a_node_that_starts_late_reads_a_rabbitmq_log_from_its_middle() {
    let rabbit = Rabbit::start();
    rabbit.make_small(1 << 20);
    let one = rabbit.place(1, history(20));
    let mut ann = one.person("/ws?name=ann");
    let (quiet, busy) = (ann.join("q", None), ann.join("b", None));
    assert_eq!(ann.publish("q", "1"), 1);
    let long = format!("\"{}\"", "x".repeat(16 << 10));
    let mut last = 0;
    eventually("the log has outgrown its size", 60.0, || {
        (0..50).for_each(|_| last = ann.publish("b", &long));
        !rabbit.has_kept("q")
    });
    let other = rabbit.place(2, history(20));
    let mut bob = other.person("/ws?name=bob");
    let answer = bob.join("b", Some((&busy["epoch"], last - 3)));
    assert_eq!((&answer["recovered"], &answer["epoch"]), (&json!(true), &busy["epoch"]));
    assert_eq!(offsets(&answer["messages"]), [last - 2, last - 1, last]);
    assert_eq!((bob.publish("b", "1"), ann.publish("b", "2")), (last + 1, last + 2));
    // Of the other room it learns by who knows it.
    assert_eq!(ann.publish("q", "2"), 2);
    let answer = bob.join("q", Some((&quiet["epoch"], 1)));
    assert_eq!((&answer["recovered"], offsets(&answer["messages"])), (&json!(true), vec![2]));
    assert_eq!((bob.publish("q", "3"), ann.publish("q", "4")), (3, 4));
}
