//! What a loop says in the log of its peers.
//!
//! Owns the lines of openings, ends and refusals, and sees that a crowd does not fill the log. Each
//! is counted where it is said. Never says what a peer has sent.

use std::net::SocketAddr;

use super::sampling::{LINES_PER_SECOND_MAX, Sampling};
use super::{Cause, Clock, CloseReason, ConnectionId, Peers, Platform};
use crate::http::Response;

/// The header of an answer that says which trace it belongs to (W3C Trace Context, level 2).
const TRACE: &str = "traceresponse";

/// The lines that come in crowds.
#[derive(Debug, Default)]
pub(super) struct Said {
    refused: Sampling,
    backlogged: Sampling,
}

impl<S, P: Platform> Peers<S, P> {
    pub(super) fn say_open(&mut self, id: ConnectionId, trace: impl FnOnce(&S) -> Option<String>) {
        self.stats.opened += 1;
        if tracing::enabled!(tracing::Level::DEBUG) {
            let trace = self.session(id).and_then(trace);
            tracing::debug!(%id, remote = ?self.remote_addr(id), trace, "open");
        }
    }

    pub(super) fn say_closed(
        &mut self,
        id: ConnectionId,
        reason: CloseReason<'_>,
        trace: impl Fn() -> Option<String>,
    ) {
        let cause = Cause::from(&reason);
        self.stats.close(cause);
        let error = match reason {
            CloseReason::Protocol(error) => Some(error),
            CloseReason::Peer(_)
            | CloseReason::Lost
            | CloseReason::Timeout(_)
            | CloseReason::Backlogged => None,
        };
        let error = error.map(tracing::field::display);
        tracing::debug!(%id, cause = cause.name(), error, trace = trace(), "closed");
        if cause == Cause::Backlogged && self.said.backlogged.admits(self.clock.now()) {
            let (remote, trace) = (self.remote_addr(id), trace());
            tracing::info!(%id, ?remote, trace, "closed: it reads too slowly");
        }
    }

    /// The request of this connection is refused. Its trace is the one that the answer names.
    pub(super) fn say_refused(&mut self, index: usize, response: &Response) {
        let status = response.status();
        self.stats.refuse(status);
        if self.said.refused.admits(self.clock.now()) {
            let id = self.id(index);
            let mut lines = response.header_lines().iter();
            let trace = lines.find(|(name, _)| *name == TRACE).map(|(_, value)| value);
            tracing::info!(%id, remote = ?self.remote_addr(id), status, trace, "refused");
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
