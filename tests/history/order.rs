//! Many clients that publish, leave and come back at once: everyone sees one order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use throng::net;

use crate::common::Folder;
use crate::common::random::Random;
use crate::place::{Place, history};
use crate::record::{Event, Recorder, Trial, check, kept};

/// How many messages of a client may be on their way.
const WINDOW: usize = 32;

/// Four that publish and four that come and go, in two rooms at once.
fn run(place: &Place, rooms: [&str; 2], seed: u64, count: usize) -> (Trial, usize) {
    let publishing = AtomicUsize::new(4);
    let clients = thread::scope(|scope| {
        let publishers: Vec<_> = (0..4_u64)
            .map(|number| {
                let publishing = &publishing;
                scope.spawn(move || {
                    let mut random = Random::new(seed + number);
                    let mut client = Recorder::new(place.client());
                    rooms.iter().for_each(|room| client.join(room));
                    for n in 0..count as u64 {
                        client.publish(rooms[random.below(2)], number << 32 | n);
                        client.settle(WINDOW);
                        if random.below(50) == 0 {
                            thread::sleep(Duration::from_millis(2));
                        }
                    }
                    client.settle(0);
                    publishing.fetch_sub(1, Ordering::SeqCst);
                    client
                })
            })
            .collect();
        let walkers: Vec<_> = (0..4)
            .map(|number| {
                let publishing = &publishing;
                scope.spawn(move || {
                    let mut random = Random::new(seed * 100 + number);
                    let mut client = Recorder::new(place.client());
                    while publishing.load(Ordering::SeqCst) > 0 {
                        rooms.iter().for_each(|room| client.join(room));
                        let end = Instant::now() + Duration::from_millis(random.below(40) as u64);
                        while Instant::now() < end {
                            client.pump(Duration::from_millis(1));
                        }
                        client.reconnect(place.client());
                    }
                    rooms.iter().for_each(|room| client.join(room));
                    client
                })
            })
            .collect();
        let all = publishers.into_iter().chain(walkers);
        all.map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    let mut reader = place.person("/ws");
    let (mut trial, mut refused) = (Trial::default(), 0);
    for room in rooms {
        trial.kept.insert(room.into(), kept(&mut reader, room));
    }
    for mut client in clients {
        for room in rooms {
            client.see_up_to(room, trial.kept[room].len() as u64);
        }
        refused += client.refused();
        trial.clients.push(client.events);
    }
    (trial, refused)
}

/// What really happens over so many loops.
pub fn record(loops: usize, seed: u64) -> Trial {
    let place = Place::new(loops, history(1_000_000));
    let (trial, refused) = run(&place, ["m.1", "m.2"], seed, 400);
    assert_eq!(refused, 0);
    trial
}

fn assert_true(trial: &Trial) {
    assert_eq!(check(trial), Vec::<String>::new());
    let resumed = trial.clients.iter().flatten().filter(
        |event| matches!(event, Event::Joined { joined, .. } if !joined.messages.is_empty()),
    );
    assert!(resumed.count() > 5, "somebody had missed something");
}

#[test]
fn all_loops_see_one_order_and_nobody_misses_anything() {
    for (loops, seed) in [(1, 1), (2, 2), (4, 3)] {
        assert_true(&record(loops, seed));
    }
}

#[test]
fn the_same_holds_for_durable_rooms() {
    for (loops, seed) in [(1, 4), (3, 5)] {
        let folder = Folder::new("history");
        let place = Place::durable(loops, history(1_000_000), &folder);
        let (trial, refused) = run(&place, ["d.1", "d.2"], seed, 400);
        assert_eq!(refused, 0);
        assert_true(&trial);
    }
}

/// Loops that cannot tell each other all at once: some messages are refused, and none is lost.
#[test]
fn full_mailboxes_cost_no_order() {
    let engine = net::Config { mailbox_max: 3, ..net::Config::default() };
    let place = Place::on(engine, 4, history(1_000_000), None);
    let (trial, refused) = run(&place, ["m.1", "m.2"], 6, 600);
    assert_true(&trial);
    assert!(refused > 0, "the mailboxes were never full");
}
