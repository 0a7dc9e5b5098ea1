//! TLS by rustls: one connection without I/O, and the configuration of either role.
//!
//! Owns certificates, keys, who is trusted, and what is kept of a record that has come in part.
//! Never touches a socket: [`net`](crate::net) and [`client`](crate::client) bring the bytes.
//!
//! A server:
//!
//! ```no_run
//! use std::sync::Arc;
//! use throng::net::{ConnectionId, Handler, Message, Peers, Platform, Server, TlsSetup};
//! use throng::tls::{Acceptor, Files};
//!
//! struct Echo;
//!
//! impl<P: Platform> Handler<P> for Echo {
//!     type Session = ();
//!     type Mail = ();
//!     fn message(&mut self, peers: &mut Peers<(), P>, from: ConnectionId, message: Message<'_>) {
//!         let _ = peers.send(from, message);
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let acceptor = Arc::new(Acceptor::new(Files::new("cert.pem", "key.pem"))?);
//! let server = Server::builder().listen("127.0.0.1:9001").bind()?;
//! server.run_tls(&TlsSetup::accepting(&acceptor), |_, _| Echo)?;
//! # Ok(())
//! # }
//! ```

mod acceptor;
mod certificate;
mod connector;
mod error;
mod files;
mod records;
mod session;
mod watch;

pub use acceptor::{Acceptor, Counts};
pub use certificate::subject_name;
pub use connector::Connector;
pub use error::TlsError;
pub use files::Files;
pub(crate) use session::{Received, Scratch, Session};
pub use watch::watch;

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;

/// The one protocol that is spoken in here (RFC 7301): a browser opens a WebSocket with nothing
/// else.
const ALPN: &[u8] = b"http/1.1";

/// Where the cryptography comes from.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}
