//! The header of a frame, both ways. The input is the bytes of a header, and once more its fields.

#![no_main]

use libfuzzer_sys::fuzz_target;
use throng::frame::{CONTROL_PAYLOAD_MAX, Decoded, HEADER_LEN_MAX, Header, Opcode};
use throng_fuzz::Plan;

fuzz_target!(|input: &[u8]| {
    decode(input);
    encode(Plan::new(input));
});

/// What a prefix says is never taken back by more bytes, and what is whole is written back as it
/// was: there is one form for each header.
fn decode(bytes: &[u8]) {
    let whole = Header::decode(bytes);
    let mut verdict = None;
    for end in 0..=bytes.len().min(HEADER_LEN_MAX + 1) {
        let prefix = Header::decode(&bytes[..end]);
        match (verdict, prefix) {
            (Some(before), now) => assert_eq!(now, before, "cut at {end}"),
            (None, Ok(Decoded::Partial(needed))) => {
                assert!(needed > end && needed <= HEADER_LEN_MAX, "{needed} at {end}");
                if let Ok(Decoded::Whole(_, len)) = whole {
                    assert!(end < len && needed <= len, "{needed} at {end} of {len}");
                }
            }
            (None, judged) => verdict = Some(judged),
        }
    }
    if let Some(verdict) = verdict {
        assert_eq!(whole, verdict);
    }
    if let Ok(Decoded::Whole(header, len)) = whole {
        let mut written = [0; HEADER_LEN_MAX];
        assert_eq!(header.encode(&mut written), len);
        assert_eq!(&written[..len], &bytes[..len]);
    }
}

/// Fields that the RFC allows come back from the wire; the others are refused.
fn encode(mut plan: Plan<'_>) {
    let [kind, shift] = plan.bytes();
    let opcodes = [Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Close];
    let opcodes = [&opcodes[..], &[Opcode::Ping, Opcode::Pong]].concat();
    let header = Header {
        fin: kind & 0x80 != 0,
        rsv: kind & 0x70,
        opcode: opcodes[usize::from(kind & 7) % opcodes.len()],
        mask: (kind & 8 != 0).then(|| plan.bytes()),
        payload_len: u64::from_le_bytes(plan.bytes()) >> (shift % 64),
    };
    let mut bytes = [0; HEADER_LEN_MAX];
    let len = header.encode(&mut bytes);
    let is_control = header.opcode as u8 >= 8;
    let too_long = is_control && header.payload_len > CONTROL_PAYLOAD_MAX as u64;
    if too_long || (is_control && !header.fin) || header.payload_len >= 1 << 63 {
        assert!(Header::decode(&bytes).is_err(), "{header:?}");
    } else {
        assert_eq!(Header::decode(&bytes), Ok(Decoded::Whole(header, len)));
    }
}
