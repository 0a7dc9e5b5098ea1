//! The seam to whatever holds the messages of durable rooms.
//!
//! Owns what a store promises, and what it may say of a failure. Never knows a loop.

use super::{Keep, Position, Span};

/// Holds messages so that they outlive the process. It is used by one thread, which may wait.
pub trait Store {
    /// Writes all of these, or none: each gets the next offset of its room, in this order. When it
    /// returns they are on the disk. What the rules do not keep any more goes.
    ///
    /// # Errors
    /// [`StoreError`]: then nothing of it may be counted on. The store is opened anew.
    fn append(&mut self, batch: &[Entry<'_>]) -> Result<Vec<Position>, StoreError>;

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
    /// What is kept of the room.
    pub keep: &'a Keep,
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
