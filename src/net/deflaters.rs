//! The compressors of a loop.
//!
//! Owns one for each window size that connections without a context share, one for each connection
//! that keeps its own, and the count of the latter. Never decides what is worth compressing.

use std::collections::HashMap;

use crate::extension::{Config, Deflater, Direction};
use crate::proto::{Message, SharedFrame};

/// Windows of 2^9 to 2^15 bytes.
pub(super) const CLASSES: usize = 7;

/// The memory of an inflater, and what a deflater has beside its window and its pending bytes: in
/// bytes, as `docs/performance.md` has it measured.
const INFLATER_BYTES: usize = 48 << 10;
const DEFLATER_BYTES: usize = 132 << 10;

/// The compressors of a loop.
#[derive(Debug)]
pub(super) struct Deflaters {
    pub(super) config: Config,
    shared: [Option<Box<Deflater>>; CLASSES],
    own: HashMap<u32, Box<Deflater>>,
    buffer: Vec<u8>,
    /// How many connections may keep contexts, and do.
    contexts_max: usize,
    contexts: usize,
}

/// The parameter class of a connection: its window.
pub(super) const fn class(direction: Direction) -> usize {
    (direction.window_bits() as usize - 9) % CLASSES
}

/// One frame, deflated for those who want it so: once for each parameter class.
#[derive(Debug, Default)]
pub(super) struct Twins([Option<Twin>; CLASSES]);

/// `None` where nothing is gained.
type Twin = Option<SharedFrame>;

impl Deflaters {
    pub(super) fn new(config: Config, budget_bytes: usize) -> Self {
        let context_bytes = INFLATER_BYTES
            + DEFLATER_BYTES
            + (1 << (config.server_max_window_bits.clamp(9, 15) + 2))
            + (1 << (config.mem_level.clamp(1, 9) + 9));
        Self {
            config,
            shared: [const { None }; CLASSES],
            own: HashMap::new(),
            buffer: Vec::new(),
            contexts_max: budget_bytes / context_bytes,
            contexts: 0,
        }
    }

    /// Whether one more connection may keep contexts.
    pub(super) const fn has_room(&self) -> bool {
        self.contexts < self.contexts_max
    }

    pub(super) const fn count(&mut self) {
        self.contexts += 1;
    }

    /// A connection that kept contexts has ended.
    pub(super) fn forget(&mut self, index: usize) {
        self.contexts -= 1;
        self.own.remove(&(index as u32));
    }

    /// Whether a payload of this length is worth the work.
    pub(super) const fn wants(&self, direction: Direction, len: usize) -> bool {
        direction.is_compressed() && len >= self.config.threshold_bytes
    }

    /// A message, deflated for one connection; `None` where nothing is gained.
    pub(super) fn deflate(
        &mut self,
        index: usize,
        direction: Direction,
        payload: &[u8],
    ) -> Option<&[u8]> {
        let Self { config, own, shared, buffer, .. } = self;
        let make = || Box::new(Deflater::new(config, direction.window_bits()));
        let keeps = direction.keeps_context();
        let deflater = if keeps {
            own.entry(index as u32).or_insert_with(make)
        } else {
            shared[class(direction)].get_or_insert_with(make)
        };
        buffer.clear();
        deflater.deflate(payload, buffer, !keeps).then_some(&**buffer)
    }

    /// A frame, deflated for all connections of a class. It refers to nothing before it, so that
    /// one with a context can take it as well, if its own deflater starts anew.
    pub(super) fn twin(
        &mut self,
        twins: &mut Twins,
        index: usize,
        direction: Direction,
        frame: &SharedFrame,
    ) -> Twin {
        let twin = twins.0[class(direction)].get_or_insert_with(|| {
            let shared = Direction::new(direction.window_bits(), false);
            let payload = self.deflate(index, shared, frame.payload())?;
            Some(SharedFrame::deflated(Message { kind: frame.kind(), payload }))
        });
        if twin.is_some()
            && let Some(own) = self.own.get_mut(&(index as u32))
        {
            own.reset();
        }
        twin.clone()
    }

    /// Gives back what a burst has left behind.
    pub(super) fn trim(&mut self) {
        const BUFFER_KEPT_MAX: usize = 64 << 10;
        self.buffer.shrink_to(BUFFER_KEPT_MAX);
    }
}
