//! Masking (RFC 6455 section 5.3): XOR with a key of four bytes, the same both ways.
//!
//! The one door to SIMD. Owns the kernels and the choice between them. Never makes a key.
//!
//! | bytes | kernel |
//! |---|---|
//! | to 128 | two reads that meet or overlap, both before the first write: no loop, no question |
//! | from 129 | AVX2 where the machine has it |
//! | from 1024 | AVX-512 where the machine has it and does not slow down for it |
//! | else | a plain loop, which the compiler makes SSE2, NEON or what the target has |

#[cfg(test)]
mod mask_tests;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vector kernels, chosen at run time: the one place for it")]
mod wide;

/// The longest run of bytes that is masked without a loop.
const SMALL_MAX: usize = 128;

/// Masks bytes in place with a key as it stands at the first of them, and says whether what came
/// out is ASCII: for tests and benchmarks.
pub type MaskKernel = fn(&mut [u8], [u8; 4]) -> bool;

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
#[inline(always)]
pub fn apply_mask(bytes: &mut [u8], key: [u8; 4], offset: u64) {
    apply::<false>(bytes, turned(u32::from_le_bytes(key), (offset % 4) as usize));
}

/// Unmasks `bytes` in place, the key as it stands at the first of them, and says whether what came
/// out is ASCII: a text that needs no second look.
///
/// ```
/// use throng::frame::unmask_text;
///
/// let mut bytes = [0x7F, 0x9F, 0x4D, 0x51, 0x58];
/// assert!(unmask_text(&mut bytes, [0x37, 0xFA, 0x21, 0x3D]));
/// assert_eq!(&bytes, b"Hello");
/// ```
#[inline(always)]
pub fn unmask_text(bytes: &mut [u8], key: [u8; 4]) -> bool {
    apply::<true>(bytes, u32::from_le_bytes(key))
}

/// The scalar twin of [`apply_mask`]: what it means, a byte at a time. For tests and benchmarks.
pub fn apply_mask_scalar(bytes: &mut [u8], key: [u8; 4], offset: u64) {
    let mut key = key;
    key.rotate_left((offset % 4) as usize);
    for (byte, key) in bytes.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// Each kernel by its name, `None` where this machine lacks it: for tests and benchmarks.
#[doc(hidden)]
pub fn mask_kernels() -> [(&'static str, Option<MaskKernel>); 3] {
    let portable: MaskKernel = |bytes, key| portable::<true>(bytes, u32::from_le_bytes(key));
    #[cfg(target_arch = "x86_64")]
    let [avx2, avx512] = wide::kernels();
    #[cfg(not(target_arch = "x86_64"))]
    let [avx2, avx512] = [None, None];
    [("portable", Some(portable)), ("avx2", avx2), ("avx512", avx512)]
}

/// Whether all that came out is ASCII, where `LOOK` asks for it; else false.
#[inline(always)]
fn apply<const LOOK: bool>(bytes: &mut [u8], key: u32) -> bool {
    match bytes.len() {
        0..4 => bytewise::<LOOK>(bytes, key),
        4..=8 => ends::<4, LOOK>(bytes, key),
        9..=16 => ends::<8, LOOK>(bytes, key),
        17..=32 => ends::<16, LOOK>(bytes, key),
        33..=64 => ends::<32, LOOK>(bytes, key),
        65..=SMALL_MAX => ends::<64, LOOK>(bytes, key),
        _ => {
            #[cfg(target_arch = "x86_64")]
            let is_ascii = wide::sweep::<LOOK>(bytes, key);
            #[cfg(not(target_arch = "x86_64"))]
            let is_ascii = portable::<LOOK>(bytes, key);
            is_ascii
        }
    }
}

#[inline]
fn bytewise<const LOOK: bool>(bytes: &mut [u8], key: u32) -> bool {
    let mut seen = 0;
    for (byte, key) in bytes.iter_mut().zip(key.to_le_bytes().into_iter().cycle()) {
        *byte ^= key;
        seen |= *byte;
    }
    LOOK && seen.is_ascii()
}

/// From `N` to `2 * N` bytes: the first `N` and the last `N`. Where they overlap, both write the
/// same.
#[inline(always)]
fn ends<const N: usize, const LOOK: bool>(bytes: &mut [u8], key: u32) -> bool {
    let last_key = turned(key, bytes.len().wrapping_sub(N));
    let (Some(first), Some(last)) = (bytes.first_chunk::<N>(), bytes.last_chunk::<N>()) else {
        return bytewise::<LOOK>(bytes, key); // never: the caller has looked at the length
    };
    let ((first, seen_first), (last, seen_last)) = (xored(*first, key), xored(*last, last_key));
    if let Some(room) = bytes.first_chunk_mut::<N>() {
        *room = first;
    }
    if let Some(room) = bytes.last_chunk_mut::<N>() {
        *room = last;
    }
    LOOK && (seen_first | seen_last).to_le_bytes().is_ascii()
}

/// The bytes, masked, and all their words laid over each other.
#[inline]
fn xored<const N: usize>(mut bytes: [u8; N], key: u32) -> ([u8; N], u32) {
    let mut seen = 0;
    for word in bytes.as_chunks_mut::<4>().0 {
        let masked = u32::from_le_bytes(*word) ^ key;
        seen |= masked;
        *word = masked.to_le_bytes();
    }
    (bytes, seen)
}

/// A loop over whole words is what the compiler turns into vector code for the target at hand.
#[inline]
fn portable<const LOOK: bool>(bytes: &mut [u8], key: u32) -> bool {
    let word = u64::from(key) << 32 | u64::from(key);
    let (words, tail) = bytes.as_chunks_mut::<8>();
    let mut seen = 0;
    for chunk in words {
        let masked = u64::from_le_bytes(*chunk) ^ word;
        seen |= masked;
        *chunk = masked.to_le_bytes();
    }
    let tail_is_ascii = bytewise::<LOOK>(tail, key);
    tail_is_ascii && seen.to_le_bytes().is_ascii()
}

/// The key as it stands `n` bytes on.
#[inline]
const fn turned(key: u32, n: usize) -> u32 {
    key.rotate_right(8 * (n % 4) as u32)
}
