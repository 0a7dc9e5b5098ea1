//! The real loop in a world made from a seed: no threads, no sockets, no wall time.
//!
//! `THRONG_SEEDS=N` runs more worlds than usual, `THRONG_SEED=S` just one. A failure says which
//! seed to replay.

mod cases;
mod client;
mod dice;
mod frames;
mod handler;
mod platform;
mod script;
mod world;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use throng::net::{EventLoop, Mailbox};

use handler::Echo;
use platform::{Shared, Sim, SimClock, SimPoll, SimRandom};
use world::{Fault, World};

const SEEDS: u64 = 500;

/// What a world came to.
#[derive(Default)]
struct Summary {
    turns: u64,
    echoes: usize,
}

/// Lives through one world.
fn run(seed: u64, planted: Option<Fault>) -> Result<Summary, String> {
    let world: Shared = Rc::new(RefCell::new(World::new(seed, planted)));
    world.borrow_mut().is_traced = env("THRONG_SEED").is_some();
    let lived = catch_unwind(AssertUnwindSafe(|| live(&world)));
    let result = lived.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or_default()))
    });
    result.map_err(|what| {
        format!("{what}\nreplay: THRONG_SEED={seed} cargo test --test simulation worlds")
    })
}

fn live(world: &Shared) -> Result<Summary, String> {
    let config = world.borrow().config.clone();
    let woken = Arc::clone(&world.borrow().woken);
    let mailbox = Mailbox::new(config.mailbox_max, move || woken.store(true, Ordering::Relaxed));
    world.borrow_mut().mailbox = Some(mailbox.clone());
    let [poll, clock] = [Rc::clone(world), Rc::clone(world)];
    let mut event_loop = EventLoop::<Echo, Sim>::new(
        config,
        Echo::new(world),
        mailbox.clone(),
        SimPoll(poll),
        SimClock(clock),
        SimRandom(Rc::clone(world)),
    );
    while !event_loop.is_stopped() {
        event_loop.turn().map_err(|error| error.to_string())?;
        let world = world.borrow();
        if let Some(failure) = &world.failure {
            return Err(failure.clone());
        }
        let held = world.links.iter().filter(|link| link.accepted && !link.dropped).count();
        if held != event_loop.connections() {
            return Err(format!("{held} streams for {} peers", event_loop.connections()));
        }
        if world.asleep {
            if held > 0 {
                return Err(format!("the loop sleeps for ever with {held} connections"));
            }
            break;
        }
    }
    mailbox.stop();
    event_loop.run().map_err(|error| error.to_string())?;
    judge(&world.borrow())
}

fn judge(world: &World) -> Result<Summary, String> {
    if let Some(failure) = &world.failure {
        return Err(failure.clone());
    }
    for (number, (client, link)) in world.clients.iter().zip(&world.links).enumerate() {
        client
            .judge(link.was_full, !world.jumped.is_zero())
            .map_err(|what| format!("client {number}, {:?}: {what}", client.kind))?;
    }
    let unheard = world.clients.iter().position(|client| !client.has_heard_close());
    if let Some(number) = unheard.filter(|_| world.must_hear_close) {
        return Err(format!("client {number} ended without a Close"));
    }
    let echoes = world.clients.iter().map(|client| client.handled).sum();
    Ok(Summary { turns: world.turns, echoes })
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn worlds_from_seeds() {
    let seeds = match env("THRONG_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..env("THRONG_SEEDS").unwrap_or(SEEDS),
    };
    let mut total = Summary::default();
    let mut failures = Vec::new();
    for seed in seeds {
        match run(seed, None) {
            Ok(summary) => {
                total.turns += summary.turns;
                total.echoes += summary.echoes;
            }
            Err(what) => failures.push(format!("seed {seed}: {what}")),
        }
    }
    println!("{} turns, {} messages", total.turns, total.echoes);
    let count = failures.len();
    failures.truncate(10);
    assert!(failures.is_empty(), "{count} worlds failed, such as\n{}", failures.join("\n"));
}

#[test]
fn a_world_is_the_same_each_time() {
    for seed in 0..10 {
        let [first, second] = [run(seed, None), run(seed, None)].map(|result| {
            result.map(|summary| (summary.turns, summary.echoes)).unwrap_or_default()
        });
        assert_eq!(first, second, "seed {seed}");
    }
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
    for fault in faults {
        let found = (0..30).find_map(|seed| run(seed, Some(fault)).err());
        let found = found.unwrap_or_else(|| panic!("{fault:?} was not found in 30 worlds"));
        println!("{fault:?}: {}", found.lines().next().unwrap_or_default());
    }
}
