//! The signals: stop, and let another process follow.
//!
//! Owns the order in which a server leaves. The first SIGINT or SIGTERM drains it, the second ends
//! it at once; SIGUSR2 starts a successor, and drains it when that one serves.

use std::io;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR2};
use signal_hook::iterator::Signals;
use throng::net::{Exported, Inherited, Server, Stopper, Succession};

use super::manager;
use super::successor::{Program, Successor};

/// How long what is on its way in the server is waited for before it is handed over.
const SETTLING: Duration = Duration::from_secs(2);

/// A server that serves, until it is told otherwise.
#[derive(Clone)]
pub struct Life(Arc<Inner>);

struct Inner {
    stopper: Stopper,
    succession: Succession,
    program: Program,
    /// Whether the sockets stand in place of all addresses.
    is_whole: bool,
    state: Mutex<State>,
}

/// ```text
///   Serving ──SIGUSR2──► Changing ──it serves──► Stopping
///      ▲  └─SIGTERM─────────┼──SIGTERM─────────────►┘
///      └────it does not─────┘
/// ```
enum State {
    Serving(Vec<Inherited>),
    /// A successor is started.
    Changing(Vec<Inherited>, Option<Arc<Successor>>),
    Stopping,
}

impl Life {
    /// A server with these listening sockets.
    ///
    /// # Errors
    /// The system does not say which program this is.
    pub fn new(server: &Server, is_whole: bool) -> io::Result<Self> {
        let program = Program::of_process()?;
        let state = Mutex::new(State::Serving(server.handles()?));
        let (stopper, succession) = (server.stopper(), server.succession());
        Ok(Self(Arc::new(Inner { stopper, succession, program, is_whole, state })))
    }

    /// Waits for signals, on a thread of its own: from when this returns none is missed.
    ///
    /// # Errors
    /// The system has no thread, or no signal.
    pub fn watch(self) -> io::Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR2])?;
        thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in signals.forever() {
                if signal == SIGUSR2 {
                    self.change();
                } else if !self.stop() {
                    process::exit(128 + signal); // what a shell shows of one that it has ended
                }
            }
        })?;
        Ok(())
    }

    /// Begins to stop; false where that was begun already.
    fn stop(&self) -> bool {
        let successor = match std::mem::replace(&mut *self.state(), State::Stopping) {
            State::Stopping => return false,
            State::Serving(_) => None, // its handles are closed: nothing listens behind our back
            State::Changing(_, successor) => successor,
        };
        if let Some(successor) = successor {
            successor.kill();
        }
        manager::stopping();
        tracing::info!("stopping: every peer gets Close 1001");
        self.0.stopper.stop();
        true
    }

    /// Has another process follow, if none is about to.
    fn change(&self) {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Stopping) {
            State::Serving(sockets) => *state = State::Changing(sockets, None),
            other => {
                *state = other;
                return tracing::warn!("this process is being followed already, or stops");
            }
        }
        drop(state);
        manager::reloading();
        let life = self.clone();
        let run = move || {
            if let Err(error) = life.be_followed() {
                life.go_on(&error);
            }
        };
        if let Err(error) = thread::Builder::new().name("successor".into()).spawn(run) {
            self.go_on(&error.to_string());
        }
    }

    fn be_followed(&self) -> Result<(), String> {
        let successor = {
            let mut state = self.state();
            let State::Changing(sockets, started) = &mut *state else { return Ok(()) };
            let successor = Successor::start(&self.0.program).map_err(|error| error.to_string())?;
            let successor = Arc::clone(started.insert(Arc::new(successor)));
            let handed = successor.hand(sockets, self.0.is_whole);
            handed.map_err(|error| successor.give_up(&error))?;
            successor
        };
        let takes_images = successor.wait_ready().map_err(|error| successor.give_up(&error))?;
        let exported = if takes_images {
            self.export(&successor).map(Some).map_err(|error| successor.give_up(&error))?
        } else {
            tracing::warn!(
                "the new process takes no connections of this version: they are drained"
            );
            None
        };
        let mut state = self.state();
        if !matches!(&*state, State::Changing(..)) {
            return Ok(()); // it was told to stop
        }
        manager::followed_by(successor.pid());
        successor.go().map_err(|error| successor.give_up(&error))?;
        *state = State::Stopping;
        drop(state);
        let connections = exported.as_ref().map_or(0, |exported| exported.connections);
        if let Some(exported) = exported {
            exported.is_taken();
        }
        let pid = successor.pid();
        tracing::info!(pid, connections, "another process has taken over: this one drains");
        self.0.stopper.give_way();
        Ok(())
    }

    /// Hands over all that can be.
    fn export(&self, successor: &Arc<Successor>) -> io::Result<Exported> {
        self.0.succession.freeze(SETTLING);
        let successor = Arc::clone(successor);
        self.0.succession.export(move |piece| successor.hand_piece(&piece))
    }

    /// Goes on without a successor.
    fn go_on(&self, reason: &str) {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Stopping) {
            State::Changing(sockets, _) => *state = State::Serving(sockets),
            other => return *state = other,
        }
        drop(state);
        tracing::error!(reason, "the new process did not come up: this one goes on");
        manager::ready_as(process::id());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
