//! How a message gets its place in its room.
//!
//! Owns the one order of a room: its home loop, by the hash of its name, gives each message an
//! offset and hands it out to all loops, by mailboxes that keep the order. What a loop is told in
//! between, such as how far the room is, stands at one point of that order. Never seats a member.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::command::Fault;
use super::delivery::Delivery;
use super::frames::Frames;
use super::handler::{Hub, Session};
use super::history::{Done, Epoch, Kept, Op, Position, What};
use super::mail::{Letter, To};
use super::wire::Wire;
use crate::net::{ConnectionId, Peers, Platform};

/// How soon a loop that took no mail is tried again.
const LATE_PAUSE: Duration = Duration::from_millis(5);

/// A member, as other loops know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) loop_index: usize,
    pub(super) member: u32,
    pub(super) id: ConnectionId,
}

/// A message on its way to its place.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) room: Arc<str>,
    pub(super) sender: Box<str>,
    pub(super) content: Box<RawValue>,
    /// Milliseconds since 1970, by the clock of the home loop.
    pub(super) timestamp: u64,
    /// What it stands for: see [`Command::key`](super::command::Command::key).
    pub(super) key: Option<NonZeroU64>,
    /// Whose it is, where it is a member's.
    pub(super) by: Option<Author>,
}

/// The member that has published something.
#[derive(Debug)]
pub(super) struct Author {
    pub(super) origin: Origin,
    /// The id of its command.
    pub(super) id: Option<Box<RawValue>>,
    /// Whether it gets its own message.
    pub(super) has_echo: bool,
}

impl Publish {
    /// What it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        let id = self.by.as_ref().and_then(|by| by.id.as_ref());
        let id = id.map_or(0, |id| id.get().len());
        self.room.len() + self.sender.len() + self.content.get().len() + id
    }

    /// Who does not get it.
    fn without(&self) -> Option<Origin> {
        self.by.as_ref().filter(|by| !by.has_echo).map(|by| by.origin)
    }
}

impl Hub {
    /// The loop that gives the messages of a room their order: the same one, whoever asks.
    pub(super) fn home_of(&self, room: &str) -> usize {
        let loops = self.others.loops();
        if loops == 1 {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        room.hash(&mut hasher);
        (hasher.finish() % loops as u64) as usize
    }

    pub(super) fn is_home_of(&self, room: &str) -> bool {
        self.home_of(room) == self.others.loop_index()
    }

    pub(super) fn origin(&self, member: u32, id: ConnectionId) -> Origin {
        Origin { loop_index: self.others.loop_index(), member, id }
    }

    /// Brings a message to the home of its room. Whose it is hears what became of it.
    pub(super) fn publish_in_order<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        publish: Publish,
    ) -> Result<(), Fault> {
        let home = self.home_of(&publish.room);
        if home == self.others.loop_index() {
            self.sequence(peers, publish);
            return Ok(());
        }
        self.others.post(home, Letter::Publish(Box::new(publish)))
    }

    /// Gives a message its place, here at the home of its room.
    pub(super) fn sequence<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        mut publish: Publish,
    ) {
        if self.others.is_behind() {
            self.settle(peers, publish.by, Err(Fault::OVERLOADED));
            return;
        }
        publish.timestamp = peers.unix_ms();
        let keep = self.config.history.keep(&publish.room);
        if keep.is_durable {
            self.store(peers, publish);
            return;
        }
        let Publish { room, sender, content, timestamp, key, .. } = &publish;
        let buffer = &mut self.buffer;
        let make = |position: Position| {
            let offset = Some(position.offset);
            text_frames(buffer, room, offset, content, sender, *timestamp, *key)
        };
        let epoch = || Epoch(peers.random_u64());
        let (position, frames) = self.logs.sequence(room, keep, epoch, *timestamp, make);
        self.hand_out(peers, &publish.room, position, &frames, publish.without());
        self.settle(peers, publish.by, Ok(position));
    }

    /// Hands a message that has its place to the members of its room, on all loops.
    pub(super) fn hand_out<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        room: &Arc<str>,
        position: Position,
        frames: &Frames,
        without: Option<Origin>,
    ) {
        let to = To::Room(Arc::clone(room));
        self.deliver(peers, &to, frames, self.here(without));
        self.others.send_to_all(|| {
            let (room, frames) = (Arc::clone(room), frames.clone());
            Letter::Sequenced { room, position, frames, without }
        });
    }

    /// Delivers what another loop has given its place.
    pub(super) fn receive_sequenced<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        room: Arc<str>,
        position: Position,
        frames: &Frames,
        without: Option<Origin>,
    ) {
        self.rooms.place(&room, position);
        self.deliver(peers, &To::Room(room), frames, self.here(without));
    }

    /// Takes what the store has done.
    pub(super) fn receive_done<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        done: Vec<Done>,
    ) {
        for done in done {
            match done.what {
                What::Append(publish, Ok(position)) => self.stored(peers, publish, position),
                What::Append(publish, Err(fault)) => self.settle(peers, publish.by, Err(fault)),
                What::Read { room, inquiry: None, result } => self.loaded(peers, &room, result),
                What::Read { inquiry: Some(inquiry), result, .. } => {
                    self.found(peers, *inquiry, result);
                }
            }
        }
    }

    /// Has a message of a durable room written first.
    fn store<P: Platform>(&mut self, peers: &mut Peers<Session, P>, mut publish: Publish) {
        let Some(keeper) = &self.keeper else {
            self.settle(peers, publish.by, Err(Fault::STORE_UNAVAILABLE));
            return;
        };
        let by = publish.by.take();
        let whose = by.as_ref().map(|by| (by.origin, by.id.clone()));
        publish.by = by;
        if let Err(fault) = keeper.put(self.others.loop_index(), Op::Append(publish)) {
            let author = |(origin, id)| Author { origin, id, has_echo: true };
            self.settle(peers, whose.map(author), Err(fault));
        }
    }

    /// A message of a durable room is on the disk: now it may be seen.
    fn stored<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        publish: Publish,
        position: Position,
    ) {
        let Publish { room, sender, content, timestamp, key, .. } = &publish;
        let offset = Some(position.offset);
        let buffer = &mut self.buffer;
        let frames = text_frames(buffer, room, offset, content, sender, *timestamp, *key);
        let frame = frames.of(Wire::Json).clone();
        let kept = Kept { offset: position.offset, timestamp: *timestamp, frame };
        self.logs.append(room, position, kept);
        self.hand_out(peers, room, position, &frames, publish.without());
        self.settle(peers, publish.by, Ok(position));
    }

    /// Tells whose message it was what became of it.
    fn settle<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        by: Option<Author>,
        result: Result<Position, Fault>,
    ) {
        let Some(Author { origin, id, .. }) = by else {
            if let Err(fault) = result {
                tracing::debug!(code = fault.code, "a message from outside was not published");
            }
            return;
        };
        if origin.loop_index == self.others.loop_index() {
            self.acknowledge(peers, origin, id.as_deref(), result);
        } else {
            self.others.send(origin.loop_index, Letter::Published { origin, id, result });
        }
    }

    /// Tells a member of this loop what became of its message.
    pub(super) fn acknowledge<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        origin: Origin,
        id: Option<&RawValue>,
        result: Result<Position, Fault>,
    ) {
        if !self.is_here(origin) {
            return; // it has left, and its number is another's
        }
        match result {
            Ok(position) if id.is_some() => {
                self.say(peers, origin.member, &Delivery::published(id, position.offset));
            }
            Ok(_) => {}
            Err(fault) => self.refuse(peers, origin.member, id, fault),
        }
    }

    /// Tries again soon where a loop has yet to take what it is to hear in order.
    pub(super) fn keep_telling<P: Platform>(&self, peers: &mut Peers<Session, P>) {
        if self.others.is_late() {
            peers.wake_at(peers.now() + LATE_PAUSE);
        }
    }

    /// Whether a member is still the one that it was.
    pub(super) fn is_here(&self, origin: Origin) -> bool {
        self.rooms.members.find(origin.member).is_some_and(|member| member.id == origin.id)
    }

    /// The connection, where it is one of this loop.
    fn here(&self, origin: Option<Origin>) -> Option<ConnectionId> {
        let here = origin.filter(|origin| origin.loop_index == self.others.loop_index());
        here.map(|origin| origin.id)
    }
}

/// What was said in a room, as its members get it.
pub(super) fn text_frames(
    buffer: &mut Vec<u8>,
    room: &str,
    offset: Option<u64>,
    content: &RawValue,
    sender: &str,
    timestamp: u64,
    key: Option<NonZeroU64>,
) -> Frames {
    let delivery = Delivery::Text { room: Some(room), offset, content, sender, timestamp };
    let frames = Frames::new(delivery.encode(buffer));
    match key {
        Some(key) => frames.keyed(key),
        None => frames,
    }
}
