//! How somebody who comes into a room gets what it missed, and how history is asked for.
//!
//! Owns the questions to a room's home and its answers. An answer stands in the order of the room:
//! what it says was said before it, and all that comes after it follows without a gap.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::command::Fault;
use super::handler::{Hub, Session};
use super::history::{Epoch, Kept, Op, Page, PageMax, Position, Reading, Since, Span};
use super::mail::Letter;
use super::sequencer::Origin;
use crate::net::{Peers, Platform};

/// How many messages an answer has at most.
pub(super) const PAGE_MESSAGES_MAX: usize = 1000;

/// What the messages of an answer take at most, in bytes; one of more stands alone.
pub(super) const PAGE_BYTES_MAX: usize = 1 << 20;

/// What the answers that are under way from one loop to others may take, in bytes: past it, who
/// asks is told that not all is there.
pub(super) const ANSWERS_BYTES_MAX: usize = 8 << 20;

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

/// The bytes of the answers that no other loop has seen yet.
#[derive(Clone, Debug, Default)]
pub(super) struct UnderWay(Arc<AtomicUsize>);

/// The part of one answer in them, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    sum: UnderWay,
    bytes: usize,
}

impl UnderWay {
    /// Counts an answer, which loses its messages where there is no room for them.
    fn take(&self, answer: Answer) -> (Answer, Share) {
        let bytes = answer.bytes();
        let before = self.0.fetch_add(bytes, Relaxed);
        let share = Share { sum: self.clone(), bytes };
        let fits = bytes == 0 || before + bytes <= ANSWERS_BYTES_MAX;
        if fits { (answer, share) } else { (answer.without_messages(), share) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.sum.0.fetch_sub(self.bytes, Relaxed);
    }
}

impl Answer {
    /// What its messages take.
    fn bytes(&self) -> usize {
        let messages = match self {
            Self::Joined(recovery) => &recovery.messages,
            Self::Page(page) => &page.messages,
            Self::Nothing | Self::Fault(_) => return 0,
        };
        messages.iter().map(Kept::bytes).sum()
    }

    /// What is said where its messages cannot be had now.
    fn without_messages(self) -> Self {
        match self {
            Self::Joined(Recovery { position, .. }) => {
                Self::Joined(Recovery { position, ..Recovery::default() })
            }
            Self::Page(_) => Self::Fault(Fault::OVERLOADED),
            Self::Nothing | Self::Fault(_) => self,
        }
    }
}

impl Hub {
    /// Asks the home of a room; the answer, where it is known at once. Else it comes to
    /// [`answered`](Self::answered).
    pub(super) fn ask_home<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        inquiry: Inquiry,
    ) -> Result<Option<Answer>, Fault> {
        if !self.config.history.keep(&inquiry.room).has_history()
            && (self.relay.is_none() || matches!(inquiry.ask, Ask::Page(..)))
        {
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
        if self.relay.is_some() && matches!(ask, Ask::Join(_)) {
            let is_followed = self.followed.touch(room, now_ms);
            if is_followed && !keep.has_history() {
                return Some(ask.without_history());
            }
        }
        if !keep.is_durable && self.relay.is_none() {
            if matches!(ask, Ask::Join(_)) {
                self.logs.open(room, keep, || Epoch(peers.random_u64()), now_ms);
            }
            let found = self.look_up(room, *ask, now_ms);
            return Some(found.unwrap_or_else(|| ask.unrecovered(self.logs.position(room))));
        }
        let oldest_ms = keep.oldest_ms(now_ms);
        let Some(keeper) = self.keeper().cloned() else { return Some(ask.unavailable()) };
        let own = self.others.loop_index();
        // A page of a room that nobody here is in is read by itself, where other nodes may go on.
        let loads = self.relay.is_none() || matches!(ask, Ask::Join(_));
        if loads && self.logs.position(room).is_none() {
            if !self.loading.contains_key(room)
                && let Err(fault) = self.load(room, now_ms)
            {
                self.put_off(room, *ask);
                return Some(ask.refused(fault));
            }
            self.loading.entry(Arc::clone(room)).or_default().push(inquiry);
            return None;
        }
        if let Some(answer) = self.look_up(room, *ask, now_ms) {
            return Some(answer);
        }
        let (span, messages) = match *ask {
            Ask::Join(since) => {
                (Span::After(since.map_or(0, |since| since.offset)), PAGE_MESSAGES_MAX)
            }
            Ask::Page(span, limit) => (span, limit),
        };
        let (room, max) = (Arc::clone(room), PageMax { messages, bytes: PAGE_BYTES_MAX });
        let (ask, of_read) = (*ask, Arc::clone(&room));
        let inquiry = Some(Box::new(inquiry));
        let reading = Reading { room: of_read, span, max, oldest_ms, inquiry };
        let fault = keeper.put(own, Op::Read(reading)).err()?;
        self.put_off(&room, ask);
        Some(self.answer_alone(peers, &room, ask, fault))
    }

    /// Has the log of a room read; who asks meanwhile waits in `loading`.
    pub(super) fn load(&mut self, room: &Arc<str>, now_ms: u64) -> Result<(), Fault> {
        let Some(keeper) = self.keeper() else { return Err(Fault::STORE_UNAVAILABLE) };
        let keep = self.config.history.keep(room);
        let messages = keep.messages_max.min(PAGE_MESSAGES_MAX);
        let max = PageMax { messages, bytes: PAGE_BYTES_MAX };
        let (span, oldest_ms) = (Span::Newest, keep.oldest_ms(now_ms));
        let room = Arc::clone(room);
        let reading = Reading { room: Arc::clone(&room), span, max, oldest_ms, inquiry: None };
        keeper.put(self.others.loop_index(), Op::Read(reading))?;
        self.loading.entry(room).or_default();
        Ok(())
    }

    /// Answers from what is in memory, where that is enough.
    fn look_up(&mut self, room: &str, ask: Ask, now_ms: u64) -> Option<Answer> {
        let position = self.logs.position(room)?;
        match ask {
            Ask::Join(None) => Some(ask.unrecovered(Some(position))),
            Ask::Join(Some(since)) => {
                // A node that lags behind the others may be asked for what is said already.
                if self.relay.is_some()
                    && since.epoch == Some(position.epoch)
                    && since.offset > position.offset
                {
                    return None;
                }
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
        let was_missed = self.followed.find(room);
        let fault = match result {
            Ok(page) => {
                let has_history = self.config.history.keep(room).has_history();
                if was_missed && has_history {
                    self.tell_gap(peers, room, page.position);
                }
                let keep = self.config.history.keep(room);
                if has_history {
                    self.logs.load(room, keep, page, peers.unix_ms());
                }
                self.followed.begin(room);
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
            (Err(fault), ask) => self.answer_alone(peers, &inquiry.room, ask, fault),
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

    /// Too much waits already: a room into which somebody comes is read later.
    fn put_off(&mut self, room: &Arc<str>, ask: Ask) {
        if self.relay.is_some() && matches!(ask, Ask::Join(_)) {
            self.followed.miss(room);
        }
    }

    /// Answers where the store or the broker cannot be asked. Who has seen no more than this node
    /// is told how far the room is here; who has is told no place before it can be read.
    fn answer_alone<P: Platform>(
        &mut self,
        peers: &Peers<Session, P>,
        room: &Arc<str>,
        ask: Ask,
        fault: Fault,
    ) -> Answer {
        let here = self.logs.position(room).filter(|here| match ask {
            Ask::Join(Some(since)) => {
                since.epoch == Some(here.epoch) && since.offset <= here.offset
            }
            Ask::Join(None) => true,
            Ask::Page(..) => false,
        });
        if self.relay.is_none() || here.is_none() {
            return ask.refused(fault);
        }
        self.look_up(room, ask, peers.unix_ms()).unwrap_or_else(|| ask.unrecovered(here))
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
            return;
        }
        let (answer, share) = self.answers.take(answer);
        let letter = Letter::Answer { by, answer: Box::new(answer), _share: share };
        self.others.send(by.loop_index, letter);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::wire::Wire;

    fn joined(len: usize) -> Answer {
        let frame = Wire::Json.frame(&vec![b'x'; len]);
        let messages = vec![Kept { offset: 1, timestamp: 0, frame }];
        Answer::Joined(Recovery { position: None, is_recovered: true, messages })
    }

    #[test]
    fn answers_under_way_are_bounded_and_free_when_they_are_seen() {
        let answers = UnderWay::default();
        let is_whole = |answer: &Answer| matches!(answer, Answer::Joined(it) if it.is_recovered);
        let mut shares = Vec::new();
        for _ in 0..7 {
            let (answer, share) = answers.take(joined(1 << 20));
            assert!(is_whole(&answer));
            shares.push(share);
        }
        let (answer, share) = answers.take(joined(1 << 20));
        assert!(!is_whole(&answer) && answer.bytes() == 0);
        drop((shares, share));
        assert_eq!(answers.0.load(Relaxed), 0);
        assert!(is_whole(&answers.take(joined(1 << 20)).0));
    }
}
