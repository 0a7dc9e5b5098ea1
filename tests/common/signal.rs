//! Signals, by their short names: "TERM", "STOP".

use std::fmt::Display;
use std::process::{Command, Stdio};

/// Sends one to a process, or to the group of `-LEADER`.
pub fn send(whom: impl Display, name: &str) {
    assert!(try_send(&whom, name), "no {name} could be sent to {whom}");
}

/// The same, where it may be gone; whether it was there.
pub fn try_send(whom: impl Display, name: &str) -> bool {
    let mut kill = Command::new("kill");
    let status = kill.args(["-s", name, "--", &whom.to_string()]).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
