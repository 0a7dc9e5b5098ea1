//! The signature of a request, as Standard Webhooks has it: what receivers have libraries for.
//!
//! Owns the secret and the three header fields. Never sends.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What stands before a secret in base64.
const PREFIX: &str = "whsec_";

/// Fewer bytes could be guessed.
const BYTES_MIN: usize = 24;

/// The secret that both sides know.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Reads it from a file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
        Self::new(bytes.trim_ascii_end())
    }

    fn new(bytes: &[u8]) -> Result<Self, String> {
        let secret = match bytes.strip_prefix(PREFIX.as_bytes()) {
            Some(encoded) => {
                let decoded = STANDARD.decode(encoded);
                decoded.map_err(|_| format!("what stands behind {PREFIX} is no base64"))?
            }
            None => bytes.to_vec(),
        };
        if secret.len() < BYTES_MIN {
            return Err(format!("holds fewer than {BYTES_MIN} bytes"));
        }
        Ok(Self(secret))
    }

    /// The field `webhook-signature` of a request.
    pub fn sign(&self, id: &str, timestamp_s: u64, body: &[u8]) -> String {
        // A key of any length will do.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn a_request_is_signed_as_others_do() {
        let secret = Secret::new(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let signature =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_long_enough() {
        assert!(Secret::new(b"short").is_err() && Secret::new(b"whsec_c2hvcnQ=").is_err());
        assert!(Secret::new(b"whsec_!").is_err());
        assert!(Secret::new(&[b'x'; BYTES_MIN]).is_ok());
        assert_eq!(format!("{:?}", Secret(vec![7])), "Secret(***)");
    }
}
