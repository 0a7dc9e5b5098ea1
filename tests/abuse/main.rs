//! Hostile clients against the real binary, by the classes A1 to A12 of the reliability page, and
//! what each costs the server: memory, processor time, open files, and the patience of others.
//!
//! Every test measures from outside, through `/proc`. After each: another client is answered
//! within a second, the server is idle, and every file it opened is closed again.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod closing;
mod crowds;
mod floods;
mod lengths;
mod slow;

use std::time::{Duration, Instant};

use common::{Expect, Frame, RawClient, Server, eventually};

/// What the server used before the abuse began, and a client that only wants to be served.
struct Watch {
    fds: usize,
    rss_kb: u64,
    bystander: RawClient,
}

impl Watch {
    fn over(server: &Server) -> Watch {
        let mut bystander = RawClient::open(server, "/echo");
        bystander.note("the bystander");
        // One round of everything, so that the first use of each path is not counted as growth.
        bystander.send(Frame::binary(vec![1; 300_000]).bytes());
        bystander.expect(&Expect::binary(vec![1; 300_000]));
        bystander.expect_open();
        let fds = server.fds_at_rest();
        Watch { fds, rss_kb: server.rss_kb(), bystander }
    }

    /// The bystander is answered within a second.
    fn is_served(&mut self) {
        let asked = Instant::now();
        self.bystander.expect_open();
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(1), "the bystander waited {took:?}");
    }

    /// Memory above what was in use before, in KiB.
    fn grown_kb(&self, server: &Server) -> u64 {
        server.rss_kb().saturating_sub(self.rss_kb)
    }

    /// Memory has grown by no more than `most_kb`.
    fn is_bounded(&self, server: &Server, most_kb: u64) {
        let grown = self.grown_kb(server);
        assert!(grown <= most_kb, "{grown} KiB more than before; {most_kb} were allowed");
    }

    /// The abusers are still there, and stalled: waiting for them costs nothing.
    fn is_quiet(&self, server: &Server) {
        let used = server.cpu_over(0.3);
        assert!(used < 0.03, "{used} s of processor time in 0.3 s of waiting for stalled peers");
    }

    /// What was needed for the abuse, or is kept for the next time, goes back to the system.
    fn gives_back_to(&self, server: &Server, most_kb: u64) {
        let what = format!("memory is back within {most_kb} KiB of what it was before");
        eventually(&what, 5.0, || self.grown_kb(server) <= most_kb);
    }

    /// The abusers are gone: every file is closed, others are served, the server does nothing.
    fn is_settled(&mut self, server: &Server) {
        eventually("the files and sockets are given back", 8.0, || server.fd_count() <= self.fds);
        self.is_served();
        is_idle(server);
    }
}

/// Processor time over one second is next to nothing: no loop spins.
fn is_idle(server: &Server) {
    let used = server.cpu_over(1.0);
    assert!(used < 0.05, "{used} s of processor time in an idle second");
}
