//! The header of a frame (RFC 6455 section 5.2).
//!
//! Owns its two shapes, in memory and on the wire, and every check that needs nothing but the
//! header itself. Never knows which message is open, nor how long a message may be.

use super::{CONTROL_PAYLOAD_MAX, Opcode};

/// The longest header, in bytes: two, eight of length, four of masking key.
pub const HEADER_LEN_MAX: usize = 14;

const RSV: u8 = 0x70;
const OPCODE: u8 = 0x0F;
const MASK: u8 = 0x80;
const LEN_7: u8 = 0x7F;
const LEN_16: u8 = 126;
const LEN_64: u8 = 127;

/// The header of one frame.
///
/// ```
/// use throng::frame::{Decoded, Header, HEADER_LEN_MAX, Opcode};
///
/// let header = Header { fin: true, rsv: 0, opcode: Opcode::Text, mask: None, payload_len: 300 };
/// let mut bytes = [0; HEADER_LEN_MAX];
/// let len = header.encode(&mut bytes);
/// assert_eq!(&bytes[..len], &[0x81, 126, 0x01, 0x2C]);
/// assert_eq!(Header::decode(&bytes[..len]), Ok(Decoded::Whole(header, 4)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether this frame is the last of its message.
    pub fin: bool,
    /// The three reserved bits where they stand on the wire: 0x40, 0x20, 0x10. Their meaning, and
    /// whether they may be set at all, is for extensions.
    pub rsv: u8,
    /// What the frame is.
    pub opcode: Opcode,
    /// The masking key, in a frame from a client.
    pub mask: Option<[u8; 4]>,
    /// The length of the payload, in bytes.
    pub payload_len: u64,
}

/// What [`Header::decode`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A header, and its length on the wire in bytes.
    Whole(Header, usize),
    /// Good so far; nothing can be said before this many bytes are there, counted from the first.
    Partial(usize),
}

/// A header that no peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Opcodes 3 to 7 and 11 to 15 (RFC 6455 section 5.2).
    #[error("reserved opcode")]
    ReservedOpcode,
    /// A control frame without FIN (RFC 6455 section 5.5).
    #[error("fragmented control frame")]
    FragmentedControl,
    /// A control frame of more than 125 bytes (RFC 6455 section 5.5).
    #[error("control frame of more than 125 bytes")]
    ControlTooLong,
    /// A length that would have fitted into a shorter form (RFC 6455 section 5.2).
    #[error("payload length not in its shortest form")]
    LengthNotMinimal,
    /// A 64-bit length with its top bit set (RFC 6455 section 5.2).
    #[error("payload length with its top bit set")]
    LengthTopBit,
}

impl Header {
    /// The bit of the first byte that says that a frame is the last of its message.
    pub(crate) const FIN: u8 = 0x80;

    /// Reads a header from the front of `bytes`, as early as it can be judged: a bad opcode is
    /// refused with the first byte, a bad length with the last of its own.
    ///
    /// # Errors
    /// What RFC 6455 sections 5.2 and 5.5 forbid whoever sends it, in the order of the bytes.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Decoded, HeaderError> {
        let &[first, ref rest @ ..] = bytes else { return Ok(Decoded::Partial(2)) };
        let opcode = Opcode::from_bits(first & OPCODE).ok_or(HeaderError::ReservedOpcode)?;
        let fin = first & Self::FIN != 0;
        if opcode.is_control() && !fin {
            return Err(HeaderError::FragmentedControl);
        }
        let &[second, ref rest @ ..] = rest else { return Ok(Decoded::Partial(2)) };
        let short = second & LEN_7;
        if opcode.is_control() && usize::from(short) > CONTROL_PAYLOAD_MAX {
            return Err(HeaderError::ControlTooLong);
        }
        let len_size = match short {
            LEN_16 => 2,
            LEN_64 => 8,
            _ => 0,
        };
        let masked = second & MASK != 0;
        let header_len = 2 + len_size + if masked { 4 } else { 0 };
        let Some(extended) = rest.get(..len_size) else {
            return Ok(Decoded::Partial(header_len));
        };
        let payload_len = payload_len(short, extended)?;
        let mask = match rest.get(len_size..header_len - 2) {
            Some(key) if masked => Some([key[0], key[1], key[2], key[3]]),
            Some(_) => None,
            None => return Ok(Decoded::Partial(header_len)),
        };
        let header = Self { fin, rsv: first & RSV, opcode, mask, payload_len };
        Ok(Decoded::Whole(header, header_len))
    }

    /// Writes the header to the front of `out`, its length in the shortest form (RFC 6455 section
    /// 5.2), and says how many bytes it took.
    #[inline]
    pub fn encode(&self, out: &mut [u8; HEADER_LEN_MAX]) -> usize {
        let mask_bit = if self.mask.is_some() { MASK } else { 0 };
        out[0] = if self.fin { Self::FIN } else { 0 } | (self.rsv & RSV) | self.opcode as u8;
        let mut len = match self.payload_len {
            short @ 0..=125 => {
                out[1] = mask_bit | short as u8;
                2
            }
            medium @ 126..=0xFFFF => {
                out[1] = mask_bit | LEN_16;
                out[2..4].copy_from_slice(&(medium as u16).to_be_bytes());
                4
            }
            long => {
                out[1] = mask_bit | LEN_64;
                out[2..10].copy_from_slice(&long.to_be_bytes());
                10
            }
        };
        if let Some(key) = self.mask {
            out[len..len + 4].copy_from_slice(&key);
            len += 4;
        }
        len
    }
}

/// The length that the 7-bit field and what extends it stand for. RFC 6455 section 5.2: "the
/// minimal number of bytes MUST be used", "the most significant bit MUST be 0".
#[inline]
fn payload_len(short: u8, extended: &[u8]) -> Result<u64, HeaderError> {
    let long = extended.iter().fold(0_u64, |len, &byte| len << 8 | u64::from(byte));
    match short {
        LEN_16 if long <= 125 => Err(HeaderError::LengthNotMinimal),
        LEN_64 if long <= 0xFFFF => Err(HeaderError::LengthNotMinimal),
        LEN_64 if long >> 63 != 0 => Err(HeaderError::LengthTopBit),
        LEN_16 | LEN_64 => Ok(long),
        short => Ok(u64::from(short)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(payload_len: u64, mask: Option<[u8; 4]>) -> Header {
        Header { fin: true, rsv: 0, opcode: Opcode::Binary, mask, payload_len }
    }

    #[test]
    fn every_length_form_survives_the_wire() {
        let edges = [0, 1, 125, 126, 127, 65_535, 65_536, (1 << 31) - 1, 1 << 31, 1 << 32];
        for payload_len in edges.into_iter().chain([(1 << 63) - 1]) {
            for mask in [None, Some([1, 2, 3, 4])] {
                let header = header(payload_len, mask);
                let mut bytes = [0; HEADER_LEN_MAX];
                let len = header.encode(&mut bytes);
                assert_eq!(Header::decode(&bytes), Ok(Decoded::Whole(header, len)));
                for cut in 0..len {
                    let partial = Header::decode(&bytes[..cut]);
                    assert!(
                        matches!(partial, Ok(Decoded::Partial(needed)) if needed > cut),
                        "{payload_len} cut at {cut}: {partial:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_bad_header_is_refused_at_the_byte_that_makes_it_bad() {
        let table: [(&[u8], HeaderError); 10] = [
            (&[0x83], HeaderError::ReservedOpcode),
            (&[0x8F], HeaderError::ReservedOpcode),
            (&[0x09], HeaderError::FragmentedControl),
            (&[0x89, 126], HeaderError::ControlTooLong),
            (&[0x88, 127], HeaderError::ControlTooLong),
            (&[0x82, 126, 0, 125], HeaderError::LengthNotMinimal),
            (&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], HeaderError::LengthNotMinimal),
            (&[0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1], HeaderError::LengthNotMinimal),
            (&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], HeaderError::LengthTopBit),
            (
                &[0x82, 127, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
                HeaderError::LengthTopBit,
            ),
        ];
        for (bytes, error) in table {
            assert_eq!(Header::decode(bytes), Err(error), "{bytes:02x?}");
            for cut in 0..bytes.len() {
                assert!(Header::decode(&bytes[..cut]).is_ok(), "{bytes:02x?} cut at {cut}");
            }
        }
    }
}
