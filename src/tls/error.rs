//! What can be wrong with certificates, keys and who is trusted.
//!
//! Owns the one error type of this layer, which names the file at fault. What goes wrong between
//! two peers is an I/O error of their connection.

use std::io;
use std::path::PathBuf;

/// Why TLS cannot be set up as it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}", path = .path.display())]
    Read { path: PathBuf, error: io::Error },
    /// A file of certificates is broken, or holds none.
    #[error("{path} holds no PEM certificates{fault}", path = .path.display())]
    Certificates { path: PathBuf, fault: String },
    /// A file of a private key is broken, holds none, or one of a kind that is not known.
    #[error("{path} holds no private key that can be used{fault}", path = .path.display())]
    Key { path: PathBuf, fault: String },
    /// A key is not the one of its certificate.
    #[error("{key} is not the key of {certificate}", key = .key.display(),
        certificate = .certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
    /// There is no certificate to show.
    #[error("a server needs a certificate and its key")]
    NoCertificate,
    /// The system trusts nobody.
    #[error("the system has no certificates to trust: name some")]
    NoRoots,
    /// What was put together is refused.
    #[error(transparent)]
    Setup(#[from] rustls::Error),
}
