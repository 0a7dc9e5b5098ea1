//! Frames as a client sends them, with every oddity a broken or hostile client can think of, and
//! frames as they come back (RFC 6455, 5.2).

pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

/// The masking key of RFC 6455, 5.7; used where the key does not matter.
pub const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// How the payload length is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Shortest,
    Bits7,
    Bits16,
    Bits64,
}

/// A frame to be sent. The plain constructors make a correct, final, masked one.
#[derive(Clone)]
pub struct Frame {
    opcode: u8,
    fin: bool,
    rsv: u8,
    mask: Option<[u8; 4]>,
    form: Form,
    declared: Option<u64>,
    payload: Vec<u8>,
}

impl Frame {
    pub fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Frame {
        Frame {
            opcode,
            fin: true,
            rsv: 0,
            mask: Some(MASK),
            form: Form::Shortest,
            declared: None,
            payload: payload.as_ref().to_vec(),
        }
    }

    pub fn text(payload: impl AsRef<[u8]>) -> Frame {
        Frame::new(TEXT, payload)
    }

    pub fn binary(payload: impl AsRef<[u8]>) -> Frame {
        Frame::new(BINARY, payload)
    }

    pub fn continuation(payload: impl AsRef<[u8]>) -> Frame {
        Frame::new(CONTINUATION, payload)
    }

    pub fn ping(payload: impl AsRef<[u8]>) -> Frame {
        Frame::new(PING, payload)
    }

    pub fn pong(payload: impl AsRef<[u8]>) -> Frame {
        Frame::new(PONG, payload)
    }

    pub fn close(code: u16, reason: &str) -> Frame {
        let mut body = code.to_be_bytes().to_vec();
        body.extend_from_slice(reason.as_bytes());
        Frame::new(CLOSE, body)
    }

    /// A Close frame with any body, the empty one included.
    pub fn close_body(body: impl AsRef<[u8]>) -> Frame {
        Frame::new(CLOSE, body)
    }

    /// FIN=0: more fragments follow.
    pub fn unfinished(mut self) -> Frame {
        self.fin = false;
        self
    }

    /// RSV1 is 4, RSV2 is 2, RSV3 is 1.
    pub fn rsv(mut self, bits: u8) -> Frame {
        self.rsv = bits;
        self
    }

    pub fn unmasked(mut self) -> Frame {
        self.mask = None;
        self
    }

    pub fn mask(mut self, key: [u8; 4]) -> Frame {
        self.mask = Some(key);
        self
    }

    pub fn form(mut self, form: Form) -> Frame {
        self.form = form;
        self
    }

    /// Writes `length` into the header, whatever the payload holds.
    pub fn declare(mut self, length: u64) -> Frame {
        self.declared = Some(length);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let length = self.declared.unwrap_or(self.payload.len() as u64);
        let mask_bit = if self.mask.is_some() { 0x80 } else { 0 };
        let mut out = vec![u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode];
        match self.form {
            Form::Bits7 => out.push(mask_bit | length as u8),
            Form::Bits16 => {
                out.push(mask_bit | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            Form::Bits64 => {
                out.push(mask_bit | 127);
                out.extend_from_slice(&length.to_be_bytes());
            }
            Form::Shortest => push_shortest(&mut out, mask_bit, length),
        }
        let key = self.mask.unwrap_or([0; 4]);
        if self.mask.is_some() {
            out.extend_from_slice(&key);
        }
        out.extend(self.payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        out
    }

    /// Only what stands before the payload.
    pub fn header(&self) -> Vec<u8> {
        let mut bytes = self.bytes();
        bytes.truncate(bytes.len() - self.payload.len());
        bytes
    }
}

fn push_shortest(out: &mut Vec<u8>, mask_bit: u8, length: u64) {
    if length < 126 {
        out.push(mask_bit | length as u8);
    } else if length <= 0xffff {
        out.push(mask_bit | 126);
        out.extend_from_slice(&(length as u16).to_be_bytes());
    } else {
        out.push(mask_bit | 127);
        out.extend_from_slice(&length.to_be_bytes());
    }
}

/// The bytes of several frames, one after the other.
pub fn stream(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(Frame::bytes).collect()
}

/// A frame as it came from the server, nothing yet judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub fin: bool,
    pub rsv: u8,
    pub opcode: u8,
    pub masked: bool,
    /// The length was written in the shortest form.
    pub shortest: bool,
    pub payload: Vec<u8>,
}

impl Received {
    /// The first frame of `bytes` and its length on the wire, when all of it is there.
    pub fn decode(bytes: &[u8]) -> Option<(Received, usize)> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (length, mut start) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
            127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
            short => (u64::from(short), 2),
        };
        let masked = second & 0x80 != 0;
        if masked {
            start += 4;
        }
        let end = start + usize::try_from(length).ok()?;
        let payload = bytes.get(start..end)?.to_vec();
        let shortest = match second & 0x7f {
            126 => length >= 126,
            127 => length > 0xffff,
            _ => true,
        };
        let (fin, rsv, opcode) = (first & 0x80 != 0, first >> 4 & 7, first & 0xf);
        Some((Received { fin, rsv, opcode, masked, shortest, payload }, end))
    }

    /// The code in a Close frame; None where its body is empty.
    pub fn close_code(&self) -> Option<u16> {
        assert_eq!(self.opcode, CLOSE, "not a Close frame: {self}");
        assert_ne!(self.payload.len(), 1, "a Close body of one byte");
        self.payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]))
    }

    /// What a server must never do, whatever it sends (RFC 6455, 5.1 and 5.2).
    pub fn check(&self) {
        assert!(!self.masked, "the server masked {self}");
        assert!(self.shortest, "the length is not in its shortest form: {self}");
        assert_eq!(self.rsv, 0, "RSV bits without an extension: {self}");
        assert!(matches!(self.opcode, 0..=2 | 8..=10), "reserved opcode: {self}");
        if self.opcode >= CLOSE {
            assert!(self.fin && self.payload.len() <= 125, "bad control frame: {self}");
        }
    }
}

impl std::fmt::Display for Received {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = &self.payload[..self.payload.len().min(60)];
        let (opcode, length) = (self.opcode, self.payload.len());
        write!(out, "opcode {opcode:#x} fin {} {length} bytes ", self.fin)?;
        write!(out, "{:?}", String::from_utf8_lossy(start))
    }
}
