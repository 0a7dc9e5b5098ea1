//! New connections.
//!
//! Owns when they are taken and how many at once. Never waits on a listener that the process has no
//! descriptor left for: edge-triggered, it would not be heard of again, so it is asked again later.

use std::io;
use std::time::Duration;

use super::{CloseReason, EventLoop, Handler, Platform, Poll, Stream};
use crate::http::{EncodeOptions, Response};

/// How long a loop without descriptors waits before it tries again, unless a connection ends.
const PAUSE: Duration = Duration::from_millis(200);

/// Which listeners may have more, and whether that can be taken.
#[derive(Debug)]
pub(super) struct Accepting {
    more: Vec<bool>,
    paused_until: Option<Duration>,
    /// Whether the last attempt found no descriptor, which was said then.
    is_short: bool,
}

impl Accepting {
    pub(super) fn new(listeners: usize) -> Self {
        Self { more: vec![false; listeners], paused_until: None, is_short: false }
    }

    pub(super) fn ready(&mut self, listener: usize) {
        if let Some(more) = self.more.get_mut(listener) {
            *more = true;
        }
    }

    /// Every listener may have more.
    #[cfg(all(unix, feature = "hub"))]
    pub(super) fn ready_all(&mut self) {
        self.more.fill(true);
    }

    /// A descriptor has become free.
    pub(super) fn resume(&mut self) {
        self.paused_until = None;
    }

    pub(super) fn stop(&mut self) {
        self.more.clear();
    }

    /// When to accept next, if there is anything to accept: at once where it is not later than now.
    pub(super) fn next(&self) -> Option<Duration> {
        let any = self.more.iter().any(|more| *more);
        any.then(|| self.paused_until.unwrap_or_default())
    }
}

impl<H: Handler<P>, P: Platform> EventLoop<H, P> {
    /// Takes what the listeners have, up to the turn's budget.
    pub(super) fn accept(&mut self) {
        if self.is_held || self.accepting.next().is_none_or(|due| due > self.now) {
            return;
        }
        self.accepting.resume();
        for listener in 0..self.accepting.more.len() {
            if self.accepting.more[listener] {
                self.accept_from(listener);
            }
        }
    }

    fn accept_from(&mut self, listener: usize) {
        for _ in 0..self.peers.config.accepts_per_turn.max(1) {
            match self.poll.accept(listener) {
                Ok(stream) => {
                    self.accepting.is_short = false;
                    self.welcome(stream);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.accepting.more[listener] = false;
                    return;
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if !std::mem::replace(&mut self.accepting.is_short, true) {
                        tracing::warn!(%error, "no new connections for now");
                    }
                    self.accepting.paused_until = Some(self.now + PAUSE);
                    return;
                }
            }
        }
    }

    /// Takes a connection in. Its request is often there already, so it is read before epoll is
    /// asked to watch.
    fn welcome(&mut self, mut stream: P::Stream) {
        if self.peers.len() >= self.peers.config.connections_max {
            self.peers.say_full(503, || stream.remote_addr());
            let mut bytes = Vec::new();
            Response::text(503, "this server has all the connections it takes\n")
                .header("Retry-After", "1")
                .encode(&mut bytes, EncodeOptions::CLOSE);
            let _ = stream.write(&bytes); // a courtesy
            let _ = stream.shutdown();
            return;
        }
        let id = self.peers.insert(stream);
        self.make_room(id);
        self.expect_proxy(id.slot());
        self.read(id);
        let Some(index) = self.peers.find(id) else { return };
        if let Err(error) = self.poll.register(&mut self.peers.table[index].stream, id) {
            tracing::warn!(%error, "a connection cannot be watched");
            self.lose(id, CloseReason::Lost);
        }
    }
}

/// Errors that say something of one connection, not of the listener (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, Interrupted, PermissionDenied, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted | PermissionDenied | TimedOut
    )
}
