//! The thread that moves the level.
//!
//! Owns how often the pressure is read, and the log line of each change. Never runs on a loop.

use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, thread};

use super::controller::Controller;
use super::guard::Guard;
use super::level::Level;
use super::probe::{Limits, Probe};

/// How often the pressure is read.
const PERIOD: Duration = Duration::from_millis(250);

/// Reads the pressure from now on, on a thread of its own, until nobody else has the guard. The
/// level follows it where load is to be shed, and is [`Level::Normal`] where it is only to be seen.
///
/// # Errors
/// The system has no thread for it.
pub fn watch(guard: &Arc<Guard>, limits: Limits, sheds: bool) -> io::Result<()> {
    let guard = Arc::downgrade(guard);
    let run = move || {
        let (mut probe, mut controller) = (Probe::new(limits), Controller::default());
        let started = Instant::now();
        while let Some(guard) = guard.upgrade() {
            let now = started.elapsed();
            let pressure = probe.read(now, &guard.reports());
            let before = controller.level();
            let (source, percent) = pressure.highest();
            let level = if sheds { controller.observe(now, percent) } else { Level::Normal };
            guard.set(level, pressure);
            say(before, level, source.name(), percent);
            drop(guard);
            thread::sleep(PERIOD);
        }
    };
    thread::Builder::new().name("overload".into()).spawn(run)?;
    Ok(())
}

fn say(before: Level, level: Level, source: &str, percent: f64) {
    let (from, to, percent) = (before.name(), level.name(), percent as u64);
    if level > before {
        tracing::warn!(from, to, source, percent, "overload: more is shed");
    } else if level < before {
        tracing::info!(from, to, source, percent, "overload: less is shed");
    }
}
