//! The hub of one loop, as the engine calls it.
//!
//! Owns what each path means, and the life of a member. Other loops hear of what happens here by
//! mail.

use serde_json::value::RawValue;

use super::command::{Command, Fault, check_name};
use super::config::Config;
use super::control::Control;
use super::delivery::Delivery;
use super::mail::Mail;
use super::members::{Home, Member};
use super::outbox::Outbox;
use super::pages;
use super::rooms::Rooms;
use crate::frame::CloseCode;
use crate::http::Response;
use crate::net::{
    CloseReason, ConnectionId, Handler, Mailboxes, Message, MessageKind, Peers, Platform, Request,
    Verdict,
};

/// The room of those who name none.
pub(super) const LOBBY: &str = "lobby";

/// What is kept of the buffer that messages are written in, in bytes.
const BUFFER_KEPT_MAX: usize = 64 << 10;

/// What the hub keeps for each connection.
#[derive(Debug, Default)]
pub struct Session(Kind);

#[derive(Debug, Default)]
enum Kind {
    /// Its messages come back.
    #[default]
    Echo,
    /// It will be a member when it is open.
    Newcomer(Box<Newcomer>),
    /// The number of a member.
    Member(u32),
}

/// What a handshake asks to be.
#[derive(Debug, Default)]
struct Newcomer {
    name: Option<Box<str>>,
    room: Option<Box<str>>,
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
    pub(super) config: Config,
    pub(super) rooms: Rooms,
    pub(super) others: Outbox,
    /// What is being said.
    pub(super) buffer: Vec<u8>,
}

impl Hub {
    /// The hub of the loop `loop_index`, with the default limits; `mailboxes` are those of all
    /// loops.
    pub fn new(loop_index: usize, mailboxes: Mailboxes<Mail>) -> Self {
        Self::with_config(loop_index, mailboxes, Config::default())
    }

    /// The same, with limits of its own.
    pub fn with_config(loop_index: usize, mailboxes: Mailboxes<Mail>, config: Config) -> Self {
        let others = Outbox::new(loop_index, mailboxes);
        Self { config, rooms: Rooms::default(), others, buffer: Vec::new() }
    }

    /// The way in for who is no client.
    pub fn control(&self) -> Control {
        self.others.control()
    }

    /// Carries a command out, or says why not.
    fn take<P: Platform>(&mut self, peers: &mut Peers<Session, P>, from: u32, message: &[u8]) {
        let (id, result) = match Command::parse(message) {
            Ok(command) => (command.id(), self.command(peers, from, &command)),
            Err((id, fault)) => (id, Err(fault)),
        };
        if let Err(fault) = result {
            self.refuse(peers, from, id, fault);
        }
    }

    /// Tells a member what is wrong, and ends it when that was too often.
    pub(super) fn refuse<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        member: u32,
        id: Option<&RawValue>,
        fault: Fault,
    ) {
        self.say(peers, member, &Delivery::fault(id, fault));
        let minute = (peers.now().as_secs() / 60) as u16;
        let max = self.config.faults_per_minute_max;
        let Some(member) = self.rooms.members.find_mut(member) else { return };
        if fault != Fault::OVERLOADED && member.is_at_fault(minute, max) {
            tracing::debug!(id = %member.id, "closed for too many faults");
            let _ = peers.close(member.id, CloseCode::POLICY_VIOLATION, "too many faults");
        }
    }
}

impl Newcomer {
    fn of(request: &Request<'_>) -> Result<Self, Fault> {
        let head = request.head();
        let room = (head.path() == "/").then(|| LOBBY.into());
        let mut newcomer = Self { name: None, room };
        for (key, value) in form_urlencoded::parse(head.query().unwrap_or("").as_bytes()) {
            match &*key {
                "room" => newcomer.room = Some(check_name(&value)?.into()),
                "name" if !value.is_empty() => newcomer.name = Some(check_name(&value)?.into()),
                _ => {}
            }
        }
        Ok(newcomer)
    }
}

impl<P: Platform> Handler<P> for Hub {
    type Session = Session;
    type Mail = Mail;

    fn request(&mut self, request: &Request<'_>) -> Verdict<Session> {
        if request.offer().is_none() {
            return Verdict::Respond(pages::respond(request.head()));
        }
        match request.head().path() {
            "/echo" => Verdict::accept(Session::default()),
            "/" | "/ws" => match Newcomer::of(request) {
                Ok(newcomer) => Verdict::accept(Session(Kind::Newcomer(Box::new(newcomer)))),
                Err(fault) => Verdict::Respond(Response::text(400, format!("{}\n", fault.content))),
            },
            _ => Verdict::Respond(pages::not_found()),
        }
    }

    fn open(&mut self, peers: &mut Peers<Session, P>, id: ConnectionId) {
        let guest = peers.random_u64() % 1_000_000;
        let opened_s = (peers.unix_ms() / 1000) as u32;
        let Some(session) = peers.session_mut(id) else { return };
        let Kind::Newcomer(newcomer) = &mut session.0 else { return };
        let Newcomer { name, room } = std::mem::take(&mut **newcomer);
        let is_guest = name.is_none();
        let name = name.unwrap_or_else(|| format!("guest-{guest:06}").into());
        let member = self.rooms.members.insert(Member::new(id, name, is_guest, opened_s));
        session.0 = Kind::Member(member);
        let entered = room.map(|room| self.enter(peers, member, &room));
        if let (Some(Ok(room)), Some(member)) = (&entered, self.rooms.members.find_mut(member)) {
            member.home = Home::Room(*room);
        }
        self.welcome(peers, member);
        if let Some(Err(fault)) = entered {
            self.refuse(peers, member, None, fault);
        }
    }

    fn message(&mut self, peers: &mut Peers<Session, P>, from: ConnectionId, message: Message<'_>) {
        match (peers.session(from).map(|session| &session.0), message.kind) {
            (Some(Kind::Echo), _) => {
                let _ = peers.send(from, message); // closed or too slow: its close tells
            }
            (Some(Kind::Member(member)), MessageKind::Text) => {
                let member = *member;
                // What comes behind our Close is not heard.
                if peers.is_open(from) {
                    self.take(peers, member, message.payload);
                }
            }
            (Some(Kind::Member(_)), MessageKind::Binary) => {
                let _ = peers.close(from, CloseCode::UNSUPPORTED_DATA, "text is spoken here");
            }
            (Some(Kind::Newcomer(_)) | None, _) => {}
        }
    }

    fn close(
        &mut self,
        peers: &mut Peers<Session, P>,
        _: ConnectionId,
        session: Session,
        _: CloseReason<'_>,
    ) {
        let Kind::Member(number) = session.0 else { return };
        while let Some(member) = self.rooms.members.find(number)
            && let Some(seat) = member.seats.as_slice().last()
        {
            let room = seat.room;
            self.depart(peers, number, room);
        }
        self.rooms.members.remove(number);
    }

    fn mail(&mut self, peers: &mut Peers<Session, P>, mail: Mail) {
        self.receive(peers, mail.0);
    }

    fn has_work(&self) -> bool {
        self.others.has_untold()
    }

    fn tick(&mut self, _: &mut Peers<Session, P>) {
        self.others.tell();
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT_MAX);
    }
}
