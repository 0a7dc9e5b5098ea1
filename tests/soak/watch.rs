//! Who looks at a server all the time: whether it answers, what it says of itself, and what the
//! kernel says of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{eventually, procfs};
use crate::served::Served;

/// How often it is asked whether it is well.
const PERIOD: Duration = Duration::from_millis(250);

/// A server at one moment.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Since the beginning.
    pub at: Duration,
    pub pid: u32,
    pub rss_kb: u64,
    pub fds: usize,
    /// What `/metrics` says, by names with their labels.
    pub metrics: BTreeMap<String, f64>,
}

impl Sample {
    /// What is counted under this name, all labels together.
    pub fn sum(&self, name: &str) -> f64 {
        let is_of = |key: &str| key.strip_prefix(name).is_some_and(|rest| !is_word(rest));
        self.metrics.iter().filter(|(key, _)| is_of(key)).map(|(_, value)| value).sum()
    }

    /// What the server holds by its own count, by whose it is.
    pub fn owners(&self) -> impl Iterator<Item = (&str, f64)> {
        self.metrics.iter().filter_map(|(key, value)| {
            let label = key.strip_prefix("throng_memory_bytes{owner=\"")?;
            Some((label.trim_end_matches("\"}"), *value))
        })
    }

    /// How many connections there are, in whatever state.
    pub fn connections(&self) -> f64 {
        self.sum("throng_connections")
    }
}

/// Whether a name goes on with this.
fn is_word(rest: &str) -> bool {
    rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
}

/// The samples of a text for Prometheus.
fn read(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
    lines.filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?))).collect()
}

/// What was seen of a server over the whole time.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    pub samples: Vec<Sample>,
    /// How often it was asked whether it is well, and what was wrong with the answer.
    pub asked: usize,
    pub unanswered: Vec<String>,
    pub slowest: Duration,
}

impl Watched {
    /// The most of something that was seen at once.
    pub fn most(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        self.samples.iter().map(of).fold(0.0, f64::max)
    }

    /// The samples that were taken within a time.
    pub fn within(&self, from: Duration, to: Duration) -> Vec<&Sample> {
        self.samples.iter().filter(|sample| sample.at >= from && sample.at < to).collect()
    }

    /// Asks once whether a server is well.
    pub fn knock(&mut self, server: &Served) {
        self.asked += 1;
        let begin = Instant::now();
        match server.get("/healthz") {
            Ok((200, _)) => {}
            other => self.unanswered.push(format!("{other:?} after {:?}", begin.elapsed())),
        }
        self.slowest = self.slowest.max(begin.elapsed());
    }
}

/// Looks at a server until it is over.
pub fn watch(server: &Served, begin: Instant, is_over: &AtomicBool) -> Watched {
    let (mut watched, mut next) = (Watched::default(), Instant::now());
    for turn in 0_usize.. {
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        watched.knock(server);
        if turn.is_multiple_of(4) {
            watched.samples.extend(sample(server, begin));
        }
        next = (next + PERIOD).max(Instant::now());
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    watched
}

/// A server at this moment; `None` while one process takes over from another.
pub fn sample(server: &Served, begin: Instant) -> Option<Sample> {
    let pid = server.pid();
    let (status, text) = server.get("/metrics").ok()?;
    let (rss_kb, fds) = (procfs::status_kb(pid, "VmRSS:")?, procfs::fd_count(pid)?);
    let is_it = status == 200 && server.pid() == pid;
    is_it.then(|| Sample { at: begin.elapsed(), pid, rss_kb, fds, metrics: read(&text) })
}

/// A server once everybody has left it, with at most so many seconds for that. Where somebody
/// stays, it is as it is then.
pub fn rest(server: &Served, begin: Instant, within_s: u64) -> Sample {
    let (end, mut last) = (Instant::now() + Duration::from_secs(within_s), Sample::default());
    loop {
        let Some(now) = sample(server, begin) else { continue };
        // The connection that asks is one of them, at most.
        let is_still = now.connections() <= 1.0 && now.fds == last.fds;
        if is_still || Instant::now() > end {
            return now;
        }
        last = now;
        thread::sleep(Duration::from_millis(1100)); // loops tell their numbers each second
    }
}

/// In how many parts of the time a load is looked for: what goes on and on is in each of them, and
/// what is left to do once, or a machine that is busy for a moment, is not.
const PARTS: u32 = 3;

/// The processor time that a process takes, in processors: the least of some parts of the time.
pub fn load(pid: u32, time: Duration) -> f64 {
    let used = || procfs::cpu_s(pid).expect("it is alive");
    let parts = (0..PARTS).map(|_| {
        let (before, begin) = (used(), Instant::now());
        thread::sleep(time / PARTS);
        (used() - before) / begin.elapsed().as_secs_f64()
    });
    parts.fold(f64::INFINITY, f64::min)
}

/// Waits until a server says that it is ready.
pub fn await_ready(server: &Served) {
    let is_ready = |(status, words): (u16, String)| status == 200 && words.trim() == "ready";
    eventually("it is ready", 30.0, || server.get("/readyz").is_ok_and(is_ready));
}
