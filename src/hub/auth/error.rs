//! What is wrong with a configuration of tokens, at the start or when a file has changed.
//!
//! Owns the words for whoever runs the server. No peer ever sees them: a peer gets a
//! [`Refusal`](super::Refusal).

use std::io;
use std::path::PathBuf;

use super::Algorithm;

/// Why tokens cannot be verified, or signed, as configured.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A token could only be refused, and none is asked for.
    #[error("no key is configured: give a secret or a JWKS file")]
    NoKeys,
    /// A name is configured twice, so that a token would have two meanings.
    #[error("the issuer {0:?} is configured more than once")]
    IssuerRepeated(String),
    /// Nothing could be verified.
    #[error("an issuer without algorithms verifies nothing")]
    NoAlgorithms,
    /// Short secrets are found by trying (RFC 7518 section 3.2).
    #[error("the secret has {0} bytes: HS256 needs at least 32 (try `openssl rand -base64 32`)")]
    SecretTooShort(usize),
    /// A secret verifies HS256 only.
    #[error("a secret verifies HS256, not {0}")]
    SecretAlgorithm(Algorithm),
    /// A key file cannot be read.
    #[error("{path}: {error}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A key file says something else than keys that can be used.
    #[error("{path}: {fault}", path = .path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
    /// A key to sign with is none.
    #[error("this is no private key for {0} in PEM")]
    SigningKey(Algorithm),
    /// An API key is one that could not be sent in a header.
    #[error("an API key has visible ASCII characters only")]
    ApiKey,
    /// Short keys are found by trying.
    #[error("an API key of {0} bytes: it needs at least 16 (try `openssl rand -hex 32`)")]
    ApiKeyTooShort(usize),
    /// A token could not be signed.
    #[error("signing failed: {0}")]
    Signing(String),
}
