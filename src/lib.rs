//! throng: a WebSocket engine.
//!
//! RFC 6455 by hand, over a single-threaded mio event loop with the connections in a slab.
//!
//! Three doors, from the smallest to the widest:
//!
//! 1. [`proto`]: the protocol without I/O. Bytes in, events out; messages in, bytes out. The
//!    caller owns the buffers.
//! 2. [`net`]: the event loop. Implement [`net::Handler`] and run a [`net::Server`].
//! 3. `throng serve`: the program, by configuration only.
//!
//! An echo server:
//!
//! ```no_run
//! use throng::net::{ConnectionId, Handler, Message, Peers, Server};
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     type Session = ();
//!     type Mail = ();
//!     fn message(&mut self, peers: &mut Peers<()>, from: ConnectionId, message: Message<'_>) {
//!         let _ = peers.send(from, message);
//!     }
//! }
//!
//! fn main() -> std::io::Result<()> {
//!     Server::builder().listen("127.0.0.1:9001").run(|_, _| Echo)
//! }
//! ```

#![deny(unsafe_code)]

pub mod client;
pub mod extension;
pub mod frame;
pub mod handshake;
pub mod http;
#[cfg(feature = "hub")]
pub mod hub;
pub mod net;
pub mod proto;
#[cfg(feature = "tls")]
pub mod tls;
