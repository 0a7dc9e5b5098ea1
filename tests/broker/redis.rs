//! Debian's Redis as a child process, on a port and in a folder of its own.

use std::net::SocketAddr;
use std::process::Command;

use throng::hub::broker::Redis as Broker;

use crate::common::eventually;
use crate::common::process::{Process, free_address};

/// A running Redis, which writes each command to its file before it answers.
pub struct Redis {
    pub process: Process,
    address: SocketAddr,
}

impl Redis {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these options too.
    pub fn start_with(options: &[&str]) -> Self {
        Self::start_at(free_address(), options)
    }

    /// At this address.
    pub fn start_at(address: SocketAddr, options: &[&str]) -> Self {
        let process = Process::start("redis-server", |folder| {
            let (folder, ip) = (folder.to_string_lossy(), address.ip().to_string());
            let port = address.port().to_string();
            let own = ["--port", &port, "--bind", &ip, "--dir", &folder, "--save", ""];
            let writes = ["--appendonly", "yes", "--appendfsync", "always"];
            own.iter().chain(&writes).chain(options).map(|word| (*word).to_owned()).collect()
        });
        let redis = Self { process, address };
        redis.wait();
        redis
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// A way to it for one more node.
    pub fn broker(&self) -> Broker {
        Broker::new(self.url().parse().expect("an address"))
    }

    /// As by `kill -9`: what it has not written is lost.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// After a [`kill`](Self::kill): with what is in its file.
    pub fn start_again(&mut self) {
        self.process.start_again();
        self.wait();
    }

    /// What it answers to a command, by `redis-cli`.
    pub fn ask(&self, words: &[&str]) -> String {
        ask(self.address, words)
    }

    fn wait(&self) {
        eventually("Redis answers", 30.0, || self.ask(&["PING"]) == "PONG");
    }
}

/// What a Redis, or a sentinel, answers to a command, by `redis-cli`.
pub fn ask(address: SocketAddr, words: &[&str]) -> String {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let mut command = Command::new("redis-cli");
    let output = command.args(["-h", &host, "-p", &port]).args(words).output();
    let output = output.expect("redis-cli runs; tests/run installs it");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
