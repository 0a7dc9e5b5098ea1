//! Where a request carries a token, and how none gets into a log.
//!
//! Owns the four places in a head, which goes before which, and the redaction of each. Never
//! verifies a token.

use std::borrow::Cow;
use std::fmt;

use crate::http::Request;
use crate::http::fields::{tokens, trim_blanks};

use super::Refusal;

/// The parameter of the query, and the cookie.
const NAME: &str = "token";

/// The parameter of the query that is a ticket.
const TICKET_NAME: &str = "ticket";

/// What stands before a token in the list of subprotocols.
const SUBPROTOCOL_PREFIX: &str = "bearer.";

/// What stands in a log in place of a token.
const REDACTED: &str = "***";

/// A place of a token, in the order in which they are looked at: what somebody says on purpose
/// goes before what a browser adds by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `Authorization: Bearer TOKEN` (RFC 6750 section 2.1). Another scheme is somebody else's.
    Authorization = 1,
    /// `Sec-WebSocket-Protocol: throng.v1.json, bearer.TOKEN`: what a page can send.
    Subprotocol = 2,
    /// `?token=TOKEN`.
    Query = 4,
    /// `Cookie: token=TOKEN`.
    Cookie = 8,
}

impl Source {
    const ALL: [Self; 4] = [Self::Authorization, Self::Subprotocol, Self::Query, Self::Cookie];
}

/// The places that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources(u8);

impl Sources {
    /// All of them.
    pub const ALL: Self = Self(15);

    /// One only.
    pub const fn only(source: Source) -> Self {
        Self(source as u8)
    }

    /// All of these but one.
    #[must_use]
    pub const fn without(self, source: Source) -> Self {
        Self(self.0 & !(source as u8))
    }

    const fn has(self, source: Source) -> bool {
        self.0 & source as u8 != 0
    }
}

/// A token as it came. It cannot be printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Token<'a>(pub(super) Cow<'a, str>);

impl Token<'_> {
    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// The token of a request, and where it was.
///
/// # Errors
///
/// [`Refusal::Repeated`] where the first place that has any has two, [`Refusal::Malformed`] where
/// there is none in a place that is made for one.
pub fn token_of<'a>(
    head: &Request<'a>,
    sources: Sources,
) -> Result<Option<(Source, Token<'a>)>, Refusal> {
    for source in Source::ALL.into_iter().filter(|source| sources.has(*source)) {
        let token = match source {
            Source::Authorization => only(head.headers("authorization").filter_map(bearer))?,
            Source::Subprotocol => {
                let offered = tokens(head.headers("sec-websocket-protocol"));
                let prefix = SUBPROTOCOL_PREFIX.as_bytes();
                only(offered.filter_map(|it| it.strip_prefix(prefix).map(text)))?
            }
            Source::Query => only(parameters(head, NAME))?,
            Source::Cookie => only(cookies(head))?,
        };
        match token {
            Some(token) if token.is_empty() => return Err(Refusal::Malformed),
            Some(token) => return Ok(Some((source, Token(token)))),
            None => {}
        }
    }
    Ok(None)
}

/// The ticket of a request: `?ticket=TICKET`. It goes before all tokens.
///
/// # Errors
///
/// [`Refusal::Repeated`] where there are two.
pub fn ticket_of<'a>(head: &Request<'a>) -> Result<Option<Token<'a>>, Refusal> {
    Ok(only(parameters(head, TICKET_NAME))?.map(Token))
}

/// The values of a parameter of the query.
fn parameters<'a>(
    head: &Request<'a>,
    name: &'static str,
) -> impl Iterator<Item = Result<Cow<'a, str>, Refusal>> {
    let query = head.query().unwrap_or("").as_bytes();
    let pairs = form_urlencoded::parse(query).filter(move |(key, _)| key == name);
    pairs.map(|(_, value)| Ok(value))
}

/// The one element, where there is one.
fn only<T>(mut found: impl Iterator<Item = Result<T, Refusal>>) -> Result<Option<T>, Refusal> {
    let first = found.next().transpose()?;
    if found.next().is_some() { Err(Refusal::Repeated) } else { Ok(first) }
}

fn text(bytes: &[u8]) -> Result<Cow<'_, str>, Refusal> {
    str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| Refusal::Malformed)
}

/// What follows the scheme `Bearer`, compared without case (RFC 9110 section 11.1).
fn bearer(value: &[u8]) -> Option<Result<Cow<'_, str>, Refusal>> {
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end);
    scheme.eq_ignore_ascii_case(b"bearer").then(|| text(trim_blanks(rest)))
}

/// The cookies of that name (RFC 6265 section 4.2.1). An empty one is how some are deleted.
fn cookies<'a>(head: &Request<'a>) -> impl Iterator<Item = Result<Cow<'a, str>, Refusal>> {
    let pairs = head.headers("cookie").flat_map(|value| value.split(|byte| *byte == b';'));
    pairs.filter_map(|pair| {
        let value = trim_blanks(pair).strip_prefix(NAME.as_bytes())?.strip_prefix(b"=")?;
        let quoted = value.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\""));
        let value = quoted.unwrap_or(value);
        (!value.is_empty()).then(|| text(value))
    })
}

/// A target for the log: with `***` in place of each token and session.
///
/// ```
/// use throng::hub::auth::redact_target;
///
/// assert_eq!(redact_target("/ws?room=a&token=secret"), "/ws?room=a&token=***");
/// ```
pub fn redact_target(target: &str) -> Cow<'_, str> {
    let Some((path, query)) = target.split_once('?') else { return Cow::Borrowed(target) };
    let mut out = format!("{path}?");
    for (index, pair) in query.split('&').enumerate() {
        if index > 0 {
            out.push('&');
        }
        // The key as the reader understands it: `%74oken` is `token` too.
        let is_secret = form_urlencoded::parse(pair.as_bytes()).any(|(key, _)| {
            let secrets = [NAME, TICKET_NAME, "access_token", "session"];
            secrets.iter().any(|it| key.eq_ignore_ascii_case(it))
        });
        match pair.split_once('=') {
            Some((key, _)) if is_secret => out.extend([key, "=", REDACTED]),
            Some(_) | None => out.push_str(pair),
        }
    }
    Cow::Owned(out)
}

/// The value of a header for the log: credentials and cookies are not shown, and of the
/// subprotocols none that is a token.
pub fn redact_header<'v>(name: &str, value: &'v [u8]) -> Cow<'v, str> {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    if is("authorization") || is("proxy-authorization") || is("cookie") {
        return Cow::Borrowed(REDACTED);
    }
    if is("sec-websocket-protocol") {
        let shown = tokens([value].into_iter()).map(|token| {
            let is_secret = token.starts_with(SUBPROTOCOL_PREFIX.as_bytes());
            if is_secret { "bearer.***".into() } else { String::from_utf8_lossy(token) }
        });
        return Cow::Owned(shown.collect::<Vec<_>>().join(", "));
    }
    String::from_utf8_lossy(value)
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
