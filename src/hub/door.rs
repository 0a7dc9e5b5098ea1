//! The door: what is asked of a handshake before it becomes a member.
//!
//! Owns the order of the questions (host, origin, limits, token) and what is kept of the answers.
//! All loops share one. Never knows a room.

use std::sync::Arc;
use std::time::Duration;

use super::address::{Client, TrustedProxies};
use super::api::ApiPace;
use super::auth::{ApiKeys, Authenticator, Identity, Refusal};
use super::hosts::Hosts;
use super::limits::{Flow, FlowLimits, Gate, Place, Ruling};
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
    /// Whose tokens are taken.
    pub authenticator: Option<Arc<Authenticator>>,
    /// The keys that open the HTTP API and the dashboard. Without any, only tokens open the API
    /// that have the right, and nothing opens the dashboard.
    pub api_keys: Option<ApiKeys>,
    /// How fast the HTTP API may be used.
    pub api_pace: ApiPace,
}

/// What is kept of somebody of whom something was asked. Its place is free when it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) identity: Option<Identity>,
    /// The trace that the handshake has brought.
    pub(super) trace: Option<Box<Trace>>,
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
        let trace = Trace::of(head).map(Box::new);
        let is_kept =
            identity.is_some() || place.is_some() || self.flow.is_some() || trace.is_some();
        let pass = || Box::new(Pass { identity, trace, flow: Flow::default(), _place: place });
        Ok(is_kept.then(pass))
    }

    /// Whether somebody may send a message of `len` bytes now.
    #[inline]
    pub(super) fn rule(&self, pass: Option<&mut Pass>, now: Duration, len: usize) -> Ruling {
        match (pass, &self.flow) {
            (Some(pass), Some(limits)) => pass.flow.rule(now, len, limits),
            _ => Ruling::Pass,
        }
    }

    /// How a request has come.
    pub(super) fn scheme(&self, request: &Request<'_>) -> Scheme {
        let is_secure = self.client(request).and_then(|client| client.is_secure);
        if is_secure.unwrap_or(false) { Scheme::Https } else { Scheme::Http }
    }

    /// Who sends a request.
    pub(super) fn client(&self, request: &Request<'_>) -> Option<Client> {
        let peer = request.remote_addr()?;
        Some(self.proxies.client(peer.ip(), request.head()))
    }
}
