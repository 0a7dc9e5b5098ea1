//! `throng load`: load for any WebSocket server, and figures of how it bears it.
//!
//! Owns the command: what is asked for, and in what form the answer is given. The connections are
//! on the library's own event loop, in the client's role.

mod clock;
mod course;
mod echo;
mod fanout;
mod fleet;
mod idle;
mod opening;
mod options;
mod outcome;
mod pace;
mod payload;
mod plan;
mod ramp;
mod recorder;
mod report;

mod screen;
mod spread;
mod storm;
mod units;
mod warnings;
mod watch;
mod words;
mod worker;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

pub use options::LoadOptions;
use options::{Common, LoadCommand};
use outcome::Outcome;
use plan::Plan;
use screen::Screen;

/// The exit status for wrong usage, as of all commands.
const USAGE: i32 = 2;

/// Runs the command. Any exit status but 0 ends the process here.
pub fn run(options: &LoadOptions) -> io::Result<()> {
    let status = match &options.command {
        LoadCommand::Worker => return fleet::work_for_parent(),
        LoadCommand::Echo(it) => run_one(it.plan(), &it.common),
        LoadCommand::Fanout(it) => run_one(it.plan(), &it.common),
        LoadCommand::Storm(it) => run_one(it.plan(), &it.common),
        LoadCommand::Idle(it) => run_one(it.plan(), &it.common),
        LoadCommand::Ramp(it) => ramp::run(it),
    };
    match status {
        Ok(0) => Ok(()),
        Ok(status) => process::exit(status.into()),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            eprintln!("throng load: {error}");
            process::exit(USAGE)
        }
        Err(error) => Err(error),
    }
}

fn run_one(plan: io::Result<Plan>, common: &Common) -> io::Result<u8> {
    let plan = plan?;
    let outcome = course::run(&plan, &mut Screen::new(), &*interruption()?)?;
    if common.json {
        print(&format!("{}\n", serde_json::to_string(&outcome)?))?;
    } else if outcome.handshakes > 0 {
        print(&screen::table(&plan, &outcome))?;
    }
    say_warnings(&outcome);
    if let Some(file) = &common.report {
        write_report(file, &plan, &outcome)?;
    }
    Ok(outcome.status())
}

fn write_report(file: &Path, plan: &Plan, outcome: &Outcome) -> io::Result<()> {
    let page = report::page(plan, outcome)?;
    fs::write(file, page).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot write {}: {error}", file.display()))
    })
}

/// What a reader has to know, on standard error.
fn say_warnings(outcome: &Outcome) {
    if outcome.handshakes == 0 {
        eprintln!("error: no connection was opened");
    }
    for example in &outcome.examples {
        eprintln!("error: {example}");
    }
    for warning in &outcome.warnings {
        eprintln!("warning: {warning}");
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Becomes true at the first SIGINT or SIGTERM; the second ends the process.
fn interruption() -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&interrupted);
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            if told.swap(true, Ordering::Relaxed) {
                process::exit(128 + signal);
            }
        }
    })?;
    Ok(interrupted)
}
