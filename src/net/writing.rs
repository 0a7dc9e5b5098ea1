//! Writing what peers are owed.
//!
//! Owns the end of a turn: who takes everything, who gets a backlog, and what follows from it.
//! Never encodes a message.

use std::io::{self, IoSlice};

use super::backlog::{Backlog, Mark};
use super::deadline::Wait;
use super::peer::Stage;
use super::turn::{Chain, Owed, SLICES_MAX, Tag, Turn};
use super::{CloseReason, ConnectionId, Drop, Message, Peers, Platform, SendError, Stream};
use crate::frame::{HEADER_LEN_MAX, Header};

impl<S, P: Platform> Peers<S, P> {
    /// Sends a message without copying it: what is pending, the header and the payload go out in
    /// one system call, and only what the socket does not take is kept.
    pub(super) fn send_large(
        &mut self,
        id: ConnectionId,
        message: Message<'_>,
    ) -> Result<(), SendError> {
        let index = id.slot();
        let mut header = [0; HEADER_LEN_MAX];
        let header_len = Header {
            fin: true,
            rsv: 0,
            opcode: message.kind.opcode(),
            mask: None,
            payload_len: message.payload.len() as u64,
        }
        .encode(&mut header);
        let frame = [&header[..header_len], message.payload];
        self.flush_peer(index); // a longer chain, or a backlog, goes first
        if !self.table[index].is_open() {
            // That was too much, and its Close is the last that it is owed.
            self.stats.messages_out += 1;
            self.stats.drop(Drop::Overloaded, 1);
            return Ok(());
        }
        let mark = if self.tag == Tag::LOSSY { Mark::Lossy } else { Mark::Kept };
        let peer = &mut self.table[index];
        let before = peer.backlog_bytes();
        if let Some(backlog) = &mut peer.backlog {
            backlog.push_frame(frame, 0, mark);
        } else {
            let written = match taken(|| peer.stream.write_vectored(&frame.map(IoSlice::new))) {
                Ok(written) => written,
                Err(_) => {
                    self.given_out.push((id, CloseReason::Lost));
                    return Err(SendError::Closed);
                }
            };
            self.stats.bytes_out += written as u64;
            let is_part = written < header_len + message.payload.len();
            if is_part || peer.stream.owes() {
                let mut backlog = Box::new(Backlog::new());
                if is_part {
                    backlog.push_frame(frame, written, mark);
                }
                peer.backlog = Some(backlog);
                self.wait_for(index, Wait::Write);
            }
        }
        self.stats.backlog(before, self.table[index].backlog_bytes());
        self.stats.messages_out += 1;
        if self.is_past_all_limits() {
            self.cut(index); // what the socket has begun to take still goes out
        }
        self.touch(index);
        Ok(())
    }

    /// Writes what this turn owes. Who cannot take it all gets a backlog.
    pub(super) fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            let index = index as usize;
            if let Some(peer) = self.table.get_mut(index) {
                peer.dirty = false;
                self.flush_peer(index);
                self.settle(index);
            }
        }
        self.dirty = dirty;
        self.turn.clear();
        self.relieve_backlogs();
    }

    /// Writes what one peer is owed, before more is read from it.
    pub(super) fn flush_early(&mut self, index: usize) {
        if self.table[index].dirty {
            self.flush_peer(index);
            self.settle(index);
        }
    }

    /// Whether a flush has something to do.
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    fn flush_peer(&mut self, index: usize) {
        let peer = &mut self.table[index];
        let mut chain = std::mem::replace(&mut peer.chain, Chain::EMPTY);
        let mut written = 0;
        if peer.backlog.is_none() {
            match write_chain(&mut peer.stream, &self.turn, &mut chain, &mut self.stats.bytes_out) {
                Ok(n) => written = n,
                Err(_) => {
                    let id = self.id(index);
                    return self.given_out.push((id, CloseReason::Lost));
                }
            }
        }
        if chain.is_empty() && !peer.stream.owes() {
            return;
        }
        let before = peer.backlog_bytes();
        let backlog = peer.backlog.get_or_insert_with(|| Box::new(Backlog::new()));
        let mut replaced = 0;
        for (owed, mark) in self.turn.owed(chain) {
            let len = owed.bytes().len();
            if written >= len {
                written -= len;
                continue;
            }
            replaced += match owed {
                Owed::Bytes(bytes) => backlog.push_bytes(bytes, written, mark),
                Owed::Shared(frame) => backlog.push_shared(frame, written, mark),
            };
            written = 0;
        }
        self.stats.backlog(before, backlog.charge());
        self.count_dropped(index, Drop::Replaced, replaced);
        if self.is_past_all_limits() {
            return self.cut(index);
        }
        if self.table[index].wait != Wait::Write {
            self.wait_for(index, Wait::Write);
        }
    }

    /// Draws the conclusions from what a peer is still owed.
    fn settle(&mut self, index: usize) {
        let id = self.id(index);
        let peer = &mut self.table[index];
        match &peer.backlog {
            Some(backlog) => peer.paused |= backlog.charge() >= self.config.backlog_high_bytes,
            None if peer.stage == Stage::Ending && peer.chain.is_empty() => self.written.push(id),
            None => {}
        }
    }

    /// The socket of a slow peer has room again.
    pub(super) fn drain_backlog(&mut self, index: usize) {
        let id = self.id(index);
        let peer = &mut self.table[index];
        let Some(backlog) = &mut peer.backlog else {
            // A part of an opening handshake, or of the end of TLS.
            if peer.stream.owes() && taken(|| peer.stream.flush()).is_err() {
                self.given_out.push((id, CloseReason::Lost));
            }
            return;
        };
        let before = backlog.charge();
        let result = write_backlog(&mut peer.stream, backlog);
        self.stats.backlog(before, backlog.charge()); // a part may be out before a write fails
        match result {
            // Of TLS all may have gone out while it was read from.
            Ok((0, 0)) if !backlog.is_empty() || peer.stream.owes() => return,
            Ok((_, written)) => self.stats.bytes_out += written as u64,
            Err(_) => return self.given_out.push((id, CloseReason::Lost)),
        }
        let is_empty = backlog.is_empty() && !peer.stream.owes();
        let mut pong = None;
        if backlog.charge() <= self.config.backlog_low_bytes {
            pong = backlog.take_pong();
            let misses_some = !self.dropped.is_empty() && self.dropped.contains_key(&id);
            if std::mem::take(&mut peer.paused) || misses_some {
                self.resumed.push(id);
            }
        }
        if is_empty {
            peer.backlog = None;
        }
        self.rest(index); // it has read something: its time begins anew
        if let Some(pong) = pong {
            self.pong(index, pong.payload());
        }
        self.settle(index);
    }
}

/// Writes the front of a chain, as much as the socket takes. Leaves in `chain` what was not written
/// whole, and says how many bytes of that were. Adds to `total` all that were.
#[inline]
fn write_chain<T: Stream>(
    stream: &mut T,
    turn: &Turn,
    chain: &mut Chain,
    total: &mut u64,
) -> io::Result<usize> {
    let Some(bytes) = turn.only(*chain) else { return write_pieces(stream, turn, chain, total) };
    let written = taken(|| stream.write(bytes))?;
    *total += written as u64;
    if written < bytes.len() {
        return Ok(written); // the socket is full: it will say when it is not
    }
    *chain = Chain::EMPTY;
    Ok(0)
}

fn write_pieces<T: Stream>(
    stream: &mut T,
    turn: &Turn,
    chain: &mut Chain,
    total: &mut u64,
) -> io::Result<usize> {
    while !chain.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let (count, len, rest) = turn.gather(*chain, &mut slices);
        let written = taken(|| stream.write_vectored(&slices[..count]))?;
        *total += written as u64;
        if written < len {
            return Ok(written);
        }
        *chain = rest;
    }
    Ok(0)
}

/// What a write took: nothing, where the socket is full.
#[inline]
fn taken(mut write: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match write() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            result => return result,
        }
    }
}

/// Writes a backlog until the socket is full, behind what the stream owes itself. Says how many
/// bytes were taken of the one and of the other.
fn write_backlog<T: Stream>(stream: &mut T, backlog: &mut Backlog) -> io::Result<(usize, usize)> {
    let flushed = if stream.owes() { taken(|| stream.flush())? } else { 0 };
    let mut total = 0;
    while !backlog.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = backlog.gather(&mut slices);
        let written = taken(|| stream.write_vectored(&slices[..count]))?;
        if written == 0 {
            break;
        }
        backlog.advance(written);
        total += written;
    }
    Ok((flushed, total))
}
