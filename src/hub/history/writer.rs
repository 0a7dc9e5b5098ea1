//! The store's work: on a thread of its own, or step by step by hand.
//!
//! Owns the store, and what it does with all that waits: the messages in one transaction, then what
//! is to be read, so that a piece of history never lacks a message whose result was sent before it.
//! Never decides who gets something.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::value::RawValue;

use super::keeper::{Done, MAIL_PAUSE, Op, Reading, Shared, Taking, Waiting, What};
use super::{
    Entry, EntryId, History, Kept, Page, PageMax, Placed, Row, Rows, Span, Store, StoreError,
    Unsent, Write, Written,
};
use crate::hub::command::Fault;
use crate::hub::sequencer::Publish;
use crate::hub::sink::{EventKind, Held};
use crate::net::Clock;

/// How often the store is swept, or looked at after a failure.
const PERIOD: Duration = Duration::from_secs(1);

/// What was read is kept for others who ask the same, up to so many bytes.
const KNOWN_BYTES_MAX: usize = 4 << 20;

/// The work of a [`Keeper`](super::Keeper) that has no thread: see
/// [`Keeper::by_hand`](super::Keeper::by_hand).
pub struct Writer<S, O, C> {
    shared: Arc<Shared>,
    history: History,
    open: O,
    clock: C,
    store: Option<S>,
    /// When it was last opened, swept or probed.
    looked: Option<Duration>,
    has_failed: bool,
    /// What is to be read when the loops have taken what was read before.
    reads: VecDeque<Waiting>,
    /// What was read since something was written, for others who ask the same.
    known: Known,
    /// For each loop, the results that it has yet to take.
    unsent: Unsent,
}

/// Pieces of histories, and what they take.
#[derive(Default)]
struct Known {
    pages: HashMap<(Arc<str>, Span, PageMax), Result<Page, Fault>>,
    bytes: usize,
}

impl<S: Store, O: FnMut() -> Result<S, StoreError>, C: Clock> Writer<S, O, C> {
    pub(super) fn new(shared: Arc<Shared>, history: History, open: O, clock: C) -> Self {
        let (reads, known, unsent) = (VecDeque::new(), Known::default(), Unsent::default());
        let (store, looked, has_failed) = (None, None, false);
        Self { shared, history, open, clock, store, looked, has_failed, reads, known, unsent }
    }

    /// Works until no more will come. Who does not take mail is waited for, so that nothing is
    /// lost; what piles up meanwhile is bounded by the queue.
    pub(super) fn run(mut self) {
        self.look_after();
        while let Some(waiting) = self.shared.take(PERIOD) {
            self.carry_out(waiting);
            // The loops take it within a turn; once it is closed they are gone.
            while !self.finish() && !self.shared.is_closed() {
                thread::sleep(MAIL_PAUSE);
            }
            self.look_after_if_due();
        }
        self.look_after(); // what was handed over at last is not handed over again
    }

    /// Does what is there to be done now, and never waits; `false` where the loops have yet to take
    /// what was done, and then the next step tries that first. To be called at least once a second.
    pub fn step(&mut self) -> bool {
        if self.finish() {
            self.look_after_if_due();
            if let Some(waiting) = self.shared.take(Duration::ZERO) {
                self.carry_out(waiting);
            }
        }
        self.finish()
    }

    fn look_after_if_due(&mut self) {
        let now = self.clock.now();
        if self.looked.is_none_or(|looked| now.saturating_sub(looked) >= PERIOD) {
            self.look_after();
        }
    }

    fn carry_out(&mut self, waiting: Vec<Waiting>) {
        let is_written = |one: &Waiting| matches!(one.op, Op::Append(..) | Op::Note(_));
        let (writes, reads): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_written);
        if !writes.is_empty() {
            self.write(writes);
        }
        self.reads.extend(reads);
    }

    /// Reads what waits to be read, as far as the loops have taken what was read before, and tells
    /// the loops; whether all is done. What many ask at one time is read once.
    fn finish(&mut self) -> bool {
        while !self.shared.is_ahead()
            && let Some(one) = self.reads.pop_front()
        {
            let done = self.read(one);
            self.send(done.into_iter().collect());
        }
        if self.reads.is_empty() {
            self.known = Known::default();
        }
        self.unsent.send(&self.shared) && self.reads.is_empty()
    }

    /// Writes messages and events, in one transaction.
    fn write(&mut self, waiting: Vec<Waiting>) {
        let begin = self.clock.now();
        let writes: Vec<Write<'_>> = waiting
            .iter()
            .filter_map(|one| write_of(&one.op, &self.shared, &self.history))
            .collect();
        let messages = writes.iter().filter(|it| matches!(it, Write::Message(_))).count();
        let outbox_max = self.shared.sink().map_or(Held::MAX, |sink| sink.limits.outbox_max);
        let result = self.store.as_mut().map(|store| store.append(&writes, outbox_max));
        let result = match result {
            Some(Ok(written)) if written.places.len() == messages => Ok(written),
            Some(Ok(_)) => Err(self.fail(&StoreError("not every message has a place".into()))),
            Some(Err(error)) => Err(self.fail(&error)),
            None => Err(Fault::STORE_UNAVAILABLE),
        };
        let (events, shared) = (waiting.len() - messages, &self.shared);
        match &result {
            Ok(Written { places, dropped }) => {
                let is_new = |place: &&Placed| !place.is_repeat;
                let written = places.iter().flatten().filter(is_new).count() as u64;
                shared.commits.fetch_add(1, Ordering::Relaxed);
                shared.messages.fetch_add(written, Ordering::Relaxed);
                let time = self.clock.now().saturating_sub(begin);
                let time_us = time.as_micros() as u64;
                shared.commit_us.fetch_add(time_us, Ordering::Relaxed);
                self.tell_sink(*dropped, true);
            }
            Err(_) => {
                shared.failures.fetch_add(waiting.len() as u64, Ordering::Relaxed);
                self.tell_sink(events as u64, false);
            }
        }
        let mut places = result.map(|written| written.places.into_iter());
        let mut place = || match &mut places {
            Ok(places) => places.next().flatten().ok_or(Fault::SINK_FULL),
            Err(fault) => Err(*fault),
        };
        let mut done = Vec::with_capacity(messages);
        for Waiting { loop_index, op, share } in waiting {
            if let Op::Append(publish, _) = op {
                let what = What::Append(publish, place());
                done.push((loop_index, Done { what, _share: Some(share) }));
            }
        }
        self.send(done);
    }

    /// Tells the sink what has become of events.
    fn tell_sink(&self, dropped: u64, has_news: bool) {
        let Some(sink) = self.shared.sink() else { return };
        sink.count_dropped(dropped);
        if let Some(store) = &self.store {
            sink.set_held(store.held());
        }
        if has_news {
            sink.wake();
        }
    }

    fn take(&mut self, Taking { after, max, reply }: Taking) {
        let result = match &mut self.store {
            Some(store) => {
                let result = store.take(after, max.messages, max.bytes);
                result.inspect_err(|error| {
                    self.fail(error);
                })
            }
            None => Err(StoreError("the store is not open".into())),
        };
        self.tell_sink(0, false);
        let _ = reply.send(result); // who has asked may be gone
    }

    fn read(&mut self, waiting: Waiting) -> Option<(usize, Done)> {
        let Waiting { loop_index, op, mut share } = waiting;
        let reading = match op {
            Op::Read(reading) => reading,
            Op::Take(taking) => {
                self.take(taking);
                return None;
            }
            Op::Append(..) | Op::Note(_) => return None, // those are done
            Op::Pass(_) | Op::Leave(_) | Op::Nodes(_) => return None, // there are no other nodes
        };
        let asked = (Arc::clone(&reading.room), reading.span, reading.max);
        let result = match self.known.pages.get(&asked) {
            Some(result) => result.clone(), // its messages are those of the first
            None => {
                let result = self.read_page(&reading);
                let bytes = result.as_ref().map_or(0, Page::bytes);
                share.find(bytes);
                if self.known.bytes + bytes > KNOWN_BYTES_MAX {
                    self.known = Known::default();
                }
                self.known.bytes += bytes;
                self.known.pages.insert(asked, result.clone());
                result
            }
        };
        let Reading { room, inquiry, .. } = reading;
        let what = What::Read { room, inquiry, result };
        Some((loop_index, Done { what, _share: Some(share) }))
    }

    fn read_page(&mut self, reading: &Reading) -> Result<Page, Fault> {
        let Reading { room, span, max, oldest_ms, .. } = reading;
        self.shared.reads.fetch_add(1, Ordering::Relaxed);
        let read = |store: &mut S| {
            page(room, store.read(room, *span, max.messages, max.bytes, *oldest_ms)?)
        };
        let result = match self.store.as_mut().map(read) {
            Some(Ok(page)) => Ok(page),
            Some(Err(error)) => Err(self.fail(&error)),
            None => Err(Fault::STORE_UNAVAILABLE),
        };
        if result.is_err() {
            self.shared.failures.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// Opens a store that is not open, and forgets what is too old.
    fn look_after(&mut self) {
        self.looked = Some(self.clock.now());
        let Some(store) = &mut self.store else {
            self.reopen();
            return;
        };
        let now_ms = self.clock.unix_ms();
        let history = &self.history;
        if let Err(error) = store.sweep(&|room| history.keep(room).oldest_ms(now_ms)) {
            self.fail(&error);
        }
        self.tell_sink(0, false);
    }

    /// After a failure it has to be seen that it can be written to.
    fn reopen(&mut self) {
        let opened = (self.open)().and_then(|mut store| {
            if self.has_failed {
                store.probe()?;
            }
            Ok(store)
        });
        match opened {
            Ok(store) => {
                self.store = Some(store);
                self.has_failed = false;
                self.shared.set_reason(None);
            }
            Err(error) => drop(self.fail(&error)),
        }
    }

    /// Lets go of a store that has failed.
    fn fail(&mut self, error: &StoreError) -> Fault {
        self.store = None;
        self.has_failed = true;
        self.looked = Some(self.clock.now());
        self.shared.set_reason(Some(error.0.clone()));
        Fault::STORE_UNAVAILABLE
    }

    /// Puts results on their way to the loops.
    fn send(&mut self, done: Vec<(usize, Done)>) {
        done.into_iter().for_each(|(loop_index, done)| self.unsent.push(loop_index, done));
        self.unsent.send(&self.shared);
    }
}

impl<S, O, C> fmt::Debug for Writer<S, O, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("is_open", &self.store.is_some()).finish_non_exhaustive()
    }
}

/// What is to be written for an operation, where something is.
fn write_of<'a>(op: &'a Op, shared: &Shared, history: &'a History) -> Option<Write<'a>> {
    let (publish, window) = match op {
        Op::Append(publish, window) => (publish, window),
        Op::Note(event) => return Some(Write::Event(event)),
        Op::Read(_) | Op::Take(_) | Op::Pass(_) | Op::Leave(_) | Op::Nodes(_) => return None,
    };
    let Publish { room, sender, content, timestamp, message_id, .. } = publish;
    let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    let oldest_ms = timestamp.saturating_sub(window_ms);
    Some(Write::Message(Entry {
        room,
        sender,
        content: content.get(),
        timestamp: *timestamp,
        id: message_id.as_deref().map(|text| EntryId { text, oldest_ms }),
        keep: history.keep(room),
        is_noted: shared.sink().is_some_and(|sink| sink.rules.wants(EventKind::Message, room)),
    }))
}

/// What was read, as it was delivered.
fn page(room: &str, rows: Rows) -> Result<Page, StoreError> {
    let mut buffer = Vec::new();
    let mut kept = |Row { offset, sender, content, timestamp }| {
        let no_json = |_| StoreError(format!("message {offset} of {room:?} is no JSON"));
        let content = RawValue::from_string(String::from(content)).map_err(no_json)?;
        Ok(Kept::new(&mut buffer, room, offset, &content, &sender, timestamp))
    };
    let messages = rows.rows.into_iter().map(&mut kept).collect::<Result<_, StoreError>>()?;
    Ok(Page { position: rows.position, messages, has_more: rows.has_more })
}
