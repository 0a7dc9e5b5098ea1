//! The opening handshake (RFC 6455, section 4), server role.
//!
//! Owns the key and its accept value, the reading of what a client offers, and the answer to it.
//! Never decides who may connect, touches no socket, and never reads a frame.
//!
//! ```
//! use throng::handshake::{self, Acceptance, Offer};
//! use throng::http::{HeadLimits, HeaderSlots, Request};
//!
//! let head = b"GET /chat HTTP/1.1\r\n\
//!     Host: server.example.com\r\n\
//!     Upgrade: websocket\r\n\
//!     Connection: Upgrade\r\n\
//!     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
//!     Sec-WebSocket-Protocol: chat, superchat\r\n\
//!     Sec-WebSocket-Version: 13\r\n\r\n";
//! let mut slots = HeaderSlots::new();
//! let request = Request::parse(head, &mut slots, &HeadLimits::default())?;
//! let offer = Offer::from_request(&request)?.expect("this is no plain HTTP request");
//!
//! let mut acceptance = Acceptance::new();
//! if let Some(subprotocol) = offer.choose(&["chat"]) {
//!     acceptance = acceptance.subprotocol(subprotocol);
//! }
//! offer.check(&acceptance)?;
//! let mut out = Vec::new();
//! handshake::write_response(&mut out, offer.key(), &acceptance);
//! assert!(out.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
//! # Ok::<(), handshake::HandshakeError>(())
//! ```

mod accept;
mod error;
mod extensions;
mod key;
mod offer;

pub use accept::{Acceptance, write_response};
pub use error::HandshakeError;
pub use extensions::{ExtensionOffer, Param};
pub use key::Key;
pub use offer::{Offer, SUBPROTOCOLS_MAX};

/// The one version of the protocol (RFC 6455, section 4.1).
const VERSION: &str = "13";
