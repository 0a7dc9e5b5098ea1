//! What is counted while a worker runs.
//!
//! Owns the window of time that counts and its seconds. Never knows what a message is.

use std::io;

use super::clock::{SECOND_NS, cpu_ns};
use super::spread::{Counts, Spread};
use super::words::Second;

/// Counts within a window of time, second by second.
#[derive(Clone)]
pub struct Recorder {
    from_ns: u64,
    until_ns: u64,
    /// When the present second ends.
    boundary_ns: u64,
    second: Second,
    latency: Spread,
    late: Spread,
    /// Processor time at the last boundary.
    cpu_ns: u64,
}

impl Recorder {
    /// Counts nothing yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            from_ns: u64::MAX,
            until_ns: u64::MAX,
            boundary_ns: u64::MAX,
            second: Second::default(),
            latency: Spread::new()?,
            late: Spread::new()?,
            cpu_ns: 0,
        })
    }

    /// Counts within this window.
    pub fn begin(&mut self, from_ns: u64, until_ns: u64) {
        self.from_ns = from_ns;
        self.until_ns = until_ns;
        self.boundary_ns = from_ns;
    }

    /// Ends the window early.
    pub fn finish(&mut self, now_ns: u64) {
        if now_ns < self.until_ns {
            self.until_ns = now_ns;
            self.boundary_ns = self.boundary_ns.min(now_ns);
        }
    }

    pub const fn until_ns(&self) -> u64 {
        self.until_ns
    }

    /// When [`roll`](Self::roll) has something to do.
    #[inline]
    pub const fn boundary_ns(&self) -> u64 {
        self.boundary_ns
    }

    /// Counts something that was due at one time and has come now. What is due in the window is
    /// part of the latencies whenever it comes, so that a stall at the end is not left out.
    #[inline]
    pub fn receive(&mut self, due_ns: u64, now_ns: u64, bytes: usize) {
        if now_ns >= self.from_ns && now_ns < self.until_ns {
            self.second.count += 1;
            self.second.bytes += bytes as u64;
        }
        if due_ns >= self.from_ns && due_ns < self.until_ns {
            self.latency.record(now_ns.saturating_sub(due_ns));
        }
    }

    /// Records something that was due and has not come by now.
    pub fn give_up(&mut self, due_ns: u64, now_ns: u64) {
        if due_ns >= self.from_ns && due_ns < self.until_ns {
            self.latency.record(now_ns.saturating_sub(due_ns));
        }
    }

    /// Records how late something went out.
    #[inline]
    pub fn send(&mut self, due_ns: u64, now_ns: u64) {
        if due_ns >= self.from_ns && due_ns < self.until_ns {
            self.late.record(now_ns.saturating_sub(due_ns));
        }
    }

    /// The seconds that are over, one at each call.
    pub fn roll(&mut self, now_ns: u64) -> Option<Second> {
        if now_ns < self.boundary_ns {
            return None;
        }
        let (began, cpu) = (self.boundary_ns == self.from_ns, cpu_ns());
        let start_ns = self.from_ns + self.second.number * SECOND_NS;
        let length_ns = self.boundary_ns.saturating_sub(start_ns);
        let used_ns = cpu - std::mem::replace(&mut self.cpu_ns, cpu);
        let next = self.boundary_ns + SECOND_NS;
        self.boundary_ns = match self.until_ns {
            until if self.boundary_ns >= until => u64::MAX,
            until => next.min(until),
        };
        if began || length_ns == 0 {
            return None; // the window opens, or ends before it could
        }
        let number = self.second.number;
        let mut second = std::mem::take(&mut self.second);
        self.second.number = number + 1;
        second.length_ns = length_ns;
        second.cpu_ns = used_ns;
        second.latency = self.latency.take();
        second.late = self.late.take();
        Some(second)
    }

    /// What was recorded after the last second.
    pub fn rest(&mut self) -> Counts {
        self.latency.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_and_its_seconds() {
        let mut recorder = Recorder::new().unwrap();
        let at = |tenths: u64| 1_000_000_000_000 + tenths * SECOND_NS / 10;
        recorder.receive(at(0), at(1), 5); // no window yet
        recorder.begin(at(10), at(25));
        recorder.receive(at(8), at(9), 5);
        assert!(recorder.roll(at(9)).is_none() && recorder.roll(at(10)).is_none());
        recorder.receive(at(8), at(11), 5); // was due before
        recorder.receive(at(11), at(19), 5);
        let first = recorder.roll(at(21)).unwrap();
        assert_eq!((first.number, first.count, first.bytes), (0, 2, 10));
        assert_eq!(first.length_ns, SECOND_NS);
        assert_eq!(first.latency.iter().map(|(_, count)| count).sum::<u64>(), 1);
        assert!(recorder.roll(at(24)).is_none());
        recorder.receive(at(24), at(26), 5); // comes too late to count, but was due
        let second = recorder.roll(at(26)).unwrap();
        assert_eq!((second.number, second.count, second.length_ns), (1, 0, SECOND_NS / 2));
        assert_eq!(second.latency.len(), 1);
        recorder.finish(at(98));
        assert!(recorder.roll(at(99)).is_none());
        recorder.give_up(at(24), at(40));
        assert_eq!(recorder.rest().len(), 1);
    }
}
