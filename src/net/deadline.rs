//! What a connection is waited for, and how long.
//!
//! Owns the one deadline that a connection has at a time, in coarse ticks. Never acts on it.

use std::time::Duration;

use super::Config;

/// A deadline counts ticks since the loop began: a tenth of a second each, 13 years in 32 bits.
const TICKS_PER_SECOND: u32 = 10;

/// What a connection is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Wait {
    /// A whole request.
    Handshake,
    /// Anything at all; when the time is over, a ping goes out.
    Idle,
    /// Anything at all, after a ping.
    Pong,
    /// Room for what is owed.
    Write,
    /// The peer's Close, or its end of TCP.
    Close,
}

impl Wait {
    const fn duration(self, config: &Config) -> Duration {
        match self {
            Self::Handshake => config.handshake_timeout,
            Self::Idle => config.ping_interval,
            Self::Pong => config.pong_timeout,
            Self::Write => config.write_timeout,
            Self::Close => config.close_timeout,
        }
    }
}

/// The tick that `now` is in.
pub(super) fn tick(now: Duration) -> u32 {
    let tenths = now.subsec_millis() / (1000 / TICKS_PER_SECOND);
    let ticks = now.as_secs() * u64::from(TICKS_PER_SECOND) + u64::from(tenths);
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// When a tick is over.
pub(super) fn end_of_tick(tick: u32) -> Duration {
    Duration::from_secs(1) * tick.saturating_add(1) / TICKS_PER_SECOND
}

/// How many ticks to wait, at least one.
fn ticks(duration: Duration) -> u32 {
    tick(duration).max(1)
}

/// How many ticks each wait lasts, worked out once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits([u32; 5]);

impl Waits {
    pub(super) fn new(config: &Config) -> Self {
        use Wait::{Close, Handshake, Idle, Pong, Write};
        Self([Handshake, Idle, Pong, Write, Close].map(|wait| ticks(wait.duration(config))))
    }

    #[inline]
    pub(super) const fn ticks(&self, wait: Wait) -> u32 {
        self.0[wait as usize]
    }

    /// How long a connection may be idle: up to an eighth less than the rest, by its generation, so
    /// that many that were opened together are not all pinged in one turn.
    #[inline]
    pub(super) const fn idle_ticks(&self, generation: u32) -> u32 {
        let idle = self.ticks(Wait::Idle);
        idle - (idle as u64 * (generation % 64) as u64 / 512) as u32
    }
}
