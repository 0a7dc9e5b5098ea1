//! What the commands do.
//!
//! Owns how each is carried out. Every action passes through [`authorise`] first.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::auth::Priority;
use super::command::{Command, Fault, Kind, check_name};
use super::delivery::{Delivery, Event, Receipt};
use super::frames::Frames;
use super::handler::{Hub, Session};
use super::history::{Epoch, Position, Since};
use super::mail::To;
use super::members::{Home, Member};
use super::newcomer::LOBBY;
use super::recovery::{Answer, Ask, PAGE_MESSAGES_MAX, Recovery};
use super::rights::{Right, authorise};
use super::sequencer::{Author, Publish, text_frames};
use super::sink::EventKind;
use super::speech::{seen_by, tell};
use super::waiting::Awaited;
use crate::net::{Peers, Platform};

const NOT_JOINED: Fault = Fault::new("not_joined", "you are not in this room");

/// How many messages of a history are given where no number is asked for.
const PAGE_MESSAGES: u64 = 100;

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
            Kind::History => self.history(peers, from, command),
            Kind::Heartbeat => self.heartbeat(peers, from, command),
            Kind::Refresh => self.refresh(peers, from, command),
            Kind::Resume => self.resume(peers, from, command),
        }
    }

    /// Brings a member into a room, if it is not there yet, and tells the others: its number.
    pub(super) fn enter<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        number: u32,
        room: &str,
    ) -> Result<u32, Fault> {
        if let Some(room) = self.may_enter(number, room)? {
            return Ok(room);
        }
        let member = self.rooms.members.find(number).ok_or(GONE)?;
        let (id, name) = (member.id, member.name.clone());
        let joined = self.rooms.join(number, room);
        let room = self.rooms.room(joined).ok_or(NOT_JOINED)?;
        let room = Arc::clone(&room.name);
        self.others.presence(&room, &name, 1);
        if let Some(holding) = &self.sessions {
            holding.enter(number, &room);
        }
        if let Some(sink) = &self.sink {
            sink.moved(EventKind::Join, &room, &name, peers.unix_ms());
        }
        self.follow(peers, &room);
        self.announce(peers, &room, &name, Event::Join, Some(id));
        Ok(joined)
    }

    /// Whether a member may come into a room; the room's number, if it is there already.
    pub(super) fn may_enter(&self, number: u32, room: &str) -> Result<Option<u32>, Fault> {
        let member = self.rooms.members.find(number).ok_or(GONE)?;
        authorise(member, Right::Read, room)?;
        let room = self.rooms.number(room).filter(|room| self.rooms.is_in(number, *room));
        let max = member.rooms_max().unwrap_or(self.config.rooms_max);
        if room.is_none() && member.seats.len() >= max {
            return Err(Fault::new("too_many_rooms", "you are in as many rooms as is allowed"));
        }
        Ok(room)
    }

    /// Brings a member into a room as soon as it is known how far the room is.
    pub(super) fn come_in<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        number: u32,
        room: &str,
        since: Option<Since>,
        awaited: Awaited,
    ) -> Result<(), Fault> {
        self.may_enter(number, room)?;
        self.ask_for(peers, number, room, Ask::Join(since), awaited)
    }

    /// Does what an answer was waited for.
    pub(super) fn finish<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        number: u32,
        room: &Arc<str>,
        awaited: Awaited,
        answer: Answer,
    ) -> Result<(), Fault> {
        match (awaited, answer) {
            (Awaited::Welcome, Answer::Joined(recovery)) => {
                let entered = self.enter(peers, number, room);
                if let (Ok(room), Some(member)) = (entered, self.rooms.members.find_mut(number)) {
                    member.home = Home::Room(room);
                }
                self.welcome(peers, number, recovery.position);
                entered.map(drop)
            }
            (Awaited::Join(id), Answer::Joined(recovery)) => {
                self.enter(peers, number, room)?;
                self.list(peers, number, id.as_deref(), room, Some(&recovery))
            }
            (Awaited::Room(mut resuming), answer) => {
                self.resume_in(peers, number, room, answer, &mut resuming);
                self.go_on_resuming(peers, number, resuming);
                Ok(())
            }
            (Awaited::Page(id), Answer::Page(page)) => {
                let delivery = Delivery::Ok {
                    id: id.as_deref(),
                    room: Some(room),
                    members: None,
                    count: None,
                    epoch: Some(page.position.epoch),
                    offset: Some(page.position.offset),
                    recovered: None,
                    more: Some(page.has_more),
                };
                self.say_with(peers, number, &delivery, &page.messages);
                Ok(())
            }
            (_, Answer::Fault(fault)) => Err(fault),
            (Awaited::Page(id), _) => {
                let delivery = Delivery::Ok {
                    id: id.as_deref(),
                    room: Some(room),
                    members: None,
                    count: None,
                    epoch: None,
                    offset: None,
                    recovered: None,
                    more: Some(false),
                };
                self.say_with(peers, number, &delivery, &[]);
                Ok(())
            }
            (Awaited::Welcome | Awaited::Join(_) | Awaited::Session(_), _) => Ok(()), // never asked
        }
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
        if let Some(holding) = &self.sessions {
            holding.leave(number, &room);
        }
        if let Some(sink) = &self.sink {
            sink.moved(EventKind::Leave, &room, &name, peers.unix_ms());
        }
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
        let (name, since) = (check_name(name)?, command.since()?);
        let id = command.id().map(RawValue::to_owned);
        self.come_in(peers, from, name, since, Awaited::Join(id))
    }

    fn history<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        from: u32,
        command: &Command<'_>,
    ) -> Result<(), Fault> {
        let member = self.rooms.members.find(from).ok_or(GONE)?;
        let name = match (command.room.as_deref(), member.home) {
            (Some(name), _) => check_name(name)?.into(),
            (None, Home::Room(room)) => Arc::clone(&self.rooms.room(room).ok_or(NOT_JOINED)?.name),
            (None, Home::Lobby) => LOBBY.into(),
            (None, Home::Left) => return Err(NOT_JOINED),
        };
        authorise(member, Right::Read, &name)?;
        let limit = command.limit()?.unwrap_or(PAGE_MESSAGES);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).clamp(1, PAGE_MESSAGES_MAX);
        let ask = Ask::Page(command.span()?, limit);
        let id = command.id().map(RawValue::to_owned);
        self.ask_for(peers, from, &name, ask, Awaited::Page(id))
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
        self.say(peers, from, &Delivery::ok(id, room));
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
        let (key, message_id) = (command.key(&room.name)?, command.message_id()?);
        let sender = sender(member, command)?;
        self.door.rule_room(&room.name, peers.now(), content.get().len())?;
        let (id, has_echo) = (member.id, command.echo != Some(false));
        let (room, timestamp) = (Arc::clone(&room.name), peers.unix_ms());
        self.desk.publish(number, content.get().len());
        let keep = self.config.history.keep(&room);
        if !keep.has_history() && message_id.is_none() {
            let buffer = &mut self.buffer;
            let frames = text_frames(buffer, &room, None, content, sender, timestamp, key);
            if let Some(sink) = &self.sink {
                sink.said(&room, sender, content, None, timestamp);
            }
            let without = (!has_echo).then_some(id);
            let to = To::Room(Arc::clone(&room));
            let all = self.publish(peers, &to, &frames, without);
            self.pass_on(&room, sender, content, timestamp, key, true)?;
            return self.done(peers, from, command, all);
        }
        let origin = self.origin(from, id);
        let is_ordered_elsewhere = self.relay.is_some() || !self.is_home_of(&room);
        if keep.is_durable || message_id.is_some() || is_ordered_elsewhere {
            let (sender, content) = (sender.into(), content.to_owned());
            let (id, message_id) =
                (command.id().map(RawValue::to_owned), message_id.map(Box::from));
            let by = Some(Author::Member { origin, id, has_echo });
            let is_counted = true;
            let publish =
                Publish { room, sender, content, timestamp, key, message_id, by, is_counted };
            return self.publish_in_order(peers, publish);
        }
        // The common way, on which nothing is copied: see Hub::sequence.
        if self.others.is_behind() {
            return Err(Fault::OVERLOADED);
        }
        let buffer = &mut self.buffer;
        let make = |position: Position| {
            text_frames(buffer, &room, Some(position.offset), content, sender, timestamp, key)
        };
        let epoch = || Epoch(peers.random_u64());
        let (position, frames) = self.logs.sequence(&room, keep, epoch, timestamp, make);
        let position = Some(position);
        if let Some(sink) = &self.sink {
            sink.said(&room, sender, content, position, timestamp);
        }
        self.hand_out(peers, &room, position, &frames, (!has_echo).then_some(origin));
        if command.id().is_some() {
            self.say(peers, from, &Delivery::published(command.id(), Receipt::new(position)));
        }
        Ok(())
    }

    fn direct<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        from: u32,
        command: &Command<'_>,
    ) -> Result<(), Fault> {
        let content = command.content.ok_or(Fault::new("bad_command", "content is missing"))?;
        let user = command.user.as_ref().ok_or(Fault::new("bad_command", "user is missing"))?;
        if command.message_id()?.is_some() {
            return Err(Fault::new("bad_command", "message_id is for text"));
        }
        let member = self.rooms.members.find(from).ok_or(GONE)?;
        authorise(member, Right::Direct, check_name(user)?)?;
        self.may_publish(member.priority(), Priority::Normal)?;
        let (sender, timestamp) = (sender(member, command)?, peers.unix_ms());
        let delivery = Delivery::Direct { content, sender, timestamp };
        let frames = Frames::new(delivery.encode(&mut self.buffer));
        self.publish_to_nodes(peers, &To::User(Arc::from(&**user)), &frames)?;
        self.done(peers, from, command, true)
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
        self.list(peers, from, command.id(), &name, None)
    }

    /// Answers with who is in a room, and with what was missed there.
    pub(super) fn list<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        from: u32,
        id: Option<&RawValue>,
        room: &str,
        recovery: Option<&Recovery>,
    ) -> Result<(), Fault> {
        let room = self.rooms.find(room).ok_or(NOT_JOINED)?;
        let member = self.rooms.members.find(from).ok_or(GONE)?;
        let seen = seen_by(member, room, &self.rooms, self.config.presence_max);
        let (members, count) = seen.unzip();
        let position = recovery.and_then(|recovery| recovery.position);
        let delivery = Delivery::Ok {
            id,
            room: Some(&room.name),
            members: members.as_deref(),
            count,
            epoch: position.map(|position| position.epoch),
            offset: position.map(|position| position.offset),
            recovered: recovery.map(|recovery| recovery.is_recovered),
            more: None,
        };
        let payload = match recovery {
            Some(recovery) => delivery.encode_with(&mut self.buffer, &recovery.messages),
            None => delivery.encode(&mut self.buffer),
        };
        tell(peers, member, payload);
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
