//! The read half of each connection, and reading it.
//!
//! Owns what the bytes of a connection mean at present, and the budget of one turn. Never reads
//! from a peer that is owed too much.

use std::io;

use super::dial::Dialled;
use super::exchange::Exchange;
use super::{CloseReason, ConnectionId, EventLoop, Handler, Peers, Platform, Stream};
use crate::proto::{Event, Inbound, ProtocolError, Spare};

/// What is read from one connection in a turn, in bytes, before the others have theirs: enough
/// that a message of 1 MiB is put together and answered while its buffer is still in the cache.
const READ_BUDGET: usize = 2 << 20;

/// What is read at once where it may be compressed, in bytes: it may become a thousand times more.
const COMPRESSED_MAX: usize = 4 << 10;

/// What the bytes of a connection mean. A connection at rest owns no heap in any of these but a
/// request that has come in part.
#[derive(Debug)]
pub(super) enum Reading {
    /// The header of the proxy in front; a part of it has come, or nothing.
    Proxy(Vec<u8>),
    /// A request; a part of it has come, or nothing.
    Request(Option<Box<Exchange>>),
    /// Nothing is read until the handler has decided about this request.
    Pending(Box<Exchange>),
    /// The answer to a handshake of ours.
    Dialled(Box<Dialled>),
    /// Frames.
    Open(Inbound),
    /// Nothing any more: the connection ends.
    Discard,
}

const _: () = assert!(size_of::<Reading>() <= 40);

impl Reading {
    pub(super) const START: Self = Self::Request(None);

    /// What a message or a request takes that has come in part, in bytes.
    pub(super) fn partial_bytes(&self) -> usize {
        match self {
            Self::Open(inbound) => inbound.partial_bytes(),
            Self::Request(Some(exchange)) | Self::Pending(exchange) => exchange.held_bytes(),
            Self::Proxy(_) | Self::Request(None) | Self::Dialled(_) | Self::Discard => 0,
        }
    }

    /// Gives the buffers back.
    pub(super) fn release(&mut self, spare: &mut Spare) {
        if let Self::Open(inbound) = self {
            inbound.release(spare);
        }
        *self = Self::Discard;
    }
}

/// What a read brought.
enum Input {
    Bytes(usize),
    /// The peer will send no more.
    End,
    Nothing,
    /// It is to be read again in the next turn.
    Later,
    Lost,
}

fn fill<T: Stream>(stream: &mut T, room: &mut [u8]) -> Input {
    loop {
        return match stream.read(room) {
            Ok(0) => Input::End,
            Ok(n) => Input::Bytes(n),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Input::Nothing,
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Input::Later,
            Err(_) => Input::Lost,
        };
    }
}

impl<H: Handler<P>, P: Platform> EventLoop<H, P> {
    /// Reads a connection until it is drained, or has had its share of the turn.
    pub(super) fn read(&mut self, id: ConnectionId) {
        let Some(index) = self.peers.find(id) else { return };
        if self.is_frozen {
            return; // it is read when the loop goes on
        }
        self.serve_stalled(index);
        let mut budget = READ_BUDGET;
        while self.peers.find(id).is_some() && self.is_readable(index) {
            if budget == 0 {
                return self.read_again(index);
            }
            let is_opening = self.peers.table[index].stream.is_opening();
            let (input, room, direct) = self.read_once(index);
            if is_opening {
                self.send_request(index); // it could not be sent before the stream was open
            }
            let peer = &mut self.peers.table[index];
            match input {
                Input::Bytes(n) => {
                    self.peers.stats.bytes_in += n as u64;
                    // A read that leaves room has drained the socket: epoll tells of what follows.
                    peer.unread = n == room || peer.read_closed || peer.stream.has_unread();
                    self.peers.heard(index);
                    let flushes = self.peers.flushes;
                    let made = self.receive(index, n, direct);
                    self.relieve_partial();
                    budget = budget.saturating_sub(n.max(made));
                    if flushes != self.peers.flushes {
                        budget = 0; // it has made more than a turn's work for others
                    }
                    if self.peers.find(id).is_some() && self.peers.table[index].unread {
                        self.peers.flush_early(index); // it may be owed too much to be read from
                    }
                }
                Input::Nothing => peer.unread = false,
                Input::Later => return self.read_again(index),
                Input::End => {
                    peer.unread = false;
                    peer.ended = true;
                    self.end_of_input(index);
                }
                Input::Lost => {
                    peer.unread = false;
                    self.peers.given_out.push((id, CloseReason::Lost));
                }
            }
        }
    }

    fn is_readable(&self, index: usize) -> bool {
        let peer = &self.peers.table[index];
        let is_held = matches!(self.readings[index], Reading::Pending(_)) || self.is_stalled(index);
        peer.unread && !peer.paused && !is_held
    }

    /// Puts a connection on the list of those to read in the next turn.
    pub(super) fn read_again(&mut self, index: usize) {
        let peer = &mut self.peers.table[index];
        if !peer.again {
            peer.again = true;
            self.again.push(self.peers.id(index));
        }
    }

    /// One read: into a large message where one is under way, else into the loop's buffer. Says how
    /// much room there was and which of the two it was.
    fn read_once(&mut self, index: usize) -> (Input, usize, bool) {
        let stream = &mut self.peers.table[index].stream;
        if let Reading::Open(inbound) = &mut self.readings[index]
            && let Some(room) = inbound.direct(&self.settings)
        {
            let (input, len) = (fill(stream, room), room.len());
            if !matches!(input, Input::Bytes(_)) {
                drop(inbound.receive(&self.settings, &mut self.spare, &mut [])); // counts the room
            }
            return (input, len, true);
        }
        let room = match &self.readings[index] {
            Reading::Open(inbound) if inbound.is_compressed() => &mut self.buffer[..COMPRESSED_MAX],
            _ => &mut self.buffer[..],
        };
        (fill(stream, room), room.len(), false)
    }

    /// Hands on what was read, and says how many bytes of messages it made.
    fn receive(&mut self, index: usize, n: usize, direct: bool) -> usize {
        match &mut self.readings[index] {
            Reading::Open(_) if direct => return self.receive_frames(index, None, n),
            Reading::Open(_) => {
                let mut buffer = std::mem::take(&mut self.buffer);
                let made = self.receive_frames(index, Some(&mut buffer[..n]), 0);
                self.buffer = buffer;
                return made;
            }
            Reading::Proxy(_) => {
                let mut buffer = std::mem::take(&mut self.buffer);
                self.receive_proxy(index, &mut buffer[..n]);
                self.buffer = buffer;
            }
            Reading::Request(_) => {
                let mut buffer = std::mem::take(&mut self.buffer);
                self.receive_request(index, &mut buffer[..n]);
                self.buffer = buffer;
            }
            Reading::Dialled(_) => {
                let buffer = std::mem::take(&mut self.buffer);
                self.receive_answer(index, &buffer[..n]);
                self.buffer = buffer;
            }
            Reading::Pending(_) | Reading::Discard => {}
        }
        0
    }

    /// Takes frames: from `input`, or `direct` bytes that stand in the message already. Says how
    /// many bytes of messages came out of them: with compression that is the work, not the input.
    pub(super) fn receive_frames(
        &mut self,
        index: usize,
        input: Option<&mut [u8]>,
        direct: usize,
    ) -> usize {
        let id = self.peers.id(index);
        let mut made = 0;
        let Reading::Open(inbound) = &mut self.readings[index] else { return made };
        let (settings, spare) = (&self.settings, &mut self.spare);
        let mut events = match input {
            Some(bytes) => inbound.receive(settings, spare, bytes),
            None => inbound.receive_direct(settings, spare, direct),
        };
        while let Some(event) = events.next() {
            made += event.as_ref().map_or(0, Event::len);
            deliver(&mut self.handler, &mut self.peers, id, event);
            if self.peers.takes_lift(id) {
                events.lift_limit();
            }
        }
        drop(events);
        if inbound.is_done() {
            self.readings[index].release(&mut self.spare);
        }
        made
    }

    /// The peer has ended its side of TCP. What it is owed is still written.
    fn end_of_input(&mut self, index: usize) {
        let id = self.peers.id(index);
        if self.is_dialled(index) {
            return self.peers.given_out.push((id, CloseReason::Lost));
        }
        self.readings[index].release(&mut self.spare);
        close_session(&mut self.handler, &mut self.peers, id, CloseReason::Lost);
        self.peers.end(index);
    }
}

/// Hands an event to the handler, or answers it as the RFC says.
fn deliver<H: Handler<P>, P: Platform>(
    handler: &mut H,
    peers: &mut Peers<H::Session, P>,
    id: ConnectionId,
    event: Result<Event<'_>, ProtocolError>,
) {
    match event {
        // After our Close nothing is taken but the peer's.
        Ok(Event::Message(_) | Event::Chunk(_)) if !peers.is_open(id) => {}
        Ok(Event::Message(message)) => {
            peers.stats.messages_in += 1;
            handler.message(peers, id, message);
        }
        Ok(Event::Chunk(chunk)) => {
            peers.stats.messages_in += u64::from(chunk.last);
            handler.chunk(peers, id, chunk);
        }
        Ok(Event::Ping(payload)) => peers.pong(id.slot(), payload),
        Ok(Event::Pong(_)) if !peers.is_open(id) => {}
        Ok(Event::Pong(payload)) => {
            peers.take_round_trip(payload);
            handler.pong(peers, id, payload);
        }
        Ok(Event::Close(close)) => {
            peers.receive_close(id.slot(), close);
            close_session(handler, peers, id, CloseReason::Peer(close));
        }
        Err(error) => {
            peers.fail(id.slot(), error);
            close_session(handler, peers, id, CloseReason::Protocol(error));
        }
    }
}

/// Tells the handler that a connection has ended, if it was open and has not been told.
pub(super) fn close_session<H: Handler<P>, P: Platform>(
    handler: &mut H,
    peers: &mut Peers<H::Session, P>,
    id: ConnectionId,
    reason: CloseReason<'_>,
) {
    let session = peers.find(id).and_then(|index| peers.table[index].session.take());
    if let Some(session) = session {
        // Who was cut in this turn, and has ended in another way since, has seen our Close.
        let is_cut = peers.given_out.contains(&(id, CloseReason::Overloaded));
        let reason = if is_cut { CloseReason::Overloaded } else { reason };
        peers.say_closed(id, reason, || handler.particulars(&session, id));
        handler.close(peers, id, session, reason);
    }
}
