//! How fast messages go from one node to another through Redis, beside what Redis alone does:
//!
//! ```sh
//! cargo build --release
//! THRONG=target/release/throng \
//!     cargo test --profile quick --test cluster figure -- --ignored --nocapture
//! ```

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Frame, RawClient, free_addresses};
use crate::nodes::{Cluster, Node};
use crate::redis::Redis;

const TIME: Duration = Duration::from_secs(3);

/// The median of so many runs is told.
const ROUNDS: usize = 5;

const PUBLISHERS: usize = 8;

/// How many messages a publisher sends before it waits for the answer to the last.
const BATCH: usize = 64;

/// What each message says, beside what is around it.
const CONTENT_BYTES: usize = 100;

fn enter(node: &Node) -> RawClient {
    let mut person = node.person("/ws");
    person.join("a", None);
    person.0
}

/// Publishes a batch after the other.
fn publish(mut client: RawClient, is_over: &AtomicBool) {
    let content = "x".repeat(CONTENT_BYTES);
    let text = |id: &str| {
        format!(r#"{{"type":"text"{id},"room":"a","content":"{content}","echo":false}}"#)
    };
    let mut batch = vec![Frame::text(text("")); BATCH - 1];
    batch.push(Frame::text(text(r#","id":1"#)));
    let batch = crate::common::frame::stream(&batch);
    while !is_over.load(Ordering::SeqCst) {
        client.send(&batch);
        while !client.read_text().contains(r#""id":1"#) {} // or it is refused: the queue is full
    }
}

/// What came of a run.
struct Figure {
    /// Deliveries a second: one member on another node.
    rate: f64,
    /// What Redis needs of a processor for a message, in microseconds.
    redis_us: f64,
}

/// One node in which all is said, and others that hear it.
fn over(count: usize, flags: &[&str]) -> Figure {
    let redis = Redis::start_at(free_addresses::<1>()[0], &["--appendonly", "no"]);
    let cluster = Cluster::over(redis, count, flags);
    let (is_over, [one, others @ ..]) = (AtomicBool::new(false), &cluster.nodes[..]) else {
        panic!("some nodes")
    };
    thread::scope(|scope| {
        let is_over = &is_over;
        for _ in 0..PUBLISHERS {
            let client = enter(one);
            scope.spawn(move || publish(client, is_over));
        }
        for other in others {
            let mut member = enter(other);
            scope.spawn(move || while member.skip(Duration::from_secs(2)) {});
        }
        thread::sleep(Duration::from_secs(1));
        let count = || (others[0].metric("throng_broker_received_total"), cpu_s(&cluster.redis()));
        let (begin, before) = (Instant::now(), count());
        thread::sleep(TIME);
        let after = count();
        let (messages, cpu_s) = (after.0 - before.0, after.1 - before.1);
        let rate = messages / begin.elapsed().as_secs_f64();
        is_over.store(true, Ordering::SeqCst);
        Figure { rate, redis_us: cpu_s * 1e6 / messages }
    })
}

/// The processor time that Redis has taken, in seconds.
fn cpu_s(redis: &Redis) -> f64 {
    let times = redis.ask(&["INFO", "cpu"]);
    let times = times.lines().filter_map(|line| line.split_once(':'));
    let times = times.filter(|(name, _)| ["used_cpu_user", "used_cpu_sys"].contains(name));
    times.filter_map(|(_, time)| time.trim().parse::<f64>().ok()).sum()
}

/// With as much on its way as there is between the nodes.
const AS_MUCH: [&str; 4] = ["-c", "8", "-P", "64"];

/// What `redis-benchmark` says that Redis does a second of a command; without options, one command
/// of each of 50 connections is on its way.
fn redis_alone(options: &[&str], command: impl FnOnce(&Redis) -> Vec<String>) -> String {
    let redis = Redis::start_at(free_addresses::<1>()[0], &["--appendonly", "no"]);
    let (host, port) = (redis.address().ip().to_string(), redis.address().port().to_string());
    let mut benchmark = Command::new("redis-benchmark");
    benchmark.args(["-h", &host, "-p", &port, "-n", "300000", "--csv"]).args(options);
    let output = benchmark.args(command(&redis)).output();
    let output = output.expect("redis-benchmark runs; tests/run installs it");
    let text = String::from_utf8_lossy(&output.stdout);
    // "test","rps", ..: the command stands in the first.
    let row = text.lines().last().unwrap_or_default();
    row.split("\",\"").nth(1).unwrap_or(row).to_owned()
}

fn body() -> String {
    "x".repeat(CONTENT_BYTES + 100)
}

fn plain(_: &Redis) -> Vec<String> {
    vec!["PUBLISH".into(), "a".into(), body()]
}

/// The script that a node has Redis run for each message of a room with history.
fn script(redis: &Redis) -> Vec<String> {
    let script = include_str!("../../src/hub/broker/redis/publish.lua");
    let sha = redis.ask(&["SCRIPT", "LOAD", script]);
    let keys = ["{a}:head", "{a}:log"];
    let more = ["0123456789abcdef", "", "0", "100", "3600000", "3600000", "a", &body(), "0"];
    let words = ["EVALSHA", &sha, "2"].into_iter().chain(keys).chain(more);
    words.map(Into::into).collect()
}

#[test]
#[ignore = "a figure for docs/performance.md, of a release build"]
fn deliveries_a_second_between_nodes() {
    println!(
        "redis-benchmark: {} of PUBLISH, {} without options, {} of the script for one message",
        redis_alone(&AS_MUCH, plain),
        redis_alone(&[], plain),
        redis_alone(&AS_MUCH, script)
    );
    let kept = ["--history-messages", "100"];
    for (name, flags) in [("history", &kept[..]), ("none", &["--history-messages", "0"])] {
        for count in [2, 4, 8] {
            let mut figures: Vec<_> = (0..ROUNDS).map(|_| over(count, flags)).collect();
            figures.sort_by(|one, other| one.rate.total_cmp(&other.rate));
            let (least, most) = (figures[0].rate, figures[ROUNDS - 1].rate);
            let Figure { rate, redis_us } = &figures[ROUNDS / 2];
            println!(
                "{name}, {count} nodes: {rate:.0} a second ({least:.0} to {most:.0}), \
                 {redis_us:.1} us of Redis each"
            );
        }
    }
}
