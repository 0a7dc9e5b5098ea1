//! What goes wrong in a trial: which fault comes when is chosen from the seed.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::random::Random;
use crate::nodes::Cluster;
use crate::relay::Mode;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A node is ended by `kill -9`, and started again.
    NodeKilled,
    /// Redis is, and so.
    RedisKilled,
    /// A node has no connection to Redis for a while.
    Cut,
    /// Nothing comes through for a while, and then all.
    Held,
    /// No answer does.
    AnswersHeld,
    /// What a node and Redis say to each other is lost for a while.
    Lost,
    /// The connections of a node end.
    Reset,
}

const ALL: [Fault; 7] = [
    Fault::NodeKilled,
    Fault::RedisKilled,
    Fault::Cut,
    Fault::Held,
    Fault::AnswersHeld,
    Fault::Lost,
    Fault::Reset,
];

/// Has things go wrong for `time`, each kind about as often; how often each did. In the end all is
/// up, and all bytes pass.
pub fn inject(cluster: &Cluster, random: &mut Random, time: Duration) -> BTreeMap<Fault, usize> {
    let (end, mut counts, mut bag) = (Instant::now() + time, BTreeMap::new(), Vec::new());
    let mut healing: Vec<Option<Instant>> = vec![None; cluster.nodes.len()];
    while Instant::now() < end {
        if bag.is_empty() {
            bag = ALL.to_vec();
        }
        let fault = bag.swap_remove(random.below(bag.len()));
        let number = random.below(cluster.nodes.len());
        let lasting = milliseconds(random, 200, 2000);
        *counts.entry(fault).or_default() += 1;
        let mode = match fault {
            Fault::NodeKilled => {
                kill(cluster, number, milliseconds(random, 20, 600));
                Mode::Pass
            }
            Fault::RedisKilled => {
                let mut redis = cluster.redis();
                redis.kill();
                thread::sleep(milliseconds(random, 20, 1000));
                redis.start_again();
                Mode::Pass
            }
            Fault::Reset => {
                cluster.nodes[number].relay.reset();
                Mode::Pass
            }
            Fault::Cut => Mode::Cut,
            Fault::Held => Mode::Hold,
            Fault::AnswersHeld => Mode::HoldAnswers,
            Fault::Lost => Mode::Lose,
        };
        if mode != Mode::Pass {
            cluster.nodes[number].relay.set(mode);
            healing[number] = Some(Instant::now() + lasting);
        }
        wait(cluster, &mut healing, milliseconds(random, 100, 700));
    }
    cluster.heal();
    counts
}

/// A node can only be started where it finds Redis.
fn kill(cluster: &Cluster, number: usize, down: Duration) {
    let node = &cluster.nodes[number];
    node.kill();
    thread::sleep(down);
    node.relay.set(Mode::Pass);
    node.start_again();
}

/// Lets time go by, in which what was to last so long ends.
fn wait(cluster: &Cluster, healing: &mut [Option<Instant>], time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(10));
        for (node, until) in cluster.nodes.iter().zip(healing.iter_mut()) {
            if until.is_some_and(|until| until <= Instant::now()) {
                node.relay.set(Mode::Pass);
                *until = None;
            }
        }
    }
}

fn milliseconds(random: &mut Random, from: usize, to: usize) -> Duration {
    Duration::from_millis((from + random.below(to - from)) as u64)
}
