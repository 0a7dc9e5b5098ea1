//! Each connection sends, and gets back what it sent.
//!
//! Owns what is on its way on each connection. Replies come in the order of the messages, so the
//! next one is known to the byte.

use std::collections::VecDeque;

use throng::net::{ConnectionId, Message};

use super::clock::now_ns;
use super::pace::Pace;
use super::payload::Payload;
use super::plan::Plan;
use super::worker::{Crew, Peers, Task};

/// One connection.
#[derive(Default)]
struct Link {
    /// When each message was due that is on its way, the oldest first.
    due_ns: VecDeque<u64>,
    /// The number of the next message.
    next: u64,
    /// The number of the next reply.
    expected: u64,
}

/// The messages of all connections.
pub struct Echo {
    payload: Payload,
    links: Vec<Link>,
    /// How many messages are on their way.
    waiting: u64,
    pace: Option<Pace>,
    /// The connection whose turn it is in a pace.
    turn: usize,
}

impl Echo {
    pub fn new(plan: &Plan) -> Self {
        Self {
            payload: Payload::new(plan),
            links: (0..plan.connections).map(|_| Link::default()).collect(),
            waiting: 0,
            pace: None,
            turn: 0,
        }
    }

    /// Sends the next message. Its mask is fresh and of the engine's random source: a batch that
    /// was masked once would be a little cheaper, and easy for something in between to predict.
    #[inline]
    fn send(&mut self, peers: &mut Peers, id: ConnectionId, link: usize, due_ns: u64) {
        let link = &mut self.links[link];
        if peers.send(id, self.payload.echo(link.next)).is_ok() {
            link.next += 1;
            link.due_ns.push_back(due_ns);
            self.waiting += 1;
        }
    }

    /// The next open connection, in turn.
    fn next_link(&mut self, crew: &Crew) -> Option<(usize, ConnectionId)> {
        let count = crew.links.len();
        for _ in 0..count {
            let link = self.turn;
            self.turn = (self.turn + 1) % count;
            if let Some(id) = crew.links[link] {
                return Some((link, id));
            }
        }
        None
    }
}

impl Task for Echo {
    fn begin(&mut self, crew: &mut Crew, peers: &mut Peers) {
        self.pace = crew.plan.rate.map(Pace::new);
        if self.pace.is_some() {
            return;
        }
        for link in 0..crew.links.len() {
            let Some(id) = crew.links[link] else { continue };
            for _ in 0..crew.plan.depth {
                self.send(peers, id, link, now_ns());
            }
        }
    }

    fn act(&mut self, crew: &mut Crew, peers: &mut Peers) -> u64 {
        let Some(pace) = &mut self.pace else { return u64::MAX };
        let now = now_ns();
        for due_ns in pace.due(now) {
            let Some((link, id)) = self.next_link(crew) else { break };
            crew.recorder.send(due_ns, now);
            self.send(peers, id, link, due_ns);
        }
        self.pace.as_ref().map_or(u64::MAX, Pace::next_ns)
    }

    #[inline]
    fn message(&mut self, crew: &mut Crew, peers: &mut Peers, link: usize, message: Message<'_>) {
        let now = now_ns();
        let state = &mut self.links[link];
        let expected = state.expected;
        let Some(due_ns) = state.due_ns.pop_front() else {
            return crew
                .note(|errors| &mut errors.mismatched, || describe(message, "not asked for"));
        };
        state.expected += 1;
        self.waiting -= 1;
        if !self.payload.is_echo(expected, message) {
            let words = || describe(message, &format!("in place of echo {expected}"));
            crew.note(|errors| &mut errors.mismatched, words);
        }
        crew.recorder.receive(due_ns, now, message.payload.len());
        if now >= crew.recorder.boundary_ns() {
            crew.roll(now);
        }
        if self.pace.is_none()
            && now < crew.recorder.until_ns()
            && let Some(id) = crew.links[link]
        {
            self.send(peers, id, link, now);
        }
    }

    fn close(&mut self, _: &mut Crew, _: &mut Peers, link: usize) {
        self.waiting -= self.links[link].due_ns.len() as u64; // lost, not late
        self.links[link].due_ns.clear();
    }

    fn is_answered(&self) -> bool {
        self.waiting == 0
    }

    fn give_up(&mut self, crew: &mut Crew) {
        let now = now_ns();
        for due_ns in self.links.iter().flat_map(|link| &link.due_ns) {
            crew.note(|errors| &mut errors.timeouts, || "an echo that never came".into());
            crew.recorder.give_up(*due_ns, now);
        }
    }
}

/// A message that is not what it should be, in words.
pub fn describe(message: Message<'_>, what: &str) -> String {
    const SHOWN: usize = 40;
    let shown = &message.payload[..message.payload.len().min(SHOWN)];
    let dots = if shown.len() < message.payload.len() { "..." } else { "" };
    let text = String::from_utf8_lossy(shown);
    let (kind, len) = (message.kind, message.payload.len());
    format!("{kind:?} message of {len} bytes {what}: {text:?}{dots}")
}
