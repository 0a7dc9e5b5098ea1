//! The bytes that have to go out.
//!
//! Owns frames that are encoded and masked until the socket has taken them: from then on nobody can
//! change them (RFC 6455, section 10.3). Holds at most one message, besides a few control frames.

use std::io;

use super::deadline::Deadline;
use super::transport::Transport;

/// A buffer over this is given back once it is empty.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Pongs beyond this much wait, and of those that wait the newest is sent (section 5.5.3).
const CONTROL_BYTES_MAX: usize = 4 << 10;

/// The send buffer of one connection.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    written: usize,
    /// Why nothing can be written any more. What the server has said before can still be read.
    broken: Option<io::ErrorKind>,
}

/// How far a flush came.
#[derive(Debug)]
pub(super) enum Flushed {
    All,
    Part,
}

impl Output {
    /// Where frames are appended.
    pub(super) const fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether a pong may be added to what waits already.
    pub(super) const fn has_room_for_control(&self) -> bool {
        self.bytes.len() - self.written < CONTROL_BYTES_MAX
    }

    /// Writes until all is out or the deadline passes.
    pub(super) fn flush(
        &mut self,
        transport: &mut Transport,
        deadline: Deadline,
    ) -> io::Result<Flushed> {
        self.write(|bytes| match deadline.left() {
            Ok(wait) => transport.write(bytes, wait).map(|count| Some(count.unwrap_or(0))),
            Err(_) => Ok(None),
        })
    }

    /// Writes what goes out at once, between two reads. That the transport is broken shows when it
    /// is read to its end.
    pub(super) fn flush_at_once(&mut self, transport: &mut Transport) -> Flushed {
        self.write(|bytes| transport.try_write(bytes)).unwrap_or(Flushed::All)
    }

    /// Writes until all is out or `write` gives up with `None`.
    fn write(
        &mut self,
        mut write: impl FnMut(&[u8]) -> io::Result<Option<usize>>,
    ) -> io::Result<Flushed> {
        if let Some(kind) = self.broken {
            self.bytes.clear();
            return Err(kind.into());
        }
        while self.written < self.bytes.len() {
            match write(&self.bytes[self.written..]) {
                Ok(Some(count)) => self.written += count,
                Ok(None) => return Ok(Flushed::Part),
                Err(error) => {
                    self.broken = Some(error.kind());
                    self.bytes = Vec::new();
                    self.written = 0;
                    return Err(error);
                }
            }
        }
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.written = 0;
        Ok(Flushed::All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_taken_goes_first_and_unchanged() {
        let mut output = Output::default();
        output.bytes().extend(b"hello");
        let mut room = [Some(2), None].into_iter();
        let mut taken = Vec::new();
        let mut write = |bytes: &[u8]| {
            let count = room.next().unwrap_or(Some(bytes.len()));
            taken.extend_from_slice(&bytes[..count.unwrap_or(0)]);
            Ok(count)
        };
        assert!(matches!(output.write(&mut write), Ok(Flushed::Part)));
        output.bytes().extend(b" you");
        assert!(matches!(output.write(&mut write), Ok(Flushed::All)));
        assert_eq!(taken, b"hello you");
        assert!(output.is_empty());
    }

    #[test]
    fn a_broken_transport_keeps_nothing() {
        let mut output = Output::default();
        for _ in 0..3 {
            output.bytes().extend(b"pong");
            let failed = output.write(|_| Err(io::ErrorKind::BrokenPipe.into()));
            assert_eq!(failed.expect_err("it breaks").kind(), io::ErrorKind::BrokenPipe);
            assert!(output.is_empty() && output.has_room_for_control());
        }
    }
}
