//! Who somebody is.
//!
//! Owns the way from a token to an identity: which issuer, which key, which claims. Shared by all
//! loops; nothing in it waits for a disk or a network, but for [`reload`](Authenticator::reload).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::keys::{self, Ring};
use super::revocation::Revocations;
use super::token::{Unverified, choose_provider};
use super::{
    AuthError, Claims, Identity, Issuer, Refusal, Reload, Revocation, RevocationsFull, Revoked,
    Source, Sources, token_of,
};
use crate::http;
use crate::hub::origin::Provenance;

/// Which tokens are taken, and how.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// Whose tokens.
    pub issuers: Vec<Issuer>,
    /// Who the server is: one of these has to stand in `aud`. Where there are none, a token with
    /// `aud` is for somebody else (RFC 7519 section 4.1.3).
    pub audience: Vec<String>,
    /// Whether nobody comes in without a token.
    pub requires_token: bool,
    /// Whether who has no token in the handshake may send it in the first message: see
    /// [`first_message`](super::first_message).
    pub takes_first_message: bool,
    /// Whether a token is refused by Close 1008 after the upgrade, so that a page can read why,
    /// and not by 401 before it.
    pub refuses_after_upgrade: bool,
    /// Whether a token has to have an `exp`.
    pub requires_expiry: bool,
    /// By how much `nbf` and `iat` may be ahead of this clock, in seconds: a fresh token must not
    /// fail because two clocks differ.
    pub leeway_s: u64,
    /// For how long a token is good after its `exp`, in seconds.
    pub expiry_leeway_s: u64,
    /// Where a handshake may have its token.
    pub sources: Sources,
}

impl AuthConfig {
    /// Tokens of these issuers, from everywhere, with an `exp`; who has none comes in without.
    pub fn new(issuers: Vec<Issuer>) -> Self {
        Self {
            issuers,
            audience: Vec::new(),
            requires_token: false,
            takes_first_message: false,
            refuses_after_upgrade: false,
            requires_expiry: true,
            leeway_s: 5,
            expiry_leeway_s: 0,
            sources: Sources::ALL,
        }
    }
}

/// Verifies tokens. One serves all loops.
pub struct Authenticator {
    config: AuthConfig,
    rings: Vec<Ring>,
    revocations: Mutex<Revocations>,
}

impl Authenticator {
    /// Reads the keys.
    ///
    /// # Errors
    ///
    /// There are none where none is asked for, or one cannot be used: a short secret, a broken
    /// file. Without keys and with `requires_token` every token is refused: who comes in has a
    /// ticket.
    pub fn new(config: AuthConfig) -> Result<Self, AuthError> {
        choose_provider();
        if config.issuers.is_empty() && !config.requires_token {
            return Err(AuthError::NoKeys);
        }
        for (index, issuer) in config.issuers.iter().enumerate() {
            if let Some(name) = &issuer.name
                && config.issuers[..index].iter().any(|other| other.name.as_ref() == Some(name))
            {
                return Err(AuthError::IssuerRepeated(name.clone()));
            }
        }
        let rings = config.issuers.iter().cloned().map(Ring::new).collect::<Result<_, _>>()?;
        Ok(Self { config, rings, revocations: Mutex::default() })
    }

    /// Whether nobody comes in without a token.
    pub fn requires_token(&self) -> bool {
        self.config.requires_token
    }

    /// Whether the token may be the first message.
    pub const fn takes_first_message(&self) -> bool {
        self.config.takes_first_message
    }

    /// Whether a token is refused after the upgrade.
    pub const fn refuses_after_upgrade(&self) -> bool {
        self.config.refuses_after_upgrade
    }

    /// Who sends this request; `None` is somebody without a token, where none is needed. A token
    /// that is there and wrong is refused all the same.
    ///
    /// # Errors
    ///
    /// The token is not taken, or is missing and needed.
    pub fn authenticate(
        &self,
        head: &http::Request<'_>,
        provenance: Provenance,
        now_unix_s: u64,
    ) -> Result<Option<Identity>, Refusal> {
        let Some((source, token)) = token_of(head, self.config.sources)? else {
            return if self.config.requires_token { Err(Refusal::Missing) } else { Ok(None) };
        };
        // Browsers add cookies by themselves, whatever page asks (web rules 2 and 5).
        if source == Source::Cookie && !provenance.is_known_page() {
            return Err(Refusal::CookieWithoutOrigin);
        }
        self.identify(token.as_str(), now_unix_s).map(Some)
    }

    /// Whose token a request has brought, if it is good. Nothing is used up by it, and nobody is
    /// let in.
    pub fn user(
        &self,
        head: &http::Request<'_>,
        provenance: Option<Provenance>,
        now_unix_s: u64,
    ) -> Option<Arc<str>> {
        let (source, token) = token_of(head, self.config.sources).ok()??;
        let is_page = provenance.is_some_and(Provenance::is_known_page);
        if source == Source::Cookie && !is_page {
            return None;
        }
        self.identify(token.as_str(), now_unix_s).ok().map(|identity| identity.sub)
    }

    /// Whose token this is.
    ///
    /// # Errors
    ///
    /// It is not taken.
    pub fn identify(&self, token: &str, now_unix_s: u64) -> Result<Identity, Refusal> {
        let token = Unverified::parse(token)?;
        let claims = self.verify(token)?;
        let identity = self.check(claims, now_unix_s)?;
        self.check_revoked(&identity)?;
        Ok(identity)
    }

    /// Whether somebody may come in who was known before, by a ticket that was made of a token.
    ///
    /// # Errors
    ///
    /// [`Refusal::Revoked`].
    pub fn check_revoked(&self, identity: &Identity) -> Result<(), Refusal> {
        if self.list().has(identity) { Err(Refusal::Revoked) } else { Ok(()) }
    }

    /// What becomes of somebody who is connected and sends a new token: the same user by the same
    /// issuer, with the new time and the new rights.
    ///
    /// # Errors
    ///
    /// The token is not taken, or is another user's; the old one goes on as it was.
    pub fn refresh(
        &self,
        identity: &Identity,
        token: &str,
        now_unix_s: u64,
    ) -> Result<Identity, Refusal> {
        let new = self.identify(token, now_unix_s)?;
        let is_same = new.sub == identity.sub && new.issuer == identity.issuer;
        if is_same { Ok(new) } else { Err(Refusal::OtherUser) }
    }

    /// Takes no such token from now on. Who is connected with one is for the caller to
    /// [find](Revocation::hits).
    ///
    /// # Errors
    ///
    /// The list is full.
    pub fn revoke(&self, revocation: Revocation, now_unix_s: u64) -> Result<(), RevocationsFull> {
        self.list().add(revocation, now_unix_s)
    }

    /// Takes such tokens again: whether they were revoked.
    pub fn unrevoke(&self, name: Revoked<'_>) -> bool {
        self.list().remove(name)
    }

    /// At most `max` of the revocations that still count, in no order, and how many there are.
    pub fn revocations(&self, max: usize, now_unix_s: u64) -> (Vec<Revocation>, usize) {
        let mut list = self.list();
        list.purge(now_unix_s);
        (list.iter().take(max).collect(), list.len())
    }

    /// The entry of this name, if it still counts.
    pub fn revocation(&self, name: Revoked<'_>, now_unix_s: u64) -> Option<Revocation> {
        let mut list = self.list();
        list.purge(now_unix_s);
        list.find(name)
    }

    /// How many revocations still count.
    pub fn revocation_count(&self, now_unix_s: u64) -> usize {
        self.revocations(0, now_unix_s).1
    }

    /// Reads the key files that have changed: reads files, so not for a loop. See
    /// [`watch`](super::watch).
    pub fn reload(&self) -> Vec<Reload> {
        self.rings.iter().filter_map(Ring::reload).collect()
    }

    /// The claims, if the signature is by a key of the issuer that they name. Of a token that is
    /// not verified yet, nothing counts but which of the configured keys it asks for.
    fn verify(&self, token: Unverified<'_>) -> Result<Claims, Refusal> {
        let algorithm = token.algorithm()?;
        let issuer = token.issuer()?;
        // Tokens of an issuer who has keys of its own are held against no others.
        let name = issuer
            .filter(|name| self.rings.iter().any(|ring| ring.issuer.name.as_ref() == Some(name)));
        let mut refusal = Refusal::Issuer;
        for ring in self.rings.iter().filter(|ring| ring.issuer.name == name) {
            if !ring.issuer.algorithms.contains(&algorithm) {
                if refusal == Refusal::Issuer {
                    refusal = Refusal::Algorithm;
                }
                continue;
            }
            if let Some(key) = keys::find(&ring.keys(), algorithm, token.kid()) {
                return token.verify(key);
            }
            refusal = Refusal::UnknownKey;
        }
        Err(refusal)
    }

    /// Whether the claims hold, here and now (RFC 7519 section 4.1).
    fn check(&self, claims: Claims, now_unix_s: u64) -> Result<Identity, Refusal> {
        let config = &self.config;
        let starts_s = claims.nbf.max(claims.iat);
        let expires_at_s = claims.exp.map(|exp| exp.saturating_add(config.expiry_leeway_s));
        let is_for_us = match &*claims.aud {
            [] => config.audience.is_empty(),
            names => names.iter().any(|name| config.audience.contains(name)),
        };
        if expires_at_s.is_some_and(|end_s| end_s <= now_unix_s) {
            Err(Refusal::Expired)
        } else if starts_s.is_some_and(|time_s| time_s > now_unix_s.saturating_add(config.leeway_s))
        {
            Err(Refusal::NotYetValid)
        } else if !is_for_us {
            Err(Refusal::Audience)
        } else if config.requires_expiry && expires_at_s.is_none() {
            Err(Refusal::Claims)
        } else {
            Ok(Identity::new(claims, expires_at_s))
        }
    }

    fn list(&self) -> MutexGuard<'_, Revocations> {
        // Held for a look-up: no loop waits long for another.
        self.revocations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("config", &self.config).finish_non_exhaustive()
    }
}
