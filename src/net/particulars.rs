//! What the log is to say of a peer beside what the engine knows.
//!
//! Owns the fields. Never looks them up: the [`Handler`](super::Handler) does, only where a line is
//! written.

use std::net::{IpAddr, SocketAddr};

/// What a handler knows of a peer, for its lines in the log. What is `None` is left out of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Particulars {
    /// Who it is.
    pub user: Option<String>,
    /// How that is known: `token`, for example.
    pub auth: Option<&'static str>,
    /// Its own address, where a proxy stands in between that says so. Default: that of the other
    /// end of the connection.
    pub client: Option<IpAddr>,
    /// The page that it comes from.
    pub origin: Option<String>,
    /// The trace that it belongs to.
    pub trace: Option<String>,
}

impl Particulars {
    /// The same, where nobody has said another address than the connection's own.
    #[must_use]
    pub fn from_remote(mut self, remote: Option<SocketAddr>) -> Self {
        self.client = self.client.or(remote.map(|remote| remote.ip().to_canonical()));
        self
    }
}
