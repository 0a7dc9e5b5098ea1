//! What was agreed for one direction of one connection.
//!
//! Owns one byte of it, so that a connection at rest costs no more. Never holds a context.

use super::Params;

/// One direction of a connection: whether messages may be compressed, with what window, and whether
/// the context is kept from message to message.
///
/// ```
/// use throng::extension::Direction;
///
/// assert!(!Direction::PLAIN.is_compressed());
/// assert_eq!(Direction::new(12, true).window_bits(), 12);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direction(u8);

/// Beside the window bits, which need four.
const KEEPS_CONTEXT: u8 = 0x10;
const COUNTED: u8 = 0x20;
const LIMITED: u8 = 0x40;

impl Direction {
    /// Nothing is compressed.
    pub const PLAIN: Self = Self(0);

    /// A window of 2^`window_bits` bytes (9 to 15), kept from message to message or not.
    pub const fn new(window_bits: u8, keeps_context: bool) -> Self {
        Self(window_bits & 0x0F | if keeps_context { KEEPS_CONTEXT } else { 0 })
    }

    /// What was agreed for the server's messages.
    pub const fn of_server(params: Params) -> Self {
        Self::new(params.server_max_window_bits(), !params.server_no_context_takeover())
    }

    /// What was agreed for the client's messages.
    pub const fn of_client(params: Params) -> Self {
        Self::new(params.client_max_window_bits(), !params.client_no_context_takeover())
    }

    /// The byte, for another process of this version.
    #[cfg(feature = "hub")]
    pub(crate) const fn to_bits(self) -> u8 {
        self.0
    }

    /// The direction that [`to_bits`](Self::to_bits) gave.
    #[cfg(feature = "hub")]
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The same, with a mark that the contexts of the connection are counted.
    pub const fn counted(self) -> Self {
        Self(self.0 | COUNTED)
    }

    /// Whether it has the mark.
    pub const fn is_counted(self) -> bool {
        self.0 & COUNTED != 0
    }

    /// The same, with a mark that only short messages are taken for now.
    pub const fn limited(self) -> Self {
        Self(self.0 | LIMITED)
    }

    /// The same without that mark.
    pub const fn unlimited(self) -> Self {
        Self(self.0 & !LIMITED)
    }

    /// Whether it has that mark.
    #[inline]
    pub const fn is_limited(self) -> bool {
        self.0 & LIMITED != 0
    }

    /// Whether messages may be compressed.
    #[inline]
    pub const fn is_compressed(self) -> bool {
        self.window_bits() != 0
    }

    /// Whether the context is kept from message to message.
    #[inline]
    pub const fn keeps_context(self) -> bool {
        self.0 & KEEPS_CONTEXT != 0
    }

    /// The window is 2^this bytes: 9 to 15.
    #[inline]
    pub const fn window_bits(self) -> u8 {
        self.0 & 0x0F
    }
}
