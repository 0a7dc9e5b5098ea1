//! The hub of one loop, as the engine calls it.
//!
//! Owns what each path means, and the life of a member. Other loops hear of what happens here by
//! mail.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::auth::Refusal;
use super::command::{Command, Fault, check_name};
use super::config::Config;
use super::control::Control;
use super::delivery::Delivery;
use super::door::{Door, Pass};
use super::history::{Keeper, Logs};
use super::limits::Ruling;
use super::mail::Mail;
use super::members::Member;
use super::metrics::Metrics;
use super::outbox::Outbox;
use super::pages;
use super::recovery::Inquiry;
use super::rooms::Rooms;
use super::waiting::{Awaited, Waiting};
use crate::frame::CloseCode;
use crate::handshake::Acceptance;
use crate::http::Response;
use crate::net::{
    CloseReason, ConnectionId, Handler, Mailboxes, Message, MessageKind, Peers, Platform, Request,
    Verdict,
};

/// The room of those who name none.
pub(super) const LOBBY: &str = "lobby";

/// What is spoken here, for those who ask.
const SUBPROTOCOL: &str = "throng.v1.json";

const TOO_MANY: &str = "you send more than is allowed";

/// What is kept of the buffer that messages are written in, in bytes.
const BUFFER_KEPT_MAX: usize = 64 << 10;

/// What the hub keeps for each connection.
#[derive(Debug, Default)]
pub struct Session(Kind);

#[derive(Debug)]
enum Kind {
    /// Its messages come back.
    Echo(Option<Box<Pass>>),
    /// It will be a member when it is open.
    Newcomer(Box<Newcomer>),
    /// The number of a member.
    Member(u32),
}

impl Default for Kind {
    fn default() -> Self {
        Self::Echo(None)
    }
}

/// What a handshake asks to be.
#[derive(Debug, Default)]
struct Newcomer {
    name: Option<Box<str>>,
    room: Option<Box<str>>,
    pass: Option<Box<Pass>>,
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
    pub(super) door: Arc<Door>,
    pub(super) rooms: Rooms,
    pub(super) others: Outbox,
    /// What is being said.
    pub(super) buffer: Vec<u8>,
    /// The order and the last messages of the rooms whose home this loop is.
    pub(super) logs: Logs,
    /// Those who ask about durable rooms that are being read.
    pub(super) loading: HashMap<Arc<str>, Vec<Inquiry>>,
    /// Members that wait for an answer.
    pub(super) waiting: HashMap<u32, Waiting>,
    pub(super) keeper: Option<Keeper>,
    loop_index: usize,
    metrics: Metrics,
}

impl Hub {
    /// The hub of the loop `loop_index`, with the default limits; `mailboxes` are those of all
    /// loops.
    pub fn new(loop_index: usize, mailboxes: Mailboxes<Mail>) -> Self {
        Self::with_config(loop_index, mailboxes, Config::default())
    }

    /// Has `/metrics` show these, which all loops share. Default: the loop's own.
    #[must_use]
    pub fn metrics(mut self, metrics: &Metrics) -> Self {
        self.metrics = metrics.clone();
        self
    }

    /// The same, with limits of its own.
    pub fn with_config(loop_index: usize, mailboxes: Mailboxes<Mail>, config: Config) -> Self {
        let others = Outbox::new(loop_index, mailboxes);
        let logs = Logs::new(config.history.bytes_max / others.loops());
        Self {
            config,
            door: Arc::default(),
            rooms: Rooms::default(),
            others,
            buffer: Vec::new(),
            logs,
            loading: HashMap::new(),
            waiting: HashMap::new(),
            keeper: None,
            loop_index,
            metrics: Metrics::default(),
        }
    }

    /// Has durable rooms kept; without a keeper nothing can be published there.
    #[must_use]
    pub fn keeping(self, keeper: &Keeper) -> Self {
        keeper.attach(self.others.mailboxes());
        Self { keeper: Some(keeper.clone()), ..self }
    }

    /// The same, behind a door that it shares with the hubs of the other loops.
    #[must_use]
    pub fn behind(self, door: Arc<Door>) -> Self {
        Self { door, ..self }
    }

    /// The way in for who is no client.
    pub fn control(&self) -> Control {
        self.others.control()
    }

    /// Carries a command out, or says why not.
    pub(super) fn take<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        from: u32,
        message: &[u8],
    ) {
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
        if fault.is_of_client() && member.is_at_fault(minute, max) {
            tracing::debug!(id = %member.id, "closed for too many faults");
            let _ = peers.close(member.id, CloseCode::POLICY_VIOLATION, "too many faults");
        }
    }
}

/// What the door has to say of those who are in.
impl Hub {
    fn echo<P: Platform>(
        &self,
        peers: &mut Peers<Session, P>,
        from: ConnectionId,
        message: Message<'_>,
    ) {
        let (now, len) = (peers.now(), message.payload.len());
        let Some(Session(Kind::Echo(pass))) = peers.session_mut(from) else { return };
        match self.door.rule(pass.as_deref_mut(), now, len) {
            // One that is closed or too slow is told by its close.
            Ruling::Pass => drop(peers.send(from, message)),
            Ruling::Refuse { .. } | Ruling::Close => {
                let _ = peers.close(from, CloseCode::POLICY_VIOLATION, TOO_MANY);
            }
        }
    }

    /// Whether a member may send a message now; else it is told.
    fn may_send<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        number: u32,
        len: usize,
    ) -> bool {
        let Some(member) = self.rooms.members.find_mut(number) else { return false };
        let id = member.id;
        match self.door.rule(member.pass.as_deref_mut(), peers.now(), len) {
            Ruling::Pass => return true,
            Ruling::Refuse { retry_after_ms } => {
                let retry_after_ms = Some(retry_after_ms);
                let (code, content) = ("rate_limited", TOO_MANY);
                self.say(
                    peers,
                    number,
                    &Delivery::Error { id: None, code, content, retry_after_ms },
                );
            }
            Ruling::Close => {
                let _ = peers.close(id, CloseCode::POLICY_VIOLATION, TOO_MANY);
            }
        }
        false
    }

    /// Ends the connections whose token's time is over.
    fn end_expired<P: Platform>(&self, peers: &mut Peers<Session, P>) {
        if self.door.authenticator.is_none() {
            return;
        }
        let now_s = peers.unix_ms() / 1000;
        for (_, member) in self.rooms.members.iter() {
            if member.identity().is_some_and(|identity| identity.has_expired(now_s)) {
                let (code, reason) = Refusal::Expired.close();
                let _ = peers.close(member.id, code, reason);
            }
        }
    }
}

impl Newcomer {
    fn of(request: &Request<'_>) -> Result<Self, Fault> {
        let head = request.head();
        let room = (head.path() == "/").then(|| LOBBY.into());
        let mut newcomer = Self { name: None, room, pass: None };
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
        let Some(offer) = request.offer() else {
            let response = self.metrics.respond(request.head());
            return Verdict::Respond(response.unwrap_or_else(|| pages::respond(request.head())));
        };
        let path = request.head().path();
        if !matches!(path, "/" | "/ws" | "/echo") {
            return Verdict::Respond(pages::not_found());
        }
        let newcomer = match Newcomer::of(request) {
            Ok(newcomer) => newcomer,
            Err(fault) => {
                return Verdict::Respond(Response::text(400, format!("{}\n", fault.content)));
            }
        };
        let kind = match self.door.admit(request) {
            Ok(pass) if path == "/echo" => Kind::Echo(pass),
            Ok(pass) => Kind::Newcomer(Box::new(Newcomer { pass, ..newcomer })),
            Err(response) => return Verdict::Respond(response),
        };
        // A browser fails where it offered some and none was chosen; its token is never the one.
        let acceptance = match offer.choose(&[SUBPROTOCOL]) {
            Some(subprotocol) => Acceptance::new().subprotocol(subprotocol),
            None => Acceptance::new(),
        };
        Verdict::Accept(acceptance, Session(kind))
    }

    fn open(&mut self, peers: &mut Peers<Session, P>, id: ConnectionId) {
        let guest = peers.random_u64() % 1_000_000;
        let opened_s = (peers.unix_ms() / 1000) as u32;
        let Some(session) = peers.session_mut(id) else { return };
        let Kind::Newcomer(newcomer) = &mut session.0 else { return };
        let Newcomer { name, room, pass } = std::mem::take(&mut **newcomer);
        let identity = pass.as_ref().and_then(|pass| pass.identity.as_ref());
        let name = identity.map(|identity| Box::from(&*identity.sub)).or(name);
        let is_guest = name.is_none();
        let name = name.unwrap_or_else(|| format!("guest-{guest:06}").into());
        let mut member = Member::new(id, name, is_guest, opened_s);
        member.pass = pass;
        let member = self.rooms.members.insert(member);
        session.0 = Kind::Member(member);
        let Some(room) = room else {
            self.welcome(peers, member, None);
            return;
        };
        if let Err(fault) = self.come_in(peers, member, &room, None, Awaited::Welcome) {
            self.welcome(peers, member, None);
            self.refuse(peers, member, None, fault);
        }
    }

    fn message(&mut self, peers: &mut Peers<Session, P>, from: ConnectionId, message: Message<'_>) {
        match (peers.session(from).map(|session| &session.0), message.kind) {
            (Some(Kind::Echo(_)), _) => self.echo(peers, from, message),
            (Some(Kind::Member(member)), MessageKind::Text) => {
                let member = *member;
                // What comes behind our Close is not heard.
                if peers.is_open(from)
                    && self.may_send(peers, member, message.payload.len())
                    && (self.waiting.is_empty() || !self.hold(peers, member, message.payload))
                {
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
        self.waiting.remove(&number);
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

    fn tick(&mut self, peers: &mut Peers<Session, P>) {
        self.end_expired(peers);
        self.metrics.publish(self.loop_index, peers.stats());
        self.others.tell();
        self.others.catch_up();
        self.logs.sweep(peers.unix_ms(), |room| self.rooms.number(room).is_some());
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT_MAX);
    }
}
