//! A server and the processes that follow it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::common::procfs::is_alive;
use crate::common::{Server, eventually, signal};

/// What the log says when a process has taken over, with its number.
const TAKEN: [&str; 2] = ["this process has taken the server over", "gone without a word"];

pub struct Lineage {
    pub first: Server,
}

impl Lineage {
    pub fn new(first: Server) -> Lineage {
        Lineage { first }
    }

    pub fn address(&self) -> SocketAddr {
        self.first.address()
    }

    /// All processes, in their order.
    pub fn pids(&self) -> Vec<u32> {
        let log = self.first.errors();
        let taken = log.lines().filter(|line| TAKEN.iter().any(|words| line.contains(words)));
        let pids = taken.filter_map(|line| line.split_once(" pid=")?.1.split(' ').next());
        let later = pids.map(|pid| pid.parse().expect("a process"));
        [self.first.pid()].into_iter().chain(later).collect()
    }

    /// The process that is the server now.
    pub fn pid(&self) -> u32 {
        *self.pids().last().expect("the first")
    }

    pub fn signal(&mut self, name: &str) {
        if self.pid() == self.first.pid() {
            return self.first.signal(name);
        }
        signal::send(self.pid(), name);
    }

    /// Has another process follow, and waits until it has taken over.
    pub fn upgrade(&mut self) {
        let before = self.pids().len();
        self.signal("USR2");
        eventually("another process takes over", 20.0, || self.pids().len() > before);
    }

    /// Waits until only the last process is there.
    pub fn wait_for_the_old(&mut self, within_s: f64) {
        let pids = self.pids();
        let (_, old) = pids.split_last().expect("one");
        let old: BTreeSet<u32> = old.iter().copied().collect();
        if old.contains(&self.first.pid()) {
            assert_eq!(self.first.wait_exit(within_s).code(), Some(0));
        }
        eventually("the old processes end", within_s, || !old.iter().any(|pid| is_alive(*pid)));
    }
}

impl Drop for Lineage {
    fn drop(&mut self) {
        let first = self.first.pid();
        if std::thread::panicking() {
            // One that was about to follow stays alone, and says so.
            signal::try_send(first, "KILL");
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        for pid in self.pids().into_iter().filter(|pid| *pid != first && is_alive(*pid)) {
            signal::try_send(pid, "KILL");
        }
    }
}
