//! Where a connection stands in the stream.
//!
//! Owns the states between two reads. Never moves from one to the other.

use crate::frame::{HEADER_LEN_MAX, Opcode};

/// ```text
///            header complete              payload complete
///   Header ─────────────────► Payload ─────────────────────► Header
///     │                          │
///     └── fault, Close received ─┴──► Done: nothing more is parsed
/// ```
#[derive(Debug)]
pub(super) enum Phase {
    /// Between frames, or inside a header of which `have` bytes came.
    Header { have: u8, bytes: [u8; HEADER_LEN_MAX] },
    /// Inside a payload: the fields of [`Payload`], laid open so that the tag fits beside them.
    Payload { left: u64, key: [u8; 4], opcode: Opcode, fin: bool },
    /// After a Close frame or a fault (RFC 6455 section 7.1.7).
    Done,
}

/// What is still to come of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payload {
    pub(super) left: u64,
    /// The masking key as it stands at the next byte; all zero where the role takes none.
    pub(super) key: [u8; 4],
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
}

impl Phase {
    pub(super) const START: Self = Self::Header { have: 0, bytes: [0; HEADER_LEN_MAX] };

    #[inline]
    pub(super) const fn inside(Payload { left, key, opcode, fin }: Payload) -> Self {
        Self::Payload { left, key, opcode, fin }
    }
}
