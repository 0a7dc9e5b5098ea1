//! The write half of one connection.
//!
//! Owns its stream, what it is owed, its close state and its deadline. Never parses.

use super::backlog::Backlog;
use super::deadline::Wait;
use super::turn::Chain;
use crate::extension::Direction;
use crate::proto::Outbound;

/// How far a connection has come.
///
/// ```text
///   Handshake ──accepted──► Open ──Close, fault, end──► Ending ──all written──► Shut ──► gone
///       └──refused, answered with "close"──────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// HTTP is spoken.
    Handshake,
    /// WebSocket is spoken; the rest is for [`Outbound`] to say.
    Open,
    /// What is owed is still written, then our end of TCP is closed.
    Ending,
    /// The peer's end of TCP is awaited: to drop a socket with unread input is a reset, which can
    /// destroy what is on its way to the peer.
    Shut,
}

/// The write half of a connection, with an inline session.
#[derive(Debug)]
pub(super) struct Peer<S, T> {
    pub(super) stream: T,
    pub(super) generation: u32,
    /// What this turn owes.
    pub(super) chain: Chain,
    /// When `wait` is over, in ticks.
    pub(super) deadline: u32,
    pub(super) wait: Wait,
    pub(super) stage: Stage,
    pub(super) outbound: Outbound,
    /// What was agreed for the messages to it.
    pub(super) direction: Direction,
    /// Whether it is on the list of peers to write to.
    pub(super) dirty: bool,
    /// Whether it is on the list of peers to read again.
    pub(super) again: bool,
    /// Whether it is owed too much to be read from.
    pub(super) paused: bool,
    /// Whether its socket may hold unread bytes.
    pub(super) unread: bool,
    /// Whether TCP has said that no more will come: read to the end, however short a read is.
    pub(super) read_closed: bool,
    /// Whether the end of what it sends was read.
    pub(super) ended: bool,
    /// Whether a request of it was answered.
    pub(super) answered: bool,
    /// What earlier turns owe.
    pub(super) backlog: Option<Box<Backlog>>,
    /// Present from open to close.
    pub(super) session: Option<S>,
}

// A debug build of mio keeps more in a stream than its descriptor.
#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Peer<usize, mio::net::TcpStream>>() <= 56);
#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Peer<(), mio::net::TcpStream>>() <= 40);

impl<S, T> Peer<S, T> {
    pub(super) const fn new(stream: T, generation: u32, deadline: u32) -> Self {
        Self {
            stream,
            generation,
            chain: Chain::EMPTY,
            deadline,
            wait: Wait::Handshake,
            stage: Stage::Handshake,
            outbound: Outbound::new(),
            direction: Direction::PLAIN,
            dirty: false,
            again: false,
            paused: false,
            unread: true,
            read_closed: false,
            ended: false,
            answered: false,
            backlog: None,
            session: None,
        }
    }

    /// Whether a message can be sent: between the handler's open and its close, before any Close.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open) && self.session.is_some() && self.outbound.is_open()
    }

    /// What earlier turns owe, in bytes, as it is held against the limits.
    #[inline]
    pub(super) fn backlog_bytes(&self) -> usize {
        self.backlog.as_ref().map_or(0, |backlog| backlog.charge())
    }
}
