//! Where the pieces of a split frame or message wait for the rest.
//!
//! Owns the buffers and the pool that they return to. Grows with the bytes that have arrived, never
//! by a length that was only announced (RFC 6455 section 10.4).

use crate::frame::CONTROL_PAYLOAD_MAX;

/// The first buffer of a message, in bytes.
const BUFFER_FIRST: usize = 256;

/// The pieces that have come of one message, and of one control frame that came between them.
#[derive(Debug)]
pub(super) struct Assembly {
    /// Initialised all through; the message is its first `len` bytes.
    buffer: Vec<u8>,
    len: usize,
    control: [u8; CONTROL_PAYLOAD_MAX],
    control_len: u8,
}

impl Assembly {
    fn new() -> Self {
        Self { buffer: Vec::new(), len: 0, control: [0; CONTROL_PAYLOAD_MAX], control_len: 0 }
    }

    pub(super) fn message(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    pub(super) fn control(&self) -> &[u8] {
        &self.control[..usize::from(self.control_len)]
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// The caller's frame header has bounded `bytes` to what a control frame can hold.
    pub(super) fn push_control(&mut self, bytes: &[u8]) {
        let len = usize::from(self.control_len);
        self.control[len..len + bytes.len()].copy_from_slice(bytes);
        self.control_len += bytes.len() as u8;
    }

    /// Room for at least `least` more bytes, past what has come.
    pub(super) fn room(&mut self, least: usize) -> &mut [u8] {
        let needed = self.len + least;
        if needed > self.buffer.len() {
            self.buffer.resize(needed.max(self.len * 2).max(BUFFER_FIRST), 0);
        }
        &mut self.buffer[self.len..]
    }

    /// Takes `n` bytes that were written to [`room`](Self::room), and lends them.
    pub(super) fn advance(&mut self, n: usize) -> &mut [u8] {
        let start = self.len;
        self.len += n;
        &mut self.buffer[start..self.len]
    }

    pub(super) fn clear_control(&mut self) {
        self.control_len = 0;
    }
}

/// The pool of buffers that split messages are put together in: one for each event loop, so that a
/// connection at rest owns none and a busy one need not allocate.
#[derive(Debug)]
pub struct Spare {
    #[expect(clippy::vec_box, reason = "a box moves between here and a connection as it is")]
    assemblies: Vec<Box<Assembly>>,
    bytes: usize,
    bytes_max: usize,
    /// How few were kept at any time since the last trim: so many were not needed.
    unused: usize,
}

impl Spare {
    /// The most buffers that are kept, whatever their size.
    const COUNT_MAX: usize = 64;

    /// A pool that keeps at most `bytes_max` bytes.
    pub const fn new(bytes_max: usize) -> Self {
        Self { assemblies: Vec::new(), bytes: 0, bytes_max, unused: 0 }
    }

    /// Gives what was not taken since the last call back to the allocator: for a tick, so that a
    /// loop that was busy once does not keep its buffers for ever.
    pub fn trim(&mut self) {
        let unused = std::mem::replace(&mut self.unused, self.assemblies.len());
        self.assemblies.drain(..unused.min(self.assemblies.len()));
        self.bytes = self.assemblies.iter().map(|assembly| assembly.buffer.len()).sum();
    }

    /// The bytes that the pool keeps.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn take(&mut self) -> Box<Assembly> {
        match self.assemblies.pop() {
            Some(assembly) => {
                self.bytes -= assembly.buffer.len();
                self.unused = self.unused.min(self.assemblies.len());
                assembly
            }
            None => Box::new(Assembly::new()),
        }
    }

    pub(super) fn put(&mut self, mut assembly: Box<Assembly>) {
        let bytes = self.bytes + assembly.buffer.len();
        if bytes <= self.bytes_max && self.assemblies.len() < Self::COUNT_MAX {
            assembly.len = 0;
            assembly.control_len = 0;
            self.bytes = bytes;
            self.assemblies.push(assembly);
        }
    }
}

impl Default for Spare {
    /// Keeps at most 16 MiB.
    fn default() -> Self {
        Self::new(16 << 20)
    }
}
