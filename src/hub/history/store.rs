//! The seam to whatever holds the messages of durable rooms.
//!
//! Owns what a store promises, and what it may say of a failure. Never knows a loop.

use super::{Epoch, Keep, Position, Span};
use crate::hub::sink::{Event, Held};

/// Holds messages so that they outlive the process. It is used by one thread, which may wait.
pub trait Store {
    /// Writes all of these, or none: each message gets the next offset of its room, in this order;
    /// one that is there already, by its [`EntryId`], keeps the offset that it has. When it returns
    /// they are on the disk. What the rules do not keep any more goes. The outbox holds no more
    /// than `outbox_max`: a message for which it has no room is not written.
    ///
    /// # Errors
    /// [`StoreError`]: then nothing of it may be counted on. The store is opened anew.
    fn append(&mut self, batch: &[Write<'_>], outbox_max: Held) -> Result<Written, StoreError>;

    /// Reads a piece of a room's history, and how far the room is. It never writes: of a room
    /// without a message the offset is 0.
    ///
    /// # Errors
    /// [`StoreError`], as above.
    fn read(
        &mut self,
        room: &str,
        span: Span,
        messages_max: usize,
        bytes_max: usize,
        oldest_ms: u64,
    ) -> Result<Rows, StoreError>;

    /// The events of the outbox behind the number `after`, in their order. Those up to there were
    /// handed over: they go with what is written next. A number of another outbox says nothing of
    /// this one, which is given from its beginning. Default: there is no outbox.
    ///
    /// # Errors
    /// [`StoreError`], as above.
    fn take(
        &mut self,
        _after: Option<(Epoch, u64)>,
        _events_max: usize,
        _bytes_max: usize,
    ) -> Result<Taken, StoreError> {
        Ok(Taken { epoch: Epoch(0), events: Vec::new() })
    }

    /// What stands in the outbox.
    fn held(&self) -> Held {
        Held::default()
    }

    /// Forgets some of what was said before `oldest_ms(room)`; called about once a second.
    ///
    /// # Errors
    /// [`StoreError`], as above.
    fn sweep(&mut self, oldest_ms: &dyn Fn(&str) -> u64) -> Result<(), StoreError>;

    /// Whether it can be written to: asked about once a second after a failure.
    ///
    /// # Errors
    /// [`StoreError`], as above.
    fn probe(&mut self) -> Result<(), StoreError>;
}

/// Something to be written.
#[derive(Clone, Copy, Debug)]
pub enum Write<'a> {
    /// A message.
    Message(Entry<'a>),
    /// An event for the outbox.
    Event(&'a Event),
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Where each message stands; `None` where the outbox had no room for it.
    pub places: Vec<Option<Placed>>,
    /// How many events went from the outbox, since it was full.
    pub dropped: u64,
}

/// What stands in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Which outbox.
    pub epoch: Epoch,
    /// Its events, each with its number, which no other has.
    pub events: Vec<(u64, Event)>,
}

/// A message to be written.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its room.
    pub room: &'a str,
    /// Who has said it.
    pub sender: &'a str,
    /// A JSON value.
    pub content: &'a str,
    /// Milliseconds since 1970.
    pub timestamp: u64,
    /// By what it is known where it comes again.
    pub id: Option<EntryId<'a>>,
    /// What is kept of the room.
    pub keep: &'a Keep,
    /// Whether it is an event for the outbox, too.
    pub is_noted: bool,
}

/// A message of the same room, sender and id that is not older is the same message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryId<'a> {
    /// The id.
    pub text: &'a str,
    /// Milliseconds since 1970.
    pub oldest_ms: u64,
}

/// A message that has its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The place.
    pub position: Position,
    /// Whether the message was there before.
    pub is_repeat: bool,
}

/// A message that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its offset in the room.
    pub offset: u64,
    /// As in [`Entry`].
    pub sender: Box<str>,
    /// As in [`Entry`].
    pub content: Box<str>,
    /// As in [`Entry`].
    pub timestamp: u64,
}

/// What was read: messages in the order of their offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// How far the room is.
    pub position: Position,
    /// The messages.
    pub rows: Vec<Row>,
    /// Whether there are more, in the direction that was asked for.
    pub has_more: bool,
}

/// Why a store cannot do its work, in words: the disk is full, the file is locked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);
