//! The hub on several loops, with a store, in worlds made from a seed.
//!
//! Owns what a world is made of and how it is run: one loop after the other, and the store's thread
//! between them, as chance has it.

mod crowd;
mod hearing;
mod person;
mod plan;
mod store;

use std::cell::RefCell;
use std::rc::Rc;

use throng::hub::Hub;
use throng::hub::history::Keeper;
use throng::net::Clock;

use crate::dice::Dice;
use crate::loops::{self, Loop};
use crate::platform::Shared;
use crate::runs::{self, Summary};
use crate::world::Fault;
use crowd::Members;
use plan::Plan;
use store::SharedDisk;

/// The name of the test that replays a seed.
const REPLAY: &str = "hubs_from_seeds";

/// The clock of the store's thread: that of the world, which is made after it.
struct StoreClock(Rc<RefCell<Option<Shared<Members>>>>);

impl Clock for StoreClock {
    fn now(&self) -> std::time::Duration {
        self.0.borrow().as_ref().map_or(std::time::Duration::ZERO, |world| world.borrow().now)
    }

    fn unix_ms(&self) -> u64 {
        self.now().as_millis() as u64
    }
}

/// Lives through one world.
fn run(seed: u64, planted: Option<Fault>) -> Result<Summary, String> {
    runs::guarded(seed, REPLAY, || live(seed, planted))
}

fn live(seed: u64, planted: Option<Fault>) -> Result<Summary, String> {
    let mut dice = Dice::new(seed ^ 0x4855_4200);
    let plan = Plan::new(&mut dice);
    let disk = SharedDisk::default();
    disk.borrow_mut().planted = planted;
    let clock = Rc::default();
    let of_writer = Rc::clone(&disk);
    let (keeper, mut writer) = Keeper::by_hand(
        plan.hub.history.clone(),
        plan.keeper,
        move || store::open(&of_writer),
        StoreClock(Rc::clone(&clock)),
    );
    let loops = plan.loops;
    let crowd = Members::new(plan, disk, keeper.clone());
    let world = loops::world(dice, crowd, loops, planted, crowd::begin);
    *clock.borrow_mut() = Some(Rc::clone(&world));
    let mut event_loops = event_loops(&world, &keeper);
    let result = loops::turn_until_over(&world, &mut event_loops, || {
        if std::mem::take(&mut world.borrow_mut().crowd.is_store_due) {
            writer.step();
        }
    });
    *clock.borrow_mut() = None; // a world that knows its clock would never go
    result.and_then(|()| judge(&world, &event_loops, &keeper))
}

fn event_loops(world: &Shared<Members>, keeper: &Keeper) -> Vec<Loop<Members>> {
    let (loops, net, hub, mailbox_max) = {
        let plan = &world.borrow().crowd.plan;
        (plan.loops, plan.net.clone(), plan.hub.clone(), plan.mailbox_max)
    };
    loops::of_server(world, 0..loops, &net, mailbox_max, |own, mailboxes| {
        Hub::with_config(own, mailboxes, hub.clone()).keeping(keeper)
    })
}

/// Nothing is left of anybody, and nothing waits.
fn judge(
    world: &Shared<Members>,
    event_loops: &[Loop<Members>],
    keeper: &Keeper,
) -> Result<Summary, String> {
    let waiting = keeper.stats().waiting_bytes;
    if waiting > 0 {
        return Err(format!("{waiting} bytes wait for the store for ever"));
    }
    loops::judge(world, event_loops)
}

#[test]
fn hubs_from_seeds() {
    runs::many(REPLAY, runs::SEEDS, |seed| run(seed, None));
}

/// Every byte that every client gets.
#[test]
fn a_hub_is_the_same_each_time() {
    runs::same_each_time(|seed| run(seed, None));
}

#[test]
fn planted_faults_are_found() {
    let faults = [
        Fault::DropReadByte,
        Fault::FlipReadBit,
        Fault::DropWrittenByte,
        Fault::LoseReadableEdge,
        Fault::LoseWritableEdge,
        Fault::SleepTooLong,
        Fault::WakeAtOnce,
        Fault::ForgetMessage,
        Fault::MessageTwice,
        Fault::LoseLetter,
        Fault::SwapLetters,
        Fault::ForgetClose,
        Fault::ForgetTick,
        Fault::StoreLosesWrite,
        Fault::StoreSkipsOffset,
        Fault::StoreReadsShort,
    ];
    runs::all_found(&faults, |seed, fault| run(seed, Some(fault)));
}
