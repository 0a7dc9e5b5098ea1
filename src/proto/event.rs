//! What arrives on a connection.
//!
//! Owns the events and the messages that they lend. Never copies a payload.

use crate::frame::{CloseCode, Opcode};

use super::ProtocolError;

/// Text or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
}

impl MessageKind {
    /// The opcode of the first frame of such a message.
    #[inline]
    pub const fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// A whole message, borrowed.
///
/// ```
/// use throng::proto::Message;
///
/// assert_eq!(Message::text("hi").as_text(), Some("hi"));
/// assert_eq!(Message::binary(b"hi").as_text(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Text or bytes.
    pub kind: MessageKind,
    /// The payload: unmasked, and UTF-8 where the kind is text.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// A text message.
    pub const fn text(text: &'a str) -> Self {
        Self { kind: MessageKind::Text, payload: text.as_bytes() }
    }

    /// A binary message.
    pub const fn binary(payload: &'a [u8]) -> Self {
        Self { kind: MessageKind::Binary, payload }
    }

    /// The text of a text message. Costs one more pass over it: a parser that takes bytes, as
    /// `serde_json::from_slice`, needs none.
    pub fn as_text(&self) -> Option<&'a str> {
        match self.kind {
            MessageKind::Text => std::str::from_utf8(self.payload).ok(),
            MessageKind::Binary => None,
        }
    }
}

/// A piece of a message, in order, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Text or bytes. A text may be cut inside a code point; what has come is the beginning of
    /// some UTF-8 text.
    pub kind: MessageKind,
    /// Whether the message ends here.
    pub last: bool,
    /// The bytes, unmasked.
    pub payload: &'a [u8],
}

/// The body of a Close frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Close<'a> {
    /// The code; `None` where the frame has no body, which the API calls 1005 (RFC 6455 section
    /// 7.1.5).
    pub code: Option<CloseCode>,
    /// The reason, often empty (RFC 6455 section 7.1.6).
    pub reason: &'a str,
}

impl<'a> Close<'a> {
    /// Reads the body of a Close frame.
    ///
    /// # Errors
    /// A body of one byte, a code that may not be sent, a reason that is not UTF-8 (RFC 6455
    /// sections 5.5.1 and 7.4).
    pub fn parse(body: &'a [u8]) -> Result<Self, ProtocolError> {
        match body {
            [] => Ok(Self::default()),
            [_] => Err(ProtocolError::CloseTooShort),
            [high, low, reason @ ..] => {
                let code = CloseCode::new(u16::from_be_bytes([*high, *low]))
                    .ok_or(ProtocolError::CloseCode)?;
                let reason = std::str::from_utf8(reason)
                    .map_err(|_| ProtocolError::InvalidUtf8(crate::frame::InvalidUtf8))?;
                Ok(Self { code: Some(code), reason })
            }
        }
    }
}

/// What [`Inbound`](super::Inbound) found in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole message, with [`Delivery::Whole`](super::Delivery::Whole).
    Message(Message<'a>),
    /// A piece of one, with [`Delivery::Chunks`](super::Delivery::Chunks).
    Chunk(Chunk<'a>),
    /// A ping: answer it with a pong of the same payload (RFC 6455 section 5.5.2).
    Ping(&'a [u8]),
    /// A pong, asked for or not.
    Pong(&'a [u8]),
    /// The peer closes. Nothing follows.
    Close(Close<'a>),
}

impl Event<'_> {
    /// How many bytes of messages it brings.
    #[expect(clippy::len_without_is_empty, reason = "an event is no collection")]
    pub const fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.payload.len(),
            Self::Chunk(chunk) => chunk.payload.len(),
            Self::Ping(_) | Self::Pong(_) | Self::Close(_) => 0,
        }
    }
}
