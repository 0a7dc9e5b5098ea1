//! Who may use the HTTP API, and how fast.
//!
//! Owns the check of keys and tokens, and what each may do. Cookies and the query are never looked
//! at: a page of somebody else cannot make a browser send what counts here.

use std::sync::Arc;

use super::answer::Problem;
use crate::hub::auth::{ApiKeys, Identity, Priority, Refusal, Right, Source, Sources, token_of};
use crate::hub::door::Door;
use crate::hub::limits::{Gate, HandshakeLimits, Rate, Refusal as TooFast, SharedBucket};
use crate::net::Request;

/// Who is told as the sender where a key publishes and names nobody.
const SENDER: &str = "server";

/// How many addresses are remembered of those who show something else than a key.
const ADDRESSES_MAX: usize = 1 << 12;

/// How fast the API may be used: over all loops together.
///
/// ```
/// use throng::hub::{ApiPace, Door};
/// use throng::hub::limits::Rate;
///
/// let api_pace = ApiPace::new(Rate::per_second(100, 200));
/// let door = Door { api_pace, ..Door::default() };
/// assert!(door.api_keys.is_none());
/// ```
#[derive(Debug)]
pub struct ApiPace {
    rate: Rate,
    requests: SharedBucket,
    strangers: Arc<Gate>,
}

impl ApiPace {
    /// So many requests of those who may ask; more get 429. Whoever shows something else than a
    /// key may try 20 times a second from one address, 100 times at once: a token costs more to
    /// look at.
    pub fn new(rate: Rate) -> Self {
        let strangers = HandshakeLimits {
            rate: None,
            rate_per_address: Some(Rate::per_second(20, 100)),
            addresses_max: ADDRESSES_MAX,
            ..HandshakeLimits::default()
        };
        let strangers = Arc::new(Gate::new(strangers));
        Self { rate, requests: SharedBucket::default(), strangers }
    }

    /// Counts somebody who shows what is none of the server's keys: there is no guessing them
    /// quickly.
    pub(in crate::hub) fn count_stranger(
        &self,
        door: &Door,
        request: &Request<'_>,
    ) -> Result<(), TooFast> {
        let ip = door.client(request).map(|client| client.counted_as());
        self.strangers.enter(ip, request.now()).map(drop)
    }
}

impl Default for ApiPace {
    /// 10,000 a second, 20,000 at once.
    fn default() -> Self {
        Self::new(Rate::per_second(10_000, 20_000))
    }
}

/// Somebody who may use the API.
#[derive(Debug)]
pub(super) enum Access {
    /// By a key: everything.
    Key,
    /// By a token: as its rooms say.
    Token(Identity),
}

impl Access {
    /// Who asks for something that takes more than to be somebody.
    pub(super) fn of(request: &Request<'_>, door: &Door) -> Result<Self, Problem> {
        match Self::of_anybody(request, door)? {
            Self::Token(identity) if !identity.may_use_api => Err(Problem::FORBIDDEN),
            access => Ok(access),
        }
    }

    /// Who asks.
    pub(super) fn of_anybody(request: &Request<'_>, door: &Door) -> Result<Self, Problem> {
        let shown = token_of(request.head(), Sources::only(Source::Authorization))?;
        let Some((_, shown)) = shown else {
            return Err(Problem::unauthorised("missing_key", "a key or a token is needed"));
        };
        door.check_exposure(request)?;
        let shown = shown.as_str();
        let pace = &door.api_pace;
        let is_key = |keys: &ApiKeys| keys.contains(shown.as_bytes());
        let access = if door.api_keys.as_ref().is_some_and(is_key) {
            Self::Key
        } else {
            let counted = pace.count_stranger(door, request);
            counted.map_err(|refusal| Problem::too_fast(refusal.retry_after))?;
            Self::by_token(shown, door, request.unix_ms() / 1000)?
        };
        pace.requests.take(request.now(), 1, &pace.rate).map_err(Problem::too_fast)?;
        Ok(access)
    }

    fn by_token(shown: &str, door: &Door, now_unix_s: u64) -> Result<Self, Problem> {
        let no_key = || Problem::unauthorised("bad_key", "this is no key that is known here");
        let authenticator = door.authenticator.as_ref().ok_or_else(no_key)?;
        match authenticator.identify(shown, now_unix_s) {
            Ok(identity) => Ok(Self::Token(identity)),
            Err(Refusal::Malformed) => Err(no_key()),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Whether all may be done: a token with rooms of its own speaks for these only.
    pub(super) fn everything(&self) -> Result<(), Problem> {
        if self.speaks_for_all() { Ok(()) } else { Err(Problem::FORBIDDEN) }
    }

    /// Whether it may do so for everybody, and not for itself only.
    pub(super) fn speaks_for_all(&self) -> bool {
        match self {
            Self::Key => true,
            Self::Token(identity) => identity.may_use_api && identity.grants.is_everything(),
        }
    }

    /// Whether this may be done in that room.
    pub(super) fn allows(&self, right: Right, room: &str) -> Result<(), Problem> {
        match self {
            Self::Token(identity) if !identity.grants.allows(right, room) => {
                Err(Problem::FORBIDDEN)
            }
            Self::Key | Self::Token(_) => Ok(()),
        }
    }

    /// Who is told as the sender. Who may do everything may name somebody.
    pub(super) fn sender<'a>(&'a self, named: Option<&'a str>) -> &'a str {
        match (self, named) {
            (Self::Key, None) => SENDER,
            (Self::Key, Some(named)) => named,
            (Self::Token(identity), Some(named)) if identity.grants.is_everything() => named,
            (Self::Token(identity), Some(_) | None) => &identity.sub,
        }
    }

    /// How much it matters what is published.
    pub(super) fn priority(&self) -> Priority {
        match self {
            Self::Key => Priority::Normal,
            Self::Token(identity) => identity.priority,
        }
    }

    /// Who asks, for the log.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Key => "(a key)",
            Self::Token(identity) => &identity.sub,
        }
    }
}
