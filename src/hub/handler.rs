//! The hub of one loop.
//!
//! Owns what each path means, and carries out the commands of members. Other loops hear of what
//! happens here by mail.

use std::sync::Arc;

use super::command::{Command, Fault, Kind, check_name};
use super::delivery::{Delivery, Event};
use super::metrics::Metrics;
use super::outbox::Outbox;
use super::pages;
use super::rooms::{Rooms, Seat};
use crate::frame::CloseCode;
use crate::http::Response;
use crate::net::{
    CloseReason, ConnectionId, Handler, Mailboxes, Message, MessageKind, Peers, Platform, Request,
    SharedFrame, Verdict,
};

/// The room of those who name none.
const LOBBY: &str = "lobby";

/// In a room of more members than this, comings and goings are not announced, and lists of members
/// stop here: else they would cost the square of the members.
const PRESENCE_MAX: usize = 500;

/// What is kept of the buffer that messages are written in, in bytes.
const BUFFER_KEPT_MAX: usize = 64 << 10;

/// What the hub keeps for each connection.
#[derive(Debug, Default)]
pub enum Session {
    /// Its messages come back.
    #[default]
    Echo,
    /// It speaks to the hub.
    Member(Box<Member>),
}

/// Somebody who speaks to the hub.
#[derive(Debug)]
pub struct Member {
    name: Arc<str>,
    /// Whether the name was made up, so that a message may bring another.
    is_guest: bool,
    /// The room to join when the connection is open.
    wants: Option<Box<str>>,
    seat: Option<Seat>,
}

/// What one loop tells the others.
#[derive(Clone, Debug)]
pub enum Mail {
    /// Something was published in a room.
    Publish {
        /// The room.
        room: Arc<str>,
        /// The message.
        frame: SharedFrame,
    },
    /// Somebody came to a room, or left it.
    Presence {
        /// The room.
        room: Arc<str>,
        /// Who.
        name: Arc<str>,
        /// How many of that name came, or left where it is negative.
        change: i64,
    },
}

/// The realtime server on one loop.
///
/// ```no_run
/// use throng::hub::Hub;
/// use throng::net::Server;
///
/// # fn main() -> std::io::Result<()> {
/// let server = Server::builder().listen("127.0.0.1:8080");
/// server.run(|loop_index, mailboxes| Hub::new(loop_index, mailboxes.clone()))
/// # }
/// ```
#[derive(Debug)]
pub struct Hub {
    rooms: Rooms,
    others: Outbox,
    /// What is being said.
    buffer: Vec<u8>,
    loop_index: usize,
    metrics: Metrics,
}

impl Hub {
    /// The hub of the loop `loop_index`; `mailboxes` are those of all loops.
    pub fn new(loop_index: usize, mailboxes: Mailboxes<Mail>) -> Self {
        let others = Outbox::new(loop_index, mailboxes);
        let (rooms, buffer, metrics) = (Rooms::default(), Vec::new(), Metrics::default());
        Self { rooms, others, buffer, loop_index, metrics }
    }

    /// Has `/metrics` show these, which all loops share. Default: the loop's own.
    #[must_use]
    pub fn metrics(mut self, metrics: &Metrics) -> Self {
        self.metrics = metrics.clone();
        self
    }

    /// The member that a handshake asks to be.
    fn member(request: &Request<'_>) -> Result<Member, Fault> {
        let head = request.head();
        let mut member = Member {
            name: "".into(), // a guest's is made up when the connection is open
            is_guest: true,
            wants: (head.path() == "/").then(|| LOBBY.into()),
            seat: None,
        };
        for (key, value) in form_urlencoded::parse(head.query().unwrap_or("").as_bytes()) {
            match &*key {
                "room" => member.wants = Some(check_name(&value)?.into()),
                "name" if !value.is_empty() => {
                    member.name = check_name(&value)?.into();
                    member.is_guest = false;
                }
                _ => {}
            }
        }
        Ok(member)
    }

    fn say<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        id: ConnectionId,
        delivery: &Delivery<'_>,
    ) {
        let payload = delivery.encode(&mut self.buffer);
        // A peer that is gone or too slow is told of by its close.
        let _ = peers.send(id, Message { kind: MessageKind::Text, payload });
    }

    /// Sends a message to everyone in a room, on every loop, but for `without`.
    fn publish<P: Platform>(
        &self,
        peers: &mut Peers<Session, P>,
        room: &Arc<str>,
        frame: &SharedFrame,
        without: Option<ConnectionId>,
    ) -> bool {
        self.deliver(peers, room, frame, without);
        self.others.publish(room, frame)
    }

    /// Sends a message to everyone in a room on this loop, but for `without`.
    fn deliver<P: Platform>(
        &self,
        peers: &mut Peers<Session, P>,
        room: &str,
        frame: &SharedFrame,
        without: Option<ConnectionId>,
    ) {
        let Some(room) = self.rooms.find(room) else { return };
        let members = room.members.iter().copied();
        peers.broadcast(members.filter(|member| Some(*member) != without), frame);
    }

    fn frame(&mut self, delivery: &Delivery<'_>) -> SharedFrame {
        let payload = delivery.encode(&mut self.buffer);
        SharedFrame::new(Message { kind: MessageKind::Text, payload })
    }

    /// Seats a member in a room, tells it who is there, and the others that it has come.
    fn join<P: Platform>(&mut self, peers: &mut Peers<Session, P>, id: ConnectionId, room: &str) {
        let Some(Session::Member(member)) = peers.session_mut(id) else { return };
        let name = Arc::clone(&member.name);
        let seat = self.rooms.join(room, id, Arc::clone(&name));
        member.seat = Some(seat);
        let room = Arc::clone(&self.rooms.room(seat).name);
        self.others.presence(&room, &name, 1);
        self.announce(peers, &room, &name, Event::Join, Some(id));
    }

    /// Tells a room that somebody came or left.
    fn announce<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        room: &Arc<str>,
        name: &str,
        event: Event,
        without: Option<ConnectionId>,
    ) {
        if self.rooms.find(room).is_none_or(|room| room.count() > PRESENCE_MAX) {
            return;
        }
        let content = match event {
            Event::Join => format!("{name} joined"),
            Event::Leave => format!("{name} left"),
        };
        let timestamp = peers.unix_ms();
        let delivery = Delivery::System { room, event, sender: name, content: &content, timestamp };
        let frame = self.frame(&delivery);
        self.publish(peers, room, &frame, without);
    }

    fn welcome<P: Platform>(&mut self, peers: &mut Peers<Session, P>, id: ConnectionId) {
        let timestamp = peers.unix_ms();
        let Some(Session::Member(member)) = peers.session(id) else { return };
        let room = member.seat.map(|seat| self.rooms.room(seat));
        let members = room.map(|room| room.names(PRESENCE_MAX)).unwrap_or_default();
        let delivery = Delivery::Welcome {
            room: room.map(|room| &*room.name),
            sender: &member.name,
            members: &members,
            count: room.map_or(0, |room| room.count()),
            timestamp,
        };
        let payload = delivery.encode(&mut self.buffer);
        let _ = peers.send(id, Message { kind: MessageKind::Text, payload });
    }

    /// Carries a command out.
    fn command<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        id: ConnectionId,
        command: &Command<'_>,
    ) -> Result<(), Fault> {
        match command.kind()? {
            Kind::Text => self.text(peers, id, command),
            Kind::Presence => self.presence(peers, id, command),
            Kind::Heartbeat => {
                let (seq, timestamp) = (command.seq, command.timestamp);
                self.say(peers, id, &Delivery::Heartbeat { seq, timestamp });
                Ok(())
            }
        }
    }

    fn text<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        id: ConnectionId,
        command: &Command<'_>,
    ) -> Result<(), Fault> {
        let content = command.content.ok_or(Fault::new("bad_command", "content is missing"))?;
        let means_lobby = command.room.as_ref().is_none_or(|room| room == LOBBY);
        if means_lobby && self.seat(peers, id).is_none() {
            self.join(peers, id, LOBBY);
        }
        let room = self.room(peers, id, command)?;
        let Some(Session::Member(member)) = peers.session(id) else { return Ok(()) };
        let sender = match &command.sender {
            Some(sender) if member.is_guest => check_name(sender)?,
            Some(_) | None => &member.name,
        };
        let timestamp = peers.unix_ms();
        let payload =
            Delivery::Text { room: &room, content, sender, timestamp }.encode(&mut self.buffer);
        let frame = SharedFrame::new(Message { kind: MessageKind::Text, payload });
        let without = (command.echo == Some(false)).then_some(id);
        if !self.publish(peers, &room, &frame, without) {
            return Err(Fault::new("overloaded", "not everyone may have got it"));
        }
        if command.id().is_some() {
            let delivery = Delivery::Ok { id: command.id(), members: None, count: None };
            self.say(peers, id, &delivery);
        }
        Ok(())
    }

    fn presence<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        id: ConnectionId,
        command: &Command<'_>,
    ) -> Result<(), Fault> {
        let name = self.room(peers, id, command)?;
        let Some(room) = self.rooms.find(&name) else { return Ok(()) };
        let (members, count) = (room.names(PRESENCE_MAX), Some(room.count()));
        let delivery = Delivery::Ok { id: command.id(), members: Some(&members), count };
        let payload = delivery.encode(&mut self.buffer);
        let _ = peers.send(id, Message { kind: MessageKind::Text, payload });
        Ok(())
    }

    fn seat<P: Platform>(&self, peers: &Peers<Session, P>, id: ConnectionId) -> Option<Seat> {
        match peers.session(id) {
            Some(Session::Member(member)) => member.seat,
            Some(Session::Echo) | None => None,
        }
    }

    /// The room that a command is about: the one that the member is in.
    fn room<P: Platform>(
        &self,
        peers: &Peers<Session, P>,
        id: ConnectionId,
        command: &Command<'_>,
    ) -> Result<Arc<str>, Fault> {
        let fault = Fault::new("not_joined", "you are not in this room");
        let seat = self.seat(peers, id).ok_or(fault)?;
        let room = &self.rooms.room(seat).name;
        match &command.room {
            Some(other) if **other != **room => Err(fault),
            Some(_) | None => Ok(Arc::clone(room)),
        }
    }
}

impl<P: Platform> Handler<P> for Hub {
    type Session = Session;
    type Mail = Mail;

    fn request(&mut self, request: &Request<'_>) -> Verdict<Session> {
        if request.offer().is_none() {
            let response = self.metrics.respond(request.head());
            return Verdict::Respond(response.unwrap_or_else(|| pages::respond(request.head())));
        }
        match request.head().path() {
            "/echo" => Verdict::accept(Session::Echo),
            "/" | "/ws" => match Self::member(request) {
                Ok(member) => Verdict::accept(Session::Member(Box::new(member))),
                Err(fault) => Verdict::Respond(Response::text(400, format!("{}\n", fault.content))),
            },
            _ => Verdict::Respond(pages::not_found()),
        }
    }

    fn open(&mut self, peers: &mut Peers<Session, P>, id: ConnectionId) {
        let guest = peers.random_u64() % 1_000_000;
        let Some(Session::Member(member)) = peers.session_mut(id) else { return };
        if member.is_guest {
            member.name = format!("guest-{guest:06}").into();
        }
        if let Some(room) = member.wants.take() {
            self.join(peers, id, &room);
        }
        self.welcome(peers, id);
    }

    fn message(&mut self, peers: &mut Peers<Session, P>, from: ConnectionId, message: Message<'_>) {
        match (peers.session(from), message.kind) {
            (Some(Session::Echo), _) => {
                let _ = peers.send(from, message); // closed or too slow: its close tells
            }
            (Some(Session::Member(_)), MessageKind::Text) => {
                match Command::parse(message.payload) {
                    Ok(command) => {
                        if let Err(fault) = self.command(peers, from, &command) {
                            self.say(peers, from, &Delivery::fault(command.id(), fault));
                        }
                    }
                    Err(fault) => self.say(peers, from, &Delivery::fault(None, fault)),
                }
            }
            (Some(Session::Member(_)), MessageKind::Binary) => {
                let _ = peers.close(from, CloseCode::UNSUPPORTED_DATA, "text is spoken here");
            }
            (None, _) => {}
        }
    }

    fn close(
        &mut self,
        peers: &mut Peers<Session, P>,
        _: ConnectionId,
        session: Session,
        _: CloseReason<'_>,
    ) {
        let Session::Member(member) = session else { return };
        let Some(seat) = member.seat else { return };
        let room = Arc::clone(&self.rooms.room(seat).name);
        let (name, moved) = self.rooms.leave(seat);
        if let Some(moved) = moved
            && let Some(Session::Member(member)) = peers.session_mut(moved)
        {
            member.seat = Some(seat);
        }
        self.announce(peers, &room, &name, Event::Leave, None);
        self.others.presence(&room, &name, -1);
    }

    fn mail(&mut self, peers: &mut Peers<Session, P>, mail: Mail) {
        match mail {
            Mail::Publish { room, frame } => self.deliver(peers, &room, &frame, None),
            Mail::Presence { room, name, change } => {
                self.rooms.count_elsewhere(&room, &name, change);
            }
        }
    }

    fn has_work(&self) -> bool {
        self.others.has_untold()
    }

    fn tick(&mut self, peers: &mut Peers<Session, P>) {
        self.metrics.publish(self.loop_index, peers.stats());
        self.others.tell();
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT_MAX);
    }
}
