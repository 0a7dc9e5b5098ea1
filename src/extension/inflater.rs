//! Messages get whole again.
//!
//! Owns one decompressor and whether its message has ended as it should. Never writes more than it
//! is given room for, and never goes on after a fault: what a message left behind is not read as
//! part of the next one.

use super::TAIL;
use std::fmt;
use zlib_rs::{Inflate, InflateFlush, Status};

/// Any agreed window fits into this one. zlib-rs gives every decompressor 2^15 bytes, so a smaller
/// number would save nothing, and its reset goes back to 15 anyway.
const WINDOW_BITS: u8 = 15;

/// A message that is not what a compressor makes. It fails the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    #[error("the compressed message is not DEFLATE")]
    Malformed,
    #[error("the compressed message ends in the middle of a block")]
    Truncated,
}

/// A decompressor.
///
/// ```text
///            step: bytes              step: end of a final block
///   Fresh ──────────────► Within ◄────────────────────────────► Ended
///     ▲                   │    │                step: bytes       │
///     │   finish: whole   │    │ step, finish: a fault            │
///     ├───────────────────┘    ▼                                  │
///     │                     Failed ── reset ──► Fresh             │
///     └──────────────────────────── finish ───────────────────────┘
/// ```
///
/// A message, whose limit the caller keeps:
///
/// ```
/// use throng::extension::Inflater;
///
/// let mut inflater = Inflater::new();
/// let mut input: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
/// let (mut message, mut room) = (Vec::new(), [0; 4]);
/// loop {
///     let written = inflater.step(&mut input, &mut room)?;
///     message.extend_from_slice(&room[..written]); // more than the limit? then stop here
///     if written < room.len() {
///         break;
///     }
/// }
/// inflater.finish()?;
/// assert_eq!(message, b"Hello");
/// # Ok::<(), throng::extension::InflateError>(())
/// ```
pub struct Inflater {
    stream: Inflate,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing of a message has come.
    Fresh,
    /// Inside the blocks of a message.
    Within,
    /// Behind a block with BFINAL set. The message may end here, or go on with a new stream.
    Ended,
    /// Nothing is read until the reset.
    Failed(InflateError),
}

/// What one call of the library did.
struct Progress {
    consumed: usize,
    written: usize,
    status: Status,
}

impl Inflater {
    /// Allocates a decompressor that is right for every agreed window.
    pub fn new() -> Self {
        Self { stream: Inflate::new(false, WINDOW_BITS), state: State::Fresh }
    }

    /// Inflates from the front of `input` into `room`, takes what was read off `input`, and answers
    /// how many bytes were written.
    ///
    /// If `room` is full, there may be more: call again, also with an empty `input`. If it is not,
    /// `input` is used up and nothing is pending. `room` must not be empty.
    pub fn step(&mut self, input: &mut &[u8], room: &mut [u8]) -> Result<usize, InflateError> {
        debug_assert!(!room.is_empty(), "without room there is no progress");
        let mut total = 0;
        while !self.is_waiting(input)? && total < room.len() {
            let progress = self.run(input, &mut room[total..], InflateFlush::NoFlush)?;
            *input = &input[progress.consumed..];
            total += progress.written;
            match progress.status {
                Status::StreamEnd => self.state = State::Ended,
                Status::Ok | Status::BufError if input.is_empty() => break,
                // Input is left though there is room: no such case is known, and it must not spin.
                Status::BufError if total < room.len() => {
                    return Err(self.fail(InflateError::Malformed));
                }
                Status::Ok | Status::BufError => {}
            }
        }
        Ok(total)
    }

    /// Ends the message, after [`step`](Self::step) has used up its last byte (RFC 7692 section
    /// 7.2.2). The context stays for the next message; for none to stay, call
    /// [`reset`](Self::reset) too.
    ///
    /// With the tail put back the blocks must be whole, and end with a byte. Two messages more are
    /// taken, as nothing is missing in them: one that ends right behind a final block (section
    /// 7.2.3.4 has a byte 0x00 there), and one of no bytes at all, which some senders make of an
    /// empty message because zlib flushes nothing twice.
    pub fn finish(&mut self) -> Result<(), InflateError> {
        match self.state {
            State::Fresh => {}
            State::Ended => self.reset(),
            State::Failed(error) => return Err(error),
            State::Within => self.close_blocks()?,
        }
        self.state = State::Fresh;
        Ok(())
    }

    /// Forgets context, message and failure. Allocates nothing.
    pub fn reset(&mut self) {
        self.stream.reset(false);
        self.state = State::Fresh;
    }

    /// Whether there is nothing to do until more input comes. Begins a new stream where one is due.
    fn is_waiting(&mut self, input: &[u8]) -> Result<bool, InflateError> {
        match self.state {
            State::Failed(error) => return Err(error),
            State::Within => return Ok(false),
            State::Fresh | State::Ended if input.is_empty() => return Ok(true),
            State::Fresh => {}
            State::Ended => self.stream.reset(false),
        }
        self.state = State::Within;
        Ok(false)
    }

    /// The library does not tell where in its stream it is, so the tail and two probes find out. A
    /// byte behind the tail must stay unread, since the run stops at the block's end; and an empty
    /// stored block must then pass as one, which it does not with bits left over before it.
    fn close_blocks(&mut self) -> Result<(), InflateError> {
        const BEHIND: [u8; TAIL.len() + 1] = [TAIL[0], TAIL[1], TAIL[2], TAIL[3], 0x00];
        const EMPTY: [u8; TAIL.len() + 1] = [0x00, TAIL[0], TAIL[1], TAIL[2], TAIL[3]];
        // Whoever is inside a block may have something to write.
        let room = &mut [0];
        let end = self.run(&BEHIND, room, InflateFlush::Block)?;
        if (end.status, end.consumed, end.written) != (Status::Ok, TAIL.len(), 0) {
            return Err(self.fail(InflateError::Truncated));
        }
        let probe = self.run(&EMPTY, room, InflateFlush::NoFlush)?;
        match (probe.status, probe.consumed, probe.written) {
            (Status::Ok, consumed, 0) if consumed == EMPTY.len() => Ok(()),
            // The tail belonged to a final block.
            (Status::StreamEnd, 0, 0) => {
                self.reset();
                Ok(())
            }
            _ => Err(self.fail(InflateError::Truncated)),
        }
    }

    fn run(
        &mut self,
        input: &[u8],
        room: &mut [u8],
        flush: InflateFlush,
    ) -> Result<Progress, InflateError> {
        let (total_in, total_out) = (self.stream.total_in(), self.stream.total_out());
        match self.stream.decompress(input, room, flush) {
            Ok(status) => Ok(Progress {
                consumed: (self.stream.total_in() - total_in) as usize,
                written: (self.stream.total_out() - total_out) as usize,
                status,
            }),
            Err(_) => Err(self.fail(InflateError::Malformed)),
        }
    }

    fn fail(&mut self, error: InflateError) -> InflateError {
        self.state = State::Failed(error);
        error
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("state", &self.state).finish_non_exhaustive()
    }
}
