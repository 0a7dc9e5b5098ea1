//! What came of a run.
//!
//! Owns the figures and the form in which scripts get them: `docs/load.md` describes it, and it
//! stays as it is.

use serde::Serialize;

use super::clock::SECOND_NS;
use super::plan::{Mode, Plan};
use super::spread::Spread;
use super::words::Errors;

/// The figures of a run, in the order of the JSON object.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub mode: &'static str,
    pub url: String,
    pub connections: usize,
    pub size: usize,
    pub depth: usize,
    pub rate: Option<f64>,
    pub procs: usize,
    pub duration_s: f64,
    pub messages: u64,
    pub messages_per_s: f64,
    pub bytes_per_s: f64,
    pub handshakes: u64,
    pub handshakes_per_s: f64,
    pub deliveries: u64,
    pub deliveries_per_s: f64,
    pub latency_us: Latency,
    pub server: Option<Server>,
    pub client: Client,
    pub errors: Errors,
    pub warnings: Vec<String>,
    pub seconds: Vec<Row>,
    /// Pings that were sent and answered, where connections idle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pings: Option<Pings>,
    /// The first error of each kind, in words.
    pub examples: Vec<String>,
    /// The percentile curve, for the report.
    #[serde(skip)]
    pub curve: Vec<(f64, f64)>,
}

/// Times in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    #[serde(rename = "p99.9")]
    pub p99_9: f64,
    #[serde(rename = "p99.99")]
    pub p99_99: f64,
    pub max: f64,
    pub mean: f64,
}

/// What the server used.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Server {
    pub cpu_us_per_message: f64,
    pub cpu_percent: f64,
    pub rss_bytes: u64,
    pub bytes_per_connection: f64,
}

/// What the load used.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Client {
    pub cpu_percent: f64,
    pub late_p99_us: Option<f64>,
}

/// Pings and pongs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Pings {
    pub sent: u64,
    pub answered: u64,
}

/// One second.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Row {
    pub t: u64,
    pub messages: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
    /// How much of a second it is: the last one may be cut.
    #[serde(skip)]
    pub length_ns: u64,
}

impl Latency {
    pub fn of(spread: &Spread) -> Self {
        Self {
            p50: spread.at_us(0.5),
            p90: spread.at_us(0.9),
            p99: spread.at_us(0.99),
            p99_9: spread.at_us(0.999),
            p99_99: spread.at_us(0.9999),
            max: spread.max_us(),
            mean: spread.mean_us(),
        }
    }

    /// With their names, in order.
    pub const fn percentiles(&self) -> [(&'static str, f64); 6] {
        [
            ("50 %", self.p50),
            ("90 %", self.p90),
            ("99 %", self.p99),
            ("99.9 %", self.p99_9),
            ("99.99 %", self.p99_99),
            ("all", self.max),
        ]
    }
}

impl Outcome {
    /// A run in which nothing has happened yet.
    pub fn new(plan: &Plan) -> Self {
        Self {
            mode: plan.mode.name(),
            url: plan.url.clone(),
            connections: plan.connections,
            size: plan.size,
            depth: plan.depth,
            rate: plan.rate,
            procs: plan.procs,
            duration_s: 0.0,
            messages: 0,
            messages_per_s: 0.0,
            bytes_per_s: 0.0,
            handshakes: 0,
            handshakes_per_s: 0.0,
            deliveries: 0,
            deliveries_per_s: 0.0,
            latency_us: Latency::default(),
            server: None,
            client: Client::default(),
            errors: Errors::default(),
            warnings: Vec::new(),
            seconds: Vec::new(),
            pings: None,
            examples: Vec::new(),
            curve: Vec::new(),
        }
    }

    /// Puts what was counted where it belongs in this mode.
    pub fn count(&mut self, mode: Mode, count: u64) {
        let per_s = if self.duration_s > 0.0 { count as f64 / self.duration_s } else { 0.0 };
        match mode {
            Mode::Echo | Mode::Idle => (self.messages, self.messages_per_s) = (count, per_s),
            Mode::Fanout => (self.deliveries, self.deliveries_per_s) = (count, per_s),
            Mode::Storm => (self.handshakes, self.handshakes_per_s) = (count, per_s),
        }
    }

    /// What was counted, a second.
    pub fn per_s(&self, mode: Mode) -> f64 {
        match mode {
            Mode::Echo | Mode::Idle => self.messages_per_s,
            Mode::Fanout => self.deliveries_per_s,
            Mode::Storm => self.handshakes_per_s,
        }
    }

    /// The slowest, the median and the fastest whole second, as rates.
    pub fn rates(&self) -> Option<[f64; 3]> {
        let whole = self.seconds.iter().filter(|row| row.length_ns >= SECOND_NS);
        let mut rates: Vec<u64> = whole.map(|row| row.messages).collect();
        rates.sort_unstable();
        let (min, max) = (*rates.first()?, *rates.last()?);
        Some([min as f64, rates[rates.len() / 2] as f64, max as f64])
    }

    /// The exit status: see `--help`.
    pub const fn status(&self) -> u8 {
        let Errors { refused, lost, mismatched, timeouts } = self.errors;
        if mismatched > 0 {
            3
        } else if refused + lost + timeouts > 0 {
            1
        } else {
            0
        }
    }
}
