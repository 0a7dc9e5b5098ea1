//! What a process uses, as /proc tells it.
//!
//! Owns the reading of it. Never changes anything about the process.

use std::fs;
use std::io;

use super::clock::now_ns;

/// What the threads of a process have used at one moment.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    at_ns: u64,
    /// Processor time of each thread, by its name.
    threads: Vec<(String, u64)>,
}

/// A process.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    pid: u32,
}

impl Watch {
    /// A process that is there.
    ///
    /// # Errors
    /// It is not, or cannot be looked at.
    pub fn new(pid: u32) -> io::Result<Self> {
        let watch = Self { pid };
        watch.rss_bytes().map(|_| watch).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("no process {pid} to be looked at"))
        })
    }

    pub fn usage(self) -> Usage {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten();
        let threads = tasks.flatten().filter_map(|task| {
            let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let used_ns = times.split(' ').next()?.parse().ok()?;
            Some((task.file_name().to_string_lossy().into_owned(), used_ns))
        });
        Usage { threads: threads.collect(), at_ns: now_ns() }
    }

    /// Memory in use, in bytes.
    pub fn rss_bytes(self) -> Option<u64> {
        // The first is exact, the second may be some pages old.
        field_kib(&format!("/proc/{}/smaps_rollup", self.pid), "Rss:")
            .or_else(|| field_kib(&format!("/proc/{}/status", self.pid), "VmRSS:"))
            .map(|kib| kib << 10)
    }

    /// The core that it ran on last.
    pub fn core(self) -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        let after_name = stat.rsplit_once(')')?.1;
        after_name.split_whitespace().nth(36)?.parse().ok() // field 39 of proc(5)
    }
}

impl Usage {
    /// The share of one core that was used since then, in percent: more than 100 with threads. What
    /// a thread has used that ended meanwhile is not known any more.
    pub fn percent_since(&self, before: &Self) -> f64 {
        percent(self.used_since(before).sum(), self.at_ns - before.at_ns)
    }

    /// The same of the thread that used most.
    pub fn busiest_percent_since(&self, before: &Self) -> f64 {
        percent(self.used_since(before).max().unwrap_or(0), self.at_ns - before.at_ns)
    }

    /// What each thread has used since then, in nanoseconds.
    fn used_since(&self, before: &Self) -> impl Iterator<Item = u64> {
        self.threads.iter().map(|(name, now_ns)| {
            let earlier = before.threads.iter().find(|(other, _)| other == name);
            now_ns.saturating_sub(earlier.map_or(0, |(_, ns)| *ns))
        })
    }
}

/// One time as a share of another.
pub fn percent(part_ns: u64, whole_ns: u64) -> f64 {
    part_ns as f64 * 100.0 / whole_ns.max(1) as f64
}

fn field_kib(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that has ended must not take from what the others have used.
    #[test]
    fn the_busiest_thread_is_a_part_of_all() {
        let usage = |at_ns, threads: &[(&str, u64)]| Usage {
            at_ns,
            threads: threads.iter().map(|&(name, used_ns)| (name.to_owned(), used_ns)).collect(),
        };
        let before = usage(0, &[("1", 500), ("2", 900)]);
        let after = usage(1000, &[("1", 700), ("3", 100)]);
        assert_eq!(after.busiest_percent_since(&before), 20.0);
        assert_eq!(after.percent_since(&before), 30.0);
    }

    #[test]
    fn this_process_is_seen() {
        let watch = Watch::new(std::process::id()).unwrap();
        let before = watch.usage();
        // A machine with other things to do may not let it run at once.
        let end_ns = now_ns() + 10_000_000_000;
        let mut after = watch.usage();
        while after.percent_since(&before) <= 10.0 {
            assert!(now_ns() < end_ns, "this loop is not seen");
            after = watch.usage();
        }
        assert!(after.busiest_percent_since(&before) <= after.percent_since(&before));
        assert!(watch.rss_bytes().unwrap() > 100 << 10);
        assert!(watch.core().is_some());
        assert!(Watch::new(u32::MAX).is_err());
    }
}
