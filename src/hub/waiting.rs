//! Members that wait for another loop, or for the store.
//!
//! Owns what a member waits for, and what it says meanwhile: that is held, and carried out in its
//! order when the answer has come, as if nothing had been waited for.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::command::Fault;
use super::handler::{Hub, Session, id_of};
use super::recovery::{Answer, Ask, Inquiry};
use super::resuming::Resuming;
use super::sequencer::Origin;
use crate::net::{Message, Peers, Platform};

/// How many messages of a member are held; one more gets the error `overloaded`.
const HELD_MAX: usize = 256;

/// What they take at most, in bytes.
const HELD_BYTES_MAX: usize = 256 << 10;

/// What all members of a loop that wait may have held, in bytes.
pub(super) const HELD_BYTES_OF_ALL_MAX: usize = 8 << 20;

/// A member that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) room: Arc<str>,
    pub(super) awaited: Awaited,
    held: Held,
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
    /// To hear of the session that it wants to take over.
    Session(Box<Resuming>),
    /// To be let into the next room of its session.
    Room(Box<Resuming>),
}

/// What a member has said while it waited.
#[derive(Debug, Default)]
pub(super) struct Held {
    messages: VecDeque<Box<[u8]>>,
    bytes: usize,
}

impl Waiting {
    pub(super) fn new(room: Arc<str>, awaited: Awaited) -> Self {
        Self { room, awaited, held: Held::default() }
    }

    pub(super) fn into_parts(self) -> (Awaited, Held) {
        (self.awaited, self.held)
    }
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
                self.waiting.insert(number, Waiting::new(room, awaited));
                Ok(())
            }
        }
    }

    /// Holds a message of a member that waits; whether it does.
    pub(super) fn hold<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        number: u32,
        message: Message<'_>,
    ) -> bool {
        let Some(waiting) = self.waiting.get_mut(&number) else { return false };
        let len = message.payload.len();
        let (bytes, of_all) = (waiting.held.bytes + len, self.held_bytes + len);
        let is_full = waiting.held.messages.len() >= HELD_MAX || bytes > HELD_BYTES_MAX;
        if is_full || of_all > HELD_BYTES_OF_ALL_MAX {
            self.refuse(peers, number, id_of(message).as_deref(), Fault::OVERLOADED);
            return true;
        }
        (waiting.held.bytes, self.held_bytes) = (bytes, of_all);
        waiting.held.messages.push_back(message.payload.into());
        true
    }

    /// A member waits no more.
    pub(super) fn forget_waiting(&mut self, number: u32) -> Option<Waiting> {
        let waiting = self.waiting.remove(&number)?;
        self.held_bytes -= waiting.held.bytes;
        Some(waiting)
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
        let Some(waiting) = self.forget_waiting(by.member) else { return };
        let Waiting { room, awaited, held } = waiting;
        let id = match &awaited {
            Awaited::Welcome => None,
            Awaited::Join(id) | Awaited::Page(id) => id.clone(),
            Awaited::Session(resuming) | Awaited::Room(resuming) => {
                resuming.id().map(RawValue::to_owned)
            }
        };
        if let Err(fault) = self.finish(peers, by.member, &room, awaited, answer) {
            self.refuse(peers, by.member, id.as_deref(), fault);
        }
        self.go_on(peers, by, held);
    }

    /// Carries out what a member has said while it waited, until it waits again.
    pub(super) fn go_on<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        by: Origin,
        mut held: Held,
    ) {
        loop {
            if let Some(again) = self.waiting.get_mut(&by.member) {
                self.held_bytes += held.bytes;
                again.held = held;
                return;
            }
            let Some(message) = held.messages.pop_front() else { return };
            held.bytes -= message.len();
            if !peers.is_open(by.id) {
                return; // what comes behind our Close is not heard
            }
            let Some(member) = self.rooms.members.find(by.member) else { return };
            let message = Message { kind: member.wire.kind(), payload: &message };
            self.take(peers, by.member, message);
        }
    }
}
