//! Connections that move to another process, with all that is known of them.
//!
//! Owns the steps of a loop that hands over, and of one that takes over. Nothing is given up before
//! the other process has said that it has everything: until then all can go on where it was. Never
//! knows how what is handed over gets there.
//!
//! ```text
//!   handing over: runs ──freeze──► reads and accepts nothing ──export──► waits ──► gives way
//!                   ▲                                                      │ not taken
//!                   └──────────────────────────────────────────────────────┘
//!   taking over:  holds: accepts nothing ──begin──► takes what was handed over
//!                ──all loops have──► runs
//! ```

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prost::Message as _;

use super::deadline::tick;
use super::image::Image;
use super::mailbox::Signal;
use super::peer::Stage;
use super::reading::{Reading, close_session};
use super::{Clock, CloseReason, ConnectionId, EventLoop, Handler, Platform, Poll, Stream};
use crate::frame::CloseCode;

/// A connection of which more would have to be written down, in bytes, stays where it is.
const IMAGE_BYTES_MAX: usize = 16 << 20;

/// How long a loop may take to hand over.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a loop that is frozen is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// A piece of what is handed over.
#[derive(Debug)]
pub enum Piece {
    /// Something that the handler knows: for every loop.
    State(Arc<[u8]>),
    /// A connection: its socket, and what is known of it.
    Connection {
        /// A handle on the socket.
        socket: OwnedFd,
        /// What is known of it.
        image: Vec<u8>,
    },
}

type Sink = Box<dyn FnMut(Piece) -> io::Result<()> + Send>;

/// What a loop is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Step {
    Run,
    Hold,
    Freeze,
    Export,
    Import,
    Go,
}

/// What passes between a loop and those who have it hand over.
#[derive(Default)]
pub(super) struct Handing {
    step: AtomicU8,
    /// Pieces of mail that were posted, and that were dealt with.
    posted: AtomicU64,
    dealt_with: AtomicU64,
    /// Whether a frozen loop has had nothing to do since it last had mail.
    is_at_rest: AtomicBool,
    order: Mutex<Option<Order>>,
    arrivals: Mutex<Vec<Piece>>,
}

/// To hand over.
struct Order {
    sink: Sink,
    done: Sender<io::Result<usize>>,
    is_taken: Receiver<bool>,
}

/// Has the loops of a server hand over to another process, or take over from one. From any thread.
#[derive(Clone)]
pub struct Succession {
    signals: Vec<Arc<Signal>>,
}

/// What was handed over, until it is known whether it was taken. Dropped, it was not.
#[derive(Debug)]
pub struct Exported {
    verdicts: Vec<Sender<bool>>,
    /// How many connections.
    pub connections: usize,
}

impl Exported {
    /// The other process has everything: this one gives it up.
    pub fn is_taken(self) {
        for verdict in &self.verdicts {
            let _ = verdict.send(true); // a loop that has ended has nothing to give up
        }
    }
}

impl Succession {
    pub(super) const fn new(signals: Vec<Arc<Signal>>) -> Self {
        Self { signals }
    }

    /// Has the loops read and accept nothing more, until all is said that is on its way between
    /// them; at most so long.
    pub fn freeze(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut before = None;
        while Instant::now() < until {
            for signal in &self.signals {
                signal.step(Step::Freeze);
            }
            thread::sleep(LOOK);
            let now = self.at_rest();
            if now.is_some() && now == before {
                return;
            }
            before = now;
        }
    }

    /// How much mail there was so far, if there is none and nobody has anything to do.
    fn at_rest(&self) -> Option<u64> {
        let handing = self.signals.iter().map(|signal| &signal.handing);
        let mut posted = 0;
        for handing in handing {
            let dealt_with = handing.dealt_with.load(Ordering::Acquire);
            let is_at_rest = handing.is_at_rest.load(Ordering::Acquire);
            if !is_at_rest || handing.posted.load(Ordering::Acquire) != dealt_with {
                return None;
            }
            posted += dealt_with;
        }
        Some(posted)
    }

    /// Has the frozen loops hand over all that can be. They wait then.
    ///
    /// # Errors
    /// What `sink` says: all goes on as it was.
    pub fn export(
        &self,
        sink: impl Fn(Piece) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Exported> {
        let sink = Arc::new(sink);
        let mut exported = Exported { verdicts: Vec::new(), connections: 0 };
        let (done, results) = mpsc::channel();
        for signal in &self.signals {
            let (verdict, is_taken) = mpsc::channel();
            exported.verdicts.push(verdict);
            let (sink, done) = (Arc::clone(&sink), done.clone());
            let sink: Sink = Box::new(move |piece| sink(piece));
            *lock(&signal.handing.order) = Some(Order { sink, done, is_taken });
            signal.step(Step::Export);
        }
        drop(done);
        for _ in &self.signals {
            let result = results.recv_timeout(PATIENCE).map_err(io::Error::other)?;
            exported.connections += result?;
        }
        Ok(exported)
    }

    /// Has the loops accept nothing until they [begin](Self::begin). To be said before they run.
    pub fn hold(&self) {
        for signal in &self.signals {
            signal.step(Step::Hold);
        }
    }

    /// Hands a piece to the loops, which take it when they begin. Connections are dealt out.
    pub fn deliver(&self, number: usize, piece: Piece) {
        match piece {
            Piece::State(state) => {
                for signal in &self.signals {
                    lock(&signal.handing.arrivals).push(Piece::State(Arc::clone(&state)));
                }
            }
            Piece::Connection { .. } => {
                let signal = &self.signals[number % self.signals.len()];
                lock(&signal.handing.arrivals).push(piece);
            }
        }
    }

    /// Has the loops take what was handed over, and when all have, read and accept.
    pub fn begin(&self) {
        for signal in &self.signals {
            signal.step(Step::Import);
        }
        // Who is read from speaks to members of other loops: those have to be there.
        let until = Instant::now() + PATIENCE;
        let has_taken = |signal: &Arc<Signal>| signal.handing.is_at_rest.load(Ordering::Acquire);
        while !self.signals.iter().all(has_taken) && Instant::now() < until {
            thread::sleep(LOOK);
        }
        for signal in &self.signals {
            signal.step(Step::Go);
        }
    }
}

impl Signal {
    fn step(&self, step: Step) {
        self.handing.step.store(step as u8, Ordering::Release);
        self.wake();
    }
}

impl Handing {
    /// Mail was posted.
    pub(super) fn count_posted(&self) {
        self.posted.fetch_add(1, Ordering::Release);
    }

    /// So much mail was dealt with.
    pub(super) fn count_dealt_with(&self, count: usize) {
        if count > 0 {
            self.is_at_rest.store(false, Ordering::Release);
            self.dealt_with.fetch_add(count as u64, Ordering::Release);
        }
    }

    /// Whether the loop is not to accept when it starts.
    pub(super) fn holds(&self) -> bool {
        self.is(Step::Hold)
    }

    fn is(&self, step: Step) -> bool {
        self.step.load(Ordering::Acquire) == step as u8
    }
}

impl<H: Handler<P>, P: Platform> EventLoop<H, P> {
    /// Does what it was told of handing over and taking over.
    pub(super) fn hand_over(&mut self) {
        if self.mailbox.signal().handing.is(Step::Run) {
            return;
        }
        let signal = Arc::clone(self.mailbox.signal());
        let handing = &signal.handing;
        if handing.is(Step::Freeze) {
            self.is_held = true;
            self.is_frozen = true;
            self.settle();
            let is_at_rest = self.handler.is_settled();
            handing.is_at_rest.store(is_at_rest, Ordering::Release);
        } else if handing.is(Step::Export) {
            let order = lock(&handing.order).take();
            handing.step.store(Step::Run as u8, Ordering::Release);
            if let Some(order) = order {
                self.export(order);
            }
        } else if handing.is(Step::Import) {
            self.is_frozen = true;
            let arrivals = std::mem::take(&mut *lock(&handing.arrivals));
            self.take_over(arrivals);
            handing.is_at_rest.store(true, Ordering::Release);
        } else if handing.is(Step::Go) {
            handing.step.store(Step::Run as u8, Ordering::Release);
            self.go_on();
        }
    }

    fn export(&mut self, Order { mut sink, done, is_taken }: Order) {
        self.settle();
        let mut moved = Vec::new();
        let result = self.export_to(&mut sink, &mut moved);
        drop(sink);
        let _ = done.send(result.map(|()| moved.len())); // else the verdict is no
        let verdict = is_taken.recv();
        self.now = self.peers.clock.now(); // that may have taken seconds
        self.peers.tick = tick(self.now);
        match verdict {
            Ok(true) => self.leave(moved),
            Ok(false) | Err(_) => self.go_on(),
        }
    }

    fn export_to(&mut self, sink: &mut Sink, moved: &mut Vec<ConnectionId>) -> io::Result<()> {
        for state in self.handler.pack_state(&self.peers) {
            sink(Piece::State(state.into()))?;
        }
        let ids: Vec<_> = self.peers.ids().collect();
        for id in ids {
            if let Some((socket, image)) = self.pack(id) {
                sink(Piece::Connection { socket, image })?;
                moved.push(id);
            }
        }
        Ok(())
    }

    /// A connection as it is; `None` where it has to stay.
    fn pack(&mut self, id: ConnectionId) -> Option<(OwnedFd, Vec<u8>)> {
        let index = self.peers.find_open(id).ok()?;
        let peer = &self.peers.table[index];
        let Reading::Open(inbound) = &self.readings[index] else { return None };
        let can_move = peer.chain.is_empty()
            && !peer.ended
            && !peer.direction.keeps_context()
            && !peer.stream.owes();
        if !can_move {
            return None;
        }
        let (inbound, socket) = (inbound.image()?, peer.stream.handle()?);
        let mut image = Image::new(inbound, peer.direction, peer.backlog.as_deref());
        image.dropped = self.peers.dropped.get(&id).copied().unwrap_or(0);
        image.proxied = self.peers.proxied.find(id).map(|addr| addr.to_string());
        image.session = self.handler.pack(&self.peers, id)?;
        (image.encoded_len() <= IMAGE_BYTES_MAX).then(|| (socket, image.encode_to_vec()))
    }

    /// Another process has these connections: here they are forgotten, without a word to anyone.
    fn leave(&mut self, moved: Vec<ConnectionId>) {
        for id in moved {
            let Some(index) = self.peers.find(id) else { continue };
            let peer = &mut self.peers.table[index];
            drop(peer.session.take());
            if let Err(error) = self.poll.deregister(&mut peer.stream) {
                tracing::debug!(%error, %id, "a connection that has moved is watched still");
            }
            self.remove(index);
        }
        self.is_frozen = false;
        self.handler.has_moved(&mut self.peers);
        if !self.is_stopping() {
            self.begin_stop(true);
        }
        self.go_on();
    }

    /// Goes on as if nothing had been.
    fn go_on(&mut self) {
        (self.is_frozen, self.is_held) = (false, false);
        let ids: Vec<_> = self.peers.ids().collect();
        for id in ids {
            let index = id.slot();
            let peer = &mut self.peers.table[index];
            peer.unread |= !peer.ended; // what was told of meanwhile was passed over
            self.peers.drain_backlog(index);
            self.read_again(index);
        }
        self.accepting.ready_all();
    }

    fn take_over(&mut self, arrivals: Vec<Piece>) {
        let mut count = 0;
        // What is known comes before those who know it.
        for piece in &arrivals {
            if let Piece::State(state) = piece {
                self.handler.unpack_state(&mut self.peers, state);
            }
        }
        for piece in arrivals {
            if let Piece::Connection { socket, image } = piece {
                match self.unpack(socket, &image) {
                    Ok(()) => count += 1,
                    Err(error) => tracing::warn!(%error, "a connection was not taken over"),
                }
            }
        }
        if count > 0 {
            tracing::debug!(count, "connections were taken over");
        }
    }

    /// Takes a connection of another process.
    fn unpack(&mut self, socket: OwnedFd, image: &[u8]) -> io::Result<()> {
        let bad = |_| io::Error::from(io::ErrorKind::InvalidData);
        let image = Image::decode(image).map_err(bad)?;
        let stream = self.poll.adopt(socket)?;
        let id = self.peers.insert(stream);
        self.make_room(id);
        let index = id.slot();
        if let Some(addr) = image.proxied.as_ref().and_then(|addr| addr.parse().ok()) {
            self.peers.proxied.put(id, addr);
        }
        self.peers.enter(index, Stage::Open);
        let inbound = image.inbound(&self.settings, &mut self.spare);
        let peer = &mut self.peers.table[index];
        peer.direction = image.direction();
        peer.backlog = image.backlog();
        let owed = peer.backlog_bytes();
        peer.paused = owed >= self.peers.config.backlog_high_bytes;
        self.peers.stats.backlog(0, owed);
        if image.dropped > 0 {
            self.peers.dropped.insert(id, image.dropped);
        }
        let session = self.handler.unpack(&mut self.peers, id, &image.session);
        let is_known = session.is_some();
        self.peers.table[index].session = session;
        match inbound {
            Some(inbound) if is_known => {
                self.readings[index] = Reading::Open(inbound);
                self.peers.rest(index);
            }
            Some(_) | None => {
                self.readings[index] = Reading::Discard;
                close_session(&mut self.handler, &mut self.peers, id, CloseReason::Lost);
                self.peers.fail_with(index, CloseCode::GOING_AWAY, "connect anew");
            }
        }
        let registered = self.poll.register(&mut self.peers.table[index].stream, id);
        if let Err(error) = registered {
            self.lose(id, CloseReason::Lost);
            return Err(error);
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Succession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Succession").field("loops", &self.signals.len()).finish()
    }
}
