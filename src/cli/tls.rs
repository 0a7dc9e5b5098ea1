//! The options of TLS: what a server shows, and whom a client trusts.
//!
//! Owns their names, and how they become the library's setup.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use throng::net::TlsSetup;
use throng::tls::{Acceptor, Connector, Files, TlsError, watch};

/// How often the files are looked at.
const FILES_PERIOD: Duration = Duration::from_secs(5);

/// Options of TLS of every command that serves.
#[derive(Clone, Debug, Default, Args)]
pub struct TlsOptions {
    /// Serve TLS with this certificate, and what leads from it to an authority: a PEM file, read
    /// again when it changes. May be given more than once, each with its --tls-key: a client gets
    /// the one with the name that it asks for, else the first.
    #[arg(long, value_name = "FILE", help_heading = "TLS", requires = "tls_key")]
    tls_cert: Vec<PathBuf>,
    /// The key of the certificate, in the same order.
    #[arg(long, value_name = "FILE", help_heading = "TLS", requires = "tls_cert")]
    tls_key: Vec<PathBuf>,
    /// Ask clients for a certificate from one of these authorities. Its common name is then theirs
    /// in the hub, where no token gives another.
    #[arg(long, value_name = "FILE", help_heading = "TLS", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Turn clients away that show no certificate.
    #[arg(long, help_heading = "TLS", requires = "tls_client_ca")]
    tls_require_client_cert: bool,
    /// Serve plain HTTP on the same ports too; else it gets 400 there.
    #[arg(long, help_heading = "TLS", requires = "tls_cert")]
    tls_or_plain: bool,
}

impl TlsOptions {
    /// Reads the files and watches them; `None` where TLS is not asked for.
    pub fn setup(&self) -> io::Result<Option<TlsSetup>> {
        let (certificates, keys) = (self.tls_cert.len(), self.tls_key.len());
        if certificates != keys {
            return Err(io::Error::other(format!(
                "each --tls-cert needs its --tls-key: there are {certificates} and {keys}"
            )));
        }
        if certificates == 0 {
            return Ok(None);
        }
        let acceptor = Acceptor::new(Files {
            pairs: self.tls_cert.iter().cloned().zip(self.tls_key.iter().cloned()).collect(),
            client_ca: self.tls_client_ca.clone(),
            is_client_certificate_required: self.tls_require_client_cert,
        });
        let acceptor = Arc::new(acceptor.map_err(io::Error::other)?);
        watch(&acceptor, FILES_PERIOD)?;
        Ok(Some(TlsSetup { takes_plain: self.tls_or_plain, ..TlsSetup::accepting(&acceptor) }))
    }
}

/// Options of TLS of every command that connects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct Trust {
    /// Trust the authorities in this PEM file, instead of those of the system.
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    ca: Option<PathBuf>,
    /// Do not ask whether the server is whom it says: for tests.
    #[arg(long, help_heading = "TLS", conflicts_with = "ca")]
    insecure: bool,
    /// Show this certificate to a server that asks for one.
    #[arg(long, value_name = "FILE", help_heading = "TLS", requires = "key")]
    cert: Option<PathBuf>,
    /// The key of the certificate.
    #[arg(long, value_name = "FILE", help_heading = "TLS", requires = "cert")]
    key: Option<PathBuf>,
}

impl Trust {
    /// What opens TLS connections.
    ///
    /// # Errors
    /// There is nobody to trust, or a file cannot be used: wrong usage.
    pub fn connector(&self) -> io::Result<Connector> {
        let mut connector = match &self.ca {
            Some(ca) => Connector::trusting(ca),
            None if self.insecure => Connector::insecure(),
            None => Connector::system(),
        };
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            connector = connector.and_then(|it| it.with_certificate(cert, key));
        }
        connector.map_err(|error| {
            let hint = if matches!(error, TlsError::NoRoots) { ", by --ca" } else { "" };
            io::Error::new(io::ErrorKind::InvalidInput, format!("{error}{hint}"))
        })
    }

    /// Whether anything was said of it.
    pub fn is_given(&self) -> bool {
        *self != Self::default()
    }
}
