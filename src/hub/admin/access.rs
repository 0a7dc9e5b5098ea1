//! Who may look.
//!
//! Owns the questions that are asked of a viewer before it is let in: host, origin, limits, key.
//! Without a key in the server's settings nobody is. To let in who comes from this machine would
//! let in everybody, where a proxy stands on it.

use std::borrow::Cow;

use crate::http::Response;
use crate::hub::auth::{Refusal, Source, Sources, token_of};
use crate::hub::door::Door;
use crate::hub::limits::Place;
use crate::net::Request;

/// Where a page asks whether its key is right, since a browser does not show it why a handshake was
/// refused.
const ACCESS_PATH: &str = "/admin/access";

/// A key is taken from where a program or a page puts it on purpose, and never from the URL.
const SOURCES: Sources = Sources::ALL.without(Source::Query).without(Source::Cookie);

/// Why somebody may not look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denial {
    /// The server has no key.
    Closed,
    /// None was shown.
    Missing,
    /// It is none of the server's.
    Wrong,
}

impl Denial {
    fn response(self) -> Response {
        let (status, code, message) = match self {
            Self::Closed => (403, "no_api_key", "this server has no API key, so nobody may look"),
            Self::Missing => (401, "missing_key", "an API key is needed"),
            Self::Wrong => (401, "wrong_key", "this is none of the server's API keys"),
        };
        let body = format!("{{\"error\":\"{code}\",\"message\":\"{message}\"}}\n");
        let response = Response::json(status, body).because(code);
        let response = response.header("Cache-Control", "no-store");
        if status == 401 {
            return response.header("WWW-Authenticate", "Bearer realm=\"throng\"");
        }
        response
    }
}

impl Door {
    /// Answers whether a viewer would be let in, by the rules of the feed; nothing else.
    pub(in crate::hub) fn answer_access(&self, request: &Request<'_>) -> Option<Response> {
        let head = request.head();
        if head.path() != ACCESS_PATH {
            return None;
        }
        if head.method() != "GET" {
            let words = "this method is not for this path\n";
            return Some(Response::text(405, words).header("Allow", "GET"));
        }
        Some(match self.admit_viewer(request) {
            Ok(_) => Response::new(204).header("Cache-Control", "no-store"),
            Err(response) => response,
        })
    }

    /// Whether this handshake is a viewer's, and the place that it takes; the answer, where it may
    /// not come in.
    pub(in crate::hub) fn admit_viewer(
        &self,
        request: &Request<'_>,
    ) -> Result<Option<Place>, Response> {
        let head = request.head();
        if let Some(hosts) = &self.hosts {
            hosts.check(head).map_err(Refusal::response)?;
        }
        self.origins.check(head, self.scheme(request)).map_err(Refusal::response)?;
        let Some(gate) = &self.gate else { return self.check_key(request).map(|()| None) };
        let ip = self.client(request).map(|client| client.counted_as());
        let place = gate.enter(ip, request.now()).map_err(|refusal| refusal.response())?;
        self.check_key(request).map(|()| Some(place))
    }

    fn check_key(&self, request: &Request<'_>) -> Result<(), Response> {
        let keys = self.api_keys.as_ref().filter(|keys| !keys.is_empty());
        let keys = keys.ok_or_else(|| Denial::Closed.response())?;
        let found = token_of(request.head(), SOURCES).map_err(Refusal::response)?;
        let (_, key) = found.ok_or_else(|| Denial::Missing.response())?;
        self.check_exposure(request).map_err(Refusal::response)?;
        let key = key.as_str().as_bytes();
        // Not every key can stand in a list of subprotocols: a page writes the rest as %XX.
        let is_right = keys.contains(key) || keys.contains(&decoded(key));
        if is_right {
            return Ok(());
        }
        self.api_pace.count_stranger(self, request).map_err(|refusal| refusal.response())?;
        Err(Denial::Wrong.response())
    }
}

/// The text with each %XX as the byte that it stands for (RFC 3986 section 2.1).
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let digit = |byte: Option<&u8>| byte.and_then(|byte| (*byte as char).to_digit(16));
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let [first, after @ ..] = rest {
        match (first, digit(after.first()), digit(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                rest = &after[2..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_subprotocol_can_hold_is_decoded() {
        for (text, meant) in [("plain", "plain"), ("a%2Fb%3d", "a/b="), ("100%", "100%")] {
            assert_eq!(&*decoded(text.as_bytes()), meant.as_bytes());
        }
        assert_eq!(&*decoded(b"%4%41%zz%2"), b"%4A%zz%2");
    }
}
