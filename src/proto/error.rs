//! What can go wrong on a connection.
//!
//! Owns the two error types and the close code of each fault. A normal close is an event, never an
//! error.

use crate::extension::InflateError;
use crate::frame::{CloseCode, HeaderError, InvalidUtf8};

/// What the peer did that the RFC, or a limit, forbids. The connection is failed with
/// [`close_code`](Self::close_code) and nothing more of what arrives is read (RFC 6455 section
/// 7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A header that nobody may send.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A reserved bit that no negotiated extension gives a meaning (RFC 6455 section 5.2).
    #[error("reserved bit set")]
    ReservedBits,
    /// A frame from a client that is not masked (RFC 6455 section 5.1).
    #[error("unmasked frame from a client")]
    Unmasked,
    /// A frame from a server that is masked (RFC 6455 section 5.1).
    #[error("masked frame from a server")]
    Masked,
    /// A continuation frame where no message is open (RFC 6455 section 5.4).
    #[error("continuation of no message")]
    UnexpectedContinuation,
    /// A new message inside a fragmented one (RFC 6455 section 5.4).
    #[error("new message inside a fragmented one")]
    ExpectedContinuation,
    /// Text, or a close reason, that is not UTF-8 (RFC 6455 sections 8.1 and 5.5.1).
    #[error(transparent)]
    InvalidUtf8(#[from] InvalidUtf8),
    /// A compressed message that is not what a compressor makes (RFC 7692 section 7.2.2).
    #[error(transparent)]
    Inflate(#[from] InflateError),
    /// A Close frame with a body of one byte (RFC 6455 section 5.5.1).
    #[error("close frame with half a code")]
    CloseTooShort,
    /// A close code that may not be sent (RFC 6455 section 7.4).
    #[error("close code that may not be sent")]
    CloseCode,
    /// A message over [`Settings::message_bytes_max`](super::Settings::message_bytes_max).
    #[error("message too big")]
    MessageTooBig,
    /// More fragments than [`Settings::fragments_max`](super::Settings::fragments_max).
    #[error("too many fragments")]
    TooManyFragments,
}

impl ProtocolError {
    /// The code that the connection is failed with.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::Header(_)
            | Self::ReservedBits
            | Self::Unmasked
            | Self::Masked
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::CloseTooShort
            | Self::CloseCode => CloseCode::PROTOCOL_ERROR,
            Self::InvalidUtf8(_) | Self::Inflate(_) => CloseCode::INVALID_PAYLOAD,
            Self::MessageTooBig | Self::TooManyFragments => CloseCode::MESSAGE_TOO_BIG,
        }
    }
}

/// Why a message was not taken for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The connection is closing, closed, or never was.
    #[error("the connection is not open")]
    Closed,
    /// The peer reads too slowly: what it is owed is at its limit.
    #[error("the peer reads too slowly")]
    Backlogged,
}
