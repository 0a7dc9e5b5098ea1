//! What a client compresses (RFC 7692), once that was agreed.
//!
//! Owns the deflater of one connection and the choice of what it is used for. Inflating is for
//! [`Inbound`](crate::proto::Inbound).

use crate::extension::{Config, Deflater, Direction, Params};

/// The compression of the messages that one client sends.
#[derive(Debug)]
pub(super) struct Compression {
    config: Config,
    direction: Direction,
    deflater: Option<Box<Deflater>>,
    payload: Vec<u8>,
}

impl Compression {
    pub(super) fn new(config: Config, params: Option<Params>) -> Self {
        let direction = params.map_or(Direction::PLAIN, Direction::of_client);
        Self { config, direction, deflater: None, payload: Vec::new() }
    }

    /// Whether permessage-deflate was agreed.
    pub(super) const fn is_on(&self) -> bool {
        self.direction.is_compressed()
    }

    /// The payload, deflated; `None` where it is too short to be worth it, or nothing is gained.
    /// Give the buffer [back](Self::keep) when it was sent.
    pub(super) fn deflate(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if !self.is_on() || payload.len() < self.config.threshold_bytes {
            return None;
        }
        let Self { config, direction, deflater, payload: out } = self;
        let make = || Box::new(Deflater::new(config, direction.window_bits()));
        out.clear();
        let deflater = deflater.get_or_insert_with(make);
        deflater.deflate(payload, out, !direction.keeps_context()).then(|| std::mem::take(out))
    }

    /// Takes the buffer back, for the next message.
    pub(super) fn keep(&mut self, payload: Vec<u8>) {
        self.payload = payload;
    }

    /// Begins anew: the server may not have what was deflated last in its context.
    pub(super) fn restart(&mut self) {
        if let Some(deflater) = &mut self.deflater {
            deflater.reset();
        }
    }
}
