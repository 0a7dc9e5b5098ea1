//! UTF-8 as it arrives (RFC 6455 section 8.1, RFC 3629).
//!
//! Owns the state between two pieces of a text: a single byte. Looks at each byte once, however
//! the text is cut, and fails at the piece with the first byte that no text can have there.
//! Never keeps a byte of the text.

/// A byte that cannot follow what came before it in UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("text is not UTF-8")]
pub struct InvalidUtf8;

/// How far a text has come: between two code points, or inside one.
///
/// ```
/// use throng::frame::Utf8;
///
/// let mut text = Utf8::default();
/// text.push(b"\xE2\x82").unwrap(); // the euro sign, cut
/// assert!(!text.is_boundary());
/// text.push(b"\xAC").unwrap();
/// assert!(text.is_boundary());
/// assert!(text.push(b"\xFF").is_err());
/// ```
///
/// ```text
///             C2..DF                            80..BF
/// Boundary ───────────────────────────► One ──────────────► Boundary
///    │   E1..EC, EE, EF     ┌─► Two ──► One
///    │   E0 ─► AfterE0 ─────┤   A0..BF
///    │   ED ─► AfterEd ─────┘   80..9F (no surrogates) ───► One
///    │   F1..F3 ──────────────► Three ─► Two
///    │   F0 ─► AfterF0          90..BF (nothing overlong) ─► Two
///    └── F4 ─► AfterF4          80..8F (up to U+10FFFF) ───► Two
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Utf8 {
    /// Between two code points.
    #[default]
    Boundary,
    /// One continuation byte is missing.
    One,
    /// Two are missing.
    Two,
    /// Three are missing.
    Three,
    /// After E0: the next is A0..BF.
    AfterE0,
    /// After ED: the next is 80..9F.
    AfterEd,
    /// After F0: the next is 90..BF.
    AfterF0,
    /// After F4: the next is 80..8F.
    AfterF4,
}

/// From here on simdutf8 pays for its call; below, the standard library is quicker.
const SIMD_FROM: usize = 64;

impl Utf8 {
    /// Whether the text may end here.
    #[inline]
    pub const fn is_boundary(self) -> bool {
        matches!(self, Self::Boundary)
    }

    /// Takes the next piece of the text.
    ///
    /// # Errors
    /// [`InvalidUtf8`] as soon as `bytes` holds one that no UTF-8 text has at its place. The state
    /// means nothing after that.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), InvalidUtf8> {
        let mut rest = bytes;
        while !self.is_boundary() {
            let [first, after @ ..] = rest else { return Ok(()) };
            *self = self.step(*first)?;
            rest = after;
        }
        let (whole, tail) = rest.split_at(rest.len() - unfinished_len(rest));
        validate(whole)?;
        for byte in tail {
            *self = self.step(*byte)?;
        }
        Ok(())
    }

    /// The state after one more byte: table 3-7 of the Unicode Standard.
    #[inline]
    fn step(self, byte: u8) -> Result<Self, InvalidUtf8> {
        Ok(match (self, byte) {
            (Self::Boundary, 0x00..=0x7F) | (Self::One, 0x80..=0xBF) => Self::Boundary,
            (Self::Boundary, 0xC2..=0xDF)
            | (Self::Two, 0x80..=0xBF)
            | (Self::AfterE0, 0xA0..=0xBF)
            | (Self::AfterEd, 0x80..=0x9F) => Self::One,
            (Self::Boundary, 0xE1..=0xEC | 0xEE..=0xEF)
            | (Self::Three, 0x80..=0xBF)
            | (Self::AfterF0, 0x90..=0xBF)
            | (Self::AfterF4, 0x80..=0x8F) => Self::Two,
            (Self::Boundary, 0xF1..=0xF3) => Self::Three,
            (Self::Boundary, 0xE0) => Self::AfterE0,
            (Self::Boundary, 0xED) => Self::AfterEd,
            (Self::Boundary, 0xF0) => Self::AfterF0,
            (Self::Boundary, 0xF4) => Self::AfterF4,
            _ => return Err(InvalidUtf8),
        })
    }
}

/// How many bytes at the end of `bytes` begin a code point without ending it: 0 to 3. Where the end
/// is malformed the answer may be off, and one of the two checks that follow finds the fault.
#[inline]
fn unfinished_len(bytes: &[u8]) -> usize {
    for (back, &byte) in bytes.iter().rev().take(3).enumerate() {
        let needs = match byte {
            0x80..=0xBF => continue,
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
            _ => 1,
        };
        return if needs > back + 1 { back + 1 } else { 0 };
    }
    0
}

#[inline]
fn validate(bytes: &[u8]) -> Result<(), InvalidUtf8> {
    let valid = if bytes.len() < SIMD_FROM {
        std::str::from_utf8(bytes).is_ok()
    } else {
        simdutf8::basic::from_utf8(bytes).is_ok()
    };
    if valid { Ok(()) } else { Err(InvalidUtf8) }
}

#[cfg(test)]
mod tests {
    use super::Utf8;

    /// What the standard library says of a prefix: can it still become a text?
    fn can_go_on(bytes: &[u8]) -> bool {
        std::str::from_utf8(bytes).map_or_else(|e| e.error_len().is_none(), |_| true)
    }

    #[test]
    fn agrees_with_the_standard_library_on_every_prefix_and_cut() {
        let mut bytes = Vec::new();
        for seed in 0_u32..60_000 {
            // Bytes drawn from the edges of table 3-7, so that most faults lie one byte away.
            let edges =
                b"a\x7F\x80\x8F\x90\x9F\xA0\xBF\xC0\xC1\xC2\xDF\xE0\xE1\xEC\xED\xEF\xF0\xF1\
                \xF3\xF4\xF5\xFF";
            let mut draw = seed;
            bytes.clear();
            for _ in 0..4 {
                bytes.push(edges[draw as usize % edges.len()]);
                draw /= edges.len() as u32;
            }
            for cut in 0..=bytes.len() {
                let mut text = Utf8::default();
                let pushed = text.push(&bytes[..cut]).and_then(|()| text.push(&bytes[cut..]));
                assert_eq!(pushed.is_ok(), can_go_on(&bytes), "{bytes:02x?} cut at {cut}");
                if pushed.is_ok() {
                    assert_eq!(text.is_boundary(), std::str::from_utf8(&bytes).is_ok());
                }
            }
        }
    }

    #[test]
    fn fails_at_the_byte_that_breaks_a_long_text() {
        let long = "κόσμε ".repeat(100);
        for bad in [&b"\xED\xA0"[..], b"\xF4\x90", b"\xC0", b"\xE0\x80"] {
            let mut text = Utf8::default();
            text.push(long.as_bytes()).unwrap();
            let (good, last) = bad.split_at(bad.len() - 1);
            text.push(good).unwrap();
            assert!(text.push(last).is_err(), "{bad:02x?}");
        }
    }
}
