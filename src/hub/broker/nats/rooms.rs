//! Rooms in NATS: how a message gets its place, and how a piece of a history is read.
//!
//! Owns the condition on which a message is taken, which makes offsets dense, and the headers that
//! carry a place. The last message of a subject says how far its room is: a room that begins has
//! one of offset 0, which is no message.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::{HeaderMap, Message};

use super::names;
use super::streams::{Stored, Streams, Trouble};
use crate::hub::broker::{Answer, BrokerError, MessageId, Piece, Place, Rows, is_lost};
use crate::hub::history::{Placed, Position, Span};

/// The header that says `EPOCH OFFSET`.
pub(super) const PLACE: &str = "Throng-Place";

/// How long it is tried to be first, where others publish in the same room.
const CONTEST: Duration = Duration::from_millis(1500);

/// How far a room is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// None where it is not there, or its last message is not ours.
    pub(super) position: Option<Position>,
    /// The number of its last message in the stream; 0 where it has none.
    pub(super) sequence: u64,
}

/// What is read of a piece so far.
struct Cut {
    piece: Piece,
    rows: VecDeque<(u64, Box<[u8]>)>,
    bytes: usize,
    has_more: bool,
}

impl Head {
    /// Where the next message goes on: a new epoch where less is there than was seen.
    fn last(self, place: Place<'_>) -> Position {
        let position = self.position.filter(|position| !is_lost(*position, place.known));
        position.unwrap_or(Position { epoch: place.fresh, offset: 0 })
    }
}

impl Streams {
    /// Gives a message its place. What is known of the room may be old, and is made new.
    pub(super) async fn publish(
        &self,
        place: Place<'_>,
        id: Option<MessageId<'_>>,
        body: &[u8],
        known: &mut Option<Head>,
    ) -> Result<Answer, Trouble> {
        let subject = names::room(place.room);
        let id = id.map(|id| names::message_id(place.room, id));
        let begin = Instant::now();
        loop {
            let head = match known.take() {
                Some(head) if head.position.is_some_and(|it| !is_lost(it, place.known)) => head,
                _ => self.head(&subject).await?.0,
            };
            let last = head.last(place);
            let position = Position { offset: last.offset + 1, ..last };
            match self.store(&subject, position, head.sequence, id.as_deref(), body).await? {
                Stored::At(sequence) => {
                    *known = Some(Head { position: Some(position), sequence });
                    if let Some(id) = id {
                        self.remember(&id, position).await?;
                    }
                    return Ok(Answer::Published(Placed { position, is_repeat: false }));
                }
                Stored::Before(sequence) => return self.repeat(sequence, id.as_deref()).await,
                Stored::Conflict if begin.elapsed() < CONTEST => {}
                Stored::Conflict => {
                    let words = "others publish in this room without an end".into();
                    return Err(Trouble::Refused(BrokerError(words)));
                }
            }
        }
    }

    /// Reads a piece, and how far the room is.
    pub(super) async fn read(
        &self,
        place: Place<'_>,
        piece: Piece,
        known: &mut Option<Head>,
    ) -> Result<Rows, Trouble> {
        let subject = names::room(place.room);
        let (head, last) = loop {
            let (head, last) = self.head(&subject).await?;
            let position = head.last(place);
            if head.position == Some(position) || !piece.opens {
                break (head, last);
            }
            if let Stored::At(sequence) =
                self.store(&subject, position, head.sequence, None, b"").await?
            {
                break (Head { position: Some(position), sequence }, None);
            }
        };
        *known = Some(head);
        let position = head.last(place);
        let kept = position.offset.saturating_sub(place.keep.messages_max as u64) + 1;
        let (from, to) = match piece.span {
            Span::Newest => (kept, position.offset),
            Span::Before(offset) => (kept, position.offset.min(offset.saturating_sub(1))),
            Span::After(offset) => (kept.max(offset.saturating_add(1)), position.offset),
        };
        if from > to {
            return Ok(Rows { position, rows: Vec::new(), has_more: false });
        }
        let mut cut = Cut::new(piece);
        match last {
            // There is but one, and it is at hand.
            Some(last) if from == position.offset => cut.take(from, &last.payload),
            _ => {
                let wanted = |message: &Message| {
                    let place = place_of(message.headers.as_ref()?)?;
                    let is_wanted =
                        place.epoch == position.epoch && (from..=to).contains(&place.offset);
                    is_wanted.then_some(place.offset)
                };
                self.deliver(&self.rooms, subject, head.sequence, |message| {
                    if let Some(offset) = wanted(&message) {
                        cut.take(offset, &message.payload);
                    }
                })
                .await?;
            }
        }
        Ok(Rows { position, rows: cut.rows.into(), has_more: cut.has_more })
    }

    async fn head(&self, subject: &str) -> Result<(Head, Option<StreamMessage>), Trouble> {
        let Some(last) = self.last(&self.rooms, subject).await? else {
            return Ok((Head { position: None, sequence: 0 }, None));
        };
        let head = Head { position: place_of(&last.headers), sequence: last.sequence };
        Ok((head, Some(last)))
    }

    /// Puts a message after the one of this number.
    async fn store(
        &self,
        subject: &str,
        position: Position,
        after: u64,
        id: Option<&str>,
        body: &[u8],
    ) -> Result<Stored, Trouble> {
        let message = PublishMessage::build()
            .payload(body.to_vec().into())
            .header(PLACE, written(position).as_str())
            .expected_last_subject_sequence(after);
        let message = match id {
            Some(id) => message.message_id(id),
            None => message,
        };
        self.put(subject.into(), message).await
    }

    /// Notes the place of a message that may come again: it may be trimmed by then.
    async fn remember(&self, id: &str, position: Position) -> Result<(), Trouble> {
        let noted = self.client.publish(names::place(id), written(position).into()).await;
        noted.map_err(|error| Trouble::broken(&error))
    }

    /// The place of a message that has come again.
    async fn repeat(&self, sequence: u64, id: Option<&str>) -> Result<Answer, Trouble> {
        let position = match self.at(sequence).await? {
            Some(message) => place_of(&message.headers),
            None => self.remembered(id).await?,
        };
        let words = || BrokerError("this message came before, and is kept no more".into());
        let position = position.ok_or_else(|| Trouble::Refused(words()))?;
        Ok(Answer::Published(Placed { position, is_repeat: true }))
    }

    async fn remembered(&self, id: Option<&str>) -> Result<Option<Position>, Trouble> {
        let Some(id) = id else { return Ok(None) };
        let noted = self.last(&self.fields, &names::place(id)).await?;
        Ok(noted.and_then(|noted| read(std::str::from_utf8(&noted.payload).ok()?)))
    }
}

impl Cut {
    const fn new(piece: Piece) -> Self {
        Self { piece, rows: VecDeque::new(), bytes: 0, has_more: false }
    }

    /// Takes the next message. What is too much is left out at the end that is not asked for.
    fn take(&mut self, offset: u64, body: &[u8]) {
        let is_rising = matches!(self.piece.span, Span::After(_));
        if is_rising && (self.has_more || self.is_full(1, body.len())) {
            self.has_more = true;
            return;
        }
        self.rows.push_back((offset, body.into()));
        self.bytes += body.len();
        while self.is_full(0, 0) {
            self.has_more = true;
            self.bytes -= self.rows.pop_front().map_or(0, |(_, body)| body.len());
        }
    }

    /// Whether so much more would be too much.
    fn is_full(&self, messages: usize, bytes: usize) -> bool {
        let count = self.rows.len() + messages;
        count > self.piece.messages_max || (count > 1 && self.bytes + bytes > self.piece.bytes_max)
    }
}

/// The place that headers say.
pub(super) fn place_of(headers: &HeaderMap) -> Option<Position> {
    read(headers.get(PLACE)?.as_str())
}

fn read(place: &str) -> Option<Position> {
    let (epoch, offset) = place.split_once(' ')?;
    Some(Position { epoch: epoch.parse().ok()?, offset: offset.parse().ok()? })
}

fn written(position: Position) -> String {
    format!("{} {}", position.epoch, position.offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::history::Epoch;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let position = Position { epoch: Epoch(7), offset: u64::MAX };
        assert_eq!(read(&written(position)), Some(position));
        for bad in ["", "7", "x 1", "0000000000000007 -1", "0000000000000007 1 2"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn as_many_rows_are_taken_as_are_wanted() {
        let cut = |span, messages_max, bytes_max| {
            let mut cut = Cut::new(Piece { opens: false, span, messages_max, bytes_max });
            (1..=5).for_each(|offset| cut.take(offset, &[0; 10]));
            (cut.rows.iter().map(|row| row.0).collect::<Vec<_>>(), cut.has_more)
        };
        assert_eq!(cut(Span::Newest, 2, 100), (vec![4, 5], true));
        assert_eq!(cut(Span::After(0), 5, 100), (vec![1, 2, 3, 4, 5], false));
        assert_eq!(cut(Span::After(0), 5, 20), (vec![1, 2], true));
        assert_eq!(cut(Span::Before(6), 5, 1), (vec![5], true));
    }
}
