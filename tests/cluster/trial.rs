//! A trial: clients that publish and clients that come and go on all nodes, while things go wrong;
//! in the end everyone has seen everything, and the checker has nothing to say.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::random::Random;
use crate::faults::{self, Fault};
use crate::nodes::Cluster;
use crate::record::{Event, Kept, Trial, Wanderer, check, kept};

/// Two in memory, two durable.
pub const ROOMS: [&str; 4] = ["m.1", "m.2", "d.1", "d.2"];

/// How many messages of a client may be on their way.
const WINDOW: usize = 16;

const PUBLISHERS: u64 = 4;
const WALKERS: u64 = 4;

/// A client that goes from node to node.
struct Traveller<'a>(Wanderer<'a>);

impl<'a> Traveller<'a> {
    fn new(cluster: &'a Cluster, seed: u64) -> Self {
        // Any node that is up.
        let dial =
            |random: &mut Random| cluster.nodes[random.below(cluster.nodes.len())].try_dial();
        Self(Wanderer::new(&ROOMS, seed, false, Box::new(dial)))
    }

    /// Publishes until it is over, and goes elsewhere now and then.
    fn publish(mut self, first: u64, is_over: &AtomicBool) -> Self {
        let Self(one) = &mut self;
        let mut id = first;
        while !is_over.load(Ordering::SeqCst) {
            one.mend();
            one.client.publish(ROOMS[one.random.below(ROOMS.len())], id);
            id += 1;
            one.client.settle(WINDOW);
            thread::sleep(Duration::from_millis(one.random.below(10) as u64));
            if one.random.below(400) == 0 {
                one.come_back();
            }
        }
        one.client.settle(0);
        self
    }

    /// Listens for a moment here and a moment there until it is over.
    fn walk(mut self, is_over: &AtomicBool) -> Self {
        let Self(one) = &mut self;
        while !is_over.load(Ordering::SeqCst) {
            let moment = Duration::from_millis(one.random.below(600) as u64);
            let end = Instant::now() + moment;
            while Instant::now() < end {
                one.client.pump(Duration::from_millis(5));
                one.mend();
            }
            one.come_back();
        }
        self
    }
}

/// What happens on three nodes while things go wrong for `time`, and what went wrong how often.
pub fn record(seed: u64, time: Duration) -> (Trial, BTreeMap<Fault, usize>) {
    let cluster = Cluster::start(3, &[]);
    let (is_over, cluster) = (AtomicBool::new(false), &cluster);
    let (travellers, faults) = thread::scope(|scope| {
        let is_over = &is_over;
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|number| {
                let traveller = Traveller::new(cluster, seed * 100 + number);
                scope.spawn(move || traveller.publish(number << 32, is_over))
            })
            .collect();
        let walkers: Vec<_> = (PUBLISHERS..PUBLISHERS + WALKERS)
            .map(|number| {
                let traveller = Traveller::new(cluster, seed * 100 + number);
                scope.spawn(move || traveller.walk(is_over))
            })
            .collect();
        let faults = faults::inject(cluster, &mut Random::new(seed), time);
        is_over.store(true, Ordering::SeqCst);
        let all = publishers.into_iter().chain(walkers);
        let all = all.map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>();
        (all, faults)
    });
    // What was held on its way to Redis comes late, and is no less there.
    thread::sleep(Duration::from_millis(500));
    let mut trial = Trial { kept: keep(cluster, 0), ..Trial::default() };
    for number in 1..cluster.nodes.len() {
        assert_eq!(trial.kept, keep(cluster, number), "the nodes agree on what was said");
    }
    trial.clients = travellers
        .into_iter()
        .map(|one| one.0.finish(&trial.kept, Duration::from_secs(10)))
        .collect();
    (trial, faults)
}

/// What a node says that the rooms have kept.
fn keep(cluster: &Cluster, number: usize) -> Kept {
    let mut reader = cluster.nodes[number].person("/ws");
    ROOMS.iter().map(|room| ((*room).to_owned(), kept(&mut reader, room))).collect()
}

/// Runs a seed, and says what has happened.
fn run(seed: u64, time: Duration) {
    say(&format!("cluster: seed {seed}, which THRONG_SEED={seed} repeats"));
    let (trial, faults) = record(seed, time);
    let (mut counts, mut refused) = (BTreeMap::<&str, usize>::new(), BTreeMap::new());
    for event in trial.clients.iter().flatten() {
        let kind = match event {
            Event::Sent { .. } => "sent",
            Event::Acked { .. } => "acknowledged",
            Event::Refused { code, .. } => {
                *refused.entry(code.clone()).or_insert(0_usize) += 1;
                "refused"
            }
            Event::Joined { joined, .. } if !joined.messages.is_empty() => "recovered from a gap",
            Event::Joined { .. } => "joined",
            Event::Blind { .. } => "lost sight",
            Event::Seen { .. } => "seen",
            Event::Unplaced { .. } => "seen on one node alone",
            Event::Ended { .. } => continue,
        };
        *counts.entry(kind).or_default() += 1;
    }
    say(&format!("cluster: seed {seed}: {faults:?}; {counts:?}; {refused:?}"));
    assert_eq!(check(&trial), Vec::<String>::new(), "seed {seed}");
    let acked = counts.get("acknowledged").copied().unwrap_or(0);
    assert!(acked > 200, "seed {seed}: only {acked} were acknowledged");
    assert!(counts.contains_key("recovered from a gap"), "seed {seed}: nobody missed anything");
}

/// What stands in the log of a run that went well, too.
fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}

#[test]
fn nothing_acknowledged_is_lost_whatever_goes_wrong() {
    let time = Duration::from_secs(6);
    if let Some(seed) = std::env::var("THRONG_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return run(seed, time);
    }
    if std::env::var_os("THRONG_FULL").is_none() {
        return (1..=3).for_each(|seed| run(seed, time));
    }
    let end = Instant::now() + Duration::from_secs(600);
    for seed in (1..).take_while(|_| Instant::now() < end) {
        run(seed, Duration::from_secs(8 + seed % 20));
    }
}
