//! The time of a log: how much of it has passed, as its entries tell.
//!
//! Owns that no clock of one machine is compared with that of another. A node writes into each
//! entry how long it runs; of two entries of one node it is known how far they are apart. So the
//! time of a log passes while any node writes into it, and is the same for all who read it. While
//! nobody does, it stands still. Never looks at a clock itself.

use std::collections::HashMap;

use super::entry::Stamp;

/// Of how many nodes it is known when they have written.
const NODES_MAX: usize = 1024;

/// The time of a log.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now_ms: u64,
    /// For each node the time that it said last, and what time it was then.
    nodes: HashMap<u64, (u64, u64)>,
}

impl Clock {
    /// What time it is for a node that says this of itself.
    pub(super) fn at(&self, node: u64, said_now_ms: u64) -> u64 {
        let passed = |(said_ms, then_ms): &(u64, u64)| {
            then_ms.saturating_add(said_now_ms.saturating_sub(*said_ms))
        };
        self.nodes.get(&node).map_or(self.now_ms, |last| self.now_ms.max(passed(last)))
    }

    /// An entry was read; the time at which it was written.
    pub(super) fn hear(&mut self, stamp: &Stamp) -> u64 {
        self.now_ms = self.at(stamp.node, stamp.time_ms);
        if self.nodes.len() >= NODES_MAX && !self.nodes.contains_key(&stamp.node) {
            let oldest = self.nodes.iter().min_by_key(|(_, (_, then_ms))| *then_ms);
            if let Some(node) = oldest.map(|(node, _)| *node) {
                self.nodes.remove(&node);
            }
        }
        self.nodes.insert(stamp.node, (stamp.time_ms, self.now_ms));
        self.now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(node: u64, time_ms: u64) -> Stamp {
        Stamp { node, number: 0, time_ms, read: 0 }
    }

    #[test]
    fn time_passes_as_each_node_says_and_runs_never_back() {
        let mut clock = Clock::default();
        // Two nodes, of which one runs for much longer.
        let said = [(1, 1_000_000), (2, 5), (2, 105), (1, 1_000_150), (2, 120), (1, 1_000_100)];
        let heard = said.map(|(node, time_ms)| clock.hear(&stamp(node, time_ms)));
        assert_eq!(heard, [0, 0, 100, 150, 150, 150]);
        // One that was silent for long knows it all the same.
        assert_eq!(clock.hear(&stamp(2, 9_005)), 9_035);
    }

    #[test]
    fn no_more_nodes_are_known_than_a_limit() {
        let mut clock = Clock::default();
        for node in 0..2 * NODES_MAX as u64 {
            clock.hear(&stamp(node, 7));
        }
        assert_eq!(clock.nodes.len(), NODES_MAX);
    }
}
