//! Connections come and go: connect, upgrade, close, again.
//!
//! Owns which of them are under way. A connection leaves with a close handshake, as a good client
//! does, and its place is taken by the next when that is done.

use throng::frame::CloseCode;
use throng::net::{ConnectionId, Message};

use super::clock::{MILLISECOND_NS, now_ns};
use super::opening::dial;
use super::pace::Pace;
use super::plan::Plan;
use super::worker::{Crew, Peers, Task};

/// How long a place is left empty whose connection was refused.
const RETRY_NS: u64 = 10 * MILLISECOND_NS;

/// The places for connections.
pub struct Storm {
    /// When the connection in each place was due.
    due_ns: Vec<u64>,
    /// Places that are empty.
    free: Vec<usize>,
    /// Connections that are due and have no place yet.
    overdue_ns: Vec<u64>,
    pace: Option<Pace>,
    /// Nobody is dialled before this.
    pause_until_ns: u64,
}

impl Storm {
    pub fn new(plan: &Plan) -> Self {
        Self {
            due_ns: vec![0; plan.connections],
            free: (0..plan.connections).rev().collect(),
            overdue_ns: Vec::new(),
            pace: None,
            pause_until_ns: 0,
        }
    }

    /// Dials what is due, as far as there are places.
    fn dial_more(&mut self, crew: &mut Crew, peers: &mut Peers) {
        let now = now_ns();
        if !crew.is_running() || now >= crew.recorder.until_ns() || now < self.pause_until_ns {
            return;
        }
        if let Some(pace) = &mut self.pace {
            self.overdue_ns.extend(pace.due(now));
        }
        let mut taken = 0;
        while let Some(place) = self.free.last().copied() {
            let due_ns = match self.pace {
                None => now,
                Some(_) if taken == self.overdue_ns.len() => break,
                Some(_) => self.overdue_ns[taken],
            };
            taken += 1;
            if self.pace.is_some() {
                crew.recorder.send(due_ns, now);
            }
            self.free.pop();
            self.due_ns[place] = due_ns;
            if let Err(error) = dial(peers, &crew.plan, place) {
                crew.note(|errors| &mut errors.refused, || error.to_string());
                break;
            }
        }
        self.overdue_ns.drain(..taken.min(self.overdue_ns.len()));
    }
}

impl Task for Storm {
    const OPENS_FIRST: bool = false;

    fn begin(&mut self, crew: &mut Crew, peers: &mut Peers) {
        self.pace = crew.plan.rate.map(Pace::new);
        self.dial_more(crew, peers);
    }

    fn act(&mut self, crew: &mut Crew, peers: &mut Peers) -> u64 {
        self.dial_more(crew, peers);
        let next_ns = self.pace.as_ref().map_or(u64::MAX, Pace::next_ns);
        if self.pause_until_ns > now_ns() { self.pause_until_ns } else { next_ns }
    }

    fn message(&mut self, _: &mut Crew, _: &mut Peers, _: usize, _: Message<'_>) {}

    fn open(&mut self, crew: &mut Crew, peers: &mut Peers, link: usize, id: ConnectionId) {
        let now = now_ns();
        crew.recorder.receive(self.due_ns[link], now, 0);
        if now >= crew.recorder.boundary_ns() {
            crew.roll(now);
        }
        let _ = peers.close(id, CloseCode::NORMAL, ""); // it is open
    }

    fn refused(&mut self, link: usize) {
        self.free.push(link);
        self.pause_until_ns = now_ns() + RETRY_NS;
    }

    fn close(&mut self, crew: &mut Crew, peers: &mut Peers, link: usize) {
        self.free.push(link);
        self.dial_more(crew, peers);
    }
}
