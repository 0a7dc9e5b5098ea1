//! What can go wrong for a client, and who was wrong.
//!
//! Owns the one error type of this layer. A normal close is an event, never an error.

use super::{Answer, ProxyError, UrlError};
use crate::frame::CloseCode;
use crate::handshake::{AnswerError, RequestError};
use crate::http::ResponseError;
use crate::proto::{ProtocolError, SendError};
use std::error::Error;
use std::io;

/// Why a connection could not be opened, or did not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The URL is none; nothing was connected.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The URL is `wss://`, and this build has no TLS.
    #[error("wss:// needs TLS, which this build does not have")]
    TlsNotBuilt,
    /// TLS cannot be set up here: there is nobody to trust. Nothing was connected.
    #[error("no TLS: {0}")]
    TlsSetup(Box<dyn Error + Send + Sync>),
    /// The server is not whom it should be, by its certificate, or does not speak TLS as this
    /// client does.
    #[error("the TLS handshake failed: {0}")]
    Tls(io::Error),
    /// A header, a subprotocol or an extension offer may not be sent; nothing was connected.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The proxy's URL is none, or the proxy refused.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The name has no address.
    #[error("{host} cannot be resolved: {error}")]
    Resolve { host: String, error: io::Error },
    /// None of the addresses could be connected to; the last one said this.
    #[error("{host} cannot be connected to: {error}")]
    Connect { host: String, error: io::Error },
    /// What came back is no HTTP response.
    #[error("the answer is no valid HTTP response: {0}")]
    Head(#[from] ResponseError),
    /// The server's half of the handshake is wrong (RFC 6455, section 4.1).
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The server's answer about permessage-deflate is wrong (RFC 7692, section 5).
    #[error(transparent)]
    Extension(#[from] crate::extension::AnswerError),
    /// The server answered as plain HTTP: a refusal, or a redirect that is not followed.
    #[error("the server answered {} instead of opening a WebSocket", .0.status_line())]
    Refused(Box<Answer>),
    /// More redirects than [`Connect::redirects`](super::Connect::redirects) allows.
    #[error("the server redirected too often")]
    TooManyRedirects,
    /// A redirect without a usable Location, or from `wss` to `ws`.
    #[error("the server redirected to nowhere this client may go")]
    Redirect,
    /// It took too long. After `Read` and `Write` the connection can still be used.
    #[error("timed out: {0}")]
    Timeout(Step),
    /// The server broke the protocol; it was told so with a Close (RFC 6455, section 7.1.7).
    #[error("the server broke the protocol: {0}")]
    Protocol(ProtocolError),
    /// The transport ended without a Close: 1006, as the RFC calls it (section 7.1.5).
    #[error("the connection was lost{}", .0.as_ref().map(|e| format!(": {e}")).unwrap_or_default())]
    Lost(Option<io::Error>),
    /// The connection is closed, or closing: nothing can be sent, and nothing more comes.
    #[error("the connection is closed")]
    Closed,
    /// The system's generator gives nothing, and without it no frame can be masked.
    #[error("the system gives no randomness")]
    Random,
    /// A hook of the caller's said no.
    #[error(transparent)]
    Hook(Box<dyn Error + Send + Sync>),
}

/// Who was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Culprit {
    /// What was asked for cannot be done.
    Caller,
    /// The proxy.
    Proxy,
    /// The network between, or a peer that is not there.
    Network,
    /// The server.
    Server,
    /// The system that this runs on.
    System,
}

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Step {
    #[error("another connection to the same address is still being opened")]
    Turn,
    #[error("connecting")]
    Connect,
    #[error("the proxy's answer")]
    Proxy,
    #[error("the server's handshake")]
    Handshake,
    #[error("reading")]
    Read,
    #[error("writing")]
    Write,
    #[error("any sign of life after a ping")]
    Pong,
    #[error("the server's part of the close handshake")]
    Close,
}

impl ClientError {
    /// Who was wrong.
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::Url(_) | Self::TlsNotBuilt | Self::Request(_) | Self::Closed | Self::Hook(_) => {
                Culprit::Caller
            }
            Self::Proxy(ProxyError::Url) => Culprit::Caller,
            Self::Proxy(_) | Self::Timeout(Step::Proxy) => Culprit::Proxy,
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Lost(_)
            | Self::Timeout(Step::Connect | Step::Read | Step::Write | Step::Pong) => {
                Culprit::Network
            }
            Self::Head(_)
            | Self::Tls(_)
            | Self::Answer(_)
            | Self::Extension(_)
            | Self::Refused(_)
            | Self::TooManyRedirects
            | Self::Redirect
            | Self::Protocol(_)
            | Self::Timeout(Step::Handshake | Step::Close) => Culprit::Server,
            Self::Timeout(Step::Turn) => Culprit::Caller,
            Self::Random | Self::TlsSetup(_) => Culprit::System,
        }
    }

    /// The close code that the RFC's API reports for the end of a connection on which no Close was
    /// received: 1006 (section 7.1.5). `None` where no connection ended.
    pub const fn close_code(&self) -> Option<u16> {
        match self {
            Self::Protocol(_) | Self::Lost(_) | Self::Timeout(Step::Pong | Step::Close) => {
                Some(Self::ABNORMAL)
            }
            Self::Url(_)
            | Self::TlsNotBuilt
            | Self::TlsSetup(_)
            | Self::Tls(_)
            | Self::Request(_)
            | Self::Proxy(_)
            | Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Head(_)
            | Self::Answer(_)
            | Self::Extension(_)
            | Self::Refused(_)
            | Self::TooManyRedirects
            | Self::Redirect
            | Self::Timeout(_)
            | Self::Closed
            | Self::Random
            | Self::Hook(_) => None,
        }
    }

    /// No [`CloseCode`], as it never goes over the wire.
    const ABNORMAL: u16 = {
        assert!(CloseCode::new(1006).is_none());
        1006
    };
}

impl From<SendError> for ClientError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Closed | SendError::Backlogged => Self::Closed,
        }
    }
}
