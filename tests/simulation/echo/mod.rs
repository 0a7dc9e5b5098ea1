//! An echo on one loop, in worlds made from a seed: the engine without the hub.

mod cases;
mod client;
mod crowd;
mod handler;
mod script;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use throng::net::{EventLoop, Mailbox};

use crate::dice::Dice;
use crate::platform::{Shared, Sim, SimClock, SimPoll, SimRandom};
use crate::runs::{self, Summary};
use crate::world::Fault;
use crowd::{Echoes, World};
use handler::Echo;

/// The name of the test that replays a seed.
const REPLAY: &str = "echoes_from_seeds";

/// Everything from the seed.
fn world(seed: u64, planted: Option<Fault>) -> World {
    let mut dice = Dice::new(seed);
    let config = script::config(&mut dice);
    let now = Duration::from_millis(dice.below(5_000) as u64);
    let is_epoll = !dice.once_in(3);
    let mut world = World::new(dice, Echoes::new(config), 1);
    (world.planted, world.now, world.is_epoll) = (planted, now, is_epoll);
    script::people(&mut world);
    world
}

/// Lives through one world.
fn run(seed: u64, planted: Option<Fault>) -> Result<Summary, String> {
    runs::guarded(seed, REPLAY, || {
        let world: Shared<Echoes> = Rc::new(RefCell::new(world(seed, planted)));
        world.borrow_mut().is_traced = runs::is_replay();
        live(&world)
    })
}

fn live(world: &Shared<Echoes>) -> Result<Summary, String> {
    let config = world.borrow().crowd.config.clone();
    let woken = Arc::clone(&world.borrow().loops[0].woken);
    let mailbox = Mailbox::new(config.mailbox_max, move || woken.store(true, Ordering::Relaxed));
    world.borrow_mut().crowd.mailbox = Some(mailbox.clone());
    let mut event_loop = EventLoop::<Echo, Sim<Echoes>>::new(
        config,
        Echo::new(world),
        mailbox.clone(),
        SimPoll { world: Rc::clone(world), loop_index: 0 },
        SimClock(Rc::clone(world)),
        SimRandom(Rc::clone(world)),
    );
    while !event_loop.is_stopped() {
        let next = world.borrow_mut().next_loop();
        if next.is_none() {
            break;
        }
        event_loop.turn().map_err(|error| error.to_string())?;
        let held = world.borrow().streams(0);
        if held != event_loop.connections() {
            return Err(format!("{held} streams for {} peers", event_loop.connections()));
        }
    }
    if let Some(failure) = &world.borrow().failure {
        return Err(failure.clone());
    }
    if !event_loop.is_stopped() && event_loop.connections() > 0 {
        return Err(format!("the loop sleeps for ever with {} peers", event_loop.connections()));
    }
    mailbox.stop();
    event_loop.run().map_err(|error| error.to_string())?;
    judge(&world.borrow())
}

fn judge(world: &World) -> Result<Summary, String> {
    if let Some(failure) = &world.failure {
        return Err(failure.clone());
    }
    for (number, (client, link)) in world.crowd.clients.iter().zip(&world.links).enumerate() {
        client
            .judge(link.was_full, !world.jumped.is_zero())
            .map_err(|what| format!("client {number}, {:?}: {what}", client.kind))?;
    }
    let unheard = world.crowd.clients.iter().position(|client| !client.has_heard_close());
    if let Some(number) = unheard.filter(|_| world.crowd.must_hear_close) {
        return Err(format!("client {number} ended without a Close"));
    }
    let messages = world.crowd.clients.iter().map(|client| client.handled as u64).sum();
    Ok(Summary { turns: world.turns, messages, mishaps: world.mishaps.clone(), digest: 0 })
}

#[test]
fn echoes_from_seeds() {
    runs::many(REPLAY, runs::SEEDS, |seed| run(seed, None));
}

/// Worlds of which each has shown a fault that is mended: a message after the Close of a peer that
/// was cut while it was sent to, a pong after that for a later ping; and one of the harness, of a
/// client that is kicked after the loop was asked to stop.
#[test]
fn seeds_that_have_failed() {
    for seed in [12_518, 12_234, 17_851] {
        run(seed, None).unwrap_or_else(|what| panic!("{what}"));
    }
}

#[test]
fn an_echo_is_the_same_each_time() {
    runs::same_each_time(|seed| run(seed, None));
}

/// The harness is worth something only if it can fail.
#[test]
fn planted_faults_are_found() {
    let faults = [
        Fault::DropReadByte,
        Fault::FlipReadBit,
        Fault::DoubleRead,
        Fault::DropWrittenByte,
        Fault::LoseReadableEdge,
        Fault::LoseWritableEdge,
        Fault::SleepTooLong,
        Fault::WakeAtOnce,
        Fault::ForgetMessage,
        Fault::EchoTwice,
        Fault::SwapMessages,
    ];
    runs::all_found(&faults, |seed, fault| run(seed, Some(fault)));
}
