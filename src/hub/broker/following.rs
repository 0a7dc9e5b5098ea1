//! What a node follows of its rooms.
//!
//! Owns how news becomes what the home loops are told: in the order of each room, every message
//! once, what is missing read and told in its place, or its absence told of. Never decides who gets
//! something.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::body;
use super::carrier::{Carrier, exchange, read_as};
use super::errand::Errand;
use super::track::{Filled, Step, Track};
use super::{Answer, Broker, Channel, News, Place, Request, Rows};
use crate::hub::command::Fault;
use crate::hub::history::{Kept, Page, Position, Reading, Share, Span, What};
use crate::hub::recovery::{PAGE_BYTES_MAX, PAGE_MESSAGES_MAX};
use crate::hub::sequencer::Publish;

/// How many rooms are caught up together: each may bring a page.
const ROOMS_MAX: usize = 8;

impl<B: Broker> Carrier<B> {
    /// Takes what came by itself.
    pub(super) fn hear(&mut self, news: &[News]) {
        self.hear_of(None, news);
    }

    /// The same, where it is of one room.
    pub(super) fn hear_of(&mut self, only: Option<&Arc<str>>, news: &[News]) {
        for one in news {
            match one {
                News::Message { room, position, body } if only.is_none_or(|only| only == room) => {
                    self.hear_message(room, *position, body);
                }
                News::Said { room: Some(room), body } if only.is_none() => {
                    self.hear_said(room, body);
                }
                News::Said { room: None, body } if only.is_none() => self.hear_nodes(body),
                News::Message { .. } | News::Said { .. } => {}
            }
        }
    }

    fn hear_message(&mut self, room: &Arc<str>, position: Position, body: &[u8]) {
        let Some(track) = self.tracks.get_mut(room) else { return };
        match track.arrive(position) {
            Step::HandOn => self.hand_on(room, position, body),
            Step::Double => {}
            Step::Behind => self.mark(room),
        }
    }

    fn hear_said(&mut self, room: &Arc<str>, body: &[u8]) {
        if self.company.presence.said(room, body, self.now()) {
            return self.tell_seatings();
        }
        if !self.tracks.contains_key(room) {
            return;
        }
        match body::decode(self.instance, room, body) {
            Some((_, instance)) if instance == self.instance => {} // it has its own already
            Some((publish, _)) => {
                self.tell_news(publish, What::Passed);
            }
            None => tracing::warn!(%room, "something that is no message came over the broker"),
        }
    }

    /// Hands a message on to the home of its room.
    fn hand_on(&mut self, room: &Arc<str>, position: Position, body: &[u8]) {
        match body::decode(self.instance, room, body) {
            Some((publish, _)) => {
                self.tell_news(publish, |publish| What::Heard(publish, position));
            }
            None => {
                tracing::warn!(%room, "something that is no message came over the broker");
                self.tell_gap(room, Some(position));
            }
        }
    }

    /// Takes note of a room in which something is missing.
    pub(super) fn mark(&mut self, room: &Arc<str>) {
        let is_behind = self.tracks.get(room).is_some_and(Track::is_behind);
        if is_behind && !self.behind.contains(room) {
            self.behind.push(Arc::clone(room));
        }
    }

    /// Takes note of a room into which somebody comes who cannot be told how far it is.
    pub(super) fn let_in(&mut self, room: &Arc<str>) {
        self.tracks.entry(Arc::clone(room)).or_insert_with(Track::new).let_in();
        self.mark(room);
    }

    /// Reads what is missing, until nothing is.
    pub(super) fn mend(&mut self) {
        while !self.behind.is_empty() && self.link.is_some() {
            let rooms = mem::take(&mut self.behind);
            self.catch_up(&rooms, false);
        }
    }

    /// Follows the rooms again that nobody has told of.
    pub(super) fn catch_up_away(&mut self) {
        let away = self.tracks.iter().filter(|(_, track)| track.is_away());
        let mut rooms: Vec<_> = away.map(|(room, _)| Arc::clone(room)).collect();
        rooms.sort_unstable(); // so that a test sees the same each time
        self.catch_up(&rooms, true);
        self.mend();
    }

    /// Reads what came to these rooms since it was last heard of them, some rooms at a time.
    fn catch_up(&mut self, rooms: &[Arc<str>], subscribes: bool) {
        for rooms in rooms.chunks(ROOMS_MAX) {
            let lists: Vec<_> = rooms.iter().map(Errand::list).collect();
            let mut requests = Vec::with_capacity(3 * ROOMS_MAX);
            let mut followed = Vec::with_capacity(ROOMS_MAX);
            for (room, list) in rooms.iter().zip(&lists) {
                let Some(track) = self.tracks.get(room) else { continue };
                if subscribes {
                    requests.push(Request::Subscribe(Channel::Room(room)));
                    requests.push(list.request());
                }
                followed.push(room);
                let keep = self.history.keep(room);
                if keep.has_history() {
                    let known = track.position();
                    let place = Place { room, keep, known, fresh: self.around.fresh() };
                    requests.push(since(place));
                }
            }
            let round = self.company.presence.begin();
            let (result, news) = exchange(self.link.as_mut(), &requests);
            drop(requests);
            let answers = match result {
                Ok(answers) => answers,
                Err(error) => {
                    self.hear(&news);
                    return self.lose(&error);
                }
            };
            let mut answers = answers.into_iter();
            for room in followed {
                let has_history = self.history.keep(room).has_history();
                let subscribed = !subscribes || answers.next() == Some(Answer::Done);
                match subscribes.then(|| answers.next()).flatten() {
                    Some(Answer::Fields(fields)) => self.take_table(room, fields, round),
                    Some(_) => self.company.presence.read_again(room, self.around.clock.now()),
                    None => {}
                }
                let read = if has_history { answers.next() } else { None };
                self.caught_up(room, subscribed, has_history, read);
            }
            self.hear(&news);
            self.send();
        }
    }

    fn caught_up(
        &mut self,
        room: &Arc<str>,
        subscribed: bool,
        has_history: bool,
        read: Option<Answer>,
    ) {
        let Some(track) = self.tracks.get_mut(room) else { return };
        let (position, rows) = match read {
            Some(Answer::Rows(rows)) if subscribed => (rows.position, whole(rows)),
            _ if subscribed && !has_history => return track.follow(),
            _ => return track.lose(), // it is tried again
        };
        let was_known = track.position().is_some();
        let (gap, rows) = match track.fill(position, rows.first().map(|(offset, _)| *offset)) {
            Filled::Anew => return self.mark(room),
            Filled::All(gap) => (gap, rows),
            Filled::Nothing(gap) => (gap, Vec::new()),
        };
        let counter = if gap.is_some() { &self.counts.gaps } else { &self.counts.filled };
        if was_known && (gap.is_some() || !rows.is_empty()) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.tell_gap(room, gap);
        for (offset, body) in rows {
            self.hand_on(room, Position { offset, ..position }, &body);
        }
    }

    fn tell_gap(&mut self, room: &Arc<str>, gap: Option<Position>) {
        if let Some(position) = gap {
            self.tell(self.home_of(room), What::Gap(Arc::clone(room), position), None);
        }
    }

    /// A piece of what is kept was read. It is told at one point of the room's order, so that it
    /// has all that the home loop was told before.
    pub(super) fn read(
        &mut self,
        loop_index: usize,
        reading: Reading,
        rows: Rows,
        news: &[News],
        mut share: Share,
    ) {
        let room = Arc::clone(&reading.room);
        let mut page = self.page(&room, rows, reading.oldest_ms);
        share.find(page.messages.iter().map(Kept::bytes).sum());
        let track = self.tracks.get_mut(&room);
        let known = track.as_ref().and_then(|track| track.position());
        let begins = track.filter(|track| track.is_away() && reading.inquiry.is_none());
        if let Some(track) = begins {
            let gap = track.begin(page.position);
            self.tell_gap(&room, gap);
            self.tell(loop_index, read_as(reading, Ok(page)), Some(share));
            self.hear_of(Some(&room), news); // what came after it was read
            return self.mend();
        }
        if let Some(known) = known {
            let is_to_end = match reading.span {
                Span::Newest => true,
                Span::After(_) => !page.has_more,
                Span::Before(_) => false,
            };
            self.extend(&room, &mut page, known, is_to_end, news);
            if page.position != known {
                tracing::debug!(%room, "what was read is not what was heard");
                if reading.inquiry.is_none() {
                    self.let_in(&room);
                }
                let what = read_as(reading, Err(Fault::OVERLOADED));
                return self.tell(loop_index, what, Some(share));
            }
        }
        self.tell(loop_index, read_as(reading, Ok(page)), Some(share));
    }

    /// Adds to a page what was heard after it was read and was told already.
    fn extend(
        &mut self,
        room: &Arc<str>,
        page: &mut Page,
        until: Position,
        is_to_end: bool,
        news: &[News],
    ) {
        for one in news {
            let News::Message { room: of, position, body } = one else { continue };
            let next = Position { offset: page.position.offset + 1, ..page.position };
            if of != room || *position != next || position.offset > until.offset {
                continue;
            }
            page.position = next;
            if let Some((publish, _)) = body::decode(self.instance, room, body)
                && is_to_end
            {
                page.messages.push(self.kept(&publish, next.offset));
            }
        }
    }

    fn page(&mut self, room: &Arc<str>, rows: Rows, oldest_ms: u64) -> Page {
        let mut messages = Vec::with_capacity(rows.rows.len());
        for (offset, body) in rows.rows {
            match body::decode(self.instance, room, &body) {
                Some((publish, _)) if publish.timestamp >= oldest_ms => {
                    messages.push(self.kept(&publish, offset));
                }
                Some(_) => {}
                None => tracing::warn!(%room, offset, "the broker keeps what is no message"),
            }
        }
        Page { position: rows.position, messages, has_more: rows.has_more }
    }

    fn kept(&mut self, publish: &Publish, offset: u64) -> Kept {
        let Publish { room, sender, content, timestamp, .. } = publish;
        Kept::new(&mut self.buffer, room, offset, content, sender, *timestamp)
    }
}

/// What came to a room since it was last heard of; where that was never, only how far it is.
const fn since(place: Place<'_>) -> Request<'_> {
    let span = match place.known {
        Some(known) => Span::After(known.offset),
        None => Span::After(u64::MAX),
    };
    let (messages_max, bytes_max) = (PAGE_MESSAGES_MAX, PAGE_BYTES_MAX);
    Request::Read { place, opens: true, span, messages_max, bytes_max }
}

/// The messages that run up to the place of the room, if all are there.
fn whole(rows: Rows) -> Vec<(u64, Box<[u8]>)> {
    let is_row = |pair: &[(u64, Box<[u8]>)]| pair[0].0 + 1 == pair[1].0;
    let is_whole = !rows.has_more
        && rows.rows.windows(2).all(is_row)
        && rows.rows.last().is_some_and(|(last, _)| *last == rows.position.offset);
    if is_whole { rows.rows } else { Vec::new() }
}
