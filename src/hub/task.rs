//! What may be asked of all loops together, and what they say.
//!
//! Owns the tasks, and how the parts of an answer, one of each loop, become one.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::auth::{Revocation, RevokedName};
use super::caller::Address;
use super::parts::Parts;
use crate::frame::CloseCode;
use crate::net::ConnectionId;

/// Something that all loops of the hub do together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// List the rooms whose names begin with `prefix`, in the order of their names.
    Rooms {
        /// How a name begins; empty for all.
        prefix: Box<str>,
        /// How many to list.
        max: usize,
    },
    /// List the members of a room.
    Members {
        /// The room.
        room: Box<str>,
        /// How many to list.
        max: usize,
    },
    /// Look at one connection.
    Connection(MemberId),
    /// List connections.
    Connections {
        /// Those of this user; else all.
        user: Option<Box<str>>,
        /// How many to list.
        max: usize,
    },
    /// Close a connection, or all of a user.
    Disconnect {
        /// Whom.
        who: Who,
        /// The close code.
        code: CloseCode,
        /// The reason, at most 123 bytes.
        reason: Box<str>,
    },
    /// Take all connections of a user out of a room.
    Unsubscribe {
        /// The user.
        user: Box<str>,
        /// The room.
        room: Box<str>,
    },
    /// Close the connections whose tokens are revoked by this.
    Revoke(Revocation),
    /// Take an entry out of the list of revocations: on this node that is done already.
    Unrevoke(RevokedName),
}

/// One connection, or all of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// One connection.
    Connection(MemberId),
    /// All connections of a user.
    User(Box<str>),
}

/// Names one connection among all loops. As text: `LOOP.INDEX.GENERATION`.
///
/// ```
/// use throng::hub::MemberId;
///
/// let id: MemberId = "1.20.300".parse().unwrap();
/// assert_eq!(id.to_string(), "1.20.300");
/// assert!("1.20".parse::<MemberId>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemberId {
    /// The loop's number.
    pub loop_index: u32,
    /// The connection there.
    pub id: ConnectionId,
}

/// This names no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not LOOP.INDEX.GENERATION")]
pub struct MemberIdError;

/// What the loops say together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Reply {
    /// To [`Task::Rooms`].
    pub rooms: Vec<RoomInfo>,
    /// To [`Task::Members`], [`Task::Connection`] and [`Task::Connections`].
    pub connections: Vec<ConnectionInfo>,
    /// How many there are in all, or how many connections the task has changed.
    pub count: usize,
    /// Whether all loops that were asked have answered.
    #[serde(rename = "complete")]
    pub is_whole: bool,
}

/// One room.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RoomInfo {
    /// Its name.
    pub room: Box<str>,
    /// How many members it has.
    pub count: usize,
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ConnectionInfo {
    /// Its id.
    pub id: MemberId,
    /// Whose it is.
    pub user: Box<str>,
    /// The rooms that it is in.
    pub rooms: Vec<Box<str>>,
    /// When it came, in seconds since 1970.
    pub opened_s: u32,
    /// Where it comes from: behind a proxy that is trusted, the client itself.
    pub address: Option<Address>,
    /// What it is owed from earlier turns.
    pub backlog_bytes: usize,
    /// The name of its node, where there are several.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<Box<str>>,
}

/// An answer in the making.
#[derive(Debug)]
pub(super) struct Gathering {
    task: Task,
    parts: Parts<Reply>,
}

impl Task {
    /// The one loop that is asked, `own` where any will do; else all are.
    pub(super) const fn loop_index(&self, own: usize) -> Option<usize> {
        match self {
            Self::Rooms { .. } => Some(own), // each knows all rooms, and counts their members
            Self::Connection(id) | Self::Disconnect { who: Who::Connection(id), .. } => {
                Some(id.loop_index as usize)
            }
            Self::Disconnect { who: Who::User(_), .. }
            | Self::Members { .. }
            | Self::Connections { .. }
            | Self::Unsubscribe { .. }
            | Self::Revoke(_)
            | Self::Unrevoke(_) => None,
        }
    }

    /// How many connections the answer lists.
    const fn max(&self) -> usize {
        match self {
            Self::Members { max, .. } | Self::Connections { max, .. } => *max,
            Self::Connection(_) => 1,
            Self::Rooms { .. }
            | Self::Disconnect { .. }
            | Self::Unsubscribe { .. }
            | Self::Revoke(_)
            | Self::Unrevoke(_) => 0,
        }
    }
}

impl Gathering {
    pub(super) fn new(task: Task, asked: usize, done: impl FnOnce(Reply) + Send + 'static) -> Self {
        let max = task.max();
        let parts = Parts::new(move |parts: Vec<Reply>| {
            let mut reply = Reply { is_whole: parts.len() == asked, ..Reply::default() };
            for part in parts {
                reply.rooms.extend(part.rooms);
                reply.connections.extend(part.connections);
                reply.count += part.count;
            }
            reply.connections.truncate(max);
            done(reply);
        });
        Self { task, parts }
    }

    pub(super) const fn task(&self) -> &Task {
        &self.task
    }

    /// Takes the part of one loop.
    pub(super) fn add(&self, part: Reply) {
        self.parts.add(part);
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.loop_index, self.id)
    }
}

impl FromStr for MemberId {
    type Err = MemberIdError;

    fn from_str(text: &str) -> Result<Self, MemberIdError> {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().map_err(|_| MemberIdError));
        let mut part = || parts.next().unwrap_or(Err(MemberIdError));
        let (loop_index, index, generation) = (part()?, part()?, part()?);
        let id = ConnectionId::from_u64(u64::from(generation) << 32 | u64::from(index));
        if parts.next().is_some() { Err(MemberIdError) } else { Ok(Self { loop_index, id }) }
    }
}

impl<'de> Deserialize<'de> for MemberId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for MemberId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
