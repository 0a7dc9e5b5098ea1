//! The loop: one thread, one epoll, one handler.
//!
//! Owns the order of a turn. Never decides what bytes mean: that is for [`reading`](super::reading)
//! and [`exchange`](super::exchange).

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::accept::Accepting;
use super::deadline::{Wait, end_of_tick, tick};
use super::dial::DialError;
use super::draining::Draining;
use super::mailbox::Wish;
use super::peer::Stage;
use super::peers::TABLE_START;
use super::pulse::Pulse;
use super::reading::{Reading, close_session};
use super::{
    Clock, CloseReason, Config, ConnectionId, Handler, Mailbox, Peers, Platform, Poll, Ready,
    Source, Stream, Timeout,
};
use crate::frame::CloseCode;
use crate::proto::{Settings, Spare};

/// The smallest receive buffer, in bytes.
const RECEIVE_BYTES_MIN: usize = 4 << 10;

/// What is kept of the buffers of messages for others, in bytes.
const SPARE_BYTES_MAX: usize = 16 << 20;

/// How often the handler's tick comes.
const HANDLER_TICK: Duration = Duration::from_secs(1);

/// A loop. [`Server`](super::Server) makes one for each thread; a test can make its own, of its
/// own world, and [turn](Self::turn) it by hand.
pub struct EventLoop<H: Handler<P>, P: Platform> {
    pub(super) handler: H,
    pub(super) peers: Peers<H::Session, P>,
    /// The read halves, with the index of the write halves.
    pub(super) readings: Vec<Reading>,
    pub(super) poll: P::Poll,
    pub(super) settings: Settings,
    /// What every read goes to, unless it goes to a large message.
    pub(super) buffer: Box<[u8]>,
    pub(super) spare: Spare,
    /// What requests take that have come in part, in bytes.
    pub(super) partial_requests: Arc<AtomicUsize>,
    pub(super) again: Vec<ConnectionId>,
    pub(super) accepting: Accepting,
    /// The time of this turn.
    pub(super) now: Duration,
    /// Whether nothing is accepted for now.
    pub(super) is_held: bool,
    /// Whether nothing is read for now.
    pub(super) is_frozen: bool,
    pub(super) mailbox: Mailbox<H::Mail>,
    mail: Vec<H::Mail>,
    ready: Vec<Ready>,
    next_handler_tick: Duration,
    /// Whether the last tick found no connection, and none has come since.
    is_at_rest: bool,
    pub(super) draining: Option<Draining>,
    pub(super) pulse: Option<Pulse>,
}

impl<H: Handler<P>, P: Platform> EventLoop<H, P> {
    /// A loop that has not turned yet.
    pub fn new(
        config: Config,
        handler: H,
        mailbox: Mailbox<H::Mail>,
        poll: P::Poll,
        clock: P::Clock,
        random: P::Random,
    ) -> Self {
        Self {
            handler,
            readings: Vec::with_capacity(TABLE_START),
            accepting: Accepting::new(poll.listeners()),
            poll,
            settings: config.settings.clone(),
            buffer: vec![0; config.receive_buffer_bytes.max(RECEIVE_BYTES_MIN)].into(),
            spare: Spare::new(SPARE_BYTES_MAX.min(config.partial_bytes_max)),
            partial_requests: Arc::default(),
            again: Vec::new(),
            now: clock.now(),
            peers: Peers::new(config, clock, random),
            is_held: false,
            is_frozen: false,
            mailbox,
            mail: Vec::new(),
            ready: Vec::new(),
            next_handler_tick: Duration::ZERO,
            is_at_rest: true,
            draining: None,
            pulse: None,
        }
    }

    /// Turns until a stop was asked for and every peer has gone, or has had its time.
    ///
    /// # Errors
    /// What epoll says when it cannot wait.
    pub fn run(mut self) -> io::Result<()> {
        while !self.is_stopped() {
            self.turn()?;
        }
        self.close_all();
        Ok(())
    }

    /// One turn: waits, takes what is ready, and writes what that brought about.
    ///
    /// # Errors
    /// What epoll says when it cannot wait.
    pub fn turn(&mut self) -> io::Result<()> {
        let timeout = self.timeout();
        self.poll.wait(&mut self.ready, timeout)?;
        let now = self.peers.clock.now();
        if !self.again.is_empty() {
            self.peers.stats.turned(now.saturating_sub(self.now)); // it did not sleep
        }
        self.now = now;
        self.peers.tick = tick(self.now);
        let again = std::mem::take(&mut self.again);
        let ready = std::mem::take(&mut self.ready);
        for ready in &ready {
            self.take_ready(ready);
        }
        self.ready = ready;
        for id in &again {
            self.read_if_again(*id);
        }
        if self.again.is_empty() {
            self.again = again; // its room is used anew
            self.again.clear();
        }
        self.accept();
        self.take_mail();
        #[cfg(all(unix, feature = "hub"))]
        self.hand_over();
        self.drain();
        self.wake();
        self.expire();
        self.settle();
        if let Some(pulse) = &mut self.pulse {
            pulse.beat(self.now);
        }
        Ok(())
    }

    /// The handler.
    pub const fn handler(&self) -> &H {
        &self.handler
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.peers.len()
    }

    /// How long nothing will have to be done unless something becomes ready; `None` is forever.
    fn timeout(&mut self) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let mut next = self.accepting.next().filter(|_| !self.is_held);
        let mut at = |time: Duration| next = Some(next.map_or(time, |next| next.min(time)));
        let has_work = self.handler.has_work() || self.spare.bytes() > 0;
        if has_work || !self.peers.is_empty() || !self.is_at_rest {
            at(self.next_handler_tick);
        }
        if !self.peers.is_empty() {
            at(end_of_tick(self.peers.next_due));
        }
        let pulse_due = self.pulse.as_ref().map(Pulse::due);
        self.drain_due().into_iter().chain(pulse_due).for_each(&mut at);
        let now = self.peers.clock.now();
        self.peers.stats.turned(now.saturating_sub(self.now));
        let timeout = next.map(|next| next.saturating_sub(now));
        let Some(wake_at) = self.peers.wake_at else { return timeout };
        // epoll counts in milliseconds and wakes late: the last one is not slept through.
        let sleep = Duration::from_millis(wake_at.saturating_sub(now).as_millis() as u64);
        Some(timeout.map_or(sleep, |timeout| timeout.min(sleep)))
    }

    /// Wakes the handler, if it asked for that.
    fn wake(&mut self) {
        if self.peers.wake_at.is_some_and(|at| at <= self.now) {
            self.peers.wake_at = None;
            self.handler.wake(&mut self.peers);
        }
    }

    fn take_ready(&mut self, ready: &Ready) {
        let id = match ready.source {
            Source::Listener(listener) => return self.accepting.ready(listener),
            Source::Mailbox => return, // looked into each turn
            Source::Connection(id) => id,
        };
        let Some(index) = self.peers.find(id) else { return }; // a stale event
        if ready.writable {
            if !ready.error {
                self.send_request(index);
            }
            self.peers.drain_backlog(index);
        }
        if ready.readable || ready.read_closed || ready.error {
            let peer = &mut self.peers.table[index];
            peer.unread = !peer.ended;
            peer.read_closed |= ready.read_closed;
            if ready.error && peer.paused {
                // It is not read from, so a read cannot find this out.
                self.peers.given_out.push((id, CloseReason::Lost));
            }
            self.read(id);
        }
    }

    fn read_if_again(&mut self, id: ConnectionId) {
        let Some(index) = self.peers.find(id) else { return };
        if std::mem::take(&mut self.peers.table[index].again) {
            self.read(id);
        }
    }

    fn take_mail(&mut self) {
        if let Some(wish) = self.mailbox.wish()
            && !self.is_stopping()
            && !self.is_frozen
        {
            self.begin_stop(wish == Wish::GiveWay);
        }
        let mut mail = std::mem::take(&mut self.mail);
        self.mailbox.take(&mut mail);
        #[cfg(all(unix, feature = "hub"))]
        let count = mail.len();
        for piece in mail.drain(..) {
            self.handler.mail(&mut self.peers, piece);
        }
        #[cfg(all(unix, feature = "hub"))]
        self.mailbox.signal().handing.count_dealt_with(count);
        self.mail = mail;
    }

    /// Looks for deadlines that are over: one cheap pass, only when one can be.
    fn expire(&mut self) {
        if self.now >= self.next_handler_tick {
            self.next_handler_tick = self.now + HANDLER_TICK;
            self.measure_memory();
            self.handler.tick(&mut self.peers);
            self.peers.turn.trim();
            self.peers.stats.lag = Duration::ZERO;
            self.peers.say_left_out();
            self.is_at_rest = self.peers.is_empty();
            self.spare.trim();
            self.peers.deflaters.trim();
        }
        let tick = self.peers.tick;
        if tick <= self.peers.next_due {
            return; // due when the tick is over
        }
        let mut next_due = u32::MAX;
        let mut due = Vec::new();
        for (index, peer) in &self.peers.table {
            if peer.deadline < tick {
                due.push(index);
            } else {
                next_due = next_due.min(peer.deadline);
            }
        }
        self.peers.next_due = next_due;
        for index in due {
            // What was done about one may have given another more time, or ended it.
            if self.peers.table.get(index).is_some_and(|peer| peer.deadline < tick) {
                self.expire_one(index);
            }
        }
    }

    /// The time for what this connection was waited for is over.
    fn expire_one(&mut self, index: usize) {
        let id = self.peers.id(index);
        match self.peers.table[index].wait {
            Wait::Handshake => self.expire_request(index),
            Wait::Idle => {
                self.peers.wait_for(index, Wait::Pong);
                let payload = self.peers.round_trip.payload(self.peers.clock.now());
                let _ = self.peers.ping(id, &payload); // closing: the pass that follows ends it
            }
            Wait::Pong => {
                let reason = CloseReason::Timeout(Timeout::Pong);
                close_session(&mut self.handler, &mut self.peers, id, reason);
                self.readings[index].release(&mut self.spare);
                self.peers.fail_with(index, CloseCode::POLICY_VIOLATION, "no answer to a ping");
            }
            Wait::Write => {
                // epoll tells of room only when a third of the socket's buffer is free.
                self.peers.drain_backlog(index);
                if self.peers.table[index].deadline < self.peers.tick {
                    self.lose(id, CloseReason::Timeout(Timeout::Write));
                }
            }
            Wait::Close => self.lose(id, CloseReason::Timeout(Timeout::Close)),
        }
    }

    /// Writes what is owed and draws the conclusions, until there are none.
    pub(super) fn settle(&mut self) {
        loop {
            self.peers.flush();
            while let Some((id, reason)) = self.peers.given_out.pop() {
                self.give_up(id, reason);
            }
            while let Some(id) = self.peers.written.pop() {
                self.finish(id);
            }
            while let Some(id) = self.peers.resumed.pop() {
                self.resume(id);
            }
            self.lift_limits();
            while let Some(dial) = self.peers.dials.pop() {
                self.dial(dial);
            }
            while let Some((id, verdict)) = self.peers.decisions.pop() {
                if let Some(index) = self.peers.find(id) {
                    self.decide(index, verdict);
                }
            }
            let Peers { given_out, written, dials, .. } = &self.peers;
            let quiet = given_out.is_empty() && written.is_empty() && dials.is_empty();
            if quiet && !self.peers.is_dirty() {
                return;
            }
        }
    }

    fn give_up(&mut self, id: ConnectionId, reason: CloseReason<'static>) {
        if matches!(reason, CloseReason::Backlogged | CloseReason::Overloaded) {
            // Its Close is still to be written.
            if let Some(index) = self.peers.find(id) {
                self.readings[index].release(&mut self.spare);
                self.peers.table[index].paused = false;
                self.read_again(index);
            }
            close_session(&mut self.handler, &mut self.peers, id, reason);
        } else {
            self.lose(id, reason);
        }
    }

    /// The connection is gone, or is given up.
    pub(super) fn lose(&mut self, id: ConnectionId, reason: CloseReason<'_>) {
        if let Some(index) = self.peers.find(id).filter(|index| self.is_dialled(*index)) {
            let fault = self.peers.table[index].stream.take_fault();
            return self.refuse_dial(index, fault.map_or(DialError::Lost, DialError::Io));
        }
        close_session(&mut self.handler, &mut self.peers, id, reason);
        if let Some(index) = self.peers.find(id) {
            self.remove(index);
        }
    }

    /// All is written to a connection that ends: closes our end of TCP first (RFC 6455 section
    /// 7.1.1), and waits for the peer's.
    fn finish(&mut self, id: ConnectionId) {
        let Some(index) = self.peers.find(id) else { return };
        let peer = &mut self.peers.table[index];
        if peer.stage != Stage::Ending {
            return;
        }
        let has_ended = peer.ended;
        // The end of TLS is said to who has said it.
        let is_over = has_ended && !peer.stream.is_secure();
        if is_over || peer.stream.shutdown().is_err() || has_ended {
            return self.remove(index);
        }
        peer.paused = false;
        self.peers.enter(index, Stage::Shut);
        self.readings[index].release(&mut self.spare);
        self.peers.rest(index);
        self.read_again(index);
    }

    fn resume(&mut self, id: ConnectionId) {
        let Some(index) = self.peers.find(id) else { return };
        self.read_again(index);
        if self.peers.is_open(id) {
            self.handler.drain(&mut self.peers, id);
        }
    }

    /// Makes the read half of a new connection.
    pub(super) fn make_room(&mut self, id: ConnectionId) {
        self.is_at_rest = false;
        if id.slot() == self.readings.len() {
            self.readings.push(Reading::START);
        } else {
            self.readings[id.slot()] = Reading::START;
        }
    }

    pub(super) fn remove(&mut self, index: usize) {
        self.readings[index].release(&mut self.spare);
        self.peers.remove(index);
        self.accepting.resume();
    }

    /// The loop ends with connections that did not leave in time.
    fn close_all(&mut self) {
        let ids: Vec<_> = self.peers.ids().collect();
        for id in ids {
            self.lose(id, CloseReason::Timeout(Timeout::Close));
        }
    }
}
