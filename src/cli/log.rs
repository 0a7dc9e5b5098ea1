//! The log, on standard error.
//!
//! Owns its shape, and how much of it there is: that can change while the program runs.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::options::LogFormat;

/// How much is logged where nothing is said.
pub const FILTER: &str = "info";

/// The log that was started.
pub struct Log {
    change: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send>,
}

/// Starts the log. `filter` is one that [`filter`] has taken.
pub fn start(format: LogFormat, filter: &str) -> Log {
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter));
    let log = log.with_writer(io::stderr);
    let change: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send> = match format {
        LogFormat::Text => {
            let log = log.with_ansi(io::stderr().is_terminal()).with_filter_reloading();
            let handle = log.reload_handle();
            log.init();
            Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
        }
        LogFormat::Json => {
            let log = log.json().flatten_event(true).with_filter_reloading();
            let handle = log.reload_handle();
            log.init();
            Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
        }
    };
    Log { change }
}

/// Starts the log of a tool: text, and `THRONG_LOG` says how much.
pub fn start_of_tool(format: LogFormat) {
    let wanted = std::env::var("THRONG_LOG").ok().and_then(|text| filter(&text).ok());
    start(format, wanted.as_deref().unwrap_or(FILTER));
}

impl Log {
    /// Logs so much from now on.
    pub fn change(&self, filter: &str) {
        if let Err(error) = (self.change)(EnvFilter::new(filter)) {
            tracing::error!(%error, "the log stays as it is");
        }
    }
}

/// How much is logged: a level, or levels by target with commas between them.
pub fn filter(text: &str) -> Result<String, String> {
    let is_good = |part: &str| match part.trim() {
        "" => false,
        part if part.contains('=') => EnvFilter::builder().parse(part).is_ok(),
        // A word that is no level would be the name of a target, and the log empty.
        part => part.parse::<LevelFilter>().is_ok(),
    };
    if text.split(',').all(is_good) {
        Ok(text.to_owned())
    } else {
        Err("must be off, error, warn, info, debug or trace, or a list such as \
             info,throng::connections=debug"
            .into())
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_made_of_levels() {
        for good in ["info", "OFF", "warn,throng=debug", "throng::net=trace, error"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["", "inof", "info,", "throng", "throng=loud"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
