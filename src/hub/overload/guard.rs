//! What the loops, the watch and the metrics share.
//!
//! Owns the level, the counts of what was shed, and the last report of each loop. What a message
//! looks at is one atomic. Never decides.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::level::Level;
use super::pressure::Pressure;

/// What stands between the server and too much to do: one for all loops of a server.
#[derive(Debug, Default)]
pub struct Guard {
    level: AtomicU8,
    /// What was shed since a level above [`Level::Normal`] asks for it, by that level.
    sheds: [AtomicU64; Level::ALL.len()],
    pressure: Mutex<Pressure>,
    loops: Mutex<Vec<LoopReport>>,
}

/// What a loop says of itself about once a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoopReport {
    /// How many reports there were before this one.
    pub number: u64,
    /// Where the system tells of the loop's thread.
    pub thread: Option<PathBuf>,
    /// The longest turn since the last report.
    pub lag: Duration,
    /// What slow peers are owed, in bytes.
    pub backlog_bytes: u64,
    /// What is held of messages and requests that have come in part, in bytes.
    pub partial_bytes: u64,
    /// What the loop holds, in bytes, the hub's rooms and members included.
    pub memory_bytes: u64,
    /// What the rooms and members of the hub take of it, in bytes.
    pub rooms_bytes: u64,
    /// What the histories take of it, in bytes.
    pub history_bytes: u64,
    /// What waits for the store of durable rooms, in per cent of its limit; the store is the same
    /// for all loops.
    pub store_percent: f64,
    /// Pieces of mail that wait.
    pub mail: usize,
}

impl Guard {
    /// The level.
    #[inline]
    pub fn level(&self) -> Level {
        Level::ALL.get(usize::from(self.level.load(Relaxed))).copied().unwrap_or_default()
    }

    /// The last pressure that was read.
    pub fn pressure(&self) -> Pressure {
        *lock(&self.pressure)
    }

    /// Sets both.
    pub fn set(&self, level: Level, pressure: Pressure) {
        self.level.store(level as u8, Relaxed);
        *lock(&self.pressure) = pressure;
    }

    /// Counts something that was shed, by the level from which on it is.
    pub fn shed(&self, level: Level) {
        self.sheds[level as usize].fetch_add(1, Relaxed);
    }

    /// How much was shed so.
    pub fn sheds(&self, level: Level) -> u64 {
        self.sheds[level as usize].load(Relaxed)
    }

    /// Takes what a loop says of itself; its number is set here.
    pub fn report(&self, loop_index: usize, report: LoopReport) {
        let mut loops = lock(&self.loops);
        if loops.len() <= loop_index {
            loops.resize_with(loop_index + 1, LoopReport::default);
        }
        let number = loops[loop_index].number + 1;
        loops[loop_index] = LoopReport { number, ..report };
    }

    /// The last report of each loop.
    pub fn reports(&self) -> Vec<LoopReport> {
        lock(&self.loops).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
