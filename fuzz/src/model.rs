//! A second opinion on the read half: RFC 6455 section 5 written plainly, over a whole stream.
//!
//! Owns a decoder that shares nothing with `throng::proto` but the names of faults. Never cares for
//! speed or memory.

use throng::frame::{HeaderError, InvalidUtf8};
use throng::proto::{Delivery, MessageKind, ProtocolError, Role, Settings};

use crate::{Seen, Story};

/// What the RFC and the settings make of `stream`.
pub fn decode(stream: &[u8], settings: &Settings) -> Story {
    let mut model = Model {
        settings,
        story: Story::default(),
        open: None,
        bytes: 0,
        fragments: 0,
        closed: false,
    };
    let mut rest = stream;
    while !model.closed {
        match model.frame(rest) {
            Ok(Some(len)) => rest = &rest[len..],
            Ok(None) => break,
            Err(fault) => {
                model.story.fail(fault);
                break;
            }
        }
    }
    model.story
}

struct Model<'a> {
    settings: &'a Settings,
    story: Story,
    open: Option<Open>,
    /// Announced by the headers of the message so far.
    bytes: u128,
    fragments: u64,
    closed: bool,
}

/// The message that is not complete.
struct Open {
    kind: MessageKind,
    payload: Vec<u8>,
    /// How much of a text has been found good: up to here it is whole characters.
    valid: usize,
}

impl Model<'_> {
    /// Reads one frame; its length, or `None` where the stream ends inside it.
    fn frame(&mut self, stream: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(&first) = stream.first() else { return Ok(None) };
        self.first_byte(first)?;
        let Some(&second) = stream.get(1) else { return Ok(None) };
        let (masked, short) = (second >= 128, second % 128);
        match self.settings.role {
            Role::Server if !masked => return Err(ProtocolError::Unmasked),
            Role::Client if masked => return Err(ProtocolError::Masked),
            Role::Server | Role::Client => {}
        }
        if first & 8 != 0 && short > 125 {
            return Err(HeaderError::ControlTooLong.into());
        }
        let key_at = 2 + if short == 127 { 8 } else { 2 * usize::from(short == 126) };
        let Some(extended) = stream.get(2..key_at) else { return Ok(None) };
        let len = length(short, extended)?;
        let payload_at = key_at + if masked { 4 } else { 0 };
        let Some(key) = stream.get(key_at..payload_at) else { return Ok(None) };
        let payload = &stream[payload_at..];
        let payload = &payload[..payload.len().min(usize::try_from(len).unwrap_or(usize::MAX))];
        let mut payload = payload.to_vec();
        for four in payload.chunks_mut(4) {
            four.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        }
        let is_whole = payload.len() as u64 == len;
        if first & 8 == 0 {
            self.data(first, len, &payload, is_whole)?;
        } else if is_whole {
            self.control(first & 15, payload)?;
        }
        Ok(is_whole.then(|| payload_at + len as usize))
    }

    fn first_byte(&self, first: u8) -> Result<(), ProtocolError> {
        let fin = first & 0x80 != 0;
        match first & 15 {
            _ if first & 0x70 != 0 => Err(ProtocolError::ReservedBits),
            0 if self.open.is_none() => Err(ProtocolError::UnexpectedContinuation),
            1 | 2 if self.open.is_some() => Err(ProtocolError::ExpectedContinuation),
            3..=7 | 11..=15 => Err(HeaderError::ReservedOpcode.into()),
            8..=10 if !fin => Err(HeaderError::FragmentedControl.into()),
            _ => Ok(()),
        }
    }

    fn data(
        &mut self,
        first: u8,
        len: u64,
        payload: &[u8],
        is_whole: bool,
    ) -> Result<(), ProtocolError> {
        if first & 15 != 0 {
            let kind = if first & 15 == 1 { MessageKind::Text } else { MessageKind::Binary };
            self.open = Some(Open { kind, payload: Vec::new(), valid: 0 });
            (self.bytes, self.fragments) = (0, 0);
        }
        self.bytes += u128::from(len);
        self.fragments += 1;
        if self.bytes > u128::from(self.settings.message_bytes_max) {
            return Err(ProtocolError::MessageTooBig);
        }
        if self.fragments > u64::from(self.settings.fragments_max) {
            return Err(ProtocolError::TooManyFragments);
        }
        let ended = is_whole && first & 0x80 != 0;
        let Some(open) = &mut self.open else { unreachable!("the first byte was checked") };
        open.payload.extend_from_slice(payload);
        if open.kind == MessageKind::Text {
            open.check_text(ended)?;
        }
        match self.settings.delivery {
            Delivery::Chunks => self.story.data(open.kind, payload, ended),
            Delivery::Whole if ended => {
                let (kind, payload) = (open.kind, std::mem::take(&mut open.payload));
                self.story.events.push(Seen::Data { kind, payload, ended });
            }
            Delivery::Whole => {}
        }
        if ended {
            self.open = None;
        }
        Ok(())
    }

    fn control(&mut self, opcode: u8, body: Vec<u8>) -> Result<(), ProtocolError> {
        let event = match (opcode, &body[..]) {
            (9, _) => Seen::Ping(body),
            (10, _) => Seen::Pong(body),
            (_, []) => Seen::Close { code: None, reason: String::new() },
            (_, [_]) => return Err(ProtocolError::CloseTooShort),
            (_, [high, low, reason @ ..]) => {
                let code = u16::from(*high) << 8 | u16::from(*low);
                if !may_be_sent(code) {
                    return Err(ProtocolError::CloseCode);
                }
                let reason = String::from_utf8(reason.to_vec()).map_err(|_| InvalidUtf8)?;
                Seen::Close { code: Some(code), reason }
            }
        };
        self.closed = matches!(event, Seen::Close { .. });
        self.story.events.push(event);
        Ok(())
    }
}

impl Open {
    /// A text fails at the first byte that no text can have there, and at an end inside a
    /// character.
    fn check_text(&mut self, ended: bool) -> Result<(), ProtocolError> {
        if let Err(error) = std::str::from_utf8(&self.payload[self.valid..]) {
            if ended || error.error_len().is_some() {
                return Err(InvalidUtf8.into());
            }
            self.valid += error.valid_up_to();
        } else {
            self.valid = self.payload.len();
        }
        Ok(())
    }
}

/// RFC 6455 section 5.2: the shortest of the three forms, the top bit clear.
fn length(short: u8, extended: &[u8]) -> Result<u64, HeaderError> {
    let long = extended.iter().fold(0, |sum, byte| sum * 256 + u128::from(*byte));
    match short {
        126 if long < 126 => Err(HeaderError::LengthNotMinimal),
        127 if long < 65_536 => Err(HeaderError::LengthNotMinimal),
        127 if long >= 1 << 63 => Err(HeaderError::LengthTopBit),
        126 | 127 => Ok(long as u64),
        short => Ok(u64::from(short)),
    }
}

/// RFC 6455 section 7.4 and the registry: what may stand in a Close frame.
fn may_be_sent(code: u16) -> bool {
    let known = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
    known.contains(&code) || (3000..5000).contains(&code)
}
