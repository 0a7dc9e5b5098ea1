//! Opening the connections of a worker.
//!
//! Owns how many are dialled at once and how fast. Never sends a message.

use std::io;

use throng::handshake::ClientRequest;
use throng::net::Dial;

use super::clock::{SECOND_NS, now_ns};
use super::plan::Plan;
use super::worker::Peers;

/// How many handshakes are under way at once: less than the listen backlog of most servers.
const DIALS_MAX: usize = 100;

/// The connections that are still to be opened.
pub struct Opening {
    plan: Plan,
    /// The number of the next one.
    next: usize,
    dialling: usize,
    started_ns: u64,
    /// When the connections are due that come at a rate.
    interval_ns: u64,
}

impl Opening {
    pub fn new(plan: Plan) -> Self {
        let interval_ns = plan.open_rate.map_or(0, |rate| (SECOND_NS as f64 / rate) as u64);
        Self { plan, next: 0, dialling: 0, started_ns: now_ns(), interval_ns }
    }

    /// Dials as many as may be dialled now.
    ///
    /// # Errors
    /// As [`dial`].
    pub fn go_on(&mut self, peers: &mut Peers) -> io::Result<()> {
        let now_ns = now_ns();
        while self.next < self.plan.connections
            && self.dialling < DIALS_MAX
            && self.due_ns() <= now_ns
        {
            dial(peers, &self.plan, self.next)?;
            self.next += 1;
            self.dialling += 1;
        }
        Ok(())
    }

    /// A dial has ended, in one way or the other.
    pub const fn dialled(&mut self) {
        self.dialling -= 1;
    }

    pub const fn is_over(&self) -> bool {
        self.next == self.plan.connections && self.dialling == 0
    }

    /// When the next one can be dialled, if nothing happens before that.
    pub const fn next_ns(&self) -> u64 {
        if self.next == self.plan.connections || self.dialling == DIALS_MAX {
            return u64::MAX; // an answer comes first
        }
        self.due_ns()
    }

    const fn due_ns(&self) -> u64 {
        self.started_ns + self.next as u64 * self.interval_ns
    }

    pub fn seconds(&self) -> f64 {
        (now_ns() - self.started_ns) as f64 / SECOND_NS as f64
    }
}

/// Dials the connection of this number.
///
/// # Errors
/// A request that cannot be written.
pub fn dial(peers: &mut Peers, plan: &Plan, number: usize) -> io::Result<()> {
    let request: ClientRequest = plan.request(nonce(peers))?;
    let from = plan.from(number);
    peers.connect(Dial { to: plan.to, from, request, session: number as u32 });
    Ok(())
}

fn nonce(peers: &mut Peers) -> [u8; 16] {
    let (high, low) = (peers.random_u64(), peers.random_u64());
    (u128::from(high) << 64 | u128::from(low)).to_ne_bytes()
}
