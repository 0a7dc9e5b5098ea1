//! Who sends too much, and who reads too little.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::frame::stream;
use crate::common::random::Random;
use crate::common::{Chunking, Frame, RawClient, http};
use crate::served::{PATIENCE, Served};

/// What is sent over and over: what it is called, where to, and the bytes.
type Flood = (&'static str, &'static str, Vec<u8>);

/// How many bytes a flood is at most.
const FLOOD_BYTES: usize = 2 << 20;

/// How many kinds there are.
pub const FLOODS: usize = 6;

fn floods() -> [Flood; FLOODS] {
    let text = r#"{"type":"text","content":"a flood of words"}"#;
    [
        ("messages over the rate", "/ws?room=g.0", Frame::text(text).bytes()),
        ("pings", "/ws?room=g.0", Frame::ping("a flood of pings").bytes()),
        ("pongs", "/echo", Frame::pong("a flood of pongs").bytes()),
        ("echoes that nobody reads", "/echo", Frame::binary([7; 4000]).bytes()),
        ("empty messages", "/echo", Frame::text("").bytes()),
        ("requests that nobody reads", "", http::get("/throng.js")),
    ]
}

/// What a crowd has come to up to now.
#[derive(Debug, Default)]
pub struct Tally {
    pub floods: AtomicUsize,
    /// Slow readers that were sent away.
    pub slow: AtomicUsize,
}

impl Tally {
    /// Whether each flood has come, and somebody was sent away.
    pub fn is_full(&self) -> bool {
        let is_flooded = self.floods.load(Ordering::SeqCst) >= FLOODS;
        is_flooded && self.slow.load(Ordering::SeqCst) > 0
    }
}

/// Floods the server, one after the other, until it is over.
pub fn flood(server: &Served, seed: u64, tally: &Tally, is_over: &AtomicBool) {
    let mut random = Random::new(seed);
    let floods = floods();
    for count in 0.. {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        tally.floods.store(count, Ordering::SeqCst);
        let (_, target, unit) = &floods[count % FLOODS];
        let Some(mut client) = narrow(server) else { continue };
        if !target.is_empty() && !client.try_upgrade(target, PATIENCE) {
            continue; // asked to leave by an upgrade
        }
        let most = 1 + random.below(FLOOD_BYTES);
        client.flood(&unit.repeat(1 + 4000 / unit.len()), most, Duration::from_millis(300));
        let end = Instant::now() + Duration::from_millis(random.below(400) as u64);
        while Instant::now() < end && client.skip(Duration::from_millis(50)) {}
        if random.below(2) == 0 {
            client.reset();
        }
    }
}

/// A connection with little room for what has not been read.
fn narrow(server: &Served) -> Option<RawClient> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    socket.set_recv_buffer_size(8192).expect("SO_RCVBUF");
    let connected = socket.connect_timeout(&server.address().into(), PATIENCE);
    connected.ok().map(|()| RawClient::on(socket.into()))
}

/// How many read slowly at once: every second of them reads nothing at all.
const SLOW: usize = 6;

/// Users who are sent more than they read, until it is over.
pub fn read_slowly(server: &Served, tally: &Tally, is_over: &AtomicBool) {
    let mut clients: Vec<Option<RawClient>> = (0..SLOW).map(|_| None).collect();
    let sent_away = || tally.slow.fetch_add(1, Ordering::SeqCst);
    while !is_over.load(Ordering::SeqCst) {
        for (number, place) in clients.iter_mut().enumerate() {
            if place.as_ref().is_none_or(RawClient::is_ended) {
                if place.is_some() {
                    sent_away();
                }
                *place = narrow(server).filter(|_| !is_over.load(Ordering::SeqCst));
                let opened = place.as_mut().map(|new| new.try_upgrade("/ws?name=slow", PATIENCE));
                place.take_if(|_| opened != Some(true));
            }
            let Some(client) = place else { continue };
            if number.is_multiple_of(2) {
                client.skip(Duration::from_millis(5));
            } else if client.try_send(&Frame::pong("").bytes(), Chunking::Whole).is_err() {
                // It reads nothing, and so learns only by writing that it was sent away.
                *place = None;
                sent_away();
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Sends slow readers much until it is over; how often the server took it.
pub fn press(server: &Served, is_over: &AtomicBool) -> usize {
    let body = format!(r#"{{"content":"{}"}}"#, "y".repeat(50_000));
    let mut taken = 0;
    while !is_over.load(Ordering::SeqCst) {
        let answer = server.post("users/slow/publish", &body);
        taken += usize::from(matches!(answer, Ok((200, _))));
        thread::sleep(Duration::from_millis(30));
    }
    taken
}

/// Floods pings and reads what comes back, until it is over: a server that somebody keeps busy.
pub fn keep_busy(server: &Served, is_over: &AtomicBool) {
    let Some(mut client) = narrow(server) else { return };
    assert!(client.try_upgrade("/echo", PATIENCE), "it is open");
    let pings = stream(&vec![Frame::ping("busy"); 2000]);
    while !is_over.load(Ordering::SeqCst) && client.try_send(&pings, Chunking::Whole).is_ok() {
        client.skip(Duration::from_millis(5));
    }
}
