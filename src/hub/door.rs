//! The door: what is asked of a handshake before it becomes a member.
//!
//! Owns the order of the questions (host, origin, limits, token) and what is kept of the answers.
//! All loops share one. Never knows a room.

use std::sync::Arc;
use std::time::Duration;

use super::address::{Client, TrustedProxies};
use super::api::ApiPace;
use super::auth::{ApiKeys, Authenticator, Identity, Limits, Refusal, Token};
use super::command::Fault;
use super::hosts::Hosts;
use super::limits::{Flow, FlowLimits, Gate, Place, Rate, RoomFlows, Ruling};
use super::origin::{Origins, Scheme};
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
        let enter = |gate: &Arc<Gate>| gate.enter(client.map(|client| client.ip), request.now());
        let place = self.gate.as_ref().map(enter).transpose();
        let mut place = place.map_err(|refusal| refusal.response())?;
        let (mut identity, mut standing) = (None, Standing::Known);
        if let Some(authenticator) = &self.authenticator {
            let now_s = request.unix_ms() / 1000;
            match authenticator.authenticate(head, provenance, now_s) {
                Ok(found) => identity = found,
                Err(Refusal::Missing) if authenticator.takes_first_message() => {
                    standing = Standing::Unknown;
                }
                Err(refusal) if authenticator.refuses_after_upgrade() => {
                    standing = Standing::Refused(refusal);
                }
                Err(refusal) => return Err(refusal.response()),
            }
        }
        if let (Some(place), Some(identity)) = (&mut place, &identity) {
            place.take_user(&identity.sub).map_err(|refusal| refusal.response())?;
        }
        let trace = Trace::of(head).map(Box::new);
        let is_plain = identity.is_none() && standing == Standing::Known && trace.is_none();
        let is_kept = !is_plain || place.is_some() || self.flow.is_some();
        let pass = || Box::new(Pass { identity, trace, standing, flow: Flow::default(), place });
        Ok(is_kept.then(pass))
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
            place.take_user(&identity.sub).map_err(|_| "rate_limited")?;
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
        Self { gate, authenticator: other.authenticator.clone(), ..self }
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

    /// How a request has come.
    pub(super) fn scheme(&self, request: &Request<'_>) -> Scheme {
        scheme_by(request, self.client(request))
    }

    /// Who sends a request.
    pub(super) fn client(&self, request: &Request<'_>) -> Option<Client> {
        let peer = request.remote_addr()?;
        Some(self.proxies.client(peer.ip(), request.head()))
    }
}

/// By TLS or without: as a proxy that is trusted says, else as it came here.
fn scheme_by(request: &Request<'_>, client: Option<Client>) -> Scheme {
    let is_secure = client.and_then(|client| client.is_secure);
    if is_secure.unwrap_or(request.is_secure()) { Scheme::Https } else { Scheme::Http }
}
