//! How the hub speaks: to one member, to a room, a user, or all.
//!
//! Owns the ways of a message to those who get it, and the news of who comes and goes. Never reads
//! a command.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::delivery::{Delivery, Event};
use super::handler::{Hub, Session};
use super::mail::To;
use crate::net::{ConnectionId, Message, MessageKind, Peers, Platform, SharedFrame};

impl Hub {
    /// Sends a message to one member.
    pub(super) fn say<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        member: u32,
        delivery: &Delivery<'_>,
    ) {
        let Some(member) = self.rooms.members.find(member) else { return };
        let payload = delivery.encode(&mut self.buffer);
        // A peer that is gone or too slow is told of by its close.
        let _ = peers.send(member.id, Message { kind: MessageKind::Text, payload });
    }

    /// Sends a message to all whom it is for, on every loop, but to `without`; whether every loop
    /// has taken it.
    pub(super) fn publish<P: Platform>(
        &self,
        peers: &mut Peers<Session, P>,
        to: &To,
        frame: &SharedFrame,
        without: Option<ConnectionId>,
    ) -> bool {
        self.deliver(peers, to, frame, without);
        self.others.pass(to, frame)
    }

    /// Sends a message to all on this loop whom it is for, but to `without`.
    pub(super) fn deliver<P: Platform>(
        &self,
        peers: &mut Peers<Session, P>,
        to: &To,
        frame: &SharedFrame,
        without: Option<ConnectionId>,
    ) {
        match to {
            To::Room(name) => {
                let Some(room) = self.rooms.find(name) else { return };
                let ids = room.ids.iter().copied();
                let policy = room.rule.backlog.unwrap_or(peers.backlog_policy());
                match without {
                    Some(without) => {
                        let others = ids.filter(|id| *id != without);
                        peers.broadcast_under(policy, others, frame)
                    }
                    None => peers.broadcast_under(policy, ids, frame),
                };
            }
            To::User(name) => {
                let connections = self.rooms.members.of_user(name);
                peers.broadcast(connections.map(|(_, member)| member.id), frame);
            }
            To::All => {
                let all = self.rooms.members.iter();
                peers.broadcast(all.map(|(_, member)| member.id), frame);
            }
        }
    }

    /// What somebody says, as those get it to whom it is said.
    pub(super) fn text_frame<P: Platform>(
        &mut self,
        peers: &Peers<Session, P>,
        to: &To,
        sender: &str,
        content: &RawValue,
    ) -> SharedFrame {
        let timestamp = peers.unix_ms();
        let delivery = match to {
            To::Room(room) => Delivery::Text { room: Some(room), content, sender, timestamp },
            To::All => Delivery::Text { room: None, content, sender, timestamp },
            To::User(_) => Delivery::Direct { content, sender, timestamp },
        };
        let payload = delivery.encode(&mut self.buffer);
        SharedFrame::new(Message { kind: MessageKind::Text, payload })
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
        let payload = delivery.encode(&mut self.buffer);
        let frame = SharedFrame::new(Message { kind: MessageKind::Text, payload });
        self.deliver(peers, &To::Room(Arc::clone(room)), &frame, without);
    }

    /// Tells a newcomer who it is, and who is there.
    pub(super) fn welcome<P: Platform>(&mut self, peers: &mut Peers<Session, P>, member: u32) {
        let timestamp = peers.unix_ms();
        let Some(member) = self.rooms.members.find(member) else { return };
        let seat = member.seats.as_slice().first();
        let room = seat.and_then(|seat| self.rooms.room(seat.room));
        let members = room.map(|room| self.rooms.names(room, self.config.presence_max));
        let delivery = Delivery::Welcome {
            room: room.map(|room| &*room.name),
            sender: &member.name,
            members: &members.unwrap_or_default(),
            count: room.map_or(0, |room| room.count()),
            timestamp,
        };
        let payload = delivery.encode(&mut self.buffer);
        let _ = peers.send(member.id, Message { kind: MessageKind::Text, payload });
    }
}
