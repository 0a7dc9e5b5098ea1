//! The opening handshake (RFC 6455, section 4), both roles.
//!
//! Owns the key and its accept value, the reading of what a client offers and the answer to it, and
//! a client's request and the judgement of what comes back. Never decides who may connect, touches
//! no socket, makes no randomness, and never reads a frame.
//!
//! A server ([`ClientRequest`] shows the client):
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
mod answer;
mod client;
mod error;
mod extensions;
mod key;
mod offer;

pub use accept::{Acceptance, write_response};
pub use answer::{Accepted, AnswerError};
pub use client::{ClientRequest, RequestError};
pub use error::HandshakeError;
pub use extensions::{ExtensionOffer, Param};
pub use key::Key;
pub use offer::{Offer, SUBPROTOCOLS_MAX};

/// The one version of the protocol (RFC 6455, section 4.1).
const VERSION: &str = "13";
