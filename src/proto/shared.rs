//! A message encoded once and sent to many (RFC 6455 section 5.1: a server's frames are not
//! masked, so they are the same for every peer).
//!
//! Owns the bytes of one frame. Never changes them.

use std::sync::Arc;

use crate::frame::{HEADER_LEN_MAX, Header};

use super::Message;

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
}

impl SharedFrame {
    /// Encodes a message.
    pub fn new(message: Message<'_>) -> Self {
        let mut header = [0; HEADER_LEN_MAX];
        let header_len = Header {
            fin: true,
            rsv: 0,
            opcode: message.kind.opcode(),
            mask: None,
            payload_len: message.payload.len() as u64,
        }
        .encode(&mut header);
        let mut bytes = Vec::with_capacity(header_len + message.payload.len());
        bytes.extend_from_slice(&header[..header_len]);
        bytes.extend_from_slice(message.payload);
        Self { bytes: bytes.into() }
    }

    /// The frame as it goes over the wire.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
