//! The bytes that have to go out.
//!
//! Owns frames that are encoded and masked until the socket has taken them: from then on nobody can
//! change them (RFC 6455, section 10.3). Holds at most one message, besides a few control frames.

use std::io;
use std::time::Duration;

use super::deadline::Deadline;
use super::transport::Transport;

/// How long a write may hold up a read, where the server does not take what it is owed.
const BRIEF: Duration = Duration::from_millis(1);

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
        if let Some(kind) = self.broken {
            self.bytes.clear();
            return Err(kind.into());
        }
        while self.written < self.bytes.len() {
            let Ok(wait) = deadline.left() else { return Ok(Flushed::Part) };
            match transport.write(&self.bytes[self.written..], wait) {
                Ok(count) => self.written += count.unwrap_or(0),
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

    /// Writes what goes out at once, between two reads. That the transport is broken shows when it
    /// is read to its end.
    pub(super) fn flush_briefly(&mut self, transport: &mut Transport) -> Flushed {
        if self.is_empty() {
            return Flushed::All;
        }
        let deadline = Deadline::after(Some(BRIEF));
        match self.flush(transport, deadline) {
            Ok(flushed) => flushed,
            Err(_) => Flushed::All,
        }
    }
}
