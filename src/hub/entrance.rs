//! Coming in, and how long one may stay.
//!
//! Owns what becomes of a connection that has yet to say who it is, of one that is let in only to
//! be told why it may not come in, and of tokens that end or are followed by another. Never looks
//! into a token: that is for the door.

use std::time::Duration;

use super::auth::{self, Refusal, UNAUTHENTICATED_LIFE};
use super::command::{Command, Fault};
use super::delivery::{Delivery, Event};
use super::door::Standing;
use super::handler::{Hub, Kind, Session};
use crate::frame::CloseCode;
use crate::net::{ConnectionId, Handler, Message, Peers, Platform};

/// Between two looks at who is late. One more would be too late, so the last is before the end.
const TICK: Duration = Duration::from_secs(1);

impl Hub {
    /// Whether an open connection becomes what it asked to be; else it has to wait, or to go.
    pub(super) fn may_come_in<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        id: ConnectionId,
    ) -> bool {
        let deadline = peers.now() + UNAUTHENTICATED_LIFE - TICK;
        let Some(session) = peers.session(id) else { return false };
        let standing = match &session.0 {
            Kind::Newcomer(newcomer) => newcomer.standing(),
            Kind::Echo(_) | Kind::Viewer { .. } | Kind::Member(_) => Standing::Known,
        };
        match standing {
            Standing::Known => {
                let end_s = self.end_of(session);
                self.terms.expires(id, end_s);
                return true;
            }
            Standing::Unknown => {
                self.tallies.unknown += 1;
                self.terms.awaits(id, deadline);
            }
            Standing::Refused(refusal) => self.turn_away(peers, id, refusal.code()),
        }
        false
    }

    /// Takes the first message of somebody who has yet to say who it is.
    pub(super) fn hear_first<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        from: ConnectionId,
        message: Message<'_>,
    ) {
        let now_s = peers.unix_ms() / 1000;
        let Some(Session(Kind::Newcomer(newcomer))) = peers.session_mut(from) else { return };
        if newcomer.standing() != Standing::Unknown {
            return; // it is on its way out
        }
        match newcomer.authenticate(&self.door, message, now_s) {
            Ok(()) => {
                self.tallies.unknown -= 1;
                self.tallies.let_in += 1;
                peers.lift_limit(from);
                self.note_token(peers, from, "let in by the token of its first message");
                self.open(peers, from);
            }
            Err(code) => self.turn_away(peers, from, code),
        }
    }

    /// Ends a connection that may not come in.
    fn turn_away<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        id: ConnectionId,
        code: &'static str,
    ) {
        self.tallies.refuse(code);
        self.dismiss(peers, id, CloseCode::POLICY_VIOLATION, code);
    }

    /// Goes on with a new token: more time, other rights.
    pub(super) fn refresh<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        from: u32,
        command: &Command<'_>,
    ) -> Result<(), Fault> {
        let missing = Fault::new("bad_command", "token is missing");
        let token = command.token.as_deref().ok_or(missing)?;
        let timestamp = peers.unix_ms();
        let gone = Fault::new("gone", "this connection has ended");
        let member = self.rooms.members.find_mut(from).ok_or(gone)?;
        let id = member.id;
        let end_s = |identity: &auth::Identity| identity.expires_at_s;
        let before = member.identity().and_then(end_s);
        let refreshed = self.door.refresh(member.pass.as_deref_mut(), token, timestamp / 1000);
        if let Err(fault) = refreshed {
            self.tallies.refuse(fault.code);
            self.note_refusal(peers, id, fault);
            return Err(fault);
        }
        self.tallies.refreshed += 1;
        self.terms.forget(id, before);
        self.terms.expires(id, member.identity().and_then(end_s));
        let expires_at = member.expires_at_ms();
        self.note_token(peers, id, "goes on with a new token");
        self.leave_forbidden(peers, from);
        self.say(peers, from, &Delivery::Refreshed { id: command.id(), expires_at, timestamp });
        Ok(())
    }

    /// Takes a member out of the rooms that it may no longer read, and tells it too.
    fn leave_forbidden<P: Platform>(&mut self, peers: &mut Peers<Session, P>, number: u32) {
        let Some(member) = self.rooms.members.find(number) else { return };
        let Some(identity) = member.identity() else { return };
        let seats = member.seats.as_slice().iter();
        let rooms = seats.filter_map(|seat| Some((seat.room, self.rooms.room(seat.room)?)));
        let is_forbidden = |name: &str| !identity.grants.allows(auth::Right::Read, name);
        let forbidden: Vec<_> = rooms
            .filter(|(_, room)| is_forbidden(&room.name))
            .map(|(number, room)| (number, room.name.clone()))
            .collect();
        let user = member.name.clone();
        for (room, name) in forbidden {
            if self.depart(peers, number, room) {
                let delivery = Delivery::system(&name, Event::Leave, &user, peers.unix_ms());
                self.say(peers, number, &delivery);
            }
        }
    }

    /// Ends the connections whose time is over.
    pub(super) fn end_terms<P: Platform>(&mut self, peers: &mut Peers<Session, P>) {
        let (now, now_s) = (peers.now(), peers.unix_ms() / 1000);
        while let Some(id) = self.terms.next_expired(now_s) {
            let (code, reason) = Refusal::Expired.close();
            self.dismiss(peers, id, code, reason);
        }
        while let Some(id) = self.terms.next_late(now) {
            let is_late =
                peers.is_open(id) && matches!(peers.session(id), Some(Session(Kind::Newcomer(_))));
            if is_late {
                self.turn_away(peers, id, Refusal::Missing.code());
            }
        }
    }

    /// A connection is gone.
    pub(super) fn forget_terms(&mut self, id: ConnectionId, session: &Session) {
        let end_s = self.end_of(session);
        self.terms.forget(id, end_s);
        if let Kind::Newcomer(newcomer) = &session.0
            && newcomer.standing() == Standing::Unknown
        {
            self.tallies.unknown -= 1;
        }
    }

    /// When the token of a connection ends, in seconds since 1970.
    fn end_of(&self, session: &Session) -> Option<u64> {
        self.pass_of(session)?.identity.as_ref()?.expires_at_s
    }
}
