//! What the hub says in the log of its members.
//!
//! Owns the lines of who is refused something, or closed, and that a crowd does not fill the log.
//! Each names user, address, origin and trace, as the engine's lines do. Never a message, a token
//! or a room.

use std::net::IpAddr;

use tracing::field::{DisplayValue, display};

use super::api;
use super::caller::origin_of;
use super::command::Fault;
use super::handler::{Hub, Kind, Session};
use super::trace::Trace;
use crate::frame::CloseCode;
use crate::http::Response;
use crate::net::{ConnectionId, Particulars, Peers, Platform, Request, Sampling};

/// How somebody has shown who it is.
const BY_TOKEN: &str = "token";
const BY_CERTIFICATE: &str = "certificate";
const BY_NOTHING: &str = "none";

/// The faults that are more than a slip: a limit that was met, or a right that is missing.
const NOTED: [&str; 4] = ["rate_limited", "too_many_rooms", "overloaded", "forbidden"];

/// The lines that come in crowds.
#[derive(Debug, Default)]
pub(super) struct Journal {
    commands: Sampling,
    closes: Sampling,
    requests: Sampling,
}

impl Journal {
    /// Says how many lines were left out.
    pub(super) fn say_left_out(&mut self) {
        self.commands.say_left_out("commands refused");
        self.closes.say_left_out("closed by the server");
        self.requests.say_left_out("requests refused");
    }
}

impl Hub {
    /// A command was answered with an error: whether that was a slip or more.
    pub(super) fn note_fault<P: Platform>(
        &mut self,
        peers: &Peers<Session, P>,
        id: ConnectionId,
        fault: Fault,
    ) {
        if NOTED.contains(&fault.code) {
            self.note_refusal(peers, id, fault);
        }
    }

    /// A command was refused for who it came from.
    pub(super) fn note_refusal<P: Platform>(
        &mut self,
        peers: &Peers<Session, P>,
        id: ConnectionId,
        fault: Fault,
    ) {
        if !self.journal.commands.admits(peers.now()) {
            return;
        }
        let (code, reason) = (fault.code, fault.content);
        let (of, client) = self.known(peers, id);
        let Particulars { user, origin, trace, .. } = of;
        tracing::info!(%id, code, reason, client, user, origin, trace, "a command is refused");
    }

    /// Closes a connection, and says so.
    pub(super) fn dismiss<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        id: ConnectionId,
        code: CloseCode,
        reason: &'static str,
    ) -> bool {
        // One that is closing already, or gone, cannot be told.
        let is_closed = peers.close(id, code, reason).is_ok();
        if is_closed && self.journal.closes.admits(peers.now()) {
            let code = code.get();
            let (of, client) = self.known(peers, id);
            let Particulars { user, origin, trace, .. } = of;
            tracing::info!(%id, code, reason, client, user, origin, trace, "closed by the server");
        }
        is_closed
    }

    /// A request to the API, or for the dashboard, is refused for who has sent it, or how often.
    pub(super) fn note_request(&mut self, request: &Request<'_>, response: &Response) {
        let status = response.status();
        if !matches!(status, 401 | 403 | 429) || !self.journal.requests.admits(request.now()) {
            return;
        }
        let (path, reason) = (request.head().path(), response.cause());
        let of = self.about_request(request).from_remote(request.remote_addr());
        let client = of.client.map(display);
        let what = if api::owns(path) { "API" } else { "dashboard" };
        let Particulars { user, origin, trace, .. } = of;
        tracing::info!(status, reason, client, user, origin, trace, "refused by the {what}");
    }

    /// A token has let somebody in, or on.
    pub(super) fn note_token<P: Platform>(
        &self,
        peers: &Peers<Session, P>,
        id: ConnectionId,
        words: &'static str,
    ) {
        if tracing::enabled!(tracing::Level::DEBUG) {
            let (of, client) = self.known(peers, id);
            let Particulars { user, origin, trace, .. } = of;
            tracing::debug!(%id, client, user, origin, trace, "{words}");
        }
    }

    /// What is known of a connection now, and its address.
    pub(super) fn known<P: Platform>(
        &self,
        peers: &Peers<Session, P>,
        id: ConnectionId,
    ) -> (Particulars, Option<DisplayValue<IpAddr>>) {
        let of = peers.session(id).map(|session| self.about(session, id)).unwrap_or_default();
        let of = of.from_remote(peers.remote_addr(id));
        let client = of.client.map(display);
        (of, client)
    }

    /// What is known of a connection beside its address.
    pub(super) fn about(&self, session: &Session, id: ConnectionId) -> Particulars {
        let pass = self.pass_of(session);
        let identity = pass.and_then(|pass| pass.identity.as_ref());
        let user = identity.map(|identity| (*identity.sub).to_owned());
        let auth = identity.map(|_| BY_TOKEN);
        let (user, auth) = match &session.0 {
            Kind::Newcomer(newcomer) => {
                let other = if newcomer.is_certified { BY_CERTIFICATE } else { BY_NOTHING };
                (user.or(newcomer.name.as_deref().map(str::to_owned)), auth.or(Some(other)))
            }
            Kind::Member(number) => {
                let name = self.rooms.members.find(*number).map(|member| (*member.name).to_owned());
                (name.or(user), auth)
            }
            Kind::Echo(_) | Kind::Viewer { .. } => (user, auth),
        };
        let caller = self.callers.find(id);
        let origin = caller.and_then(|caller| caller.origin.as_deref()).map(str::to_owned);
        let sent = pass.and_then(|pass| pass.trace.as_deref());
        let trace = Some(self.traces.of_connection(id, sent).to_string());
        Particulars { user, auth, client: caller.and_then(|caller| caller.ip), origin, trace }
    }

    /// What is known of who sends a handshake that is refused. Its token is looked at here, where
    /// that costs ten looks a second at most, so that the line names a user also where a limit came
    /// first.
    pub(super) fn about_request(&self, request: &Request<'_>) -> Particulars {
        let head = request.head();
        let trace = self.traces.of_connection(request.id(), Trace::of(head).as_ref());
        Particulars {
            user: self.door.user(request).map(|sub| (*sub).to_owned()),
            auth: None,
            client: self.door.proxied(request),
            origin: origin_of(head).map(str::to_owned),
            trace: Some(trace.to_string()),
        }
    }
}
