//! Frames as a client sees them, written a second time so that a mistake of the engine is not
//! repeated by its test (RFC 6455 section 5.2).

/// Appends a masked frame; `first` is its first byte.
pub fn encode(out: &mut Vec<u8>, first: u8, payload: &[u8], key: [u8; 4]) {
    out.push(first);
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&key);
    let start = out.len();
    out.extend_from_slice(payload);
    let mut words = out[start..].chunks_exact_mut(4);
    for word in &mut words {
        let masked =
            u32::from_ne_bytes([word[0], word[1], word[2], word[3]]) ^ u32::from_ne_bytes(key);
        word.copy_from_slice(&masked.to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// A frame from the server.
pub struct Frame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

/// What the server sends, cut into frames.
#[derive(Default)]
pub struct Parser {
    buffer: Vec<u8>,
    at: usize,
}

impl Parser {
    pub fn push(&mut self, bytes: &[u8]) {
        if self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a frame was begun and not ended.
    pub fn is_inside(&self) -> bool {
        self.at < self.buffer.len()
    }

    /// The next whole frame, or what no server may send.
    pub fn next(&mut self) -> Result<Option<Frame>, String> {
        let rest = &self.buffer[self.at..];
        let [first, second, after @ ..] = rest else { return Ok(None) };
        let opcode = first & 0x0F;
        if first & 0xF0 != 0x80 || !matches!(opcode, 1 | 2 | 8 | 9 | 10) || second & 0x80 != 0 {
            return Err(format!("a frame that begins with {first:02x} {second:02x}"));
        }
        let size = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(extended) = after.get(..size) else { return Ok(None) };
        let long = extended.iter().fold(0_usize, |len, byte| len << 8 | usize::from(*byte));
        let len = if size == 0 { usize::from(*second) } else { long };
        let least = [0, 0, 126, 0, 0, 0, 0, 0, 0x1_0000][size];
        if len < least || len > 8 << 20 || (opcode >= 8 && size > 0) {
            return Err(format!(
                "a frame of opcode {opcode} with a length of {len} in {size} bytes"
            ));
        }
        let Some(payload) = after.get(size..size + len) else { return Ok(None) };
        let payload = payload.to_vec();
        self.at += 2 + size + len;
        Ok(Some(Frame { opcode, payload }))
    }
}
