//! What a loop has done, in numbers.
//!
//! Owns plain counters that the loop keeps as it goes: no atomics, no clock of its own. Never
//! prints: a handler takes a copy at its tick and shows it as it likes.

use std::time::Duration;

use super::peer::Stage;
use super::{CloseReason, Timeout};
use crate::frame::CloseCode;

/// What a loop has done since it began, and what it holds now.
///
/// ```
/// use throng::net::{Cause, Stats};
///
/// let (mut all, mut one) = (Stats::default(), Stats::default());
/// one.messages_in = 3;
/// one.closes[Cause::Lost as usize] = 1;
/// all.add(&one);
/// all.add(&one);
/// assert_eq!(all.messages_in, 6);
/// assert_eq!(all.closes[Cause::Lost as usize], 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Connections that were taken in, or dialled, from their first byte on.
    pub accepted: u64,
    /// Connections that became WebSockets.
    pub opened: u64,
    /// Requests that were refused, each status with how often: handshakes, and what is no HTTP.
    pub refused: Vec<(u16, u64)>,
    /// WebSockets that have ended, by [`Cause`].
    pub closes: [u64; Cause::ALL.len()],
    /// Connections there are now, by [`State`].
    pub connections: [u64; State::ALL.len()],
    /// Messages that were handed to the handler.
    pub messages_in: u64,
    /// Messages that were taken for a peer: one for each who is to get it.
    pub messages_out: u64,
    /// Bytes that were read from sockets.
    pub bytes_in: u64,
    /// Bytes that sockets took.
    pub bytes_out: u64,
    /// Messages that were not sent, or not to the end, to peers that read too slowly, by [`Drop`].
    pub drops: [u64; Drop::ALL.len()],
    /// What slow peers are owed now, in bytes, as it is held against the limits.
    pub backlog_bytes: u64,
    /// What was held at the last tick of messages and requests that have come in part, in bytes.
    pub partial_bytes: u64,
    /// What the loop held at the last tick, in bytes, by [`Owner`].
    pub memory: [u64; Owner::ALL.len()],
    /// Turns of the loop.
    pub turns: u64,
    /// The longest turn since the last tick: so late a turn can begin for who became ready.
    pub lag: Duration,
    /// Broadcasts by the time from when the loop woke to when all sockets had been written to.
    pub fan_out: FanOut,
    /// Pings of the loop by the time to their pong.
    pub rtt: FanOut,
    /// Broadcasts of this turn.
    pub(super) broadcasts: u64,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// HTTP is spoken.
    Handshake,
    /// WebSocket is spoken.
    Open,
    /// What is owed is still written, or the peer's end of TCP is awaited.
    Closing,
}

impl State {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Handshake, Self::Open, Self::Closing];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Open => "open",
            Self::Closing => "closing",
        }
    }
}

impl From<Stage> for State {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Handshake => Self::Handshake,
            Stage::Open => Self::Open,
            Stage::Ending | Stage::Shut => Self::Closing,
        }
    }
}

/// Why a WebSocket has ended: a [`CloseReason`] without what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The peer's Close came, first or in answer.
    Peer,
    /// The peer broke the protocol.
    Protocol,
    /// A message was longer than is taken, or had too many fragments.
    MessageTooBig,
    /// The transport ended without a Close.
    Lost,
    /// No sign of life after a ping.
    PongTimeout,
    /// The peer read nothing for too long.
    WriteTimeout,
    /// The peer did not answer a Close.
    CloseTimeout,
    /// The peer read too slowly.
    Backlogged,
    /// Too much was held of all peers, and most of this one.
    Overloaded,
}

impl Cause {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Peer,
        Self::Protocol,
        Self::MessageTooBig,
        Self::Lost,
        Self::PongTimeout,
        Self::WriteTimeout,
        Self::CloseTimeout,
        Self::Backlogged,
        Self::Overloaded,
    ];

    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Protocol => "protocol",
            Self::MessageTooBig => "message_too_big",
            Self::Lost => "lost",
            Self::PongTimeout => "pong_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::CloseTimeout => "close_timeout",
            Self::Backlogged => "backlogged",
            Self::Overloaded => "overloaded",
        }
    }
}

impl From<&CloseReason<'_>> for Cause {
    fn from(reason: &CloseReason<'_>) -> Self {
        match reason {
            CloseReason::Peer(_) => Self::Peer,
            CloseReason::Protocol(error) if error.close_code() == CloseCode::MESSAGE_TOO_BIG => {
                Self::MessageTooBig
            }
            CloseReason::Protocol(_) => Self::Protocol,
            CloseReason::Lost => Self::Lost,
            CloseReason::Timeout(Timeout::Pong) => Self::PongTimeout,
            CloseReason::Timeout(Timeout::Write) => Self::WriteTimeout,
            CloseReason::Timeout(Timeout::Close) => Self::CloseTimeout,
            CloseReason::Backlogged => Self::Backlogged,
            CloseReason::Overloaded => Self::Overloaded,
        }
    }
}

/// Which messages a slow peer did not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// The one that was to be sent: the backlog was full.
    Newest,
    /// Those that had waited longest.
    Oldest,
    /// All that were owed, and the one that was to be sent: the peer is closed.
    Closed,
    /// Those whose place a newer one of their key has taken.
    Replaced,
    /// All that were owed to a peer that is closed, since too much was owed to all.
    Overloaded,
}

impl Drop {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Newest, Self::Oldest, Self::Closed, Self::Replaced, Self::Overloaded];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
            Self::Closed => "closed",
            Self::Replaced => "replaced",
            Self::Overloaded => "overloaded",
        }
    }
}

/// Whose memory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The tables of connections.
    Tables,
    /// What a turn owes, and the buffer that is read to.
    Arena,
    /// What slow peers are owed.
    Backlogs,
    /// Messages and requests that have come in part, and buffers that are kept for them.
    Partial,
    /// Compression.
    Deflate,
}

impl Owner {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Tables, Self::Arena, Self::Backlogs, Self::Partial, Self::Deflate];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tables => "tables",
            Self::Arena => "arena",
            Self::Backlogs => "backlogs",
            Self::Partial => "partial",
            Self::Deflate => "deflate",
        }
    }
}

/// How long something took: a histogram of broadcasts, or of round trips.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FanOut {
    /// How many took at most [`BOUNDS_US`](Self::BOUNDS_US) of the same number, and more than the
    /// bound before; the last took longer than any bound.
    pub counts: [u64; Self::BOUNDS_US.len() + 1],
    /// The time of all.
    pub sum: Duration,
}

impl FanOut {
    /// The upper bounds, in microseconds. Half a second, which the alert rule is about, is one.
    pub const BOUNDS_US: [u64; 14] = [
        50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
        1_000_000,
    ];

    pub(super) fn observe(&mut self, time: Duration, count: u64) {
        let bounds = Self::BOUNDS_US.map(Duration::from_micros);
        self.counts[bounds.partition_point(|bound| *bound < time)] += count;
        self.sum += time * u32::try_from(count).unwrap_or(u32::MAX);
    }
}

impl Stats {
    /// Adds what another loop has done. Of the longest turns the longest is kept.
    pub fn add(&mut self, other: &Self) {
        let Self { refused, closes, connections, drops, memory, lag, fan_out, rtt, .. } = self;
        for (status, count) in &other.refused {
            count_status(refused, *status, *count);
        }
        add_each(closes, &other.closes);
        add_each(connections, &other.connections);
        add_each(drops, &other.drops);
        add_each(memory, &other.memory);
        for (times, more) in [(fan_out, &other.fan_out), (rtt, &other.rtt)] {
            add_each(&mut times.counts, &more.counts);
            times.sum += more.sum;
        }
        *lag = (*lag).max(other.lag);
        self.accepted += other.accepted;
        self.opened += other.opened;
        self.messages_in += other.messages_in;
        self.messages_out += other.messages_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.backlog_bytes += other.backlog_bytes;
        self.partial_bytes += other.partial_bytes;
        self.turns += other.turns;
    }

    pub(super) fn refuse(&mut self, status: u16) {
        count_status(&mut self.refused, status, 1);
    }

    pub(super) fn close(&mut self, cause: Cause) {
        self.closes[cause as usize] += 1;
    }

    pub(super) fn drop(&mut self, which: Drop, count: usize) {
        self.drops[which as usize] += count as u64;
    }

    /// A connection is there.
    pub(super) fn enter(&mut self, stage: Stage) {
        self.connections[State::from(stage) as usize] += 1;
    }

    /// A connection is there no more, or no more in this stage.
    pub(super) fn leave(&mut self, stage: Stage) {
        self.connections[State::from(stage) as usize] -= 1;
    }

    /// The backlog of a peer has changed.
    pub(super) fn backlog(&mut self, before: usize, now: usize) {
        self.backlog_bytes = self.backlog_bytes + now as u64 - before as u64;
    }

    /// A turn is over that took so long.
    #[inline]
    pub(super) fn turned(&mut self, time: Duration) {
        self.turns += 1;
        if time > self.lag {
            self.lag = time;
        }
        if self.broadcasts > 0 {
            self.fan_out.observe(time, std::mem::take(&mut self.broadcasts));
        }
    }
}

fn add_each<const N: usize>(sums: &mut [u64; N], others: &[u64; N]) {
    for (sum, other) in sums.iter_mut().zip(others) {
        *sum += other;
    }
}

fn count_status(refused: &mut Vec<(u16, u64)>, status: u16, count: u64) {
    match refused.iter_mut().find(|(other, _)| *other == status) {
        Some((_, sum)) => *sum += count,
        None => refused.push((status, count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_the_order_of_their_numbers() {
        assert!(Cause::ALL.iter().enumerate().all(|(number, cause)| *cause as usize == number));
        assert!(State::ALL.iter().enumerate().all(|(number, state)| *state as usize == number));
        assert!(Owner::ALL.iter().enumerate().all(|(number, owner)| *owner as usize == number));
        assert!(Drop::ALL.iter().enumerate().all(|(number, drop)| *drop as usize == number));
    }

    #[test]
    fn a_time_on_a_bound_is_within_it() {
        let mut fan_out = FanOut::default();
        fan_out.observe(Duration::from_micros(50), 2);
        fan_out.observe(Duration::from_micros(51), 1);
        fan_out.observe(Duration::from_secs(2), 1);
        assert_eq!(fan_out.counts[..2], [2, 1]);
        assert_eq!(fan_out.counts[FanOut::BOUNDS_US.len()], 1);
        assert_eq!(fan_out.sum, Duration::from_micros(2_000_151));
    }

    #[test]
    fn statuses_are_counted_apart() {
        let (mut one, mut other) = (Stats::default(), Stats::default());
        one.refuse(403);
        other.refuse(503);
        other.refuse(403);
        one.add(&other);
        assert_eq!(one.refused, [(403, 2), (503, 1)]);
    }

    #[test]
    fn the_longest_turn_is_the_lag() {
        let mut stats = Stats::default();
        for ms in [3, 9, 4] {
            stats.turned(Duration::from_millis(ms));
        }
        assert_eq!((stats.turns, stats.lag), (3, Duration::from_millis(9)));
    }
}
