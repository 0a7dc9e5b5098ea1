//! What the loops are to be told of what was done, and have not taken yet.
//!
//! Owns that each gets it in its order, as one letter, and that nothing is lost where one takes no
//! mail. Never waits.

use std::mem;

use super::keeper::{Done, Shared};
use crate::hub::mail::{Letter, Mail};
use crate::net::MailboxFull;

/// By the index of the loop.
#[derive(Debug, Default)]
pub(in crate::hub) struct Unsent(Vec<Vec<Done>>);

impl Unsent {
    /// One more thing that a loop is to be told.
    pub(in crate::hub) fn push(&mut self, loop_index: usize, done: Done) {
        if self.0.len() <= loop_index {
            self.0.resize_with(loop_index + 1, Vec::new);
        }
        self.0[loop_index].push(done);
    }

    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }

    /// Tells the loops; whether all have taken theirs.
    pub(in crate::hub) fn send(&mut self, shared: &Shared) -> bool {
        let mailboxes = shared.mailboxes().map_or(&[][..], |mailboxes| mailboxes);
        self.0.truncate(mailboxes.len()); // nobody asks for more
        for (mailbox, unsent) in mailboxes.iter().zip(&mut self.0) {
            if unsent.is_empty() {
                continue;
            }
            let letter = Letter::Done(mem::take(unsent));
            if let Err(MailboxFull(Mail(Letter::Done(done)))) = mailbox.post(Mail(letter)) {
                *unsent = done;
            }
        }
        self.is_empty()
    }
}
