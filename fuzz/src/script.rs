//! Streams that are mostly frames, long ones too, out of short inputs.
//!
//! Owns the little language: four bytes for each frame. Random bytes break the protocol early; this
//! gets deep into it. Never cares whether the result is legal: some of it is not.

use throng::frame::{HEADER_LEN_MAX, Header, Opcode, apply_mask};
use throng::proto::Role;

use crate::Plan;

/// A stream is not made longer than this.
const STREAM_BYTES_MAX: usize = 64 << 10;

/// What payloads are made of, over and over: every width of character, and faults.
const FILLS: [&[u8]; 12] = [
    b"a",
    "é".as_bytes(),
    "€".as_bytes(),
    "𝄞".as_bytes(),
    "aé€𝄞 plain text".as_bytes(),
    b"\0\x01\x02\x03\x04\x05\x06",
    "\u{7FF}\u{800}\u{D7FF}\u{E000}\u{FFFF}\u{10000}\u{10FFFF}".as_bytes(),
    b"0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF\xFF",
    b"\xED\xA0\x80",
    b"\xF4\x90\x80\x80",
    b"\xC0\xAF",
    b"\xE2\x82",
];

/// Mostly data and fragments.
const OPCODES: [Opcode; 8] = [
    Opcode::Text,
    Opcode::Continuation,
    Opcode::Binary,
    Opcode::Ping,
    Opcode::Text,
    Opcode::Continuation,
    Opcode::Pong,
    Opcode::Close,
];

const CODES: [u16; 8] = [1000, 1001, 1005, 1006, 1014, 3000, 4999, 5000];

/// The stream that the rest of `plan` stands for, as the other end of `role` would send it.
pub fn stream(mut plan: Plan<'_>, role: Role) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut phase = 0; // a text goes on in the next fragment where it was cut
    while !plan.is_used_up() && stream.len() < STREAM_BYTES_MAX {
        let [kind, size, fill, key] = plan.bytes();
        let opcode = OPCODES[usize::from(kind % 8)];
        let len = match size {
            0..=199 => usize::from(size),
            200..=255 => usize::from(size - 199) * 400,
        };
        let fill = FILLS[usize::from(fill) % FILLS.len()];
        let mut payload = match opcode {
            Opcode::Close => {
                let code = CODES[usize::from(key % 8)].to_be_bytes();
                let mut body = [&code[..], &filled(fill, 0, 126)].concat();
                body.truncate(len % 127);
                body
            }
            Opcode::Ping | Opcode::Pong => filled(fill, 0, len % 127),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                let payload = filled(fill, phase, len);
                phase += len;
                payload
            }
        };
        let masked = (role == Role::Server) != (kind & 0xC0 == 0xC0);
        let key = [key, !key, key / 3, 7];
        let header = Header {
            fin: kind & 8 == 0,
            rsv: if kind & 0x30 == 0x30 { 0x40 } else { 0 },
            opcode,
            mask: masked.then_some(key),
            payload_len: payload.len() as u64,
        };
        let mut bytes = [0; HEADER_LEN_MAX];
        let header_len = header.encode(&mut bytes);
        stream.extend_from_slice(&bytes[..header_len]);
        if masked {
            apply_mask(&mut payload, key, 0); // the model undoes it in a way of its own
        }
        stream.extend_from_slice(&payload);
    }
    stream
}

/// `len` bytes of `fill`, over and over, from where `phase` bytes of it have gone before.
fn filled(fill: &[u8], phase: usize, len: usize) -> Vec<u8> {
    let from = phase % fill.len();
    let mut bytes = fill.repeat((from + len).div_ceil(fill.len()));
    bytes.drain(..from);
    bytes.truncate(len);
    bytes
}
