//! Somebody whose token was verified.
//!
//! Owns what of the claims is kept while the connection lives.

use std::sync::Arc;

use super::claims::{Claims, Limits, Priority};
use super::grants::Grants;

/// Who a connection is, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub sub: Arc<str>,
    /// Who made the token.
    pub issuer: Option<Box<str>>,
    /// The token's own name.
    pub token_id: Option<Box<str>>,
    /// When the token was made, in seconds since 1970.
    pub issued_at_s: Option<u64>,
    /// When the connection has to end, in seconds since 1970.
    pub expires_at_s: Option<u64>,
    /// What may be done in which rooms.
    pub grants: Grants,
    /// Limits of this bearer.
    pub limits: Limits,
    /// How much its messages matter.
    pub priority: Priority,
    /// Whether the HTTP API may be used.
    pub may_use_api: bool,
}

impl Identity {
    pub(in crate::hub) fn new(claims: Claims, expires_at_s: Option<u64>) -> Self {
        Self {
            sub: claims.sub.into(),
            issuer: claims.iss.map(Into::into),
            token_id: claims.jti.map(Into::into),
            issued_at_s: claims.iat,
            expires_at_s,
            grants: Grants::new(claims.rooms),
            limits: claims.limits,
            priority: claims.priority,
            may_use_api: claims.api,
        }
    }

    /// What a token would say of it, but that it may use the HTTP API.
    pub fn claims(&self) -> Claims {
        Claims {
            sub: (*self.sub).into(),
            exp: self.expires_at_s,
            iat: self.issued_at_s,
            iss: self.issuer.as_deref().map(Into::into),
            jti: self.token_id.as_deref().map(Into::into),
            rooms: self.grants.rooms(),
            limits: self.limits,
            priority: self.priority,
            ..Claims::default()
        }
    }

    /// Whether its time is over.
    pub fn has_expired(&self, now_unix_s: u64) -> bool {
        self.expires_at_s.is_some_and(|end_s| end_s <= now_unix_s)
    }
}
