//! Several nodes that behave as one: what they share, and the way of a node to it.
//!
//! Owns the seam to whatever stands between the nodes (a [`Broker`] and its [`Link`]), and the
//! thread of a node that speaks to it ([`Relay`]). A broker gives the messages of a room their
//! order, keeps them for those who come back, and passes them on to all nodes; it knows rooms,
//! places and bytes, and nothing of who is in a room. Never on a loop: a loop only puts something
//! into a bounded queue, and is told by mail.
//!
//! - Without a relay a node is alone: the home loop of a room gives its order. That is the default,
//!   and costs nothing.
//! - [`Memory`] is a broker between hubs of one process, for tests.
//! - `Redis`, `Nats` and `Rabbit` (feature `cli`) are those of `throng serve --redis`, `--nats` and
//!   `--rabbitmq`.
//!
//! What a broker and its link have to hold is written at [`Link`].

mod backoff;
mod body;
mod carrier;
mod company;
mod errand;
mod following;
#[cfg(feature = "cli")]
mod inbox;
mod memory;
#[cfg(feature = "cli")]
mod nats;
mod presence;
#[cfg(feature = "cli")]
mod rabbit;
#[cfg(feature = "cli")]
mod redis;
mod relay;
mod revoked;
mod talk;
mod track;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::history::{Epoch, Keep, Placed, Position, Span};

pub(super) use company::{FromNodes, ToNodes, is_user_table, user_table};
pub(super) use presence::Seating;
pub(super) use talk::is_for_all;

pub use memory::Memory;
#[cfg(feature = "cli")]
pub use nats::{Nats, NatsAddress};
#[cfg(feature = "cli")]
pub use rabbit::{Rabbit, RabbitAddress};
#[cfg(feature = "cli")]
pub use redis::{Redis, RedisAddress};
pub use relay::{Hand, Node, Relay, RelayStats, relay_bound};

pub(super) use watch::families;

/// What may have come over a link and not been taken, in bytes, in a link that counts; and what one
/// exchange reads.
pub(in crate::hub) const LINK_BYTES_MAX: usize = 8 << 20;

/// What several nodes share. It opens links to it, one at a time, on the thread of the relay.
pub trait Broker: Send + 'static {
    /// A way to it that is open.
    type Link: Link + Send;

    /// Opens a link. It may wait some seconds; it is called again, ever more seldom, when it fails.
    /// A link that was opened before is gone by then.
    ///
    /// # Errors
    /// [`BrokerError`], in words for who runs the server, without a password.
    fn connect(&mut self) -> Result<Self::Link, BrokerError>;

    /// What ends the [`wait`](Link::wait) of any link of this broker.
    fn waker(&self) -> Waker;
}

/// A way to the broker that is open. It is used by one thread, which may wait.
///
/// Where one of these returns an error, the link is dropped: nothing of it may be counted on any
/// more, and of each request of that exchange it is unknown whether it was carried out.
///
/// What is promised:
/// - Requests of one exchange are carried out in their order, and no other node's come in between
///   *within* one request. All go out together: what waits costs one round trip.
/// - [`Request::Publish`] gives the message the next offset of its room, keeps it, and passes it on
///   to all who are subscribed, this node too, at one instant.
/// - After [`Request::Subscribe`] every message of that room that gets its place later comes as
///   [`News::Message`], in the order of the offsets, as long as the link is whole. One that is lost
///   or doubled on the way does no harm: the relay sees it by its offset.
/// - When an answer is there, so is all news from before the request was carried out.
pub trait Link {
    /// Carries requests out: an answer for each. News that comes meanwhile is added to `news`.
    ///
    /// # Errors
    /// The link is broken.
    fn exchange(
        &mut self,
        requests: &[Request<'_>],
        news: &mut Vec<News>,
    ) -> Result<Vec<Answer>, BrokerError>;

    /// Waits until there is news, the waker is used (also if it was just before), or `timeout` is
    /// over. Finds out within a few seconds when nobody is there any more.
    ///
    /// # Errors
    /// The link is broken.
    fn wait(&mut self, timeout: Duration, news: &mut Vec<News>) -> Result<(), BrokerError>;
}

/// Something that a broker is to do.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// Give a message its place, keep it, and pass it on; one that comes again has its place and
    /// changes nothing. [`Answer::Published`].
    Publish {
        /// Its room, and up to where it is known.
        place: Place<'a>,
        /// By which it is known where it comes again.
        id: Option<MessageId<'a>>,
        /// The message.
        body: &'a [u8],
    },
    /// Read a piece of what is kept. [`Answer::Rows`].
    Read {
        /// The room, and up to where it is known.
        place: Place<'a>,
        /// Whether a room that is not there begins now, with the epoch of `place`.
        opens: bool,
        /// Which piece.
        span: Span,
        /// How many messages, at most.
        messages_max: usize,
        /// How many bytes they have, at most; the first is there whatever it takes.
        bytes_max: usize,
    },
    /// From now on, tell of what comes on this channel. [`Answer::Done`].
    Subscribe(Channel<'a>),
    /// Not any more. [`Answer::Done`].
    Unsubscribe(Channel<'a>),
    /// Pass something on to all who are subscribed, and keep nothing. [`Answer::Done`].
    Say {
        /// The channel.
        on: Channel<'a>,
        /// What is said.
        body: &'a [u8],
    },
    /// Put a field into a table, in place of what is there, for so long. [`Answer::Done`].
    Put {
        /// The table's name.
        table: &'a str,
        /// The field's.
        field: &'a str,
        /// What it holds.
        value: &'a [u8],
        /// When it is gone by itself, if it is not put again.
        lease: Duration,
    },
    /// Take a field out of a table. [`Answer::Done`].
    Remove {
        /// The table's name.
        table: &'a str,
        /// The field's.
        field: &'a str,
    },
    /// Read a table. [`Answer::Fields`].
    List {
        /// Its name.
        table: &'a str,
    },
}

/// A room, as a request is about it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its name.
    pub room: &'a str,
    /// What is kept of it. A room without history has no place for a message.
    pub keep: &'a Keep,
    /// How far this node has seen it. A broker that is not so far in the same epoch has lost
    /// something: the room begins anew.
    pub known: Option<Position>,
    /// The epoch of a room that begins now.
    pub fresh: Epoch,
}

/// A piece of a history: what a [`Request::Read`] says of it.
#[cfg(feature = "cli")]
#[derive(Clone, Copy, Debug)]
struct Piece {
    opens: bool,
    span: Span,
    messages_max: usize,
    bytes_max: usize,
}

/// What tells a message from every other in its room.
#[derive(Clone, Copy, Debug)]
pub struct MessageId<'a> {
    /// Who has said it.
    pub sender: &'a str,
    /// What the sender calls it.
    pub id: &'a str,
    /// How long it is remembered.
    pub window: Duration,
}

/// Where something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel<'a> {
    /// In a room.
    Room(&'a str),
    /// To all nodes.
    Nodes,
}

/// What a broker says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done.
    Done,
    /// The message has this place, from now on or since before.
    Published(Placed),
    /// What was read.
    Rows(Rows),
    /// What stands in a table.
    Fields(Vec<Field>),
    /// It was not done, and changed nothing; the link is whole.
    Failed(BrokerError),
}

/// What was read of a room: messages in the order of their offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// How far the room was at that instant.
    pub position: Position,
    /// Each with its offset.
    pub rows: Vec<(u64, Box<[u8]>)>,
    /// Whether there are more, in the direction that was asked for.
    pub has_more: bool,
}

/// A field of a table, and what it holds.
pub type Field = (Box<str>, Box<[u8]>);

/// What comes by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A message of a room has its place.
    Message {
        /// The room.
        room: Arc<str>,
        /// The place.
        position: Position,
        /// The message.
        body: Box<[u8]>,
    },
    /// Something was said in a room, without a place.
    Said {
        /// The room; else it is for all nodes.
        room: Option<Arc<str>>,
        /// What was said.
        body: Box<[u8]>,
    },
}

/// Why a broker cannot be used, in words: nobody listens there, it has no memory left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BrokerError(pub String);

/// Ends a wait, from any thread. Clones do the same.
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// One that calls this.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// Ends the wait, or the next one.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// Whether less is there than was seen in the same epoch.
fn is_lost(now: Position, known: Option<Position>) -> bool {
    known.is_some_and(|known| known.epoch == now.epoch && known.offset > now.offset)
}
