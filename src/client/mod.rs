//! The client: a WebSocket connection that blocks, and one that comes back by itself.
//!
//! Owns the way to a server (URL, addresses, proxy, redirects, the opening handshake over a socket)
//! and the two clients. Never parses a frame itself, never runs a loop of its own.
//!
//! ```no_run
//! use throng::client::{Client, Incoming};
//! use throng::frame::CloseCode;
//! use throng::proto::Message;
//!
//! let mut client = Client::connect("ws://127.0.0.1:8080/echo")?;
//! client.send(Message::text("hello"))?;
//! loop {
//!     match client.read()? {
//!         Incoming::Message(message) => {
//!             println!("{:?}", message.as_text());
//!             break;
//!         }
//!         Incoming::Close(close) => panic!("closed already: {close:?}"),
//!         Incoming::Chunk(_) | Incoming::Pong(_) => {}
//!     }
//! }
//! client.close(CloseCode::NORMAL, "bye")?;
//! # Ok::<(), throng::client::ClientError>(())
//! ```
//!
//! [`Connect`] sets headers, subprotocols, times, a proxy, redirects; [`ReconnectingClient`] stays
//! connected.

mod answer;
mod arrivals;
mod blocking;
mod compression;
mod connect;
mod connecting;
mod deadline;
mod dial;
mod error;
mod input;
mod masks;
mod opening;
mod output;
mod proxy;
mod reconnect;
mod reconnecting;
#[cfg(feature = "tls")]
mod secured;
mod transport;
mod url;

pub use answer::Answer;
pub use arrivals::Incoming;
pub use blocking::Client;
pub use connect::Connect;
pub use error::{ClientError, Culprit, Step};
pub use proxy::{Proxy, ProxyError};
pub use reconnect::{Ending, Event, Fate, Policy, Reconnect, State, default_fate};
pub use reconnecting::ReconnectingClient;
pub use url::{Url, UrlError};
