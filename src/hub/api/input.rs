//! What the HTTP API is told: names in the path, the query, and bodies.
//!
//! Owns their grammar and bounds. Never carries anything out.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::Problem;
use crate::http;
use crate::http::fields::trim_blanks;
use crate::hub::auth::{Limits, Priority, RoomClaim, at_most_64};
use crate::hub::command::check_name;
use crate::hub::json;

/// How many are listed where nobody says, and at most.
const LIST: (usize, usize) = (100, 1000);

/// How many characters are said of a bad body.
const WORDS_MAX: usize = 200;

/// What is published to rooms.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Publish<'a> {
    #[serde(borrow)]
    pub(super) room: Option<Cow<'a, str>>,
    pub(super) rooms: Option<Vec<String>>,
    #[serde(borrow)]
    pub(super) content: &'a RawValue,
    #[serde(borrow)]
    pub(super) sender: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) message_id: Option<Cow<'a, str>>,
}

/// What is published to a user, or to all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Say<'a> {
    #[serde(borrow)]
    pub(super) content: &'a RawValue,
    #[serde(borrow)]
    pub(super) sender: Option<Cow<'a, str>>,
}

/// What is revoked: the token of a name, or those of a user.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    pub(super) jti: Option<String>,
    pub(super) sub: Option<String>,
    pub(super) issued_until_s: Option<u64>,
    pub(super) ends_s: Option<u64>,
}

/// Whose ticket is asked for, and what it may do: as the claims of a token say it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ticket {
    pub(super) sub: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) exp: Option<u64>,
    #[serde(default, deserialize_with = "at_most_64")]
    pub(super) rooms: Option<Vec<RoomClaim>>,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) priority: Priority,
}

/// Reads a body.
pub(super) fn body<'a, T: Deserialize<'a>>(
    head: &http::Request<'_>,
    body: &'a [u8],
) -> Result<T, Problem> {
    let content_type = head.all_headers().only("content-type").ok().flatten();
    let media_type = content_type.and_then(|value| value.split(|byte| *byte == b';').next());
    let is_json = |it: &[u8]| trim_blanks(it).eq_ignore_ascii_case(b"application/json");
    if !media_type.is_some_and(is_json) {
        let content = "the body has to be application/json, and to say so";
        return Err(Problem::new(415, "unsupported_media_type", content));
    }
    // What is read into fields would take a list for them too.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    if !is_object || !json::is_valid(body) {
        return Err(Problem::new(400, "bad_json", "the body is not one JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| {
        // It may name what was sent, which may be long.
        let words: String = error.to_string().chars().take(WORDS_MAX).collect();
        Problem::new(400, "bad_request", words)
    })
}

/// The name of a room or a user in a path: decoded, and checked.
pub(super) fn name(raw: &str) -> Result<String, Problem> {
    let decoded = decode(raw).and_then(|bytes| String::from_utf8(bytes).ok());
    let bad = || Problem::new(400, "bad_path", "a name in the path is not percent-encoded UTF-8");
    let name = decoded.ok_or_else(bad)?;
    check_name(&name)?;
    Ok(name)
}

/// Takes `%` and two digits for a byte (RFC 3986 section 2.1). A plus is a plus.
fn decode(raw: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut bytes = raw.bytes();
    let mut decoded = Vec::with_capacity(raw.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            _ => byte,
        });
    }
    Some(decoded)
}

/// The query of a request.
pub(super) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    pub(super) fn of(head: &http::Request<'a>) -> Self {
        Self(head.query().unwrap_or(""))
    }

    /// The value of a key that may be there once.
    pub(super) fn text(&self, key: &str) -> Result<Option<Cow<'a, str>>, Problem> {
        let pairs = form_urlencoded::parse(self.0.as_bytes());
        let mut values = pairs.filter(|(name, _)| name == key).map(|(_, value)| value);
        let value = values.next();
        if values.next().is_some() {
            return Err(Problem::new(400, "bad_query", format!("{key} is there more than once")));
        }
        Ok(value)
    }

    /// A name, checked.
    pub(super) fn name(&self, key: &str) -> Result<Option<Box<str>>, Problem> {
        let name = self.text(key)?;
        Ok(name.map(|name| check_name(&name).map(Into::into)).transpose()?)
    }

    /// How many to list.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        let (default, most) = LIST;
        let Some(text) = self.text("limit")? else { return Ok(default) };
        let limit = text.parse().ok().filter(|limit| (1..=most).contains(limit));
        let fault =
            || Problem::new(400, "bad_query", format!("limit is a number from 1 to {most}"));
        limit.ok_or_else(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_once() {
        let table = [
            ("a", Some("a")),
            ("a%20b+c", Some("a b+c")),
            ("caf%C3%a9", Some("café")),
            ("a%2Fb%2f..", Some("a/b/..")),
            ("%2541", Some("%41")),
            ("%", None),
            ("%4", None),
            ("%4g", None),
            ("%+1", None),
            ("%ff", None),
            ("%00", None),
            ("a%0ab", None),
        ];
        for (raw, expected) in table {
            assert_eq!(name(raw).ok().as_deref(), expected, "{raw}");
        }
        assert!(name(&"%61".repeat(128)).is_ok() && name(&"%61".repeat(129)).is_err());
    }
}
