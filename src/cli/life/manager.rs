//! The service manager, where there is one: systemd, or what speaks like it.
//!
//! Owns what it is told (sd_notify(3)), the sockets that it has opened (sd_listen_fds(3)), and the
//! watchdog, which is fed out of the turns of the loops.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use throng::net::{Builder, Inherited};

/// Variables that are meant for one process, and not for its successor.
pub const OWN_VARIABLES: [&str; 4] = ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_PID"];

/// The server serves, with the settings that it has read.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The server serves, and is this process from now on.
pub fn ready_as(pid: u32) {
    tell(&[NotifyState::MainPid(pid), NotifyState::Ready]);
}

/// The settings are read again, or a successor is started. [`ready`] follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager is not told"),
    }
}

/// The server is another process from now on.
pub fn followed_by(pid: u32) {
    tell(&[NotifyState::MainPid(pid)]);
}

/// The server stops.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager is not told");
    }
}

/// The listening sockets that were opened for this process, by their addresses.
///
/// # Errors
/// One of them is nothing that can be listened on here.
pub fn sockets() -> io::Result<Vec<Inherited>> {
    let mut given = ListenFd::from_env();
    (0..given.len()).map(|at| socket(&mut given, at)).collect()
}

fn socket(given: &mut ListenFd, at: usize) -> io::Result<Inherited> {
    let unusable = |error: io::Error| {
        let words = format!("socket {at} of the service manager cannot be listened on: {error}");
        io::Error::new(error.kind(), words)
    };
    let (name, socket) = match given.take_tcp_listener(at) {
        Ok(Some(listener)) => (listener.local_addr()?.to_string(), OwnedFd::from(listener)),
        Ok(None) | Err(_) => {
            let listener = given.take_unix_listener(at).map_err(unusable)?;
            let listener = listener.ok_or_else(|| unusable(io::ErrorKind::NotFound.into()))?;
            let path = listener.local_addr()?;
            let path =
                path.as_pathname().ok_or_else(|| unusable(io::ErrorKind::InvalidInput.into()))?;
            (format!("unix:{}", path.display()), OwnedFd::from(listener))
        }
    };
    tracing::info!(socket = %name, "listening on a socket of the service manager");
    Ok(Inherited { name, socket })
}

/// Feeds the watchdog, if there is one, each time that every loop has come round.
pub fn watched(builder: Builder, loops: usize) -> Builder {
    let Some(patience) = sd_notify::watchdog_enabled() else { return builder };
    let seen: Arc<[AtomicBool]> = (0..loops).map(|_| AtomicBool::new(false)).collect();
    // Often enough that one that comes late does no harm.
    builder.pulse((patience / 4).max(Duration::from_millis(1)), move |index| {
        if is_last(&seen, index) {
            tell(&[NotifyState::Watchdog]);
        }
    })
}

/// Takes note that a loop has come round; whether all have since this was last true.
fn is_last(seen: &[AtomicBool], index: usize) -> bool {
    seen[index].store(true, Ordering::Relaxed);
    let is_last = seen.iter().all(|seen| seen.load(Ordering::Relaxed));
    if is_last {
        seen.iter().for_each(|seen| seen.store(false, Ordering::Relaxed));
    }
    is_last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_hangs_starves_the_watchdog() {
        let seen: Vec<_> = (0..3).map(|_| AtomicBool::new(false)).collect();
        assert!(![0, 1, 1, 0].into_iter().any(|index| is_last(&seen, index)));
        assert!(is_last(&seen, 2));
        assert!(![2, 1].into_iter().any(|index| is_last(&seen, index)));
        assert!(is_last(&seen, 0));
    }
}
