//! A proxy cuts who is silent for long; heartbeats keep it from that.

use std::thread;
use std::time::{Duration, Instant};

use crate::common::frame::{PING, TEXT};
use crate::common::{Frame, RawClient};
use crate::proxy::{ALL, Kind};
use crate::site::Site;

/// What the proxies of these tests wait, in seconds.
const IDLE_S: u64 = 2;

/// Answers pings, and nothing else, for so long; how many there were. `None` where the connection
/// has ended before.
fn rest(client: &mut RawClient, time: Duration) -> Option<usize> {
    let end = Instant::now() + time;
    let mut pings = 0;
    while Instant::now() < end {
        // Shorter than the time-outs: the end of the stream comes at once, silence later.
        let waited = Instant::now();
        match client.next_frame(Duration::from_millis(300)) {
            Some(frame) if frame.opcode == PING => {
                client.send(Frame::pong(&frame.payload).bytes());
                pings += 1;
            }
            Some(_) => {}
            None if waited.elapsed() < Duration::from_millis(250) => return None,
            None => {}
        }
    }
    Some(pings)
}

fn each(test: impl Fn(Kind) + Sync) {
    thread::scope(|scope| {
        for kind in ALL {
            let test = &test;
            scope.spawn(move || test(kind));
        }
    });
}

#[test]
fn heartbeats_keep_a_silent_connection() {
    each(|kind| {
        let idle = format!("{IDLE_S}s");
        let site = Site::with_idle(kind, &idle, &["--ping-interval", "0.5"]);
        let mut client = site.open(2, "/echo");
        let pings = rest(&mut client, Duration::from_secs(3 * IDLE_S));
        assert!(pings.is_some_and(|pings| pings >= 6), "{kind:?}: {pings:?}");
        client.send(Frame::text("still here").bytes());
        while client.read_message().opcode != TEXT {}
    });
}

/// Without them it is cut: the time-out is there, and the interval of pings must be below it.
#[test]
fn without_heartbeats_the_proxy_cuts_it() {
    each(|kind| {
        let idle = format!("{IDLE_S}s");
        let site = Site::with_idle(kind, &idle, &["--ping-interval", "60"]);
        let mut client = site.open(2, "/echo");
        let opened = Instant::now();
        assert_eq!(rest(&mut client, Duration::from_secs(5 * IDLE_S)), None, "{kind:?}");
        let took_s = opened.elapsed().as_secs_f64();
        assert!(took_s > IDLE_S as f64 * 0.9, "{kind:?}: cut after {took_s} s");
    });
}
