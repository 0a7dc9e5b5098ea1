//! The store's thread.
//!
//! Owns the store, and what it does with all that waits: the messages in one transaction, then what
//! is to be read, so that a piece of history never lacks a message whose result was sent before it.
//! Never decides who gets something.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::value::RawValue;

use super::keeper::{Done, Op, Reading, Shared, Waiting, What};
use super::{Entry, History, Kept, Page, Position, Row, Rows, Store, StoreError};
use crate::hub::command::Fault;
use crate::hub::delivery::Delivery;
use crate::hub::mail::{Letter, Mail};
use crate::hub::wire::Wire;

/// How often the store is swept, or looked at after a failure.
const PERIOD: Duration = Duration::from_secs(1);

/// How long the thread waits for a loop that takes no mail.
const MAIL_PAUSE: Duration = Duration::from_millis(1);

/// The store, and who opens it.
pub(super) struct Writer<'a, S, O> {
    shared: &'a Shared,
    history: History,
    open: O,
    store: Option<S>,
    /// When it was last opened, swept or probed.
    looked: Option<Instant>,
    has_failed: bool,
}

impl<'a, S: Store, O: FnMut() -> Result<S, StoreError>> Writer<'a, S, O> {
    pub(super) fn new(shared: &'a Shared, history: History, open: O) -> Self {
        Self { shared, history, open, store: None, looked: None, has_failed: false }
    }

    /// Works until no more will come.
    pub(super) fn run(mut self) {
        self.look_after();
        while let Some(waiting) = self.shared.take(PERIOD) {
            self.carry_out(waiting);
            if self.looked.is_none_or(|looked| looked.elapsed() >= PERIOD) {
                self.look_after();
            }
        }
    }

    fn carry_out(&mut self, waiting: Vec<Waiting>) {
        let (appends, reads): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|one| matches!(one.op, Op::Append(_)));
        if !appends.is_empty() {
            self.append(appends);
        }
        if !reads.is_empty() {
            let read = |one| self.read(one);
            let done = reads.into_iter().map(read).collect();
            self.send(done);
        }
    }

    /// Writes messages, in one transaction.
    fn append(&mut self, waiting: Vec<Waiting>) {
        let begin = Instant::now();
        let mut entries = Vec::with_capacity(waiting.len());
        for one in &waiting {
            if let Op::Append(publish) = &one.op {
                entries.push(Entry {
                    room: &publish.room,
                    sender: &publish.sender,
                    content: publish.content.get(),
                    timestamp: publish.timestamp,
                    keep: self.history.keep(&publish.room),
                });
            }
        }
        let result = self.store.as_mut().map(|store| store.append(&entries));
        let positions: Result<Vec<Position>, Fault> = match result {
            Some(Ok(positions)) if positions.len() == entries.len() => Ok(positions),
            Some(Ok(_)) => Err(self.fail(&StoreError("not every message has a place".into()))),
            Some(Err(error)) => Err(self.fail(&error)),
            None => Err(Fault::STORE_UNAVAILABLE),
        };
        let shared = self.shared;
        match &positions {
            Ok(positions) => {
                shared.commits.fetch_add(1, Ordering::Relaxed);
                shared.messages.fetch_add(positions.len() as u64, Ordering::Relaxed);
                let time_us = begin.elapsed().as_micros() as u64;
                shared.commit_us.fetch_add(time_us, Ordering::Relaxed);
            }
            Err(_) => drop(shared.failures.fetch_add(waiting.len() as u64, Ordering::Relaxed)),
        }
        let place = |at: usize| match &positions {
            Ok(positions) => Ok(positions[at]),
            Err(fault) => Err(*fault),
        };
        let mut done = Vec::with_capacity(waiting.len());
        for (at, Waiting { loop_index, op, share }) in waiting.into_iter().enumerate() {
            if let Op::Append(publish) = op {
                let what = What::Append(publish, place(at));
                done.push((loop_index, Done { what, _share: share }));
            }
        }
        self.send(done);
    }

    fn read(&mut self, Waiting { loop_index, op, share }: Waiting) -> (usize, Done) {
        let what = match op {
            Op::Read(Reading { room, span, max, oldest_ms, inquiry }) => {
                let read = |store: &mut S| {
                    let rows = store.read(&room, span, max.messages, max.bytes, oldest_ms)?;
                    page(&room, rows)
                };
                let result = match self.store.as_mut().map(read) {
                    Some(Ok(page)) => Ok(page),
                    Some(Err(error)) => Err(self.fail(&error)),
                    None => Err(Fault::STORE_UNAVAILABLE),
                };
                if result.is_err() {
                    self.shared.failures.fetch_add(1, Ordering::Relaxed);
                }
                What::Read { room, inquiry, result }
            }
            Op::Append(publish) => What::Append(publish, Err(Fault::STORE_UNAVAILABLE)),
        };
        (loop_index, Done { what, _share: share })
    }

    /// Opens a store that is not open, and forgets what is too old.
    fn look_after(&mut self) {
        self.looked = Some(Instant::now());
        let Some(store) = &mut self.store else {
            self.reopen();
            return;
        };
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = now_ms.as_millis() as u64;
        let history = &self.history;
        if let Err(error) = store.sweep(&|room| history.keep(room).oldest_ms(now_ms)) {
            self.fail(&error);
        }
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
        self.looked = Some(Instant::now());
        self.shared.set_reason(Some(error.0.clone()));
        Fault::STORE_UNAVAILABLE
    }

    /// Tells the loops: each gets one letter. Who does not take mail is waited for, so that nothing
    /// is lost; what piles up meanwhile is bounded by the queue.
    fn send(&self, done: Vec<(usize, Done)>) {
        let Some(mailboxes) = self.shared.mailboxes() else { return };
        let mut letters: Vec<Vec<Done>> = Vec::new();
        letters.resize_with(mailboxes.len(), Vec::new);
        for (loop_index, done) in done {
            if let Some(letter) = letters.get_mut(loop_index) {
                letter.push(done);
            }
        }
        for (mailbox, letter) in mailboxes.iter().zip(letters) {
            if letter.is_empty() {
                continue;
            }
            let mut mail = Mail(Letter::Done(letter));
            while let Err(full) = mailbox.post(mail) {
                if self.shared.is_closed() {
                    return; // the loops are gone
                }
                mail = full.0;
                thread::sleep(MAIL_PAUSE);
            }
        }
    }
}

/// What was read, as it was delivered.
fn page(room: &str, rows: Rows) -> Result<Page, StoreError> {
    let mut buffer = Vec::new();
    let mut kept = |Row { offset, sender, content, timestamp }| {
        let no_json = |_| StoreError(format!("message {offset} of {room:?} is no JSON"));
        let content = RawValue::from_string(String::from(content)).map_err(no_json)?;
        let delivery = Delivery::Text {
            room: Some(room),
            offset: Some(offset),
            content: &content,
            sender: &sender,
            timestamp,
        };
        let frame = Wire::Json.frame(delivery.encode(&mut buffer));
        Ok(Kept { offset, timestamp, frame })
    };
    let messages = rows.rows.into_iter().map(&mut kept).collect::<Result<_, StoreError>>()?;
    Ok(Page { position: rows.position, messages, has_more: rows.has_more })
}
