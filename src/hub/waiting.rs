//! Members that wait for another loop, or for the store.
//!
//! Owns what a member waits for, and what it says meanwhile: that is held, and carried out in its
//! order when the answer has come, as if nothing had been waited for.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::command::Fault;
use super::handler::{Hub, Session};
use super::recovery::{Answer, Ask, Inquiry};
use super::sequencer::Origin;
use crate::net::{Message, Peers, Platform};

/// How many messages of a member are held; one more gets the error `overloaded`.
const HELD_MAX: usize = 256;

/// What they take at most, in bytes.
const HELD_BYTES_MAX: usize = 256 << 10;

/// A member that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) room: Arc<str>,
    pub(super) awaited: Awaited,
    held: VecDeque<Box<[u8]>>,
    held_bytes: usize,
}

/// What it waits for.
#[derive(Debug)]
pub(super) enum Awaited {
    /// To be let into the room of its URL.
    Welcome,
    /// The answer to its `join`, with this id.
    Join(Option<Box<RawValue>>),
    /// The answer to its `history`.
    Page(Option<Box<RawValue>>),
}

impl Hub {
    /// Asks the home of a room something for a member, which has the answer now or waits for it.
    pub(super) fn ask_for<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        number: u32,
        room: &str,
        ask: Ask,
        awaited: Awaited,
    ) -> Result<(), Fault> {
        let Some(member) = self.rooms.members.find(number) else { return Ok(()) };
        let by = self.origin(number, member.id);
        let room: Arc<str> = match self.rooms.find(room) {
            Some(known) => Arc::clone(&known.name),
            None => room.into(),
        };
        match self.ask_home(peers, Inquiry { by, room: Arc::clone(&room), ask })? {
            Some(answer) => self.finish(peers, number, &room, awaited, answer),
            None => {
                let (held, held_bytes) = (VecDeque::new(), 0);
                self.waiting.insert(number, Waiting { room, awaited, held, held_bytes });
                Ok(())
            }
        }
    }

    /// Holds a message of a member that waits; whether it does.
    pub(super) fn hold<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        number: u32,
        message: &[u8],
    ) -> bool {
        let Some(waiting) = self.waiting.get_mut(&number) else { return false };
        let bytes = waiting.held_bytes + message.len();
        if waiting.held.len() >= HELD_MAX || bytes > HELD_BYTES_MAX {
            self.refuse(peers, number, None, Fault::OVERLOADED);
            return true;
        }
        waiting.held_bytes = bytes;
        waiting.held.push_back(message.into());
        true
    }

    /// An answer has come for a member of this loop.
    pub(super) fn answered<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        by: Origin,
        answer: Answer,
    ) {
        if !self.is_here(by) {
            return;
        }
        let Some(waiting) = self.waiting.remove(&by.member) else { return };
        let Waiting { room, awaited, mut held, .. } = waiting;
        let id = match &awaited {
            Awaited::Welcome => None,
            Awaited::Join(id) | Awaited::Page(id) => id.clone(),
        };
        if let Err(fault) = self.finish(peers, by.member, &room, awaited, answer) {
            self.refuse(peers, by.member, id.as_deref(), fault);
        }
        while let Some(message) = held.pop_front() {
            if !peers.is_open(by.id) {
                return; // what comes behind our Close is not heard
            }
            let Some(member) = self.rooms.members.find(by.member) else { return };
            let message = Message { kind: member.wire.kind(), payload: &message };
            self.take(peers, by.member, message);
            if let Some(again) = self.waiting.get_mut(&by.member) {
                again.held_bytes = held.iter().map(|message| message.len()).sum();
                again.held = held;
                return;
            }
        }
    }
}
