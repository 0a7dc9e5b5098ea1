//! The hub of one loop, as the engine calls it.
//!
//! Owns what each path means, and the life of a member. Other loops hear of what happens here by
//! mail.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::admin::{self, Desk};
use super::api;
use super::auth::{Refusal, UNAUTHENTICATED_BYTES_MAX, first_message};
use super::command::{Command, Fault, check_name};
use super::config::Config;
use super::control::Control;
use super::delivery::Delivery;
use super::door::{Door, Pass, Standing};
use super::history::{Keeper, Logs};
use super::limits::{Place, Ruling};
use super::mail::Mail;
use super::members::Member;
use super::metrics::Metrics;
use super::outbox::Outbox;
use super::overload::{Guard, this_thread};
use super::pages;
use super::protobuf;
use super::recovery::Inquiry;
use super::rooms::Rooms;
use super::tallies::Tallies;
use super::terms::Terms;
use super::trace::{Trace, Traces};
use super::waiting::{Awaited, Waiting};
use super::wire::Wire;
use crate::frame::CloseCode;
use crate::handshake::Acceptance;
use crate::http::{self, HttpError, Response};
use crate::net::{
    CloseReason, ConnectionId, Handler, Mailboxes, Message, MessageKind, Peers, Platform, Request,
    Verdict,
};

/// The room of those who name none.
pub(super) const LOBBY: &str = "lobby";

const TOO_MANY: &str = "you send more than is allowed";

/// What is kept of the buffer that messages are written in, in bytes.
const BUFFER_KEPT_MAX: usize = 64 << 10;

/// What the hub keeps for each connection.
#[derive(Debug, Default)]
pub struct Session(pub(super) Kind);

#[derive(Debug)]
pub(super) enum Kind {
    /// Its messages come back.
    Echo(Option<Box<Pass>>),
    /// It will be a member when it is open, and it is known who it is.
    Newcomer(Box<Newcomer>),
    /// The number of a member.
    Member(u32),
    /// It looks at the dashboard.
    Viewer { _place: Option<Box<Place>> },
}

impl Session {
    /// The number of the member, where it is one.
    pub(super) const fn member(&self) -> Option<u32> {
        match self.0 {
            Kind::Member(number) => Some(number),
            Kind::Echo(_) | Kind::Newcomer(_) | Kind::Viewer { .. } => None,
        }
    }
}

impl Default for Kind {
    fn default() -> Self {
        Self::Echo(None)
    }
}

/// What a handshake asks to be.
#[derive(Debug, Default)]
pub(super) struct Newcomer {
    name: Option<Box<str>>,
    room: Option<Box<str>>,
    pub(super) pass: Option<Box<Pass>>,
    pub(super) wire: Wire,
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
    pub(super) traces: Traces,
    pub(super) metrics: Metrics,
    /// When connections have to end.
    pub(super) terms: Terms,
    pub(super) tallies: Tallies,
    pub(super) desk: Desk,
    pub(super) guard: Arc<Guard>,
    /// Where the system tells of the loop's thread, if that is watched.
    pub(super) thread: Option<PathBuf>,
    pub(super) loop_index: usize,
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
            rooms: Rooms::new(config.room_rules.clone()),
            config,
            door: Arc::default(),
            others,
            buffer: Vec::new(),
            logs,
            loading: HashMap::new(),
            waiting: HashMap::new(),
            keeper: None,
            traces: Traces::default(),
            metrics: Metrics::default(),
            terms: Terms::default(),
            tallies: Tallies::default(),
            desk: Desk::default(),
            guard: Arc::default(),
            thread: None,
            loop_index,
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

    /// The same, watched over by a guard that it shares with the hubs of the other loops. To be
    /// called on the loop's own thread.
    #[must_use]
    pub fn guarded_by(self, guard: Arc<Guard>) -> Self {
        Self { guard, thread: this_thread(), ..self }
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
        message: Message<'_>,
    ) {
        match message.kind {
            MessageKind::Text => self.take_json(peers, from, message.payload),
            MessageKind::Binary => match protobuf::command_to_json(message.payload) {
                Ok(json) => self.take_json(peers, from, &json),
                Err((id, fault)) => self.refuse(peers, from, id.as_deref(), fault),
            },
        }
    }

    fn take_json<P: Platform>(&mut self, peers: &mut Peers<Session, P>, from: u32, message: &[u8]) {
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
        self.tell(peers, member, id, fault);
        let minute = (peers.now().as_secs() / 60) as u16;
        let max = self.config.faults_per_minute_max;
        let Some(member) = self.rooms.members.find_mut(member) else { return };
        if fault.is_of_sender() && member.is_at_fault(minute, max) {
            let trace = self.traces.of_connection(member.id, member.trace());
            tracing::debug!(id = %member.id, %trace, "closed for too many faults");
            let _ = peers.close(member.id, CloseCode::POLICY_VIOLATION, "too many faults");
        }
    }
}

/// What the door has to say of those who are in, and of what is wrong.
impl Hub {
    fn echo<P: Platform>(
        &self,
        peers: &mut Peers<Session, P>,
        from: ConnectionId,
        message: Message<'_>,
    ) {
        let (now, len) = (peers.now(), message.payload.len());
        let Some(Session(Kind::Echo(pass))) = peers.session_mut(from) else { return };
        match self.door.rule(pass, now, len) {
            // One that is closed or too slow is told by its close.
            Ruling::Pass => drop(peers.send(from, message)),
            Ruling::Refuse { .. } | Ruling::Close => {
                let _ = peers.close(from, CloseCode::POLICY_VIOLATION, TOO_MANY);
            }
        }
    }

    /// Answers with an error.
    fn tell<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        member: u32,
        id: Option<&RawValue>,
        fault: Fault,
    ) {
        self.tallies.err(fault.code);
        self.say(peers, member, &Delivery::fault(id, fault));
    }

    /// Whether a member may send a message now; else it is told.
    fn may_send<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        number: u32,
        message: Message<'_>,
    ) -> bool {
        let Some(member) = self.rooms.members.find_mut(number) else { return false };
        let id = member.id;
        match self.door.rule(&mut member.pass, peers.now(), message.payload.len()) {
            Ruling::Pass => return true,
            Ruling::Refuse { retry_after_ms } => {
                let fault = Fault::rate_limited(TOO_MANY, retry_after_ms);
                self.tell(peers, number, id_of(message).as_deref(), fault);
            }
            Ruling::Close => {
                let _ = peers.close(id, CloseCode::POLICY_VIOLATION, TOO_MANY);
            }
        }
        false
    }

    /// What the door has kept of a connection.
    pub(super) fn pass_of<'a>(&'a self, session: &'a Session) -> Option<&'a Pass> {
        match &session.0 {
            Kind::Echo(pass) => pass.as_deref(),
            Kind::Newcomer(newcomer) => newcomer.pass.as_deref(),
            Kind::Member(number) => self.rooms.members.find(*number)?.pass.as_deref(),
            Kind::Viewer { .. } => None,
        }
    }

    /// Says in a refusal which trace it belongs to, for the client and for the log.
    fn refuse_entry(&self, request: &Request<'_>, response: Response) -> Verdict<Session> {
        let sent = Trace::of(request.head());
        let trace = self.traces.of_connection(request.id(), sent.as_ref());
        Verdict::Respond(response.header("traceresponse", trace.to_string()))
    }

    /// Answers what is no handshake. A page is not told why its handshake was refused: it may ask
    /// without one, where it would have been.
    fn respond(&self, request: &Request<'_>) -> Response {
        let head = request.head();
        if (head.method(), head.path()) == ("GET", "/ws") {
            match self.door.admit(request).map(|pass| pass.map(|pass| pass.standing)) {
                Ok(Some(Standing::Refused(refusal))) => return refusal.response(),
                Ok(_) => {}
                Err(response) => return response,
            }
        }
        let gate = self.door.gate.as_deref();
        let response = self.metrics.respond(head, &self.guard, gate);
        response.unwrap_or_else(|| pages::respond(head))
    }
}

/// The id of a command that is not carried out.
fn id_of(message: Message<'_>) -> Option<Box<RawValue>> {
    match message.kind {
        MessageKind::Text => Command::id_of(message.payload).map(ToOwned::to_owned),
        MessageKind::Binary => match protobuf::command_to_json(message.payload) {
            Ok(json) => Command::id_of(&json).map(ToOwned::to_owned),
            Err((id, _)) => id,
        },
    }
}

impl Hub {
    /// A handshake of who wants to look.
    fn viewer(&self, request: &Request<'_>) -> Verdict<Session> {
        let Some(offer) = request.offer() else { return Verdict::Respond(pages::not_found()) };
        match self.door.admit_viewer(request) {
            Ok(place) => {
                let session = Session(Kind::Viewer { _place: place.map(Box::new) });
                Verdict::Accept(acceptance(offer.choose(&[admin::SUBPROTOCOL])), session)
            }
            Err(response) => self.refuse_entry(request, response),
        }
    }
}

/// The answer to a handshake. A browser fails where it offered subprotocols and none was chosen;
/// its token is never the one.
fn acceptance(chosen: Option<&'static str>) -> Acceptance {
    match chosen {
        Some(subprotocol) => Acceptance::new().subprotocol(subprotocol),
        None => Acceptance::new(),
    }
}

impl Newcomer {
    fn of(request: &Request<'_>) -> Result<Self, Fault> {
        let head = request.head();
        let room = (head.path() == "/").then(|| LOBBY.into());
        let mut newcomer = Self { room, ..Self::default() };
        for (key, value) in form_urlencoded::parse(head.query().unwrap_or("").as_bytes()) {
            match &*key {
                "room" => newcomer.room = Some(check_name(&value)?.into()),
                "name" if !value.is_empty() => newcomer.name = Some(check_name(&value)?.into()),
                _ => {}
            }
        }
        #[cfg(feature = "tls")]
        if let Some(name) = request.client_certificate().and_then(crate::tls::subject_name) {
            newcomer.name = Some(check_name(name)?.into());
        }
        Ok(newcomer)
    }

    pub(super) fn standing(&self) -> Standing {
        self.pass.as_ref().map(|pass| pass.standing).unwrap_or_default()
    }

    /// Takes the token that is the first message.
    ///
    /// # Errors
    /// The reason of the Close.
    pub(super) fn authenticate(
        &mut self,
        door: &Door,
        message: Message<'_>,
        now_s: u64,
    ) -> Result<(), &'static str> {
        let missing = Refusal::Missing.code();
        let pass = self.pass.as_mut().ok_or(missing)?;
        let json = match message.kind {
            kind if kind != self.wire.kind() => return Err(missing),
            MessageKind::Text => Cow::Borrowed(message.payload),
            MessageKind::Binary => {
                Cow::Owned(protobuf::command_to_json(message.payload).map_err(|_| missing)?)
            }
        };
        let token = first_message(&json).map_err(Refusal::code)?;
        door.authenticate(pass, &token, now_s)
    }
}

impl<P: Platform> Handler<P> for Hub {
    type Session = Session;
    type Mail = Mail;

    fn request(&mut self, request: &Request<'_>) -> Verdict<Session> {
        let Some(offer) = request.offer() else {
            let head = request.head();
            if api::owns(head.path()) {
                return self.api(request);
            }
            let response = self.door.answer_access(head);
            return Verdict::Respond(response.unwrap_or_else(|| self.respond(request)));
        };
        let path = request.head().path();
        if path == admin::PATH {
            return self.viewer(request);
        }
        if !matches!(path, "/" | "/ws" | "/echo") {
            return self.refuse_entry(request, pages::not_found());
        }
        if let Some(response) = self.refusal() {
            return self.refuse_entry(request, response);
        }
        let newcomer = match Newcomer::of(request) {
            Ok(newcomer) => newcomer,
            Err(fault) => {
                return self
                    .refuse_entry(request, Response::text(400, format!("{}\n", fault.content)));
            }
        };
        let pass = match self.door.admit(request) {
            Ok(pass) => pass,
            Err(response) => return self.refuse_entry(request, response),
        };
        let chosen = offer.choose(&Wire::ALL.map(Wire::subprotocol));
        let wire = chosen.and_then(Wire::of_subprotocol).unwrap_or_default();
        let mut acceptance = acceptance(chosen);
        let newcomer = Newcomer { pass, wire, ..newcomer };
        match newcomer.standing() {
            Standing::Known if path == "/echo" => {
                return Verdict::Accept(acceptance, Session(Kind::Echo(newcomer.pass)));
            }
            Standing::Known => {}
            // There are no messages there to say it in.
            Standing::Unknown if path == "/echo" => {
                return self.refuse_entry(request, Refusal::Missing.response());
            }
            // Nothing is inflated for it, and little is held.
            Standing::Unknown | Standing::Refused(_) => {
                acceptance = acceptance.without_extensions().limited();
            }
        }
        Verdict::Accept(acceptance, Session(Kind::Newcomer(Box::new(newcomer))))
    }

    fn waits_for(&mut self, request: &Request<'_>, len: usize) -> bool {
        len <= UNAUTHENTICATED_BYTES_MAX || api::may_send(request, &self.door)
    }

    fn unread(&mut self, head: &http::Request<'_>, error: HttpError) -> Response {
        if api::owns(head.path()) { self.api_unread(head, error) } else { error.response() }
    }

    fn trace(&self, session: &Session, id: ConnectionId) -> Option<String> {
        let sent = self.pass_of(session).and_then(|pass| pass.trace.as_deref());
        Some(self.traces.of_connection(id, sent).to_string())
    }

    fn open(&mut self, peers: &mut Peers<Session, P>, id: ConnectionId) {
        if !self.may_come_in(peers, id) {
            return;
        }
        let guest = peers.random_u64() % 1_000_000;
        let opened_s = (peers.unix_ms() / 1000) as u32;
        let Some(session) = peers.session_mut(id) else { return };
        if matches!(session.0, Kind::Viewer { .. }) {
            return self.greet_viewer(peers, id);
        }
        let Kind::Newcomer(newcomer) = &mut session.0 else { return };
        let Newcomer { name, room, pass, wire } = std::mem::take(&mut **newcomer);
        let identity = pass.as_ref().and_then(|pass| pass.identity.as_ref());
        let name = identity.map(|identity| Box::from(&*identity.sub)).or(name);
        let is_guest = name.is_none();
        let name = name.unwrap_or_else(|| format!("guest-{guest:06}").into());
        let mut member = Member::new(id, name, is_guest, opened_s);
        member.pass = pass;
        member.wire = wire;
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
        self.desk.hear(from, message.payload.len());
        match peers.session(from).map(|session| &session.0) {
            Some(Kind::Viewer { .. }) => self.hear_viewer(peers, from, message.payload),
            Some(Kind::Echo(_)) => self.echo(peers, from, message),
            Some(Kind::Member(number)) => {
                let number = *number;
                let Some(member) = self.rooms.members.find(number) else { return };
                let wire = member.wire;
                // What comes behind our Close is not heard.
                if !peers.is_open(from) {
                    return;
                }
                if message.kind != wire.kind() {
                    let _ = peers.close(from, CloseCode::UNSUPPORTED_DATA, wire.reminder());
                } else if self.may_send(peers, number, message)
                    && (self.waiting.is_empty() || !self.hold(peers, number, message.payload))
                {
                    self.take(peers, number, message);
                }
            }
            Some(Kind::Newcomer(_)) => self.hear_first(peers, from, message),
            None => {}
        }
    }

    fn close(
        &mut self,
        peers: &mut Peers<Session, P>,
        id: ConnectionId,
        session: Session,
        _: CloseReason<'_>,
    ) {
        self.forget_terms(id, &session);
        let Kind::Member(number) = session.0 else { return self.forget_viewer(id) };
        self.waiting.remove(&number);
        while let Some(member) = self.rooms.members.find(number)
            && let Some(seat) = member.seats.as_slice().last()
        {
            let room = seat.room;
            self.depart(peers, number, room);
        }
        self.rooms.members.remove(number);
    }

    fn drain(&mut self, peers: &mut Peers<Session, P>, id: ConnectionId) {
        let count = peers.take_dropped(id);
        if let Some(Session(Kind::Member(member))) = peers.session(id)
            && count > 0
        {
            let member = *member;
            self.tell_dropped(peers, member, count);
        }
    }

    fn mail(&mut self, peers: &mut Peers<Session, P>, mail: Mail) {
        self.receive(peers, mail.0);
        self.keep_telling(peers);
    }

    fn wake(&mut self, peers: &mut Peers<Session, P>) {
        self.others.catch_up();
        self.keep_telling(peers);
    }

    fn has_work(&self) -> bool {
        self.others.has_untold() || self.desk.has_work()
    }

    fn tick(&mut self, peers: &mut Peers<Session, P>) {
        self.end_terms(peers);
        self.report(peers);
        self.metrics.publish(self.loop_index, peers.stats());
        self.metrics.publish_tallies(self.loop_index, &self.tallies);
        self.others.tell();
        self.others.catch_up();
        self.logs.sweep(peers.unix_ms(), |room| self.rooms.number(room).is_some());
        self.tick_dashboard(peers);
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT_MAX);
    }
}
