//! What a loop says in the log of its peers.
//!
//! Owns the lines of openings, ends and refusals, and sees that a crowd does not fill the log. Each
//! is counted where it is said. Never says what a peer has sent, but for the name and the origin
//! that the handler gives out; they are quoted.

use std::net::SocketAddr;

use tracing::field::display;

use super::sampling::Sampling;
use super::{Cause, Clock, CloseReason, ConnectionId, Particulars, Peers, Platform};
use crate::http::Response;

/// The target of the lines of openings and ends, so that they can be asked for alone.
const CONNECTIONS: &str = "throng::connections";

/// The lines that come in crowds.
#[derive(Debug, Default)]
pub(super) struct Said {
    refused: Sampling,
    backlogged: Sampling,
}

impl<S, P: Platform> Peers<S, P> {
    pub(super) fn say_open(&mut self, id: ConnectionId, of: impl FnOnce(&S) -> Particulars) {
        self.stats.opened += 1;
        if tracing::enabled!(target: CONNECTIONS, tracing::Level::DEBUG) {
            let remote = self.remote_addr(id);
            // When it has ended nobody can ask for it any more.
            self.proxied.extend(id, remote);
            let of = self.session(id).map(of).unwrap_or_default().from_remote(remote);
            let (remote, client) = (remote.map(display), of.client.map(display));
            let Particulars { user, auth, origin, trace, .. } = of;
            tracing::debug!(
                target: CONNECTIONS, %id, remote, client, user, auth, origin, trace, "open"
            );
        }
    }

    pub(super) fn say_closed(
        &mut self,
        id: ConnectionId,
        reason: CloseReason<'_>,
        of: impl Fn() -> Particulars,
    ) {
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
        if tracing::enabled!(target: CONNECTIONS, tracing::Level::DEBUG) {
            let (error, cause) = (error.map(display), cause.name());
            let remote = self.remote_addr(id);
            let of = of().from_remote(remote);
            let (remote, client) = (remote.map(display), of.client.map(display));
            let Particulars { user, auth, origin, trace, .. } = of;
            tracing::debug!(
                target: CONNECTIONS,
                %id, cause, error, remote, client, user, auth, origin, trace, "closed"
            );
        }
        let words = match cause {
            Cause::Backlogged => "closed: it reads too slowly",
            Cause::Overloaded => "closed: too much is held of all peers, and most of this one",
            _ => return,
        };
        if self.said.backlogged.admits(self.clock.now()) {
            let remote = self.remote_addr(id);
            let of = of().from_remote(remote);
            let (remote, client) = (remote.map(display), of.client.map(display));
            let Particulars { user, origin, trace, .. } = of;
            tracing::info!(%id, remote, client, user, origin, trace, "{words}");
        }
    }

    /// Counts a request that is refused; whether a line is to say so.
    pub(super) fn counts_refused(&mut self, response: &Response) -> bool {
        self.stats.refuse(response.status());
        self.said.refused.admits(self.clock.now())
    }

    /// The request of this connection is refused.
    pub(super) fn say_refused(&self, index: usize, response: &Response, of: Particulars) {
        let (id, status, reason) = (self.id(index), response.status(), response.cause());
        let remote = self.remote_addr(id);
        let of = of.from_remote(remote);
        let (remote, client) = (remote.map(display), of.client.map(display));
        let Particulars { user, origin, trace, .. } = of;
        tracing::info!(%id, status, reason, remote, client, user, origin, trace, "refused");
    }

    /// A connection is not taken in.
    pub(super) fn say_full(&mut self, status: u16, remote: impl FnOnce() -> Option<SocketAddr>) {
        self.stats.refuse(status);
        if self.said.refused.admits(self.clock.now()) {
            let remote = remote();
            let client = Particulars::default().from_remote(remote).client.map(display);
            let remote = remote.map(display);
            tracing::info!(status, remote, client, "refused: the loop is full");
        }
    }

    /// Says how many lines were left out.
    pub(super) fn say_left_out(&mut self) {
        let Said { refused, backlogged } = &mut self.said;
        refused.say_left_out("refused");
        backlogged.say_left_out("backlogged");
    }
}
