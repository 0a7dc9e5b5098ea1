//! The keys of the HTTP API.
//!
//! Owns them and their comparison, which takes the same time wherever a key differs.

use std::fmt;

use subtle::{Choice, ConstantTimeEq};

use super::AuthError;

/// A shorter key can be found by trying.
const KEY_BYTES_MIN: usize = 16;

/// The keys that open the HTTP API.
#[derive(Clone, Default)]
pub struct ApiKeys(Vec<Box<[u8]>>);

impl ApiKeys {
    /// These keys.
    ///
    /// # Errors
    ///
    /// One has fewer than 16 bytes, or something else than visible ASCII, so that no header could
    /// carry it.
    pub fn new<K: AsRef<str>>(keys: &[K]) -> Result<Self, AuthError> {
        let keys = keys.iter().map(|key| key.as_ref().as_bytes());
        for key in keys.clone() {
            if !key.iter().all(u8::is_ascii_graphic) {
                return Err(AuthError::ApiKey);
            }
            if key.len() < KEY_BYTES_MIN {
                return Err(AuthError::ApiKeyTooShort(key.len()));
            }
        }
        Ok(Self(keys.map(Into::into).collect()))
    }

    /// Whether there are none: then nobody has one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is one of the keys. All are compared, and each to its end; only lengths show.
    pub fn contains(&self, presented: &[u8]) -> bool {
        let none = Choice::from(0);
        self.0.iter().fold(none, |found, key| found | key.ct_eq(presented)).into()
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_keys_and_nothing_like_it() {
        let keys = ApiKeys::new(&["first-key-0123456789", "second-key-0123456789"]).unwrap();
        assert!(keys.contains(b"first-key-0123456789"));
        assert!(keys.contains(b"second-key-0123456789"));
        for other in ["", "first-key-012345678", "first-key-01234567890", "First-key-0123456789"] {
            assert!(!keys.contains(other.as_bytes()), "{other}");
        }
        assert!(ApiKeys::default().is_empty() && !ApiKeys::default().contains(b""));
        assert_eq!(format!("{keys:?}"), "ApiKeys(2)");
    }

    #[test]
    fn a_key_that_is_short_or_that_no_header_carries_is_refused() {
        for bad in
            ["", "15-bytes-of-it.", "a key with blanks", "a-key-with-lf-0123\n", "key-éééééééé"]
        {
            assert!(ApiKeys::new(&[bad]).is_err(), "{bad:?}");
        }
    }
}
