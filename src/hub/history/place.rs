//! Where a message stands in its room.
//!
//! Owns epochs and offsets, how they are written, and the pieces of a history that are asked for.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::hub::delivery::Delivery;
use crate::hub::wire::Wire;
use crate::net::SharedFrame;

/// What a message takes in memory beside its bytes: its place, and what is allocated for it.
const OVERHEAD_BYTES: usize = 64;

/// Which history of a room is meant. A new one when the old is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

/// How far a room is: the offset of its last message, 0 before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which history.
    pub epoch: Epoch,
    /// The offset in it; the first message has 1.
    pub offset: u64,
}

/// A piece of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Span {
    /// The last messages.
    Newest,
    /// The last before this offset.
    Before(u64),
    /// The first after this offset.
    After(u64),
}

/// Up to where somebody knows a room, as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) struct Since {
    /// None where it is no epoch of ours.
    pub(in crate::hub) epoch: Option<Epoch>,
    pub(in crate::hub) offset: u64,
}

/// A message as it was delivered.
#[derive(Clone, Debug)]
pub(in crate::hub) struct Kept {
    pub(in crate::hub) offset: u64,
    pub(in crate::hub) timestamp: u64,
    /// As JSON.
    pub(in crate::hub) frame: SharedFrame,
}

/// What was found: messages in the order of their offsets.
#[derive(Clone, Debug)]
pub(in crate::hub) struct Page {
    /// How far the room was when this was read.
    pub(in crate::hub) position: Position,
    pub(in crate::hub) messages: Vec<Kept>,
    /// Whether there are more, in the direction that was asked for.
    pub(in crate::hub) has_more: bool,
}

/// How much goes into one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::hub) struct PageMax {
    pub(in crate::hub) messages: usize,
    pub(in crate::hub) bytes: usize,
}

/// `since` in a command.
#[derive(Deserialize)]
struct SinceFields<'a> {
    #[serde(borrow)]
    epoch: Cow<'a, str>,
    offset: u64,
}

impl Since {
    /// What a command says; `None` where that is no place at all.
    pub(in crate::hub) fn parse(json: &str) -> Option<Self> {
        let fields: SinceFields<'_> = serde_json::from_str(json).ok()?;
        Some(Self { epoch: fields.epoch.parse().ok(), offset: fields.offset })
    }
}

impl Page {
    /// Of a room that keeps nothing.
    pub(in crate::hub) const fn nothing() -> Self {
        let position = Position { epoch: Epoch(0), offset: 0 };
        Self { position, messages: Vec::new(), has_more: false }
    }
}

impl PageMax {
    /// How many of these fit: the first always does.
    pub(in crate::hub) fn fitting<'a>(self, messages: impl Iterator<Item = &'a Kept>) -> usize {
        let (mut count, mut bytes) = (0, 0);
        for kept in messages.take(self.messages) {
            bytes += kept.bytes();
            if count > 0 && bytes > self.bytes {
                break;
            }
            count += 1;
        }
        count
    }
}

impl Page {
    /// What it takes in memory.
    pub(in crate::hub) fn bytes(&self) -> usize {
        self.messages.iter().map(Kept::bytes).sum()
    }
}

impl Kept {
    /// A message, as it is delivered; `buffer` is written over.
    pub(in crate::hub) fn new(
        buffer: &mut Vec<u8>,
        room: &str,
        offset: u64,
        content: &RawValue,
        sender: &str,
        timestamp: u64,
    ) -> Self {
        let (room, place) = (Some(room), Some(offset));
        let delivery = Delivery::Text { room, offset: place, content, sender, timestamp };
        let frame = Wire::Json.frame(delivery.encode(buffer));
        Self { offset, timestamp, frame }
    }

    /// What it takes in memory.
    pub(in crate::hub) fn bytes(&self) -> usize {
        self.frame.bytes().len() + OVERHEAD_BYTES
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Epoch {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| is_hex);
        number.map(Self).ok_or("an epoch has 16 hexadecimal digits")
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_read_as_it_is_written() {
        let epoch = Epoch(0xab);
        assert_eq!(epoch.to_string().parse(), Ok(epoch));
        for bad in ["", "ab", "+0000000000000ab", "00000000000000abc"] {
            assert!(bad.parse::<Epoch>().is_err(), "{bad}");
        }
    }

    #[test]
    fn since_is_a_place() {
        let since = Since::parse(r#"{"epoch":"00000000000000ab","offset":7}"#);
        assert_eq!(since, Some(Since { epoch: Some(Epoch(0xab)), offset: 7 }));
        let foreign = Since::parse(r#"{"epoch":"e","offset":0,"more":1}"#);
        assert_eq!(foreign, Some(Since { epoch: None, offset: 0 }));
        for bad in ["1", "{}", r#"{"epoch":"e","offset":-1}"#, r#"{"epoch":1,"offset":1}"#] {
            assert_eq!(Since::parse(bad), None, "{bad}");
        }
    }
}
