//! How a fuzz input is read: a few bytes that say what to do, then the bytes under test.
//!
//! Owns the reading of both. Never fails: what is missing reads as zero, so that every input means
//! something and a mutation changes one thing.

use throng::proto::{Delivery, Role, Settings};

/// The part of an input that is not read yet.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    rest: &'a [u8],
}

impl<'a> Plan<'a> {
    pub const fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    pub const fn is_used_up(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let [first, rest @ ..] = self.rest else { return 0 };
        self.rest = rest;
        *first
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// At most `len` bytes.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    pub const fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// One byte of count, then so many bytes that each give a length.
    pub fn cuts(&mut self) -> Cuts<'a> {
        let count = usize::from(self.byte() % 16);
        Cuts { lengths: self.take(count), at: 0, last: 0, count: 0 }
    }

    /// Two bytes: role, delivery and limits, the edges of each limit among them.
    pub fn settings(&mut self) -> Settings {
        let [kinds, limits] = self.bytes();
        let role = if kinds & 1 == 0 { Role::Server } else { Role::Client };
        let mut settings = Settings::new(role);
        settings.message_bytes_max = match limits & 7 {
            0 => 16 << 20,
            1 => 0,
            2 => 1,
            3 => 125,
            4 => 126,
            5 => 5_000,
            6 => 1 << 16,
            _ => u64::MAX,
        };
        settings.fragments_max = match limits >> 3 & 7 {
            0 => 1 << 17,
            7 => u32::MAX,
            few => u32::from(few) - 1,
        };
        settings.delivery = if kinds & 2 == 0 { Delivery::Whole } else { Delivery::Chunks };
        settings
    }
}

/// So many pieces are as short as the input says; later ones are longer, for the sake of speed.
const SHORT_PIECES: usize = 400;

/// The lengths of the pieces that a stream arrives in, over and over. The default is one piece.
#[derive(Clone, Debug, Default)]
pub struct Cuts<'a> {
    lengths: &'a [u8],
    at: usize,
    last: usize,
    count: usize,
}

impl Cuts<'_> {
    /// The length of the next piece, at most `left`. An empty piece never follows another, so that
    /// the stream comes to an end.
    pub fn next(&mut self, left: usize) -> usize {
        let Some(&code) = self.lengths.get(self.at) else {
            self.at = 0;
            return if self.lengths.is_empty() { left } else { self.next(left) };
        };
        self.at += 1;
        let len = match code {
            0 if self.last == 0 => 1,
            0..=199 => usize::from(code),
            200..=255 => usize::from(code - 199) * 512,
        };
        self.last = len;
        self.count += 1;
        let len = if self.count > SHORT_PIECES { len * 60 + 1 } else { len };
        len.min(left)
    }
}
