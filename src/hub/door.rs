//! The door: what is asked of a handshake before it becomes a member.
//!
//! Owns the order of the questions (host, origin, limits, token) and what is kept of the answers.
//! All loops share one. Never knows a room.

use std::sync::Arc;
use std::time::Duration;

use super::address::{Client, TrustedProxies};
use super::auth::{Authenticator, Identity, Refusal};
use super::command::Fault;
use super::hosts::Hosts;
use super::limits::{Flow, FlowLimits, Gate, Place, RoomFlows, Ruling};
use super::origin::{Origins, Scheme};
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
}

/// What is kept of somebody of whom something was asked. Its place is free when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) identity: Option<Identity>,
    flow: Flow,
    _place: Option<Place>,
}

impl Door {
    /// Whether this handshake may come in, and what is to be remembered of it; the answer, where it
    /// may not.
    pub(super) fn admit(&self, request: &Request<'_>) -> Result<Option<Box<Pass>>, Response> {
        let head = request.head();
        let client = self.client(request);
        let is_secure = client.and_then(|client| client.is_secure).unwrap_or(false);
        let scheme = if is_secure { Scheme::Https } else { Scheme::Http };
        if let Some(hosts) = &self.hosts {
            hosts.check(head).map_err(Refusal::response)?;
        }
        let provenance = self.origins.check(head, scheme).map_err(Refusal::response)?;
        // A token costs more to look at than a place: the limits come first.
        let enter = |gate: &Arc<Gate>| gate.enter(client.map(|client| client.ip), request.now());
        let place = self.gate.as_ref().map(enter).transpose();
        let mut place = place.map_err(|refusal| refusal.response())?;
        let mut identity = None;
        if let Some(authenticator) = &self.authenticator {
            let now_s = request.unix_ms() / 1000;
            let found = authenticator.authenticate(head, provenance, now_s);
            identity = found.map_err(Refusal::response)?;
        }
        if let (Some(place), Some(identity)) = (&mut place, &identity) {
            place.take_user(&identity.sub).map_err(|refusal| refusal.response())?;
        }
        let is_kept = identity.is_some() || place.is_some() || self.flow.is_some();
        let pass = || Box::new(Pass { identity, flow: Flow::default(), _place: place });
        Ok(is_kept.then(pass))
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
        match &self.flow {
            Some(limits) => pass.get_or_insert_default().flow.rule(now, len, limits),
            None => Ruling::Pass,
        }
    }

    /// Whether a message of `len` bytes may go to a room now.
    pub(super) fn rule_room(&self, room: &str, now: Duration, len: usize) -> Result<(), Fault> {
        let Some(rooms) = &self.rooms else { return Ok(()) };
        let content = "more is sent to this room than is allowed";
        rooms.take(room, now, len).map_err(|wait_ms| Fault::rate_limited(content, wait_ms))
    }

    fn client(&self, request: &Request<'_>) -> Option<Client> {
        let peer = request.remote_addr()?;
        Some(self.proxies.client(peer.ip(), request.head()))
    }
}
