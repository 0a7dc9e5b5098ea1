//! One run, from the first connection to the figures.
//!
//! Owns its course: all workers are ready before any begins, and all count in the same window.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::clock::{SECOND_NS, now_ns};
use super::fleet::{Fleet, News};
use super::outcome::{Client, Latency, Outcome, Pings, Row, Server};
use super::plan::{Mode, Plan};
use super::screen::Screen;
use super::spread::Spread;
use super::warnings;
use super::watch::{Usage, Watch, percent};
use super::words::{Done, Order, Second, Word};

/// How often is looked whether to stop, and what the server uses.
const STEP: Duration = Duration::from_millis(100);

/// What the workers have said so far.
pub struct Course<'a> {
    plan: &'a Plan,
    /// How many connections each worker has open while it opens them.
    ready: usize,
    open: u64,
    opening_s: f64,
    done: usize,
    ended: usize,
    /// When the window opened, as it was planned, and how long it is.
    window_ns: Option<(u64, u64)>,
    /// What each second brought, of all workers that have told of it.
    seconds: BTreeMap<u64, Merged>,
    pub all: Spread,
    pub late: Spread,
    count: u64,
    bytes: u64,
    left: Done,
    /// The most that one worker used of a core, in percent.
    pub busiest_percent: f64,
    cpu_ns: u64,
    server: ServerUse,
}

/// One second of all workers.
struct Merged {
    workers: usize,
    count: u64,
    length_ns: u64,
    latency: Spread,
}

/// What was seen of the server.
#[derive(Default)]
pub struct ServerUse {
    watch: Option<Watch>,
    rss_before: u64,
    rss_open: u64,
    rss_end: u64,
    begin: Option<Usage>,
    pub end: Option<Usage>,
    /// How often it was seen, and how often on the core of this process.
    pub seen: u32,
    pub beside: u32,
}

impl ServerUse {
    fn new(pid: Option<u32>) -> io::Result<Self> {
        let watch = pid.map(Watch::new).transpose()?;
        let rss_before = watch.and_then(Watch::rss_bytes).unwrap_or(0);
        Ok(Self { watch, rss_before, ..Self::default() })
    }

    /// Looks at the server in the window.
    fn look(&mut self, own: Option<Watch>) {
        let Some(watch) = self.watch else { return };
        let usage = watch.usage();
        self.begin.get_or_insert_with(|| usage.clone());
        self.end = Some(usage);
        if let (Some(core), Some(own)) = (watch.core(), own.and_then(Watch::core)) {
            self.seen += 1;
            self.beside += u32::from(core == own);
        }
    }

    pub fn busiest_percent(&self) -> Option<f64> {
        Some(self.end.as_ref()?.busiest_percent_since(self.begin.as_ref()?))
    }
}

/// Runs a plan. `interrupted` ends it early, with what was counted by then.
///
/// # Errors
/// No worker can be started, or there is no server to be watched.
pub fn run(plan: &Plan, screen: &mut Screen, interrupted: &AtomicBool) -> io::Result<Outcome> {
    let mut course = Course::new(plan)?;
    let mut fleet = Fleet::start(plan)?;
    let own = Watch::new(std::process::id()).ok();
    let mut told = false;
    screen.begin(plan);
    while course.ended < fleet.len() {
        if let Some(news) = fleet.next(STEP) {
            let done = course.done;
            course.take(news, screen)?;
            if course.done > done && course.done == fleet.len() {
                course.look_at_the_end();
                fleet.order(Order::Leave);
            }
        }
        if course.ready == fleet.len() && course.window_ns.is_none() {
            let (from_ns, until_ns) = plan.window_ns();
            course.window_ns = Some((from_ns, until_ns));
            course.server.rss_open =
                course.server.watch.and_then(Watch::rss_bytes).unwrap_or_default();
            fleet.order(Order::Begin { from_ns, until_ns });
        }
        if course.is_counting() {
            course.server.look(own);
        }
        if interrupted.load(Ordering::Relaxed) && course.window_ns.is_some() && !told {
            told = true;
            fleet.order(Order::Finish);
        }
    }
    screen.end();
    Ok(course.outcome())
}

impl<'a> Course<'a> {
    fn new(plan: &'a Plan) -> io::Result<Self> {
        Ok(Self {
            plan,
            ready: 0,
            open: 0,
            opening_s: 0.0,
            done: 0,
            ended: 0,
            window_ns: None,
            seconds: BTreeMap::new(),
            all: Spread::new()?,
            late: Spread::new()?,
            count: 0,
            bytes: 0,
            left: Done::default(),
            busiest_percent: 0.0,
            cpu_ns: 0,
            server: ServerUse::new(plan.pid)?,
        })
    }

    /// Whether this moment is in the window.
    fn is_counting(&self) -> bool {
        let now = now_ns();
        self.window_ns.is_some_and(|(from_ns, until_ns)| (from_ns..until_ns).contains(&now))
            && self.done == 0
    }

    fn take(&mut self, news: News, screen: &Screen) -> io::Result<()> {
        match news {
            News::Word(Word::Opening { open }) => screen.opening(open),
            News::Word(Word::Ready { open, opening_s }) => {
                self.ready += 1;
                self.open += open;
                self.opening_s = self.opening_s.max(opening_s);
                screen.opening(self.open);
            }
            News::Word(Word::Second(second)) => self.merge(*second, screen)?,
            News::Word(Word::Done(done)) => {
                self.done += 1;
                self.all.add(&done.latency);
                self.left.errors.add(done.errors);
                self.left.pings += done.pings;
                self.left.pongs += done.pongs;
                self.left.examples.extend(done.examples);
            }
            News::Ended(Ok(())) => {
                self.ended += 1;
                if self.ended > self.done {
                    return Err(io::Error::other("a worker has ended before its time"));
                }
            }
            News::Ended(Err(error)) => return Err(error),
        }
        Ok(())
    }

    /// The server's memory while it still has all connections.
    fn look_at_the_end(&mut self) {
        self.server.rss_end = self.server.watch.and_then(Watch::rss_bytes).unwrap_or_default();
    }

    fn merge(&mut self, second: Second, screen: &Screen) -> io::Result<()> {
        let merged = match self.seconds.entry(second.number) {
            Entry::Occupied(told) => told.into_mut(),
            Entry::Vacant(first) => {
                let latency = Spread::new()?;
                first.insert(Merged { workers: 0, count: 0, length_ns: 0, latency })
            }
        };
        merged.workers += 1;
        merged.count += second.count;
        merged.length_ns = merged.length_ns.max(second.length_ns);
        merged.latency.add(&second.latency);
        if merged.workers == self.plan.procs {
            screen.second(second.number + 1, merged.count, &merged.latency);
        }
        self.all.add(&second.latency);
        self.late.add(&second.late);
        self.count += second.count;
        self.bytes += second.bytes;
        self.cpu_ns += second.cpu_ns;
        if second.length_ns >= SECOND_NS / 10 {
            let used = percent(second.cpu_ns, second.length_ns);
            self.busiest_percent = self.busiest_percent.max(used);
        }
        Ok(())
    }

    fn outcome(self) -> Outcome {
        let mode = self.plan.mode;
        let mut outcome = Outcome::new(self.plan);
        outcome.seconds =
            self.seconds.iter().map(|(number, second)| row(*number, second)).collect();
        let length_ns: u64 = outcome.seconds.iter().map(|row| row.length_ns).sum();
        outcome.duration_s = length_ns as f64 / SECOND_NS as f64;
        outcome.handshakes = self.open;
        if self.opening_s > 0.0 {
            outcome.handshakes_per_s = self.open as f64 / self.opening_s;
        }
        outcome.count(mode, self.count);
        if outcome.duration_s > 0.0 {
            outcome.bytes_per_s = self.bytes as f64 / outcome.duration_s;
        }
        outcome.latency_us = Latency::of(&self.all);
        outcome.curve = curve(&self.all);
        let late_p99_us = (self.late.len() > 0).then(|| self.late.at_us(0.99));
        let cpu_percent = if length_ns == 0 { 0.0 } else { percent(self.cpu_ns, length_ns) };
        outcome.client = Client { cpu_percent, late_p99_us };
        outcome.server = self.server_figures(&outcome);
        outcome.errors = self.left.errors;
        outcome.examples.clone_from(&self.left.examples);
        if mode == Mode::Idle && self.plan.ping_every_s.is_some() {
            outcome.pings = Some(Pings { sent: self.left.pings, answered: self.left.pongs });
        }
        outcome.warnings = warnings::of(self.plan, &outcome, &self.server, self.busiest_percent);
        outcome
    }

    fn server_figures(&self, outcome: &Outcome) -> Option<Server> {
        let ServerUse { begin, end, rss_before, rss_open, rss_end, watch, .. } = &self.server;
        (*watch)?;
        let cpu_percent = match (begin, end) {
            (Some(begin), Some(end)) => end.percent_since(begin),
            _ => 0.0,
        };
        let per_s = outcome.per_s(self.plan.mode);
        let cpu_us_per_message = if per_s > 0.0 { cpu_percent * 1e4 / per_s } else { 0.0 };
        let grown = rss_open.saturating_sub(*rss_before) as f64;
        Some(Server {
            cpu_us_per_message,
            cpu_percent,
            rss_bytes: *rss_end,
            bytes_per_connection: grown / (self.open.max(1)) as f64,
        })
    }
}

fn row(number: u64, second: &Merged) -> Row {
    Row {
        t: number,
        messages: second.count,
        p50_us: second.latency.at_us(0.5),
        p99_us: second.latency.at_us(0.99),
        max_us: second.latency.max_us(),
        length_ns: second.length_ns,
    }
}

/// Times at 0 %, 50 %, 90 %, 99 % and so on, with steps between them: as far as there are enough
/// messages for them to mean something.
fn curve(all: &Spread) -> Vec<(f64, f64)> {
    const STEPS: i32 = 8; // from one nine to the next
    let mut points = Vec::new();
    for step in 0..=STEPS * 6 {
        let beyond = 10_f64.powf(-f64::from(step) / f64::from(STEPS));
        if beyond * (all.len() as f64) < 1.0 {
            break;
        }
        points.push((1.0 / beyond, all.at_us(1.0 - beyond)));
    }
    points
}
