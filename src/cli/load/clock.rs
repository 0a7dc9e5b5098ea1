//! Time, in nanoseconds.
//!
//! Owns the choice of clocks: the monotonic one, which all processes of a machine share, so that
//! one can send and another can take the time.

use rustix::time::{ClockId, clock_gettime};

/// One second.
pub const SECOND_NS: u64 = 1_000_000_000;
/// One millisecond.
pub const MILLISECOND_NS: u64 = 1_000_000;

/// The time since the machine was started.
#[inline]
pub fn now_ns() -> u64 {
    read(ClockId::Monotonic)
}

/// The processor time that this process has used.
pub fn cpu_ns() -> u64 {
    read(ClockId::ProcessCPUTime)
}

#[inline]
fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * SECOND_NS + time.tv_nsec as u64
}

/// Seconds as they are written on a command line.
pub fn ns(seconds: f64) -> u64 {
    (seconds * SECOND_NS as f64) as u64
}
