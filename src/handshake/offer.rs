//! What a client asks for in its opening handshake.
//!
//! Owns every check of RFC 6455, section 4.2.1. Never decides whether the offer is taken.

use super::{Acceptance, ExtensionOffer, HandshakeError, Key, VERSION, extensions};
use crate::http::fields::{has_token, is_token, tokens};
use crate::http::{Body, Headers, Repeated, Request};

/// The most subprotocols that a client may name: finding repeats costs the square of it.
pub const SUBPROTOCOLS_MAX: usize = 32;

/// A valid opening handshake. Borrows the head, not the [`Request`].
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    key: Key,
    headers: Headers<'a>,
}

impl<'a> Offer<'a> {
    /// Checks a request. `None` means plain HTTP: no Upgrade to `websocket` and no
    /// Sec-WebSocket-Key. Whoever sends either means a handshake, and gets all of it right or an
    /// error.
    ///
    /// # Errors
    ///
    /// The first rule broken; [`HandshakeError::response`] answers it.
    pub fn from_request(request: &Request<'a>) -> Result<Option<Self>, HandshakeError> {
        let headers = request.all_headers();
        // Section 4.2.1, item 3. A version behind it (`websocket/13`) is another protocol.
        let upgrade = has_token(headers.all("upgrade"), "websocket");
        if !upgrade && headers.first("sec-websocket-key").is_none() {
            return Ok(None);
        }
        // Item 1.
        if request.method() != "GET" {
            return Err(HandshakeError::Method);
        }
        if !request.is_http_11() {
            return Err(HandshakeError::HttpVersion);
        }
        if !upgrade {
            return Err(HandshakeError::Upgrade);
        }
        // Item 4.
        if !has_token(headers.all("connection"), "upgrade") {
            return Err(HandshakeError::Connection);
        }
        check_version(headers)?;
        let key = key(headers)?;
        // A body would be read as frames, or as another request behind a proxy.
        if !matches!(request.body(), Body::None | Body::Length(0)) {
            return Err(HandshakeError::Body);
        }
        check_origin(headers)?;
        check_subprotocols(headers)?;
        check_extensions(headers)?;
        Ok(Some(Self { key, headers }))
    }

    /// The client's key. It is all that the response needs of the request.
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// Where the page came from that opened the connection. Browsers always say so. Visible ASCII
    /// and blanks; there was only one.
    pub fn origin(&self) -> Option<&'a str> {
        self.headers.first("origin").and_then(|value| str::from_utf8(value).ok())
    }

    /// The subprotocols asked for, in the client's order of preference.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        tokens(self.headers.all("sec-websocket-protocol"))
            .filter_map(|token| str::from_utf8(token).ok())
    }

    /// The first subprotocol of the client's list that the server supports. The order of
    /// `supported` does not matter: the client lists by preference (RFC 6455, section 1.9).
    pub fn choose<'s>(&self, supported: &[&'s str]) -> Option<&'s str> {
        self.subprotocols().find_map(|offered| supported.iter().copied().find(|it| *it == offered))
    }

    /// The extensions offered, in the client's order of preference, known to us or not.
    pub fn extensions(&self) -> impl Iterator<Item = ExtensionOffer<'a>> + use<'a> {
        self.headers.all("sec-websocket-extensions").flat_map(extensions::offers).flatten()
    }

    /// Whether this answer may be given to this offer: the subprotocol MUST be one that the client
    /// named (RFC 6455, section 4.2.2). To be called before
    /// [`write_response`](super::write_response).
    ///
    /// # Errors
    ///
    /// [`HandshakeError::SubprotocolNotOffered`], the server's own fault: 500.
    pub fn check(&self, acceptance: &Acceptance) -> Result<(), HandshakeError> {
        match acceptance.chosen_subprotocol() {
            Some(chosen) if !self.subprotocols().any(|offered| offered == chosen) => {
                Err(HandshakeError::SubprotocolNotOffered)
            }
            _ => Ok(()),
        }
    }
}

/// Section 4.2.1, item 6, and section 4.4.
fn check_version(headers: Headers<'_>) -> Result<(), HandshakeError> {
    match headers.only("sec-websocket-version") {
        Ok(Some(version)) if version == VERSION.as_bytes() => Ok(()),
        Ok(_) => Err(HandshakeError::Version),
        Err(Repeated) => Err(HandshakeError::VersionRepeated),
    }
}

/// Item 5; only once by section 11.3.1.
fn key(headers: Headers<'_>) -> Result<Key, HandshakeError> {
    match headers.only("sec-websocket-key") {
        Ok(Some(value)) => Key::from_header(value).ok_or(HandshakeError::KeyInvalid),
        Ok(None) => Err(HandshakeError::KeyMissing),
        Err(Repeated) => Err(HandshakeError::KeyRepeated),
    }
}

/// An unreadable origin must not pass for none: none may mean a client that is no browser.
fn check_origin(headers: Headers<'_>) -> Result<(), HandshakeError> {
    match headers.only("origin") {
        Ok(Some(value)) if value.is_ascii() => Ok(()),
        Ok(None) => Ok(()),
        Ok(Some(_)) | Err(Repeated) => Err(HandshakeError::Origin),
    }
}

/// Item 8 and section 4.1, item 10: one or more tokens, each only once.
fn check_subprotocols(headers: Headers<'_>) -> Result<(), HandshakeError> {
    let mut seen: [&[u8]; SUBPROTOCOLS_MAX] = [&[]; SUBPROTOCOLS_MAX];
    let mut count = 0;
    for token in tokens(headers.all("sec-websocket-protocol")) {
        if !is_token(token) {
            return Err(HandshakeError::Subprotocols);
        }
        if seen[..count].contains(&token) {
            return Err(HandshakeError::SubprotocolRepeated);
        }
        *seen.get_mut(count).ok_or(HandshakeError::TooManySubprotocols)? = token;
        count += 1;
    }
    let named = headers.first("sec-websocket-protocol").is_some();
    if named && count == 0 { Err(HandshakeError::Subprotocols) } else { Ok(()) }
}

/// Item 9 and section 9.1: one or more extensions, each by the grammar.
fn check_extensions(headers: Headers<'_>) -> Result<(), HandshakeError> {
    let mut count = 0;
    for offer in headers.all("sec-websocket-extensions").flat_map(extensions::offers) {
        offer.map_err(|extensions::Malformed| HandshakeError::Extensions)?;
        count += 1;
    }
    let named = headers.first("sec-websocket-extensions").is_some();
    if named && count == 0 { Err(HandshakeError::Extensions) } else { Ok(()) }
}

#[cfg(test)]
#[path = "offer_tests.rs"]
mod tests;
