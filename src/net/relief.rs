//! What is done when a loop holds too much of its peers together.
//!
//! Owns who has to go: those of whom most is held. Never looks at what one peer may have alone: see
//! [`policy`](super::policy).

use std::sync::atomic::Ordering::Relaxed;

use super::peer::Stage;
use super::reading::{Reading, close_session};
use super::turn::Chain;
use super::{CloseReason, Drop, EventLoop, Handler, Owner, Peers, Platform};
use crate::frame::CloseCode;
use crate::http::Response;

const WORDS: &str = "the server is overloaded";

impl<S, P: Platform> Peers<S, P> {
    /// Whether so much is owed that nothing may be added, not even until the turn ends.
    #[inline]
    pub(super) fn is_past_all_limits(&self) -> bool {
        let max = self.config.backlogs_bytes_max;
        self.stats.backlog_bytes > max.saturating_add(max / 8) as u64
    }

    /// Closes those who are owed most, if all together are owed too much.
    #[inline]
    pub(super) fn relieve_backlogs(&mut self) {
        if self.stats.backlog_bytes > self.config.backlogs_bytes_max as u64 {
            self.close_largest();
        }
    }

    #[cold]
    fn close_largest(&mut self) {
        let max = self.config.backlogs_bytes_max;
        let target = (max / 8 * 5) as u64; // so that it is calm for a while
        let open = self.table.iter().filter(|(_, peer)| peer.is_open());
        let mut owed: Vec<_> = open
            .map(|(index, peer)| (peer.backlog_bytes(), index))
            .filter(|(n, _)| *n > 0)
            .collect();
        owed.sort_unstable();
        while self.stats.backlog_bytes > target {
            let Some((_, index)) = owed.pop() else { return };
            self.cut(index);
        }
    }

    /// Closes a peer with 1013 and forgets what it is owed, at once.
    #[cold]
    pub(super) fn cut(&mut self, index: usize) {
        let (id, mask) = (self.id(index), self.mask());
        let peer = &mut self.table[index];
        if !peer.is_open() {
            return; // what it is owed is its end
        }
        let Some(backlog) = &mut peer.backlog else { return };
        let before = backlog.charge();
        self.stats.drop(Drop::Overloaded, backlog.drop_all());
        let mut close = Vec::new();
        peer.outbound.fail_with(CloseCode::TRY_AGAIN_LATER, WORDS, mask, &mut close);
        backlog.push_bytes(&close, 0, super::backlog::Mark::Fixed);
        self.stats.backlog(before, backlog.charge());
        peer.chain = Chain::EMPTY;
        self.enter(index, Stage::Ending);
        self.rest(index);
        self.given_out.push((id, CloseReason::Overloaded));
    }
}

impl<H: Handler<P>, P: Platform> EventLoop<H, P> {
    /// What is held of messages and requests that have come in part.
    #[inline]
    pub(super) fn partial_bytes(&self) -> usize {
        self.spare.lent_bytes() + self.partial_requests.load(Relaxed)
    }

    /// Closes those of whom most is held, if of all together too much is.
    #[inline]
    pub(super) fn relieve_partial(&mut self) {
        if self.partial_bytes() > self.peers.config.partial_bytes_max {
            self.close_most_held();
        }
    }

    #[cold]
    fn close_most_held(&mut self) {
        let max = self.peers.config.partial_bytes_max;
        let readings = self.readings.iter().enumerate();
        let mut held: Vec<_> = readings
            .map(|(index, reading)| (reading.partial_bytes(), index))
            .filter(|(bytes, _)| *bytes > 0)
            .collect();
        held.sort_unstable();
        self.spare.clear(); // else the next to come gets, and answers for, a large buffer
        while self.partial_bytes() > max / 8 * 5 {
            let Some((_, index)) = held.pop() else { return };
            if matches!(self.readings[index], Reading::Open(_)) {
                let (id, reason) = (self.peers.id(index), CloseReason::Overloaded);
                close_session(&mut self.handler, &mut self.peers, id, reason);
                self.readings[index].release(&mut self.spare);
                self.peers.fail_with(index, CloseCode::TRY_AGAIN_LATER, WORDS);
            } else {
                let words = "the server is overloaded\n";
                let response = Response::text(503, words).header("Retry-After", "5").close();
                let response = response.because("overloaded");
                self.refuse(index, &response);
            }
        }
    }

    /// Brings the numbers of the loop's memory up to date.
    pub(super) fn measure_memory(&mut self) {
        let table = self.peers.held_bytes();
        let readings = self.readings.capacity() * size_of::<Reading>();
        let partial = self.partial_bytes();
        let stats = &mut self.peers.stats;
        stats.partial_bytes = partial as u64;
        for (owner, bytes) in [
            (Owner::Tables, table + readings),
            (Owner::Arena, self.peers.turn.held_bytes() + self.buffer.len()),
            (Owner::Backlogs, stats.backlog_bytes as usize),
            (Owner::Partial, partial + self.spare.bytes()),
            (Owner::Deflate, self.peers.deflaters.held_bytes()),
        ] {
            stats.memory[owner as usize] = bytes as u64;
        }
    }
}
