//! The peers of a loop: everything that can be written to.
//!
//! Owns the table of write halves, the turn's arena and the list of who is owed something. Never
//! reads, never calls the handler.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use slab::Slab;

use super::deadline::{Wait, Waits};
use super::deflaters::{CLASSES, Deflaters, Twins, class};
use super::peer::{Peer, Stage};
use super::proxied::Proxied;
use super::round_trip::RoundTrip;
use super::said::Said;
use super::turn::{Tag, Turn};
use super::{
    BacklogPolicy, Clock, Close, CloseReason, Config, ConnectionId, Dial, Message, Os, Platform,
    Random, SendError, SharedFrame, Stats, Stream, Verdict,
};
use crate::frame::CloseCode;
use crate::proto::{ProtocolError, Role};

/// A payload from this length on, in bytes, is not copied into the arena: it goes out at once,
/// together with what is pending. `docs/performance.md` has the measurement.
const DIRECT_FROM: usize = 8 << 10;

/// How many connections the tables have room for from the start: enough that the allocator maps
/// them as pages of their own, which cost nothing until they are used and move without a copy.
pub(super) const TABLE_START: usize = 4096;

/// All connections of a loop, to be written to: a handler has it while it borrows a message.
///
/// What is sent leaves at the end of the turn, with one system call a peer.
#[derive(Debug)]
pub struct Peers<S, P: Platform = Os> {
    pub(super) table: Slab<Peer<S, P::Stream>>,
    pub(super) config: Config,
    pub(super) clock: P::Clock,
    pub(super) random: P::Random,
    waits: Waits,
    pub(super) deflaters: Deflaters,
    pub(super) turn: Turn,
    pub(super) dirty: Vec<u32>,
    /// Connections whose transport or backlog gave out while they were written to.
    pub(super) given_out: Vec<(ConnectionId, CloseReason<'static>)>,
    /// Connections that have caught up.
    pub(super) resumed: Vec<ConnectionId>,
    /// Connections that have said all they had to.
    pub(super) written: Vec<ConnectionId>,
    pub(super) decisions: Vec<(ConnectionId, Verdict<S>)>,
    pub(super) dials: Vec<Dial<S>>,
    /// Connections whose limit is to be lifted.
    pub(super) lifted: Vec<ConnectionId>,
    /// Who connections are from, where a proxy has said so.
    pub(super) proxied: Proxied,
    /// The tick that this turn is in.
    pub(super) tick: u32,
    /// No deadline is due before this tick.
    pub(super) next_due: u32,
    /// When the handler wants to be woken.
    pub(super) wake_at: Option<Duration>,
    next_generation: u32,
    /// How often the arena was full before its turn ended.
    pub(super) flushes: u32,
    pub(super) stats: Stats,
    pub(super) said: Said,
    /// What the policy may do with messages that were sent under no other.
    pub(super) tag: Tag,
    /// How many messages were dropped of each peer since it was last told.
    pub(super) dropped: HashMap<ConnectionId, u64>,
    pub(super) round_trip: RoundTrip,
}

impl<S, P: Platform> Peers<S, P> {
    pub(super) fn new(mut config: Config, clock: P::Clock, mut random: P::Random) -> Self {
        // Who is refused a message is past the high mark, so that its catching up is told.
        config.backlog_high_bytes = config.backlog_high_bytes.min(config.backlog_bytes_max);
        config.backlog_low_bytes = config.backlog_low_bytes.min(config.backlog_high_bytes);
        Self {
            table: Slab::with_capacity(TABLE_START),
            waits: Waits::new(&config),
            tag: Tag::of(config.backlog_policy),
            round_trip: RoundTrip::new(random.next_u64(), config.pong_timeout),
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
            dials: Vec::new(),
            lifted: Vec::new(),
            proxied: Proxied::default(),
            tick: 0,
            next_due: u32::MAX,
            wake_at: None,
            next_generation: 0,
            flushes: 0,
            stats: Stats::default(),
            said: Said::default(),
            dropped: HashMap::new(),
        }
    }

    /// Sends a message: compressed where that was agreed and something is gained.
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
        self.send_admitted(index, message)
    }

    /// Sends a message as it is, whatever was agreed: one that is compressed already, or that holds
    /// a secret beside text that an attacker chose.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_uncompressed(
        &mut self,
        id: ConnectionId,
        message: Message<'_>,
    ) -> Result<(), SendError> {
        let index = self.admit(id)?;
        self.send_admitted(index, message)
    }

    #[inline]
    fn send_admitted(&mut self, index: usize, message: Message<'_>) -> Result<(), SendError> {
        let mask = self.mask();
        if message.payload.len() >= DIRECT_FROM && mask.is_none() {
            return self.send_large(self.id(index), message);
        }
        let peer = &mut self.table[index];
        let outbound = peer.outbound;
        self.turn.push(&mut peer.chain, self.tag, |out| outbound.send(message, mask, out))?;
        self.stats.messages_out += 1;
        if !peer.dirty {
            peer.dirty = true;
            self.dirty.push(index as u32);
        }
        self.flush_if_full();
        Ok(())
    }

    /// Sends a frame that was encoded once for many.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_shared(&mut self, id: ConnectionId, frame: &SharedFrame) -> Result<(), SendError> {
        match self.fan_out([id], frame, self.config.backlog_policy) {
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
        self.broadcast_under(self.config.backlog_policy, ids, frame)
    }

    /// The same, with a policy of its own for those who read too slowly.
    pub fn broadcast_under(
        &mut self,
        policy: BacklogPolicy,
        ids: impl IntoIterator<Item = ConnectionId>,
        frame: &SharedFrame,
    ) -> usize {
        let taken = self.fan_out(ids, frame, policy);
        self.stats.broadcasts += u64::from(taken > 0);
        taken
    }

    fn fan_out(
        &mut self,
        ids: impl IntoIterator<Item = ConnectionId>,
        frame: &SharedFrame,
        policy: BacklogPolicy,
    ) -> usize {
        if self.is_client() {
            // A client's frames are masked each with a key of its own (RFC 6455 section 5.3).
            let message = Message { kind: frame.kind(), payload: frame.payload() };
            return ids.into_iter().filter(|id| self.send(*id, message).is_ok()).count();
        }
        let mut staged = [None; 1 + CLASSES]; // as it is, and deflated for each class, once wanted
        let mut twins = Twins::default();
        let mut tag = self.tag_of(policy, frame);
        let mut taken = 0;
        for id in ids {
            if self.turn.is_full() {
                self.flushes = self.flushes.wrapping_add(1);
                self.flush(); // what was staged is gone with the turn's arena
                staged = [None; 1 + CLASSES];
                tag = self.tag_of(policy, frame);
            }
            let Ok(peer) = self.admit_under(id, policy) else { continue };
            let twin = self.twin(&mut twins, peer, frame);
            let form = twin.as_ref().map_or(0, |_| 1 + class(self.table[peer].direction));
            let stage = || self.turn.stage(twin.as_ref().unwrap_or(frame));
            let staged = *staged[form].get_or_insert_with(stage);
            self.turn.push_staged(&mut self.table[peer].chain, staged, tag);
            self.mark(peer);
            taken += 1;
        }
        self.stats.messages_out += taken as u64;
        taken
    }

    /// Sends a ping of at most 125 bytes (RFC 6455 section 5.5.2).
    ///
    /// # Errors
    /// [`SendError::Closed`] where there is no open connection of that id.
    pub fn ping(&mut self, id: ConnectionId, payload: &[u8]) -> Result<(), SendError> {
        let peer = self.find_open(id)?;
        let mask = self.mask();
        let outbound = self.table[peer].outbound;
        let chain = &mut self.table[peer].chain;
        self.turn.push(chain, Tag::FIXED, |out| outbound.ping(payload, mask, out))?;
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
        let (close, mask) = (Close { code: Some(code), reason }, self.mask());
        let peer = &mut self.table[index];
        let outbound = &mut peer.outbound;
        self.turn.push(&mut peer.chain, Tag::FIXED, |out| outbound.close(close, mask, out))?;
        self.rest(index);
        self.touch(index);
        Ok(())
    }

    /// Opens a connection to a server, on a loop in the client's role
    /// ([`Settings::role`](crate::proto::Settings::role)). [`Handler::open`] follows, or
    /// [`Handler::refused`].
    ///
    /// [`Handler::open`]: super::Handler::open
    /// [`Handler::refused`]: super::Handler::refused
    pub fn connect(&mut self, dial: Dial<S>) {
        self.dials.push(dial);
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

    /// The address of a peer: as the PROXY header says, where there is one, else as TCP does, which
    /// costs a system call.
    pub fn remote_addr(&self, id: ConnectionId) -> Option<SocketAddr> {
        let peer = self.peer(id)?;
        self.proxied.find(id).or_else(|| peer.stream.remote_addr())
    }

    /// Has messages compressed where that was agreed, or sent as they are, which takes less of the
    /// processor and more of the network. Default: compressed.
    pub fn compress(&mut self, on: bool) {
        self.deflaters.set_on(on);
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

    /// Has [`Handler::wake`] called once, at this time of the [loop's clock](Self::now) or as soon
    /// after it as the loop can; of several times the earliest holds. The last millisecond is spent
    /// without sleeping, so that the moment is exact.
    ///
    /// [`Handler::wake`]: super::Handler::wake
    pub fn wake_at(&mut self, time: Duration) {
        self.wake_at = Some(self.wake_at.map_or(time, |at| at.min(time)));
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

    /// What the loop has done so far.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    fn is_client(&self) -> bool {
        self.config.settings.role == Role::Client
    }

    /// A fresh key for a client's frame, nothing for a server's (RFC 6455 section 5.1).
    #[inline]
    pub(super) fn mask(&mut self) -> Option<[u8; 4]> {
        self.is_client().then(|| (self.random.next_u64() as u32).to_ne_bytes())
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
    pub(super) fn find_open(&self, id: ConnectionId) -> Result<usize, SendError> {
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
        self.stats.accepted += 1;
        self.stats.enter(Stage::Handshake);
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
        match peer.wait {
            Wait::Pong => self.wait_for(index, Wait::Idle), // which may be over sooner
            Wait::Idle => {
                let idle = self.waits.idle_ticks(peer.generation);
                peer.deadline = self.tick.saturating_add(idle);
            }
            Wait::Handshake | Wait::Write | Wait::Close => {}
        }
    }

    /// Puts a connection on the list of those to write to, and writes if that is due already.
    #[inline]
    pub(super) fn touch(&mut self, index: usize) {
        self.mark(index);
        self.flush_if_full();
    }

    #[inline]
    fn flush_if_full(&mut self) {
        if self.turn.is_full() {
            self.flushes = self.flushes.wrapping_add(1);
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
        self.turn.push(&mut self.table[index].chain, Tag::FIXED, encode);
        self.touch(index);
    }

    /// Takes the answer to a ping.
    pub(super) fn take_round_trip(&mut self, payload: &[u8]) {
        if let Some(time) = self.round_trip.measure(payload, self.clock.now()) {
            self.stats.rtt.observe(time, 1);
        }
    }

    /// What the tables take, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        const LINK: usize = size_of::<usize>(); // of the slab
        self.table.capacity() * (size_of::<Peer<S, P::Stream>>() + LINK)
    }

    /// Answers a ping. Past the high mark one pong is owed, the newest (RFC 6455 section 5.5.3).
    pub(super) fn pong(&mut self, index: usize, payload: &[u8]) {
        let mask = self.mask();
        let peer = &mut self.table[index];
        match &mut peer.backlog {
            // One that is owed already is for an older ping: the newest takes its place.
            Some(backlog)
                if backlog.pong().is_some()
                    || backlog.charge() >= self.config.backlog_high_bytes =>
            {
                backlog.owe_pong(payload);
            }
            Some(_) | None => {
                let outbound = peer.outbound;
                let chain = &mut peer.chain;
                // After the peer's Close none is wanted.
                let _ = self.turn.push(chain, Tag::FIXED, |out| outbound.pong(payload, mask, out));
                self.touch(index);
            }
        }
    }

    /// Takes the peer's Close and answers it.
    pub(super) fn receive_close(&mut self, index: usize, close: Close<'_>) {
        let mask = self.mask();
        let peer = &mut self.table[index];
        let outbound = &mut peer.outbound;
        self.turn.push(&mut peer.chain, Tag::FIXED, |out| {
            outbound.receive_close(close, mask, out);
        });
        self.end(index);
    }

    /// Fails the connection (RFC 6455 section 7.1.7).
    pub(super) fn fail(&mut self, index: usize, error: ProtocolError) {
        let mask = self.mask();
        let peer = &mut self.table[index];
        let outbound = &mut peer.outbound;
        self.turn.push(&mut peer.chain, Tag::FIXED, |out| outbound.fail(error, mask, out));
        self.end(index);
    }

    /// Gives up on a peer, and says so in case it still reads.
    pub(super) fn fail_with(&mut self, index: usize, code: CloseCode, reason: &str) {
        let mask = self.mask();
        let peer = &mut self.table[index];
        let outbound = &mut peer.outbound;
        self.turn.push(&mut peer.chain, Tag::FIXED, |out| {
            outbound.fail_with(code, reason, mask, out);
        });
        self.end(index);
    }

    /// Lets a connection end once everything that it is owed is written.
    pub(super) fn end(&mut self, index: usize) {
        self.enter(index, Stage::Ending);
        self.rest(index);
        self.mark(index); // no flush: who broadcasts has frames staged in the arena
    }

    /// A connection has come on.
    pub(super) fn enter(&mut self, index: usize, stage: Stage) {
        self.stats.leave(std::mem::replace(&mut self.table[index].stage, stage));
        self.stats.enter(stage);
    }

    /// Takes a connection out of the table.
    pub(super) fn remove(&mut self, index: usize) {
        if !self.dropped.is_empty() {
            self.dropped.remove(&self.id(index));
        }
        let peer = self.table.remove(index);
        self.stats.leave(peer.stage);
        self.stats.backlog(peer.backlog_bytes(), 0);
        if peer.direction.is_counted() {
            self.deflaters.forget(index);
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
        let mask = self.mask();
        let peer = &mut self.table[index];
        let deflated = self.deflaters.deflate(index, peer.direction, message.payload);
        let Some(payload) = deflated else { return Ok(false) };
        let (outbound, message) = (peer.outbound, Message { payload, ..message });
        // Its context holds what it has sent: the next message refers to this one.
        let tag = if peer.direction.keeps_context() { Tag::FIXED } else { self.tag };
        self.turn.push(&mut peer.chain, tag, |out| outbound.send_deflated(message, mask, out))?;
        self.stats.messages_out += 1;
        self.touch(index);
        Ok(true)
    }
}

const fn id_of(index: usize, generation: u32) -> ConnectionId {
    ConnectionId { index: index as u32, generation }
}
