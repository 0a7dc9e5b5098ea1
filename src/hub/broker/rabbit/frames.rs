//! Frames of AMQP 0-9-1, and what their arguments are made of.
//!
//! Owns how a frame is cut out of what has arrived, and how short strings, long strings and tables
//! are written and read. What is longer than was agreed, or not what it says, is an error: nothing
//! after it is read. Never knows what a method means: [`methods`](super::methods) does.

use std::ops::Range;

/// What ends a frame.
const FRAME_END: u8 = 0xCE;

/// What stands around the payload of a frame: kind, channel and length, and the end.
pub(super) const FRAME_OVERHEAD: usize = 8;

/// How deep tables in tables are read.
const DEPTH_MAX: usize = 8;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A method and its arguments.
    Method,
    /// How long the content of a method is, and its properties.
    Header,
    /// A piece of the content.
    Body,
    /// Nothing: somebody is there.
    Heartbeat,
}

/// A frame that has arrived: where its payload stands, and where the next frame begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) payload: Range<usize>,
    pub(super) end: usize,
}

/// What has arrived is not AMQP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

impl Frame {
    /// The first frame of what has arrived; none where it is not there as a whole.
    pub(super) fn first(arrived: &[u8], frame_max: usize) -> Result<Option<Self>, Malformed> {
        let Some(head) = arrived.first_chunk::<7>() else { return Ok(None) };
        let kind = match head[0] {
            1 => Kind::Method,
            2 => Kind::Header,
            3 => Kind::Body,
            8 => Kind::Heartbeat,
            // A server that speaks another version answers with its own name.
            b'A' => return Err(Malformed("it speaks another version of AMQP")),
            _ => return Err(Malformed("it does not speak AMQP")),
        };
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        if size > frame_max.saturating_sub(FRAME_OVERHEAD) {
            return Err(Malformed("a frame is longer than was agreed"));
        }
        let payload = 7..7 + size;
        match arrived.get(payload.end) {
            None => Ok(None),
            Some(&FRAME_END) => Ok(Some(Self { kind, end: payload.end + 1, payload })),
            Some(_) => Err(Malformed("a frame does not end where it should")),
        }
    }
}

/// Writes a frame; what stands in it is written by `fill`.
pub(super) fn frame(out: &mut Vec<u8>, kind: Kind, channel: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let kind = match kind {
        Kind::Method => 1,
        Kind::Header => 2,
        Kind::Body => 3,
        Kind::Heartbeat => 8,
    };
    out.push(kind);
    out.extend(channel.to_be_bytes());
    let size_at = out.len();
    out.extend([0; 4]);
    fill(out);
    let size = (out.len() - size_at - 4) as u32;
    out[size_at..size_at + 4].copy_from_slice(&size.to_be_bytes());
    out.push(FRAME_END);
}

/// Writes a short string: 255 bytes at most, what is more is cut off.
pub(super) fn short(out: &mut Vec<u8>, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(255)];
    out.push(bytes.len() as u8);
    out.extend(bytes);
}

/// Writes a long string.
pub(super) fn long(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

/// A value of a table that is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Yes,
    Number(i64),
    Text(&'a str),
    Table(&'a [(&'a str, Value<'a>)]),
}

/// Writes a table.
pub(super) fn table(out: &mut Vec<u8>, fields: &[(&str, Value<'_>)]) {
    let size_at = out.len();
    out.extend([0; 4]);
    for (name, value) in fields {
        short(out, name);
        match value {
            Value::Yes => out.extend([b't', 1]),
            Value::Number(number) => {
                out.push(b'l');
                out.extend(number.to_be_bytes());
            }
            Value::Text(text) => {
                out.push(b'S');
                long(out, text.as_bytes());
            }
            Value::Table(fields) => {
                out.push(b'F');
                table(out, fields);
            }
        }
    }
    let size = (out.len() - size_at - 4) as u32;
    out[size_at..size_at + 4].copy_from_slice(&size.to_be_bytes());
}

/// Reads arguments one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed("it ends too soon"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| Malformed("it ends too soon"))
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn short(&mut self) -> Result<&'a str, Malformed> {
        let size = self.u8()?;
        let bytes = self.take(usize::from(size))?;
        std::str::from_utf8(bytes).map_err(|_| Malformed("a text is not UTF-8"))
    }

    pub(super) fn long(&mut self) -> Result<&'a [u8], Malformed> {
        let size = self.u32()?;
        self.take(size as usize)
    }

    /// Reads over a table; the number in the field of this name.
    pub(super) fn number_in_table(&mut self, wanted: &str) -> Result<Option<u64>, Malformed> {
        let mut fields = Reader(self.long()?);
        let mut found = None;
        while !fields.0.is_empty() {
            let name = fields.short()?;
            let number = fields.value(0)?;
            if name == wanted {
                found = number;
            }
        }
        Ok(found)
    }

    /// Reads over a value; what it says, where that is a number that is not negative.
    fn value(&mut self, depth: usize) -> Result<Option<u64>, Malformed> {
        let number = match self.u8()? {
            b't' | b'b' | b'B' => self.take(1).map(|_| None)?,
            b's' | b'u' => self.take(2).map(|_| None)?,
            b'I' | b'i' => u64::try_from(self.u32()?.cast_signed()).ok(),
            b'l' | b'L' | b'T' => u64::try_from(self.u64()?.cast_signed()).ok(),
            b'f' => self.take(4).map(|_| None)?,
            b'd' => self.take(8).map(|_| None)?,
            b'D' => self.take(5).map(|_| None)?,
            b'S' | b'x' => self.long().map(|_| None)?,
            b'V' => None,
            b'A' => self.nested(depth, |items, depth| items.value(depth)).map(|()| None)?,
            b'F' => {
                let field = |fields: &mut Reader<'_>, depth| {
                    fields.short()?;
                    fields.value(depth)
                };
                self.nested(depth, field).map(|()| None)?
            }
            _ => return Err(Malformed("a table has a value of no known kind")),
        };
        Ok(number)
    }

    fn nested(
        &mut self,
        depth: usize,
        each: impl Fn(&mut Reader<'_>, usize) -> Result<Option<u64>, Malformed>,
    ) -> Result<(), Malformed> {
        if depth >= DEPTH_MAX {
            return Err(Malformed("tables are too deep"));
        }
        let mut items = Reader(self.long()?);
        while !items.0.is_empty() {
            each(&mut items, depth + 1)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_cut_out_as_it_was_written() {
        let mut out = Vec::new();
        frame(&mut out, Kind::Body, 7, |out| out.extend(b"abc"));
        frame(&mut out, Kind::Heartbeat, 0, |_| {});
        let first = Frame::first(&out, 4096).unwrap().unwrap();
        assert_eq!((first.kind, &out[first.payload]), (Kind::Body, &b"abc"[..]));
        let second = Frame::first(&out[first.end..], 4096).unwrap().unwrap();
        assert_eq!((second.kind, first.end + second.end), (Kind::Heartbeat, out.len()));
        for cut in 0..first.end {
            assert_eq!(Frame::first(&out[..cut], 4096), Ok(None), "{cut}");
        }
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        let mut out = Vec::new();
        frame(&mut out, Kind::Method, 0, |out| out.extend([0; 20]));
        assert!(Frame::first(&out, 27).is_err(), "longer than was agreed");
        *out.last_mut().unwrap() = 0;
        assert!(Frame::first(&out, 4096).is_err(), "no end");
        assert!(Frame::first(b"AMQP\0\0\x09\x01", 4096).is_err());
        assert!(Frame::first(b"HTTP/1.1 400", 4096).is_err());
    }

    #[test]
    fn a_number_is_found_in_a_table_of_everything() {
        let mut out = Vec::new();
        let inner = [("deep", Value::Yes), ("wanted", Value::Number(1))];
        table(
            &mut out,
            &[
                ("yes", Value::Yes),
                ("text", Value::Text("abc")),
                ("table", Value::Table(&inner)),
                ("wanted", Value::Number(7)),
                ("minus", Value::Number(-7)),
            ],
        );
        assert_eq!(Reader(&out).number_in_table("wanted"), Ok(Some(7)));
        assert_eq!(Reader(&out).number_in_table("minus"), Ok(None));
        assert_eq!(Reader(&out).number_in_table("nothing"), Ok(None));
        for cut in 0..out.len() {
            assert!(Reader(&out[..cut]).number_in_table("wanted").is_err(), "{cut}");
        }
    }

    #[test]
    fn tables_are_not_read_without_an_end() {
        let mut out = Vec::new();
        table(&mut out, &[("a", Value::Yes)]);
        for _ in 0..2 * DEPTH_MAX {
            let inner = std::mem::take(&mut out);
            out.extend((inner.len() as u32 + 3).to_be_bytes());
            out.extend([1, b'a', b'F']);
            out.extend(inner);
        }
        assert_eq!(Reader(&out).number_in_table("a"), Err(Malformed("tables are too deep")));
    }
}
