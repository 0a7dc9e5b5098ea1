//! What comes to a loop from elsewhere.
//!
//! Owns the letters between loops, and from outside, and how one is carried out.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::admin::Slip;
use super::command::Fault;
use super::config::Config;
use super::delivery::Receipt;
use super::door::Door;
use super::frames::Frames;
use super::handler::{Hub, Session};
use super::history::{Done, Position};
use super::recovery::{Answer, Inquiry, Share};
use super::sequencer::{Author, Origin, Publish};
use super::sessions::{Record, SessionId};
use super::task::Gathering;
use super::wire::Wire;
use crate::http::Response;
use crate::net::{ConnectionId, Peers, Platform, Verdict};

/// What one loop of the hub tells another: made by the hub, and by [`Control`](super::Control).
#[derive(Debug)]
pub struct Mail(pub(super) Letter);

/// What stands in a piece of mail.
#[derive(Debug)]
pub(super) enum Letter {
    /// Something was published.
    Frames { to: To, frames: Frames },
    /// A message of a room whose home this is.
    Publish(Box<Publish>),
    /// A message that has its place.
    Sequenced { room: Arc<str>, position: Position, frames: Frames, without: Option<Origin> },
    /// A message from the home of a room without a history.
    Once { room: Arc<str>, frames: Frames, without: Option<Origin> },
    /// What became of a member's message.
    Published { origin: Origin, id: Option<Box<RawValue>>, result: Result<Receipt, Fault> },
    /// Something is asked of a room whose home this is.
    Inquire(Box<Inquiry>),
    /// What a room's home says.
    Answer { by: Origin, answer: Box<Answer>, _share: Share },
    /// What the store, or the broker, has done.
    Done(Vec<Done>),
    /// A session was found for a member, or was not.
    Resumed { by: Origin, session: SessionId, record: Option<Record> },
    /// Members of one name have come to a room, or have left it where `change` is negative. It is
    /// no news where they came with it from another process.
    Presence { room: Arc<str>, name: Arc<str>, change: i64, is_news: bool },
    /// Somebody from outside publishes something.
    Say { to: Vec<To>, sender: Box<str>, content: Box<RawValue> },
    /// Something is asked of all loops.
    Ask(Arc<Gathering>),
    /// From now on these limits hold.
    Change { config: Box<Config>, door: Arc<Door> },
    /// The answer to a request that was left pending.
    Respond { request: ConnectionId, response: Response },
    /// About the dashboard.
    Admin(Slip),
}

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// Everyone in a room.
    Room(Arc<str>),
    /// All connections of a user.
    User(Arc<str>),
    /// Everyone.
    All,
}

impl Letter {
    /// What the message in it takes, as JSON.
    pub(super) fn message_bytes(&self) -> usize {
        match self {
            Self::Frames { frames, .. }
            | Self::Sequenced { frames, .. }
            | Self::Once { frames, .. } => frames.of(Wire::Json).bytes().len(),
            _ => 0, // what waits beside messages has bounds of its own
        }
    }
}

impl Hub {
    /// Carries a letter out.
    pub(super) fn receive<P: Platform>(&mut self, peers: &mut Peers<Session, P>, letter: Letter) {
        self.others.catch_up();
        match letter {
            Letter::Frames { to, frames } => self.deliver(peers, &to, &frames, None),
            Letter::Presence { room, name, change, is_news } => {
                self.rooms.count_elsewhere(&room, &name, change);
                self.follow(peers, &room);
                if is_news {
                    self.announce_all(peers, &room, &name, change);
                }
            }
            Letter::Say { to, sender, content } => {
                for to in &to {
                    if let To::Room(room) = to {
                        self.count_from_outside(room, content.get().len());
                    }
                    self.say_from_outside(peers, to, &sender, &content);
                }
            }
            Letter::Publish(publish) => {
                if matches!(publish.by, Some(Author::Request { .. })) {
                    self.count_from_outside(&publish.room, publish.content.get().len());
                }
                self.sequence(peers, *publish);
            }
            Letter::Sequenced { room, position, frames, without } => {
                self.receive_sequenced(peers, room, Some(position), &frames, without);
            }
            Letter::Once { room, frames, without } => {
                self.receive_sequenced(peers, room, None, &frames, without);
            }
            Letter::Published { origin, id, result } => {
                self.acknowledge(peers, origin, id.as_deref(), result);
            }
            Letter::Inquire(inquiry) => self.receive_inquiry(peers, *inquiry),
            Letter::Resumed { by, session, record } => {
                self.found_session(peers, by, session, record);
            }
            Letter::Answer { by, answer, .. } => self.answered(peers, by, *answer),
            Letter::Done(done) => self.receive_done(peers, done),
            Letter::Ask(gathering) => {
                let part = self.answer(peers, gathering.task());
                gathering.add(part);
            }
            Letter::Change { config, door } => (self.config, self.door) = (*config, door),
            Letter::Respond { request, response } => {
                peers.decide(request, Verdict::Respond(response));
            }
            Letter::Admin(slip) => self.take_slip(peers, slip),
        }
    }

    /// Shows on the dashboard what somebody says who is no member.
    fn count_from_outside(&mut self, room: &str, len: usize) {
        if let Some(room) = self.rooms.number(room) {
            self.desk.publish(room, len);
        }
    }
}
