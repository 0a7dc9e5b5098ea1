//! permessage-deflate (RFC 7692).
//!
//! Owns what is offered, agreed and refused, and how a message gets smaller and whole again. Never
//! sees a frame, a header line or a connection: parameters come in split, payloads as slices, and
//! who keeps a context, and for how long, is the caller's business.
//!
//! The DEFLATE work itself is done by zlib-rs, through its safe interface.

mod config;
mod deflater;
mod direction;
mod inflater;
mod offer;
mod params;

#[cfg(test)]
mod blocks_tests;
#[cfg(test)]
mod codec_tests;
#[cfg(test)]
mod negotiation_tests;

pub use config::{Config, Mode};
pub use deflater::Deflater;
pub use direction::Direction;
pub use inflater::{InflateError, Inflater};
pub use offer::{AnswerError, verify_answer, write_offer};
pub use params::{Params, negotiate};

/// The extension token (RFC 7692 section 7).
pub const NAME: &str = "permessage-deflate";

/// What a sync flush ends with: the length fields of an empty stored block. It is left out at a
/// message's end and put back before inflating (RFC 7692 sections 7.2.1 and 7.2.2).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
