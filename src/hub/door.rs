//! The door: what is asked of a handshake before it becomes a member.
//!
//! Owns the order of the questions (host, origin, limits, token) and what is kept of the answers.
//! All loops share one. Never knows a room.

use std::sync::Arc;
use std::time::Duration;

use super::address::{Client, TrustedProxies};
use super::api::ApiPace;
use super::auth::{ApiKeys, Authenticator, Identity, Refusal, Token};
use super::command::Fault;
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
    /// The keys that open the HTTP API; without any, only tokens do that have the right.
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
        let is_secure = client.and_then(|client| client.is_secure).unwrap_or(request.is_secure());
        let scheme = if is_secure { Scheme::Https } else { Scheme::Http };
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
