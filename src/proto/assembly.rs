//! Where the pieces of a split frame or message wait for the rest.
//!
//! Owns the buffers and the pool that they return to. Grows with the bytes that have arrived, never
//! by a length that was only announced (RFC 6455 section 10.4).

use crate::extension::Inflater;
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
    /// While a compressed message is under way; from message to message where the context is kept.
    pub(super) inflater: Option<Box<Inflater>>,
    /// How long the compressed message under way has become.
    pub(super) inflated_bytes: u64,
    /// What of it the pool has counted as lent.
    counted: usize,
}

/// What an inflater takes, in bytes: a test in `net` holds it against what zlib-rs really takes.
const INFLATER_BYTES: usize = 48 << 10;

/// A buffer over this, in bytes, is not kept by a connection that only keeps a context.
const BUFFER_KEPT_MAX: usize = 4 << 10;

impl Assembly {
    fn new() -> Self {
        let control = [0; CONTROL_PAYLOAD_MAX];
        Self {
            buffer: Vec::new(),
            len: 0,
            control,
            control_len: 0,
            inflater: None,
            inflated_bytes: 0,
            counted: 0,
        }
    }

    /// What it takes, in bytes. An inflater that is kept from message to message is counted
    /// elsewhere, against a budget of its own.
    pub(super) fn held_bytes(&self, keeps_context: bool) -> usize {
        let has_inflater = self.inflater.is_some() && !keeps_context;
        let inflater = if has_inflater { INFLATER_BYTES } else { 0 };
        size_of::<Self>() + self.buffer.len() + inflater
    }

    /// The same without the room that its buffer has left, which may come from the pool.
    pub(super) fn used_bytes(&self, keeps_context: bool) -> usize {
        self.held_bytes(keeps_context) - (self.buffer.len() - self.len)
    }

    /// Forgets the message, but not the context that it was inflated in.
    pub(super) fn clear_message(&mut self) {
        self.len = 0;
        if self.buffer.len() > BUFFER_KEPT_MAX {
            self.buffer = Vec::new();
        }
    }

    pub(super) fn message(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    pub(super) fn control(&self) -> &[u8] {
        &self.control[..usize::from(self.control_len)]
    }

    /// Keeps a piece of a message that may have at most `most` bytes.
    pub(super) fn push(&mut self, bytes: &[u8], most: usize) {
        self.room(bytes.len(), most)[..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// The caller's frame header has bounded `bytes` to what a control frame can hold.
    pub(super) fn push_control(&mut self, bytes: &[u8]) {
        let len = usize::from(self.control_len);
        self.control[len..len + bytes.len()].copy_from_slice(bytes);
        self.control_len += bytes.len() as u8;
    }

    /// Room for at least `least` more bytes, past what has come. What is made ready beyond that
    /// stops at a message of `most` bytes.
    pub(super) fn room(&mut self, least: usize, most: usize) -> &mut [u8] {
        let needed = self.len + least;
        if needed > self.buffer.len() {
            let ahead = (self.len * 2).max(BUFFER_FIRST).min(most);
            let len = needed.max(ahead);
            self.buffer.reserve_exact(len - self.buffer.len()); // it doubles by itself
            self.buffer.resize(len, 0);
        }
        &mut self.buffer[self.len..]
    }

    /// The message, and room behind it, and what it is inflated with.
    pub(super) fn inflating(&mut self, most: usize) -> (&mut [u8], &mut Option<Box<Inflater>>) {
        self.room(1, most);
        (&mut self.buffer[self.len..], &mut self.inflater)
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
/// connection at rest owns none and a busy one need not allocate. Inflaters are pooled likewise.
#[expect(clippy::vec_box, reason = "a box moves between here and a connection as it is")]
#[derive(Debug)]
pub struct Spare {
    assemblies: Vec<Box<Assembly>>,
    inflaters: Vec<Box<Inflater>>,
    bytes: usize,
    bytes_max: usize,
    /// How few were kept at any time since the last trim: so many were not needed.
    unused: usize,
    /// What the buffers take that connections have now.
    lent_bytes: usize,
}

impl Spare {
    /// The most buffers that are kept, whatever their size.
    const COUNT_MAX: usize = 64;

    /// The most inflaters that are kept: one is in use at a time, unless messages are split.
    const INFLATERS_MAX: usize = 4;

    /// A pool that keeps at most `bytes_max` bytes.
    pub const fn new(bytes_max: usize) -> Self {
        Self {
            assemblies: Vec::new(),
            inflaters: Vec::new(),
            bytes: 0,
            bytes_max,
            unused: 0,
            lent_bytes: 0,
        }
    }

    /// Gives what was not taken since the last call back to the allocator: for a tick, so that a
    /// loop that was busy once does not keep its buffers for ever.
    pub fn trim(&mut self) {
        let unused = std::mem::replace(&mut self.unused, self.assemblies.len());
        self.assemblies.drain(..unused.min(self.assemblies.len()));
        self.bytes = self.assemblies.iter().map(|assembly| assembly.buffer.len()).sum();
    }

    /// Gives all that is kept back to the allocator.
    pub fn clear(&mut self) {
        (self.assemblies, self.inflaters) = (Vec::new(), Vec::new());
        (self.bytes, self.unused) = (0, 0);
    }

    /// The bytes that the pool keeps.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes that connections have of it now: messages that have come in part, and what they
    /// are inflated with.
    #[inline]
    pub const fn lent_bytes(&self) -> usize {
        self.lent_bytes
    }

    /// Counts what a buffer has become.
    pub(super) fn count(&mut self, assembly: &mut Assembly, keeps_context: bool) {
        let held = assembly.held_bytes(keeps_context);
        self.lent_bytes = self.lent_bytes + held - assembly.counted;
        assembly.counted = held;
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

    /// An inflater that has forgotten all that it was used for.
    pub(super) fn take_inflater(&mut self) -> Box<Inflater> {
        self.inflaters.pop().unwrap_or_default()
    }

    pub(super) fn put_inflater(&mut self, mut inflater: Box<Inflater>) {
        if self.inflaters.len() < Self::INFLATERS_MAX {
            inflater.reset();
            self.inflaters.push(inflater);
        }
    }

    pub(super) fn put(&mut self, mut assembly: Box<Assembly>) {
        self.lent_bytes -= std::mem::take(&mut assembly.counted);
        if let Some(inflater) = assembly.inflater.take() {
            self.put_inflater(inflater);
        }
        let bytes = self.bytes + assembly.buffer.len();
        if bytes <= self.bytes_max && self.assemblies.len() < Self::COUNT_MAX {
            assembly.len = 0;
            assembly.inflated_bytes = 0;
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
