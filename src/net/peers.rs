//! The peers of a loop: everything that can be written to.
//!
//! Owns the table of write halves, the turn's arena and the list of who is owed something. Never
//! reads, never calls the handler.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

use slab::Slab;

use super::backlog::Backlog;
use super::deadline::{Wait, Waits};
use super::deflaters::{CLASSES, Deflaters, Twins, class};
use super::peer::{Peer, Stage};
use super::turn::{Chain, Owed, SLICES_MAX, Turn};
use super::{
    BacklogPolicy, Clock, Close, CloseReason, Config, ConnectionId, Message, Os, Platform, Random,
    SendError, SharedFrame, Stream, Verdict,
};
use crate::frame::{CloseCode, HEADER_LEN_MAX, Header};
use crate::proto::ProtocolError;

/// A payload from this length on, in bytes, is not copied into the arena: it goes out at once,
/// together with what is pending. `docs/performance.md` has the measurement.
const DIRECT_FROM: usize = 8 << 10;

/// All connections of a loop, to be written to: a handler has it while it borrows a message.
///
/// What is sent leaves at the end of the turn, with one system call a peer.
#[derive(Debug)]
pub struct Peers<S, P: Platform = Os> {
    pub(super) table: Slab<Peer<S, P::Stream>>,
    pub(super) config: Config,
    pub(super) clock: P::Clock,
    random: P::Random,
    waits: Waits,
    pub(super) deflaters: Deflaters,
    turn: Turn,
    dirty: Vec<u32>,
    /// Connections whose transport or backlog gave out while they were written to.
    pub(super) given_out: Vec<(ConnectionId, CloseReason<'static>)>,
    /// Connections that have caught up.
    pub(super) resumed: Vec<ConnectionId>,
    /// Connections that have said all they had to.
    pub(super) written: Vec<ConnectionId>,
    pub(super) decisions: Vec<(ConnectionId, Verdict<S>)>,
    /// The tick that this turn is in.
    pub(super) tick: u32,
    /// No deadline is due before this tick.
    pub(super) next_due: u32,
    next_generation: u32,
}

impl<S, P: Platform> Peers<S, P> {
    pub(super) fn new(mut config: Config, clock: P::Clock, random: P::Random) -> Self {
        // Who is refused a message is past the high mark, so that its catching up is told.
        config.backlog_high_bytes = config.backlog_high_bytes.min(config.backlog_bytes_max);
        config.backlog_low_bytes = config.backlog_low_bytes.min(config.backlog_high_bytes);
        Self {
            table: Slab::new(),
            waits: Waits::new(&config),
            deflaters: Deflaters::new(config.deflate, config.deflate_budget_bytes),
            config,
            clock,
            random,
            turn: Turn::default(),
            dirty: Vec::new(),
            given_out: Vec::new(),
            resumed: Vec::new(),
            written: Vec::new(),
            decisions: Vec::new(),
            tick: 0,
            next_due: u32::MAX,
            next_generation: 0,
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`SendError::Closed`] where there is no open connection of that id,
    /// [`SendError::Backlogged`] where the policy did not take it.
    #[inline]
    pub fn send(&mut self, id: ConnectionId, message: Message<'_>) -> Result<(), SendError> {
        let index = self.admit(id)?;
        let direction = self.table[index].direction;
        if self.deflaters.wants(direction, message.payload.len())
            && self.send_deflated(index, message)?
        {
            return Ok(());
        }
        if message.payload.len() >= DIRECT_FROM {
            return self.send_large(id, message);
        }
        let outbound = self.table[index].outbound;
        let chain = &mut self.table[index].chain;
        self.turn.push(chain, true, |out| outbound.send(message, None, out))?;
        self.touch(index);
        Ok(())
    }

    /// Sends a frame that was encoded once for many.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_shared(&mut self, id: ConnectionId, frame: &SharedFrame) -> Result<(), SendError> {
        match self.broadcast([id], frame) {
            0 if self.is_open(id) => Err(SendError::Backlogged),
            0 => Err(SendError::Closed),
            _ => Ok(()),
        }
    }

    /// Sends one frame to many, and says how many took it. Nothing is copied or allocated for each.
    pub fn broadcast(
        &mut self,
        ids: impl IntoIterator<Item = ConnectionId>,
        frame: &SharedFrame,
    ) -> usize {
        let mut staged = [None; 1 + CLASSES]; // as it is, and deflated for each class, once wanted
        let mut twins = Twins::default();
        let mut taken = 0;
        for id in ids {
            if self.turn.is_full() {
                self.flush(); // what was staged is gone with the turn's arena
                staged = [None; 1 + CLASSES];
            }
            let Ok(peer) = self.admit(id) else { continue };
            let twin = self.twin(&mut twins, peer, frame);
            let form = twin.as_ref().map_or(0, |_| 1 + class(self.table[peer].direction));
            let stage = || self.turn.stage(twin.as_ref().unwrap_or(frame));
            let staged = *staged[form].get_or_insert_with(stage);
            self.turn.push_staged(&mut self.table[peer].chain, staged);
            self.mark(peer);
            taken += 1;
        }
        taken
    }

    /// Sends a ping of at most 125 bytes (RFC 6455 section 5.5.2).
    ///
    /// # Errors
    /// [`SendError::Closed`] where there is no open connection of that id.
    pub fn ping(&mut self, id: ConnectionId, payload: &[u8]) -> Result<(), SendError> {
        let peer = self.find_open(id)?;
        let outbound = self.table[peer].outbound;
        let chain = &mut self.table[peer].chain;
        self.turn.push(chain, false, |out| outbound.ping(payload, None, out))?;
        self.touch(peer);
        Ok(())
    }

    /// Starts the close handshake (RFC 6455 section 7.1.2). [`Handler::close`] follows when the
    /// peer has answered, or has not in time.
    ///
    /// [`Handler::close`]: super::Handler::close
    ///
    /// # Errors
    /// [`SendError::Closed`] where there is no open connection of that id.
    pub fn close(
        &mut self,
        id: ConnectionId,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), SendError> {
        let index = self.find_open(id)?;
        let close = Close { code: Some(code), reason };
        let peer = &mut self.table[index];
        let outbound = &mut peer.outbound;
        self.turn.push(&mut peer.chain, false, |out| outbound.close(close, None, out))?;
        self.rest(index);
        self.touch(index);
        Ok(())
    }

    /// Answers a request that was left [pending](Verdict::Pending). Does nothing if its connection
    /// is gone.
    pub fn decide(&mut self, id: ConnectionId, verdict: Verdict<S>) {
        self.decisions.push((id, verdict));
    }

    /// Whether messages can be sent to this connection.
    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.peer(id).is_some_and(Peer::is_open)
    }

    /// The session of a connection, from its open to its close.
    pub fn session(&self, id: ConnectionId) -> Option<&S> {
        self.peer(id)?.session.as_ref()
    }

    /// The session of a connection, to change.
    pub fn session_mut(&mut self, id: ConnectionId) -> Option<&mut S> {
        let index = self.find(id)?;
        self.table[index].session.as_mut()
    }

    /// What a slow peer is owed from earlier turns: bytes, and what keeping them costs.
    pub fn backlog_bytes(&self, id: ConnectionId) -> usize {
        self.peer(id).map_or(0, Peer::backlog_bytes)
    }

    /// The address of a peer. Costs a system call.
    pub fn remote_addr(&self, id: ConnectionId) -> Option<SocketAddr> {
        self.peer(id)?.stream.remote_addr()
    }

    /// All connections, open or not yet, in no order.
    pub fn ids(&self) -> impl Iterator<Item = ConnectionId> {
        self.table.iter().map(|(index, peer)| id_of(index, peer.generation))
    }

    /// How many connections there are, open or not yet.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The time since the loop began.
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Milliseconds since 1970.
    pub fn unix_ms(&self) -> u64 {
        self.clock.unix_ms()
    }

    /// 64 bits that nobody can predict.
    pub fn random_u64(&mut self) -> u64 {
        self.random.next_u64()
    }

    fn peer(&self, id: ConnectionId) -> Option<&Peer<S, P::Stream>> {
        self.table.get(id.slot()).filter(|peer| peer.generation == id.generation)
    }

    /// The slot of a connection, if it is still the one that the id names.
    #[inline]
    pub(super) fn find(&self, id: ConnectionId) -> Option<usize> {
        self.peer(id).map(|_| id.slot())
    }

    #[inline]
    fn find_open(&self, id: ConnectionId) -> Result<usize, SendError> {
        let peer = self.peer(id).filter(|peer| peer.is_open());
        peer.map(|_| id.slot()).ok_or(SendError::Closed)
    }

    pub(super) fn id(&self, index: usize) -> ConnectionId {
        id_of(index, self.table[index].generation)
    }

    /// Takes a new stream in.
    pub(super) fn insert(&mut self, stream: P::Stream) -> ConnectionId {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let index = self.table.insert(Peer::new(stream, generation, 0));
        self.wait_for(index, Wait::Handshake);
        id_of(index, generation)
    }

    /// Sets the one deadline of a connection.
    pub(super) fn wait_for(&mut self, index: usize, wait: Wait) {
        let peer = &mut self.table[index];
        let ticks = match wait {
            Wait::Idle => self.waits.idle_ticks(peer.generation),
            Wait::Handshake | Wait::Pong | Wait::Write | Wait::Close => self.waits.ticks(wait),
        };
        let deadline = self.tick.saturating_add(ticks);
        self.next_due = self.next_due.min(deadline);
        peer.wait = wait;
        peer.deadline = deadline;
    }

    /// Sets the deadline of a connection that waits for nothing in particular.
    pub(super) fn rest(&mut self, index: usize) {
        let peer = &self.table[index];
        let wait = match peer.stage {
            _ if peer.backlog.is_some() => Wait::Write,
            Stage::Handshake => Wait::Handshake,
            Stage::Open if peer.outbound.is_open() => Wait::Idle,
            Stage::Open | Stage::Ending | Stage::Shut => Wait::Close,
        };
        self.wait_for(index, wait);
    }

    /// A connection has shown life: any traffic counts.
    #[inline]
    pub(super) fn heard(&mut self, index: usize) {
        let peer = &mut self.table[index];
        if matches!(peer.wait, Wait::Idle | Wait::Pong) {
            peer.wait = Wait::Idle;
            let idle = self.waits.idle_ticks(peer.generation);
            peer.deadline = self.tick.saturating_add(idle);
        }
    }

    /// Puts a connection on the list of those to write to, and writes if that is due already.
    #[inline]
    pub(super) fn touch(&mut self, index: usize) {
        self.mark(index);
        if self.turn.is_full() {
            self.flush();
        }
    }

    #[inline]
    fn mark(&mut self, index: usize) {
        let peer = &mut self.table[index];
        if !peer.dirty {
            peer.dirty = true;
            self.dirty.push(index as u32);
        }
    }

    /// What a peer is owed from this turn and earlier ones.
    pub(super) fn owed_bytes(&self, index: usize) -> usize {
        let peer = &self.table[index];
        self.turn.len(peer.chain) + peer.backlog_bytes()
    }

    /// Owes bytes that are no message: HTTP.
    pub(super) fn write(&mut self, index: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        self.turn.push(&mut self.table[index].chain, false, encode);
        self.touch(index);
    }

    /// Answers a ping. Past the high mark one pong is owed, the newest (RFC 6455 section 5.5.3).
    pub(super) fn pong(&mut self, index: usize, payload: &[u8]) {
        let peer = &mut self.table[index];
        match &mut peer.backlog {
            Some(backlog) if backlog.charge() >= self.config.backlog_high_bytes => {
                backlog.owe_pong(payload);
            }
            Some(_) | None => {
                let outbound = peer.outbound;
                let chain = &mut peer.chain;
                // After the peer's Close none is wanted.
                let _ = self.turn.push(chain, false, |out| outbound.pong(payload, None, out));
                self.touch(index);
            }
        }
    }

    /// Takes the peer's Close and answers it.
    pub(super) fn receive_close(&mut self, index: usize, close: Close<'_>) {
        let peer = &mut self.table[index];
        let outbound = &mut peer.outbound;
        self.turn.push(&mut peer.chain, false, |out| outbound.receive_close(close, None, out));
        self.end(index);
    }

    /// Fails the connection (RFC 6455 section 7.1.7).
    pub(super) fn fail(&mut self, index: usize, error: ProtocolError) {
        let peer = &mut self.table[index];
        let outbound = &mut peer.outbound;
        self.turn.push(&mut peer.chain, false, |out| outbound.fail(error, None, out));
        self.end(index);
    }

    /// Gives up on a peer that does not answer, and says so in case it still reads.
    pub(super) fn fail_silent(&mut self, index: usize) {
        let peer = &mut self.table[index];
        let outbound = &mut peer.outbound;
        let code = CloseCode::POLICY_VIOLATION;
        self.turn.push(&mut peer.chain, false, |out| {
            outbound.fail_with(code, "no answer to a ping", None, out);
        });
        self.end(index);
    }

    /// Lets a connection end once everything that it is owed is written.
    pub(super) fn end(&mut self, index: usize) {
        self.table[index].stage = Stage::Ending;
        self.rest(index);
        self.touch(index);
    }

    /// The slot of an open connection that may be owed one more message.
    #[inline]
    fn admit(&mut self, id: ConnectionId) -> Result<usize, SendError> {
        let index = self.find_open(id)?;
        if self.table[index].backlog_bytes() < self.config.backlog_bytes_max {
            return Ok(index);
        }
        self.apply_policy(index)
    }

    #[cold]
    fn apply_policy(&mut self, index: usize) -> Result<usize, SendError> {
        let max = self.config.backlog_bytes_max;
        let id = self.id(index);
        let peer = &mut self.table[index];
        let Some(backlog) = &mut peer.backlog else { return Ok(index) };
        match self.config.backlog_policy {
            BacklogPolicy::DropNewest => Err(SendError::Backlogged),
            BacklogPolicy::DropOldest => {
                backlog.drop_oldest(max);
                let has_room = backlog.charge() < max;
                if has_room { Ok(index) } else { Err(SendError::Backlogged) }
            }
            BacklogPolicy::Close => {
                backlog.drop_all();
                peer.chain = Chain::EMPTY;
                let outbound = &mut peer.outbound;
                let code = CloseCode::POLICY_VIOLATION;
                self.turn.push(&mut peer.chain, false, |out| {
                    outbound.fail_with(code, "reads too slowly", None, out);
                });
                self.end(index);
                self.given_out.push((id, CloseReason::Backlogged));
                Err(SendError::Backlogged)
            }
        }
    }

    /// The frame as this peer's class wants it, if something is gained.
    fn twin(
        &mut self,
        twins: &mut Twins,
        index: usize,
        frame: &SharedFrame,
    ) -> Option<SharedFrame> {
        let direction = self.table[index].direction;
        if !self.deflaters.wants(direction, frame.payload().len()) {
            return None;
        }
        self.deflaters.twin(twins, index, direction, frame)
    }

    /// Sends a message compressed, if something is gained.
    fn send_deflated(&mut self, index: usize, message: Message<'_>) -> Result<bool, SendError> {
        let peer = &mut self.table[index];
        let deflated = self.deflaters.deflate(index, peer.direction, message.payload);
        let Some(payload) = deflated else { return Ok(false) };
        let (outbound, message) = (peer.outbound, Message { payload, ..message });
        self.turn.push(&mut peer.chain, true, |out| outbound.send_deflated(message, None, out))?;
        self.touch(index);
        Ok(true)
    }

    /// Sends a message without copying it: what is pending, the header and the payload go out in
    /// one system call, and only what the socket does not take is kept.
    fn send_large(&mut self, id: ConnectionId, message: Message<'_>) -> Result<(), SendError> {
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
        let peer = &mut self.table[index];
        if let Some(backlog) = &mut peer.backlog {
            backlog.push_frame(frame, 0);
        } else {
            let written = match peer.stream.write_vectored(&frame.map(IoSlice::new)) {
                Ok(written) => written,
                Err(error) if is_temporary(&error) => 0,
                Err(_) => {
                    self.given_out.push((id, CloseReason::Lost));
                    return Err(SendError::Closed);
                }
            };
            if written < header_len + message.payload.len() {
                peer.backlog = Some(Box::new(Backlog::new()));
                if let Some(backlog) = &mut peer.backlog {
                    backlog.push_frame(frame, written);
                }
                self.wait_for(index, Wait::Write);
            }
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
            match write_chain(&mut peer.stream, &self.turn, &mut chain) {
                Ok(n) => written = n,
                Err(_) => {
                    let id = self.id(index);
                    return self.given_out.push((id, CloseReason::Lost));
                }
            }
        }
        if chain.is_empty() {
            return;
        }
        let backlog = peer.backlog.get_or_insert_with(|| Box::new(Backlog::new()));
        for (owed, droppable) in self.turn.owed(chain) {
            let len = owed.bytes().len();
            if written >= len {
                written -= len;
                continue;
            }
            match owed {
                Owed::Bytes(bytes) => backlog.push_bytes(bytes, written, droppable),
                Owed::Shared(frame) => backlog.push_shared(frame, written),
            }
            written = 0;
        }
        if peer.wait != Wait::Write {
            self.wait_for(index, Wait::Write);
        }
    }

    /// Draws the conclusions from what a peer is still owed.
    fn settle(&mut self, index: usize) {
        let id = self.id(index);
        let peer = &mut self.table[index];
        match &peer.backlog {
            Some(backlog) => peer.paused |= backlog.charge() >= self.config.backlog_high_bytes,
            None if matches!(peer.stage, Stage::Ending) => self.written.push(id),
            None => {}
        }
    }

    /// The socket of a slow peer has room again.
    pub(super) fn drain_backlog(&mut self, index: usize) {
        let id = self.id(index);
        let peer = &mut self.table[index];
        let Some(backlog) = &mut peer.backlog else { return };
        match write_backlog(&mut peer.stream, backlog) {
            Ok(0) => return,
            Ok(_) => {}
            Err(_) => return self.given_out.push((id, CloseReason::Lost)),
        }
        let is_empty = backlog.is_empty();
        let mut pong = None;
        if backlog.charge() <= self.config.backlog_low_bytes {
            pong = backlog.take_pong();
            if std::mem::take(&mut peer.paused) {
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

const fn id_of(index: usize, generation: u32) -> ConnectionId {
    ConnectionId { index: index as u32, generation }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Writes the front of a chain, as much as the socket takes. Leaves in `chain` what was not written
/// whole, and says how many bytes of that were.
fn write_chain<T: Stream>(stream: &mut T, turn: &Turn, chain: &mut Chain) -> io::Result<usize> {
    while !chain.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let (count, len, rest) = turn.gather(*chain, &mut slices);
        let written = match (count, &slices) {
            (1, [only, ..]) => stream.write(only),
            _ => stream.write_vectored(&slices[..count]),
        };
        match written {
            Ok(n) if n == len => *chain = rest,
            Ok(n) => return Ok(n), // the socket is full: it will say when it is not
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        }
    }
    Ok(0)
}

/// Writes a backlog until the socket is full. Says how many bytes it took.
fn write_backlog<T: Stream>(stream: &mut T, backlog: &mut Backlog) -> io::Result<usize> {
    let mut total = 0;
    while !backlog.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = backlog.gather(&mut slices);
        match stream.write_vectored(&slices[..count]) {
            Ok(0) => break,
            Ok(n) => {
                backlog.advance(n);
                total += n;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}
