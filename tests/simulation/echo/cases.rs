//! Worlds with a script of their own: what chance would seldom bring about.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use throng::net::{BacklogPolicy, Config};

use super::client::{Client, Kind, Step};
use super::crowd::{Deed, Echoes, World, add};
use super::live;
use crate::dice::Dice;
use crate::network::Link;
use crate::platform::Shared;

/// A world where nobody is in the way of anybody: so much room each way.
const ROOM: usize = 1 << 20;

fn world(config: Config, clients: Vec<(Kind, Vec<Step>)>, room: usize) -> World {
    let mut world = World::new(Dice::new(1), Echoes::new(config), 1);
    world.crowd.largest = 100;
    for (number, (kind, steps)) in clients.into_iter().enumerate() {
        let mut script = vec![Step::Request { whole: true }];
        script.extend(steps);
        add(&mut world, Client::new(kind, script.into(), false), Link::new(ROOM, room));
        world.later(Duration::ZERO, Deed::Connect(number));
    }
    world
}

fn rest(seconds: u64) -> Step {
    Step::Rest(Duration::from_secs(seconds))
}

/// Says how long it took.
fn comes_to_a_good_end(world: World) -> Duration {
    let world: Shared<Echoes> = Rc::new(RefCell::new(world));
    world.borrow_mut().is_traced = crate::runs::is_replay();
    if let Err(what) = live(&world) {
        panic!("{what}");
    }
    world.borrow().now
}

/// A write that a signal interrupts says nothing of room: no edge will follow it.
#[test]
fn an_interrupted_write_is_repeated() {
    let mut steps = Vec::new();
    for at in 0..300 {
        let payload = vec![at as u8 | 0x80; 9_000].into(); // long enough to go out uncopied
        steps.push(Step::Message { opcode: 2, payload, fragments: 1, pings: false });
        steps.push(Step::Settle);
    }
    steps.push(Step::Close(None));
    let world = world(Config::default(), vec![(Kind::Good, steps)], 64 << 10);
    let took = comes_to_a_good_end(world);
    assert!(took < Duration::from_secs(20), "a write was left alone: {took:?}");
}

/// More than a turn takes from one connection, and then nothing that would wake the loop.
#[test]
fn what_is_left_of_a_turn_is_read_in_the_next() {
    for seed in 0..8 {
        let payload = vec![0xAB; 7 << 20].into();
        let big = Step::Message { opcode: 2, payload, fragments: 1, pings: false };
        let steps = vec![big, Step::Settle, Step::Close(None)];
        let mut world = world(Config::default(), vec![(Kind::Good, steps)], 16 << 20);
        world.dice = Dice::new(seed);
        world.is_epoll = false; // no other news say that there is more to read
        world.links[0].in_max = 16 << 20;
        let took = comes_to_a_good_end(world);
        assert!(took < Duration::from_secs(20), "it was left alone: {took:?}");
    }
}

/// Whole messages make room, never the rest of one that has begun.
#[test]
fn the_oldest_messages_make_room_but_for_one_half_written() {
    for seed in 0..20 {
        let config = Config {
            backlog_policy: BacklogPolicy::DropOldest,
            backlog_bytes_max: 30_000,
            ..Config::default()
        };
        let pause = Step::Pause(Duration::from_secs(4));
        let steps = vec![rest(4), pause, rest(16), Step::Close(None)];
        let mut world = world(config, vec![(Kind::Good, steps)], 3_000);
        world.dice = Dice::new(seed);
        (world.crowd.clients[0].lossy, world.crowd.clients[0].is_trickling) = (true, true);
        for at in 0..300 {
            let len = world.dice.one_of(&[100, 3_000, 9_000]);
            world.later(Duration::from_millis(5_000 + at * 30), Deed::BroadcastOf(len));
        }
        comes_to_a_good_end(world);
    }
}

/// A frame that alone fills the arena of a turn reaches every member.
#[test]
fn a_broadcast_of_a_large_frame_reaches_all() {
    for len in [9_000, 300_000, 1 << 20, 3 << 20] {
        let clients = (0..5).map(|_| (Kind::Good, vec![rest(30), Step::Close(None)])).collect();
        let mut world = world(Config::default(), clients, ROOM);
        for second in [5, 10] {
            world.later(Duration::from_secs(second), Deed::BroadcastOf(len));
            world.later(Duration::from_secs(second), Deed::BroadcastOf(len));
        }
        comes_to_a_good_end(world);
    }
}

/// As the configuration says: the limit and one message more, also where all is sent in one turn.
#[test]
fn a_turn_that_sends_much_keeps_to_the_backlog_limit() {
    let config = Config { backlog_bytes_max: 20_000, ..Config::default() };
    let deaf = (Kind::Deaf, vec![Step::Deaf, rest(60)]);
    let mut world = world(config, vec![deaf], 2_000);
    for _ in 0..100 {
        world.later(Duration::from_secs(5), Deed::BroadcastOf(1_000));
    }
    comes_to_a_good_end(world);
}

/// A handler may close a connection whose own deadline is over in the same pass: it still gets its
/// Close.
#[test]
fn a_close_from_within_a_pass_over_deadlines_is_said() {
    let silent = (Kind::Silent, vec![]);
    let idle = (Kind::Good, vec![rest(100), Step::Close(None)]);
    let mut world = world(Config::default(), vec![silent], ROOM);
    world.crowd.is_all_or_none = true;
    // Heard of at 11.1 s, so that the tick of its ping is the one in which the silent one, pinged
    // after 30 s, has had its 10 s.
    for _ in 0..7 {
        let number = world.crowd.clients.len();
        let script = [vec![Step::Request { whole: true }], idle.1.clone()].concat();
        add(&mut world, Client::new(idle.0, script.into(), false), Link::new(ROOM, ROOM));
        let tenths = number as u64;
        world.later(Duration::from_millis(9_810 + 200 * tenths), Deed::Connect(number));
    }
    world.crowd.must_hear_close = true;
    comes_to_a_good_end(world);
}
