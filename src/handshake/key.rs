//! Sec-WebSocket-Key and the value that answers it.
//!
//! Owns the one use of SHA-1 and base64. Never makes a key: randomness is the client's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// RFC 6455, section 1.3: no server that does not know WebSocket would hash with this.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A client's key, in base64 as sent. It proves nothing but that the server speaks WebSocket.
///
/// ```
/// use throng::handshake::Key;
///
/// // The example of RFC 6455, section 1.3.
/// let key = Key::from_header(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();
/// assert_eq!(&key.accept(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key([u8; 24]);

impl Key {
    /// The key from a header's value, which MUST be base64 that decodes to 16 bytes (RFC 6455,
    /// section 4.2.1, item 5); `None` where it is not. The last bits have to be zero, as in any
    /// canonical base64.
    pub fn from_header(value: &[u8]) -> Option<Self> {
        let encoded: [u8; 24] = value.try_into().ok()?;
        let mut nonce = [0; 18];
        let length = STANDARD.decode_slice(encoded, &mut nonce).ok()?;
        (length == 16).then_some(Self(encoded))
    }

    /// The key of a new connection, from 16 bytes that MUST be fresh and random (RFC 6455, section
    /// 4.1, item 7).
    pub fn from_nonce(nonce: [u8; 16]) -> Self {
        let mut encoded = [0; 24];
        let written = STANDARD.encode_slice(nonce, &mut encoded);
        debug_assert_eq!(written, Ok(24), "16 bytes are 24 characters");
        Self(encoded)
    }

    /// The key as sent.
    pub const fn as_bytes(&self) -> &[u8; 24] {
        &self.0
    }

    /// The value of Sec-WebSocket-Accept (RFC 6455, section 4.2.2, item 5.4).
    pub fn accept(&self) -> [u8; 28] {
        let digest = Sha1::new().chain_update(self.0).chain_update(GUID).finalize();
        let mut accept = [0; 28];
        let written = STANDARD.encode_slice(digest, &mut accept);
        debug_assert_eq!(written, Ok(28), "20 bytes are 28 characters");
        accept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_4_2_1_key_is_base64_of_16_bytes() {
        let table: [(&[u8], bool); 12] = [
            (b"dGhlIHNhbXBsZSBub25jZQ==", true),
            (b"AAAAAAAAAAAAAAAAAAAAAA==", true),
            (b"+/+/+/+/+/+/+/+/+/+/+w==", true),
            (b"", false),
            (b"dGhlIHNhbXBsZSBub25jZQ=", false),
            (b"dGhlIHNhbXBsZSBub25jZQ", false),
            (b"dGhlIHNhbXBsZSBub25jZQ===", false),
            (b"dGhlIHNhbXBsZSBub25jZWU=", false), // 17 bytes
            (b"dGhlIHNhbXBsZSBub25jZWVl", false), // 18 bytes
            (b"-_-_-_-_-_-_-_-_-_-_-w==", false), // the URL alphabet
            (b"dGhlIHNhbXBsZSBub25jZR==", false), // bits left over
            (b"dGhlIHNhbXBs SBub25jZQ==", false),
        ];
        for (value, valid) in table {
            assert_eq!(Key::from_header(value).is_some(), valid, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn rfc6455_4_1_key_from_a_nonce() {
        let key = Key::from_nonce(*b"the sample nonce");
        assert_eq!(key.as_bytes(), b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(Key::from_header(key.as_bytes()), Some(key));
        assert_eq!(Key::from_nonce([0xff; 16]).as_bytes(), b"/////////////////////w==");
    }

    #[test]
    fn rfc6455_4_2_2_accept_value() {
        let key = Key::from_header(b"AAAAAAAAAAAAAAAAAAAAAA==").unwrap();
        // printf 'AAAAAAAAAAAAAAAAAAAAAA==258EAFA5-...' | openssl sha1 -binary | base64
        assert_eq!(&key.accept(), b"ICX+Yqv66kxgM0FcWaLWlFLwTAI=");
    }
}
