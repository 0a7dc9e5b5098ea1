//! The options of TLS: what a server shows, and whom a client trusts.
//!
//! Owns their names, and how they become the library's setup.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use throng::net::TlsSetup;
use throng::tls::{Acceptor, Connector, Files, TlsError, watch};

use super::settings::Misfit;

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
    /// The files, which are read again when they change.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let files = self.tls_cert.iter().chain(&self.tls_key).chain(&self.tls_client_ca);
        files.map(PathBuf::as_path)
    }

    /// Watches the files of this.
    pub fn serve(&self, acceptor: &Arc<Acceptor>) -> io::Result<TlsSetup> {
        watch(acceptor, FILES_PERIOD)?;
        Ok(TlsSetup { takes_plain: self.tls_or_plain, ..TlsSetup::accepting(acceptor) })
    }

    /// Reads the files; `None` where TLS is not asked for.
    ///
    /// # Errors
    /// What does not go together, or cannot be used.
    pub fn acceptor(&self) -> Result<Option<Arc<Acceptor>>, Misfit> {
        let (certificates, keys) = (self.tls_cert.len(), self.tls_key.len());
        if certificates != keys {
            let words =
                format!("each --tls-cert needs its --tls-key: there are {certificates} and {keys}");
            return Err(Misfit::new(if keys == 0 { "tls_cert" } else { "tls_key" }, words));
        }
        if self.tls_require_client_cert && self.tls_client_ca.is_none() {
            return Err(Misfit::new("tls_require_client_cert", "needs --tls-client-ca"));
        }
        if certificates == 0 {
            return match (&self.tls_client_ca, self.tls_or_plain) {
                (Some(_), _) => Err(Misfit::new("tls_client_ca", "needs --tls-cert")),
                (None, true) => Err(Misfit::new("tls_or_plain", "needs --tls-cert")),
                (None, false) => Ok(None),
            };
        }
        let acceptor = Acceptor::new(Files {
            pairs: self.tls_cert.iter().cloned().zip(self.tls_key.iter().cloned()).collect(),
            client_ca: self.tls_client_ca.clone(),
            is_client_certificate_required: self.tls_require_client_cert,
        });
        let acceptor = acceptor.map_err(|error| Misfit::new("tls_cert", error))?;
        Ok(Some(Arc::new(acceptor)))
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
