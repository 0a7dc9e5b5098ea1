//! The response that opens a connection (RFC 6455, section 4.2.2, item 5).
//!
//! Owns the 101. Never sends what the handshake itself writes twice, nor a subprotocol that is no
//! token; that the client offered it is for [`Offer::check`](super::Offer::check).

use super::Key;
use crate::http::{HeaderLines, fields};
use std::borrow::Cow;

/// What the server adds to its acceptance: nothing, in the plain case, and then nothing is
/// allocated.
///
/// ```
/// use throng::handshake::Acceptance;
///
/// let acceptance = Acceptance::new().subprotocol("chat").header("X-Request-Id", "7");
/// assert_eq!(acceptance.chosen_subprotocol(), Some("chat"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acceptance {
    subprotocol: Option<Cow<'static, str>>,
    extensions: Option<String>,
    headers: HeaderLines,
    is_plain: bool,
    is_limited: bool,
}

impl Acceptance {
    /// No subprotocol and no headers.
    pub const fn new() -> Self {
        let headers = HeaderLines::new();
        Self { subprotocol: None, extensions: None, headers, is_plain: false, is_limited: false }
    }

    /// The subprotocol that was chosen. One that is not a token is dropped: no client can have
    /// offered it.
    #[must_use]
    pub fn subprotocol(mut self, subprotocol: impl Into<Cow<'static, str>>) -> Self {
        let subprotocol = subprotocol.into();
        self.subprotocol = fields::is_token(subprotocol.as_bytes()).then_some(subprotocol);
        self
    }

    /// The subprotocol that the response will name.
    pub fn chosen_subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The extensions that were agreed, as the header says it. One that breaks the line is dropped.
    #[must_use]
    pub fn extensions(mut self, extensions: String) -> Self {
        let is_sound = fields::is_field_value(extensions.as_bytes());
        self.extensions = is_sound.then_some(extensions);
        self
    }

    /// Agrees to no extension: for a peer that is yet to show who it is, of which nothing is to be
    /// inflated.
    #[must_use]
    pub const fn without_extensions(mut self) -> Self {
        self.is_plain = true;
        self
    }

    /// Whether no extension is agreed to, whatever is offered.
    pub const fn is_without_extensions(&self) -> bool {
        self.is_plain
    }

    /// Takes messages of at most [`LIMITED_BYTES_MAX`](crate::proto::LIMITED_BYTES_MAX) until
    /// [`Peers::lift_limit`](crate::net::Peers::lift_limit).
    #[must_use]
    pub const fn limited(mut self) -> Self {
        self.is_limited = true;
        self
    }

    /// Whether only short messages are taken for now.
    pub const fn is_limited(&self) -> bool {
        self.is_limited
    }

    /// Adds a header. Dropped are a line that [`HeaderLines::push`] refuses, and the headers that
    /// belong to the handshake: Upgrade, Connection, Content-Length, Transfer-Encoding and all
    /// that start with `Sec-WebSocket-`.
    #[must_use]
    pub fn header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        let name = name.into();
        if !is_ours(&name) {
            self.headers.push(name, value);
        }
        self
    }
}

/// Whether a header belongs to the handshake itself, in both directions.
pub(super) fn is_ours(name: &str) -> bool {
    const PREFIX: &[u8] = b"sec-websocket-";
    let starts = name.as_bytes().get(..PREFIX.len());
    starts.is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
        || ["Upgrade", "Connection", "Content-Length", "Transfer-Encoding"]
            .iter()
            .any(|ours| ours.eq_ignore_ascii_case(name))
}

/// Appends the 101 to `out`. Frames follow right behind it.
///
/// ```
/// use throng::handshake::{Acceptance, Key, write_response};
///
/// let key = Key::from_header(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();
/// let mut out = Vec::new();
/// write_response(&mut out, &key, &Acceptance::new());
/// assert_eq!(
///     out,
///     b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///       Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
/// );
/// ```
pub fn write_response(out: &mut Vec<u8>, key: &Key, acceptance: &Acceptance) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&key.accept());
    out.extend_from_slice(b"\r\n");
    if let Some(subprotocol) = acceptance.chosen_subprotocol() {
        out.extend_from_slice(b"Sec-WebSocket-Protocol: ");
        out.extend_from_slice(subprotocol.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if let Some(extensions) = &acceptance.extensions {
        out.extend_from_slice(b"Sec-WebSocket-Extensions: ");
        out.extend_from_slice(extensions.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    acceptance.headers.encode(out);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(acceptance: &Acceptance) -> String {
        let key = Key::from_header(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();
        let mut out = Vec::new();
        write_response(&mut out, &key, acceptance);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rfc6455_4_2_2_response_with_subprotocol_and_headers() {
        let acceptance = Acceptance::new().header("Set-Cookie", "a=b").subprotocol("chat");
        let text = response(&acceptance);
        let end = "=\r\nSec-WebSocket-Protocol: chat\r\nSet-Cookie: a=b\r\n\r\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn nothing_is_injected_and_nothing_sent_twice() {
        let hostile = Acceptance::new()
            .subprotocol("a\r\nX: b")
            .header("X", "a\r\nY: b")
            .header("upgrade", "h2c")
            .header("CONNECTION", "close")
            .header("Content-Length", "4")
            .header("Transfer-Encoding", "chunked")
            .header("sec-websocket-accept", "x")
            .header("Sec-WebSocket-Extensions", "permessage-deflate");
        assert_eq!(hostile, Acceptance::new());
        assert_eq!(Acceptance::new().subprotocol("").chosen_subprotocol(), None);
        assert_eq!(response(&hostile).matches("\r\n").count(), 5);
    }
}
