//! Two or three nodes over one broker, each with real loops and hubs, in worlds made from a seed.
//!
//! Owns what a world of nodes is made of and how it is run: one loop after the other, and the
//! relays between them, as chance has it.

mod crowd;
mod hearing;
mod person;
mod plan;
mod sky;

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use throng::hub::Hub;
use throng::hub::broker::{Hand, Memory, Relay};
use throng::net::Random;

use crate::dice::Dice;
use crate::loops::{self, Loop};
use crate::platform::{Shared, SimClock, SimRandom};
use crate::rooms::{ROOMS, Room};
use crate::runs::{self, Summary};
use crate::world::Fault;
use crowd::Nodes;
use plan::Plan;
use sky::{Sky, SkyClock, Stormy, lock};

/// The name of the test that replays a seed.
const REPLAY: &str = "nodes_from_seeds";

/// How many worlds there are: each is several of those of the hub.
const SEEDS: u64 = 500;

/// Lives through one world.
fn run(seed: u64, planted: Option<Fault>) -> Result<Summary, String> {
    runs::guarded(seed, REPLAY, || live(seed, planted))
}

fn live(seed: u64, planted: Option<Fault>) -> Result<Summary, String> {
    let mut dice = Dice::new(seed ^ 0x4e4f_4445);
    let plan = Plan::new(&mut dice);
    let time = SkyClock::default();
    let memory = Memory::with_clock(time.clone());
    let sky = Arc::new(Mutex::new(Sky::new(Dice::new(dice.next()), planted)));
    let loops = plan.loops();
    let world = loops::world(dice, Nodes::new(plan, memory, sky), loops, planted, crowd::begin);
    let (mut event_loops, mut hands) = (Vec::new(), Vec::new());
    let nodes = world.borrow().crowd.plan.nodes.len();
    for node in 0..nodes {
        hands.push(node_of(&world, node, &mut event_loops));
    }
    loops::turn_until_over(&world, &mut event_loops, || {
        let due = std::mem::take(&mut world.borrow_mut().crowd.due);
        for node in due {
            let micros = world.borrow().now.as_micros() as u64;
            time.0.store(micros, Ordering::Relaxed);
            hands[node].step();
        }
    })?;
    judge(&world, &event_loops)
}

/// Makes one more node, and its loops: the work of its relay.
fn node_of(world: &Shared<Nodes>, node: usize, event_loops: &mut Vec<Loop<Nodes>>) -> Hand<Stormy> {
    let (broker, hub, net, limits, mailbox_max, loops) = {
        let crowd = &world.borrow().crowd;
        let plan = &crowd.plan;
        let broker = Stormy { memory: crowd.memory.clone(), sky: Arc::clone(&crowd.sky) };
        let (hub, net) = (plan.hub.clone(), plan.net.clone());
        (broker, hub, net, plan.relay, plan.mailbox_max, plan.nodes[node])
    };
    let (history, clock) = (hub.history.clone(), SimClock(Rc::clone(world)));
    let mut random = SimRandom(Rc::clone(world));
    let random = move || random.next_u64();
    let name = format!("n{node}");
    let (relay, hand) = Relay::by_hand(&name, history, limits, broker, clock, random);
    let first = event_loops.len();
    let loops = first..first + loops;
    event_loops.extend(loops::of_server(world, loops, &net, mailbox_max, |own, mailboxes| {
        Hub::with_config(own, mailboxes, hub.clone()).relaying(&relay)
    }));
    world.borrow_mut().crowd.relays.push(relay);
    hand
}

/// Nothing is left of anybody, nothing waits, and no room is followed.
fn judge(world: &Shared<Nodes>, event_loops: &[Loop<Nodes>]) -> Result<Summary, String> {
    let mut summary = loops::judge(world, event_loops)?;
    let crowd = &world.borrow().crowd;
    for (node, relay) in crowd.relays.iter().enumerate() {
        let stats = relay.stats();
        if stats.waiting_bytes > 0 || !stats.is_connected {
            return Err(format!("node {node} in the end: {stats:?}"));
        }
    }
    let followed = |room: &usize| crowd.memory.subscribers(Room::name(*room)) > 0;
    if let Some(room) = (0..ROOMS).find(followed) {
        return Err(format!("{} is followed for ever", Room::name(room)));
    }
    summary.mishaps.extend(lock(&crowd.sky).mishaps.clone());
    Ok(summary)
}

#[test]
fn nodes_from_seeds() {
    runs::many(REPLAY, SEEDS, |seed| run(seed, None));
}

/// Each has shown a bug that is mended: who is let in while the queue to the broker is full is told
/// its place as soon as the room can be read; and an `ok` does not come before what stands before
/// its message, where the link breaks in between.
#[test]
fn seeds_that_have_failed() {
    for seed in [655, 2462] {
        run(seed, None).unwrap_or_else(|what| panic!("{what}"));
    }
}

/// Every byte that every client gets.
#[test]
fn nodes_are_the_same_each_time() {
    runs::same_each_time(|seed| run(seed, None));
}

#[test]
fn planted_faults_are_found() {
    let faults = [
        Fault::BrokerLosesWrite,
        Fault::BrokerWritesTwice,
        Fault::BrokerRefusesBehind,
        Fault::BrokerSwapsNews,
        Fault::BrokerShiftsNews,
        Fault::BrokerSwapsRows,
        Fault::BrokerLosesPresence,
        Fault::BrokerLosesLetters,
        Fault::LoseLetter,
        Fault::SwapLetters,
        Fault::ForgetMessage,
        Fault::ForgetClose,
        Fault::MessageTwice,
    ];
    runs::all_found(&faults, |seed, fault| run(seed, Some(fault)));
}
