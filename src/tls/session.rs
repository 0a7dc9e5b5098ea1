//! One TLS connection without I/O, in either role.
//!
//! Owns what is kept between two reads and two writes: a record that has come in part, plaintext
//! that nobody had room for, ciphertext that the socket did not take. At rest that is nothing: all
//! else is in a [`Scratch`] that many connections share. What is encrypted is never dropped and
//! never out of order.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::ops::RangeInclusive;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, CommonState, Error, ServerConfig};

use super::records::{Outgoing, Records, Say, Sink};

/// What is read of a connection at once, in bytes, beside what is kept of it.
const READ_BYTES: usize = 64 << 10;

/// What is kept of a connection at most, in bytes: a record that has come in part, or a handshake
/// message over several records.
const KEPT_BYTES_MAX: usize = 32 << 10;

/// What is encrypted at once, in bytes: so much ciphertext can be left over, and a little more.
const BATCH_BYTES: usize = 64 << 10;

/// From this length on, in bytes, a slice is encrypted where it stands. Shorter ones are put
/// together, so that they share records.
const DIRECT_BYTES: usize = 16 << 10;

/// What stands before the payload of a record, in bytes.
const HEADER_BYTES: usize = 5;

/// What a record can be: change_cipher_spec, alert, handshake, application_data.
const RECORD_TYPES: RangeInclusive<u8> = 20..=23;

/// What a record may hold, in bytes, with what encryption adds (RFC 5246 section 6.2.3).
const RECORD_BYTES_MAX: usize = (16 << 10) + (2 << 10);

/// The buffers that all connections of a thread share.
#[derive(Debug)]
pub(crate) struct Scratch {
    incoming: Box<[u8]>,
    outgoing: Outgoing,
    plain: Vec<u8>,
}

impl Default for Scratch {
    fn default() -> Self {
        let incoming = vec![0; KEPT_BYTES_MAX + READ_BYTES].into();
        Self { incoming, outgoing: Outgoing::default(), plain: Vec::new() }
    }
}

/// What a read has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// So many bytes of plaintext, and whether the read was filled, so that there may be more.
    Plain(usize, bool),
    /// The peer has said that it sends no more.
    End,
}

/// A TLS connection, from its first byte on.
pub(crate) struct Session {
    records: Records,
    /// A record, or a handshake message, that has come in part.
    incoming: Vec<u8>,
    /// Plaintext that is still to be handed out.
    plain: Kept,
    /// Ciphertext that is still to be written.
    outgoing: Kept,
    is_open: bool,
    has_ended: bool,
    has_said_end: bool,
    /// A fault was found: there is no more to be had of rustls.
    has_failed: bool,
    /// The fault, until it is told: what came before it is handed out first.
    fault: Option<Error>,
}

/// Bytes of which the front is gone.
#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    at: usize,
}

impl Kept {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets the front, and with the last byte the buffer.
    fn advance(&mut self, count: usize) {
        self.at += count;
        if self.at >= self.bytes.len() {
            *self = Self::default();
        }
    }
}

impl Session {
    /// The server's end.
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Records::server(config).map(Self::new)
    }

    /// The client's end, to a server of this name.
    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, Error> {
        Records::client(config, name).map(Self::new)
    }

    fn new(records: Records) -> Self {
        Self {
            records,
            incoming: Vec::new(),
            plain: Kept::default(),
            outgoing: Kept::default(),
            is_open: false,
            has_ended: false,
            has_said_end: false,
            has_failed: false,
            fault: None,
        }
    }

    /// Whether the handshake is over, so that something can be said.
    pub(crate) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether the peer has said that it sends no more.
    pub(crate) const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether there is something to be had without a read: plaintext, the end, or a fault.
    pub(crate) const fn has_unread(&self) -> bool {
        !self.plain.is_empty() || self.has_ended || self.has_failed
    }

    /// Whether ciphertext is still to be written.
    pub(crate) const fn owes(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// What is known of the other end.
    pub(crate) fn state(&self) -> &CommonState {
        self.records.state()
    }

    /// Hands out plaintext: what was kept, else what one `read` brings. What has to be answered is
    /// [owed](Self::owes) afterwards, also after an error.
    ///
    /// # Errors
    /// That of the read; [`ErrorKind::UnexpectedEof`] where TCP ends before TLS does;
    /// [`ErrorKind::InvalidData`] where the peer breaks a rule, or is not whom it should be.
    pub(crate) fn receive(
        &mut self,
        scratch: &mut Scratch,
        room: &mut [u8],
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<Received> {
        if !self.plain.is_empty() {
            let rest = self.plain.rest();
            let count = rest.len().min(room.len());
            room[..count].copy_from_slice(&rest[..count]);
            self.plain.advance(count);
            return Ok(Received::Plain(count, true));
        }
        if self.has_ended {
            return Ok(Received::End);
        }
        if self.has_failed {
            let fault = self.fault.take().map(invalid);
            return Err(fault.unwrap_or_else(|| invalid("the connection has failed")));
        }
        let free = &mut scratch.incoming[self.incoming.len()..][..READ_BYTES];
        let free_len = free.len();
        let count = read(free)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let len = self.arrive(scratch, count, room)?;
        Ok(Received::Plain(len, count == free_len))
    }

    /// `count` new bytes stand in the shared buffer, behind where those go that are kept. Those of
    /// a record that is not whole yet are only put by: each costs once what it costs.
    fn arrive(
        &mut self,
        scratch: &mut Scratch,
        count: usize,
        room: &mut [u8],
    ) -> io::Result<usize> {
        let kept = self.incoming.len();
        let new = &scratch.incoming[kept..][..count];
        if kept + count < record_len(&self.incoming, new) {
            self.incoming.extend_from_slice(new);
            return Ok(0);
        }
        scratch.incoming[..kept].copy_from_slice(&self.incoming);
        self.take(scratch, kept + count, room)
    }

    /// Takes bytes that somebody else has read.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub(crate) fn give(&mut self, scratch: &mut Scratch, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(READ_BYTES) {
            scratch.incoming[self.incoming.len()..][..part.len()].copy_from_slice(part);
            self.arrive(scratch, part.len(), &mut [])?;
        }
        Ok(())
    }

    /// Decrypts the first `len` bytes of the shared buffer.
    fn take(&mut self, scratch: &mut Scratch, len: usize, room: &mut [u8]) -> io::Result<usize> {
        let Scratch { incoming, outgoing, .. } = scratch;
        outgoing.clear();
        let mut sink = Sink { room, len: 0, kept: &mut self.plain.bytes };
        let advanced = self.records.advance(&mut incoming[..len], outgoing, &mut sink);
        let plain_len = sink.len;
        self.outgoing.bytes.extend_from_slice(outgoing.bytes());
        let advanced = match advanced {
            Ok(advanced) => advanced,
            Err(fault) => {
                self.has_failed = true;
                if plain_len == 0 {
                    return Err(invalid(fault));
                }
                self.fault = Some(fault);
                return Ok(plain_len);
            }
        };
        self.is_open |= advanced.is_open;
        self.has_ended |= advanced.has_ended;
        // What stands behind the end is nobody's.
        let used = if advanced.has_ended { len } else { advanced.used };
        let rest = &incoming[used..len];
        if rest.len() > KEPT_BYTES_MAX {
            return Err(invalid("a handshake message is too long"));
        }
        if rest.is_empty() {
            self.incoming = Vec::new();
        } else {
            self.incoming.clear();
            self.incoming.extend_from_slice(rest);
        }
        Ok(plain_len)
    }

    /// Begins the handshake, where this end does.
    ///
    /// # Errors
    /// What rustls says of its own first words.
    pub(crate) fn begin(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        self.take(scratch, 0, &mut []).map(|_| ())
    }

    /// Encrypts the front of the slices and writes it, for as long as `write` takes everything, and
    /// says how much was encrypted. What `write` did not take is [owed](Self::owes), and until it is
    /// [flushed](Self::flush) nothing more is encrypted.
    ///
    /// # Errors
    /// That of `write`: [`ErrorKind::WouldBlock`] where nothing was encrypted;
    /// [`ErrorKind::NotConnected`] before the handshake is over, and after the end was said.
    pub(crate) fn send(
        &mut self,
        scratch: &mut Scratch,
        slices: &[IoSlice<'_>],
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if !self.is_open || self.has_said_end || self.has_failed {
            return Err(ErrorKind::NotConnected.into());
        }
        if !self.flush(&mut write)? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let Scratch { outgoing, plain, .. } = scratch;
        let mut taken = 0;
        loop {
            let batch = gather(slices, taken, plain);
            if batch.is_empty() {
                return Ok(taken);
            }
            outgoing.clear();
            let said = self.records.say(&mut self.incoming, Say::Data(batch), outgoing);
            self.has_failed |= said.is_err();
            said.map_err(invalid)?;
            taken += batch.len();
            self.write_or_keep(outgoing.bytes(), &mut write)?;
            if self.owes() {
                return Ok(taken);
            }
        }
    }

    /// Writes what is owed, and says whether that is all.
    ///
    /// # Errors
    /// That of `write`, but not [`ErrorKind::WouldBlock`].
    pub(crate) fn flush(
        &mut self,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        while self.owes() {
            match taken(&mut write, self.outgoing.rest())? {
                0 => return Ok(false),
                count => self.outgoing.advance(count),
            }
        }
        Ok(true)
    }

    /// Says that nothing more will be sent (RFC 8446 section 6.1): it is [owed](Self::owes)
    /// afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] where the connection has failed.
    pub(crate) fn say_end(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        let is_said = std::mem::replace(&mut self.has_said_end, true);
        if !self.is_open || is_said || self.has_failed {
            return Ok(());
        }
        let outgoing = &mut scratch.outgoing;
        outgoing.clear();
        let said = self.records.say(&mut self.incoming, Say::End, outgoing);
        self.has_failed |= said.is_err();
        said.map_err(invalid)?;
        self.outgoing.bytes.extend_from_slice(outgoing.bytes());
        Ok(())
    }

    fn write_or_keep(
        &mut self,
        bytes: &[u8],
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let mut at = 0;
        while at < bytes.len() {
            match taken(&mut write, &bytes[at..])? {
                0 => {
                    self.outgoing.bytes.extend_from_slice(&bytes[at..]);
                    return Ok(());
                }
                count => at += count,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("is_open", &self.is_open)
            .field("has_ended", &self.has_ended)
            .finish_non_exhaustive()
    }
}

/// The next bytes to be encrypted, after the first `taken`: a long slice where it stands, short
/// ones put together.
fn gather<'a>(slices: &'a [IoSlice<'_>], taken: usize, plain: &'a mut Vec<u8>) -> &'a [u8] {
    plain.clear();
    let mut skipped = taken;
    for slice in slices {
        let rest = &slice[skipped.min(slice.len())..];
        skipped -= slice.len() - rest.len();
        if rest.is_empty() {
            continue;
        }
        if rest.len() >= DIRECT_BYTES {
            if plain.is_empty() {
                return &rest[..rest.len().min(BATCH_BYTES)];
            }
            break;
        }
        let room = BATCH_BYTES - plain.len();
        plain.extend_from_slice(&rest[..rest.len().min(room)]);
        if plain.len() == BATCH_BYTES {
            break;
        }
    }
    plain
}

/// How long the record is that begins with `front` and goes on with `rest`, as far as that is known
/// (RFC 8446 section 5.1: type, version, and two bytes of length). None at all, where it is no
/// record: rustls is to say what is wrong.
fn record_len(front: &[u8], rest: &[u8]) -> usize {
    let mut bytes = front.iter().chain(rest).copied();
    if bytes.next().is_some_and(|kind| !RECORD_TYPES.contains(&kind)) {
        return 0;
    }
    let mut length = bytes.skip(2);
    match (length.next(), length.next()) {
        (Some(high), Some(low)) => {
            let len = usize::from(u16::from_be_bytes([high, low]));
            if len > RECORD_BYTES_MAX { 0 } else { HEADER_BYTES + len }
        }
        _ => HEADER_BYTES,
    }
}

/// What a write took: nothing, where the socket is full.
fn taken(write: &mut impl FnMut(&[u8]) -> io::Result<usize>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            result => return result,
        }
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
