//! How this end compresses.
//!
//! Owns the choices and their defaults. Never knows which end it is: both windows stand here by the
//! name that the RFC gives them.

use std::ops::RangeInclusive;

/// What a raw DEFLATE stream of zlib can have: 2^8 is part of the RFC, but not of zlib.
const WINDOW_BITS: RangeInclusive<u8> = 9..=15;

/// Whether to compress, and who keeps the memory that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is offered, nothing is agreed.
    Off,
    /// No context outlives its message, so that one deflater and one inflater serve all connections
    /// of a loop and a connection at rest owns none.
    Shared,
    /// Each side of a connection may keep its context from message to message: better ratios,
    /// much more memory.
    Dedicated,
}

/// The mode and the measures of compression.
///
/// Numbers out of range count as the nearest one that is possible.
///
/// A deflater takes `132 KiB + 4 * 2^window_bits + 448 * 2^mem_level` bytes: 274 KiB with the
/// defaults, 162 KiB with 12 window bits. 128 KiB of that are a hash table that zlib-rs gives to
/// every window and level. An inflater takes 47 KiB, whatever was agreed. `Shared` needs a few of
/// them per event loop, `Dedicated` one of each per connection that has used them.
///
/// The defaults come from measuring JSON-like messages. Of 1 KiB without context, level 1 leaves
/// 38 % where level 6 leaves 31 %, 45 % where it leaves 35 %, and 76 % of JSON full of random
/// numbers where it leaves 50 %; it takes about a third of the time. Memory levels above 5 make
/// nothing smaller. Without context, a message of 125 bytes hardly shrinks, and clearing the hash
/// table costs more than a microsecond. With context, 56 bytes shrink to a third.
///
/// ```
/// use throng::extension::{Config, Mode};
///
/// let config = Config { level: 6, ..Config::new(Mode::Dedicated) };
/// assert_eq!(config.server_max_window_bits, 15);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether to compress, and with whose memory.
    pub mode: Mode,
    /// 1 is the fastest, 9 the smallest.
    pub level: u8,
    /// 1 to 9: how much a deflater keeps back before it writes a block.
    pub mem_level: u8,
    /// 9 to 15: the server deflates with a window of 2^this bytes at most.
    pub server_max_window_bits: u8,
    /// 9 to 15: the client deflates with a window of 2^this bytes at most, if it can choose.
    pub client_max_window_bits: u8,
    /// Shorter messages are sent as they are, in bytes.
    pub threshold_bytes: usize,
}

impl Config {
    /// The defaults for one mode.
    pub const fn new(mode: Mode) -> Self {
        let threshold_bytes = match mode {
            Mode::Off | Mode::Shared => 128,
            Mode::Dedicated => 32,
        };
        Self {
            mode,
            level: 1,
            mem_level: 5,
            server_max_window_bits: *WINDOW_BITS.end(),
            client_max_window_bits: *WINDOW_BITS.end(),
            threshold_bytes,
        }
    }

    pub(super) fn server_window(&self) -> u8 {
        clamp_window(self.server_max_window_bits)
    }

    pub(super) fn client_window(&self) -> u8 {
        clamp_window(self.client_max_window_bits)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(Mode::Shared)
    }
}

pub(super) fn clamp_window(bits: u8) -> u8 {
    bits.clamp(*WINDOW_BITS.start(), *WINDOW_BITS.end())
}
