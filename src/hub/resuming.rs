//! How somebody who comes back gets its rooms again.
//!
//! Owns what a member has to do with its session: it begins with the member or is taken over, and
//! each room of it is joined as if it was asked for, rights and recovery included. Never holds a
//! session: that is for [`Sessions`].

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::command::{Command, Fault};
use super::delivery::Delivery;
use super::handler::{Hub, Session};
use super::history::{Epoch, Position, Since};
use super::mail::{Letter, Mail};
use super::members::Home;
use super::recovery::{Answer, Ask, Inquiry};
use super::sequencer::Origin;
use super::sessions::{Found, Record, SessionId, Sessions};
use super::waiting::{Awaited, Waiting};
use crate::net::{Mailboxes, Peers, Platform};

const UNKNOWN: Fault = Fault::new("unknown_session", "there is no such session, or not any more");

const TOO_LATE: Fault = Fault::new("bad_command", "a session is resumed before a room is joined");

const NONE_HERE: Fault = Fault::new("unknown_session", "this server keeps no sessions");

/// How long, and how often, a loop is tried that takes no mail.
const MAIL_PAUSE: Duration = Duration::from_millis(1);
const MAIL_TRIES: u32 = 5000;

/// The sessions of the members of one loop.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) sessions: Arc<dyn Sessions>,
    ids: HashMap<u32, SessionId>,
}

/// A member that gets its rooms again.
#[derive(Debug)]
pub(super) struct Resuming {
    /// The id of its command.
    id: Option<Box<RawValue>>,
    session: SessionId,
    /// Whether its URL has asked for it: then it has yet to be welcomed.
    is_first: bool,
    /// Up to where it knows its rooms.
    known: Vec<(Box<str>, Since)>,
    left: VecDeque<Arc<str>>,
    done: Vec<(Arc<str>, Option<Position>)>,
}

/// A room and how far it is, or is known.
#[derive(Debug, Serialize)]
pub(super) struct Stand<'a> {
    pub(super) room: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) epoch: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) offset: Option<u64>,
}

/// The same in a command.
#[derive(Deserialize)]
struct StandFields<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    #[serde(borrow)]
    epoch: Cow<'a, str>,
    offset: u64,
}

impl Holding {
    pub(super) fn new(sessions: Arc<dyn Sessions>) -> Self {
        Self { sessions, ids: HashMap::new() }
    }

    pub(super) fn of(&self, member: u32) -> Option<SessionId> {
        self.ids.get(&member).copied()
    }

    /// A member has come into a room.
    pub(super) fn enter(&self, member: u32, room: &str) {
        if let Some(id) = self.of(member) {
            self.sessions.enter(id, room);
        }
    }

    /// A member has left a room.
    pub(super) fn leave(&self, member: u32, room: &str) {
        if let Some(id) = self.of(member) {
            self.sessions.leave(id, room);
        }
    }

    /// What tells a member of another loop what was found; where that does not take it, nobody has
    /// the session.
    fn letter_to(&self, by: Origin, session: SessionId, mailboxes: &Mailboxes<Mail>) -> Found {
        let (mailboxes, sessions) = (Arc::clone(mailboxes), Arc::clone(&self.sessions));
        Box::new(move |record| {
            let is_found = record.is_some();
            let mut mail = Mail(Letter::Resumed { by, session, record });
            for _ in 0..MAIL_TRIES {
                match mailboxes[by.loop_index].post(mail) {
                    Ok(()) => return,
                    Err(full) => mail = full.0,
                }
                thread::sleep(MAIL_PAUSE);
            }
            if is_found {
                sessions.close(session);
            }
        })
    }

    /// A member is gone.
    pub(super) fn close(&mut self, member: u32) {
        if let Some(id) = self.ids.remove(&member) {
            self.sessions.close(id);
        }
    }
}

impl Resuming {
    /// What a URL asks for.
    pub(super) fn of_url(session: SessionId) -> Self {
        let (known, left, done) = (Vec::new(), VecDeque::new(), Vec::new());
        Self { id: None, session, is_first: true, known, left, done }
    }

    fn of_command(command: &Command<'_>) -> Result<Self, Fault> {
        let wrong = Fault::new("bad_command", "session is missing, or is none");
        let session = command.session.as_deref().and_then(|it| it.parse().ok()).ok_or(wrong)?;
        let wrong =
            Fault::new("bad_command", "rooms is [{\"room\":\"..\",\"epoch\":\"..\",\"offset\":N}]");
        let stands: Vec<StandFields<'_>> = match command.rooms {
            Some(rooms) => serde_json::from_str(rooms.get()).map_err(|_| wrong)?,
            None => Vec::new(),
        };
        let since = |stand: StandFields<'_>| {
            let since = Since { epoch: stand.epoch.parse().ok(), offset: stand.offset };
            (Box::from(&*stand.room), since)
        };
        let known = stands.into_iter().map(since).collect();
        let id = command.id().map(RawValue::to_owned);
        Ok(Self { id, is_first: false, known, ..Self::of_url(session) })
    }

    /// The id to answer with.
    pub(super) fn id(&self) -> Option<&RawValue> {
        self.id.as_deref()
    }

    fn since(&self, room: &str) -> Option<Since> {
        self.known.iter().find(|(name, _)| **name == *room).map(|(_, since)| *since)
    }
}

impl Hub {
    /// Begins a session for a member, where sessions are kept.
    pub(super) fn begin_session<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        number: u32,
    ) {
        let Some(holding) = &mut self.sessions else { return };
        let Some(member) = self.rooms.members.find(number) else { return };
        let id = u128::from(peers.random_u64()) << 64 | u128::from(peers.random_u64());
        let (name, has_token) = (member.name.clone(), member.identity().is_some());
        holding.ids.insert(number, SessionId(id));
        holding.sessions.open(SessionId(id), Record { name, has_token, rooms: Vec::new() });
    }

    /// Carries out the command.
    pub(super) fn resume<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        from: u32,
        command: &Command<'_>,
    ) -> Result<(), Fault> {
        let resuming = Resuming::of_command(command)?;
        let member = self.rooms.members.find(from).ok_or(UNKNOWN)?;
        if member.seats.len() > 0 || member.home != Home::Lobby {
            return Err(TOO_LATE);
        }
        self.look_for(peers, from, Box::new(resuming))
    }

    /// Asks for a session.
    pub(super) fn look_for<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        number: u32,
        resuming: Box<Resuming>,
    ) -> Result<(), Fault> {
        let Some(member) = self.rooms.members.find(number) else { return Ok(()) };
        let by = self.origin(number, member.id);
        let Some(holding) = &self.sessions else {
            return self.without_session(peers, number, &resuming, NONE_HERE);
        };
        let found = holding.letter_to(by, resuming.session, self.others.mailboxes());
        match holding.sessions.resume(resuming.session, found) {
            Some(record) => self.take_over(peers, number, resuming, record),
            None => {
                let waiting = Waiting::new("".into(), Awaited::Session(resuming));
                self.waiting.insert(number, waiting);
                Ok(())
            }
        }
    }

    /// A session was found for a member of this loop, or was not.
    pub(super) fn found_session<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        by: Origin,
        session: SessionId,
        record: Option<Record>,
    ) {
        let waiting = if self.is_here(by) { self.forget_waiting(by.member) } else { None };
        let Some(waiting) = waiting else {
            if let (Some(holding), Some(_)) = (&self.sessions, record) {
                holding.sessions.close(session); // whom it was found for has left meanwhile
            }
            return;
        };
        let (awaited, held) = waiting.into_parts();
        if let Awaited::Session(resuming) = awaited {
            let id = resuming.id.clone();
            if let Err(fault) = self.take_over(peers, by.member, resuming, record) {
                self.refuse(peers, by.member, id.as_deref(), fault);
            }
        }
        self.go_on(peers, by, held);
    }

    /// Gives a member the session that was found, if it is its own.
    fn take_over<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        number: u32,
        mut resuming: Box<Resuming>,
        record: Option<Record>,
    ) -> Result<(), Fault> {
        let Some(record) = record else {
            return self.without_session(peers, number, &resuming, UNKNOWN);
        };
        let (Some(member), Some(holding)) =
            (self.rooms.members.find(number), self.sessions.as_mut())
        else {
            return Ok(());
        };
        let identity = member.identity();
        let is_own = match identity {
            Some(identity) => record.has_token && *identity.sub == *record.name,
            None => !record.has_token,
        };
        if !is_own {
            holding.sessions.close(resuming.session);
            return self.without_session(peers, number, &resuming, UNKNOWN);
        }
        match holding.ids.insert(number, resuming.session) {
            Some(own) if own == resuming.session => holding.sessions.close(own), // it had it before
            Some(unused) => holding.sessions.forget(unused),
            None => {}
        }
        let rooms_max = member.rooms_max().unwrap_or(self.config.rooms_max);
        self.rooms.members.rename(number, &record.name);
        if resuming.is_first {
            self.welcome(peers, number, None);
        }
        resuming.left = record.rooms.into_iter().take(rooms_max).map(Arc::from).collect();
        self.go_on_resuming(peers, number, resuming);
        Ok(())
    }

    /// A member whose session is not there is as one that did not ask for it.
    fn without_session<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        number: u32,
        resuming: &Resuming,
        fault: Fault,
    ) -> Result<(), Fault> {
        if resuming.is_first {
            self.begin_session(peers, number);
            self.welcome(peers, number, None);
        }
        Err(fault)
    }

    /// Brings a member into the rooms that are left, one after the other.
    pub(super) fn go_on_resuming<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        number: u32,
        mut resuming: Box<Resuming>,
    ) {
        while let Some(room) = resuming.left.pop_front() {
            let Some(member) = self.rooms.members.find(number) else { return };
            let by = self.origin(number, member.id);
            let ask = Ask::Join(resuming.since(&room));
            let inquiry = Inquiry { by, room: Arc::clone(&room), ask };
            let asked = match self.may_enter(number, &room) {
                Ok(_) => self.ask_home(peers, inquiry),
                Err(fault) => Err(fault),
            };
            match asked {
                Ok(Some(answer)) => self.resume_in(peers, number, &room, answer, &mut resuming),
                Ok(None) => {
                    let waiting = Waiting::new(room, Awaited::Room(resuming));
                    self.waiting.insert(number, waiting);
                    return;
                }
                Err(_) => self.lose(number, &room),
            }
        }
        let Some(member) = self.rooms.members.find(number) else { return };
        let stands = resuming.done.iter().map(|(room, position)| Stand {
            room,
            epoch: position.map(|position| position.epoch),
            offset: position.map(|position| position.offset),
        });
        let rooms: Vec<Stand<'_>> = stands.collect();
        let (id, session, sender) = (resuming.id(), resuming.session, member.name.clone());
        self.say(peers, number, &Delivery::Resumed { id, session, sender: &sender, rooms: &rooms });
    }

    /// Brings a member into a room of which it is known how far it is.
    pub(super) fn resume_in<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        number: u32,
        room: &Arc<str>,
        answer: Answer,
        resuming: &mut Resuming,
    ) {
        let Answer::Joined(recovery) = answer else { return self.lose(number, room) };
        match self.enter(peers, number, room) {
            Ok(_) => {
                // It cannot be refused: the member has just come in.
                let _ = self.list(peers, number, None, room, Some(&recovery));
                resuming.done.push((Arc::clone(room), recovery.position));
            }
            Err(_) => self.lose(number, room),
        }
    }

    /// A member may not come into a room of its session any more.
    fn lose(&self, number: u32, room: &str) {
        if let Some(holding) = &self.sessions {
            holding.leave(number, room);
        }
    }
}
