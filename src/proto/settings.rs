//! What every connection of one kind has in common.
//!
//! Owns the limits and their defaults. Never changes while connections use it.

/// Which end of the connection this is: it decides who masks (RFC 6455 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes masked frames, sends unmasked ones.
    Server,
    /// Takes unmasked frames, sends masked ones.
    Client,
}

/// How a message is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Whole, as [`Event::Message`](super::Event::Message).
    Whole,
    /// In the pieces that arrive, as [`Event::Chunk`](super::Event::Chunk): nothing is kept.
    Chunks,
}

/// Role, delivery and limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which end this is.
    pub role: Role,
    /// How messages are handed over.
    pub delivery: Delivery,
    /// The longest message taken, in bytes; a longer one fails the connection with 1009 at the
    /// header that announces it. Default: 16 MiB.
    pub message_bytes_max: u64,
    /// The most fragments a message may have, empty ones included; one more fails the connection
    /// with 1009. Default: 131,072.
    pub fragments_max: u32,
}

impl Settings {
    /// The defaults for one role.
    pub const fn new(role: Role) -> Self {
        Self {
            role,
            delivery: Delivery::Whole,
            message_bytes_max: 16 << 20,
            fragments_max: 1 << 17,
        }
    }
}
