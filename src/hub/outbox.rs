//! What the other loops are told.
//!
//! Owns the comings and goings that a full mailbox did not take, as the difference that each loop
//! has yet to hear of: it cannot outgrow the members, and is right in the end whatever was lost in
//! between. Messages are not kept: who publishes is told that not everyone may have got them.

use std::collections::HashMap;
use std::sync::Arc;

use super::control::Control;
use super::frames::Frames;
use super::mail::{Letter, Mail, To};
use crate::net::Mailboxes;

/// A room and a name.
type Seat = (Arc<str>, Arc<str>);

/// The way to the other loops of the server.
#[derive(Debug)]
pub(super) struct Outbox {
    loop_index: usize,
    mailboxes: Mailboxes<Mail>,
    /// For each loop, how many members it has yet to hear of.
    untold: Vec<HashMap<Seat, i64>>,
}

impl Outbox {
    pub(super) fn new(loop_index: usize, mailboxes: Mailboxes<Mail>) -> Self {
        let untold = vec![HashMap::new(); mailboxes.len()];
        Self { loop_index, mailboxes, untold }
    }

    /// The way to all loops, this one included.
    pub(super) fn control(&self) -> Control {
        Control::of_loop(self.loop_index, self.mailboxes.clone())
    }

    pub(super) const fn loop_index(&self) -> usize {
        self.loop_index
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
        self.untold.iter().any(|untold| !untold.is_empty())
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
