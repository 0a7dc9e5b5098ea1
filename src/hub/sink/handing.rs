//! The thread of the sink.
//!
//! Owns what is tried next, how much of it and when: pauses that grow while the other side is away,
//! pieces that get smaller until the one event that is not wanted stands alone. Never writes to the
//! outbox: what was handed over is told to it when more is asked for.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Batch, Courier, Event, Failure, Packed, Shared};
use crate::hub::history::{Epoch, Outbox, PageMax, StoreError, Taken};

/// The first pause after a try that failed.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// How long an outbox is left alone that cannot be read.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What the events of a batch take at most, in bytes; one of more stands alone.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// What the thread knows.
pub(super) struct Handing<C> {
    shared: Arc<Shared>,
    outbox: Outbox,
    courier: C,
    /// Which outbox it was, and up to which number all of it was handed over: a file that is put in
    /// the place of another begins anew.
    handed: Option<(Epoch, u64)>,
    /// How many events are tried at once now.
    batch_max: usize,
    /// Tries that failed since the last that did not.
    failures: u32,
    /// How often the next event was refused alone.
    refusals: u32,
}

impl<C: Courier> Handing<C> {
    pub(super) fn new(shared: Arc<Shared>, outbox: Outbox, courier: C) -> Self {
        let batch_max = shared.limits.batch_max.max(1);
        Self { shared, outbox, courier, handed: None, batch_max, failures: 0, refusals: 0 }
    }

    /// Works until no more will come.
    pub(super) fn run(mut self) {
        while !self.shared.is_closed() {
            let max = PageMax { messages: self.batch_max, bytes: BATCH_BYTES_MAX };
            let goes_on = match self.outbox.take(self.handed, max) {
                None => return, // the store's thread is gone
                Some(Ok(taken)) if taken.events.is_empty() => self.rest(),
                Some(Ok(taken)) => self.try_once(taken),
                Some(Err(StoreError(reason))) => {
                    tracing::debug!(reason, "the outbox cannot be read");
                    self.shared.pause(STORE_PAUSE)
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Nothing waits.
    fn rest(&self) -> bool {
        self.shared.oldest_ms.store(0, Ordering::Relaxed);
        self.shared.wait_for_news()
    }

    /// Hands over what was taken, if the other side takes it: whether it goes on.
    fn try_once(&mut self, taken: Taken) -> bool {
        let (Some((first, oldest)), Some((last, _))) = (taken.events.first(), taken.events.last())
        else {
            return true;
        };
        let (first, last) = (*first, (taken.epoch, *last));
        self.shared.oldest_ms.store(oldest.timestamp, Ordering::Relaxed);
        let id = format!("{}-{first}-{}", taken.epoch, last.1);
        let events = taken.events.iter().map(|(seq, event)| pack(taken.epoch, *seq, event));
        let batch = Batch { id, events: events.collect() };
        match self.courier.hand_over(&batch) {
            Ok(()) => {
                if self.failures > 0 {
                    tracing::info!(failures = self.failures, "the sink takes events again");
                }
                self.shared.delivered.fetch_add(batch.events.len() as u64, Ordering::Relaxed);
                self.go_on_behind(last);
                true
            }
            Err(failure) => {
                self.shared.failures.fetch_add(1, Ordering::Relaxed);
                self.fail(&batch, last, failure)
            }
        }
    }

    fn go_on_behind(&mut self, last: (Epoch, u64)) {
        self.handed = Some(last);
        (self.failures, self.refusals) = (0, 0);
        self.batch_max = (self.batch_max * 2).min(self.shared.limits.batch_max.max(1));
    }

    /// A try has failed: whether it goes on.
    fn fail(&mut self, batch: &Batch, last: (Epoch, u64), failure: Failure) -> bool {
        let (reason, after, is_refused) = match failure {
            Failure::Later { reason, after } => (reason, after, false),
            Failure::Refused { reason } => (reason, None, true),
        };
        if self.failures == 0 {
            tracing::warn!(reason, "the sink takes no events: they wait");
        }
        self.failures = self.failures.saturating_add(1);
        if is_refused {
            if batch.events.len() > 1 {
                self.batch_max = batch.events.len() / 2; // which of them is it?
                return true;
            }
            self.refusals += 1;
            if self.refusals >= self.shared.limits.tries_max {
                let id = &batch.id;
                tracing::warn!(id, reason, "the sink does not want this event: it is let go");
                self.shared.unwanted.fetch_add(1, Ordering::Relaxed);
                self.go_on_behind(last);
                return true;
            }
        }
        let max = self.shared.limits.pause_max;
        let pause = pause(self.failures, max, RandomState::new().hash_one(self.failures));
        self.shared.pause(pause.max(after.unwrap_or_default().min(max)))
    }
}

/// How long to wait after so many failures: twice as long each time, and a random part of it, so
/// that many servers do not come back in step.
fn pause(failures: u32, max: Duration, random: u64) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(max);
    let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
    doubled.mul_f64(0.5 + share / 2.0)
}

fn pack(outbox: Epoch, seq: u64, event: &Event) -> Packed {
    let id = format!("{outbox}-{seq}");
    let json = event.json(&id, seq).unwrap_or_else(|error| {
        // It was JSON when it was published: somebody has changed the file.
        tracing::error!(%error, id, "an event in the outbox is no JSON");
        format!(r#"{{"id":"{id}","seq":{seq},"type":"broken"}}"#)
    });
    Packed { id, kind: event.kind, room: Arc::clone(&event.room), json }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit_and_differ() {
        let max = Duration::from_secs(60);
        let shortest: Vec<u128> =
            [1, 2, 3, 8, 99].map(|failures| pause(failures, max, 0).as_millis()).into();
        assert_eq!(shortest, [250, 500, 1000, 30_000, 30_000]);
        assert!(pause(99, max, u64::MAX) <= max && pause(99, max, u64::MAX / 2) > max / 2);
        assert!(pause(5, Duration::from_millis(10), u64::MAX) <= Duration::from_millis(10));
    }
}
