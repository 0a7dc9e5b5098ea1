//! What this loop says to what all are asked.
//!
//! Owns how a task is carried out on one loop. Never knows what the others say.

use super::auth::{Refusal, Revocation};
use super::caller::Address;
use super::delivery::{Delivery, Event};
use super::handler::{Hub, Session};
use super::members::Member;
use super::rooms::Room;
use super::task::{ConnectionInfo, MemberId, Reply, RoomInfo, Task, Who};
use crate::net::{ConnectionId, Peers, Platform};

impl Hub {
    /// Does what is asked on this loop.
    pub(super) fn answer<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        task: &Task,
    ) -> Reply {
        match task {
            Task::Rooms { prefix, max } => self.list_rooms(prefix, *max),
            Task::Members { room, max } => {
                let room = self.rooms.find(room);
                let members = room.into_iter().flat_map(|room| self.rooms.members_of(room));
                let connections = members.take(*max).map(|who| self.info(peers, who)).collect();
                let count = room.map_or(0, |room| room.ids.len());
                Reply { connections, count, ..Reply::default() }
            }
            Task::Connection(MemberId { id, .. }) => {
                let number = peers.session(*id).and_then(Session::member);
                let member = number.and_then(|number| self.rooms.members.find(number));
                let connections: Vec<_> =
                    member.map(|who| self.info(peers, who)).into_iter().collect();
                Reply { count: connections.len(), connections, ..Reply::default() }
            }
            Task::Connections { user: None, max } => {
                let members = self.rooms.members.iter().take(*max);
                let connections = members.map(|(_, who)| self.info(peers, who)).collect();
                Reply { connections, count: self.rooms.members.len(), ..Reply::default() }
            }
            Task::Connections { user: Some(user), max } => {
                let members = self.rooms.members.of_user(user);
                let connections = members.map(|(_, who)| self.info(peers, who)).take(*max);
                let connections = connections.collect();
                let count = self.rooms.members.of_user(user).count();
                Reply { connections, count, ..Reply::default() }
            }
            Task::Disconnect { who, code, reason } => {
                let ids: Vec<ConnectionId> = match who {
                    Who::Connection(member) => vec![member.id],
                    Who::User(user) => {
                        self.rooms.members.of_user(user).map(|(_, member)| member.id).collect()
                    }
                };
                let closed = ids.iter().filter(|id| peers.close(**id, *code, reason).is_ok());
                Reply { count: closed.count(), ..Reply::default() }
            }
            Task::Unsubscribe { user, room } => {
                let count = self.unsubscribe(peers, user, room);
                Reply { count, ..Reply::default() }
            }
            Task::Revoke(revocation) => {
                Reply { count: self.end_revoked(peers, revocation), ..Reply::default() }
            }
            Task::Unrevoke(_) => Reply::default(), // nobody comes back by it
        }
    }

    fn list_rooms(&self, prefix: &str, max: usize) -> Reply {
        let matching = self.rooms.iter().filter(|room| room.name.starts_with(prefix));
        let mut rooms: Vec<&Room> = matching.collect();
        let count = rooms.len();
        if rooms.len() > max {
            rooms.select_nth_unstable_by(max, |one, other| one.name.cmp(&other.name));
            rooms.truncate(max);
        }
        rooms.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let info = |room: &Room| RoomInfo { room: (&*room.name).into(), count: room.count() };
        Reply { rooms: rooms.into_iter().map(info).collect(), count, ..Reply::default() }
    }

    fn info<P: Platform>(&self, peers: &Peers<Session, P>, member: &Member) -> ConnectionInfo {
        let rooms = member.seats.as_slice().iter().filter_map(|seat| self.rooms.room(seat.room));
        ConnectionInfo {
            id: MemberId { loop_index: self.others.loop_index() as u32, id: member.id },
            user: member.name.clone(),
            rooms: rooms.map(|room| (&*room.name).into()).collect(),
            opened_s: member.opened_s,
            address: self.address(peers, member.id),
            backlog_bytes: peers.backlog_bytes(member.id),
            node: self.relay.as_ref().map(|relay| relay.node().name().into()),
        }
    }

    /// Where a connection is from, for who looks.
    pub(super) fn address<P: Platform>(
        &self,
        peers: &Peers<Session, P>,
        id: ConnectionId,
    ) -> Option<Address> {
        Address::of(self.callers.find(id), peers.remote_addr(id))
    }

    /// Closes who is here by a token that was revoked, the echoed ones too.
    fn end_revoked<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        revocation: &Revocation,
    ) -> usize {
        let is_hit = |id: &ConnectionId| {
            let pass = peers.session(*id).and_then(|session| self.pass_of(session));
            let identity = pass.and_then(|pass| pass.identity.as_ref());
            identity.is_some_and(|identity| revocation.hits(identity))
        };
        let ids: Vec<ConnectionId> = peers.ids().filter(is_hit).collect();
        let (code, reason) = Refusal::Revoked.close();
        ids.iter().filter(|id| self.dismiss(peers, **id, code, reason)).count()
    }

    /// Takes all connections of a user out of a room, and tells them too.
    fn unsubscribe<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        user: &str,
        room: &str,
    ) -> usize {
        let of_user = self.rooms.members.of_user(user).map(|(number, _)| number);
        let numbers: Vec<u32> = of_user.collect();
        let mut count = 0;
        for number in numbers {
            // The room may be gone with the last that was in it.
            let Some(left) = self.rooms.number(room) else { break };
            if self.depart(peers, number, left) {
                count += 1;
                let timestamp = peers.unix_ms();
                let delivery = Delivery::system(room, Event::Leave, user, timestamp);
                self.say(peers, number, &delivery);
            }
        }
        count
    }
}
