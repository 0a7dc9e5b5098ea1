//! Messages to bytes, and the close handshake (RFC 6455 sections 5.5, 6.1 and 7).
//!
//! Owns what may still be said on a connection. Never keeps a byte: it appends to the caller's
//! buffer.

use crate::frame::{CONTROL_PAYLOAD_MAX, CloseCode, HEADER_LEN_MAX, Header, Opcode, apply_mask};

use super::{Close, Message, ProtocolError, RSV1, SendError};

/// The longest reason in a Close frame, in bytes, beside the code.
const REASON_MAX: usize = CONTROL_PAYLOAD_MAX - 2;

/// What is copied is masked while it stands in the first-level cache.
const BLOCK: usize = 16 << 10;

/// The write half of a connection: one byte of state.
///
/// A client passes a fresh, unpredictable masking key with each frame (RFC 6455 section 5.3); a
/// server passes `None`.
///
/// ```
/// use throng::proto::{Message, Outbound};
///
/// let (mut outbound, mut bytes) = (Outbound::new(), Vec::new());
/// outbound.send(Message::text("Hello"), None, &mut bytes).unwrap();
/// assert_eq!(bytes, b"\x81\x05Hello");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    state: State,
}

/// ```text
///            close                    Close received
///   Open ────────────► CloseSent ────────────────────► Done
///     │                                                 ▲
///     └─ Close received: answered at once ──────────────┤
///     └─ fail: Close sent, nothing more is listened to ─┘
/// ```
///
/// The RFC's "close received" is no state of its own: the answer leaves with the same call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
enum State {
    #[default]
    Open,
    /// Our Close is out, the peer's is awaited.
    CloseSent,
    /// Nothing more is said. Write what is left and close the transport.
    Done,
}

impl Outbound {
    /// A connection that has just been opened.
    pub const fn new() -> Self {
        Self { state: State::Open }
    }

    /// Whether messages may be sent.
    #[inline]
    pub const fn is_open(self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether nothing more will be said: write what is left and close the transport.
    #[inline]
    pub const fn is_done(self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Appends a message, as one frame.
    ///
    /// # Errors
    /// [`SendError::Closed`] after a Close (RFC 6455 section 5.5.1: no data frame after it).
    #[inline]
    pub fn send(
        self,
        message: Message<'_>,
        mask: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        self.send_with(0, message, mask, out)
    }

    /// Appends a message whose payload is compressed already: RSV1 says so (RFC 7692 section 6).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_deflated(
        self,
        message: Message<'_>,
        mask: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        self.send_with(RSV1, message, mask, out)
    }

    #[inline]
    fn send_with(
        self,
        rsv: u8,
        message: Message<'_>,
        mask: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        if !self.is_open() {
            return Err(SendError::Closed);
        }
        encode(message.kind.opcode(), rsv, message.payload, mask, out);
        Ok(())
    }

    /// Appends a ping of at most 125 bytes; what is longer is cut.
    ///
    /// # Errors
    /// [`SendError::Closed`] after a Close.
    pub fn ping(
        self,
        payload: &[u8],
        mask: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        if !self.is_open() {
            return Err(SendError::Closed);
        }
        let payload = &payload[..payload.len().min(CONTROL_PAYLOAD_MAX)];
        encode(Opcode::Ping, 0, payload, mask, out);
        Ok(())
    }

    /// Appends the answer to a ping: also between our Close and the peer's (RFC 6455 section
    /// 5.5.2).
    ///
    /// # Errors
    /// [`SendError::Closed`] once the peer's Close has come.
    #[inline]
    pub fn pong(
        self,
        payload: &[u8],
        mask: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        if self.is_done() {
            return Err(SendError::Closed);
        }
        let payload = &payload[..payload.len().min(CONTROL_PAYLOAD_MAX)];
        encode(Opcode::Pong, 0, payload, mask, out);
        Ok(())
    }

    /// Starts the close handshake. A reason over 123 bytes is cut between two characters; without a
    /// code there is no reason.
    ///
    /// # Errors
    /// [`SendError::Closed`] where a Close went out already.
    pub fn close(
        &mut self,
        close: Close<'_>,
        mask: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        if !self.is_open() {
            return Err(SendError::Closed);
        }
        encode_close(close, mask, out);
        self.state = State::CloseSent;
        Ok(())
    }

    /// Takes the peer's Close: answers it with the same code, unless it is itself the answer (RFC
    /// 6455 section 5.5.1).
    pub fn receive_close(&mut self, close: Close<'_>, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
        if self.is_open() {
            encode_close(Close { reason: "", ..close }, mask, out);
        }
        self.state = State::Done;
    }

    /// Fails the connection (RFC 6455 section 7.1.7): says why, and is done.
    pub fn fail(&mut self, error: ProtocolError, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
        self.fail_with(error.close_code(), &error.to_string(), mask, out);
    }

    /// As [`fail`](Self::fail), with a code and reason of the caller's.
    pub fn fail_with(
        &mut self,
        code: CloseCode,
        reason: &str,
        mask: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) {
        if self.is_open() {
            encode_close(Close { code: Some(code), reason }, mask, out);
        }
        self.state = State::Done;
    }
}

/// Appends one frame, final, in the shortest form.
#[inline]
fn encode(opcode: Opcode, rsv: u8, payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    if mask.is_some() || payload.len() > CONTROL_PAYLOAD_MAX {
        return encode_any(opcode, rsv, payload, mask, out);
    }
    // The common case in few steps: two bytes of header, and no call for them.
    out.reserve(2 + payload.len());
    out.extend_from_slice(&[Header::FIN | rsv | opcode as u8, payload.len() as u8]);
    out.extend_from_slice(payload);
}

fn encode_any(opcode: Opcode, rsv: u8, payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let mut header = [0; HEADER_LEN_MAX];
    let payload_len = payload.len() as u64;
    let len = Header { fin: true, rsv, opcode, mask, payload_len }.encode(&mut header);
    out.reserve(len + payload.len());
    out.extend_from_slice(&header[..len]);
    let Some(key) = mask else { return out.extend_from_slice(payload) };
    for block in payload.chunks(BLOCK) {
        let start = out.len();
        out.extend_from_slice(block);
        apply_mask(&mut out[start..], key, 0); // a block is a multiple of four: the key is in step
    }
}

fn encode_close(close: Close<'_>, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let Some(code) = close.code else { return encode(Opcode::Close, 0, &[], mask, out) };
    let reason = &close.reason[..close.reason.floor_char_boundary(REASON_MAX)];
    let mut body = [0; CONTROL_PAYLOAD_MAX];
    body[..2].copy_from_slice(&code.get().to_be_bytes());
    body[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
    encode(Opcode::Close, 0, &body[..2 + reason.len()], mask, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_after_a_close_but_pongs_until_the_peers() {
        let (mut outbound, mut bytes) = (Outbound::new(), Vec::new());
        let normal = Close { code: Some(CloseCode::NORMAL), reason: "bye" };
        outbound.close(normal, None, &mut bytes).unwrap();
        assert_eq!(bytes, b"\x88\x05\x03\xE8bye");
        bytes.clear();
        assert_eq!(outbound.send(Message::text("x"), None, &mut bytes), Err(SendError::Closed));
        assert_eq!(outbound.ping(b"", None, &mut bytes), Err(SendError::Closed));
        assert_eq!(outbound.close(normal, None, &mut bytes), Err(SendError::Closed));
        assert!(bytes.is_empty());
        outbound.pong(b"p", None, &mut bytes).unwrap();
        assert_eq!(bytes, b"\x8A\x01p");
        bytes.clear();
        outbound.receive_close(normal, None, &mut bytes); // both at once: no second Close
        assert!(bytes.is_empty() && outbound.is_done());
        assert_eq!(outbound.pong(b"p", None, &mut bytes), Err(SendError::Closed));
    }

    #[test]
    fn a_close_is_answered_once_with_its_code() {
        for (code, answer) in
            [(None, &b"\x88\x00"[..]), (CloseCode::new(4000), b"\x88\x02\x0F\xA0")]
        {
            let (mut outbound, mut bytes) = (Outbound::new(), Vec::new());
            outbound.receive_close(Close { code, reason: "why" }, None, &mut bytes);
            outbound.receive_close(Close { code, reason: "why" }, None, &mut bytes);
            assert_eq!(bytes, answer);
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let (mut outbound, mut bytes) = (Outbound::new(), Vec::new());
        let reason = "é".repeat(100);
        outbound.fail_with(CloseCode::POLICY_VIOLATION, &reason, None, &mut bytes);
        assert_eq!(bytes.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&bytes[4..]).is_ok());
    }

    #[test]
    fn a_client_masks() {
        let (outbound, mut bytes) = (Outbound::new(), Vec::new());
        let key = Some([0x37, 0xFA, 0x21, 0x3D]);
        outbound.send(Message::text("Hello"), key, &mut bytes).unwrap();
        let wire = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
        assert_eq!(bytes, wire); // RFC 6455 section 5.7
    }
}
