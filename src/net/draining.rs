//! How a loop stops: everyone who is there is told, and then asked to leave, evenly over the time
//! that there is.
//!
//! Owns the order and the pace. Never cuts off who leaves by itself, until the time is over.

use std::time::Duration;

use super::peer::Stage;
use super::reading::Reading;
use super::{ConnectionId, EventLoop, Handler, Platform, Poll, State};
use crate::frame::CloseCode;
use crate::proto::Role;

/// How many connections are told in a turn: few, so that those whose time has come leave between.
const TOLD_PER_TURN: usize = 64;

/// How many are asked to leave in a turn.
const ASKED_PER_TURN: usize = 1024;

/// A loop that stops.
///
/// ```text
///   asking, one by one ──all have left──► listening no more ──nobody is there──► over
///           └───────────── the time is over ──────┴──────────────────────────────┘
/// ```
///
/// One that gives way to another process listens no more from the start, and finishes what it has
/// begun: who is refused by it could not know that the other would not.
#[derive(Debug)]
pub(super) struct Draining {
    start: Duration,
    /// How long it takes until the last is asked to leave.
    window: Duration,
    /// When the loop has waited long enough.
    end: Duration,
    /// Who was there at the start, in the order in which they are asked; then those who came after.
    ids: Vec<ConnectionId>,
    /// How many were there at the start.
    count: usize,
    told: usize,
    asked: usize,
    is_listening: bool,
    gives_way: bool,
}

impl Draining {
    /// How long after the start the one at this place is asked to leave.
    fn slot(&self, at: usize) -> Duration {
        let (at, count) = (at.min(self.count) as u128, self.count.max(1) as u128);
        let nanos = self.window.as_nanos() * at / count;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// When there is something to be done, at the latest.
    fn due(&self) -> Duration {
        if self.told < self.ids.len() {
            Duration::ZERO
        } else if self.asked < self.told {
            self.end.min(self.start + self.slot(self.asked))
        } else {
            self.end
        }
    }
}

impl<H: Handler<P>, P: Platform> EventLoop<H, P> {
    /// Begins to stop. Where it `gives_way`, another process listens on the same sockets.
    pub(super) fn begin_stop(&mut self, gives_way: bool) {
        let config = &self.peers.config;
        let is_open = |id: &ConnectionId| self.peers.table[id.slot()].stage == Stage::Open;
        let ids: Vec<_> = self.peers.ids().filter(is_open).collect();
        let window = match config.settings.role {
            Role::Server => pace(ids.len(), config.drain_rate_min).min(config.drain_timeout),
            Role::Client => Duration::ZERO, // it spares nobody
        };
        let grace = config.drain_timeout.min(config.close_timeout);
        self.draining = Some(Draining {
            start: self.now,
            window,
            end: self.now + config.drain_timeout + grace,
            count: ids.len(),
            ids,
            told: 0,
            asked: 0,
            is_listening: true,
            gives_way,
        });
        if gives_way {
            self.stop_listening();
        }
        self.stop_requests(|reading, answered| match reading {
            Reading::Request(None) => answered || !gives_way,
            Reading::Proxy(_) => !gives_way,
            Reading::Dialled(_) => true,
            Reading::Request(Some(_)) | Reading::Pending(_) => false,
            Reading::Open(_) | Reading::Discard => false,
        });
    }

    /// Goes on with it.
    pub(super) fn drain(&mut self) {
        let Some(draining) = &mut self.draining else { return };
        let elapsed = self.now.saturating_sub(draining.start);
        let told = draining.told;
        draining.told = draining.ids.len().min(told + TOLD_PER_TURN);
        for at in told..draining.told {
            let (id, slot) = (draining.ids[at], draining.slot(at));
            if self.peers.is_open(id) {
                self.handler.stopping(&mut self.peers, id, slot.saturating_sub(elapsed));
            }
        }
        let last = draining.told.min(draining.asked + ASKED_PER_TURN);
        while draining.asked < last && draining.slot(draining.asked) <= elapsed {
            let id = draining.ids[draining.asked];
            draining.asked += 1;
            // RFC 6455 section 7.4.1: 1001. One that is closing already has said its goodbye.
            let _ = self.peers.close(id, CloseCode::GOING_AWAY, "the server stops");
        }
        if self.may_stop_listening() {
            self.stop_listening();
            self.stop_requests(|_, _| true);
        }
    }

    /// When a loop that stops has something to do, at the latest.
    pub(super) fn drain_due(&self) -> Option<Duration> {
        let draining = self.draining.as_ref()?;
        Some(if self.may_stop_listening() { Duration::ZERO } else { draining.due() })
    }

    /// Whether a stop was asked for, and nothing is left to do.
    pub fn is_stopped(&self) -> bool {
        self.draining.as_ref().is_some_and(|draining| {
            self.now >= draining.end || (!draining.is_listening && self.peers.is_empty())
        })
    }

    pub(super) const fn is_stopping(&self) -> bool {
        self.draining.is_some()
    }

    /// Whether new WebSockets are refused.
    pub(super) fn takes_no_more(&self) -> bool {
        self.draining.as_ref().is_some_and(|draining| !draining.gives_way)
    }

    /// A connection has become a WebSocket. If the loop stops, it is the last to be asked to leave.
    pub(super) fn drain_too(&mut self, id: ConnectionId) {
        if let Some(draining) = &mut self.draining {
            draining.ids.push(id);
        }
    }

    /// Whether all have left who were asked to.
    fn may_stop_listening(&self) -> bool {
        let states = &self.peers.stats.connections;
        self.draining.as_ref().is_some_and(|draining| {
            draining.is_listening
                && draining.asked == draining.ids.len()
                && states[State::Open as usize] + states[State::Closing as usize] == 0
        })
    }

    /// Takes no new connections any more.
    fn stop_listening(&mut self) {
        self.poll.stop_listening();
        self.accepting.stop();
        if let Some(draining) = &mut self.draining {
            draining.is_listening = false;
        }
    }

    /// Ends connections that are no WebSockets yet, by what has come on them and whether a request
    /// of theirs was answered before.
    fn stop_requests(&mut self, which: impl Fn(&Reading, bool) -> bool) {
        let ids: Vec<_> = self.peers.ids().collect();
        for id in ids {
            let (index, peer) = (id.slot(), &self.peers.table[id.slot()]);
            if peer.stage == Stage::Handshake && which(&self.readings[index], peer.answered) {
                self.stop_request(index);
            }
        }
    }
}

/// How long it takes to ask so many to leave, so many a second.
fn pace(count: usize, rate: u32) -> Duration {
    Duration::from_secs(1).saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)) / rate.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draining(count: usize, window_s: u64) -> Draining {
        Draining {
            start: Duration::ZERO,
            window: Duration::from_secs(window_s),
            end: Duration::from_secs(window_s + 5),
            ids: (0..count as u64).map(ConnectionId::from_u64).collect(),
            count,
            told: count,
            asked: 0,
            is_listening: true,
            gives_way: false,
        }
    }

    #[test]
    fn goodbyes_are_even_over_the_window() {
        let draining = draining(5_000, 30);
        let mut seconds = [0_u32; 30];
        for at in 0..5_000 {
            seconds[draining.slot(at).as_secs() as usize] += 1;
        }
        assert!(seconds.iter().all(|count| (166..=167).contains(count)), "{seconds:?}");
        assert_eq!(draining.slot(9_999), Duration::from_secs(30), "who came after");
    }

    #[test]
    fn a_few_need_no_whole_window() {
        assert_eq!(pace(0, 100), Duration::ZERO);
        assert_eq!(pace(50, 100), Duration::from_millis(500));
        assert_eq!(pace(5_000, 0), Duration::from_secs(5_000));
        assert_eq!(draining(1, 30).slot(0), Duration::ZERO);
    }
}
