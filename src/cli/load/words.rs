//! What a worker and who started it say to each other.
//!
//! Owns the messages. A worker in a process of its own writes them as lines of JSON, one on a
//! thread of this process through a channel.

use serde::{Deserialize, Serialize};

use super::spread::Counts;

/// What a worker is told.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Begin at once; count from and until these times.
    Begin { from_ns: u64, until_ns: u64 },
    /// Stop counting now.
    Finish,
    /// All workers are done: close the connections. Before that, who leaves could be heard by those
    /// who still count.
    Leave,
}

/// What a worker says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// So many connections are open, while more are to come.
    Opening { open: u64 },
    /// All are open, or will not be.
    Ready { open: u64, opening_s: f64 },
    /// What one second brought.
    Second(Box<Second>),
    /// All is counted.
    Done(Box<Done>),
}

/// What one second brought.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Second {
    /// Its number, from 0.
    pub number: u64,
    /// Shorter than a second where the run ended in it.
    pub length_ns: u64,
    /// Round trips, deliveries, handshakes or pongs, by the mode.
    pub count: u64,
    /// Payload that has come, in bytes.
    pub bytes: u64,
    /// How long they took.
    pub latency: Counts,
    /// How late messages went out that were due at a time.
    pub late: Counts,
    /// Processor time of this worker.
    pub cpu_ns: u64,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors {
    /// Connections that were not opened.
    pub refused: u64,
    /// Connections that ended before their time.
    pub lost: u64,
    /// Messages that are not what they should be.
    pub mismatched: u64,
    /// Messages that were never answered.
    pub timeouts: u64,
}

impl Errors {
    pub fn add(&mut self, other: Self) {
        self.refused += other.refused;
        self.lost += other.lost;
        self.mismatched += other.mismatched;
        self.timeouts += other.timeouts;
    }

    pub const fn any(self) -> bool {
        self.refused + self.lost + self.mismatched + self.timeouts > 0
    }
}

/// What is left to say at the end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Done {
    /// Latencies of messages that were answered after the last second.
    pub latency: Counts,
    pub errors: Errors,
    /// The first of each kind of error, in words.
    pub examples: Vec<String>,
    pub pings: u64,
    pub pongs: u64,
}
