//! A JSON Web Token in its compact form (RFC 7515 section 3.1).
//!
//! Owns how it is taken apart and what of it may be looked at before its signature is known to be
//! right: `alg`, `kid` and `iss`, and those only to find a key that is configured.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::keys::Key;
use super::{Algorithm, Claims, Refusal};

/// The longest token, in bytes: no longer one comes in a head.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// A token that was taken apart, and not verified.
pub(super) struct Unverified<'t> {
    header: Header,
    payload: Vec<u8>,
    /// What is signed: all before the last dot.
    message: &'t str,
    signature: &'t str,
}

/// What of the header counts. `jku`, `jwk`, `x5u` and the like are never looked at.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Issuer {
    iss: Option<String>,
}

impl<'t> Unverified<'t> {
    pub(super) fn parse(token: &'t str) -> Result<Self, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::Malformed);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Refusal::Malformed)?;
        let header = serde_json::from_slice::<Header>(&decode(header)?);
        let header = header.map_err(|_| Refusal::Malformed)?;
        // RFC 7515 section 4.1.11: what must be understood, and no extension is understood here.
        if header.crit.is_some() {
            return Err(Refusal::Malformed);
        }
        Ok(Self { header, payload: decode(payload)?, message, signature })
    }

    /// The algorithm that the token says it is signed with. `none` is none.
    pub(super) fn algorithm(&self) -> Result<Algorithm, Refusal> {
        self.header.alg.parse().map_err(|_| Refusal::Algorithm)
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Who it says has made it.
    pub(super) fn issuer(&self) -> Result<Option<String>, Refusal> {
        let claims: Issuer = serde_json::from_slice(&self.payload).map_err(|_| Refusal::Claims)?;
        Ok(claims.iss)
    }

    /// What it says, if it is signed with this key, by the algorithm of the key.
    pub(super) fn verify(self, key: &Key) -> Result<Claims, Refusal> {
        let algorithm = key.algorithm.of_provider();
        let (message, signature) = (self.message.as_bytes(), self.signature);
        match jsonwebtoken::crypto::verify(signature, message, &key.key, algorithm) {
            Ok(true) => {}
            Ok(false) | Err(_) => return Err(Refusal::Signature),
        }
        let claims = serde_json::from_slice::<Claims>(&self.payload);
        claims.ok().filter(Claims::are_sound).ok_or(Refusal::Claims)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}

/// Takes the crypto of plain Rust, unless the program has chosen another. Without a choice the
/// library would panic in a program that builds it with two.
pub(super) fn choose_provider() {
    // An error says that there is one already.
    let _ = jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER.install_default();
}
