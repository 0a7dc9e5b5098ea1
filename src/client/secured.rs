//! TLS on a socket that blocks.
//!
//! Owns the session and its buffers. Says that bytes are written when their ciphertext is: until
//! then they are to be offered again, as they were.

use std::io::{self, ErrorKind, IoSlice};
use std::time::Duration;

use super::deadline::Deadline;
use super::transport::Wire;
use super::{ClientError, Step};
use crate::tls::{Connector, Received, Scratch, Session};

/// How much is encrypted for one write, in bytes, so that the caller sees its deadline.
const WRITE_BYTES: usize = 64 << 10;

/// A TLS connection.
#[derive(Debug)]
pub(super) struct Secured {
    session: Session,
    scratch: Scratch,
    /// How much was encrypted and not written to the end: of what is offered next, the front.
    untold: usize,
}

impl Secured {
    /// The handshake, with a server of this name.
    pub(super) fn open(
        wire: &mut Wire,
        connector: &Connector,
        host: &str,
        deadline: Deadline,
    ) -> Result<Self, ClientError> {
        let session = connector.session(host).map_err(ClientError::Tls)?;
        let mut secured = Self { session, scratch: Scratch::default(), untold: 0 };
        secured.session.begin(&mut secured.scratch).map_err(ClientError::Tls)?;
        loop {
            let left = deadline.left().map_err(|_| ClientError::Timeout(Step::Handshake))?;
            let is_all = secured.session.flush(|bytes| some(wire.write(bytes, left)));
            if !is_all.map_err(failed)? {
                continue;
            }
            if secured.session.is_open() {
                return Ok(secured);
            }
            let read = |room: &mut [u8]| some(wire.read(room, left));
            match secured.session.receive(&mut secured.scratch, &mut [], read) {
                Ok(Received::Plain(..)) => {}
                Ok(Received::End) => return Err(ClientError::Lost(None)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => {
                    // The server is told why.
                    let _ = secured.session.flush(|bytes| some(wire.try_write(bytes)));
                    return Err(failed(error));
                }
            }
        }
    }

    pub(super) fn read(
        &mut self,
        wire: &mut Wire,
        buffer: &mut [u8],
        mut wait: Option<Duration>,
    ) -> io::Result<Option<usize>> {
        let deadline = Deadline::after(wait);
        loop {
            let read = |room: &mut [u8]| some(wire.read(room, wait));
            let received = self.session.receive(&mut self.scratch, buffer, read);
            // A key update, or an alert about what is wrong.
            let answered = self.session.flush(|bytes| some(wire.try_write(bytes)));
            match received {
                Ok(Received::Plain(0, _)) => {}
                Ok(Received::Plain(count, _)) => return Ok(Some(count)),
                Ok(Received::End) => return Ok(Some(0)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
            answered?;
            match deadline.left() {
                Ok(left) => wait = left,
                Err(_) => return Ok(None),
            }
        }
    }

    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        mut write: impl FnMut(&[u8]) -> io::Result<Option<usize>>,
    ) -> io::Result<Option<usize>> {
        let mut write = |bytes: &[u8]| some(write(bytes));
        if self.untold == 0 {
            let bytes = &bytes[..bytes.len().min(WRITE_BYTES)];
            match self.session.send(&mut self.scratch, &[IoSlice::new(bytes)], &mut write) {
                Ok(count) => self.untold = count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let is_all = self.session.flush(&mut write)?;
        Ok(is_all.then(|| std::mem::take(&mut self.untold)))
    }

    /// Whether the server has said that it sends no more.
    pub(super) const fn has_ended(&self) -> bool {
        self.session.has_ended()
    }

    /// Says that nothing more will be sent, if that goes out at once.
    pub(super) fn say_end(&mut self, wire: &mut Wire) {
        if self.session.say_end(&mut self.scratch).is_ok() {
            let _ = self.session.flush(|bytes| some(wire.try_write(bytes)));
        }
    }
}

/// As a socket says it that does not wait.
fn some(result: io::Result<Option<usize>>) -> io::Result<usize> {
    result?.ok_or_else(|| ErrorKind::WouldBlock.into())
}

fn failed(error: io::Error) -> ClientError {
    match error.kind() {
        ErrorKind::InvalidData => ClientError::Tls(error),
        ErrorKind::UnexpectedEof => ClientError::Lost(None),
        _ => ClientError::Lost(Some(error)),
    }
}
