//! Masking (RFC 6455 section 5.3): XOR with a key of four bytes, the same both ways.
//!
//! The one door to SIMD. Owns the kernels and the choice between them. Never makes a key.

/// Masks or unmasks `bytes` in place. `offset` is where in the payload they begin, so that a
/// payload can be unmasked piece by piece.
///
/// ```
/// use throng::frame::apply_mask;
///
/// let mut bytes = *b"Hello";
/// apply_mask(&mut bytes, [0x37, 0xFA, 0x21, 0x3D], 0);
/// assert_eq!(bytes, [0x7F, 0x9F, 0x4D, 0x51, 0x58]); // RFC 6455 section 5.7
/// ```
#[inline]
pub fn apply_mask(bytes: &mut [u8], key: [u8; 4], offset: u64) {
    let key = rotate(key, offset);
    let word = u64::from(u32::from_ne_bytes(key)) << 32 | u64::from(u32::from_ne_bytes(key));
    let (words, tail) = bytes.as_chunks_mut::<8>();
    // A loop over whole words is what the compiler turns into vector code for the target at hand;
    // benches/mask.rs holds it against memcpy and against the scalar twin.
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    apply_rotated(tail, key);
}

/// The scalar twin of [`apply_mask`]: what it means, a byte at a time. For tests and benchmarks.
pub fn apply_mask_scalar(bytes: &mut [u8], key: [u8; 4], offset: u64) {
    apply_rotated(bytes, rotate(key, offset));
}

/// The key as it stands `offset` bytes into the payload.
#[inline]
fn rotate(key: [u8; 4], offset: u64) -> [u8; 4] {
    let mut rotated = key;
    rotated.rotate_left((offset % 4) as usize);
    rotated
}

#[inline]
fn apply_rotated(bytes: &mut [u8], key: [u8; 4]) {
    for (byte, key) in bytes.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::{apply_mask, apply_mask_scalar};

    #[test]
    fn every_length_alignment_and_offset_agrees_with_the_scalar_twin() {
        let source: Vec<u8> = (0..400_u32).map(|i| (i * 31 % 251) as u8).collect();
        for start in 0..9 {
            for len in (0..80).chain([127, 128, 255, 256, 300]) {
                for offset in 0..5 {
                    let mut fast = source[start..start + len].to_vec();
                    let mut slow = fast.clone();
                    apply_mask(&mut fast, [1, 0x80, 0xFF, 7], offset);
                    apply_mask_scalar(&mut slow, [1, 0x80, 0xFF, 7], offset);
                    assert_eq!(fast, slow, "start {start}, len {len}, offset {offset}");
                }
            }
        }
    }
}
