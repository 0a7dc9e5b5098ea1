//! Messages through the deflater and the inflater: the RFC's examples, whole and broken ones.
//!
//! zlib-rs inflates with a window of 2^15 bytes whatever it is told, so it cannot judge how far
//! back a match reaches. `blocks_tests.rs` reads the blocks for that.

use super::blocks_tests::distance_max;
use super::{Config, Deflater, InflateError, Inflater, Mode};
use InflateError::{Malformed, Truncated};
use proptest::prelude::*;

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
/// Far more than a test's message inflates to.
const BYTES_MAX: usize = 1 << 22;

/// Bytes as from a fair coin, the same for the same seed.
fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
}

fn text(bytes: usize, seed: u64) -> Vec<u8> {
    const WORDS: [&str; 8] =
        ["{\"type\":", "\"text\"", ",\"room\":\"", "lobby", "hello ", "there", "12345", "}"];
    let words = noise(seed).flat_map(|byte| WORDS[usize::from(byte % 8)].bytes());
    words.take(bytes).collect()
}

/// Feeds one message's pieces with rooms of one size, and ends the message.
fn inflate_pieces<'a>(
    inflater: &mut Inflater,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    room_bytes: usize,
) -> Result<Vec<u8>, InflateError> {
    let (mut message, mut room) = (Vec::new(), vec![0xaa; room_bytes]);
    for mut piece in pieces {
        loop {
            let written = inflater.step(&mut piece, &mut room)?;
            message.extend_from_slice(&room[..written]);
            assert!(message.len() <= BYTES_MAX, "no end in sight");
            if written < room.len() {
                break;
            }
        }
        assert!(piece.is_empty(), "input is left though there was room");
    }
    inflater.finish()?;
    Ok(message)
}

fn inflate(inflater: &mut Inflater, payload: &[u8]) -> Result<Vec<u8>, InflateError> {
    inflate_pieces(inflater, [payload], 512)
}

/// Deflates with the context kept, so that the message is taken however long it gets.
fn deflate(deflater: &mut Deflater, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(deflater.deflate(payload, &mut out, false));
    out
}

fn deflater() -> Deflater {
    Deflater::new(&Config { level: 6, ..Config::default() }, 15)
}

#[test]
fn rfc7692_7_2_3_examples_inflate() {
    let rows: [&[&[u8]]; 7] = [
        &[&HELLO],
        &[&HELLO[..3], &HELLO[3..]], // 7.2.3.1, two frames
        &[&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]], // 7.2.3.3, stored
        &[&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]], // 7.2.3.4, BFINAL
        // 7.2.3.5, two blocks
        &[&[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]],
        &[&HELLO[..6], &[], &[0x00]], // with an empty frame
        &[&[], &HELLO],
    ];
    for pieces in rows {
        for room_bytes in [1, 2, 5, 6, 512] {
            let pieces = pieces.iter().copied();
            let message = inflate_pieces(&mut Inflater::new(), pieces, room_bytes);
            assert_eq!(message.as_deref(), Ok(&b"Hello"[..]));
        }
    }
}

#[test]
fn rfc7692_7_2_3_examples_deflate() {
    let mut deflater = deflater();
    assert_eq!(deflate(&mut deflater, b"Hello"), HELLO);
    assert_eq!(deflate(&mut deflater, b"Hello"), [0xf2, 0x00, 0x11, 0x00, 0x00]); // 7.2.3.2
    deflater.reset();
    assert_eq!(deflate(&mut deflater, b"Hello"), HELLO);
    assert_eq!(deflate(&mut deflater, b""), [0x00]); // 7.2.3.6
    assert_eq!(deflate(&mut deflater, b""), [0x00]);
    assert_eq!(deflate(&mut deflater, b"Hello"), [0xf2, 0x00, 0x11, 0x00, 0x00]);
}

#[test]
fn rfc7692_7_2_2_the_window_is_kept_over_messages() {
    let mut inflater = Inflater::new();
    for _ in 0..3 {
        assert_eq!(inflate(&mut inflater, &HELLO).unwrap(), b"Hello");
        let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
        assert_eq!(inflate(&mut inflater, &again).unwrap(), b"Hello");
        assert_eq!(inflate(&mut inflater, &[0x00]).unwrap(), b"");
        assert_eq!(inflate(&mut inflater, &again).unwrap(), b"Hello");
    }
}

#[test]
fn rfc7692_7_2_1_without_takeover_a_message_sees_no_other() {
    let again: &[u8] = &[0xf2, 0x00, 0x11, 0x00, 0x00];
    let mut inflater = Inflater::new();
    inflate(&mut inflater, &HELLO).unwrap();
    inflater.reset();
    assert_eq!(inflate(&mut inflater, again), Err(Malformed), "it reaches behind its beginning");

    let (mut deflater, payload) = (deflater(), text(1000, 1));
    let [mut first, mut second] = [Vec::new(), Vec::new()];
    assert!(deflater.deflate(&payload, &mut first, true));
    assert!(deflater.deflate(&payload, &mut second, true));
    assert_eq!(first, second);
}

#[test]
fn messages_without_payload() {
    for payload in [&[][..], &[0x00], &[0x02, 0x00], &[0x03, 0x00], &[0x01]] {
        let mut inflater = Inflater::new();
        inflate(&mut inflater, &HELLO).unwrap();
        assert_eq!(inflate(&mut inflater, payload), Ok(vec![]), "{payload:?}");
        assert_eq!(inflate(&mut inflater, &HELLO).unwrap(), b"Hello");
    }
}

#[test]
fn final_blocks_begin_a_new_stream() {
    let fin = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let stored = [0x01, 0x05, 0x00, 0xfa, 0xff, b'H', b'e', b'l', b'l', b'o'];
    let mut inflater = Inflater::new();
    let rows: [(&[&[u8]], &[u8]); 6] = [
        (&[&fin], b"Hello"),
        (&[&fin, &[0x00]], b"Hello"),
        (&[&fin, &fin, &HELLO], b"HelloHelloHello"),
        (&[&stored, &stored], b"HelloHello"),
        (&[&stored, &HELLO], b"HelloHello"),
        (&[&fin, &stored, &[0x01]], b"HelloHello"), // the tail makes the last block whole
    ];
    for (parts, message) in rows {
        let whole = parts.concat();
        for at in 0..=whole.len() {
            let pieces = [&whole[..at], &whole[at..]];
            assert_eq!(inflate_pieces(&mut inflater, pieces, 3).as_deref(), Ok(message));
        }
    }
    // What stood before the final block cannot be reached any more.
    assert_eq!(inflate(&mut inflater, &[0xf2, 0x00, 0x11, 0x00, 0x00]), Err(Malformed));
}

#[test]
fn rfc7692_7_2_2_malformed_messages_fail() {
    let rows: [&[u8]; 7] = [
        &[0x06],                         // block type 3
        &[0x07],                         // the same, final
        &[0x00, 0x05, 0x00, 0x00, 0x00], // LEN and NLEN disagree
        &[0xf2, 0x00, 0x11, 0x00, 0x00], // a match before the beginning
        &[0x04, 0x00, 0xfe, 0xff],       // code lengths that are no code
        &[0xff; 20],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x06], // behind a final block
    ];
    for payload in rows {
        let mut inflater = Inflater::new();
        assert_eq!(inflate(&mut inflater, payload), Err(Malformed), "{payload:x?}");
        // Nothing is read any more, not even a good message.
        assert_eq!(inflate(&mut inflater, &HELLO), Err(Malformed));
        assert_eq!(inflater.finish(), Err(Malformed));
        inflater.reset();
        assert_eq!(inflate(&mut inflater, &HELLO).unwrap(), b"Hello");
    }
}

/// Cut anywhere, a message fails, or it is one whose blocks are whole; and what comes then is read
/// as if nothing had been.
#[test]
fn rfc6455_10_7_truncated_messages_never_leak_into_the_next() {
    let mut payloads = vec![HELLO.to_vec(), vec![0, 5, 0, 0xfa, 0xff, 72, 101, 108, 108, 111, 0]];
    for (level, seed) in [(1, 1), (6, 2), (9, 3)] {
        let mut deflater = Deflater::new(&Config { level, ..Config::default() }, 15);
        payloads.push(deflate(&mut deflater, &text(700, seed)));
        payloads.push(deflate(&mut deflater, &noise(seed).take(300).collect::<Vec<_>>()));
    }
    let mut cut = 0;
    for payload in payloads.iter().filter(|payload| !payload.is_empty()) {
        for end in 1..payload.len() {
            let mut inflater = Inflater::new();
            if inflate(&mut inflater, &payload[..end]).is_err() {
                cut += 1;
                assert!(inflate(&mut inflater, &HELLO).is_err());
                inflater.reset();
            }
            assert_eq!(inflate(&mut inflater, &HELLO).as_deref(), Ok(&b"Hello"[..]), "{end}");
        }
    }
    let all: usize = payloads.iter().map(|payload| payload.len() - 1).sum();
    assert!(cut * 100 > all * 99, "{cut} of {all}");
    assert_eq!(inflate(&mut Inflater::new(), &HELLO[..4]), Err(Truncated));
    // The tail is not to be taken for what a stored block lacks.
    let short = [0x00, 0x06, 0x00, 0xf9, 0xff, b'a', b'b'];
    assert_eq!(inflate(&mut Inflater::new(), &short), Err(Truncated));
}

/// A code whose last bits the tail supplies, with bits of the tail left over: they would be the
/// beginning of the next message.
#[test]
fn rfc6455_10_7_a_block_that_ends_within_the_tail_fails() {
    let mut bits = Vec::new();
    let mut put = |value: u32, count: u32| bits.extend((0..count).map(|at| value >> at & 1));
    for _ in 0..3 {
        put(0b010, 10); // empty fixed blocks, so that the header ends with a byte
    }
    put(0b100, 3); // a dynamic block of 257 literals, one distance, 19 code lengths
    put(15 << 10, 14);
    for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15] {
        let code_bits = match symbol {
            18 => 1,
            2 => 2,
            3 => 3,
            0 | 1 => 4,
            _ => 0,
        };
        put(code_bits, 3);
    }
    // 233 times zero. The tail's zeros make 22 more, and its ones are three times the length 1 (for
    // the literal 255, the end of the block, and the distance), the end of the block, and three
    // bits left over.
    put(127 << 1, 8);
    put(84 << 1, 8);
    assert_eq!(bits.len() % 8, 0);
    let bytes = bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |all, bit| all << 1 | bit));
    let payload: Vec<u8> = bytes.map(|byte| byte as u8).collect();

    let mut inflater = Inflater::new();
    assert!(inflate(&mut inflater, &payload).is_err());
    inflater.reset();
    // The same, whole: what the tail gave, and then the header of an empty stored block.
    let whole = [&payload[..], &[0x00, 0x00, 0xff, 0x1f]].concat();
    assert_eq!(inflate(&mut inflater, &whole), Ok(vec![]));
}

#[test]
fn a_bomb_is_never_ahead_of_its_room() {
    let bytes = 64 << 20;
    let bomb = deflate(&mut deflater(), &vec![0; bytes]);
    assert!(bomb.len() < bytes / 1000);
    let (mut inflater, mut room) = (Inflater::new(), vec![0xaa; 16 << 10]);
    let (mut input, mut total) = (&bomb[..], 0);
    let grown = allocation_counter::measure(|| {
        while total < 1 << 20 {
            total += inflater.step(&mut input, &mut room).unwrap();
        }
    });
    assert_eq!((total, grown.count_total), (1 << 20, 0), "no more than was asked for");
    // Dropped half way, it leaves nothing behind.
    inflater.reset();
    assert_eq!(inflate(&mut inflater, &HELLO).unwrap(), b"Hello");
}

#[test]
fn bytes_past_what_was_written_are_left_alone() {
    let mut room = [0xaa; 64];
    let written = Inflater::new().step(&mut &HELLO[..], &mut room).unwrap();
    assert_eq!((written, &room[..5], &room[5..]), (5, &b"Hello"[..], &[0xaa; 59][..]));
}

#[test]
fn nothing_is_allocated_once_warm() {
    let (mut deflater, mut inflater) = (deflater(), Inflater::new());
    let payload = text(1000, 7);
    let (mut out, mut room) = (Vec::with_capacity(4096), [0; 2048]);
    let allocated = allocation_counter::measure(|| {
        for _ in 0..10 {
            out.clear();
            assert!(deflater.deflate(&payload, &mut out, true));
            let written = inflater.step(&mut &out[..], &mut room).unwrap();
            inflater.finish().unwrap();
            inflater.reset();
            assert_eq!(room[..written], payload);
        }
    });
    assert_eq!(allocated.count_total, 0);
}

/// The bounds that the documentation of [`Config`] names.
#[test]
fn memory_of_a_context() {
    let bytes = |mem_level, window_bits| {
        let config = Config { mem_level, ..Config::default() };
        allocation_counter::measure(|| drop(Deflater::new(&config, window_bits))).bytes_max
    };
    for (mem_level, window_bits) in [(1, 9), (5, 12), (5, 15), (8, 15), (9, 15)] {
        let named = (132 << 10) + (4 << window_bits) + (448 << mem_level);
        let taken = bytes(mem_level, window_bits);
        assert!(taken <= named && taken > named - 2048, "{mem_level}, {window_bits}: {taken}");
    }
    let inflater = allocation_counter::measure(|| drop(Inflater::new())).bytes_max;
    assert!(inflater <= 48 << 10, "{inflater}");
}

#[test]
fn a_message_that_does_not_shrink_is_given_up() {
    for level in [1, 3, 6, 9] {
        for bytes in [0, 1, 5, 64, 1000, 20_000, 300_000] {
            let mut deflater = Deflater::new(&Config { level, ..Config::default() }, 15);
            let payload: Vec<u8> = noise(bytes as u64).take(bytes).collect();
            let mut out = b"before".to_vec();
            assert!(!deflater.deflate(&payload, &mut out, true), "{bytes} bytes");
            assert_eq!(out, b"before");
            assert!(out.capacity() <= 2 * bytes + 1024, "{} for {bytes}", out.capacity());
            // It left no trace in the deflater.
            let mut fresh = Deflater::new(&Config { level, ..Config::default() }, 15);
            assert_eq!(deflate(&mut deflater, b"Hello Hello"), deflate(&mut fresh, b"Hello Hello"));
            // With the context kept it is sent, and costs little.
            let mut kept = Deflater::new(&Config { level, ..Config::default() }, 15);
            let sent = deflate(&mut kept, &payload);
            assert!(sent.len() <= bytes + bytes / 12 + 16, "{} for {bytes}", sent.len());
            let message = inflate_pieces(&mut Inflater::new(), [&sent[..]], 4096);
            assert_eq!(message.as_deref(), Ok(&payload[..]));
        }
    }
}

/// A payload at every length around the sizes of the rooms that `deflate` makes.
#[test]
fn no_length_of_output_is_special() {
    let mut deflater = Deflater::new(&Config::default(), 15);
    let mut inflater = Inflater::new();
    for bytes in (0..700).chain(16_200..16_600) {
        let payload: Vec<u8> = noise(bytes as u64).take(bytes).collect();
        let sent = deflate(&mut deflater, &payload);
        let message = inflate_pieces(&mut inflater, [&sent[..]], 1 << 15);
        assert_eq!(message.as_deref(), Ok(&payload[..]), "{bytes}");
    }
}

#[test]
fn rfc7692_7_2_1_no_match_reaches_out_of_the_agreed_window() {
    for window_bits in 9..=15_u8 {
        for level in [1, 2, 3, 6, 7, 9] {
            let mut deflater = Deflater::new(&Config { level, ..Config::default() }, window_bits);
            // What repeats does so just inside, just outside and far outside of each window.
            let mut reached = 0;
            for gap in [200, 250, 400, 512, 600, 4000, 33_000] {
                let gap: Vec<u8> = noise(gap).take(gap as usize).collect();
                let payload = [&text(300, 9), &gap[..], &text(300, 9), &text(5000, 11)].concat();
                let sent = deflate(&mut deflater, &payload);
                reached = reached.max(distance_max(&sent));
            }
            let window = 1 << window_bits;
            assert!(reached <= window, "{reached} at level {level}, {window_bits} bits");
            assert!(reached > window / 4, "{reached} at level {level}: a window hardly used");
        }
    }
}

#[test]
fn numbers_out_of_range_count_as_the_nearest() {
    for number in [0, 1, 9, 10, 16, 255] {
        let config = Config { level: number, mem_level: number, ..Config::new(Mode::Dedicated) };
        let mut deflater = Deflater::new(&config, number);
        let sent = deflate(&mut deflater, &text(2000, 5));
        assert_eq!(inflate(&mut Inflater::new(), &sent), Ok(text(2000, 5)));
    }
}

/// One message: what it is made of, and where its frames are cut.
fn message() -> impl Strategy<Value = (Vec<u8>, Vec<prop::sample::Index>)> {
    let payload = prop_oneof![
        (0..6000_usize, any::<u64>()).prop_map(|(bytes, seed)| text(bytes, seed)),
        (0..3000_usize, any::<u64>()).prop_map(|(bytes, seed)| noise(seed).take(bytes).collect()),
        (0..40_000_usize, any::<u8>()).prop_map(|(bytes, byte)| vec![byte; bytes]),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    (payload, cuts())
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..5)
}

fn cut<'a>(sent: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|at| at.index(sent.len() + 1)).collect();
    ends.extend([0, sent.len()]);
    ends.sort_unstable();
    ends.windows(2).map(|ends| &sent[ends[0]..ends[1]]).collect()
}

proptest! {
    #[test]
    fn any_messages_come_back_in_any_pieces(
        messages in prop::collection::vec(message(), 1..6),
        (level, mem_level, window_bits) in (1..=9_u8, 1..=9_u8, 9..=15_u8),
        takeover in any::<bool>(),
        room_bytes in prop_oneof![1..8_usize, 100..5000_usize],
    ) {
        let config = Config { level, mem_level, ..Config::default() };
        let mut deflater = Deflater::new(&config, window_bits);
        let mut inflater = Inflater::new();
        for (payload, cuts) in &messages {
            let mut out = b"before".to_vec();
            if deflater.deflate(payload, &mut out, !takeover) {
                let pieces = cut(&out[6..], cuts);
                let message = inflate_pieces(&mut inflater, pieces, room_bytes);
                prop_assert_eq!(message.as_deref(), Ok(&payload[..]));
            } else {
                prop_assert!(!takeover);
            }
            prop_assert_eq!(&out[..6], b"before");
            if !takeover {
                inflater.reset();
            }
        }
    }

    /// No bytes do harm, and how they are cut changes nothing.
    #[test]
    fn any_bytes_mean_the_same_in_any_pieces(
        payloads in prop::collection::vec((broken(), cuts()), 1..4),
        room_bytes in prop_oneof![1..8_usize, 100..5000_usize],
    ) {
        let (mut whole, mut pieces) = (Inflater::new(), Inflater::new());
        for (payload, cuts) in &payloads {
            let one = inflate_pieces(&mut whole, [&payload[..]], 4096);
            let other = inflate_pieces(&mut pieces, cut(payload, cuts), room_bytes);
            prop_assert_eq!(&one, &other);
        }
        whole.reset();
        prop_assert_eq!(inflate(&mut whole, &HELLO), Ok(b"Hello".to_vec()));
    }
}

/// Nearly a message: some bytes of it are others.
fn broken() -> impl Strategy<Value = Vec<u8>> {
    let faults = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let sent = (message(), 1..=9_u8).prop_map(|((payload, _), level)| {
        deflate(&mut Deflater::new(&Config { level, ..Config::default() }, 15), &payload)
    });
    let damaged = (sent, faults).prop_map(|(mut sent, faults)| {
        for (at, byte) in faults {
            let at = at.index(sent.len());
            sent[at] = byte;
        }
        sent
    });
    prop_oneof![damaged, prop::collection::vec(any::<u8>(), 0..200)]
}
