//! The limits and times of a loop.
//!
//! Owns the defaults. Everything that could grow has a limit here, and every wait an end.

use std::time::Duration;

use super::{Peers, Platform};
use crate::extension;
use crate::http::HeadLimits;
use crate::proto::{Role, Settings};

/// What happens to a message for a peer whose backlog is at
/// [`Config::backlog_bytes_max`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BacklogPolicy {
    /// The peer is closed with 1008: it can come back and ask for what it missed.
    Close,
    /// The oldest messages that were sent under this policy, or the last, and are not half written,
    /// make room. Control frames are never dropped.
    DropOldest,
    /// As [`DropOldest`](Self::DropOldest), and a message [of a key](super::SharedFrame::keyed)
    /// takes the place of what a slow peer is owed of that key, however little it is owed.
    KeepLatest,
    /// The new message is not taken: [`SendError::Backlogged`](super::SendError::Backlogged).
    DropNewest,
}

/// The limits and times of a loop.
#[derive(Clone, Debug)]
pub struct Config {
    /// What a request's head may measure: else 431 or 414.
    pub head: HeadLimits,
    /// What a plain request's body may measure, in bytes: else 413. Default: 64 KiB.
    pub body_bytes_max: usize,
    /// Message size, fragments, delivery.
    pub settings: Settings,
    /// How long a request may take to arrive, from the first moment: else 408. Default: 10 s.
    pub handshake_timeout: Duration,
    /// After so much silence the peer is pinged. Default: 30 s.
    pub ping_interval: Duration,
    /// How long a pinged peer may stay silent. Default: 10 s.
    pub pong_timeout: Duration,
    /// Once all is written, how long the peer may take to answer our Close, and then over its end
    /// of TCP. Default: 5 s.
    pub close_timeout: Duration,
    /// How long a peer that is owed something may go without taking any of it. Default: 30 s.
    pub write_timeout: Duration,
    /// Over how long peers are asked to leave when the loop stops, evenly; then they have as long
    /// again, and no longer than [`close_timeout`](Self::close_timeout), to do so. Default: 5 s.
    pub drain_timeout: Duration,
    /// So many peers at least are asked a second, so that a few need not take all that time.
    /// Default: 100.
    pub drain_rate_min: u32,
    /// A peer that is owed more than this, in bytes, is not read from. Default: 64 KiB.
    pub backlog_high_bytes: usize,
    /// A peer that is owed no more than this is read from again. Default: 16 KiB.
    pub backlog_low_bytes: usize,
    /// Once a peer is owed this much from earlier turns, in bytes, the policy takes over. What it
    /// is owed stays under this, one message more, and what one turn may hold for all peers
    /// together (1 MiB). Default: 4 MiB.
    pub backlog_bytes_max: usize,
    /// What happens then. Default: [`BacklogPolicy::Close`].
    pub backlog_policy: BacklogPolicy,
    /// What all peers of the loop may be owed from earlier turns together, in bytes. Past it, those
    /// who are owed most are closed with 1013 until three eighths are free; an eighth over it, also
    /// within a turn, who would be owed more is. Default: no limit.
    pub backlogs_bytes_max: usize,
    /// What may be held of messages and requests that have come in part, from all peers of the loop
    /// together, in bytes. Past it, those of whom most is held are closed with 1013, or get 503,
    /// until three eighths are free. Default: no limit.
    pub partial_bytes_max: usize,
    /// How many connections a loop holds: else 503. Default: 1,000,000.
    pub connections_max: usize,
    /// Whether every connection begins with a header of the PROXY protocol, version 1 or 2, which
    /// says who it is from; one that does not is closed without an answer. Only for listeners that
    /// nobody but the proxy can reach: who can, is whom he says. Default: not.
    pub proxy_protocol: bool,
    /// How many new connections are taken in a turn. Default: 256.
    pub accepts_per_turn: usize,
    /// How much is read from one connection at once, in bytes. Default: 256 KiB.
    pub receive_buffer_bytes: usize,
    /// permessage-deflate. Default: [`Mode::Shared`](extension::Mode::Shared).
    pub deflate: extension::Config,
    /// What all contexts of a loop that are kept from message to message may take, in bytes:
    /// further connections share. Only for [`Mode::Dedicated`](extension::Mode::Dedicated).
    /// Default: 64 MiB.
    pub deflate_budget_bytes: usize,
    /// How many pieces of mail wait for a loop. Default: 65,536.
    pub mailbox_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            body_bytes_max: 64 << 10,
            settings: Settings::new(Role::Server),
            handshake_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(30),
            pong_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
            drain_rate_min: 100,
            backlog_high_bytes: 64 << 10,
            backlog_low_bytes: 16 << 10,
            backlog_bytes_max: 4 << 20,
            backlog_policy: BacklogPolicy::Close,
            backlogs_bytes_max: usize::MAX,
            partial_bytes_max: usize::MAX,
            connections_max: 1_000_000,
            proxy_protocol: false,
            accepts_per_turn: 256,
            receive_buffer_bytes: 256 << 10,
            deflate: extension::Config::default(),
            deflate_budget_bytes: 64 << 20,
            mailbox_max: 1 << 16,
        }
    }
}

impl<S, P: Platform> Peers<S, P> {
    /// The limits and times that hold on this loop.
    pub const fn config(&self) -> &Config {
        &self.config
    }
}
