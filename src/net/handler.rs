//! What a program on the loop is: one handler, called for all its connections.
//!
//! Owns the trait and what passes through it. Never holds a connection: handlers have ids.

use std::net::SocketAddr;
use std::time::Duration;

use crate::handshake::{Acceptance, HandshakeError, Offer};
use crate::http::{self, HttpError, Response};
use crate::proto::{Chunk, Close, Message, ProtocolError};

use super::{Clock, ConnectionId, DialError, Os, Particulars, Peers, Platform, Stream};

/// A program on the loop. Everything but [`message`](Self::message) has a default: see the echo
/// server at the head of this crate.
///
/// Nothing here may block: all connections of the loop wait for it.
pub trait Handler<P: Platform = Os>: Sized {
    /// What the program keeps for each connection, inline in the table of peers.
    type Session: Default;
    /// What other threads may post to the loop.
    type Mail: Send + 'static;

    /// Answers an HTTP request, or takes a WebSocket handshake. The default accepts every
    /// handshake, on every path, and answers anything else with 426.
    fn request(&mut self, request: &Request<'_>) -> Verdict<Self::Session> {
        match request.offer() {
            Some(_) => Verdict::accept(Self::Session::default()),
            None => Verdict::Respond(HandshakeError::Upgrade.response()),
        }
    }

    /// The head of a request is there, and its body of `len` bytes is not: whether it is to be
    /// held until it is. It is no longer than [`Config::body_bytes_max`](super::Config). The
    /// default holds it.
    fn waits_for(&mut self, request: &Request<'_>, len: usize) -> bool {
        let _ = (request, len);
        true
    }

    /// A request's body is not taken: the answer, after which the connection ends. The default
    /// says the fault as text.
    fn unread(&mut self, head: &http::Request<'_>, error: HttpError) -> Response {
        let _ = head;
        error.response()
    }

    /// What is known of a connection, for its lines in the log. Asked only where a line is written.
    /// The default knows nothing.
    fn particulars(&self, session: &Self::Session, id: ConnectionId) -> Particulars {
        let _ = (session, id);
        Particulars::default()
    }

    /// What is known of who sent a request that is refused, for the line in the log, which is one
    /// of ten a second at most. The default knows nothing.
    fn particulars_of_request(&self, request: &Request<'_>) -> Particulars {
        let _ = request;
        Particulars::default()
    }

    /// A connection is open.
    fn open(&mut self, peers: &mut Peers<Self::Session, P>, id: ConnectionId) {
        let _ = (peers, id);
    }

    /// A connection that was [dialled](Peers::connect) was not opened.
    fn refused(
        &mut self,
        peers: &mut Peers<Self::Session, P>,
        session: Self::Session,
        error: DialError,
    ) {
        let _ = (peers, session, error);
    }

    /// A message has come, whole.
    fn message(
        &mut self,
        peers: &mut Peers<Self::Session, P>,
        from: ConnectionId,
        message: Message<'_>,
    );

    /// A piece of a message has come: with [`Delivery::Chunks`](crate::proto::Delivery::Chunks),
    /// in place of [`message`](Self::message).
    fn chunk(&mut self, peers: &mut Peers<Self::Session, P>, from: ConnectionId, chunk: Chunk<'_>) {
        let _ = (peers, from, chunk);
    }

    /// A pong has come, asked for or not (RFC 6455 section 5.5.3).
    fn pong(&mut self, peers: &mut Peers<Self::Session, P>, from: ConnectionId, payload: &[u8]) {
        let _ = (peers, from, payload);
    }

    /// A peer that was too slow has caught up. [`Peers::take_dropped`] says what it has missed.
    fn drain(&mut self, peers: &mut Peers<Self::Session, P>, id: ConnectionId) {
        let _ = (peers, id);
    }

    /// A connection has ended: exactly once for each [`open`](Self::open). Nothing can be sent on
    /// it any more.
    fn close(
        &mut self,
        peers: &mut Peers<Self::Session, P>,
        id: ConnectionId,
        session: Self::Session,
        reason: CloseReason<'_>,
    ) {
        let _ = (peers, id, session, reason);
    }

    /// Whether the handler has something left to do at its next tick, although nobody may be
    /// connected by then.
    fn has_work(&self) -> bool {
        false
    }

    /// Another thread has posted something.
    fn mail(&mut self, peers: &mut Peers<Self::Session, P>, mail: Self::Mail) {
        let _ = (peers, mail);
    }

    /// The time that was asked for has come: see [`Peers::wake_at`].
    fn wake(&mut self, peers: &mut Peers<Self::Session, P>) {
        let _ = peers;
    }

    /// The loop stops, and this connection will be asked to leave in so long, with Close 1001. Once
    /// for each that is open.
    fn stopping(
        &mut self,
        peers: &mut Peers<Self::Session, P>,
        id: ConnectionId,
        leaves_in: Duration,
    ) {
        let _ = (peers, id, leaves_in);
    }

    /// Whether nothing is on its way that a connection waits for: asked before connections
    /// [move](Self::pack) to another process.
    fn is_settled(&self) -> bool {
        true
    }

    /// What is known of an open connection that is to move to another process; `None` where it has
    /// to stay, and is asked to leave then. The default has all stay.
    fn pack(&mut self, peers: &Peers<Self::Session, P>, id: ConnectionId) -> Option<Vec<u8>> {
        let _ = (peers, id);
        None
    }

    /// What else the other process has to know, in pieces: each of its loops gets all of them.
    fn pack_state(&mut self, peers: &Peers<Self::Session, P>) -> Vec<Vec<u8>> {
        let _ = peers;
        Vec::new()
    }

    /// Connections have moved: of those there is no [`close`](Self::close). Who has stayed is asked
    /// to leave, and what it says reaches nobody any more.
    fn has_moved(&mut self, peers: &mut Peers<Self::Session, P>) {
        let _ = peers;
    }

    /// The session of a connection that another process has [packed](Self::pack), in place of
    /// [`open`](Self::open); `None` where that is not possible: the connection is closed.
    fn unpack(
        &mut self,
        peers: &mut Peers<Self::Session, P>,
        id: ConnectionId,
        packed: &[u8],
    ) -> Option<Self::Session> {
        let _ = (peers, id, packed);
        None
    }

    /// A piece of what another process knows. It comes before all connections.
    fn unpack_state(&mut self, peers: &mut Peers<Self::Session, P>, packed: &[u8]) {
        let _ = (peers, packed);
    }

    /// About once a second, while there are connections, or [work](Self::has_work).
    fn tick(&mut self, peers: &mut Peers<Self::Session, P>) {
        let _ = peers;
    }
}

/// A whole request: its head, its body, and what it offers where it is a handshake.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub(super) id: ConnectionId,
    pub(super) head: http::Request<'a>,
    pub(super) offer: Option<Offer<'a>>,
    pub(super) body: &'a [u8],
    pub(super) stream: &'a dyn Stream,
    pub(super) proxied: Option<SocketAddr>,
    pub(super) clock: &'a dyn Clock,
    pub(super) is_stopping: bool,
}

impl<'a> Request<'a> {
    /// The connection that it came on, to [decide](Peers::decide) about later.
    pub const fn id(&self) -> ConnectionId {
        self.id
    }

    /// Method, target and header fields.
    pub const fn head(&self) -> &http::Request<'a> {
        &self.head
    }

    /// What the client offers, where this is a WebSocket handshake.
    pub const fn offer(&self) -> Option<&Offer<'a>> {
        self.offer.as_ref()
    }

    /// The body; a handshake has none.
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The address of who sent it: as the PROXY header says, where there is one, else as TCP does,
    /// which costs a system call. Who comes by a Unix socket has none.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.proxied.or_else(|| self.stream.remote_addr())
    }

    /// Whether it has come by a Unix socket, and so from this machine. Costs a system call.
    pub fn is_unix(&self) -> bool {
        self.stream.is_unix()
    }

    /// Whether it has come by TLS, here and not at a proxy.
    pub fn is_secure(&self) -> bool {
        self.stream.is_secure()
    }

    /// The certificate that the client has shown, in DER. It was verified: it comes from an
    /// authority that the server was told to trust.
    pub fn client_certificate(&self) -> Option<&'a [u8]> {
        self.stream.peer_certificate()
    }

    /// The time since the loop began, as [`Peers::now`].
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Milliseconds since 1970.
    pub fn unix_ms(&self) -> u64 {
        self.clock.unix_ms()
    }

    /// Whether the server is being stopped. It takes no handshake then, whatever the verdict.
    pub const fn is_stopping(&self) -> bool {
        self.is_stopping
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Verdict<S> {
    /// The handshake is taken (RFC 6455 section 4.2.2), and this is the session.
    Accept(Acceptance, S),
    /// Any other answer.
    Respond(Response),
    /// Another thread is asked; [`Peers::decide`] follows. Until then the connection waits, at
    /// most as long as a handshake may take.
    Pending,
}

impl<S> Verdict<S> {
    /// Takes the handshake without a subprotocol or further header fields.
    pub fn accept(session: S) -> Self {
        Self::Accept(Acceptance::new(), session)
    }
}

/// Why a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason<'a> {
    /// The peer's Close came, first or in answer to ours.
    Peer(Close<'a>),
    /// The peer broke the protocol.
    Protocol(ProtocolError),
    /// The transport ended without a Close: 1006, as the API calls it.
    Lost,
    /// The peer took too long.
    Timeout(Timeout),
    /// The peer read too slowly, and the policy is to close.
    Backlogged,
    /// The loop held too much of its peers together, and most of this one: see
    /// [`Config::backlogs_bytes_max`](super::Config::backlogs_bytes_max) and
    /// [`Config::partial_bytes_max`](super::Config::partial_bytes_max).
    Overloaded,
}

/// What a peer took too long for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Any sign of life after a ping.
    Pong,
    /// Reading what it is owed.
    Write,
    /// Its part of the close handshake.
    Close,
}
