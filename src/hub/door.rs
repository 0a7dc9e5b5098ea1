//! The door: what is asked of a handshake before it becomes a member.
//!
//! Owns the order of the questions (host, origin, limits, token) and what is kept of the answers.
//! All loops share one. Never knows a room.

use std::sync::Arc;
use std::time::Duration;

use super::address::{Client, TrustedProxies};
use super::auth::{Authenticator, Identity, Limits, Refusal};
use super::hosts::Hosts;
use super::limits::{Flow, FlowLimits, Gate, Place, Rate, Ruling};
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
    /// Whose tokens are taken.
    pub authenticator: Option<Arc<Authenticator>>,
}

/// What is kept of somebody of whom something was asked. Its place is free when it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) identity: Option<Identity>,
    flow: Flow,
    /// How fast it may send, where its token says.
    own_flow: Option<Box<FlowLimits>>,
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
        let own_flow = identity.as_ref().and_then(|identity| self.flow_of(&identity.limits));
        let pass = || Box::new(Pass { identity, flow: Flow::default(), own_flow, _place: place });
        Ok(is_kept.then(pass))
    }

    /// Whether somebody may send a message of `len` bytes now.
    #[inline]
    pub(super) fn rule(&self, pass: Option<&mut Pass>, now: Duration, len: usize) -> Ruling {
        let Some(pass) = pass else { return Ruling::Pass };
        match pass.own_flow.as_deref().or(self.flow.as_ref()) {
            Some(limits) => pass.flow.rule(now, len, limits),
            None => Ruling::Pass,
        }
    }

    /// How fast the bearer of a token may send, where the token says: in place of what holds for
    /// others.
    fn flow_of(&self, limits: &Limits) -> Option<Box<FlowLimits>> {
        limits.messages.or(limits.bytes)?;
        let others = FlowLimits { messages: None, bytes: None, ..FlowLimits::default() };
        let others = self.flow.clone().unwrap_or(others);
        let rate = |units: u32| Rate::per_second(units, units.saturating_mul(2));
        Some(Box::new(FlowLimits {
            messages: limits.messages.map(rate).or(others.messages),
            bytes: limits.bytes.map(rate).or(others.bytes),
            ..others
        }))
    }

    fn client(&self, request: &Request<'_>) -> Option<Client> {
        let peer = request.remote_addr()?;
        Some(self.proxies.client(peer.ip(), request.head()))
    }
}
