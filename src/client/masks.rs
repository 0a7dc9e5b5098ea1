//! Masking keys (RFC 6455, sections 5.3 and 10.3).
//!
//! Owns the client's randomness: each key is fresh, from the system's generator, and used once.
//! Never derives one key from another.

use super::ClientError;

/// A source of random bytes: the system's, but for tests.
type Source = fn(&mut [u8]) -> Result<(), ClientError>;

/// A few keys drawn ahead: a system call for each frame would cost more than the frame.
pub(super) struct Masks {
    pool: [u8; 256],
    used: usize,
    source: Source,
}

impl Masks {
    pub(super) const fn new() -> Self {
        Self::from_source(fill)
    }

    const fn from_source(source: Source) -> Self {
        Self { pool: [0; 256], used: 256, source }
    }

    /// The key of one frame.
    pub(super) fn next(&mut self) -> Result<[u8; 4], ClientError> {
        if self.used == self.pool.len() {
            (self.source)(&mut self.pool)?;
            self.used = 0;
        }
        let mut key = [0; 4];
        key.copy_from_slice(&self.pool[self.used..self.used + 4]);
        self.used += 4;
        Ok(key)
    }
}

impl std::fmt::Debug for Masks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Masks") // the keys to come are nobody's business
    }
}

/// Fills `bytes` from the system's generator.
pub(super) fn fill(bytes: &mut [u8]) -> Result<(), ClientError> {
    getrandom::fill(bytes).map_err(|_| ClientError::Random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::collections::HashSet;

    thread_local! {
        static NEXT: Cell<u32> = const { Cell::new(0) };
    }

    /// Counts, so that every key is known and no two are the same.
    fn counting(bytes: &mut [u8]) -> Result<(), ClientError> {
        for key in bytes.as_chunks_mut::<4>().0 {
            *key = NEXT.replace(NEXT.get() + 1).to_be_bytes();
        }
        Ok(())
    }

    #[test]
    fn rfc6455_10_3_each_key_comes_from_the_source_and_is_used_once() {
        let mut masks = Masks::from_source(counting);
        for expected in 0..1000_u32 {
            assert_eq!(masks.next().unwrap(), expected.to_be_bytes());
        }
    }

    #[test]
    fn without_randomness_there_is_no_key() {
        let mut masks = Masks::from_source(|_| Err(ClientError::Random));
        assert!(matches!(masks.next(), Err(ClientError::Random)));
        assert!(matches!(masks.next(), Err(ClientError::Random)));
    }

    #[test]
    fn the_systems_keys_differ() {
        let (mut one, mut two) = (Masks::new(), Masks::new());
        let keys: HashSet<_> =
            (0..500).flat_map(|_| [one.next().unwrap(), two.next().unwrap()]).collect();
        assert!(keys.len() > 990, "{} of 1000", keys.len()); // four bytes may meet by chance
    }
}
