//! A connection after the handshake, without I/O (RFC 6455 sections 5 to 7).
//!
//! Owns what is said on it: [`Inbound`] turns bytes into events, [`Outbound`] messages into bytes,
//! [`Connection`] is both, [`SharedFrame`] is encoded once and sent to many. Never knows a socket,
//! a clock, a thread or a random source: buffers, time and masking keys are arguments.
//!
//! The contract: hand every byte that the transport gives to [`Inbound::receive`] in order, take
//! its events until there are none, write every byte that [`Outbound`] appends, in order, and when
//! [`Outbound::is_done`] says so, close the transport.

mod assembly;
mod connection;
mod error;
mod event;
#[cfg(feature = "hub")]
mod image;
mod inbound;
mod inflating;
mod limit;
mod outbound;
mod phase;
mod settings;
mod shared;
mod short;

pub use assembly::Spare;
pub use connection::Connection;
pub use error::{ProtocolError, SendError};
pub use event::{Chunk, Close, Event, Message, MessageKind};
#[cfg(feature = "hub")]
pub(crate) use image::InboundImage;
pub use inbound::{Events, Inbound};
pub use limit::LIMITED_BYTES_MAX;
pub use outbound::Outbound;
pub use settings::{Delivery, Role, Settings};
pub use shared::SharedFrame;

/// "Per-message compressed" (RFC 7692 section 6).
const RSV1: u8 = 0x40;
