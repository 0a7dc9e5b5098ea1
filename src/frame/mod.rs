//! The frame: opcode, header, mask, close code, and UTF-8 as it arrives (RFC 6455 section 5).
//!
//! Owns what one frame is made of. Never allocates, never does I/O, knows no connection.

mod close;
mod header;
mod mask;
mod opcode;
mod utf8;

pub use close::CloseCode;
pub use header::{Decoded, HEADER_LEN_MAX, Header, HeaderError};
pub use mask::{MaskKernel, apply_mask, apply_mask_scalar, mask_kernels, unmask_text};
pub use opcode::Opcode;
pub use utf8::{InvalidUtf8, Utf8};

/// The longest payload of a control frame, in bytes (RFC 6455 section 5.5).
pub const CONTROL_PAYLOAD_MAX: usize = 125;
