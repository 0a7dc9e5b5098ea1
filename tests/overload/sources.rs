//! What the pressure is read from, one source after the other, as `/metrics` shows it.

use std::io::{Read, Write, copy, sink};
use std::net::{Shutdown, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::common::http::Upgrade;
use crate::common::{Frame, Server, eventually};
use crate::{await_level, knock, member, metric, press};

/// The pressure of a source, as a part of one.
fn pressure(server: &Server, source: &str) -> f64 {
    metric(server, &format!("throng_pressure_ratio{{source=\"{source}\"}}"))
}

/// The same at rest, once it has been read.
fn at_rest(server: &Server, source: &str) -> f64 {
    eventually("a first reading", 10.0, || pressure(server, source) > 0.0);
    pressure(server, source)
}

/// Clients that send as much as is taken and throw away what comes, until it is dropped.
struct Flood {
    streams: Vec<TcpStream>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    fn new(server: &Server) -> Self {
        let burst = Frame::text("a flood of words").bytes().repeat(500);
        let mut flood = Self { streams: Vec::new(), threads: Vec::new() };
        for _ in 0..4 {
            let mut stream = server.dial();
            stream.write_all(&Upgrade::new("/echo").bytes()).expect("it is taken");
            stream.read_exact(&mut [0; 12]).expect("an answer");
            let clone = || stream.try_clone().expect("a descriptor");
            let (mut writer, mut reader, burst) = (clone(), clone(), burst.clone());
            flood.threads.push(thread::spawn(move || while writer.write_all(&burst).is_ok() {}));
            // A reset ends it too.
            flood.threads.push(thread::spawn(move || drop(copy(&mut reader, &mut sink()))));
            flood.streams.push(stream);
        }
        flood
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        for stream in &self.streams {
            let _ = stream.shutdown(Shutdown::Both); // the server may have been first
        }
        self.threads.drain(..).for_each(|thread| thread.join().expect("no panic"));
    }
}

#[test]
fn the_processor() {
    let server = Server::serve(&["--degrade"]);
    assert_eq!(pressure(&server, "cpu"), 0.0);
    let flood = Flood::new(&server);
    eventually("a busy loop", 60.0, || pressure(&server, "cpu") >= 0.8);
    eventually("a level", 10.0, || metric(&server, "throng_degrade_level") >= 1.0);
    drop(flood);
    await_level(&server, 0.0);
    eventually("the log says why", 10.0, || server.errors().contains("cpu"));
}

/// A turn that takes long: the process stands still in the middle of one.
#[test]
fn the_lag_of_a_loop() {
    let server = Server::serve(&["--degrade"]);
    let _flood = Flood::new(&server);
    eventually("a lag", 60.0, || {
        server.stand_still(Duration::from_millis(600));
        pressure(&server, "lag") >= 1.0
    });
    await_level(&server, 3.0);
    eventually("the log says why", 10.0, || server.errors().contains("lag"));
    assert_eq!(knock(&server, "/ws").status, 503);
}

#[test]
fn descriptors() {
    let server = Server::serve_with_descriptors(100, &["--degrade"]);
    let before = at_rest(&server, "descriptors");
    let count = ((0.85 - before) * 100.0) as usize;
    let members: Vec<_> = (0..count).map(|_| member(&server, "/ws?room=team")).collect();
    await_level(&server, 1.0);
    eventually("the log says why", 10.0, || server.errors().contains("descriptors"));
    drop(members);
    await_level(&server, 0.0);
}

/// What is held of a request in part is memory, and is held against the budget.
#[test]
fn memory() {
    let budget =
        ["--memory-budget", "200M", "--max-connections", "100", "--handshake-timeout", "60"];
    let server = Server::serve(&budget);
    let before = at_rest(&server, "memory");
    let held: Vec<_> = (0..90).map(|_| press(&server, 16_000)).collect();
    // 1.4 of 200 MB, of which what was in use before may have become free; the tables that have
    // grown stay.
    eventually("the memory is seen", 10.0, || pressure(&server, "memory") > before + 0.005);
    let high = pressure(&server, "memory");
    drop(held);
    eventually("it is free again", 10.0, || pressure(&server, "memory") < high - 0.004);
}

/// Without being asked the server sheds nothing, and shows how near it is to its limits.
#[test]
fn seen_without_a_budget() {
    let server = Server::serve_with_descriptors(100, &[]);
    let before = at_rest(&server, "descriptors"); // what it inherits is among them
    let count = ((0.94 - before) * 100.0).round() as usize;
    let members: Vec<_> = (0..count).map(|_| member(&server, "/ws?room=team")).collect();
    eventually("many descriptors", 10.0, || pressure(&server, "descriptors") >= 0.92);
    assert!(pressure(&server, "memory") > 0.0);
    assert_eq!(metric(&server, "throng_degrade_level"), 0.0);
    drop((members, knock(&server, "/ws?room=team")));
}
