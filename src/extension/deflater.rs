//! Messages get smaller.
//!
//! Owns one compressor. Never keeps a byte back: what it appends is a whole message, and if nothing
//! is gained it appends nothing.

use super::config::clamp_window;
use super::{Config, TAIL};
use std::fmt;
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

/// The first room for output beyond the payload's length. Also the least room ever: zlib repeats
/// the flush marker if there were no more than six bytes.
const ROOM_BYTES_MIN: usize = 64;
/// The most that is made ready before a message has shown how far it shrinks.
const ROOM_BYTES_FIRST_MAX: usize = 16 << 10;

/// A compressor.
///
/// ```
/// use throng::extension::{Config, Deflater};
///
/// let mut deflater = Deflater::new(&Config::default(), 15);
/// let mut out = Vec::new();
/// assert!(deflater.deflate(&[b'a'; 100], &mut out, true));
/// assert!(out.len() < 20);
/// ```
pub struct Deflater {
    stream: Deflate,
    /// Whether the stream has seen anything since it was reset.
    used: bool,
}

impl Deflater {
    /// Allocates a compressor with a window of 2^`window_bits` bytes (9 to 15), and with the level
    /// and memory level of `config`.
    pub fn new(config: &Config, window_bits: u8) -> Self {
        let config = DeflateConfig {
            level: i32::from(config.level.clamp(1, 9)),
            mem_level: i32::from(config.mem_level.clamp(1, 9)),
            window_bits: -i32::from(clamp_window(window_bits)), // negative: no zlib header
            ..DeflateConfig::default()
        };
        Self { stream: Deflate::new_with_config(config), used: false }
    }

    /// Appends one whole message to `out`, without the tail (RFC 7692 section 7.2.1).
    ///
    /// With `reset_after` the context ends with the message. Then a message that would not get
    /// smaller is given up: the answer is `false`, `out` is as it was, and the payload is to be
    /// sent as it is, which is allowed at any time (RFC 7692 section 6). Without `reset_after` the
    /// context is worth more than a few bytes, and the answer is `true`.
    pub fn deflate(&mut self, payload: &[u8], out: &mut Vec<u8>, reset_after: bool) -> bool {
        let start = out.len();
        let bytes_max = if reset_after { payload.len().saturating_sub(1) } else { usize::MAX };
        let appended = if payload.is_empty() {
            // zlib has nothing to say to a second flush in a row (RFC 7692 section 7.2.3.6).
            out.push(0x00);
            !reset_after
        } else {
            self.used = true;
            self.append(payload, out, bytes_max.saturating_add(TAIL.len())).is_some()
        };
        if !appended {
            self.drain(out, start);
        }
        if reset_after || !appended {
            self.reset();
        }
        appended
    }

    /// Forgets the context. That is allowed at any time, and necessary after a message that was
    /// deflated and then not sent.
    pub fn reset(&mut self) {
        if std::mem::take(&mut self.used) {
            self.stream.reset();
        }
    }

    /// Takes out what a message that was given up left in the stream, and throws it away together
    /// with what stands behind `start`.
    ///
    /// The reset of zlib-rs 0.6 is not enough: at level 1 it forgets that a block is open, and the
    /// next message would lack its first block's header. No more than two windows can be waiting.
    fn drain(&mut self, out: &mut Vec<u8>, start: usize) {
        out.resize(out.len().max(start + ROOM_BYTES_MIN), 0);
        let room = &mut out[start..];
        loop {
            let total_out = self.stream.total_out();
            let result = self.stream.compress(&[], room, DeflateFlush::SyncFlush);
            let written = (self.stream.total_out() - total_out) as usize;
            if written < room.len() || result.is_err() {
                break;
            }
        }
        out.truncate(start);
    }

    /// `None`, if more than `bytes_max` would be needed, or if the library fails, which it says it
    /// does only when it is misused.
    fn append(&mut self, mut payload: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Option<()> {
        let start = out.len();
        let mut room_bytes = payload.len().min(ROOM_BYTES_FIRST_MAX) + ROOM_BYTES_MIN;
        loop {
            let end = out.len();
            // One byte past what may be, so that a room not filled is a message that fits.
            room_bytes = room_bytes.min((bytes_max - (end - start)).saturating_add(1));
            out.resize(end + room_bytes, 0);
            let (total_in, total_out) = (self.stream.total_in(), self.stream.total_out());
            let result = self.stream.compress(payload, &mut out[end..], DeflateFlush::SyncFlush);
            let consumed = (self.stream.total_in() - total_in) as usize;
            let written = (self.stream.total_out() - total_out) as usize;
            out.truncate(end + written);
            payload = &payload[consumed..];
            result.ok()?;
            if written < room_bytes && payload.is_empty() {
                break;
            }
            if out.len() - start > bytes_max {
                return None;
            }
            room_bytes = (out.len() - start).max(ROOM_BYTES_MIN);
        }
        if !out.ends_with(&TAIL) {
            return None;
        }
        out.truncate(out.len() - TAIL.len());
        Some(())
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("used", &self.used).finish_non_exhaustive()
    }
}
