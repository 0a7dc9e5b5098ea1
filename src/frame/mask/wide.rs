//! The kernels for AVX2 and AVX-512, and the question which of them the machine has.
//!
//! Owns all `unsafe` of this project: a load, a store and a call for each kernel. Never sees less
//! than [`SMALL_MAX`](super::SMALL_MAX) bytes.
//!
//! benches/mask.rs holds each beside memcpy, the plain loop and the scalar twin. What was left out:
//! stores past the cache, since the bytes are read again at once, and AVX-512 on machines without
//! VBMI2, which clock down for it.

use std::is_x86_feature_detected as has;

use super::{MaskKernel, portable, turned};

/// From here on AVX-512 is quicker than AVX2.
const AVX512_FROM: usize = 1024;

/// Masks with the widest kernel that pays. The standard library keeps the answers of the machine:
/// each question is a load and a test.
pub(super) fn sweep<const LOOK: bool>(bytes: &mut [u8], key: u32) -> bool {
    if bytes.len() >= AVX512_FROM && has!("avx512f") && has!("avx512vbmi2") {
        // SAFETY: the machine has AVX512F, all that the kernel is compiled for.
        return unsafe { avx512::sweep::<LOOK>(bytes, key) };
    }
    if has!("avx2") {
        // SAFETY: the machine has AVX2, all that the kernel is compiled for.
        return unsafe { avx2::sweep::<LOOK>(bytes, key) };
    }
    portable::<LOOK>(bytes, key)
}

/// AVX2 and AVX-512, where the machine has them.
pub(super) fn kernels() -> [Option<MaskKernel>; 2] {
    let avx2: MaskKernel = |bytes, key| {
        assert!(has!("avx2"));
        // SAFETY: the machine has AVX2, asked for on the line above.
        unsafe { avx2::sweep::<true>(bytes, u32::from_le_bytes(key)) }
    };
    let avx512: MaskKernel = |bytes, key| {
        assert!(has!("avx512f"));
        // SAFETY: the machine has AVX512F, asked for on the line above.
        unsafe { avx512::sweep::<true>(bytes, u32::from_le_bytes(key)) }
    };
    [has!("avx2").then_some(avx2), has!("avx512f").then_some(avx512)]
}

/// One kernel: vectors of `$len` bytes, four at a step. A payload stands anywhere behind its
/// header, and a store across two cache lines costs two: so the steps begin where vectors are
/// aligned. What lies before and after them is read before the first step and written after the
/// last; where it overlaps them, both write the same.
macro_rules! kernel {
    ($features:literal, $len:literal) => {
        const LEN: usize = $len;

        #[inline]
        #[target_feature(enable = $features)]
        fn load(bytes: &[u8; LEN]) -> Vector {
            // SAFETY: a reference to as many bytes as are read; unaligned is allowed.
            unsafe { load_from(bytes.as_ptr().cast()) }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn store(bytes: &mut [u8; LEN], vector: Vector) {
            // SAFETY: a reference to as many bytes as are written; unaligned is allowed.
            unsafe { store_to(bytes.as_mut_ptr().cast(), vector) }
        }

        /// Masks the four vectors of a step; the OR of what came out.
        #[inline]
        #[target_feature(enable = $features)]
        fn step(bytes: &[[u8; LEN]; 4], key: Vector) -> ([Vector; 4], Vector) {
            let [a, b, c, d] = bytes;
            let (a, b) = (xor(load(a), key), xor(load(b), key));
            let (c, d) = (xor(load(c), key), xor(load(d), key));
            ([a, b, c, d], or(or(a, b), or(c, d)))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn store_step(bytes: &mut [[u8; LEN]; 4], vectors: [Vector; 4]) {
            let ([a, b, c, d], [va, vb, vc, vd]) = (bytes, vectors);
            store(a, va);
            store(b, vb);
            store(c, vc);
            store(d, vd);
        }

        #[target_feature(enable = $features)]
        pub(super) fn sweep<const LOOK: bool>(bytes: &mut [u8], key: u32) -> bool {
            let skip = bytes.as_ptr().align_offset(LEN) % LEN;
            let last_key = splat(super::turned(key, bytes.len()).cast_signed());
            let step_key = splat(super::turned(key, skip).cast_signed());
            let (first, last) = (bytes.first_chunk(), bytes.as_rchunks().1.last_chunk());
            let (Some(first), Some(last)) = (first, last) else {
                return super::portable::<LOOK>(bytes, key); // shorter than a step
            };
            let first = xor(load(first), splat(key.cast_signed()));
            let (last, last_seen) = step(last, last_key);
            let mut seen = or(first, last_seen);
            for room in bytes[skip..].as_chunks_mut().0.as_chunks_mut().0 {
                let (masked, step_seen) = step(room, step_key);
                store_step(room, masked);
                if LOOK {
                    seen = or(seen, step_seen);
                }
            }
            if let Some(room) = bytes.first_chunk_mut() {
                store(room, first);
            }
            if let Some(room) = bytes.as_rchunks_mut().1.last_chunk_mut() {
                store_step(room, last);
            }
            LOOK && is_ascii(seen)
        }
    };
}

mod avx2 {
    use std::arch::x86_64::{
        __m256i as Vector, _mm256_loadu_si256 as load_from, _mm256_movemask_epi8,
        _mm256_or_si256 as or, _mm256_set1_epi32 as splat, _mm256_storeu_si256 as store_to,
        _mm256_xor_si256 as xor,
    };

    kernel!("avx2", 32);

    #[inline]
    #[target_feature(enable = "avx2")]
    fn is_ascii(seen: Vector) -> bool {
        _mm256_movemask_epi8(seen) == 0
    }
}

mod avx512 {
    use std::arch::x86_64::{
        __m512i as Vector, _mm512_loadu_si512 as load_from, _mm512_or_si512 as or,
        _mm512_set1_epi32 as splat, _mm512_storeu_si512 as store_to, _mm512_test_epi32_mask,
        _mm512_xor_si512 as xor,
    };

    kernel!("avx512f", 64);

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn is_ascii(seen: Vector) -> bool {
        _mm512_test_epi32_mask(seen, splat(0x8080_8080_u32.cast_signed())) == 0
    }
}
