//! What the hub sheds at each level, and what it tells of it.
//!
//! Owns the answers to those who are refused, and the news of what was dropped. When it sheds is
//! for [`overload`](super::overload) to say.

use super::auth::Priority;
use super::command::Fault;
use super::delivery::{Delivery, Event};
use super::handler::{Hub, Session};
use super::history::Keeper;
use super::overload::{Level, LoopReport, is_low};
use crate::http::Response;
use crate::net::{Peers, Platform};

/// Nobody got it.
const SHED: Fault = Fault::new("overloaded", "the server is overloaded: try again later");

/// Nobody would get it.
const MOVED: Fault = Fault::new("overloaded", "another process is the server now: connect anew");

/// When to come back, in seconds.
const RETRY_AFTER_S: u32 = 5;

impl Hub {
    /// Whether something of these priorities is carried out now.
    ///
    /// # Errors
    /// It is shed.
    #[inline]
    pub(super) fn may_publish(&self, sender: Priority, room: Priority) -> Result<(), Fault> {
        if self.has_moved {
            return Err(MOVED);
        }
        if self.guard.level() >= Level::Busy && is_low(sender, room) {
            self.guard.shed(Level::Busy);
            return Err(SHED);
        }
        Ok(())
    }

    /// Whether those in a room are told who comes and goes now.
    pub(super) fn may_announce(&self) -> bool {
        let may = self.guard.level() < Level::Degraded;
        if !may {
            self.guard.shed(Level::Degraded);
        }
        may
    }

    /// The answer to a handshake, where new ones are refused now.
    pub(super) fn refusal(&self) -> Option<Response> {
        if self.guard.level() < Level::Critical {
            return None;
        }
        self.guard.shed(Level::Critical);
        let body = format!(
            r#"{{"error":"overloaded","message":"the server is overloaded","retry_after_ms":{}}}"#,
            RETRY_AFTER_S * 1000
        );
        let response = Response::json(503, format!("{body}\n"));
        let response = response.header("Retry-After", RETRY_AFTER_S.to_string());
        Some(response.header("Cache-Control", "no-store").because("overloaded"))
    }

    /// Brings about what changes with the level, and says how the loop is.
    pub(super) fn report<P: Platform>(&self, peers: &mut Peers<Session, P>) {
        peers.compress(self.guard.level() < Level::Degraded);
        let stats = peers.stats();
        let rooms_bytes = self.rooms.held_bytes() + self.callers.held_bytes();
        let history_bytes = self.logs.bytes();
        let report = LoopReport {
            number: 0,
            thread: self.thread.clone(),
            lag: stats.lag,
            backlog_bytes: stats.backlog_bytes,
            partial_bytes: stats.partial_bytes,
            memory_bytes: stats.memory.iter().sum::<u64>() + rooms_bytes + history_bytes,
            rooms_bytes,
            history_bytes,
            store_percent: self.keeper().map_or(0.0, Keeper::queue_percent),
            mail: self.others.waiting(),
        };
        self.guard.report(self.loop_index, report);
    }

    /// Tells a member that has caught up how much it did not get.
    pub(super) fn tell_dropped<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        member: u32,
        count: u64,
    ) {
        let (event, timestamp) = (Event::Dropped, peers.unix_ms());
        let content = match count {
            1 => "one message was dropped: you read too slowly".to_owned(),
            _ => format!("{count} messages were dropped: you read too slowly"),
        };
        self.say(peers, member, &Delivery::Dropped { event, count, content, timestamp });
    }
}
