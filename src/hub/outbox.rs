//! What the other loops are told.
//!
//! Owns the comings and goings that a full mailbox did not take, as the difference that each loop
//! has yet to hear of: it cannot outgrow the members, and is right in the end whatever was lost in
//! between. What has its place in a room's order waits for the loop, and keeps that order; past a
//! limit nothing more is published. Other messages are not kept: who publishes is told that not
//! everyone may have got them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::command::Fault;
use super::control::Control;
use super::frames::Frames;
use super::mail::{Letter, Mail, To};
use crate::net::{Mailbox, Mailboxes};

/// How many letters in order may wait for a loop before nothing more is published that it would
/// have to be told.
const LATE_MAX: usize = 1024;

/// A room and a name.
type Seat = (Arc<str>, Arc<str>);

/// The way to the other loops of the server.
#[derive(Debug)]
pub(super) struct Outbox {
    loop_index: usize,
    mailboxes: Mailboxes<Mail>,
    /// For each loop, how many members it has yet to hear of.
    untold: Vec<HashMap<Seat, i64>>,
    /// For each loop, the letters in order that its mailbox has not taken yet.
    late: Vec<VecDeque<Letter>>,
}

impl Outbox {
    pub(super) fn new(loop_index: usize, mailboxes: Mailboxes<Mail>) -> Self {
        let untold = vec![HashMap::new(); mailboxes.len()];
        let mut late = Vec::new();
        late.resize_with(mailboxes.len(), VecDeque::new);
        Self { loop_index, mailboxes, untold, late }
    }

    /// The way to all loops, this one included.
    pub(super) fn control(&self) -> Control {
        Control::of_loop(self.loop_index, self.mailboxes.clone())
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
        if self.untold.len() < 2 {
            return;
        }
        let name: Arc<str> = name.into();
        for (index, untold) in self.untold.iter_mut().enumerate() {
            if index != self.loop_index {
                *untold.entry((Arc::clone(room), Arc::clone(&name))).or_default() += change;
            }
        }
        self.tell();
    }

    /// Whether some loop has yet to hear of something.
    pub(super) fn has_untold(&self) -> bool {
        self.is_late() || self.untold.iter().any(|untold| !untold.is_empty())
    }

    /// Whether something that has its order waits for some loop.
    pub(super) fn is_late(&self) -> bool {
        self.late.iter().any(|late| !late.is_empty())
    }

    /// How many loops there are.
    pub(super) fn loops(&self) -> usize {
        self.mailboxes.len()
    }

    /// The mailboxes of all loops.
    pub(super) const fn mailboxes(&self) -> &Mailboxes<Mail> {
        &self.mailboxes
    }

    /// Sends a letter to a loop that has room for it.
    pub(super) fn post(&self, loop_index: usize, letter: Letter) -> Result<(), Fault> {
        self.mailboxes[loop_index].post(Mail(letter)).map_err(|_| Fault::OVERLOADED)
    }

    /// Sends a letter in order: behind those that the loop has not taken yet.
    pub(super) fn send(&mut self, loop_index: usize, letter: Letter) {
        let late = &mut self.late[loop_index];
        if !late.is_empty() {
            late.push_back(letter);
        } else if let Err(full) = self.mailboxes[loop_index].post(Mail(letter)) {
            tracing::debug!(loop_index, "a loop is behind: what it is to hear waits");
            late.push_back(full.0.0);
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
        self.late.iter().any(|late| late.len() > LATE_MAX)
    }

    /// Sends what waits to loops that have room again.
    pub(super) fn catch_up(&mut self) {
        for (late, mailbox) in self.late.iter_mut().zip(&*self.mailboxes) {
            while let Some(letter) = late.pop_front() {
                if let Err(full) = mailbox.post(Mail(letter)) {
                    late.push_front(full.0.0);
                    break;
                }
            }
        }
    }

    /// Tells what could not be told before.
    pub(super) fn tell(&mut self) {
        for (untold, mailbox) in self.untold.iter_mut().zip(&*self.mailboxes) {
            let mut has_room = true;
            untold.retain(|(room, name), change| {
                let (room, name, change) = (Arc::clone(room), Arc::clone(name), *change);
                let mail = Mail(Letter::Presence { room, name, change });
                has_room = has_room && (change == 0 || mailbox.post(mail).is_ok());
                !has_room
            });
        }
    }
}
