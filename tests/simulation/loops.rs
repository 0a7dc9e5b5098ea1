//! The real loops of a world of people.
//!
//! Owns how they are made, that one turns after the other until all is over, and that nothing is
//! left of anybody in the end. What other threads would do is for each kind of world.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use throng::hub::{Hub, Mail};
use throng::net::{Config, EventLoop, Mailbox, Mailboxes};

use crate::dice::Dice;
use crate::people::{People, Stage};
use crate::platform::{Shared, Sim, SimClock, SimPoll, SimRandom};
use crate::runs::{self, Summary};
use crate::watched::Watched;
use crate::world::{Fault, Turner, World};

pub type Loop<C> = EventLoop<Watched<C>, Sim<C>>;

/// A world with its crowd, over so many loops.
pub fn world<C: People>(
    dice: Dice,
    crowd: C,
    loops: usize,
    planted: Option<Fault>,
    begin: impl FnOnce(&mut World<C>),
) -> Shared<C> {
    let mut world = World::new(dice, crowd, loops);
    world.is_epoll = !world.dice.once_in(3);
    (world.planted, world.is_traced) = (planted, runs::is_replay());
    begin(&mut world);
    Rc::new(RefCell::new(world))
}

/// The loops of one server, and a hub on each.
pub fn of_server<C: People>(
    world: &Shared<C>,
    loops: Range<usize>,
    net: &Config,
    mailbox_max: usize,
    hub: impl Fn(usize, Mailboxes<Mail>) -> Hub,
) -> Vec<Loop<C>> {
    let mailbox = |turner: &Turner| {
        let woken = Arc::clone(&turner.woken);
        Mailbox::<Mail>::new(mailbox_max, move || woken.store(true, Ordering::Relaxed))
    };
    let mailboxes: Mailboxes<Mail> =
        world.borrow().loops[loops.clone()].iter().map(mailbox).collect();
    let event_loop = |(own, loop_index): (usize, usize)| {
        EventLoop::new(
            net.clone(),
            Watched::new(hub(own, Arc::clone(&mailboxes)), loop_index, world),
            mailboxes[own].clone(),
            SimPoll { world: Rc::clone(world), loop_index },
            SimClock(Rc::clone(world)),
            SimRandom(Rc::clone(world)),
        )
    };
    loops.enumerate().map(event_loop).collect()
}

/// Runs a world to its end; before each turn, what is due of other threads.
pub fn turn_until_over<C: People>(
    world: &Shared<C>,
    event_loops: &mut [Loop<C>],
    mut work: impl FnMut(),
) -> Result<(), String> {
    while world.borrow().crowd.folk().stage != Stage::Over {
        let next = world.borrow_mut().next_loop();
        if let Some(failure) = &world.borrow().failure {
            return Err(failure.clone());
        }
        work();
        let Some(next) = next else { continue };
        event_loops[next].turn().map_err(|error| error.to_string())?;
        let (held, known) = (world.borrow().streams(next), event_loops[next].connections());
        if held != known {
            return Err(format!("loop {next}: {held} streams for {known} peers"));
        }
    }
    Ok(())
}

/// Nothing is left of anybody; what the world came to.
pub fn judge<C: People>(world: &Shared<C>, event_loops: &[Loop<C>]) -> Result<Summary, String> {
    for (number, event_loop) in event_loops.iter().enumerate() {
        if event_loop.connections() > 0 {
            return Err(format!("{} connections of loop {number} stay", event_loop.connections()));
        }
        event_loop.handler().judge().map_err(|what| format!("loop {number}: {what}"))?;
    }
    let world = world.borrow();
    if let Some(failure) = &world.failure {
        return Err(failure.clone());
    }
    let (turns, mishaps, folk) = (world.turns, world.mishaps.clone(), world.crowd.folk());
    Ok(Summary { turns, messages: folk.seen, mishaps, digest: folk.digest })
}
