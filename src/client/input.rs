//! The bytes that have come and were not looked at yet.
//!
//! Owns the receive buffer and where a frame ends in it, so that one event can be taken at a time.
//! Never judges a frame: that is [`Inbound`](crate::proto::Inbound).

use std::io;
use std::ops::Range;
use std::time::Duration;

use super::transport::Transport;
use crate::frame::{Decoded, Header};

/// How much is read at once. A larger buffer would not make large messages faster.
const BUFFER_BYTES: usize = 64 << 10;

/// The receive buffer of one connection.
#[derive(Debug)]
pub(super) struct Input {
    bytes: Vec<u8>,
    /// What was not handed out yet.
    fresh: Range<usize>,
    /// How much of the current frame is still to be handed out.
    frame_left: u64,
}

impl Input {
    /// Starts with what came glued to the handshake.
    pub(super) fn new(glued: &[u8]) -> Self {
        let mut bytes = vec![0; BUFFER_BYTES.max(glued.len())];
        bytes[..glued.len()].copy_from_slice(glued);
        Self { bytes, fresh: 0..glued.len(), frame_left: 0 }
    }

    /// The next bytes, of one frame only: its beginning with the whole header, or more of it.
    /// `None` where more has to be read first.
    pub(super) fn next_piece(&mut self) -> Option<&mut [u8]> {
        let fresh = &self.bytes[self.fresh.clone()];
        if fresh.is_empty() {
            return None;
        }
        if self.frame_left == 0 {
            self.frame_left = match Header::decode(fresh) {
                Ok(Decoded::Whole(header, len)) => header.payload_len.saturating_add(len as u64),
                // A bad header is handed on, to be refused by who knows the rules; and so is the
                // beginning of one, which may be bad already.
                Ok(Decoded::Partial(_)) | Err(_) => fresh.len() as u64,
            };
        }
        let most = usize::try_from(self.frame_left).unwrap_or(usize::MAX);
        let start = self.fresh.start;
        let end = start + fresh.len().min(most);
        self.frame_left -= (end - start) as u64;
        self.fresh.start = end;
        Some(&mut self.bytes[start..end])
    }

    /// Reads more; see [`Transport::read`].
    pub(super) fn fill(
        &mut self,
        transport: &mut Transport,
        wait: Option<Duration>,
    ) -> io::Result<Option<usize>> {
        let count = transport.read(&mut self.bytes, wait)?;
        self.fresh = 0..count.unwrap_or(0);
        Ok(count)
    }
}
