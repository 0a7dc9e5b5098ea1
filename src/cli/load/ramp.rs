//! Load in steps, each more than the last, until the server no longer keeps up.
//!
//! Owns the steps and when one has failed. Each step is a run of its own, with new connections.

use std::io;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::course;
use super::options::{Raise, RampOptions};
use super::outcome::Outcome;
use super::plan::{Mode, Plan};
use super::screen::{Screen, errors};
use super::units::{count, time};
use super::{interruption, print, say_warnings, write_report};

/// So much of a rate has to be answered.
const REACHED: f64 = 0.95;

/// The steps of a ramp, in the order of the JSON object.
#[derive(Serialize)]
struct Ramp {
    mode: &'static str,
    url: String,
    raise: &'static str,
    /// The last step that was borne; null where none was.
    held: Option<f64>,
    /// The first step that was not, and why; null where all were.
    broke: Option<f64>,
    why: Option<String>,
    steps: Vec<Outcome>,
}

/// Runs the steps, and says each as it is done.
///
/// # Errors
/// As a single run.
pub fn run(options: &RampOptions) -> io::Result<u8> {
    let first = options.plan()?;
    let interrupted = interruption()?;
    let mut ramp = Ramp::new(&first, options.raise);
    let mut last = (first.clone(), None);
    if !options.common.json {
        print(&heading())?;
    }
    for number in 0..options.steps {
        let factor = options.by.powi(number as i32);
        let plan = raised(&first, options.raise, factor);
        let outcome = course::run(&plan, &mut Screen::new(), &interrupted)?;
        let why = failure(&plan, &outcome, options.p99_max * 1e3);
        if !options.common.json {
            print(&line(&plan, &outcome, why.as_deref()))?;
        }
        say_warnings(&outcome);
        let level = level(&plan, options.raise);
        match &why {
            None => ramp.held = Some(level),
            Some(_) => ramp.broke = Some(level),
        }
        ramp.steps.push(outcome.clone());
        last = (plan, Some(outcome));
        if why.is_some() || interrupted.load(Ordering::Relaxed) {
            ramp.why = why;
            break;
        }
    }
    print(&if options.common.json {
        format!("{}\n", serde_json::to_string(&ramp)?)
    } else {
        ramp.summary()
    })?;
    if let (Some(file), (plan, Some(outcome))) = (&options.common.report, &last) {
        write_report(file, plan, outcome)?;
    }
    // That a server breaks at some level is what was to be found out, not a failure.
    let is_wrong = ramp.steps.iter().any(|step| step.errors.mismatched > 0);
    Ok(if is_wrong { 3 } else { u8::from(ramp.held.is_none()) })
}

impl Ramp {
    fn new(first: &Plan, raise: Raise) -> Self {
        Self {
            mode: "ramp",
            url: first.url.clone(),
            raise: match raise {
                Raise::Connections => "connections",
                Raise::Rate => "rate",
            },
            held: None,
            broke: None,
            why: None,
            steps: Vec::new(),
        }
    }

    fn summary(&self) -> String {
        let unit = match self.raise {
            "rate" => "messages a second",
            _ => "connections",
        };
        match (self.held, self.broke, &self.why) {
            (Some(held), Some(broke), Some(why)) => {
                format!("\nholds {} {unit}, breaks at {}: {why}\n", count(held), count(broke))
            }
            (None, Some(broke), Some(why)) => {
                format!("\nbreaks at the first step, {} {unit}: {why}\n", count(broke))
            }
            (Some(held), ..) => format!("\nholds {} {unit}; more was not tried\n", count(held)),
            (None, ..) => "\nno step was done\n".to_owned(),
        }
    }
}

fn raised(first: &Plan, raise: Raise, factor: f64) -> Plan {
    let mut plan = first.clone();
    match raise {
        Raise::Connections => {
            plan.connections = (first.connections as f64 * factor).round() as usize;
        }
        Raise::Rate => plan.rate = first.rate.map(|rate| rate * factor),
    }
    plan
}

fn level(plan: &Plan, raise: Raise) -> f64 {
    match raise {
        Raise::Connections => plan.connections as f64,
        Raise::Rate => plan.rate.unwrap_or_default(),
    }
}

/// Why a step has failed.
fn failure(plan: &Plan, outcome: &Outcome, p99_max_us: f64) -> Option<String> {
    if outcome.errors.any() {
        return Some(errors(outcome));
    }
    let per_s = outcome.per_s(Mode::Echo);
    if let Some(rate) = plan.rate.filter(|rate| per_s < rate * REACHED) {
        return Some(format!("of {} a second {} were answered", count(rate), count(per_s)));
    }
    let p99_us = outcome.latency_us.p99;
    (p99_us > p99_max_us).then(|| format!("1 % took longer than {}", time(p99_us)))
}

fn heading() -> String {
    let names = ["connections", "wanted/s", "messages/s", "50 %", "99 %", "slowest", "server CPU"];
    columns(&names.map(str::to_owned)) + "  verdict\n"
}

fn line(plan: &Plan, outcome: &Outcome, why: Option<&str>) -> String {
    let latency = &outcome.latency_us;
    let server = outcome.server.map_or("-".into(), |it| format!("{:.0} %", it.cpu_percent));
    let cells = [
        count(plan.connections as f64),
        plan.rate.map_or("-".into(), count),
        count(outcome.per_s(Mode::Echo)),
        time(latency.p50),
        time(latency.p99),
        time(latency.max),
        server,
    ];
    columns(&cells) + "  " + why.unwrap_or("holds") + "\n"
}

fn columns(cells: &[String; 7]) -> String {
    cells.iter().map(|cell| format!("{cell:>13}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_a_step() {
        let plan = Plan { rate: Some(1000.0), ..Plan::sample() };
        let mut outcome = Outcome::new(&plan);
        outcome.messages_per_s = 960.0;
        outcome.latency_us.p99 = 10.0;
        assert_eq!(failure(&plan, &outcome, 100.0), None);
        assert!(failure(&plan, &outcome, 9.0).is_some_and(|why| why.contains("1 %")));
        outcome.messages_per_s = 900.0;
        assert!(failure(&plan, &outcome, 100.0).is_some_and(|why| why.contains("900")));
        outcome.errors.lost = 1;
        assert!(failure(&plan, &outcome, 100.0).is_some_and(|why| why.contains("1 lost")));
    }

    #[test]
    fn steps_grow() {
        let plan = Plan { rate: Some(1000.0), ..Plan::sample() };
        assert_eq!(raised(&plan, Raise::Rate, 4.0).rate, Some(4000.0));
        assert_eq!(raised(&plan, Raise::Connections, 2.5).connections, 25);
    }
}
