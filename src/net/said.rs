//! What a loop says in the log of its peers.
//!
//! Owns the lines of openings, ends and refusals, and sees that a crowd does not fill the log. Each
//! is counted where it is said. Never says what a peer has sent.

use std::net::SocketAddr;

use super::sampling::{LINES_PER_SECOND_MAX, Sampling};
use super::{Cause, Clock, CloseReason, ConnectionId, Peers, Platform, Stream};

/// The lines that come in crowds.
#[derive(Debug, Default)]
pub(super) struct Said {
    refused: Sampling,
    backlogged: Sampling,
}

impl<S, P: Platform> Peers<S, P> {
    pub(super) fn say_open(&mut self, id: ConnectionId) {
        self.stats.opened += 1;
        tracing::debug!(%id, remote = ?self.remote_addr(id), "open");
    }

    pub(super) fn say_closed(&mut self, id: ConnectionId, reason: CloseReason<'_>) {
        let cause = Cause::from(&reason);
        self.stats.close(cause);
        let error = match reason {
            CloseReason::Protocol(error) => Some(error),
            CloseReason::Peer(_)
            | CloseReason::Lost
            | CloseReason::Timeout(_)
            | CloseReason::Backlogged
            | CloseReason::Overloaded => None,
        };
        let error = error.map(tracing::field::display);
        tracing::debug!(%id, cause = cause.name(), error, "closed");
        let words = match cause {
            Cause::Backlogged => "closed: it reads too slowly",
            Cause::Overloaded => "closed: too much is held of all peers, and most of this one",
            _ => return,
        };
        if self.said.backlogged.admits(self.clock.now()) {
            tracing::info!(%id, remote = ?self.remote_addr(id), "{words}");
        }
    }

    /// The request of this connection is refused.
    pub(super) fn say_refused(&mut self, index: usize, status: u16) {
        self.stats.refuse(status);
        if self.said.refused.admits(self.clock.now()) {
            let (id, remote) = (self.id(index), self.table[index].stream.remote_addr());
            tracing::info!(%id, ?remote, status, "refused");
        }
    }

    /// A connection is not taken in.
    pub(super) fn say_full(&mut self, status: u16, remote: impl FnOnce() -> Option<SocketAddr>) {
        self.stats.refuse(status);
        if self.said.refused.admits(self.clock.now()) {
            tracing::info!(remote = ?remote(), status, "refused: the loop is full");
        }
    }

    /// Says how many lines were left out.
    pub(super) fn say_left_out(&mut self) {
        let Said { refused, backlogged } = &mut self.said;
        for (kind, sampling) in [("refused", refused), ("backlogged", backlogged)] {
            if let Some(left_out) = sampling.take_left_out() {
                let most = LINES_PER_SECOND_MAX;
                tracing::info!(kind, left_out, "lines left out: {most} a second are said");
            }
        }
    }
}
