//! What the other loops are told.
//!
//! Owns the comings and goings that a full mailbox did not take, as the difference that each loop
//! has yet to hear of: it cannot outgrow the members, and is right in the end whatever was lost in
//! between. What has its place in a room's order waits for the loop, and keeps that order; past a
//! limit nothing more is published. Other messages are not kept: who publishes is told that not
//! everyone may have got them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::broker::{Relay, Seating, ToNodes};
use super::command::Fault;
use super::control::Control;
use super::frames::Frames;
use super::history::Op;
use super::mail::{Letter, Mail, To};
use crate::net::{Mailbox, Mailboxes};

/// How many letters in order may wait for a loop before nothing more is published that it would
/// have to be told.
const LATE_MAX: usize = 1024;

/// And how many bytes the messages in them, beside the last.
pub(super) const LATE_BYTES_MAX: usize = 8 << 20;

/// A room and a name.
type Seat = (Arc<str>, Arc<str>);

/// The way to the other loops of the server.
#[derive(Debug)]
pub(super) struct Outbox {
    loop_index: usize,
    mailboxes: Mailboxes<Mail>,
    /// For each loop, how many members it has yet to hear of: in an order that is the same each
    /// time, so that a run can be repeated.
    untold: Vec<BTreeMap<Seat, i64>>,
    /// How many the other nodes have yet to hear of.
    untold_nodes: BTreeMap<Seat, i64>,
    relay: Option<Relay>,
    /// For each loop, the letters in order that its mailbox has not taken yet.
    late: Vec<Late>,
}

/// What one loop has yet to be told in order.
#[derive(Debug, Default)]
struct Late {
    letters: VecDeque<Letter>,
    /// What their messages take.
    bytes: usize,
}

impl Late {
    fn push(&mut self, letter: Letter) {
        self.bytes += letter.message_bytes();
        self.letters.push_back(letter);
    }

    /// Sends what the loop has room for.
    fn post_to(&mut self, mailbox: &Mailbox<Mail>) {
        while let Some(letter) = self.letters.pop_front() {
            let bytes = letter.message_bytes();
            if let Err(full) = mailbox.post(Mail(letter)) {
                self.letters.push_front(full.0.0);
                return;
            }
            self.bytes -= bytes;
        }
    }
}

impl Outbox {
    pub(super) fn new(loop_index: usize, mailboxes: Mailboxes<Mail>) -> Self {
        let untold = vec![BTreeMap::new(); mailboxes.len()];
        let mut late = Vec::new();
        late.resize_with(mailboxes.len(), Late::default);
        let untold_nodes = BTreeMap::new();
        Self { loop_index, mailboxes, untold, untold_nodes, relay: None, late }
    }

    /// From now on there are other nodes.
    pub(super) fn relay(&mut self, relay: &Relay) {
        self.relay = Some(relay.clone());
    }

    /// The way to all loops, this one included.
    pub(super) fn control(&self) -> Control {
        Control::of_loop(self.loop_index, self.mailboxes.clone(), self.relay.clone())
    }

    pub(super) const fn loop_index(&self) -> usize {
        self.loop_index
    }

    /// How many pieces of mail wait for this loop.
    pub(super) fn waiting(&self) -> usize {
        self.mailboxes.get(self.loop_index).map_or(0, Mailbox::waiting)
    }

    /// Passes a message on; whether every loop has taken it.
    pub(super) fn pass(&self, to: &To, frames: &Frames) -> bool {
        let mut all = true;
        for (index, mailbox) in self.mailboxes.iter().enumerate() {
            let letter = || Letter::Frames { to: to.clone(), frames: frames.clone() };
            if index != self.loop_index && mailbox.post(Mail(letter())).is_err() {
                tracing::debug!(loop_index = index, "a loop is too far behind to be told");
                all = false;
            }
        }
        all
    }

    /// Tells of a member that has come to a room (1) or left it (-1).
    pub(super) fn presence(&mut self, room: &Arc<str>, name: &str, change: i64) {
        if self.untold.len() < 2 && self.relay.is_none() {
            return;
        }
        let name: Arc<str> = name.into();
        if self.relay.is_some() {
            let seat = (Arc::clone(room), Arc::clone(&name));
            *self.untold_nodes.entry(seat).or_default() += change;
        }
        for (index, untold) in self.untold.iter_mut().enumerate() {
            if index != self.loop_index {
                *untold.entry((Arc::clone(room), Arc::clone(&name))).or_default() += change;
            }
        }
        self.tell();
    }

    /// Whether some loop has yet to hear of something.
    pub(super) fn has_untold(&self) -> bool {
        let mut untold = self.untold.iter().chain([&self.untold_nodes]);
        self.is_late() || untold.any(|untold| !untold.is_empty())
    }

    /// Whether something that has its order waits for some loop.
    pub(super) fn is_late(&self) -> bool {
        self.late.iter().any(|late| !late.letters.is_empty())
    }

    /// How many loops there are.
    pub(super) fn loops(&self) -> usize {
        self.mailboxes.len()
    }

    /// The mailboxes of all loops.
    pub(super) const fn mailboxes(&self) -> &Mailboxes<Mail> {
        &self.mailboxes
    }

    /// How many letters wait here for loops that have no room.
    pub(super) fn unsent(&self) -> usize {
        let untold: usize = self.untold.iter().map(BTreeMap::len).sum();
        let late: usize = self.late.iter().map(|late| late.letters.len()).sum();
        untold + late
    }

    /// Sends a letter to a loop that has room for it.
    pub(super) fn post(&self, loop_index: usize, letter: Letter) -> Result<(), Fault> {
        self.mailboxes[loop_index].post(Mail(letter)).map_err(|_| Fault::OVERLOADED)
    }

    /// Sends a letter in order: behind those that the loop has not taken yet.
    pub(super) fn send(&mut self, loop_index: usize, letter: Letter) {
        let late = &mut self.late[loop_index];
        if !late.letters.is_empty() {
            late.push(letter);
        } else if let Err(full) = self.mailboxes[loop_index].post(Mail(letter)) {
            tracing::debug!(loop_index, "a loop is behind: what it is to hear waits");
            late.push(full.0.0);
        }
    }

    /// Sends a letter in order to each other loop.
    pub(super) fn send_to_all(&mut self, letter: impl Fn() -> Letter) {
        for index in 0..self.mailboxes.len() {
            if index != self.loop_index {
                self.send(index, letter());
            }
        }
    }

    /// Whether a loop is so far behind that nothing more should be published.
    pub(super) fn is_behind(&self) -> bool {
        let is_far = |late: &Late| late.letters.len() > LATE_MAX || late.bytes > LATE_BYTES_MAX;
        self.late.iter().any(is_far)
    }

    /// Sends what waits to loops that have room again.
    pub(super) fn catch_up(&mut self) {
        for (late, mailbox) in self.late.iter_mut().zip(&*self.mailboxes) {
            late.post_to(mailbox);
        }
    }

    /// Tells what could not be told before.
    pub(super) fn tell(&mut self) {
        for (untold, mailbox) in self.untold.iter_mut().zip(&*self.mailboxes) {
            let mut has_room = true;
            untold.retain(|(room, name), change| {
                let (room, name, change) = (Arc::clone(room), Arc::clone(name), *change);
                let mail = Mail(Letter::Presence { room, name, change, is_news: true });
                has_room = has_room && (change == 0 || mailbox.post(mail).is_ok());
                !has_room
            });
        }
        self.tell_nodes();
    }

    fn tell_nodes(&mut self) {
        let Some(relay) = self.relay.as_ref().filter(|_| !self.untold_nodes.is_empty()) else {
            return;
        };
        let changes = self.untold_nodes.iter().filter(|(_, change)| **change != 0);
        let seatings = changes.map(|((room, name), change)| {
            let (room, name) = (Arc::clone(room), Arc::clone(name));
            Seating { room, name, change: *change }
        });
        let op = Op::Nodes(ToNodes::Seats(seatings.collect()));
        if relay.put(self.loop_index, op).is_ok() {
            self.untold_nodes.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::history::{Epoch, Position};

    fn letter(len: usize) -> Letter {
        let position = Position { epoch: Epoch(0), offset: 1 };
        let frames = Frames::new(&vec![b'x'; len]);
        Letter::Sequenced { room: "a".into(), position, frames, without: None }
    }

    #[test]
    fn a_loop_is_behind_by_letters_or_by_their_bytes() {
        for (count, len) in [(LATE_MAX, 10), (7, 1 << 20)] {
            let mailboxes = [1, 1].map(|max| Mailbox::new(max, || {}));
            let mut outbox = Outbox::new(0, mailboxes.into_iter().collect());
            (0..=count).for_each(|_| outbox.send(1, letter(len))); // the first has room
            assert!(outbox.is_late() && !outbox.is_behind(), "{count} of {len}");
            outbox.send(1, letter(len));
            assert!(outbox.is_behind(), "{count} of {len}");
            assert!(outbox.late[1].bytes >= len * (count + 1));
            // A mailbox that has room takes all of it.
            outbox.mailboxes = [1, 9999].map(|max| Mailbox::new(max, || {})).into_iter().collect();
            outbox.catch_up();
            assert_eq!((outbox.is_late(), outbox.late[1].bytes), (false, 0));
        }
    }
}
