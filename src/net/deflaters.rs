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
/// bytes. A test holds them against what zlib-rs really takes.
const INFLATER_BYTES: usize = 48 << 10;
const DEFLATER_BYTES: usize = 132 << 10;
/// What else a connection with contexts owns: the buffer that its messages are inflated into, which
/// it keeps up to 4 KiB, and what holds it and the contexts.
const BUFFER_BYTES: usize = 5 << 10;

/// The most that a connection takes which keeps both its contexts, in bytes.
fn context_bytes(config: &Config) -> usize {
    let window_bits = config.server_max_window_bits.clamp(9, 15);
    let mem_level = config.mem_level.clamp(1, 9);
    let deflater = DEFLATER_BYTES + (4 << window_bits) + (512 << mem_level);
    INFLATER_BYTES + deflater + BUFFER_BYTES
}

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
    /// Whether anything is compressed for now.
    is_on: bool,
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
        Self {
            contexts_max: budget_bytes / context_bytes(&config),
            config,
            shared: [const { None }; CLASSES],
            own: HashMap::new(),
            buffer: Vec::new(),
            contexts: 0,
            is_on: true,
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
        direction.is_compressed() && len >= self.config.threshold_bytes && self.is_on
    }

    /// Has messages compressed from now on, or sent as they are.
    pub(super) const fn set_on(&mut self, is_on: bool) {
        self.is_on = is_on;
    }

    /// What the contexts may take, in bytes: those of connections, and those that are shared.
    pub(super) fn held_bytes(&self) -> usize {
        let shared = self.shared.iter().flatten().count();
        (self.contexts + shared) * context_bytes(&self.config) + self.buffer.capacity()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extension::{Inflater, Mode};

    /// Fails too when an update of zlib-rs takes more, or so much less that the budget is wasted.
    #[test]
    fn a_context_takes_what_the_budget_counts() {
        const MESSAGE: [u8; 4096] = [b'a'; 4096];
        for (level, mem_level, bits) in
            [(1, 5, 15), (6, 5, 15), (9, 9, 15), (1, 5, 12), (6, 1, 9), (0, 0, 0), (9, 99, 99)]
        {
            let config = Config {
                level,
                mem_level,
                server_max_window_bits: bits,
                ..Config::new(Mode::Dedicated)
            };
            let counted = context_bytes(&config);
            let mut out = Vec::with_capacity(8192); // of the loop
            let taken = allocation_counter::measure(|| {
                let mut deflaters = Deflaters::new(config, 2 * counted);
                let direction = Direction::new(config.server_max_window_bits.clamp(9, 15), true);
                let payload = deflaters.deflate(0, direction, &MESSAGE).expect("it is sent");
                out.extend_from_slice(payload);
                deflaters.buffer = Vec::new();
                let mut room = vec![0; MESSAGE.len()]; // an assembly's
                let mut inflater = Box::new(Inflater::new());
                inflater.step(&mut &out[..], &mut room).expect("it is whole");
            });
            let taken = usize::try_from(taken.bytes_max).expect("bytes");
            assert!(taken <= counted, "{config:?}: {taken} of {counted}");
            assert!(taken > counted / 10 * 9, "{config:?}: {taken} of {counted}");
        }
    }

    #[test]
    fn the_budget_is_never_passed() {
        let config = Config::new(Mode::Dedicated);
        let mut deflaters = Deflaters::new(config, 10 * context_bytes(&config) - 1);
        let mut opened = 0;
        while deflaters.has_room() {
            deflaters.count();
            opened += 1;
        }
        assert_eq!(opened, 9);
        deflaters.forget(3);
        assert!(deflaters.has_room());
        assert!(!Deflaters::new(config, 0).has_room());
    }
}
