//! What a loop does where there are several nodes.
//!
//! Owns which rooms the relay follows for this home, what is passed on to other nodes beside what
//! has a place, what they say and ask, and what members are told when something was missed. Without
//! a relay nothing of it happens.

use std::num::NonZeroU64;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::broker::{FromNodes, Seating, ToNodes, is_user_table, user_table};
use super::command::Fault;
use super::delivery::{Delivery, Event};
use super::frames::Frames;
use super::handler::{Hub, Session};
use super::history::{Op, Position};
use super::mail::To;
use super::sequencer::Publish;
use super::task::Task;
use super::wire::Wire;
use crate::net::{Peers, Platform};

impl Hub {
    /// Has a room followed in which somebody is, where this is its home and nobody has asked for
    /// it: who speaks in the lobby comes in without a question.
    pub(super) fn follow<P: Platform>(&mut self, peers: &Peers<Session, P>, room: &Arc<str>) {
        if self.relay.is_none() || self.followed.has(room) || !self.is_home_of(room) {
            return;
        }
        let now_ms = peers.unix_ms();
        self.followed.touch(room, now_ms);
        if self.load(room, now_ms).is_err() {
            self.followed.miss(room);
        }
    }

    /// Has the rooms followed for which the relay had no room, as long as somebody is in them.
    pub(super) fn follow_missed<P: Platform>(&mut self, peers: &Peers<Session, P>) {
        let now_ms = peers.unix_ms();
        for room in self.followed.missed() {
            if !self.rooms.has_members(&room) {
                self.followed.find(&room);
            } else if !self.loading.contains_key(&room) && self.load(&room, now_ms).is_err() {
                tracing::warn!(%room, "too much waits for the broker: a room is not followed yet");
                return;
            }
        }
    }

    /// Whether a room will have to be let go of, although nobody may be connected by then.
    pub(super) fn has_to_let_go(&self) -> bool {
        self.followed.has_due() || self.rooms.has_emptied()
    }

    /// Lets go of rooms that nobody has been in for some seconds.
    pub(super) fn let_go<P: Platform>(&mut self, peers: &Peers<Session, P>) {
        if self.relay.is_none() {
            return;
        }
        let now_ms = peers.unix_ms();
        for room in self.rooms.take_emptied() {
            if self.followed.has(&room) {
                self.followed.touch(&room, now_ms);
            }
        }
        while let Some(room) = self.followed.next_due(now_ms) {
            if self.rooms.has_members(&room) {
                continue; // it is touched when the last has left
            }
            let leave = Op::Leave(Arc::clone(&room));
            let is_loading = self.loading.contains_key(&room);
            let relay = self.relay.as_ref().filter(|_| !is_loading);
            if relay.is_some_and(|relay| relay.put(self.loop_index, leave).is_ok()) {
                self.followed.remove(&room);
                self.logs.drop_room(&room);
            } else {
                self.followed.touch(&room, now_ms);
            }
        }
    }

    /// Has the relay wait while this loop has too much to tell others.
    pub(super) fn hold_relay(&mut self) {
        let Some(relay) = &self.relay else { return };
        let is_behind = self.others.is_behind();
        if is_behind != self.holds_relay {
            self.holds_relay = is_behind;
            relay.queue().set_behind(is_behind);
        }
    }

    /// Passes a message of a room without history on to the other nodes.
    pub(super) fn pass_on(
        &self,
        room: &Arc<str>,
        sender: &str,
        content: &RawValue,
        timestamp: u64,
        key: Option<NonZeroU64>,
        is_counted: bool,
    ) -> Result<(), Fault> {
        let Some(relay) = &self.relay else { return Ok(()) };
        if relay.is_away() {
            return Err(Fault::DEGRADED);
        }
        let (room, sender, content) = (Arc::clone(room), sender.into(), content.to_owned());
        let message_id = None; // it is decided here whether it comes again
        let by = None;
        let publish = Publish { room, sender, content, timestamp, key, message_id, by, is_counted };
        relay.put(self.loop_index, Op::Pass(publish))
    }

    /// Sends a message to a user, or to all, on every loop and node.
    pub(super) fn publish_to_nodes<P: Platform>(
        &self,
        peers: &mut Peers<Session, P>,
        to: &To,
        frames: &Frames,
    ) -> Result<(), Fault> {
        let all = self.publish(peers, to, frames, None);
        if let Some(relay) = &self.relay {
            if relay.is_away() {
                return Err(Fault::DEGRADED);
            }
            let json = frames.of(Wire::Json).payload().into();
            relay.put(self.loop_index, Op::Nodes(ToNodes::Tell(to.clone(), json)))?;
        }
        if all { Ok(()) } else { Err(Fault::OVERLOADED) }
    }

    /// Takes what the other nodes have to say.
    pub(super) fn hear_nodes<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        said: FromNodes,
    ) {
        match said {
            FromNodes::Seats(seatings) => {
                seatings.iter().for_each(|seating| self.seat_far(peers, seating));
            }
            FromNodes::Told(to, json) => {
                self.publish(peers, &to, &Frames::new(&json), None);
            }
            FromNodes::Asked(question, task) => {
                if let (Task::Revoke(revocation), Some(tokens)) = (&task, &self.door.authenticator)
                    && let Err(error) = tokens.revoke(revocation.clone(), peers.unix_ms() / 1000)
                {
                    tracing::error!(%error, "another node has revoked a token");
                }
                if let (Task::Unrevoke(name), Some(tokens)) = (&task, &self.door.authenticator) {
                    tokens.unrevoke(name.of());
                }
                let Some(relay) = self.relay.clone() else { return };
                let own = self.loop_index;
                self.control().of_node().ask(task, move |reply| {
                    // Who has asked takes it for not whole where it does not come.
                    let _ = relay.put(own, Op::Nodes(ToNodes::Reply(question, reply)));
                });
            }
            FromNodes::Revoked(revocations) => {
                let control = self.control().of_node();
                revocations.into_iter().for_each(|one| control.ask(Task::Revoke(one), drop));
            }
        }
    }

    /// Members of other nodes have come or gone, or connections of a user.
    fn seat_far<P: Platform>(&mut self, peers: &mut Peers<Session, P>, seating: &Seating) {
        let Seating { room, name, change } = seating;
        if is_user_table(room) {
            if let Some(gate) = &self.door.gate {
                gate.count_user_elsewhere(name, *change);
            }
            return;
        }
        self.rooms.count_far(room, name, *change);
        if !name.is_empty() {
            self.announce_all(peers, room, name, *change);
        }
    }

    /// Has this node's list of revocations be one with those of the others. A door that is new may
    /// have another.
    pub(super) fn share_revocations(&mut self) {
        let (Some(relay), Some(tokens), 0) =
            (&self.relay, &self.door.authenticator, self.loop_index)
        else {
            return;
        };
        if self.shared_tokens.as_ref().is_some_and(|shared| Arc::ptr_eq(shared, tokens)) {
            return;
        }
        let op = Op::Nodes(ToNodes::Revoked(Arc::clone(tokens)));
        if relay.put(self.loop_index, op).is_ok() {
            self.shared_tokens = Some(Arc::clone(tokens));
        }
    }

    /// Tells the other nodes how many connections users have here: the server's options may limit
    /// them, and tokens may.
    pub(super) fn count_users(&mut self) {
        let (Some(relay), Some(gate), 0) = (&self.relay, &self.door.gate, self.loop_index) else {
            return;
        };
        let seat = |(name, change): (Arc<str>, i64)| {
            let room = user_table(&name);
            Seating { room, name, change }
        };
        let untold = &mut self.untold_users;
        untold.extend(gate.take_user_changes().into_iter().map(seat));
        if untold.is_empty() && self.watches_users {
            return;
        }
        let op = Op::Nodes(ToNodes::Users(untold.clone()));
        if relay.put(self.loop_index, op).is_ok() {
            self.watches_users = true;
            untold.clear();
        }
    }

    /// Tells the members of a room that something is missing.
    pub(super) fn tell_gap<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        room: &Arc<str>,
        position: Position,
    ) {
        self.logs.drop_room(room);
        let delivery = Delivery::Gap {
            room,
            event: Event::Gap,
            epoch: position.epoch,
            offset: position.offset,
            content: "messages may be missing before this offset".into(),
            timestamp: peers.unix_ms(),
        };
        let frames = Frames::new(delivery.encode(&mut self.buffer));
        self.hand_out(peers, room, Some(position), &frames, None);
    }
}
