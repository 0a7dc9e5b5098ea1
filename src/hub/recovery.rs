//! How somebody who comes into a room gets what it missed, and how history is asked for.
//!
//! Owns the questions to a room's home and its answers. An answer stands in the order of the room:
//! what it says was said before it, and all that comes after it follows without a gap.

use std::sync::Arc;

use super::command::Fault;
use super::handler::{Hub, Session};
use super::history::{Epoch, Kept, Op, Page, PageMax, Position, Reading, Since, Span};
use super::mail::Letter;
use super::sequencer::Origin;
use crate::net::{Peers, Platform};

/// How many messages an answer has at most.
pub(super) const PAGE_MESSAGES_MAX: usize = 1000;

/// What the messages of an answer take at most, in bytes; one of more stands alone.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// Something that is asked of the home of a room.
#[derive(Debug)]
pub(super) struct Inquiry {
    pub(super) by: Origin,
    pub(super) room: Arc<str>,
    pub(super) ask: Ask,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// How far is the room, and what came since?
    Join(Option<Since>),
    /// A piece of history, of so many messages.
    Page(Span, usize),
}

/// What a room's home says.
#[derive(Debug)]
pub(super) enum Answer {
    Joined(Recovery),
    Page(Page),
    /// The room has no history.
    Nothing,
    Fault(Fault),
}

/// What somebody gets who comes into a room.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// How far the room is, where it has a history that can be read now.
    pub(super) position: Option<Position>,
    /// Whether `messages` are all that was missed.
    pub(super) is_recovered: bool,
    pub(super) messages: Vec<Kept>,
}

impl Hub {
    /// Asks the home of a room; the answer, where it is known at once. Else it comes to
    /// [`answered`](Self::answered).
    pub(super) fn ask_home<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        inquiry: Inquiry,
    ) -> Result<Option<Answer>, Fault> {
        if !self.config.history.keep(&inquiry.room).has_history() {
            return Ok(Some(inquiry.ask.without_history()));
        }
        let home = self.home_of(&inquiry.room);
        if home == self.others.loop_index() {
            return Ok(self.serve(peers, inquiry));
        }
        // What this loop has delivered last is where a newcomer begins.
        if inquiry.ask == Ask::Join(None)
            && let Some(position) = self.rooms.find(&inquiry.room).and_then(|room| room.position)
        {
            let position = Some(position);
            return Ok(Some(Answer::Joined(Recovery { position, ..Recovery::default() })));
        }
        self.others.post(home, Letter::Inquire(Box::new(inquiry))).map(|()| None)
    }

    /// Answers, here at the home of the room; later, where the store is asked.
    fn serve<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        inquiry: Inquiry,
    ) -> Option<Answer> {
        let Inquiry { room, ask, .. } = &inquiry;
        let (keep, now_ms) = (self.config.history.keep(room), peers.unix_ms());
        if !keep.is_durable {
            if matches!(ask, Ask::Join(_)) {
                self.logs.open(room, keep, || Epoch(peers.random_u64()), now_ms);
            }
            let found = self.look_up(room, *ask, now_ms);
            return Some(found.unwrap_or_else(|| ask.unrecovered(self.logs.position(room))));
        }
        let oldest_ms = keep.oldest_ms(now_ms);
        let Some(keeper) = &self.keeper else { return Some(ask.unavailable()) };
        let own = self.others.loop_index();
        if self.logs.position(room).is_none() {
            let messages = keep.messages_max.min(PAGE_MESSAGES_MAX);
            let max = PageMax { messages, bytes: PAGE_BYTES_MAX };
            let parked = self.loading.entry(Arc::clone(room)).or_default();
            if parked.is_empty() {
                let (room, span) = (Arc::clone(room), Span::Newest);
                let load = Op::Read(Reading { room, span, max, oldest_ms, inquiry: None });
                if let Err(fault) = keeper.put(own, load) {
                    self.loading.remove(&inquiry.room);
                    return Some(inquiry.ask.refused(fault));
                }
            }
            parked.push(inquiry);
            return None;
        }
        if let Some(answer) = self.look_up(room, *ask, now_ms) {
            return Some(answer);
        }
        let keeper = self.keeper.as_ref()?;
        let (span, messages) = match *ask {
            Ask::Join(since) => {
                (Span::After(since.map_or(0, |since| since.offset)), PAGE_MESSAGES_MAX)
            }
            Ask::Page(span, limit) => (span, limit),
        };
        let (room, max) = (Arc::clone(room), PageMax { messages, bytes: PAGE_BYTES_MAX });
        let ask = *ask;
        let inquiry = Some(Box::new(inquiry));
        let put = keeper.put(own, Op::Read(Reading { room, span, max, oldest_ms, inquiry }));
        put.err().map(|fault| ask.refused(fault))
    }

    /// Answers from what is in memory, where that is enough.
    fn look_up(&mut self, room: &str, ask: Ask, now_ms: u64) -> Option<Answer> {
        let position = self.logs.position(room)?;
        match ask {
            Ask::Join(None) => Some(ask.unrecovered(Some(position))),
            Ask::Join(Some(since)) => {
                let missed = position.offset.checked_sub(since.offset);
                let is_possible = since.epoch == Some(position.epoch)
                    && missed.is_some_and(|missed| missed <= PAGE_MESSAGES_MAX as u64);
                if !is_possible {
                    return Some(ask.unrecovered(Some(position)));
                }
                let messages = self.logs.since(room, since, now_ms)?;
                Some(ask.recovered(position, messages))
            }
            Ask::Page(span, limit) => {
                let max = PageMax { messages: limit, bytes: PAGE_BYTES_MAX };
                self.logs.page(room, span, max, now_ms).map(Answer::Page)
            }
        }
    }

    /// Takes what the store has of a room, for all who have asked meanwhile.
    pub(super) fn loaded<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        room: &Arc<str>,
        result: Result<Page, Fault>,
    ) {
        let parked = self.loading.remove(room).unwrap_or_default();
        let fault = match result {
            Ok(page) => {
                let keep = self.config.history.keep(room);
                self.logs.load(room, keep, page, peers.unix_ms());
                None
            }
            Err(fault) => Some(fault),
        };
        for inquiry in parked {
            let (by, ask) = (inquiry.by, inquiry.ask);
            let answer = match fault {
                Some(fault) => Some(ask.refused(fault)),
                None => self.serve(peers, inquiry),
            };
            if let Some(answer) = answer {
                self.reply(peers, by, answer);
            }
        }
    }

    /// Takes what the store has found for one inquiry.
    pub(super) fn found<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        inquiry: Inquiry,
        result: Result<Page, Fault>,
    ) {
        let answer = match (result, inquiry.ask) {
            (Err(fault), ask) => ask.refused(fault),
            (Ok(page), Ask::Page(..)) => Answer::Page(page),
            (Ok(page), ask @ Ask::Join(since)) => {
                let is_whole = since.is_some_and(|since| {
                    let missed = page.position.offset.checked_sub(since.offset);
                    since.epoch == Some(page.position.epoch)
                        && missed == Some(page.messages.len() as u64)
                });
                if is_whole {
                    ask.recovered(page.position, page.messages)
                } else {
                    ask.unrecovered(Some(page.position))
                }
            }
        };
        self.reply(peers, inquiry.by, answer);
    }

    /// Answers what another loop asks.
    pub(super) fn receive_inquiry<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        inquiry: Inquiry,
    ) {
        let by = inquiry.by;
        if let Some(answer) = self.serve(peers, inquiry) {
            self.reply(peers, by, answer);
        }
    }

    fn reply<P: Platform>(&mut self, peers: &mut Peers<Session, P>, by: Origin, answer: Answer) {
        if by.loop_index == self.others.loop_index() {
            self.answered(peers, by, answer);
        } else {
            self.others.send(by.loop_index, Letter::Answer { by, answer: Box::new(answer) });
        }
    }
}

impl Ask {
    /// The answer where all that was missed is there, if it is not too much for one.
    fn recovered(self, position: Position, messages: Vec<Kept>) -> Answer {
        let max = PageMax { messages: PAGE_MESSAGES_MAX, bytes: PAGE_BYTES_MAX };
        let bytes: usize = messages.iter().map(Kept::bytes).sum();
        if messages.len() > max.messages || bytes > max.bytes {
            return self.unrecovered(Some(position));
        }
        Answer::Joined(Recovery { position: Some(position), is_recovered: true, messages })
    }

    /// The answer where it is not.
    fn unrecovered(self, position: Option<Position>) -> Answer {
        match self {
            Self::Join(_) => Answer::Joined(Recovery { position, ..Recovery::default() }),
            Self::Page(..) => Answer::Nothing,
        }
    }

    fn without_history(self) -> Answer {
        self.unrecovered(None)
    }

    fn unavailable(self) -> Answer {
        self.refused(Fault::STORE_UNAVAILABLE)
    }

    /// One can come into a room whose history cannot be read.
    fn refused(self, fault: Fault) -> Answer {
        match self {
            Self::Join(_) => self.unrecovered(None),
            Self::Page(..) => Answer::Fault(fault),
        }
    }
}
