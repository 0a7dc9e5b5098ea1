//! What has to hold of a server that was soaked. Each judge says what does not; each is proved in
//! `planted`.

use std::time::Duration;

use crate::watch::{Sample, Watched};

/// In how many windows memory is measured, and how much more a process may take in the last than in
/// the second, in KiB: the first is for it to grow warm.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    pub windows: usize,
    pub growth_kb: u64,
}

impl Allowance {
    /// For a run of so many seconds: a short one does not come to see anybody warm.
    pub const fn of(time_s: u64) -> Self {
        let (windows, growth_kb) = if time_s < 300 { (3, 16 << 10) } else { (6, 4 << 10) };
        Self { windows, growth_kb }
    }

    const fn is_short(self) -> bool {
        self.windows < 6
    }
}

/// How many more descriptors it may have, at rest, than before: a link that is just opened.
const FDS_MORE_MAX: usize = 2;

/// Of one processor, what a server may use that nobody is connected to.
const IDLE_MAX: f64 = 0.03;

/// What an owner of memory may hold more than on a server that nobody was on, in bytes. Rooms and
/// their histories stay for as long as they are asked to, and have a limit of their own; the arena
/// and what came in part keep some buffers for the next.
const OWNERS: [(&str, f64); 7] = [
    ("tables", 1e6),
    ("arena", 4e6),
    ("backlogs", 0.0),
    ("partial", 1e6),
    ("deflate", 1e6),
    ("rooms", 3e6),
    ("history", crate::HISTORY_BYTES as f64),
];

/// The median of the memory in a window.
fn median_kb(samples: &[&Sample]) -> u64 {
    let mut all: Vec<u64> = samples.iter().map(|sample| sample.rss_kb).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(0)
}

/// How much memory grows, in KiB a minute: the line that fits best.
pub fn slope_kb(samples: &[&Sample]) -> f64 {
    let count = samples.len() as f64;
    let minutes = |sample: &Sample| sample.at.as_secs_f64() / 60.0;
    let mean = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(|one| of(one)).sum::<f64>() / count;
    let (time, memory) = (mean(&minutes), mean(&|one| one.rss_kb as f64));
    let over = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(|one| of(one)).sum::<f64>();
    let steep = over(&|one| (minutes(one) - time) * (one.rss_kb as f64 - memory));
    steep / over(&|one| (minutes(one) - time).powi(2)).max(f64::EPSILON)
}

/// The memory of one process in windows of as many samples, the first for it to grow warm: that of
/// the last is not above that of the second.
pub fn flat(
    watched: &Watched,
    (from, to): (Duration, Duration),
    allowance: Allowance,
) -> (String, Vec<String>) {
    let samples = watched.within(from, to);
    let size = samples.len() / allowance.windows;
    if size == 0 {
        // A machine that is so busy is no place to measure anything.
        let words = format!("{} samples", samples.len());
        let faults = if allowance.is_short() { Vec::new() } else { vec![words.clone()] };
        return (words, faults);
    }
    let medians: Vec<u64> = samples.chunks_exact(size).map(median_kb).collect();
    let slope = slope_kb(&samples[size..]);
    let words = format!("KiB in windows of {size} samples: {medians:?}, {slope:+.0} a minute");
    let mut faults = Vec::new();
    if samples.windows(2).any(|pair| pair[0].pid != pair[1].pid) {
        faults.push("not one process in all windows".into());
    }
    if medians[allowance.windows - 1] > medians[1] + allowance.growth_kb {
        faults.push(format!("memory grows: {words}"));
    }
    (words, faults)
}

/// The memory of each process just before the next one follows: that of the last is not above that
/// of the second.
pub fn inherited(
    watched: &Watched,
    (from, to): (Duration, Duration),
    allowance: Allowance,
) -> (String, Vec<String>) {
    let samples = watched.within(from, to);
    let ends = samples.windows(2).filter(|pair| pair[0].pid != pair[1].pid).map(|pair| pair[0]);
    let sizes: Vec<u64> = ends.map(|end| end.rss_kb).collect();
    let words = format!("KiB of each process at its end: {sizes:?}");
    let grows = match &sizes[..] {
        [_, second, .., last] => *last > second + allowance.growth_kb,
        _ => false,
    };
    let faults = if grows { vec![format!("memory is inherited: {words}")] } else { Vec::new() };
    (words, faults)
}

/// Everything is as it was before anybody came.
pub fn returned(before: &Sample, after: &Sample) -> Vec<String> {
    let mut faults = Vec::new();
    if after.connections() > 1.0 {
        faults.push(format!("{} connections are left", after.connections()));
    }
    if after.fds > before.fds + FDS_MORE_MAX {
        faults.push(format!("{} descriptors, {} before", after.fds, before.fds));
    }
    let of = |sample: &Sample, name: &str| {
        sample.owners().find(|(owner, _)| *owner == name).map_or(0.0, |(_, bytes)| bytes)
    };
    for (owner, _) in after.owners() {
        let Some((_, more)) = OWNERS.iter().find(|(known, _)| *known == owner) else {
            faults.push(format!("{owner} is an owner of memory that is not judged"));
            continue;
        };
        let (then, now) = (of(before, owner), of(after, owner));
        if now > then + more {
            faults.push(format!("{owner} hold {now} bytes, {then} before"));
        }
    }
    faults
}

/// Each WebSocket that was opened here, or taken over, has ended, and once. One that asks for the
/// numbers is none.
pub fn accounted(sample: &Sample, taken: f64) -> Vec<String> {
    let (opened, closed) = (sample.sum("throng_opened_total"), sample.sum("throng_closes_total"));
    let open = sample.metrics.get("throng_connections{state=\"open\"}").copied().unwrap_or(0.0);
    let words = || format!("{opened} opened and {taken} taken over, {closed} ended, {open} open");
    if opened + taken == closed + open { Vec::new() } else { vec![words()] }
}

/// It does nothing while nobody is there.
pub fn idle(load: f64) -> Vec<String> {
    let words = || format!("{:.1} % of a processor, and nobody is there", load * 100.0);
    if load <= IDLE_MAX { Vec::new() } else { vec![words()] }
}

/// It was well each time that somebody asked.
pub fn answered(watched: &Watched) -> Vec<String> {
    let mut faults: Vec<String> =
        watched.unanswered.iter().map(|fault| format!("/healthz: {fault}")).collect();
    if watched.asked == 0 {
        faults.push("nobody asked whether it is well".into());
    }
    faults
}

/// Nothing panicked, and nothing failed but what was made to.
pub fn said(errors: &[String], expected: &[&str]) -> Vec<String> {
    let is_expected = |line: &str| expected.iter().any(|words| line.contains(words));
    errors.iter().filter(|line| !is_expected(line)).map(|line| format!("log: {line}")).collect()
}
