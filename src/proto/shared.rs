//! A message encoded once and sent to many (RFC 6455 section 5.1: a server's frames are not
//! masked, so they are the same for every peer).
//!
//! Owns the bytes of one frame. Never changes them.

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::frame::{HEADER_LEN_MAX, Header};

use super::{Message, MessageKind, RSV1};

/// A server's frame, header and payload, that any number of connections and threads may hold.
///
/// ```
/// use throng::proto::{Message, SharedFrame};
///
/// let frame = SharedFrame::new(Message::text("hi"));
/// assert_eq!(frame.bytes(), b"\x81\x02hi");
/// ```
#[derive(Clone, Debug)]
pub struct SharedFrame {
    bytes: Arc<[u8]>,
    header_len: u8,
    kind: MessageKind,
    key: Option<NonZeroU64>,
}

impl SharedFrame {
    /// Encodes a message.
    pub fn new(message: Message<'_>) -> Self {
        Self::encode(message, 0)
    }

    /// Encodes a message whose payload is compressed: RSV1 says so (RFC 7692 section 6).
    pub fn deflated(message: Message<'_>) -> Self {
        Self::encode(message, RSV1)
    }

    fn encode(message: Message<'_>, rsv: u8) -> Self {
        let mut header = [0; HEADER_LEN_MAX];
        let header_len = Header {
            fin: true,
            rsv,
            opcode: message.kind.opcode(),
            mask: None,
            payload_len: message.payload.len() as u64,
        }
        .encode(&mut header);
        let mut bytes = Vec::with_capacity(header_len + message.payload.len());
        bytes.extend_from_slice(&header[..header_len]);
        bytes.extend_from_slice(message.payload);
        let header_len = header_len as u8;
        Self { bytes: bytes.into(), header_len, kind: message.kind, key: None }
    }

    /// The same, of a key: where a peer reads too slowly, it takes the place of earlier frames of
    /// that key. Who sends it says whether it does.
    #[must_use]
    pub fn keyed(self, key: NonZeroU64) -> Self {
        Self { key: Some(key), ..self }
    }

    /// What it takes the place of.
    #[inline]
    pub const fn key(&self) -> Option<NonZeroU64> {
        self.key
    }

    /// Text or bytes.
    pub const fn kind(&self) -> MessageKind {
        self.kind
    }

    /// The payload as it goes over the wire.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[usize::from(self.header_len)..]
    }

    /// The frame as it goes over the wire.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, to be held.
    pub(crate) fn to_bytes(&self) -> Arc<[u8]> {
        Arc::clone(&self.bytes)
    }
}
