//! `kill -9` of the real binary in the middle of durable publishes, again and again: what was
//! acknowledged or seen is there, in its order, once.

use std::thread;
use std::time::Duration;

use crate::common::random::Random;
use crate::common::{Folder, RawClient, Server};
use crate::place::store_of;
use crate::record::{Event, Person, Recorder, Trial, check, kept};

const ROOMS: [&str; 2] = ["d.1", "d.2"];

/// How many messages of the publisher may be on their way when the process ends.
const WINDOW: usize = 200;

fn serve(folder: &Folder, loops: usize) -> Server {
    let file = store_of(folder);
    let file = file.to_str().expect("a path in UTF-8");
    let flags = ["--history-db", file, "--durable", "d.*", "--history-messages", "1000000"];
    Server::serve(&[&flags[..], &["--loops", &loops.to_string()]].concat())
}

/// One life of the server, in which up to `count` messages are published.
fn live(
    server: &mut Server,
    clients: &mut [Recorder],
    cut: usize,
    first: u64,
    random: &mut Random,
) {
    let (publisher, watchers) = clients.split_first_mut().expect("a publisher");
    thread::scope(|scope| {
        for watcher in watchers {
            // It watches until the server is gone.
            scope.spawn(move || while watcher.pump(Duration::from_millis(1500)) {});
        }
        for n in 0..cut as u64 {
            publisher.publish(ROOMS[random.below(2)], first + n);
            publisher.settle(WINDOW);
        }
        server.signal("KILL");
        server.wait_exit(10.0);
        while publisher.pump(Duration::from_millis(500)) {}
    });
}

fn kill_again_and_again(lives: usize, count: usize, loops: usize, seed: u64) {
    let (folder, mut random) = (Folder::new("history"), Random::new(seed));
    let mut server = serve(&folder, loops);
    let mut clients: Vec<Recorder> =
        (0..3).map(|_| Recorder::new(RawClient::connect(&server))).collect();
    let mut first = 0;
    for life in 0..lives {
        if life > 0 {
            server = serve(&folder, loops);
            clients.iter_mut().for_each(|client| client.reconnect(RawClient::connect(&server)));
        }
        for client in &mut clients {
            ROOMS.iter().for_each(|room| client.join(room));
        }
        let cut = 1 + random.below(count);
        live(&mut server, &mut clients, cut, first, &mut random);
        first += count as u64;
    }
    let server = serve(&folder, loops);
    let mut reader = Person::open(RawClient::connect(&server), "/ws").0;
    let mut trial = Trial::default();
    for room in ROOMS {
        trial.kept.insert(room.into(), kept(&mut reader, room));
    }
    let mut acked = 0;
    for mut client in clients {
        client.reconnect(RawClient::connect(&server));
        for room in ROOMS {
            client.join(room);
            client.see_up_to(room, trial.kept[room].len() as u64);
        }
        assert_eq!(client.refused(), 0);
        let is_ack = |event: &&Event| matches!(event, Event::Acked { .. });
        acked += client.events.iter().filter(is_ack).count();
        trial.clients.push(client.events);
    }
    let rows: usize = trial.kept.values().map(Vec::len).sum();
    println!("{lives} lives: {acked} acknowledged, {rows} kept");
    assert_eq!(check(&trial), Vec::<String>::new());
    assert!(acked > lives * count / 10, "{acked} were acknowledged");
}

#[test]
fn what_was_acknowledged_or_seen_outlives_kill_9() {
    let is_full = std::env::var_os("THRONG_FULL").is_some();
    let (lives, count) = if is_full { (50, 10_000) } else { (5, 2000) };
    kill_again_and_again(lives, count, 1, 11);
}

#[test]
fn the_same_holds_over_several_loops() {
    kill_again_and_again(3, 1000, 3, 12);
}
