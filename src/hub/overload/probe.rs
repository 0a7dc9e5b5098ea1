//! Where the pressure is read.
//!
//! Owns the files of the system that tell of it, and how each number becomes one of a hundred. What
//! cannot be read is no pressure. Never decides what follows.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::guard::LoopReport;
use super::pressure::{Pressure, Source, percent};

/// A turn that takes so long is a pressure of 100 per cent.
const LAG_MAX: Duration = Duration::from_millis(500);

/// A loop is busy only if it has been so for so many readings.
const CPU_READINGS: usize = 20;

/// A loop that has not reported for so many readings is at rest: nobody is connected to it.
const SILENT_READINGS: u32 = 10;

/// What the pressure is held against. `u64::MAX` is no limit.
#[derive(Clone, Debug)]
pub struct Limits {
    /// What the server may hold, in bytes.
    pub memory_bytes: u64,
    /// What slow peers of a loop may be owed together, in bytes.
    pub backlogs_bytes: u64,
    /// What may be held of messages and requests that have come in part, a loop, in bytes.
    pub partial_bytes: u64,
    /// How many pieces of mail may wait for a loop.
    pub mail: u64,
}

/// Reads the pressure.
#[derive(Debug)]
pub struct Probe {
    limits: Limits,
    system_memory_bytes: u64,
    descriptors_max: u64,
    loops: Vec<Thread>,
    read_at: Duration,
}

/// What is remembered of a loop's thread.
#[derive(Debug, Default)]
struct Thread {
    /// The number of its last report, and for how many readings that was the last.
    report: u64,
    silent: u32,
    /// The processor time that it had used or waited for, in nanoseconds.
    used_ns: Option<u64>,
    /// Its part of a processor, in per cent, at the last readings.
    shares: VecDeque<f64>,
}

impl Probe {
    /// Reads the limits of the system.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            system_memory_bytes: system_memory_bytes(),
            descriptors_max: descriptors_max().unwrap_or(u64::MAX),
            loops: Vec::new(),
            read_at: Duration::ZERO,
        }
    }

    /// The pressure now, at a time since any start.
    pub fn read(&mut self, now: Duration, reports: &[LoopReport]) -> Pressure {
        let passed = now.saturating_sub(std::mem::replace(&mut self.read_at, now));
        self.loops.resize_with(reports.len(), Thread::default);
        let (mut lag, mut queue, mut cpu) = (0.0_f64, 0.0_f64, 0.0_f64);
        for (thread, report) in self.loops.iter_mut().zip(reports) {
            let used_ns = report.thread.as_deref().and_then(used_ns);
            cpu = cpu.max(thread.share(used_ns, passed));
            if thread.hears(report.number) {
                lag = lag.max(report.lag.as_secs_f64() * 100.0 / LAG_MAX.as_secs_f64());
            }
            queue = queue
                .max(percent(report.backlog_bytes, self.limits.backlogs_bytes))
                .max(percent(report.partial_bytes, self.limits.partial_bytes))
                .max(percent(report.mail as u64, self.limits.mail))
                .max(report.store_percent);
        }
        let held = reports.iter().map(|report| report.memory_bytes).sum();
        let memory = percent(held, self.limits.memory_bytes);
        let resident = percent(resident_bytes().unwrap_or(0), self.system_memory_bytes);
        let open = percent(descriptors().unwrap_or(0), self.descriptors_max);
        let mut pressure = Pressure::default();
        for (source, value) in [
            (Source::Memory, memory.max(resident)),
            (Source::Descriptors, open),
            (Source::Lag, lag),
            (Source::Queue, queue),
            (Source::Cpu, cpu),
        ] {
            pressure.0[source as usize] = value;
        }
        pressure
    }
}

impl Thread {
    /// Whether the loop reports: its last word on its lag counts no more when it has gone silent.
    fn hears(&mut self, report: u64) -> bool {
        let is_new = std::mem::replace(&mut self.report, report) != report;
        self.silent = if is_new { 0 } else { self.silent.saturating_add(1) };
        self.silent < SILENT_READINGS
    }

    /// The least part of a processor at the last readings, once there are enough of them.
    fn share(&mut self, used_ns: Option<u64>, passed: Duration) -> f64 {
        let before = std::mem::replace(&mut self.used_ns, used_ns);
        let (Some(used_ns), Some(before)) = (used_ns, before) else { return 0.0 };
        let passed_ns = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.shares.push_back(percent(used_ns.saturating_sub(before), passed_ns));
        if self.shares.len() > CPU_READINGS {
            self.shares.pop_front();
        }
        if self.shares.len() < CPU_READINGS {
            return 0.0;
        }
        self.shares.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

/// Where the system tells of the thread that asks.
pub(in crate::hub) fn this_thread() -> Option<PathBuf> {
    fs::read_link("/proc/thread-self").ok().map(|link| Path::new("/proc").join(link))
}

/// The processor time that a thread has used, and for how long it has waited for a processor
/// (proc(5), schedstat): beside neighbours it may not get all that it needs.
fn used_ns(thread: &Path) -> Option<u64> {
    let text = fs::read_to_string(thread.join("schedstat")).ok()?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
    Some(numbers.next()?.ok()?.saturating_add(numbers.next()?.ok()?))
}

fn resident_bytes() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// How many files and sockets are open. Since Linux 6.2 the size of the folder says so.
fn descriptors() -> Option<u64> {
    let folder = Path::new("/proc/self/fd");
    match fs::metadata(folder).ok()?.len() {
        0 => Some(fs::read_dir(folder).ok()?.count() as u64),
        count => Some(count),
    }
}

/// RLIMIT_NOFILE.
fn descriptors_max() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    first_number(line)
}

/// The least of what the machine has and what the control groups of the process let it have.
fn system_memory_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| kilobytes(&text, "MemTotal:")).unwrap_or(u64::MAX);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or("");
    let root = Path::new("/sys/fs/cgroup");
    let files = Path::new(group).ancestors().map(|folder| root.join(folder).join("memory.max"));
    let old = root.join("memory/memory.limit_in_bytes");
    let limits = files.chain([old]).filter_map(|file| fs::read_to_string(file).ok());
    limits.filter_map(|text| first_number(&text)).fold(machine, u64::min)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(first_number(line)? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { memory_bytes: 1 << 30, backlogs_bytes: 1000, partial_bytes: 1000, mail: 10 }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn reports_are_held_against_their_limits() {
        let mut probe = Probe::new(limits());
        let report = LoopReport {
            lag: ms(450),
            backlog_bytes: 500,
            partial_bytes: 910,
            memory_bytes: 1 << 29,
            mail: 3,
            ..LoopReport::default()
        };
        let other = LoopReport { lag: ms(10), mail: 9, ..LoopReport::default() };
        let Pressure([memory, _, lag, queue, cpu]) = probe.read(ms(250), &[report, other]);
        assert_eq!((memory, lag, queue, cpu), (50.0, 90.0, 91.0, 0.0));
        let store = LoopReport { store_percent: 96.0, ..LoopReport::default() };
        assert_eq!(probe.read(ms(500), &[store]).highest(), (Source::Queue, 96.0));
    }

    #[test]
    fn a_loop_that_is_silent_has_no_lag() {
        let mut probe = Probe::new(limits());
        let report = LoopReport { number: 1, lag: ms(900), ..LoopReport::default() };
        let reports = [report];
        let lags: Vec<_> = (1..=12).map(|n| probe.read(ms(250 * n), &reports).0[2]).collect();
        assert_eq!(lags[..10], [180.0; 10]);
        assert_eq!(lags[10..], [0.0; 2]);
    }

    #[test]
    fn a_loop_is_busy_when_it_has_been_so_for_a_while() {
        let mut thread = Thread::default();
        let mut used_ns = 0;
        let mut share = |percent: u64| {
            used_ns += percent * 2_500_000;
            thread.share(Some(used_ns), ms(250))
        };
        let first: Vec<_> = (0..20).map(|_| share(97)).collect();
        assert_eq!(first, [0.0; 20]);
        assert_eq!([share(97), share(100), share(40)], [97.0, 97.0, 40.0]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_tells_of_this_process() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
        assert!(descriptors().is_some_and(|count| count >= 3));
        assert!(descriptors_max().is_some_and(|max| max > descriptors().unwrap_or(0)));
        assert!((1 << 26..u64::MAX).contains(&system_memory_bytes()));
        let thread = this_thread().expect("a thread");
        assert!(used_ns(&thread).is_some());
        let Pressure([memory, open, ..]) = Probe::new(limits()).read(ms(250), &[]);
        assert!(memory > 0.0 && memory < 100.0 && open > 0.0 && open < 100.0);
    }
}
