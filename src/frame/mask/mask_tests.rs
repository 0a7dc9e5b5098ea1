//! One corpus through the door and through every kernel, beside the scalar twin.

use super::{apply_mask, apply_mask_scalar, mask_kernels, unmask_text};

/// Random bytes from a seed (xorshift), so that a failure comes back.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// Bytes that begin just `alignment` after a multiple of 64, with a margin that must stay as it is.
struct Placed {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Placed {
    fn new(payload: &[u8], alignment: usize) -> Self {
        let mut bytes = vec![0xA5; payload.len() + 256];
        let start = 64 + bytes.as_ptr().align_offset(64) + alignment;
        bytes[start..start + payload.len()].copy_from_slice(payload);
        Self { bytes, start, len: payload.len() }
    }

    fn payload(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }

    fn margin_is_untouched(&self) -> bool {
        let (before, rest) = self.bytes.split_at(self.start);
        before.iter().chain(&rest[self.len..]).all(|&byte| byte == 0xA5)
    }
}

/// `payload` at `alignment` through the door at `offset`, and through every kernel.
fn agrees(payload: &[u8], key: [u8; 4], alignment: usize, offset: u64) {
    let case = format!("len {}, alignment {alignment}, offset {offset}", payload.len());
    let mut expected = payload.to_vec();
    apply_mask_scalar(&mut expected, key, offset);
    let mut placed = Placed::new(payload, alignment);
    apply_mask(placed.payload(), key, offset);
    assert!(placed.payload() == expected && placed.margin_is_untouched(), "the door: {case}");

    let mut turned = key;
    turned.rotate_left((offset % 4) as usize);
    let mut placed = Placed::new(payload, alignment);
    let is_ascii = unmask_text(placed.payload(), turned);
    assert!(placed.payload() == expected && placed.margin_is_untouched(), "text: {case}");
    assert_eq!(is_ascii, expected.is_ascii(), "text: {case}");
    for (name, kernel) in mask_kernels() {
        let Some(kernel) = kernel else { continue };
        let mut placed = Placed::new(payload, alignment);
        let is_ascii = kernel(placed.payload(), turned);
        assert!(placed.payload() == expected && placed.margin_is_untouched(), "{name}: {case}");
        assert_eq!(is_ascii, expected.is_ascii(), "{name}: {case}");
    }
}

#[test]
fn every_length_alignment_and_key_phase_agrees_with_the_scalar_twin() {
    let source = Draw(0x9E37_79B9_7F4A_7C15).bytes(300);
    for len in 0..=300 {
        for alignment in 0..64 {
            for offset in 0..4 {
                agrees(&source[..len], [1, 0x80, 0xFF, 7], alignment, offset);
            }
        }
    }
}

#[test]
fn random_large_payloads_agree_with_the_scalar_twin() {
    let mut draw = Draw(0xD1B5_4A32_D192_ED03);
    for _ in 0..400 {
        let len = 300 + draw.next() as usize % 40_000;
        let (payload, key) = (draw.bytes(len), (draw.next() as u32).to_le_bytes());
        let alignment = draw.next() as usize % 64;
        agrees(&payload, key, alignment, draw.next());
    }
}

#[test]
fn one_byte_that_is_not_ascii_is_seen_wherever_it_stands() {
    let key = [0x37, 0xFA, 0x21, 0x3D];
    for len in (0..=300).chain([1023, 1024, 1025, 1300]) {
        let mut masked = vec![b'a'; len];
        apply_mask_scalar(&mut masked, key, 0);
        agrees(&masked, key, len % 64, 0);
        for at in 0..len {
            masked[at] ^= 0x80;
            agrees(&masked, key, len % 64, 0);
            masked[at] ^= 0x80;
        }
    }
}

#[test]
fn the_plain_loop_is_always_there_and_the_names_differ() {
    let [(portable, kernel), (avx2, _), (avx512, _)] = mask_kernels();
    assert!(kernel.is_some() && portable != avx2 && avx2 != avx512);
}
