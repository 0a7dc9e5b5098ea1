//! Why an opening handshake is refused, and the response that says so.
//!
//! Owns the one match from fault to status. Never decides about origin, rights or paths: those
//! refusals are the application's.

use super::VERSION;
use crate::http::{HttpError, Response};

/// A fault of a WebSocket handshake. After one the connection is answered and closed.
///
/// ```
/// use throng::handshake::HandshakeError;
///
/// let response = HandshakeError::Version.response();
/// assert_eq!(response.status(), 426);
/// assert!(response.header_lines().contains("Sec-WebSocket-Version"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("a WebSocket handshake is a GET request")]
    Method,
    #[error("a WebSocket handshake needs HTTP/1.1")]
    HttpVersion,
    #[error("the Upgrade header does not name websocket: does a proxy remove it?")]
    Upgrade,
    #[error("the Connection header does not name Upgrade: does a proxy remove it?")]
    Connection,
    #[error("the WebSocket version is missing or not supported: use 13")]
    Version,
    #[error("there is more than one Sec-WebSocket-Version header")]
    VersionRepeated,
    #[error("the Sec-WebSocket-Key header is missing")]
    KeyMissing,
    #[error("there is more than one Sec-WebSocket-Key header")]
    KeyRepeated,
    #[error("the Sec-WebSocket-Key is not base64 of 16 bytes")]
    KeyInvalid,
    #[error("a WebSocket handshake has no body")]
    Body,
    #[error("the Origin header is malformed or given more than once")]
    Origin,
    #[error("the Sec-WebSocket-Protocol header is malformed")]
    Subprotocols,
    #[error("the Sec-WebSocket-Protocol header names a subprotocol twice")]
    SubprotocolRepeated,
    #[error("the Sec-WebSocket-Protocol header names more subprotocols than this server accepts")]
    TooManySubprotocols,
    #[error("the Sec-WebSocket-Extensions header is malformed")]
    Extensions,
    #[error("the server chose a subprotocol that the client did not offer")]
    SubprotocolNotOffered,
}

impl HandshakeError {
    /// The status code that answers this fault.
    pub const fn status(self) -> u16 {
        match self {
            Self::Http(error) => error.status(),
            Self::HttpVersion
            | Self::Connection
            | Self::VersionRepeated
            | Self::KeyMissing
            | Self::KeyRepeated
            | Self::KeyInvalid
            | Self::Body
            | Self::Origin
            | Self::Subprotocols
            | Self::SubprotocolRepeated
            | Self::Extensions => 400,
            Self::Method => 405,
            Self::Upgrade | Self::Version => 426,
            Self::TooManySubprotocols => 431,
            Self::SubprotocolNotOffered => 500,
        }
    }

    /// The answer: plain text that names the fault, `Connection: close`, and what the status
    /// demands: Allow with 405 (RFC 9110, section 15.5.6), Upgrade with 426 (section 15.5.22), and
    /// the version that the server speaks (RFC 6455, section 4.4).
    pub fn response(self) -> Response {
        let words = self.to_string();
        let response = Response::text(self.status(), format!("{words}\n")).because(words).close();
        match self.status() {
            405 => response.header("Allow", "GET"),
            426 => response.header("Upgrade", "websocket").header("Sec-WebSocket-Version", VERSION),
            _ => response,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::EncodeOptions;

    fn encoded(error: HandshakeError) -> String {
        let mut out = Vec::new();
        error.response().encode(&mut out, EncodeOptions::CLOSE);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rfc6455_4_4_the_refusal_lists_the_version() {
        for error in [HandshakeError::Version, HandshakeError::Upgrade] {
            let text = encoded(error);
            assert!(text.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{text}");
            assert!(text.contains("\r\nConnection: Upgrade, close\r\n"), "{text}");
            assert!(text.contains("\r\nUpgrade: websocket\r\n"), "{text}");
            assert!(text.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{text}");
        }
    }

    #[test]
    fn the_other_refusals() {
        let text = encoded(HandshakeError::Method);
        assert!(text.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{text}");
        assert!(text.contains("\r\nAllow: GET\r\n"), "{text}");
        let error = HandshakeError::from(HttpError::HeadTooLarge);
        assert_eq!(error.status(), 431);
        assert_eq!(error.to_string(), HttpError::HeadTooLarge.to_string());
    }
}
