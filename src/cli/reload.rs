//! SIGHUP: the settings are read again.
//!
//! Owns the thread that waits for the signal, and what the log says of it. A file that is broken
//! changes nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use signal_hook::consts::SIGHUP;
use signal_hook::iterator::Signals;
use throng::hub::{Control, Door};

use super::life::manager;
use super::log::Log;
use super::serve::CHANGEABLE;
use super::settings::{Faults, Loaded, Sources};

/// How often a loop that is behind is told again, and how long after.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// A server that goes on with other settings.
#[derive(Debug)]
pub struct Reloading {
    pub sources: Sources,
    /// What it runs with.
    pub values: BTreeMap<String, Vec<OsString>>,
    pub door: Arc<Door>,
    pub log: Log,
    /// The way to its loops, once they are there.
    pub control: Arc<OnceLock<Control>>,
}

impl Reloading {
    /// Waits for the signal on a thread of its own: from when this returns it ends nothing.
    ///
    /// # Errors
    /// The system has no thread, or no signal.
    pub fn start(mut self) -> io::Result<()> {
        let mut signals = Signals::new([SIGHUP])?;
        thread::Builder::new().name("settings".into()).spawn(move || {
            for _ in signals.forever() {
                manager::reloading();
                self.reload();
                manager::ready();
            }
        })?;
        Ok(())
    }

    fn reload(&mut self) {
        let loaded = self.sources.load().and_then(|loaded| match loaded.options.plan() {
            Ok(plan) => Ok((loaded, plan)),
            Err(misfit) => Err(Faults::from(loaded.fault(misfit))),
        });
        let (loaded, plan) = match loaded {
            Ok(loaded) => loaded,
            Err(faults) => {
                let faults = faults.line();
                return tracing::error!(%faults, "the new settings are broken: the old stay");
            }
        };
        let changes = loaded.changes(&self.values);
        let (changed, stays): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|key| CHANGEABLE.contains(key));
        if !stays.is_empty() {
            let keys = stays.join(", ");
            tracing::warn!(%keys, "these settings have changed: each needs a restart");
        }
        if let Some(authenticator) = &self.door.authenticator {
            for reload in authenticator.reload() {
                let (path, is_good) = (reload.path.display(), reload.result.is_ok());
                tracing::info!(%path, is_good, "the keys were read again");
            }
        }
        if changed.is_empty() {
            return tracing::info!("the settings were read again: nothing else has changed");
        }
        let door = Arc::new(plan.door.replacing(&self.door));
        let is_told = (0..TRIES).any(|_| {
            let told = self.control.wait().change(&plan.config, &door);
            told.inspect_err(|_| thread::sleep(PAUSE)).is_ok()
        });
        if !is_told {
            return tracing::error!("a loop is too far behind to be told of the new settings");
        }
        self.log.change(&loaded.options.log);
        let keys = changed.join(", ");
        tracing::info!(%keys, "these settings have changed");
        self.door = door;
        self.keep(&loaded);
    }

    /// What it runs with from now on: what needs a restart is said again until it has one.
    fn keep(&mut self, loaded: &Loaded) {
        for key in CHANGEABLE {
            if let Some(value) = loaded.values.get(key) {
                self.values.insert(key.to_owned(), value.clone());
            }
        }
    }
}
