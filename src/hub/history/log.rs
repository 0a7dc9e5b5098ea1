//! The logs of the rooms whose home is one loop, in memory.
//!
//! Owns offsets, and the last messages of each room within its rule and of all rooms within one
//! budget. Rooms are chained in the order in which something was said last: the first of the chain
//! is the first to be forgotten. Never delivers, never reads a clock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use slab::Slab;

use super::{Epoch, Keep, Kept, Page, PageMax, Position, Since, Span};
use crate::hub::frames::Frames;
use crate::hub::handover::RoomImage;
use crate::hub::wire::Wire;

const NONE: u32 = u32::MAX;

/// What a room without a message takes, beside its name.
const LOG_BYTES: usize = 256;

/// How many rooms a sweep looks at.
const SWEEP_MAX: usize = 4096;

/// The log of one room.
#[derive(Debug)]
struct Log {
    name: Arc<str>,
    keep: Keep,
    position: Position,
    /// Each has the next offset after the one before it.
    messages: VecDeque<Kept>,
    /// Whether the store has messages before the first of these.
    has_older: bool,
    /// When it was made, or something was said last.
    touched_ms: u64,
    next: u32,
    previous: u32,
}

/// All logs of a loop.
#[derive(Debug)]
pub(in crate::hub) struct Logs {
    logs: Slab<Log>,
    by_name: HashMap<Arc<str>, u32>,
    /// The room in which nothing was said for longest.
    first: u32,
    last: u32,
    bytes: usize,
    bytes_max: usize,
    /// Whether what is here is a part of what a store has, of every room.
    is_part: bool,
}

impl Logs {
    pub(in crate::hub) fn new(bytes_max: usize) -> Self {
        let (logs, by_name) = (Slab::new(), HashMap::new());
        let (first, last, bytes, is_part) = (NONE, NONE, 0, false);
        Self { logs, by_name, first, last, bytes, bytes_max, is_part }
    }

    /// From now on all rooms are kept elsewhere, and here only as far as there is room.
    pub(in crate::hub) const fn be_part(&mut self) {
        self.is_part = true;
    }

    /// Lets go of what is kept of a room.
    pub(in crate::hub) fn drop_room(&mut self, room: &str) {
        if let Some(number) = self.by_name.get(room) {
            self.forget(*number);
        }
    }

    /// How many rooms have a log.
    pub(in crate::hub) fn len(&self) -> usize {
        self.logs.len()
    }

    /// What all of it takes.
    pub(in crate::hub) const fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// How far a room is, if it has a log.
    pub(in crate::hub) fn position(&self, room: &str) -> Option<Position> {
        self.find(room).map(|log| log.position)
    }

    /// The same; a room without a log gets one, with this epoch.
    pub(in crate::hub) fn open(
        &mut self,
        room: &Arc<str>,
        keep: &Keep,
        epoch: impl FnOnce() -> Epoch,
        now_ms: u64,
    ) -> Position {
        let number = self.number(room, keep, epoch, now_ms);
        self.logs[number as usize].position
    }

    /// Gives the next offset in a room to the message that `make` makes, and keeps it.
    pub(in crate::hub) fn sequence(
        &mut self,
        room: &Arc<str>,
        keep: &Keep,
        epoch: impl FnOnce() -> Epoch,
        timestamp: u64,
        make: impl FnOnce(Position) -> Frames,
    ) -> (Position, Frames) {
        let number = self.number(room, keep, epoch, timestamp);
        let mut position = self.logs[number as usize].position;
        position.offset += 1;
        let frames = make(position);
        let frame = frames.of(Wire::Json).clone();
        self.keep(number, Kept { offset: position.offset, timestamp, frame });
        (position, frames)
    }

    /// Keeps a message that the store has given its place; a room without a log keeps none.
    pub(in crate::hub) fn append(&mut self, room: &str, position: Position, kept: Kept) {
        let Some(number) = self.by_name.get(room).copied() else { return };
        let known = self.logs[number as usize].position;
        // Another history, or a gap: it is read anew when somebody asks.
        if known.epoch != position.epoch || known.offset + 1 != position.offset {
            self.forget(number);
            return;
        }
        self.keep(number, kept);
    }

    /// The rooms of which there is no more than what is here, the one in which nothing was said
    /// for longest first: for another process.
    pub(in crate::hub) fn images(&self) -> impl Iterator<Item = RoomImage> {
        let first = self.logs.get(self.first as usize);
        let all = std::iter::successors(first, |log| self.logs.get(log.next as usize));
        all.filter(|log| !log.keep.is_durable)
            .map(|log| RoomImage::new(&log.name, log.position, log.messages.iter()))
    }

    /// Takes what the store has of a room.
    pub(in crate::hub) fn load(&mut self, room: &Arc<str>, keep: &Keep, page: Page, now_ms: u64) {
        self.drop_room(room);
        let number = self.number(room, keep, || page.position.epoch, now_ms);
        let log = &mut self.logs[number as usize];
        log.position = page.position;
        log.has_older = page.has_more;
        let mut bytes = 0;
        let mut next = page.position.offset + 1;
        for kept in page.messages.into_iter().rev() {
            // Behind a message that was taken out of the store by hand nothing is kept here.
            if kept.offset + 1 != next {
                log.has_older = true;
                break;
            }
            next = kept.offset;
            bytes += kept.bytes();
            log.messages.push_front(kept);
        }
        self.bytes += bytes;
        self.shrink(number);
    }

    /// What came after `since`, and how far the room is; `None` where that is not here any more.
    /// A room of the store may have it still.
    pub(in crate::hub) fn since(
        &mut self,
        room: &str,
        since: Since,
        now_ms: u64,
    ) -> Option<Vec<Kept>> {
        let number = *self.by_name.get(room)?;
        self.expire(number, now_ms);
        let log = &self.logs[number as usize];
        if since.epoch != Some(log.position.epoch) {
            return None;
        }
        let count = usize::try_from(log.position.offset.checked_sub(since.offset)?).ok()?;
        let skipped = log.messages.len().checked_sub(count)?;
        Some(log.messages.range(skipped..).cloned().collect())
    }

    /// A piece of a room's history; `None` where the room has no log, or the store has more of what
    /// is asked for.
    pub(in crate::hub) fn page(
        &mut self,
        room: &str,
        span: Span,
        max: PageMax,
        now_ms: u64,
    ) -> Option<Page> {
        let number = *self.by_name.get(room)?;
        self.expire(number, now_ms);
        let log = &self.logs[number as usize];
        let first = log.messages.front().map_or(log.position.offset + 1, |kept| kept.offset);
        let at = |offset: u64| {
            usize::try_from(offset.saturating_sub(first))
                .map_or(log.messages.len(), |at| at.min(log.messages.len()))
        };
        let (messages, has_more) = match span {
            Span::After(offset) => {
                if log.has_older && offset.saturating_add(1) < first {
                    return None;
                }
                let found = log.messages.range(at(offset.saturating_add(1))..);
                let count = max.fitting(found.clone());
                let has_more = count < found.len();
                (found.take(count).cloned().collect(), has_more)
            }
            Span::Newest | Span::Before(_) => {
                let end =
                    if let Span::Before(offset) = span { at(offset) } else { log.messages.len() };
                let found = log.messages.range(..end);
                let count = max.fitting(found.clone().rev());
                if count == found.len() && count < max.messages && log.has_older {
                    return None;
                }
                let has_more = count < found.len() || log.has_older;
                (found.skip(end - count).cloned().collect(), has_more)
            }
        };
        Some(Page { position: log.position, messages, has_more })
    }

    /// Forgets what is too old. A room that `is_kept`, since somebody is in it, keeps its place.
    pub(in crate::hub) fn sweep(&mut self, now_ms: u64, is_kept: impl Fn(&str) -> bool) {
        for _ in 0..SWEEP_MAX {
            let Some(log) = self.logs.get(self.first as usize) else { return };
            if log.touched_ms > log.keep.oldest_ms(now_ms) {
                return; // rules of different ages: what stands behind a long one waits for it
            }
            let number = self.first;
            if is_kept(&log.name) && !self.is_part && !log.keep.is_durable {
                self.expire(number, now_ms);
                self.touch(number, now_ms);
            } else {
                self.forget(number);
            }
        }
    }

    fn find(&self, room: &str) -> Option<&Log> {
        self.logs.get(*self.by_name.get(room)? as usize)
    }

    fn number(
        &mut self,
        room: &Arc<str>,
        keep: &Keep,
        epoch: impl FnOnce() -> Epoch,
        now_ms: u64,
    ) -> u32 {
        if let Some(number) = self.by_name.get(room) {
            return *number;
        }
        let log = Log {
            name: Arc::clone(room),
            keep: keep.clone(),
            position: Position { epoch: epoch(), offset: 0 },
            messages: VecDeque::new(),
            has_older: false,
            touched_ms: now_ms,
            next: NONE,
            previous: NONE,
        };
        self.bytes += LOG_BYTES + room.len();
        let number = self.logs.insert(log) as u32;
        self.by_name.insert(Arc::clone(room), number);
        self.push_back(number);
        self.shrink(number);
        number
    }

    fn keep(&mut self, number: u32, kept: Kept) {
        let timestamp = kept.timestamp;
        let log = &mut self.logs[number as usize];
        log.position.offset = kept.offset;
        let mut bytes = self.bytes + kept.bytes();
        log.messages.push_back(kept);
        let oldest_ms = log.keep.oldest_ms(timestamp);
        while log.messages.len() > log.keep.messages_max
            || log.messages.front().is_some_and(|first| first.timestamp < oldest_ms)
        {
            let Some(gone) = log.messages.pop_front() else { break };
            bytes -= gone.bytes();
        }
        self.bytes = bytes;
        self.touch(number, timestamp);
        self.shrink(number);
    }

    /// Drops the messages of a room that are too old.
    fn expire(&mut self, number: u32, now_ms: u64) {
        let log = &mut self.logs[number as usize];
        let oldest_ms = log.keep.oldest_ms(now_ms);
        while log.messages.front().is_some_and(|first| first.timestamp < oldest_ms) {
            let Some(gone) = log.messages.pop_front() else { break };
            self.bytes -= gone.bytes();
            log.has_older = false; // those are older still
        }
    }

    /// Holds to the budget: the rooms in which nothing was said for longest lose what they have,
    /// and the room `number` its oldest messages, when there is no other.
    fn shrink(&mut self, number: u32) {
        while self.bytes > self.bytes_max && self.first != NONE {
            if self.first != number {
                self.forget(self.first);
            } else if let Some(gone) = self.logs[number as usize].messages.pop_front() {
                let log = &mut self.logs[number as usize];
                log.has_older = self.is_part || log.keep.is_durable;
                self.bytes -= gone.bytes();
            } else {
                return;
            }
        }
    }

    fn forget(&mut self, number: u32) {
        self.unlink(number);
        let log = self.logs.remove(number as usize);
        self.by_name.remove(&log.name);
        let messages: usize = log.messages.iter().map(Kept::bytes).sum();
        self.bytes -= LOG_BYTES + log.name.len() + messages;
    }

    fn touch(&mut self, number: u32, now_ms: u64) {
        self.logs[number as usize].touched_ms = now_ms;
        if self.last != number {
            self.unlink(number);
            self.push_back(number);
        }
    }

    fn push_back(&mut self, number: u32) {
        let previous = std::mem::replace(&mut self.last, number);
        let log = &mut self.logs[number as usize];
        (log.previous, log.next) = (previous, NONE);
        match self.logs.get_mut(previous as usize) {
            Some(before) => before.next = number,
            None => self.first = number,
        }
    }

    fn unlink(&mut self, number: u32) {
        let log = &self.logs[number as usize];
        let (next, previous) = (log.next, log.previous);
        match self.logs.get_mut(previous as usize) {
            Some(before) => before.next = next,
            None => self.first = next,
        }
        match self.logs.get_mut(next as usize) {
            Some(after) => after.previous = previous,
            None => self.last = previous,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::SharedFrame;

    const MAX: PageMax = PageMax { messages: 3, bytes: 1 << 20 };

    fn frame(text: &str) -> SharedFrame {
        Wire::Json.frame(text.as_bytes())
    }

    fn say(logs: &mut Logs, room: &str, keep: &Keep, now_ms: u64) -> u64 {
        let make = |position: Position| Frames::new(position.offset.to_string().as_bytes());
        let epoch = || Epoch(now_ms);
        logs.sequence(&room.into(), keep, epoch, now_ms, make).0.offset
    }

    fn say_often(logs: &mut Logs, room: &str, keep: &Keep, count: u64) {
        for n in 1..=count {
            assert_eq!(say(logs, room, keep, 0), n);
        }
    }

    fn offsets(page: &Page) -> Vec<u64> {
        page.messages.iter().map(|kept| kept.offset).collect()
    }

    fn since(offset: u64) -> Since {
        Since { epoch: Some(Epoch(0)), offset }
    }

    /// The chain holds every room once, and the bytes are what all of them take.
    fn check(logs: &Logs) {
        let (mut number, mut count, mut bytes) = (logs.first, 0, 0);
        while let Some(log) = logs.logs.get(number as usize) {
            let kept: usize = log.messages.iter().map(Kept::bytes).sum();
            bytes += LOG_BYTES + log.name.len() + kept;
            count += 1;
            number = log.next;
        }
        assert_eq!((count, bytes), (logs.logs.len(), logs.bytes));
        assert_eq!(count, logs.by_name.len());
    }

    #[test]
    fn what_was_missed_is_given_whole_or_not_at_all() {
        let mut logs = Logs::new(1 << 20);
        let keep = Keep { messages_max: 5, ..Keep::default() };
        let said: Vec<_> = (0..9).map(|_| say(&mut logs, "a", &keep, 0)).collect();
        assert_eq!(said, (1..10).collect::<Vec<_>>());
        let count = |logs: &mut Logs, since| logs.since("a", since, 0).map(|found| found.len());
        let found = [3, 4, 8, 9, 10].map(|offset| count(&mut logs, since(offset)));
        assert_eq!(found, [None, Some(5), Some(1), Some(0), None]);
        assert_eq!(count(&mut logs, Since { epoch: Some(Epoch(1)), offset: 9 }), None);
        assert_eq!(count(&mut logs, Since { epoch: None, offset: 9 }), None);
        assert!(logs.since("b", since(0), 0).is_none());
    }

    #[test]
    fn pages_go_both_ways() {
        let mut logs = Logs::new(1 << 20);
        let keep = Keep { messages_max: 6, ..Keep::default() };
        say_often(&mut logs, "a", &keep, 8);
        let mut page = |span| {
            let page = logs.page("a", span, MAX, 0).unwrap();
            (offsets(&page), page.has_more)
        };
        assert_eq!(page(Span::Newest), (vec![6, 7, 8], true));
        assert_eq!(page(Span::Before(6)), (vec![3, 4, 5], false));
        assert_eq!(page(Span::Before(5)), (vec![3, 4], false));
        assert_eq!(page(Span::Before(1)), (vec![], false));
        assert_eq!(page(Span::Before(99)), (vec![6, 7, 8], true));
        assert_eq!(page(Span::After(0)), (vec![3, 4, 5], true));
        assert_eq!(page(Span::After(5)), (vec![6, 7, 8], false));
        assert_eq!(page(Span::After(u64::MAX)), (vec![], false));
    }

    #[test]
    fn a_page_holds_to_its_bytes_but_is_never_empty() {
        let mut logs = Logs::new(1 << 20);
        say_often(&mut logs, "a", &Keep::default(), 4);
        let page = |logs: &mut Logs, bytes| {
            let max = PageMax { messages: 9, bytes };
            let page = logs.page("a", Span::After(0), max, 0).unwrap();
            (offsets(&page), page.has_more)
        };
        let one = logs.logs[0].messages[0].bytes();
        assert_eq!(page(&mut logs, 0), (vec![1], true));
        assert_eq!(page(&mut logs, one * 2), (vec![1, 2], true));
        assert_eq!(page(&mut logs, one * 4), (vec![1, 2, 3, 4], false));
    }

    #[test]
    fn what_the_store_has_is_asked_of_the_store() {
        let mut logs = Logs::new(1 << 20);
        let keep = Keep { is_durable: true, messages_max: 100, ..Keep::default() };
        let kept = |offset| Kept { offset, timestamp: 0, frame: frame("x") };
        let position = |offset| Position { epoch: Epoch(0), offset };
        let messages = (6..=9).map(kept).collect();
        logs.load(&"a".into(), &keep, Page { position: position(9), messages, has_more: true }, 0);
        logs.append("a", position(10), kept(10));
        assert_eq!(logs.since("a", since(5), 0).map(|found| found.len()), Some(5));
        assert!(logs.since("a", since(4), 0).is_none());
        let mut asked = |span| logs.page("a", span, MAX, 0).map(|page| offsets(&page));
        assert_eq!(asked(Span::After(5)), Some(vec![6, 7, 8]));
        assert_eq!(asked(Span::After(4)), None);
        assert_eq!(asked(Span::Before(9)), Some(vec![6, 7, 8]));
        assert_eq!(asked(Span::Before(8)), None);
        // Something is missing: it is not made up.
        logs.append("a", position(12), kept(12));
        assert!(logs.position("a").is_none());
        check(&logs);
    }

    #[test]
    fn old_messages_go_and_a_room_with_members_keeps_its_place() {
        let mut logs = Logs::new(1 << 20);
        let keep = Keep { age: Duration::from_millis(10), ..Keep::default() };
        for room in ["a", "b"] {
            say_often(&mut logs, room, &keep, 3);
        }
        assert_eq!(logs.since("a", since(0), 10).map(|found| found.len()), Some(3));
        logs.sweep(10, |room| room == "a");
        assert!(logs.position("b").is_none());
        assert_eq!(logs.position("a"), Some(Position { epoch: Epoch(0), offset: 3 }));
        assert!(logs.since("a", since(0), 11).is_none());
        assert_eq!(logs.since("a", since(3), 11).map(|found| found.len()), Some(0));
        logs.sweep(30, |_| false);
        assert!(logs.position("a").is_none());
        check(&logs);
        assert_eq!(logs.bytes, 0);
    }

    #[test]
    fn all_rooms_together_hold_to_the_budget() {
        let mut logs = Logs::new(40_000);
        let mut state = 1_u64;
        for step in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let room = format!("r{}", (state >> 40) % 90);
            say(&mut logs, &room, &Keep::default(), step);
            assert!(logs.bytes <= logs.bytes_max);
        }
        assert!(logs.logs.len() > 20);
        check(&logs);
        // One room alone keeps its newest.
        let mut logs = Logs::new(1000);
        say_often(&mut logs, "a", &Keep::default(), 50);
        assert_eq!(logs.since("a", since(48), 0).map(|found| found.len()), Some(2));
        assert!(logs.since("a", since(0), 0).is_none());
        check(&logs);
    }
}
