//! What a world of several nodes is made of.
//!
//! Owns how many nodes there are, of how many loops, and the limits of each.

use std::time::Duration;

use throng::hub;
use throng::hub::auth::Pattern;
use throng::hub::history::{History, Keep, KeeperLimits, Rule};
use throng::net;

use crate::dice::Dice;

/// One world's settings.
pub struct Plan {
    /// How many loops each node has.
    pub nodes: Vec<usize>,
    pub people: usize,
    pub net: net::Config,
    pub hub: hub::Config,
    pub relay: KeeperLimits,
    pub mailbox_max: usize,
    /// How long things go wrong.
    pub storm: Duration,
    /// All that was said is kept.
    pub is_kept: bool,
}

/// How long messages are kept: longer than any world lasts.
const AGE: Duration = Duration::from_secs(30 * 24 * 3600);

impl Plan {
    pub fn new(dice: &mut Dice) -> Self {
        let net = net::Config {
            receive_buffer_bytes: dice.one_of(&[1000, 64 << 10]),
            accepts_per_turn: dice.one_of(&[1, 256]),
            ..net::Config::default()
        };
        let rule = |pattern: &str, keep: Keep| Rule {
            pattern: Pattern::new(pattern).expect("a pattern"),
            keep,
        };
        let is_kept = !dice.once_in(4);
        let messages_max = if is_kept { 100_000 } else { dice.one_of(&[1, 5, 30]) };
        let keep = |is_durable| Keep { messages_max, age: AGE, is_durable };
        let history = History {
            rules: vec![rule("d.*", keep(true)), rule("n.*", Keep::NOTHING)],
            otherwise: keep(false),
            bytes_max: dice.one_of(&[64 << 20, 64 << 20, 20_000]),
        };
        Self {
            nodes: (0..dice.between(2, 3)).map(|_| dice.between(1, 2)).collect(),
            people: dice.between(2, 6),
            net,
            hub: hub::Config {
                history,
                faults_per_minute_max: u16::MAX, // to speak in a room that was left is none here
                ..hub::Config::default()
            },
            relay: KeeperLimits {
                operations_max: dice.one_of(&[1 << 14, 1 << 14, 8]),
                bytes_max: dice.one_of(&[8 << 20, 8 << 20, 20_000]),
            },
            mailbox_max: dice.one_of(&[1 << 16, 1 << 16, 30]),
            storm: Duration::from_millis(dice.between(2_000, 8_000) as u64),
            is_kept,
        }
    }

    pub fn loops(&self) -> usize {
        self.nodes.iter().sum()
    }

    /// The node of a loop, and which of its loops it is.
    pub fn node_of(&self, loop_index: usize) -> (usize, usize) {
        let mut own = loop_index;
        for (node, loops) in self.nodes.iter().enumerate() {
            if own < *loops {
                return (node, own);
            }
            own -= loops;
        }
        unreachable!("there is no loop {loop_index}")
    }

    /// How long after the last word nothing is left of any history.
    pub fn oblivion() -> Duration {
        AGE + Duration::from_secs(60)
    }
}
