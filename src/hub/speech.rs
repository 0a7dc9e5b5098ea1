//! How the hub speaks: to one member, to a room, a user, or all.
//!
//! Owns the ways of a message to those who get it, each in its own form, and the news of who comes
//! and goes. Never reads a command.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::delivery::{Delivery, Event};
use super::frames::Frames;
use super::handler::{Hub, Session};
use super::history::{Kept, Position};
use super::mail::To;
use super::members::Member;
use super::protobuf;
use super::rights::{Right, authorise};
use super::rooms::{Room, Rooms};
use super::sequencer::Publish;
use super::wire::Wire;
use crate::net::{ConnectionId, Message, Peers, Platform};

impl Hub {
    /// Sends a message to one member.
    pub(super) fn say<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        member: u32,
        delivery: &Delivery<'_>,
    ) {
        let Some(member) = self.rooms.members.find(member) else { return };
        tell(peers, member, delivery.encode(&mut self.buffer));
    }

    /// The same, with messages of a history at its end.
    pub(super) fn say_with<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        member: u32,
        delivery: &Delivery<'_>,
        messages: &[Kept],
    ) {
        let Some(member) = self.rooms.members.find(member) else { return };
        tell(peers, member, delivery.encode_with(&mut self.buffer, messages));
    }

    /// Sends a message to all whom it is for, on every loop, but to `without`; whether every loop
    /// has taken it.
    pub(super) fn publish<P: Platform>(
        &self,
        peers: &mut Peers<Session, P>,
        to: &To,
        frames: &Frames,
        without: Option<ConnectionId>,
    ) -> bool {
        self.deliver(peers, to, frames, without);
        self.others.pass(to, frames)
    }

    /// Sends a message to all on this loop whom it is for, but to `without`.
    pub(super) fn deliver<P: Platform>(
        &self,
        peers: &mut Peers<Session, P>,
        to: &To,
        frames: &Frames,
        without: Option<ConnectionId>,
    ) {
        let members = &self.rooms.members;
        for wire in Wire::ALL.into_iter().filter(|wire| members.has(*wire)) {
            let id = |(_, member): (u32, &Member)| (member.wire == wire).then_some(member.id);
            match to {
                To::Room(name) => {
                    let Some(room) = self.rooms.find(name) else { return };
                    self.deliver_in(peers, room, wire, frames, without);
                }
                To::User(name) => {
                    let mut ids = members.of_user(name).filter_map(id).peekable();
                    if ids.peek().is_some() {
                        peers.broadcast(ids, frames.of(wire));
                    }
                }
                To::All => drop(peers.broadcast(members.iter().filter_map(id), frames.of(wire))),
            }
        }
    }

    /// Sends a message to those in a room on this loop who speak in one form.
    fn deliver_in<P: Platform>(
        &self,
        peers: &mut Peers<Session, P>,
        room: &Room,
        wire: Wire,
        frames: &Frames,
        without: Option<ConnectionId>,
    ) {
        let count = room.count_of(wire);
        if count == 0 {
            return;
        }
        let policy = room.rule.backlog.unwrap_or(peers.backlog_policy());
        let frame = frames.of(wire);
        if count < room.ids.len() {
            let ids = self.rooms.ids_of(room, wire).filter(|id| Some(*id) != without);
            peers.broadcast_under(policy, ids, frame);
            return;
        }
        let ids = room.ids.iter().copied();
        match without {
            Some(without) => peers.broadcast_under(policy, ids.filter(|id| *id != without), frame),
            None => peers.broadcast_under(policy, ids, frame),
        };
    }

    /// Publishes what somebody says who is no member.
    pub(super) fn say_from_outside<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        to: &To,
        sender: &str,
        content: &RawValue,
    ) {
        let timestamp = peers.unix_ms();
        let (room, offset) = (to.name(), None);
        let delivery = match to {
            To::Room(room) if self.config.history.keep(room).has_history() => {
                let (room, content) = (Arc::clone(room), content.to_owned());
                let sender = sender.into();
                let (key, message_id, by, is_counted) = (None, None, None, false);
                let publish =
                    Publish { room, sender, content, timestamp, key, message_id, by, is_counted };
                if self.publish_in_order(peers, publish).is_err() {
                    tracing::debug!("a loop is too far behind: a message was not published");
                }
                return;
            }
            To::Room(room) => {
                if self.pass_on(room, sender, content, timestamp, None, false).is_err() {
                    tracing::debug!("a message did not reach the other nodes");
                }
                Delivery::Text { room: Some(room), offset, content, sender, timestamp }
            }
            To::All => Delivery::Text { room, offset, content, sender, timestamp },
            To::User(_) => Delivery::Direct { content, sender, timestamp },
        };
        let frames = Frames::new(delivery.encode(&mut self.buffer));
        if let (To::Room(room), Some(sink)) = (to, &self.sink) {
            sink.said(room, sender, content, None, timestamp);
        }
        if matches!(to, To::Room(_)) {
            self.publish(peers, to, &frames, None);
        } else if self.publish_to_nodes(peers, to, &frames).is_err() {
            tracing::debug!("a message did not reach all loops and nodes");
        }
    }

    /// Tells those in a room on this loop that members of one name have come elsewhere, or have
    /// left.
    pub(super) fn announce_all<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        room: &Arc<str>,
        name: &str,
        change: i64,
    ) {
        let event = if change > 0 { Event::Join } else { Event::Leave };
        for _ in 0..change.unsigned_abs().min(self.config.presence_max as u64) {
            self.announce(peers, room, name, event, None);
        }
    }

    /// Tells those in a room on this loop that somebody has come or left. The other loops do the
    /// same when they hear of it, so that what a member is told agrees with its loop's counts.
    pub(super) fn announce<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        room: &Arc<str>,
        name: &str,
        event: Event,
        without: Option<ConnectionId>,
    ) {
        let max = self.config.presence_max;
        if self.rooms.find(room).is_none_or(|room| room.ids.is_empty() || room.count() > max) {
            return;
        }
        if !self.may_announce() {
            return;
        }
        let delivery = Delivery::system(room, event, name, peers.unix_ms());
        let frames = Frames::new(delivery.encode(&mut self.buffer));
        self.deliver(peers, &To::Room(Arc::clone(room)), &frames, without);
    }

    /// Tells a newcomer who it is, and who is there if it may know that.
    pub(super) fn welcome<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        number: u32,
        position: Option<Position>,
    ) {
        let timestamp = peers.unix_ms();
        let Some(member) = self.rooms.members.find(number) else { return };
        let seat = member.seats.as_slice().first();
        let room = seat.and_then(|seat| self.rooms.room(seat.room));
        let presence_max = self.config.presence_max;
        let seen = room.and_then(|room| seen_by(member, room, &self.rooms, presence_max));
        let (members, count) = seen.unwrap_or_default();
        let delivery = Delivery::Welcome {
            room: room.map(|room| &*room.name),
            epoch: position.map(|position| position.epoch),
            offset: position.map(|position| position.offset),
            sender: &member.name,
            members: &members,
            count,
            traceparent: self.traces.of_connection(member.id, member.trace()).to_string(),
            timestamp,
            expires_at: member.expires_at_ms(),
            session: self.sessions.as_ref().and_then(|holding| holding.of(number)),
        };
        tell(peers, member, delivery.encode(&mut self.buffer));
    }
}

/// Who is in a room, and how many, for a member that may know it.
pub(super) fn seen_by<'a>(
    member: &Member,
    room: &'a Room,
    rooms: &'a Rooms,
    presence_max: usize,
) -> Option<(Vec<&'a str>, usize)> {
    authorise(member, Right::Presence, &room.name).ok()?;
    Some((rooms.names(room, presence_max), room.count()))
}

/// Sends a member what was written as JSON, in its own form.
pub(super) fn tell<P: Platform>(peers: &mut Peers<Session, P>, member: &Member, json: &[u8]) {
    let twin;
    let payload = match member.wire {
        Wire::Json => json,
        Wire::Protobuf => {
            twin = protobuf::delivery_from_json(json);
            &twin
        }
    };
    // A peer that is gone or too slow is told of by its close.
    let _ = peers.send(member.id, Message { kind: member.wire.kind(), payload });
}
