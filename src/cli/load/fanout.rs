//! A few connections send, and every connection gets every message.
//!
//! Owns how far each message has come. A message says when it was due, so that a connection of
//! another process can tell how long it took.

use std::collections::VecDeque;

use throng::net::Message;

use super::clock::{MILLISECOND_NS, now_ns};
use super::echo::describe;
use super::pace::Pace;
use super::payload::{Head, Payload};
use super::plan::Plan;
use super::worker::{Crew, Peers, Task};

/// A process without senders cannot know what is still to come: it waits for so much silence.
const SILENCE_NS: u64 = 100 * MILLISECOND_NS;

/// A process without senders may begin after them: whatever comes first is right.
const ANY: u64 = u64::MAX;

/// A message on its way.
struct Flight {
    due_ns: u64,
    /// How many connections have it.
    received: usize,
}

/// One that sends.
#[derive(Default)]
struct Sender {
    /// The oldest first.
    flights: VecDeque<Flight>,
    /// The number of the oldest.
    oldest: u64,
}

/// The messages to all.
pub struct Fanout {
    payload: Payload,
    senders: Vec<Sender>,
    /// The number of the next message of each sender, for each connection.
    expected: Vec<u64>,
    all_senders: usize,
    pace: Option<Pace>,
    turn: usize,
    heard_ns: u64,
}

impl Fanout {
    pub fn new(plan: &Plan) -> Self {
        let all_senders = plan.senders;
        let senders = if plan.first == 0 { all_senders } else { 0 };
        let first = if plan.first == 0 { 0 } else { ANY };
        Self {
            payload: Payload::new(plan),
            senders: (0..senders).map(|_| Sender::default()).collect(),
            expected: vec![first; plan.connections * all_senders],
            all_senders,
            pace: None,
            turn: 0,
            heard_ns: 0,
        }
    }

    fn send(&mut self, crew: &Crew, peers: &mut Peers, number: usize, due_ns: u64) {
        let sender = &mut self.senders[number];
        let Some(id) = crew.links[number] else { return };
        let sequence = sender.oldest + sender.flights.len() as u64;
        let head = Head { sequence, sender: number as u32, due_ns };
        if peers.send(id, self.payload.fanout(head)).is_ok() {
            sender.flights.push_back(Flight { due_ns, received: 0 });
        }
    }

    /// Keeps as many messages on their way as there should be.
    fn send_more(&mut self, crew: &Crew, peers: &mut Peers, number: usize) {
        let now = now_ns();
        if self.pace.is_some() || now >= crew.recorder.until_ns() || crew.links[number].is_none() {
            return;
        }
        for _ in self.senders[number].flights.len()..crew.plan.depth {
            self.send(crew, peers, number, now);
        }
    }

    /// Forgets the messages that everybody has.
    fn settle(&mut self, crew: &Crew, number: usize) {
        let sender = &mut self.senders[number];
        while sender.flights.front().is_some_and(|flight| flight.received >= crew.open) {
            sender.flights.pop_front();
            sender.oldest += 1;
        }
    }
}

impl Task for Fanout {
    fn begin(&mut self, crew: &mut Crew, peers: &mut Peers) {
        self.heard_ns = now_ns();
        if !self.senders.is_empty() {
            self.pace = crew.plan.rate.map(Pace::new);
        }
        for number in 0..self.senders.len() {
            self.send_more(crew, peers, number);
        }
    }

    fn act(&mut self, crew: &mut Crew, peers: &mut Peers) -> u64 {
        let Some(pace) = &mut self.pace else { return u64::MAX };
        let now = now_ns();
        for due_ns in pace.due(now) {
            crew.recorder.send(due_ns, now);
            self.send(crew, peers, self.turn, due_ns);
            self.turn = (self.turn + 1) % self.senders.len();
        }
        self.pace.as_ref().map_or(u64::MAX, Pace::next_ns)
    }

    fn message(&mut self, crew: &mut Crew, peers: &mut Peers, link: usize, message: Message<'_>) {
        let now = now_ns();
        self.heard_ns = now;
        let head = self.payload.read_fanout(message);
        let Some(head) = head.filter(|head| (head.sender as usize) < self.all_senders) else {
            let words = || describe(message, "that nobody sent");
            return crew.note(|errors| &mut errors.mismatched, words);
        };
        let number = head.sender as usize;
        let expected = &mut self.expected[link * self.all_senders + number];
        if head.sequence != *expected && *expected != ANY {
            let words = || format!("message {} in place of {expected}", head.sequence);
            crew.note(|errors| &mut errors.mismatched, words);
        }
        *expected = head.sequence + 1;
        let due_ns = now - head.age_ns(now).min(now);
        crew.recorder.receive(due_ns, now, message.payload.len());
        if now >= crew.recorder.boundary_ns() {
            crew.roll(now);
        }
        let Some(sender) = self.senders.get_mut(number) else { return };
        let place = head.sequence.checked_sub(sender.oldest);
        let Some(flight) = place.and_then(|at| sender.flights.get_mut(at as usize)) else { return };
        flight.received += 1;
        if flight.received >= crew.open {
            self.settle(crew, number);
            self.send_more(crew, peers, number);
        }
    }

    fn close(&mut self, crew: &mut Crew, peers: &mut Peers, _: usize) {
        // What was waited for on this connection is not any more.
        for number in 0..self.senders.len() {
            self.settle(crew, number);
            self.send_more(crew, peers, number);
        }
    }

    fn is_answered(&self) -> bool {
        if self.senders.is_empty() {
            return now_ns() >= self.heard_ns + SILENCE_NS;
        }
        self.senders.iter().all(|sender| sender.flights.is_empty())
    }

    fn give_up(&mut self, crew: &mut Crew) {
        let now = now_ns();
        let open = crew.open;
        for flight in self.senders.iter().flat_map(|sender| &sender.flights) {
            for _ in flight.received..open {
                crew.note(|errors| &mut errors.timeouts, || "a message that never came".into());
                crew.recorder.give_up(flight.due_ns, now);
            }
        }
    }
}
