//! A client's opening handshake (RFC 6455, section 4.1): the request.
//!
//! Owns what is written to the server, and remembers it for the judgement of the answer. Never
//! makes the nonce, and never sends a line that could break out of its header.

use super::accept::is_ours;
use super::{ExtensionOffer, Key, SUBPROTOCOLS_MAX, VERSION, extensions};
use crate::http::fields::is_token;
use crate::http::{HeaderLines, is_host};
use std::borrow::Cow;

/// The opening handshake of one connection: build it, [encode](Self::encode) it, and
/// [verify](Self::verify) the answer.
///
/// ```
/// use throng::handshake::ClientRequest;
/// use throng::http::{HeadLimits, HeaderSlots, ResponseHead};
///
/// // A nonce has to be fresh and random; this is the one of RFC 6455, section 1.3.
/// let nonce = *b"the sample nonce";
/// let request = ClientRequest::new("server.example.com", "/chat", nonce)?
///     .subprotocol("chat")?
///     .header("Origin", "http://example.com")?;
/// let mut out = Vec::new();
/// request.encode(&mut out);
/// assert!(out.starts_with(b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\n"));
///
/// let head = b"HTTP/1.1 101 Switching Protocols\r\n\
///     Upgrade: websocket\r\n\
///     Connection: Upgrade\r\n\
///     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
///     Sec-WebSocket-Protocol: chat\r\n\r\n";
/// let mut slots = HeaderSlots::new();
/// let response = ResponseHead::parse(head, &mut slots, &HeadLimits::default())?;
/// assert_eq!(request.verify(&response)?.subprotocol(), Some("chat"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClientRequest {
    target: Cow<'static, str>,
    host: Cow<'static, str>,
    key: Key,
    subprotocols: Vec<Cow<'static, str>>,
    /// The value of Sec-WebSocket-Extensions.
    extensions: Option<Cow<'static, str>>,
    headers: HeaderLines,
}

/// What the caller asked for and no client may send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("the request target {0:?} is malformed")]
    Target(String),
    #[error("the host {0:?} is malformed")]
    Host(String),
    #[error("the subprotocol {0:?} is not a token")]
    Subprotocol(String),
    #[error("the subprotocol {0:?} is named twice")]
    SubprotocolRepeated(String),
    #[error("more than 32 subprotocols")]
    TooManySubprotocols,
    #[error("the extension offer {0:?} is malformed")]
    Extensions(String),
    #[error("the header {0:?} is malformed")]
    Header(String),
    #[error("the header {0:?} belongs to the handshake")]
    HeaderForbidden(String),
}

impl ClientRequest {
    /// A request for `target` (path and query) at `host`, which carries its port where that is not
    /// the default one of the scheme (RFC 6455, section 4.1, item 4).
    ///
    /// # Errors
    ///
    /// A target that does not start with `/`, or holds anything but graphic ASCII or a fragment; a
    /// host that is no `host[:port]`.
    pub fn new(
        host: impl Into<Cow<'static, str>>,
        target: impl Into<Cow<'static, str>>,
        nonce: [u8; 16],
    ) -> Result<Self, RequestError> {
        let (host, target) = (host.into(), target.into());
        let graphic = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !target.starts_with('/') || !graphic {
            return Err(RequestError::Target(target.into_owned()));
        }
        if !is_host(&host) {
            return Err(RequestError::Host(host.into_owned()));
        }
        Ok(Self {
            target,
            host,
            key: Key::from_nonce(nonce),
            subprotocols: Vec::new(),
            extensions: None,
            headers: HeaderLines::new(),
        })
    }

    /// The host that it is for, with its port where that was given.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Offers one more subprotocol, after those that are preferred (RFC 6455, section 4.1, item
    /// 10).
    ///
    /// # Errors
    ///
    /// It is no token, is named already, or is one more than 32.
    pub fn subprotocol(mut self, name: impl Into<Cow<'static, str>>) -> Result<Self, RequestError> {
        let name = name.into();
        if !is_token(name.as_bytes()) {
            return Err(RequestError::Subprotocol(name.into_owned()));
        }
        if self.subprotocols.contains(&name) {
            return Err(RequestError::SubprotocolRepeated(name.into_owned()));
        }
        if self.subprotocols.len() == SUBPROTOCOLS_MAX {
            return Err(RequestError::TooManySubprotocols);
        }
        self.subprotocols.push(name);
        Ok(self)
    }

    /// Offers extensions: the whole value of Sec-WebSocket-Extensions.
    ///
    /// # Errors
    ///
    /// It breaks the grammar (RFC 6455, section 9.1), or offers nothing.
    pub fn extensions(mut self, value: impl Into<Cow<'static, str>>) -> Result<Self, RequestError> {
        let value = value.into();
        let well_formed = extensions::offers(value.as_bytes()).all(|offer| offer.is_ok());
        if !well_formed || extensions::offers(value.as_bytes()).next().is_none() {
            return Err(RequestError::Extensions(value.into_owned()));
        }
        self.extensions = Some(value);
        Ok(self)
    }

    /// Adds a header: Origin, Authorization, Cookie and the like.
    ///
    /// # Errors
    ///
    /// A name that is not a token, a value with a control byte; Host, Upgrade, Connection,
    /// Content-Length, Transfer-Encoding and all that start with `Sec-WebSocket-`.
    pub fn header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Result<Self, RequestError> {
        let name = name.into();
        if is_ours(&name) || name.eq_ignore_ascii_case("host") {
            return Err(RequestError::HeaderForbidden(name.into_owned()));
        }
        if !self.headers.push(name.clone(), value) {
            return Err(RequestError::Header(name.into_owned()));
        }
        Ok(self)
    }

    /// Appends the request to `out`. Nothing may follow it before the answer is verified.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut write = |parts: &[&str]| {
            for part in parts {
                out.extend_from_slice(part.as_bytes());
            }
        };
        write(&["GET ", &self.target, " HTTP/1.1\r\nHost: ", &self.host, "\r\n"]);
        write(&["Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "]);
        write(&[VERSION, "\r\nSec-WebSocket-Key: "]);
        out.extend_from_slice(self.key.as_bytes());
        out.extend_from_slice(b"\r\n");
        for (index, subprotocol) in self.subprotocols.iter().enumerate() {
            let before = if index == 0 { "Sec-WebSocket-Protocol: " } else { ", " };
            out.extend_from_slice(before.as_bytes());
            out.extend_from_slice(subprotocol.as_bytes());
        }
        if !self.subprotocols.is_empty() {
            out.extend_from_slice(b"\r\n");
        }
        if let Some(extensions) = &self.extensions {
            for part in ["Sec-WebSocket-Extensions: ", &**extensions, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        self.headers.encode(out);
        out.extend_from_slice(b"\r\n");
    }

    /// The key that was sent.
    pub(super) const fn key(&self) -> &Key {
        &self.key
    }

    /// Whether this subprotocol was offered. Compared with case, as they are sent.
    pub(super) fn offers_subprotocol(&self, name: &str) -> bool {
        self.subprotocols.iter().any(|offered| offered == name)
    }

    /// Whether an extension of this name was offered.
    pub(super) fn offers_extension(&self, name: &str) -> bool {
        let value = self.extensions.as_deref().unwrap_or_default();
        extensions::offers(value.as_bytes()).flatten().any(|offer| offer.name() == name)
    }

    /// The extensions that were offered, in order of preference: an extension holds its answer
    /// against them.
    pub fn offered_extensions(&self) -> impl Iterator<Item = ExtensionOffer<'_>> {
        extensions::offers(self.extensions.as_deref().unwrap_or_default().as_bytes()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; 16] = *b"the sample nonce";

    fn request() -> ClientRequest {
        ClientRequest::new("a.example:81", "/x?y", NONCE).unwrap()
    }

    #[test]
    fn rfc6455_4_1_the_request_to_the_byte() {
        let request = request().subprotocol("a").and_then(|it| it.subprotocol("b.v2")).unwrap();
        let request = request.extensions("permessage-deflate; client_max_window_bits").unwrap();
        let request = request.header("Origin", "null").and_then(|it| it.header("X", "")).unwrap();
        let mut out = Vec::new();
        request.encode(&mut out);
        let expected = "GET /x?y HTTP/1.1\r\nHost: a.example:81\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: a, b.v2\r\n\
            Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
            Origin: null\r\nX: \r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn what_may_not_be_sent_is_refused() {
        for target in ["", "x", "*", "/a b", "/a#b", "/\r\nX: 1", "/\u{e9}", "http://a/"] {
            let refused = ClientRequest::new("a", target, NONCE);
            assert_eq!(refused.err(), Some(RequestError::Target(target.to_owned())));
        }
        for host in ["", "a b", "u@a", "a/b", "a\r\nX: 1", "::1", ":80"] {
            let refused = ClientRequest::new(host, "/", NONCE);
            assert_eq!(refused.err(), Some(RequestError::Host(host.to_owned())));
        }
        for name in ["", "a b", "a,b", "a\r\n", "\u{e9}", "\"a\""] {
            let refused = request().subprotocol(name);
            assert_eq!(refused.err(), Some(RequestError::Subprotocol(name.to_owned())));
        }
        let refused = request().subprotocol("a").unwrap().subprotocol("a");
        assert_eq!(refused.err(), Some(RequestError::SubprotocolRepeated("a".to_owned())));
        let many = (0..32).try_fold(request(), |it, n| it.subprotocol(format!("p{n}"))).unwrap();
        assert_eq!(many.subprotocol("one").err(), Some(RequestError::TooManySubprotocols));
        for value in ["", " , ", "a b", "a; b=", "a\r\nX: 1", "a;b=\"c d\""] {
            let refused = request().extensions(value);
            assert_eq!(refused.err(), Some(RequestError::Extensions(value.to_owned())));
        }
        for name in ["host", "UPGRADE", "Connection", "Content-Length", "Transfer-Encoding"]
            .into_iter()
            .chain(["Sec-WebSocket-Key", "sec-websocket-protocol", "Sec-WebSocket-Anything"])
        {
            let refused = request().header(name, "x");
            assert_eq!(refused.err(), Some(RequestError::HeaderForbidden(name.to_owned())));
        }
        for (name, value) in [("X", "a\r\nY: b"), ("X Y", "a"), ("", "a"), ("X", "a\0")] {
            let refused = request().header(name, value);
            assert_eq!(refused.err(), Some(RequestError::Header(name.to_owned())));
        }
    }
}
