//! The door: what is asked of a handshake before it becomes a member.
//!
//! Owns the order of the questions (host, origin, limits, token) and what is kept of the answers.
//! All loops share one. Never knows a room.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::address::{Client, TrustedProxies};
use super::api::ApiPace;
use super::auth::{
    ApiKeys, Authenticator, Identity, Limits, Refusal, Sources, Tickets, Token, ticket_of, token_of,
};
use super::command::Fault;
use super::hosts::Hosts;
use super::limits::{Flow, FlowLimits, Gate, Origin, Place, Rate, RoomFlows, Ruling};
use super::origin::{Origins, Provenance, Scheme};
use super::trace::Trace;
use crate::http::Response;
use crate::net::Request;

/// What stands between a handshake and the hub. The default lets everyone in who is no page of
/// another origin.
///
/// ```
/// use throng::hub::Door;
/// use throng::hub::origin::Origins;
///
/// let door = Door { origins: Origins::new(&["https://app.example.com"])?, ..Door::default() };
/// assert!(door.authenticator.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Door {
    /// The names that the server goes by; any, where there is no list.
    pub hosts: Option<Hosts>,
    /// The pages that may connect.
    pub origins: Origins,
    /// Whose word about a client's address counts.
    pub proxies: TrustedProxies,
    /// Who comes in, how many and how fast.
    pub gate: Option<Arc<Gate>>,
    /// How fast a connection may send.
    pub flow: Option<FlowLimits>,
    /// How fast all together may send to a room.
    pub rooms: Option<Arc<RoomFlows>>,
    /// Whose tokens are taken.
    pub authenticator: Option<Arc<Authenticator>>,
    /// Makes tickets, and takes them.
    pub tickets: Option<Arc<Tickets>>,
    /// Whether keys, tokens and tickets are taken that came in the clear over a network. Default:
    /// not.
    pub allows_insecure_credentials: bool,
    /// The keys that open the HTTP API and the dashboard. Without any, only tokens open the API
    /// that have the right, and nothing opens the dashboard.
    pub api_keys: Option<ApiKeys>,
    /// How fast the HTTP API may be used.
    pub api_pace: ApiPace,
}

/// What is kept of somebody of whom something was asked. Its place is free when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) identity: Option<Identity>,
    /// The trace that the handshake has brought.
    pub(super) trace: Option<Box<Trace>>,
    pub(super) standing: Standing,
    flow: Flow,
    place: Option<Place>,
}

/// What a handshake shows.
enum Shown {
    /// Nothing, and nothing is needed.
    Nothing,
    /// Nothing yet.
    Unknown,
    Identity(Identity),
}

/// Whether it is known who somebody is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// As well as it has to be.
    #[default]
    Known,
    /// Its first message has to say so.
    Unknown,
    /// It is let in only to be told why it may not come in.
    Refused(Refusal),
}

impl Pass {
    /// Somebody who was let in by another process.
    pub(super) fn readmitted(
        identity: Option<Identity>,
        trace: Option<Box<Trace>>,
        place: Option<Place>,
    ) -> Self {
        Self { identity, trace, place, ..Self::default() }
    }

    /// Where its connection is counted, if it is.
    pub(super) fn origin(&self) -> Option<Origin> {
        self.place.as_ref().map(Place::origin)
    }
}

impl Door {
    /// Whether this handshake may come in, and what is to be remembered of it; the answer, where it
    /// may not.
    pub(super) fn admit(&self, request: &Request<'_>) -> Result<Option<Box<Pass>>, Response> {
        let head = request.head();
        let client = self.client(request);
        let scheme = scheme_by(request, client);
        if let Some(hosts) = &self.hosts {
            hosts.check(head).map_err(Refusal::response)?;
        }
        let provenance = self.origins.check(head, scheme).map_err(Refusal::response)?;
        // A token costs more to look at than a place: the limits come first.
        let ip = client.map(|client| client.counted_as());
        let enter = |gate: &Arc<Gate>| gate.enter(ip, request.now());
        let place = self.gate.as_ref().map(enter).transpose();
        let mut place = place.map_err(|refusal| refusal.response())?;
        let (identity, standing) = match self.identify(request, provenance) {
            Ok(Shown::Unknown) => (None, Standing::Unknown),
            Ok(Shown::Nothing) => (None, Standing::Known),
            Ok(Shown::Identity(identity)) => (Some(identity), Standing::Known),
            Err(refusal) if self.refuses_after_upgrade() => (None, Standing::Refused(refusal)),
            Err(refusal) => return Err(refusal.response()),
        };
        if let (Some(place), Some(identity)) = (&mut place, &identity) {
            let max = identity.limits.connections;
            place.take_user_of(&identity.sub, max).map_err(|refusal| refusal.response())?;
        }
        let trace = Trace::of(head).map(Box::new);
        let is_plain = identity.is_none() && standing == Standing::Known && trace.is_none();
        let is_kept = !is_plain || place.is_some() || self.flow.is_some();
        let pass = || Box::new(Pass { identity, trace, standing, flow: Flow::default(), place });
        Ok(is_kept.then(pass))
    }

    /// Whose token or ticket a request shows.
    fn identify(&self, request: &Request<'_>, provenance: Provenance) -> Result<Shown, Refusal> {
        let (head, now_ms) = (request.head(), request.unix_ms());
        let takes_any = self.authenticator.is_some() || self.tickets.is_some();
        let shows_none = || matches!(token_of(head, Sources::ALL), Ok(None));
        let ticket = ticket_of(head);
        if takes_any && !(shows_none() && matches!(ticket, Ok(None))) {
            self.check_exposure(request)?;
        }
        if let Some(tickets) = &self.tickets
            && let Some(ticket) = ticket?
        {
            let origin = head.header("origin").and_then(|origin| str::from_utf8(origin).ok());
            let ticket = ticket.as_str();
            // Who only asks whether it may come in uses nothing up.
            let identity = match request.offer() {
                Some(_) => tickets.take(ticket, origin, now_ms)?,
                None => tickets.look(ticket, origin, now_ms)?,
            };
            if let Some(authenticator) = &self.authenticator {
                authenticator.check_revoked(&identity)?;
            }
            return Ok(Shown::Identity(identity));
        }
        let Some(authenticator) = &self.authenticator else { return Ok(Shown::Nothing) };
        match authenticator.authenticate(head, provenance, now_ms / 1000) {
            Ok(Some(identity)) => Ok(Shown::Identity(identity)),
            Ok(None) => Ok(Shown::Nothing),
            // What is yet to come would come the same way.
            Err(Refusal::Missing) if authenticator.takes_first_message() => {
                self.check_exposure(request).map(|()| Shown::Unknown)
            }
            Err(refusal) => Err(refusal),
        }
    }

    fn refuses_after_upgrade(&self) -> bool {
        self.authenticator.as_ref().is_some_and(|it| it.refuses_after_upgrade())
    }

    /// Takes the token of somebody who has shown none in the handshake.
    ///
    /// # Errors
    /// The reason of the Close.
    pub(super) fn authenticate(
        &self,
        pass: &mut Pass,
        token: &Token<'_>,
        now_s: u64,
    ) -> Result<(), &'static str> {
        let authenticator = self.authenticator.as_ref().ok_or(Refusal::Missing.code())?;
        let identity = authenticator.identify(token.as_str(), now_s).map_err(Refusal::code)?;
        if let Some(place) = &mut pass.place {
            let max = identity.limits.connections;
            place.take_user_of(&identity.sub, max).map_err(|_| "rate_limited")?;
        }
        pass.identity = Some(identity);
        pass.standing = Standing::Known;
        Ok(())
    }

    /// Takes a new token in place of the one that somebody came in with. What is wrong with it has
    /// changed nothing.
    ///
    /// # Errors
    /// The fault to answer with.
    pub(super) fn refresh(
        &self,
        pass: Option<&mut Pass>,
        token: &str,
        now_s: u64,
    ) -> Result<(), Fault> {
        let none = Fault::new("unauthorized", "there is no token to be followed by another");
        let identity = pass.and_then(|pass| pass.identity.as_mut()).ok_or(none)?;
        let authenticator = self.authenticator.as_ref().ok_or(none)?;
        *identity = authenticator
            .refresh(identity, token, now_s)
            .map_err(|refusal| Fault::new(refusal.code(), refusal.message()))?;
        Ok(())
    }

    /// This door in the place of another while the server runs: who was counted there is counted
    /// here, and the same tokens are good.
    #[must_use]
    pub fn replacing(self, other: &Self) -> Self {
        let gate = match (self.gate, &other.gate) {
            (Some(gate), Some(other)) => Some(Arc::new(other.with_limits(gate.limits().clone()))),
            (gate, _) => gate,
        };
        let authenticator = other.authenticator.clone();
        let tickets = other.tickets.clone().or(self.tickets);
        Self { gate, authenticator, tickets, ..self }
    }

    /// Whether somebody may send a message of `len` bytes now. Who came when there was no limit is
    /// counted from here on.
    #[inline]
    pub(super) fn rule(&self, pass: &mut Option<Box<Pass>>, now: Duration, len: usize) -> Ruling {
        let identity = pass.as_ref().and_then(|pass| pass.identity.as_ref());
        let own = identity.and_then(|identity| self.flow_of(&identity.limits));
        match own.as_ref().or(self.flow.as_ref()) {
            Some(limits) => pass.get_or_insert_default().flow.rule(now, len, limits),
            None => Ruling::Pass,
        }
    }

    /// How fast the bearer of a token may send, where the token says: in place of what holds for
    /// others.
    fn flow_of(&self, limits: &Limits) -> Option<FlowLimits> {
        limits.messages.or(limits.bytes)?;
        let others = FlowLimits { messages: None, bytes: None, ..FlowLimits::default() };
        let others = self.flow.clone().unwrap_or(others);
        let rate = |units: u32| Rate::per_second(units, units.saturating_mul(2));
        Some(FlowLimits {
            messages: limits.messages.map(rate).or(others.messages),
            bytes: limits.bytes.map(rate).or(others.bytes),
            ..others
        })
    }

    /// Whether a message of `len` bytes may go to a room now.
    pub(super) fn rule_room(&self, room: &str, now: Duration, len: usize) -> Result<(), Fault> {
        let Some(rooms) = &self.rooms else { return Ok(()) };
        let content = "more is sent to this room than is allowed";
        rooms.take(room, now, len).map_err(|wait_ms| Fault::rate_limited(content, wait_ms))
    }

    /// A message has come to a room at another node.
    pub(super) fn count_in_room(&self, room: &str, now: Duration, len: usize) {
        if let Some(rooms) = &self.rooms {
            rooms.count(room, now, len);
        }
    }

    /// How a request has come.
    pub(super) fn scheme(&self, request: &Request<'_>) -> Scheme {
        scheme_by(request, self.client(request))
    }

    /// Who sends a request; nobody where the connection is gone.
    pub(super) fn client(&self, request: &Request<'_>) -> Option<Client> {
        let peer = request.remote_addr().map(|addr| addr.ip());
        let is_known = peer.is_some() || request.is_unix();
        is_known.then(|| self.proxies.client(peer, request.head()))
    }

    /// The address of who sends a request, where that is not the other end of the connection.
    pub(super) fn proxied(&self, request: &Request<'_>) -> Option<IpAddr> {
        if self.proxies.is_empty() {
            return None; // who it is need not be asked
        }
        let peer = request.remote_addr().map(|addr| addr.ip().to_canonical());
        self.client(request)?.ip.filter(|ip| Some(*ip) != peer)
    }

    /// Whose token a request has brought, if it is good: for the log.
    pub(super) fn user(&self, request: &Request<'_>) -> Option<Arc<str>> {
        let head = request.head();
        let provenance = self.origins.check(head, self.scheme(request));
        let authenticator = self.authenticator.as_ref()?;
        authenticator.user(head, provenance.ok(), request.unix_ms() / 1000)
    }
}

/// By TLS or without: as a proxy that is trusted says, else as it came here.
fn scheme_by(request: &Request<'_>, client: Option<Client>) -> Scheme {
    let is_secure = client.and_then(|client| client.is_secure);
    if is_secure.unwrap_or(request.is_secure()) { Scheme::Https } else { Scheme::Http }
}
