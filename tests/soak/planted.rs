//! The judges are judged: each finds what is planted before it, in what was measured, in a record,
//! or on a server that is really so.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{RawClient, eventually, procfs};
use crate::judge::{self, Allowance};
use crate::record::{Event, Joined, Trial, check};
use crate::served::Served;
use crate::watch::{self, Sample, Watched};
use crate::{crowds, talkers};

/// A server of no size.
fn small() -> Served {
    Served::start("planted", |_| Vec::new())
}

#[test]
fn somebody_who_stays_is_found() {
    let (server, begin) = (small(), Instant::now());
    let before = watch::rest(&server, begin, 20);
    assert_eq!(judge::returned(&before, &before), Vec::<String>::new());
    let dial = || RawClient::on(server.dial().expect("it listens"));
    let mut stay: Vec<_> = (0..20).map(|_| dial()).collect();
    stay.iter_mut().for_each(|client| assert!(client.try_upgrade("/ws", Duration::from_secs(10))));
    let told = |sample: &Sample| sample.connections() >= 20.0;
    eventually("they are counted", 20.0, || {
        watch::sample(&server, begin).is_some_and(|it| told(&it))
    });
    let during = watch::rest(&server, begin, 1);
    let faults = judge::returned(&before, &during).join("\n");
    assert!(faults.contains("connections are left"), "{faults}");
    assert!(faults.contains("descriptors, "), "{faults}");
    drop(stay);
    let after = watch::rest(&server, begin, 30);
    assert_eq!(judge::returned(&before, &after), Vec::<String>::new());
    assert_eq!(judge::accounted(&after, 0.0), Vec::<String>::new());
    // Had one ended twice, or had it never begun:
    let mut twice = after.clone();
    *twice.metrics.get_mut("throng_closes_total{cause=\"lost\"}").expect("a cause") += 1.0;
    assert_ne!(judge::accounted(&twice, 0.0), Vec::<String>::new());
    assert_ne!(judge::accounted(&after, 1.0), Vec::<String>::new());
    // Had somebody left something behind:
    let mut held = after;
    *held.metrics.get_mut("throng_memory_bytes{owner=\"partial\"}").expect("an owner") += 2e6;
    assert_ne!(judge::returned(&before, &held), Vec::<String>::new());
}

#[test]
fn a_server_that_is_busy_is_found() {
    let (server, is_over) = (small(), AtomicBool::new(false));
    thread::scope(|scope| {
        let busy = scope.spawn(|| crowds::keep_busy(&server, &is_over));
        // It has to get the processor first.
        let is_found = (0..30).any(|_| {
            let load = watch::load(server.pid(), Duration::from_secs(1));
            judge::idle(load) != Vec::<String>::new()
        });
        is_over.store(true, Ordering::SeqCst);
        assert!(is_found, "it is busy");
        busy.join().expect("no panic");
    });
    watch::rest(&server, Instant::now(), 30);
    let load = watch::load(server.pid(), Duration::from_secs(2));
    assert_eq!(judge::idle(load), Vec::<String>::new());
}

#[test]
fn a_server_that_does_not_answer_is_found() {
    let (server, mut watched) = (small(), Watched::default());
    watched.knock(&server);
    assert_eq!(judge::answered(&watched), Vec::<String>::new());
    server.signal("STOP");
    eventually("it is stopped", 10.0, || procfs::state(server.pid()) == Some('T'));
    watched.knock(&server);
    server.signal("CONT");
    assert_eq!(judge::answered(&watched).len(), 1);
    assert_ne!(judge::answered(&Watched::default()), Vec::<String>::new(), "nobody asked");
}

/// A minute of samples of one process, with so much memory at each second.
fn minute(rss_kb: impl Fn(u64) -> u64) -> Watched {
    let one = |second| Sample {
        at: Duration::from_secs(second),
        pid: 1,
        rss_kb: rss_kb(second),
        ..Sample::default()
    };
    Watched { samples: (0..60).map(one).collect(), ..Watched::default() }
}

#[test]
fn memory_that_grows_is_found() {
    let (all, allowance) = ((Duration::ZERO, Duration::from_secs(60)), Allowance::of(600));
    let flat = |watched: &Watched| judge::flat(watched, all, allowance);
    // It grows warm, and breathes.
    let warm = minute(|second| 30_000 + second.min(12) * 1000 + second % 3 * 500);
    assert_eq!(flat(&warm).1, Vec::<String>::new());
    let leak = minute(|second| 30_000 + second * 150);
    assert_ne!(flat(&leak).1, Vec::<String>::new());
    let slope = judge::slope_kb(&leak.within(all.0, all.1));
    assert!((slope - 9000.0).abs() < 1.0, "{slope}");
    let mut few = warm.clone();
    few.samples.truncate(5);
    assert_ne!(flat(&few).1, Vec::<String>::new(), "too few samples");
    let mut two = warm;
    two.samples[40..].iter_mut().for_each(|sample| sample.pid = 2);
    assert_ne!(flat(&two).1, Vec::<String>::new(), "two processes");
    // What each process hands to the next:
    let mut heirs = minute(|second| 30_000 + second / 10 * 2000);
    heirs.samples.iter_mut().for_each(|sample| sample.pid = sample.at.as_secs() as u32 / 10);
    assert_ne!(judge::inherited(&heirs, all, allowance).1, Vec::<String>::new());
    heirs.samples.iter_mut().for_each(|sample| sample.rss_kb = 30_000);
    assert_eq!(judge::inherited(&heirs, all, allowance).1, Vec::<String>::new());
}

#[test]
fn a_line_of_the_log_is_found() {
    let away = "2026-11-29T14:25:39Z ERROR throng: the broker is away: this node is alone";
    let panic = "thread 'loop 0' panicked at src/net/peers.rs:1:1:";
    let said = |lines: &[&str]| {
        let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
        judge::said(&lines, &["the broker is away"])
    };
    assert_eq!(said(&[away]), Vec::<String>::new());
    assert_eq!(said(&[away, panic]).len(), 1);
    assert_eq!(said(&["2026-11-29T14:25:39Z ERROR throng: something else"]).len(), 1);
}

/// A record of a member that says three numbers and hears them.
fn record() -> Trial {
    let room = || talkers::ROOMS[1].to_owned();
    let joined = Joined {
        epoch: "1".into(),
        offset: 0,
        since: None,
        recovered: false,
        messages: Vec::new(),
    };
    let mut events = vec![Event::Joined { room: room(), joined }];
    for id in 1..=3 {
        events.push(Event::Sent { room: room(), id });
        events.push(Event::Seen { room: room(), id, offset: id });
        events.push(Event::Acked { room: room(), id, offset: id });
    }
    events.push(Event::Ended { room: room() });
    let kept = [(room(), vec![(1, 1), (2, 2), (3, 3)])].into();
    Trial { clients: vec![events], kept }
}

#[test]
fn a_message_that_is_missing_is_found() {
    assert_eq!(check(&record()), Vec::<String>::new());
    let mut unseen = record();
    unseen.clients[0].remove(5);
    assert_ne!(check(&unseen), Vec::<String>::new(), "a delivery");
    let mut lost = record();
    lost.kept.values_mut().for_each(|rows| rows.truncate(2));
    assert_ne!(check(&lost), Vec::<String>::new(), "what was acknowledged");
    let mut doubled = record();
    let again = doubled.clients[0][5].clone();
    doubled.clients[0].insert(6, again);
    assert_ne!(check(&doubled), Vec::<String>::new(), "a delivery that comes twice");
}
