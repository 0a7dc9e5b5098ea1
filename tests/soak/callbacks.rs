//! How long one callback holds the loop up while 10,000 connections behave badly: G6 of
//! docs/reliability.md.
//!
//! ```sh
//! THRONG=target/release/throng \
//!     cargo test --profile quick --test soak callbacks -- --ignored --nocapture
//! ```

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use throng::hub::{Hub, Mail, Session};
use throng::net::{
    CloseReason, Config, ConnectionId, Handler, Message, Particulars, Peers, Request, Verdict,
};

use crate::common::frame::stream;
use crate::common::random::Random;
use crate::common::server::program;
use crate::common::{Frame, RawClient};
use crate::running::Running;

/// Members who only listen, of another process: this one has both ends of all others.
const QUIET: usize = 7_000;

const HOSTILE: usize = 3_000;

/// How many threads have them.
const THREADS: usize = 2;

const TIME: Duration = Duration::from_secs(60);

/// How long callbacks took, in nanoseconds: by the clock, and of the processor.
struct Times {
    wall: Histogram<u64>,
    cpu: Histogram<u64>,
    /// The longest of each kind, of the processor.
    longest: BTreeMap<&'static str, u64>,
}

/// The hub, and how long each of its callbacks takes.
struct Timed {
    hub: Hub,
    times: Arc<Mutex<Times>>,
}

fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

impl Timed {
    fn time<T>(&mut self, name: &'static str, callback: impl FnOnce(&mut Hub) -> T) -> T {
        let (begin, cpu_begin) = (Instant::now(), cpu_ns());
        let result = callback(&mut self.hub);
        let (cpu, wall) = (cpu_ns() - cpu_begin, begin.elapsed().as_nanos() as u64);
        let mut times = self.times.lock().expect("not poisoned");
        times.wall.saturating_record(wall);
        times.cpu.saturating_record(cpu);
        let longest = times.longest.entry(name).or_default();
        *longest = cpu.max(*longest);
        result
    }
}

impl Handler for Timed {
    type Session = Session;
    type Mail = Mail;

    fn request(&mut self, request: &Request<'_>) -> Verdict<Session> {
        self.time("request", |hub| Handler::<throng::net::Os>::request(hub, request))
    }

    fn particulars(&self, session: &Session, id: ConnectionId) -> Particulars {
        Handler::<throng::net::Os>::particulars(&self.hub, session, id)
    }

    fn open(&mut self, peers: &mut Peers<Session>, id: ConnectionId) {
        self.time("open", |hub| hub.open(peers, id));
    }

    fn message(&mut self, peers: &mut Peers<Session>, from: ConnectionId, message: Message<'_>) {
        self.time("message", |hub| hub.message(peers, from, message));
    }

    fn pong(&mut self, peers: &mut Peers<Session>, from: ConnectionId, payload: &[u8]) {
        self.time("pong", |hub| hub.pong(peers, from, payload));
    }

    fn drain(&mut self, peers: &mut Peers<Session>, id: ConnectionId) {
        self.time("drain", |hub| hub.drain(peers, id));
    }

    fn close(
        &mut self,
        peers: &mut Peers<Session>,
        id: ConnectionId,
        session: Session,
        reason: CloseReason<'_>,
    ) {
        self.time("close", |hub| hub.close(peers, id, session, reason));
    }

    fn has_work(&self) -> bool {
        Handler::<throng::net::Os>::has_work(&self.hub)
    }

    fn mail(&mut self, peers: &mut Peers<Session>, mail: Mail) {
        self.time("mail", |hub| hub.mail(peers, mail));
    }

    fn wake(&mut self, peers: &mut Peers<Session>) {
        self.time("wake", |hub| hub.wake(peers));
    }

    fn tick(&mut self, peers: &mut Peers<Session>) {
        self.time("tick", |hub| hub.tick(peers));
    }
}

/// One connection that behaves badly, in one of eight ways.
struct Hostile {
    number: usize,
    address: SocketAddr,
    stream: Option<TcpStream>,
    /// What is to be sent, over and over, and how far it is.
    bytes: Arc<[u8]>,
    at: usize,
}

impl Hostile {
    /// What it is sent over and over.
    fn bytes(kind: usize) -> Arc<[u8]> {
        let text = |content: &str| Frame::text(content).bytes();
        let said = text(r#"{"type":"text","room":"h","content":"a flood of words"}"#);
        let letters = |text: &str| -> Vec<Vec<u8>> {
            text.bytes().map(|byte| Frame::continuation([byte]).unfinished().bytes()).collect()
        };
        let bytes = match kind {
            0 => said,
            1 => Frame::ping("a flood of pings").bytes(),
            2 => stream(&vec![Frame::binary([7; 16_000]); 4]),
            3 => {
                let begin = Frame::text("{").unfinished().bytes();
                let rest = letters(r#""type":"heartbeat""#).concat();
                [begin, rest, Frame::continuation("}").bytes()].concat()
            }
            4 => text(&format!("{}{}", "[".repeat(20_000), "]".repeat(20_000))),
            5 => {
                let join = |n| text(&format!(r#"{{"type":"join","id":1,"room":"h.{n}"}}"#));
                let leave = |n| text(&format!(r#"{{"type":"leave","id":1,"room":"h.{n}"}}"#));
                (0..50).flat_map(|n| [join(n), leave(n)].concat()).collect()
            }
            6 => [
                text(r#"{"type":"presence","id":1,"room":"h"}"#),
                text(r#"{"type":"history","id":1,"room":"h","limit":100}"#),
            ]
            .concat(),
            _ => b"GET /throng.js HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        };
        bytes.into()
    }

    fn new(number: usize, address: SocketAddr) -> Self {
        let bytes = Self::bytes(number % 8);
        Self { number, address, stream: None, bytes, at: 0 }
    }

    /// Connects, sends and reads a little; or ends.
    fn act(&mut self, random: &mut Random) {
        let Some(stream) = &mut self.stream else {
            self.stream = self.connect();
            self.at = 0;
            return;
        };
        let most = if random.below(3) == 0 { 3 } else { 8_000 };
        let count = 1 + random.below(most);
        let end = (self.at + count).min(self.bytes.len());
        let written = match stream.write(&self.bytes[self.at..end]) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return self.stream = None,
        };
        self.at = (self.at + written) % self.bytes.len();
        // A third of them never reads; who does reads less than it is sent.
        if !self.number.is_multiple_of(3)
            && let Ok(0) = stream.read(&mut [0; 4096])
        {
            self.stream = None;
        }
        if random.below(200) == 0 {
            self.stream = None; // with what is unread: a reset
        }
    }

    fn connect(&self) -> Option<TcpStream> {
        let mut client = RawClient::on(TcpStream::connect(self.address).ok()?);
        let target = if self.number % 8 == 2 { "/echo" } else { "/ws?room=h" };
        if self.number % 8 < 7 && !client.try_upgrade(target, Duration::from_secs(5)) {
            return None;
        }
        client.stream.set_nonblocking(true).ok()?;
        Some(client.stream)
    }
}

/// Some thousand members of one room who only listen, in another process.
fn quiet(address: SocketAddr) -> Child {
    let url = format!("ws://{address}/ws?room=q");
    let mut command = Command::new(program());
    command.args(["load", "idle", &url, "-c", &QUIET.to_string(), "-t"]);
    command.arg(TIME.as_secs().to_string()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the program starts")
}

#[test]
#[ignore = "a figure for docs/reliability.md, of a release build"]
fn callbacks_are_short() {
    let new = || Histogram::new_with_max(60_000_000_000, 3).expect("a histogram");
    let times = Times { wall: new(), cpu: new(), longest: BTreeMap::new() };
    let times = Arc::new(Mutex::new(times));
    let of_hub = Arc::clone(&times);
    let server = Running::start(Config::default(), 1, move |index, mailboxes| Timed {
        hub: Hub::with_config(index, mailboxes.clone(), throng::hub::Config::default()),
        times: Arc::clone(&of_hub),
    });
    let address = server.addr;
    let mut idle = quiet(address);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let is_over = &is_over;
            scope.spawn(move || {
                let mut random = Random::new(number as u64);
                let count = HOSTILE / THREADS;
                let mut all: Vec<_> =
                    (0..count).map(|at| Hostile::new(at * THREADS + number, address)).collect();
                while !is_over.load(Ordering::Relaxed) {
                    let at = random.below(count);
                    all[at].act(&mut random);
                }
            });
        }
        thread::sleep(TIME);
        is_over.store(true, Ordering::Relaxed);
    });
    idle.kill().expect("it runs still");
    let _ = idle.wait();
    let times = times.lock().expect("not poisoned");
    for (name, of) in [("by the clock", &times.wall), ("of the processor", &times.cpu)] {
        let at = |quantile| of.value_at_quantile(quantile) as f64 / 1000.0;
        println!(
            "{} callbacks, {name}: p50 {:.1}, p99 {:.1}, p99.9 {:.1}, p99.99 {:.1}, max {:.1} us",
            of.len(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(0.9999),
            of.max() as f64 / 1000.0
        );
    }
    for (name, ns) in &times.longest {
        println!("the longest {name}: {:.1} us", *ns as f64 / 1000.0);
    }
}
