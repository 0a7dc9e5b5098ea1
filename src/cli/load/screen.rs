//! What a person sees: a bar while it runs, on a terminal only, and a table at the end.
//!
//! Owns the layout. All of it but the table goes to standard error.

use indicatif::{ProgressBar, ProgressStyle};

use super::outcome::Outcome;
use super::plan::{Mode, Plan};
use super::spread::Spread;
use super::units::{bytes, count, time};

/// The line that moves.
pub struct Screen {
    bar: ProgressBar,
    seconds: u64,
    unit: &'static str,
}

impl Screen {
    /// A screen for standard error; nothing is drawn where that is no terminal.
    pub fn new() -> Self {
        Self { bar: ProgressBar::hidden(), seconds: 0, unit: "" }
    }

    pub fn begin(&mut self, plan: &Plan) {
        self.seconds = plan.duration_s.ceil() as u64;
        self.unit = unit(plan.mode);
        self.bar = ProgressBar::new(plan.connections as u64);
        let style = "opening connections {bar:30} {pos} of {len}, {elapsed} {msg}";
        self.bar.set_style(style_of(style));
        self.bar.tick();
    }

    pub fn opening(&self, open: u64) {
        self.bar.set_position(open);
    }

    pub fn second(&self, number: u64, counted: u64, latency: &Spread) {
        if number == 1 {
            self.bar.set_style(style_of("{bar:30} {pos} of {len} s  {msg}"));
            self.bar.set_length(self.seconds);
        }
        self.bar.set_position(number);
        let (rate, unit) = (count(counted as f64), self.unit);
        let (half, most) = (time(latency.at_us(0.5)), time(latency.at_us(0.99)));
        self.bar.set_message(format!("{rate} {unit}/s, half within {half}, 99 % within {most}"));
    }

    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn style_of(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
}

/// What is counted.
pub const fn unit(mode: Mode) -> &'static str {
    match mode {
        Mode::Echo => "messages",
        Mode::Fanout => "deliveries",
        Mode::Storm => "handshakes",
        Mode::Idle => "pongs",
    }
}

/// The figures as a table of two columns.
pub fn table(plan: &Plan, outcome: &Outcome) -> String {
    let mut rows = vec![("what", what(plan))];
    let opened = format!(
        "{} in all, {} a second",
        count(outcome.handshakes as f64),
        count(outcome.handshakes_per_s)
    );
    rows.push(("handshakes", opened));
    let has_messages = plan.mode != Mode::Idle || plan.ping_every_s.is_some();
    if has_messages && plan.mode != Mode::Storm {
        let total = outcome.messages + outcome.deliveries;
        let per_s = count(outcome.per_s(plan.mode));
        let line = format!("{} in all, {per_s} a second", count(total as f64));
        rows.push((unit(plan.mode), line));
    }
    if let Some([min, median, max]) = outcome.rates().filter(|_| has_messages) {
        let line =
            format!("slowest {}, median {}, fastest {}", count(min), count(median), count(max));
        rows.push(("by the second", line));
    }
    if outcome.bytes_per_s > 0.0 {
        rows.push(("payload received", format!("{} a second", bytes(outcome.bytes_per_s))));
    }
    if has_messages {
        let times: Vec<_> = outcome.latency_us.percentiles().into_iter().collect();
        let shown = times.iter().map(|(share, us)| format!("{share} {}", time(*us)));
        let shown: Vec<_> = shown.collect();
        rows.push(("done within", shown[..3].join("   ")));
        rows.push(("", shown[3..].join("   ")));
    }
    rows.extend(machine_rows(plan, outcome));
    let mut text = String::new();
    for (name, value) in rows {
        text += &format!("{name:<18}{value}\n");
    }
    text
}

/// What server and load used, and what went wrong.
fn machine_rows(plan: &Plan, outcome: &Outcome) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(server) = &outcome.server {
        let each = match plan.mode {
            Mode::Idle => String::new(),
            Mode::Echo => format!(", {} a message", time(server.cpu_us_per_message)),
            Mode::Fanout => format!(", {} a delivery", time(server.cpu_us_per_message)),
            Mode::Storm => format!(", {} a handshake", time(server.cpu_us_per_message)),
        };
        rows.push(("server CPU", format!("{:.0} % of a core{each}", server.cpu_percent)));
        let mut memory = bytes(server.rss_bytes as f64);
        if plan.mode == Mode::Idle {
            memory += &format!(", {} a connection", bytes(server.bytes_per_connection));
        }
        rows.push(("server memory", memory));
    }
    let mut load = format!("{:.0} % of a core", outcome.client.cpu_percent);
    if let Some(late_us) = outcome.client.late_p99_us {
        load += &format!(", 99 % sent no later than {} after their time", time(late_us));
    }
    rows.push(("load CPU", load));
    if let Some(pings) = outcome.pings {
        rows.push(("pings", format!("{} sent, {} answered", pings.sent, pings.answered)));
    }
    rows.push(("errors", errors(outcome)));
    rows
}

/// The errors in words.
pub fn errors(outcome: &Outcome) -> String {
    let errors = outcome.errors;
    if !errors.any() {
        return "none".to_owned();
    }
    format!(
        "{} refused, {} lost, {} wrong, {} never answered",
        errors.refused, errors.lost, errors.mismatched, errors.timeouts
    )
}

/// What was done, in words.
pub fn what(plan: &Plan) -> String {
    let connections = count(plan.connections as f64);
    let size = bytes(plan.size as f64);
    let pace = match plan.rate {
        Some(rate) => format!("{} a second", count(rate)),
        None => format!("{} in flight", plan.depth),
    };
    match plan.mode {
        Mode::Echo if plan.rate.is_some() => {
            format!("echo of {size}, {connections} connections, {pace} in all")
        }
        Mode::Echo => format!("echo of {size}, {connections} connections, {pace} on each"),
        Mode::Fanout => {
            format!("{size} from {} to {connections} connections, {pace}", plan.senders)
        }
        Mode::Storm => format!("connect, upgrade, close, again: {connections} at a time"),
        Mode::Idle => format!("{connections} connections that say nothing"),
    }
}
