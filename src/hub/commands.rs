//! What the commands do.
//!
//! Owns how each is carried out. Every action passes through [`authorise`] first.

use std::sync::Arc;

use super::auth::Priority;
use super::command::{Command, Fault, Kind, check_name};
use super::delivery::{Delivery, Event};
use super::frames::Frames;
use super::handler::{Hub, LOBBY, Session};
use super::mail::To;
use super::members::{Home, Member};
use super::rights::{Right, authorise};
use super::speech::tell;
use crate::net::{Peers, Platform};

const NOT_JOINED: Fault = Fault::new("not_joined", "you are not in this room");

/// A member that is gone can be told nothing.
const GONE: Fault = Fault::new("gone", "this connection has ended");

impl Hub {
    /// Carries a command out.
    pub(super) fn command<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        from: u32,
        command: &Command<'_>,
    ) -> Result<(), Fault> {
        match command.kind()? {
            Kind::Join => self.join(peers, from, command),
            Kind::Leave => self.leave(peers, from, command),
            Kind::Text => self.text(peers, from, command),
            Kind::Direct => self.direct(peers, from, command),
            Kind::Presence => self.presence(peers, from, command),
            Kind::Heartbeat => self.heartbeat(peers, from, command),
            Kind::Refresh => self.refresh(peers, from, command),
        }
    }

    /// Brings a member into a room, if it is not there yet, and tells the others: its number.
    pub(super) fn enter<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        number: u32,
        room: &str,
    ) -> Result<u32, Fault> {
        let member = self.rooms.members.find(number).ok_or(GONE)?;
        authorise(member, Right::Read, room)?;
        if let Some(room) = self.rooms.number(room)
            && self.rooms.is_in(number, room)
        {
            return Ok(room);
        }
        if member.seats.len() >= member.rooms_max().unwrap_or(self.config.rooms_max) {
            return Err(Fault::new("too_many_rooms", "you are in as many rooms as is allowed"));
        }
        let (id, name) = (member.id, member.name.clone());
        let joined = self.rooms.join(number, room);
        let room = self.rooms.room(joined).ok_or(NOT_JOINED)?;
        let room = Arc::clone(&room.name);
        self.others.presence(&room, &name, 1);
        self.announce(peers, &room, &name, Event::Join, Some(id));
        Ok(joined)
    }

    /// Takes a member out of a room, and tells the others; whether it was there.
    pub(super) fn depart<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        number: u32,
        room: u32,
    ) -> bool {
        let Some(room) = self.rooms.leave(number, room) else { return false };
        let Some(member) = self.rooms.members.find(number) else { return false };
        let name = member.name.clone();
        self.others.presence(&room, &name, -1);
        self.announce(peers, &room, &name, Event::Leave, None);
        true
    }

    fn join<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        from: u32,
        command: &Command<'_>,
    ) -> Result<(), Fault> {
        let name = command.room.as_ref().ok_or(Fault::new("bad_command", "room is missing"))?;
        self.enter(peers, from, check_name(name)?)?;
        self.list(peers, from, command, name)
    }

    fn leave<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        from: u32,
        command: &Command<'_>,
    ) -> Result<(), Fault> {
        let room = self.room_of(from, command)?;
        let name = self.rooms.room(room).map(|room| Arc::clone(&room.name)).ok_or(NOT_JOINED)?;
        self.depart(peers, from, room);
        let (id, room) = (command.id(), Some(&*name));
        self.say(peers, from, &Delivery::Ok { id, room, members: None, count: None });
        Ok(())
    }

    fn text<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        from: u32,
        command: &Command<'_>,
    ) -> Result<(), Fault> {
        let content = command.content.ok_or(Fault::new("bad_command", "content is missing"))?;
        if self.means_lobby(from, command) {
            self.enter(peers, from, LOBBY)?;
        }
        let number = self.room_of(from, command)?;
        let room = self.rooms.room(number).ok_or(NOT_JOINED)?;
        let member = self.rooms.members.find(from).ok_or(GONE)?;
        authorise(member, Right::Write, &room.name)?;
        self.may_publish(member.priority(), room.rule.priority)?;
        let key = command.key(&room.name)?;
        let sender = sender(member, command)?;
        self.door.rule_room(&room.name, peers.now(), content.get().len())?;
        let without = (command.echo == Some(false)).then_some(member.id);
        let (room, timestamp) = (Arc::clone(&room.name), peers.unix_ms());
        let delivery = Delivery::Text { room: Some(&room), content, sender, timestamp };
        let payload = delivery.encode(&mut self.buffer);
        self.desk.publish(number, payload.len());
        let mut frames = Frames::new(payload);
        if let Some(key) = key {
            frames = frames.keyed(key);
        }
        let all = self.publish(peers, &To::Room(room), &frames, without);
        self.done(peers, from, command, all)
    }

    fn direct<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        from: u32,
        command: &Command<'_>,
    ) -> Result<(), Fault> {
        let content = command.content.ok_or(Fault::new("bad_command", "content is missing"))?;
        let user = command.user.as_ref().ok_or(Fault::new("bad_command", "user is missing"))?;
        let member = self.rooms.members.find(from).ok_or(GONE)?;
        authorise(member, Right::Direct, check_name(user)?)?;
        self.may_publish(member.priority(), Priority::Normal)?;
        let (sender, timestamp) = (sender(member, command)?, peers.unix_ms());
        let delivery = Delivery::Direct { content, sender, timestamp };
        let frames = Frames::new(delivery.encode(&mut self.buffer));
        let all = self.publish(peers, &To::User(Arc::from(&**user)), &frames, None);
        self.done(peers, from, command, all)
    }

    /// Says that something was published, where the command has an id.
    fn done<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        from: u32,
        command: &Command<'_>,
        all: bool,
    ) -> Result<(), Fault> {
        if !all {
            return Err(Fault::OVERLOADED);
        }
        if command.id().is_some() {
            self.say(peers, from, &Delivery::done(command.id()));
        }
        Ok(())
    }

    fn presence<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        from: u32,
        command: &Command<'_>,
    ) -> Result<(), Fault> {
        let room = self.room_of(from, command)?;
        let room = self.rooms.room(room).ok_or(NOT_JOINED)?;
        let member = self.rooms.members.find(from).ok_or(GONE)?;
        authorise(member, Right::Presence, &room.name)?;
        let name = Arc::clone(&room.name);
        self.list(peers, from, command, &name)
    }

    /// Answers with who is in a room.
    fn list<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        from: u32,
        command: &Command<'_>,
        room: &str,
    ) -> Result<(), Fault> {
        let room = self.rooms.find(room).ok_or(NOT_JOINED)?;
        let member = self.rooms.members.find(from).ok_or(GONE)?;
        let may_see = authorise(member, Right::Presence, &room.name).is_ok();
        let members = may_see.then(|| self.rooms.names(room, self.config.presence_max));
        let delivery = Delivery::Ok {
            id: command.id(),
            room: Some(&room.name),
            members: members.as_deref(),
            count: may_see.then(|| room.count()),
        };
        tell(peers, member, delivery.encode(&mut self.buffer));
        Ok(())
    }

    fn heartbeat<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        from: u32,
        command: &Command<'_>,
    ) -> Result<(), Fault> {
        let member = self.rooms.members.find_mut(from).ok_or(GONE)?;
        let lost = command.heartbeat_seq().map_or(0, |seq| member.hear(seq));
        let (seq, timestamp) = (command.seq, command.timestamp);
        let lost = (lost > 0).then_some(lost);
        self.say(peers, from, &Delivery::Heartbeat { seq, timestamp, lost });
        Ok(())
    }

    /// Whether a text is for the lobby, which one need not have joined: where no room is named and
    /// the URL named none, or the lobby is, by a member that is in no room.
    fn means_lobby(&self, from: u32, command: &Command<'_>) -> bool {
        let Some(member) = self.rooms.members.find(from) else { return false };
        match command.room.as_deref() {
            None => member.home == Home::Lobby,
            Some(room) => room == LOBBY && member.seats.len() == 0,
        }
    }

    /// The room that a command is about, in which the member is: the one that it names, else the
    /// one that the URL named, else the lobby.
    fn room_of(&self, from: u32, command: &Command<'_>) -> Result<u32, Fault> {
        let member = self.rooms.members.find(from).ok_or(GONE)?;
        let room = match (command.room.as_deref(), member.home) {
            (Some(name), _) => self.rooms.number(check_name(name)?),
            (None, Home::Room(room)) => Some(room),
            (None, Home::Lobby) => self.rooms.number(LOBBY),
            (None, Home::Left) => None,
        };
        room.filter(|room| self.rooms.is_in(from, *room)).ok_or(NOT_JOINED)
    }
}

/// Who is shown as the sender: a guest may say.
fn sender<'a>(member: &'a Member, command: &'a Command<'_>) -> Result<&'a str, Fault> {
    match command.sender.as_deref() {
        Some(sender) if member.is_guest => check_name(sender),
        Some(_) | None => Ok(&member.name),
    }
}
