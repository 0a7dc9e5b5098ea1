//! When figures say more of the load than of the server.
//!
//! Owns the conditions and their words. Never changes a figure.

use super::course::ServerUse;
use super::outcome::Outcome;
use super::plan::Plan;

/// Someone who uses so much of a core has none left, in percent.
const BUSY_PERCENT: f64 = 90.0;
/// Who uses less of a core takes nothing from others, in percent.
const SOME_PERCENT: f64 = 10.0;
/// So late may messages go out that are due at a time, in microseconds.
const LATE_US: f64 = 1000.0;

/// What a reader of the figures should know.
pub fn of(plan: &Plan, outcome: &Outcome, server: &ServerUse, busiest: f64) -> Vec<String> {
    let mut warnings = Vec::new();
    let server_percent = server.busiest_percent();
    let has_room = server_percent.is_none_or(|percent| percent < BUSY_PERCENT);
    // A load at a rate waits for each moment without sleeping: it is always busy.
    if plan.rate.is_none() && busiest >= BUSY_PERCENT && has_room {
        let server = match server_percent {
            Some(percent) => format!("the server's busiest thread only {percent:.0} %"),
            None => "perhaps the server had room left (--pid would tell)".to_owned(),
        };
        warnings.push(format!(
            "the load itself is the limit: it used {busiest:.0} % of a core, {server}; \
             try --procs"
        ));
    }
    if let Some(late_us) = outcome.client.late_p99_us.filter(|late_us| *late_us > LATE_US) {
        warnings.push(format!(
            "the load could not keep its pace: 1 % of the messages went out {:.1} ms late or \
             more; the times count from when they were due",
            late_us / 1e3
        ));
    }
    let has_work = server_percent.is_some_and(|percent| percent >= SOME_PERCENT);
    if has_work && server.seen >= 3 && server.beside * 2 > server.seen {
        warnings.push(
            "server and load ran on the same core and took time from each other: pin them apart, \
             with taskset for example"
                .to_owned(),
        );
    }
    if let (Some(wanted), true) = (plan.rate, outcome.duration_s > 0.0) {
        let per_s = outcome.per_s(plan.mode) / receivers(plan);
        if per_s < wanted * 0.95 {
            warnings.push(format!(
                "the rate was not reached: {wanted:.0} a second were due, {per_s:.0} were answered"
            ));
        }
    }
    warnings
}

/// How often one message arrives.
fn receivers(plan: &Plan) -> f64 {
    match plan.mode {
        super::plan::Mode::Fanout => plan.connections as f64,
        super::plan::Mode::Echo | super::plan::Mode::Storm | super::plan::Mode::Idle => 1.0,
    }
}
