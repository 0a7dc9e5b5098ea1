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
use super::delivery::{Delivery, Receipt};
use super::frames::Frames;
use super::handler::{Hub, Session};
use super::history::{Done, Epoch, Kept, Op, Placed, Position, What};
use super::mail::{Letter, To};
use super::parts::Parts;
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
    /// By which it is known where it comes again.
    pub(super) message_id: Option<Box<str>>,
    /// Whose it is, where somebody waits to hear of it.
    pub(super) by: Option<Author>,
    /// Whether a member has said it. Of a message that has come from the broker: a member of
    /// another node, so that the rate of the room has yet to know of it.
    pub(super) is_counted: bool,
}

/// Who hears what has become of a message.
#[derive(Clone, Debug)]
pub(super) enum Author {
    /// The member that has published it.
    Member {
        origin: Origin,
        /// The id of its command.
        id: Option<Box<RawValue>>,
        /// Whether it gets its own message.
        has_echo: bool,
    },
    /// A request from outside, which waits until it is known of each of its rooms.
    Request { room: Arc<str>, outcomes: Arc<Parts<Outcome>> },
}

/// A room, and what has become of a message there.
pub(super) type Outcome = (Arc<str>, Result<Receipt, Fault>);

impl Publish {
    /// What it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        let id = match &self.by {
            Some(Author::Member { id: Some(id), .. }) => id.get().len(),
            Some(Author::Member { id: None, .. } | Author::Request { .. }) | None => 0,
        };
        let message_id = self.message_id.as_ref().map_or(0, |id| id.len());
        self.room.len() + self.sender.len() + self.content.get().len() + id + message_id
    }

    /// Who does not get it.
    pub(super) fn without(&self) -> Option<Origin> {
        match &self.by {
            Some(Author::Member { origin, has_echo: false, .. }) => Some(*origin),
            Some(Author::Member { .. } | Author::Request { .. }) | None => None,
        }
    }
}

impl Author {
    /// Who does not get it, where it is known already what becomes of the command.
    pub(super) fn left_out(&self) -> Option<Self> {
        match *self {
            Self::Member { origin, has_echo: false, .. } => {
                Some(Self::Member { origin, id: None, has_echo: false })
            }
            Self::Member { .. } | Self::Request { .. } => None,
        }
    }
}

impl Hub {
    /// The loop that gives the messages of a room their order: the same one, whoever asks.
    pub(super) fn home_of(&self, room: &str) -> usize {
        home_of(room, self.others.loops())
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
        if let Some(receipt) = self.repeated(peers.now(), &publish) {
            self.settle(peers, publish.by, Ok(receipt));
            return;
        }
        publish.timestamp = peers.unix_ms();
        let keep = self.config.history.keep(&publish.room);
        if keep.is_durable || (self.relay.is_some() && keep.has_history()) {
            self.store(peers, publish);
            return;
        }
        let Publish { room, sender, content, timestamp, key, .. } = &publish;
        let buffer = &mut self.buffer;
        let mut make =
            |offset| text_frames(buffer, room, offset, content, sender, *timestamp, *key);
        let (position, frames) = if keep.has_history() {
            let epoch = || Epoch(peers.random_u64());
            let make = |position: Position| make(Some(position.offset));
            let (position, frames) = self.logs.sequence(room, keep, epoch, *timestamp, make);
            (Some(position), frames)
        } else {
            (None, make(None))
        };
        if let Some(sink) = &self.sink {
            sink.said(room, sender, content, position, *timestamp);
        }
        self.hand_out(peers, &publish.room, position, &frames, publish.without());
        let passed = match position {
            Some(_) => Ok(()),
            None => self.pass_on(room, sender, content, *timestamp, *key, publish.is_counted),
        };
        match passed {
            Ok(()) => self.settle_new(peers, publish, position),
            Err(fault) => self.settle(peers, publish.by, Err(fault)),
        }
    }

    /// What was answered to a message, if this is one that comes again.
    fn repeated(&mut self, now: Duration, publish: &Publish) -> Option<Receipt> {
        let key = self.recent.key(&publish.room, &publish.sender, publish.message_id.as_ref()?);
        self.recent.find(key, now, self.config.dedup.window)
    }

    /// Remembers a message that was published now, and tells whose it was.
    fn settle_new<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        publish: Publish,
        position: Option<Position>,
    ) {
        let receipt = Receipt::new(position);
        if let Some(id) = &publish.message_id {
            let key = self.recent.key(&publish.room, &publish.sender, id);
            let max = self.config.dedup.messages_max.div_ceil(self.others.loops());
            self.recent.add(key, peers.now(), receipt.offset, max);
        }
        self.settle(peers, publish.by, Ok(receipt));
    }

    /// Hands a message, with its place where it has one, to the members of its room, on all loops,
    /// in the order of the room.
    pub(super) fn hand_out<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        room: &Arc<str>,
        position: Option<Position>,
        frames: &Frames,
        without: Option<Origin>,
    ) {
        let to = To::Room(Arc::clone(room));
        self.deliver(peers, &to, frames, self.here(without));
        self.others.send_to_all(|| {
            let (room, frames) = (Arc::clone(room), frames.clone());
            match position {
                Some(position) => Letter::Sequenced { room, position, frames, without },
                None => Letter::Once { room, frames, without },
            }
        });
    }

    /// Delivers what another loop has given its place.
    pub(super) fn receive_sequenced<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        room: Arc<str>,
        position: Option<Position>,
        frames: &Frames,
        without: Option<Origin>,
    ) {
        if let Some(position) = position {
            self.rooms.place(&room, position);
        }
        self.deliver(peers, &To::Room(room), frames, self.here(without));
    }

    /// Takes what the store, or the broker, has done.
    pub(super) fn receive_done<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        done: Vec<Done>,
    ) {
        for done in done {
            match done.what {
                What::Append(publish, Ok(Placed { position, is_repeat: true })) => {
                    let offset = Some(position.offset);
                    self.settle(peers, publish.by, Ok(Receipt { offset, is_duplicate: true }));
                }
                What::Append(publish, Ok(Placed { position, is_repeat: false })) => {
                    self.stored(peers, publish, position);
                }
                What::Heard(publish, position) => {
                    self.count_far(peers, &publish);
                    self.stored(peers, publish, position);
                }
                What::Published(by, receipt) => self.settle(peers, Some(by), Ok(receipt)),
                What::Passed(publish) => {
                    self.count_far(peers, &publish);
                    self.hand_out_unplaced(peers, &publish);
                }
                What::Alone(publish) => {
                    self.hand_out_unplaced(peers, &publish);
                    self.settle(peers, publish.by, Err(Fault::DEGRADED));
                }
                What::Nodes(said) => self.hear_nodes(peers, said),
                What::Gap(room, position) => self.tell_gap(peers, &room, position),
                What::Append(publish, Err(fault)) => self.settle(peers, publish.by, Err(fault)),
                What::Read { room, inquiry: None, result } => self.loaded(peers, &room, result),
                What::Read { inquiry: Some(inquiry), result, .. } => {
                    self.found(peers, *inquiry, result);
                }
            }
        }
    }

    /// Holds against the rate of a room what a member of another node has said.
    fn count_far<P: Platform>(&self, peers: &Peers<Session, P>, publish: &Publish) {
        if publish.is_counted {
            let len = publish.content.get().len();
            self.door.count_in_room(&publish.room, peers.now(), len);
        }
    }

    /// Has a message written first: of a durable room, or of any where the broker has the order.
    fn store<P: Platform>(&mut self, peers: &mut Peers<Session, P>, publish: Publish) {
        let Some(keeper) = self.keeper() else {
            self.settle(peers, publish.by, Err(Fault::STORE_UNAVAILABLE));
            return;
        };
        let whose = publish.by.clone();
        let append = Op::Append(publish, self.config.dedup.window);
        if let Err(fault) = keeper.put(self.others.loop_index(), append) {
            self.settle(peers, whose, Err(fault));
        }
    }

    /// A message is where it is kept: now it may be seen.
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
        let position = Some(position);
        self.hand_out(peers, room, position, &frames, publish.without());
        self.settle_new(peers, publish, position);
    }

    /// Hands out a message that has no place.
    fn hand_out_unplaced<P: Platform>(&mut self, peers: &mut Peers<Session, P>, publish: &Publish) {
        let Publish { room, sender, content, timestamp, key, .. } = publish;
        let frames = text_frames(&mut self.buffer, room, None, content, sender, *timestamp, *key);
        self.hand_out(peers, room, None, &frames, publish.without());
    }

    /// Tells whose message it was what became of it.
    fn settle<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        by: Option<Author>,
        result: Result<Receipt, Fault>,
    ) {
        match (by, result) {
            (Some(Author::Member { origin, id, .. }), _)
                if origin.loop_index == self.others.loop_index() =>
            {
                self.acknowledge(peers, origin, id.as_deref(), result);
            }
            (Some(Author::Member { origin, id, .. }), _) => {
                self.others.send(origin.loop_index, Letter::Published { origin, id, result });
            }
            (Some(Author::Request { room, outcomes }), _) => outcomes.add((room, result)),
            (None, Err(fault)) => {
                tracing::debug!(code = fault.code, "a message from outside was not published");
            }
            (None, Ok(_)) => {}
        }
    }

    /// Tells a member of this loop what became of its message.
    pub(super) fn acknowledge<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        origin: Origin,
        id: Option<&RawValue>,
        result: Result<Receipt, Fault>,
    ) {
        if !self.is_here(origin) {
            return; // it has left, and its number is another's
        }
        match result {
            Ok(receipt) if id.is_some() => {
                self.say(peers, origin.member, &Delivery::published(id, receipt));
            }
            Ok(_) => {}
            Err(fault) => self.refuse(peers, origin.member, id, fault),
        }
    }

    /// Tries again soon where a loop has yet to take what it is to hear in order.
    pub(super) fn keep_telling<P: Platform>(&mut self, peers: &mut Peers<Session, P>) {
        self.hold_relay();
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

/// The loop, of so many, at which a room is at home.
pub(super) fn home_of(room: &str, loops: usize) -> usize {
    if loops == 1 {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    room.hash(&mut hasher);
    (hasher.finish() % loops as u64) as usize
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
