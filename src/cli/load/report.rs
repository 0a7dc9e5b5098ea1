//! The page with charts.
//!
//! Owns what goes into it. The page is one file: its style, its script and the chart library
//! (uPlot) are in it, and it asks the network for nothing.

use std::io;

use serde::Serialize;

use super::outcome::Outcome;
use super::plan::{Mode, Plan};
use super::screen::{errors, unit, what};
use super::units::{bytes, count, time};

const PAGE: &str = include_str!("page/report.html");
const STYLE: &str = include_str!("page/report.css");
const SCRIPT: &str = include_str!("page/report.js");
const CHART_STYLE: &str = include_str!("../../assets/uplot/uPlot.min.css");
const CHART_SCRIPT: &str = include_str!("../../assets/uplot/uPlot.iife.min.js");

/// What the script draws.
#[derive(Serialize)]
struct Data<'a> {
    title: String,
    subtitle: &'a str,
    unit: &'static str,
    tiles: Vec<[String; 3]>,
    settings: Vec<[String; 2]>,
    warnings: &'a [String],
    examples: &'a [String],
    /// Time, rate, and three times in microseconds.
    seconds: Vec<(u64, f64, f64, f64, f64)>,
    /// One in how many messages is slower, and that time in microseconds.
    curve: &'a [(f64, f64)],
    outcome: &'a Outcome,
}

/// The page of a run.
///
/// # Errors
/// None in practice: numbers and strings can be written.
pub fn page(plan: &Plan, outcome: &Outcome) -> io::Result<String> {
    let seconds = outcome.seconds.iter().map(|row| {
        let rate = row.messages as f64 * 1e9 / row.length_ns.max(1) as f64;
        (row.t + 1, rate, row.p50_us, row.p99_us, row.max_us)
    });
    let data = Data {
        title: what(plan),
        subtitle: &plan.url,
        unit: unit(plan.mode),
        tiles: tiles(plan, outcome),
        settings: settings(plan, outcome),
        warnings: &outcome.warnings,
        examples: &outcome.examples,
        seconds: seconds.collect(),
        curve: &outcome.curve,
        outcome,
    };
    // Inside a script element nothing may look like its end.
    let data = serde_json::to_string(&data)?.replace('<', "\\u003c");
    Ok(PAGE
        .replace("/*style*/", &format!("{CHART_STYLE}\n{STYLE}"))
        .replace("/*chart*/", CHART_SCRIPT)
        .replace("/*script*/", SCRIPT)
        .replace("/*data*/", &data))
}

/// The figures in large: name, value, and what it means.
fn tiles(plan: &Plan, outcome: &Outcome) -> Vec<[String; 3]> {
    let tile = |name: &str, value: String, words: &str| [name.to_owned(), value, words.to_owned()];
    let has_messages = plan.mode != Mode::Idle || plan.ping_every_s.is_some();
    let mut tiles = Vec::new();
    if has_messages {
        let per_s = count(outcome.per_s(plan.mode));
        tiles.push(tile(&format!("{} a second", unit(plan.mode)), per_s, "on average"));
        let latency = &outcome.latency_us;
        tiles.push(tile("half are done within", time(latency.p50), "the median time"));
        tiles.push(tile("99 of 100 within", time(latency.p99), "the 99th percentile"));
        tiles.push(tile("the slowest took", time(latency.max), "of all that were counted"));
    }
    if plan.mode != Mode::Storm {
        let opened = count(outcome.handshakes_per_s);
        tiles.push(tile("connections opened a second", opened, "before the counting"));
    }
    if let Some(server) = &outcome.server {
        let each = match plan.mode {
            Mode::Echo => "a message",
            Mode::Fanout => "a delivery",
            Mode::Storm => "a handshake",
            Mode::Idle => "",
        };
        let cpu = format!("{:.0} %", server.cpu_percent);
        let words = match plan.mode {
            Mode::Idle => "of one core".to_owned(),
            _ => format!("of one core; {} {each}", time(server.cpu_us_per_message)),
        };
        tiles.push(tile("processor of the server", cpu, &words));
        let (memory, words) = match plan.mode {
            Mode::Idle => (bytes(server.bytes_per_connection), "for each connection"),
            Mode::Echo | Mode::Fanout | Mode::Storm => {
                (bytes(server.rss_bytes as f64), "resident, at the end")
            }
        };
        tiles.push(tile("memory of the server", memory, words));
    }
    let wrong = outcome.errors;
    let total = wrong.refused + wrong.lost + wrong.mismatched + wrong.timeouts;
    tiles.push(tile("errors", count(total as f64), &errors(outcome)));
    tiles
}

fn settings(plan: &Plan, outcome: &Outcome) -> Vec<[String; 2]> {
    let mut rows = vec![
        ["Server".to_owned(), plan.url.clone()],
        ["Load".to_owned(), plan.mode.name().to_owned()],
        ["Connections".to_owned(), count(plan.connections as f64)],
    ];
    let mut add = |name: &str, value: String| rows.push([name.to_owned(), value]);
    if matches!(plan.mode, Mode::Echo | Mode::Fanout) {
        let kind = if plan.text { "text" } else { "binary" };
        add("Message", format!("{} of {kind}", bytes(plan.size as f64)));
        match plan.rate {
            Some(rate) => add("Sent", format!("{} a second in all", count(rate))),
            None => add("In flight", format!("{}, the next after each reply", plan.depth)),
        }
        add("Compression offered", plan.compress.name().to_owned());
    }
    if plan.mode == Mode::Fanout {
        add("Senders", plan.senders.to_string());
    }
    if let Some(every_s) = plan.ping_every_s {
        add("Each is pinged every", format!("{every_s} s"));
    }
    add("Counted for", format!("{:.1} s", outcome.duration_s));
    add("Warm-up before that", format!("{} s", plan.warm_up_s));
    add("Processes of the load", plan.procs.to_string());
    add("Processor of the load", format!("{:.0} % of one core", outcome.client.cpu_percent));
    if let Some(late_us) = outcome.client.late_p99_us {
        add("99 % sent no later than", format!("{} after their time", time(late_us)));
    }
    add("Made with", format!("throng {}", env!("CARGO_PKG_VERSION")));
    rows
}
