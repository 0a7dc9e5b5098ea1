//! The bytes that have come and were not looked at yet.
//!
//! Owns the receive buffer and where a frame ends in it, so that one event can be taken at a time.
//! Never judges a frame: that is [`Inbound`](crate::proto::Inbound).

use std::io;
use std::ops::Range;
use std::time::Duration;

use super::transport::Transport;
use crate::frame::{Decoded, HEADER_LEN_MAX, Header};

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
    /// The beginning of a header that a read has cut. It was handed out; it is kept for its length.
    header: [u8; HEADER_LEN_MAX],
    header_len: usize,
}

impl Input {
    /// Starts with what came glued to the handshake.
    pub(super) fn new(glued: &[u8]) -> Self {
        let mut bytes = vec![0; BUFFER_BYTES.max(glued.len())];
        bytes[..glued.len()].copy_from_slice(glued);
        let header = [0; HEADER_LEN_MAX];
        Self { bytes, fresh: 0..glued.len(), frame_left: 0, header, header_len: 0 }
    }

    /// The next bytes, of one frame only: its beginning, or more of it. `None` where more has to be
    /// read first.
    pub(super) fn next_piece(&mut self) -> Option<&mut [u8]> {
        if self.fresh.is_empty() {
            return None;
        }
        if self.frame_left == 0 {
            self.frame_left = self.begin_frame();
        }
        let most = usize::try_from(self.frame_left).unwrap_or(usize::MAX);
        let start = self.fresh.start;
        let end = start + self.fresh.len().min(most);
        self.frame_left -= (end - start) as u64;
        self.fresh.start = end;
        Some(&mut self.bytes[start..end])
    }

    /// How much of what comes belongs to the frame that begins here, or began with the last read.
    fn begin_frame(&mut self) -> u64 {
        let fresh = &self.bytes[self.fresh.clone()];
        let have = self.header_len;
        let len = HEADER_LEN_MAX.min(have + fresh.len());
        self.header[have..len].copy_from_slice(&fresh[..len - have]);
        match Header::decode(&self.header[..len]) {
            Ok(Decoded::Whole(header, header_len)) => {
                self.header_len = 0;
                header.payload_len.saturating_add((header_len - have) as u64)
            }
            Ok(Decoded::Partial(_)) => {
                self.header_len = len;
                fresh.len() as u64
            }
            Err(_) => fresh.len() as u64, // refused by who knows the rules; nothing is read after
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces in what came glued to the handshake, and the bytes in them.
    fn pieces(glued: &[u8]) -> Vec<Vec<u8>> {
        let mut input = Input::new(glued);
        std::iter::from_fn(|| input.next_piece().map(|piece| piece.to_vec())).collect()
    }

    #[test]
    fn a_piece_never_holds_two_frames() {
        assert!(pieces(b"").is_empty());
        assert_eq!(
            pieces(b"\x81\x01a\x89\x00\x81\x00\x81\x02b"),
            [&b"\x81\x01a"[..], b"\x89\x00", b"\x81\x00", b"\x81\x02b",]
        );
        let mut long = b"\x82\x7e\x01\x00".to_vec();
        long.extend([7; 256]);
        long.extend(b"\x81");
        assert_eq!(pieces(&long).iter().map(Vec::len).collect::<Vec<_>>(), [260, 1]);
        assert_eq!(pieces(b"\x83\x01a\x81\x00"), [b"\x83\x01a\x81\x00"]); // a reserved opcode
    }

    #[test]
    fn a_header_may_be_cut_anywhere() {
        let mut stream = b"\x82\x7e\x01\x00".to_vec();
        stream.extend([7; 256]);
        stream.extend(b"\x81\x01a");
        for cut in 1..stream.len() {
            let mut input = Input::new(&stream[..cut]);
            let mut sizes = Vec::new();
            while let Some(piece) = input.next_piece() {
                sizes.push(piece.len());
            }
            let rest = &stream[cut..]; // as if read
            input.bytes[..rest.len()].copy_from_slice(rest);
            input.fresh = 0..rest.len();
            while let Some(piece) = input.next_piece() {
                sizes.push(piece.len());
            }
            assert_eq!(sizes.iter().sum::<usize>(), 263);
            assert!(sizes.contains(&3) || cut > 259, "{cut}: {sizes:?}");
        }
    }
}
