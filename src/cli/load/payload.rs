//! What the messages hold, and whether what comes back is that.
//!
//! Owns their layout: a head of letters that says which message this is, then filler that
//! compresses about as well as JSON does. All of it is ASCII without quotes, so that it can be a
//! text, and can stand inside a JSON string.

use throng::net::{Message, MessageKind};

use super::plan::Plan;

/// Letters of a number, five bits each.
const SEQUENCE_LEN: usize = 8;
const SENDER_LEN: usize = 4;
const TIME_LEN: usize = 10;
/// The head of a message to all: its number, its sender, and when it was due.
pub const FANOUT_HEAD: usize = SEQUENCE_LEN + SENDER_LEN + TIME_LEN;
/// Times are told apart within so many nanoseconds: thirteen days.
const TIME_MASK: u64 = (1 << (5 * TIME_LEN)) - 1;

/// The messages of one run: all alike but for the head.
pub struct Payload {
    kind: MessageKind,
    /// With what the messages are wrapped in.
    bytes: Vec<u8>,
    /// Where the content begins and ends in `bytes`.
    start: usize,
    end: usize,
    /// Where the content began in the last reply, which may be wrapped in something else.
    found_at: usize,
    is_wrapped: bool,
}

/// The head of a message to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub sequence: u64,
    pub sender: u32,
    /// The lower bits of the time.
    pub due_ns: u64,
}

impl Head {
    /// How long ago it was due.
    pub const fn age_ns(self, now_ns: u64) -> u64 {
        now_ns.wrapping_sub(self.due_ns) & TIME_MASK
    }
}

impl Payload {
    pub fn new(plan: &Plan) -> Self {
        let (before, after) = plan.wrap.as_deref().and_then(split_wrap).unwrap_or_default();
        let mut bytes = before.as_bytes().to_vec();
        bytes.extend(filler(plan.size));
        bytes.extend_from_slice(after.as_bytes());
        Self {
            kind: if plan.text { MessageKind::Text } else { MessageKind::Binary },
            start: before.len(),
            end: before.len() + plan.size,
            found_at: before.len(),
            is_wrapped: plan.wrap.is_some(),
            bytes,
        }
    }

    /// The message of this number.
    #[inline]
    pub fn echo(&mut self, sequence: u64) -> Message<'_> {
        self.write_sequence(sequence);
        Message { kind: self.kind, payload: &self.bytes }
    }

    /// The message to all with this head.
    pub fn fanout(&mut self, head: Head) -> Message<'_> {
        self.write_sequence(head.sequence);
        let rest = &mut self.bytes[self.start + SEQUENCE_LEN..];
        rest[..SENDER_LEN].copy_from_slice(&letters::<SENDER_LEN>(head.sender.into()));
        rest[SENDER_LEN..][..TIME_LEN].copy_from_slice(&letters::<TIME_LEN>(head.due_ns));
        Message { kind: self.kind, payload: &self.bytes }
    }

    #[inline]
    fn write_sequence(&mut self, sequence: u64) {
        if let Some(head) = self.bytes[self.start..self.end].first_chunk_mut::<SEQUENCE_LEN>() {
            *head = letters(sequence);
        }
    }

    /// Whether this is the echo of the message of this number: opcode, length and every byte.
    #[inline]
    pub fn is_echo(&mut self, sequence: u64, message: Message<'_>) -> bool {
        let head = letters::<SEQUENCE_LEN>(sequence);
        match self.content(message) {
            None => false,
            Some(content) if content.len() < SEQUENCE_LEN => content == self.filler(0),
            Some(content) => {
                content[..SEQUENCE_LEN] == head && content[SEQUENCE_LEN..] == *self.filler(8)
            }
        }
    }

    /// The head of a message to all, if this is one: opcode, length and every byte of the rest.
    pub fn read_fanout(&mut self, message: Message<'_>) -> Option<Head> {
        let content = self.content(message)?;
        if content.get(FANOUT_HEAD..)? != self.filler(FANOUT_HEAD) {
            return None;
        }
        let (sequence, rest) = content.split_at(SEQUENCE_LEN);
        let (sender, rest) = rest.split_at(SENDER_LEN);
        Some(Head {
            sequence: number(sequence)?,
            sender: number(sender)? as u32,
            due_ns: number(&rest[..TIME_LEN])?,
        })
    }

    fn filler(&self, from: usize) -> &[u8] {
        &self.bytes[self.start + from..self.end]
    }

    /// What was sent, in what has come: the same kind and length, or, of a server that wraps it in
    /// something of its own, where the filler is.
    #[inline]
    fn content<'m>(&mut self, message: Message<'m>) -> Option<&'m [u8]> {
        if message.kind != self.kind {
            return None;
        }
        if !self.is_wrapped {
            return (message.payload.len() == self.bytes.len()).then_some(message.payload);
        }
        let len = self.end - self.start;
        let head = if len >= FANOUT_HEAD { FANOUT_HEAD } else { 0 };
        let filler = &self.bytes[self.start + head..self.end];
        let is_at = |at: usize| message.payload.get(at + head..at + len) == Some(filler);
        if !is_at(self.found_at) {
            let last = message.payload.len().checked_sub(len)?;
            self.found_at = (0..=last).find(|at| is_at(*at))?;
        }
        message.payload.get(self.found_at..self.found_at + len)
    }
}

/// What stands before and after `{}`, where that stands once.
pub fn split_wrap(wrap: &str) -> Option<(&str, &str)> {
    wrap.split_once("{}").filter(|(_, after)| !after.contains("{}"))
}

/// A number in letters from `0` to `O`, the lowest bits first.
#[inline]
fn letters<const LEN: usize>(number: u64) -> [u8; LEN] {
    std::array::from_fn(|at| b'0' + (number >> (5 * at) & 31) as u8)
}

fn number(letters: &[u8]) -> Option<u64> {
    let bits = |letter: &u8| letter.checked_sub(b'0').filter(|bits| *bits < 32);
    letters.iter().rev().try_fold(0, |number, letter| Some(number << 5 | u64::from(bits(letter)?)))
}

/// Names and numbers, the same in every run.
fn filler(len: usize) -> Vec<u8> {
    const NAMES: [&str; 8] = ["id", "user", "room", "state", "price", "amount", "time", "place"];
    let mut text = String::with_capacity(len + 32);
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    while text.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        let name = NAMES[(state >> 61) as usize];
        text += &format!("{name}:{},", state >> 33 & 0xFFFF);
    }
    text.truncate(len);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(size: usize, wrap: Option<&str>) -> Payload {
        Payload::new(&Plan { size, wrap: wrap.map(str::to_owned), ..Plan::sample() })
    }

    #[test]
    fn an_echo_is_known_and_nothing_else_is() {
        for size in [8, 9, 32, 1000] {
            let mut payload = payload(size, None);
            let bytes = payload.echo(77).payload.to_vec();
            assert_eq!(bytes.len(), size);
            assert!(payload.is_echo(77, Message::binary(&bytes)));
            assert!(!payload.is_echo(78, Message::binary(&bytes)), "another number");
            assert!(!payload.is_echo(77, Message::binary(&bytes[1..])), "a byte less");
            let text = Message { kind: MessageKind::Text, payload: &bytes };
            assert!(!payload.is_echo(77, text), "another opcode");
            for at in 0..size {
                let mut wrong = bytes.clone();
                wrong[at] ^= 1;
                assert!(!payload.is_echo(77, Message::binary(&wrong)), "byte {at} of {size}");
            }
        }
    }

    #[test]
    fn short_messages_have_no_number() {
        for size in 0..8 {
            let mut payload = payload(size, None);
            let bytes = payload.echo(1).payload.to_vec();
            assert!(payload.is_echo(2, Message::binary(&bytes)));
            assert!(!payload.is_echo(2, Message::binary(b"something else")));
        }
    }

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let mut payload = payload(64, None);
        let head = Head { sequence: 1 << 39, sender: 70_000, due_ns: (1 << 49) + 5 };
        let bytes = payload.fanout(head).payload.to_vec();
        assert_eq!(payload.read_fanout(Message::binary(&bytes)), Some(head));
        assert_eq!(head.age_ns((1 << 50) + (1 << 49) + 9), 4, "times wrap");
        let mut wrong = bytes;
        wrong[63] ^= 1;
        assert_eq!(payload.read_fanout(Message::binary(&wrong)), None);
    }

    #[test]
    fn a_reply_may_be_wrapped_in_something_else() {
        let mut payload = payload(40, Some(r#"{"content":"{}"}"#));
        let head = Head { sequence: 3, sender: 0, due_ns: 9 };
        let sent = payload.fanout(head).payload.to_vec();
        let content = &sent[12..52];
        let mut reply = br#"{"room":"lobby","content":""#.to_vec();
        reply.extend_from_slice(content);
        reply.extend_from_slice(br#"","sender":"ann"}"#);
        assert_eq!(payload.read_fanout(Message::binary(&reply)), Some(head));
        assert_eq!(payload.read_fanout(Message::binary(b"{}")), None);
    }

    #[test]
    fn wraps() {
        assert_eq!(split_wrap("a{}b"), Some(("a", "b")));
        assert_eq!(split_wrap("ab"), None);
        assert_eq!(split_wrap("{}{}"), None);
    }
}
