//! The hub of one loop, as the engine calls it.
//!
//! Owns what each path means, and the life of a member. Other loops hear of what happens here by
//! mail.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::admin::Desk;
use super::api;
use super::auth::{Authenticator, UNAUTHENTICATED_BYTES_MAX};
use super::broker::{Relay, Seating};
use super::caller::{Callers, origin_of};
use super::command::{Command, Fault};
use super::config::Config;
use super::control::Control;
use super::delivery::Delivery;
use super::door::{Door, Pass};
use super::followed::Followed;
use super::history::{Keeper, Logs};
use super::journal::Journal;
use super::limits::{Place, Ruling};
use super::mail::Mail;
use super::members::Member;
use super::metrics::Metrics;
use super::newcomer::Newcomer;
use super::outbox::Outbox;
use super::overload::{Guard, this_thread};
use super::protobuf;
use super::recent::Recent;
use super::recovery::{Inquiry, UnderWay};
use super::resuming::{Holding, Resuming};
use super::rooms::Rooms;
use super::sessions::Sessions;
use super::sink::Sink;
use super::tallies::Tallies;
use super::terms::Terms;
use super::trace::Traces;
use super::waiting::{Awaited, Waiting};
use crate::frame::CloseCode;
use crate::http::{self, HttpError, Response};
use crate::net::{
    CloseReason, ConnectionId, Handler, Mailboxes, Message, MessageKind, Particulars, Peers,
    Platform, Request, Verdict,
};

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
    /// The ids of messages that were published in these rooms lately.
    pub(super) recent: Recent,
    /// Those who ask about durable rooms that are being read.
    pub(super) loading: HashMap<Arc<str>, Vec<Inquiry>>,
    /// Members that wait for an answer.
    pub(super) waiting: HashMap<u32, Waiting>,
    /// What they have said meanwhile, in bytes.
    pub(super) held_bytes: usize,
    /// The answers to other loops that are under way.
    pub(super) answers: UnderWay,
    pub(super) keeper: Option<Keeper>,
    pub(super) sink: Option<Sink>,
    pub(super) sessions: Option<Holding>,
    /// The way to the other nodes, if there are any.
    pub(super) relay: Option<Relay>,
    /// The connections of users that the other nodes have yet to hear of.
    pub(super) untold_users: Vec<Seating>,
    /// Whether those of the other nodes are known.
    pub(super) watches_users: bool,
    /// The list of revocations that the other nodes know.
    pub(super) shared_tokens: Option<Arc<Authenticator>>,
    /// The rooms of this home that are followed over it.
    pub(super) followed: Followed,
    /// Whether the relay was told that this loop has too much to tell others.
    pub(super) holds_relay: bool,
    pub(super) traces: Traces,
    pub(super) metrics: Metrics,
    /// When connections have to end.
    pub(super) terms: Terms,
    pub(super) tallies: Tallies,
    pub(super) desk: Desk,
    pub(super) callers: Callers,
    pub(super) journal: Journal,
    pub(super) guard: Arc<Guard>,
    /// Where the system tells of the loop's thread, if that is watched.
    pub(super) thread: Option<PathBuf>,
    pub(super) loop_index: usize,
    /// Whether another process is the server, and what is said here reaches nobody.
    pub(super) has_moved: bool,
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
            recent: Recent::default(),
            loading: HashMap::new(),
            waiting: HashMap::new(),
            held_bytes: 0,
            answers: UnderWay::default(),
            keeper: None,
            sink: None,
            sessions: None,
            relay: None,
            untold_users: Vec::new(),
            watches_users: false,
            shared_tokens: None,
            followed: Followed::default(),
            holds_relay: false,
            traces: Traces::default(),
            metrics: Metrics::default(),
            terms: Terms::default(),
            tallies: Tallies::default(),
            desk: Desk::default(),
            callers: Callers::default(),
            journal: Journal::default(),
            guard: Arc::default(),
            thread: None,
            loop_index,
            has_moved: false,
        }
    }

    /// Has durable rooms kept; without a keeper nothing can be published there.
    #[must_use]
    pub fn keeping(self, keeper: &Keeper) -> Self {
        keeper.attach(self.others.mailboxes());
        Self { keeper: Some(keeper.clone()), ..self }
    }

    /// Has what happens handed to another service.
    #[must_use]
    pub fn telling(self, sink: &Sink) -> Self {
        Self { sink: Some(sink.clone()), ..self }
    }

    /// Has who was in which rooms kept, for those who come back.
    #[must_use]
    pub fn resuming(self, sessions: Arc<dyn Sessions>) -> Self {
        Self { sessions: Some(Holding::new(sessions)), ..self }
    }

    /// Has this node be one of several: the broker gives rooms their order, and keeps what was said
    /// in all of them, durable or not.
    #[must_use]
    pub fn relaying(mut self, relay: &Relay) -> Self {
        relay.attach(self.others.mailboxes());
        self.logs.be_part();
        self.rooms.tell_emptied();
        self.others.relay(relay);
        Self { relay: Some(relay.clone()), ..self }
    }

    /// Who keeps what was said: the broker, else the store of durable rooms.
    pub(super) fn keeper(&self) -> Option<&Keeper> {
        self.relay.as_ref().map(Relay::queue).or(self.keeper.as_ref())
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
            let id = member.id;
            self.dismiss(peers, id, CloseCode::POLICY_VIOLATION, "too many faults");
        }
    }
}

/// What the door has to say of those who are in, and of what is wrong.
impl Hub {
    fn echo<P: Platform>(
        &mut self,
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
                self.dismiss(peers, from, CloseCode::POLICY_VIOLATION, TOO_MANY);
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
        if let Some(member) = self.rooms.members.find(member) {
            self.note_fault(peers, member.id, fault);
        }
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
                self.dismiss(peers, id, CloseCode::POLICY_VIOLATION, TOO_MANY);
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
}

/// The id of a command that is not carried out.
pub(super) fn id_of(message: Message<'_>) -> Option<Box<RawValue>> {
    match message.kind {
        MessageKind::Text => Command::id_of(message.payload).map(ToOwned::to_owned),
        MessageKind::Binary => match protobuf::command_to_json(message.payload) {
            Ok(json) => Command::id_of(&json).map(ToOwned::to_owned),
            Err((id, _)) => id,
        },
    }
}

impl<P: Platform> Handler<P> for Hub {
    type Session = Session;
    type Mail = Mail;

    fn request(&mut self, request: &Request<'_>) -> Verdict<Session> {
        let verdict = self.receive_request(request);
        if matches!(verdict, Verdict::Accept(..)) {
            self.callers.keep(request.id(), self.door.proxied(request), origin_of(request.head()));
        }
        verdict
    }

    fn waits_for(&mut self, request: &Request<'_>, len: usize) -> bool {
        len <= UNAUTHENTICATED_BYTES_MAX || api::may_send(request, &self.door)
    }

    fn unread(&mut self, head: &http::Request<'_>, error: HttpError) -> Response {
        if api::owns(head.path()) { self.api_unread(head, error) } else { error.response() }
    }

    fn particulars(&self, session: &Session, id: ConnectionId) -> Particulars {
        self.about(session, id)
    }

    fn particulars_of_request(&self, request: &Request<'_>) -> Particulars {
        self.about_request(request)
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
        let Newcomer { name, room, session: before, pass, wire, .. } =
            std::mem::take(&mut **newcomer);
        let identity = pass.as_ref().and_then(|pass| pass.identity.as_ref());
        let name = identity.map(|identity| Box::from(&*identity.sub)).or(name);
        let is_guest = name.is_none();
        let name = name.unwrap_or_else(|| format!("guest-{guest:06}").into());
        let mut member = Member::new(id, name, is_guest, opened_s);
        member.pass = pass;
        member.wire = wire;
        let member = self.rooms.members.insert(member);
        session.0 = Kind::Member(member);
        if let Some(before) = before {
            let resuming = Box::new(Resuming::of_url(before));
            if let Err(fault) = self.look_for(peers, member, resuming) {
                self.refuse(peers, member, None, fault);
            }
            return;
        }
        self.begin_session(peers, member);
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
                    && (self.waiting.is_empty() || !self.hold(peers, number, message))
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
        self.callers.forget(id);
        let Kind::Member(number) = session.0 else { return self.forget_viewer(id) };
        self.forget_waiting(number);
        if let Some(holding) = &mut self.sessions {
            holding.close(number); // before the rooms are left, which it keeps
        }
        while let Some(member) = self.rooms.members.find(number)
            && let Some(seat) = member.seats.as_slice().last()
        {
            let room = seat.room;
            self.depart(peers, number, room);
        }
        self.rooms.members.remove(number);
    }

    fn stopping(&mut self, peers: &mut Peers<Session, P>, id: ConnectionId, leaves_in: Duration) {
        if let Some(member) = peers.session(id).and_then(Session::member) {
            let after_ms = u64::try_from(leaves_in.as_millis()).unwrap_or(u64::MAX);
            let timestamp = peers.unix_ms();
            self.say(peers, member, &Delivery::Reconnect { after_ms, timestamp });
        }
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

    fn is_settled(&self) -> bool {
        let is_idle = self.keeper.as_ref().is_none_or(Keeper::is_idle);
        is_idle && self.waiting.is_empty() && !self.others.has_untold()
    }

    fn pack(&mut self, peers: &Peers<Session, P>, id: ConnectionId) -> Option<Vec<u8>> {
        self.pack_session(peers.session(id)?)
    }

    fn pack_state(&mut self, peers: &Peers<Session, P>) -> Vec<Vec<u8>> {
        self.pack_all(peers)
    }

    fn has_moved(&mut self, _: &mut Peers<Session, P>) {
        self.has_moved = true;
        if let Some(keeper) = &self.keeper {
            keeper.close(); // so that the other process can open its file
        }
    }

    fn unpack(
        &mut self,
        peers: &mut Peers<Session, P>,
        id: ConnectionId,
        packed: &[u8],
    ) -> Option<Session> {
        self.unpack_session(peers, id, packed)
    }

    fn unpack_state(&mut self, peers: &mut Peers<Session, P>, packed: &[u8]) {
        self.unpack_piece(peers, packed);
    }

    fn has_work(&self) -> bool {
        self.others.has_untold() || self.desk.has_work() || self.has_to_let_go()
    }

    fn tick(&mut self, peers: &mut Peers<Session, P>) {
        self.end_terms(peers);
        self.report(peers);
        self.metrics.publish(self.loop_index, peers.stats());
        self.metrics.publish_tallies(self.loop_index, &self.tallies);
        self.others.tell();
        self.others.catch_up();
        self.logs.sweep(peers.unix_ms(), |room| self.rooms.number(room).is_some());
        self.follow_missed(peers);
        self.let_go(peers);
        self.count_users();
        self.share_revocations();
        self.tick_dashboard(peers);
        self.journal.say_left_out();
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT_MAX);
    }
}
