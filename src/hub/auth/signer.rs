//! The making of tokens: for tests, for development, and for back ends in Rust.
//!
//! Owns the signing key. The server never has one: it verifies.

use std::fmt;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{EncodingKey, Header};

use super::keys::check_secret;
use super::{Algorithm, AuthError, Claims};

/// Signs tokens.
pub struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    kid: Option<String>,
}

impl Signer {
    /// Signs with HS256.
    ///
    /// # Errors
    ///
    /// The secret is shorter than 32 bytes.
    pub fn secret(secret: &[u8]) -> Result<Self, AuthError> {
        check_secret(secret)?;
        let key = EncodingKey::from_secret(secret);
        Ok(Self { algorithm: Algorithm::Hs256, key, kid: None })
    }

    /// Signs with a private key in PEM: PKCS #8; for RSA PKCS #1 too.
    ///
    /// # Errors
    ///
    /// The key is not for that algorithm.
    pub fn pem(algorithm: Algorithm, pem: &[u8]) -> Result<Self, AuthError> {
        super::token::choose_provider();
        let fault = || AuthError::SigningKey(algorithm);
        let key = match algorithm {
            Algorithm::Hs256 => return Err(fault()),
            Algorithm::Rs256 => EncodingKey::from_rsa_pem(pem),
            Algorithm::Es256 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDsa => EncodingKey::from_ed_pem(pem),
        };
        Ok(Self { algorithm, key: key.map_err(|_| fault())?, kid: None })
    }

    /// Names the key in each token.
    #[must_use]
    pub fn kid(mut self, kid: impl Into<String>) -> Self {
        self.kid = Some(kid.into());
        self
    }

    /// A token that says this.
    ///
    /// # Errors
    ///
    /// The claims are out of their bounds, so that no server would take them, or the key cannot
    /// sign.
    pub fn sign(&self, claims: &Claims) -> Result<String, AuthError> {
        super::token::choose_provider();
        if !claims.are_sound() {
            let why = "sub and jti have 1 to 128 bytes without control characters";
            return Err(AuthError::Signing(why.to_owned()));
        }
        let mut header = Header::new(self.algorithm.of_provider());
        header.kid = self.kid.clone();
        jsonwebtoken::encode(&header, claims, &self.key)
            .map_err(|error| AuthError::Signing(error.to_string()))
    }

    /// The JWKS file that verifies what this signs, in JSON. A secret has none: it would not be
    /// public.
    ///
    /// # Errors
    ///
    /// There is no public key.
    pub fn jwks(&self) -> Result<String, AuthError> {
        let fault = || AuthError::SigningKey(self.algorithm);
        if self.algorithm == Algorithm::Hs256 {
            return Err(AuthError::Signing("a secret has no public part".to_owned()));
        }
        let algorithm = self.algorithm.of_provider();
        let mut jwk = Jwk::from_encoding_key(&self.key, algorithm).map_err(|_| fault())?;
        jwk.common.key_id = self.kid.clone();
        serde_json::to_string_pretty(&JwkSet { keys: vec![jwk] }).map_err(|_| fault())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({}, {:?})", self.algorithm, self.kid)
    }
}
