//! The members of a hub, and the weather that they live in.
//!
//! Owns the course of a world: a storm in which everything goes wrong, then calm, in which all have
//! to come to the same view of every room, then the end, after which nothing may be left.

use std::time::Duration;

use throng::hub::history::Keeper;

use super::hearing;
use super::person;
use super::plan::Plan;
use super::store::{EPOCH, Mood, SharedDisk};
use crate::people::{self, Folk, People, Stage};
use crate::rooms::{ROOMS, Room};
use crate::truth::Truth;
use crate::view::State;
use crate::world::Action;

pub type World = crate::world::World<Members>;

/// How long after the storm all have to agree.
const CONVERGED: Duration = Duration::from_secs(10);

/// What happens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// A person does something.
    Live(usize),
    /// The store's thread has the processor.
    Store,
    /// The store does well, or not.
    Turn(Mood),
    /// Nothing goes wrong from here on.
    Calm,
    /// All must agree by now.
    Agree,
    /// Everyone goes.
    Part,
    /// So late that no history is kept.
    Forget,
    /// Nobody is there any more.
    Over,
}

pub struct Members {
    pub plan: Plan,
    pub folk: Folk,
    pub disk: SharedDisk,
    pub keeper: Keeper,
    /// The store's thread has yet to run.
    pub is_store_due: bool,
}

impl Members {
    pub fn new(plan: Plan, disk: SharedDisk, keeper: Keeper) -> Self {
        let folk = Folk::new(plan.people, Truth::new(plan.fails_behind));
        Self { plan, folk, disk, keeper, is_store_due: false }
    }
}

/// Puts everything on the agenda.
pub fn begin(world: &mut World) {
    for number in 0..world.crowd.plan.people {
        world.soon(1000, Deed::Live(number));
    }
    let storm = world.crowd.plan.storm;
    for _ in 0..world.dice.below(8) {
        let action = match world.dice.below(6) {
            0 => Action::NoDescriptors,
            1 => Action::Jump,
            2 | 3 => Action::Stall(world.dice.below(world.crowd.plan.loops)),
            _ => Deed::Turn(mood(world)).into(),
        };
        world.soon(storm.as_millis() as usize, action);
    }
    world.later(Duration::ZERO, Deed::Store);
    world.later(storm, Deed::Calm);
}

fn mood(world: &mut World) -> Mood {
    let last = if world.crowd.plan.fails_behind { 3 } else { 2 };
    [Mood::Well, Mood::Closed, Mood::Fails, Mood::FailsBehind][world.dice.between(1, last)]
}

impl People for Members {
    type Deed = Deed;

    fn act(world: &mut World, deed: Deed) {
        let result = match deed {
            Deed::Live(number) => return person::live(world, number),
            Deed::Store => return run_store(world),
            Deed::Turn(mood) if !world.is_calm => return turn(world, mood),
            Deed::Turn(_) => return,
            Deed::Calm => return calm(world),
            Deed::Agree => agree(world),
            Deed::Part => part(world),
            Deed::Forget => return forget(world),
            Deed::Over => {
                world.crowd.folk.stage = Stage::Over;
                return;
            }
        };
        if let Err(what) = result {
            world.fail(what);
        }
    }

    fn has_work(&self) -> bool {
        self.is_store_due
    }

    fn connections_max(&self) -> usize {
        self.plan.net.connections_max
    }

    fn folk(&self) -> &Folk {
        &self.folk
    }

    fn folk_mut(&mut self) -> &mut Folk {
        &mut self.folk
    }

    fn is_kept(&self) -> bool {
        self.plan.is_kept
    }

    fn history_bytes_max(&self) -> usize {
        self.plan.hub.history.bytes_max / self.plan.loops
    }

    fn queue(&self, _: usize) -> (usize, usize) {
        (self.keeper.stats().waiting_bytes, self.plan.keeper.bytes_max)
    }

    fn has_slow(&self) -> bool {
        self.plan.has_slow
    }

    fn may_close(world: &mut World, code: Option<u16>) -> bool {
        hearing::may_close(world, code)
    }

    fn message(world: &mut World, link: usize, payload: &[u8]) -> Result<(), String> {
        hearing::message(world, link, payload)
    }
}

/// The store's thread runs when it does, soon where something waits for it.
fn run_store(world: &mut World) {
    world.crowd.is_store_due = true;
    let waits = world.crowd.keeper.stats().waiting_bytes > 0;
    if waits && world.mishap_once_in(200, "the store is slow") {
        return world.soon(3_000, Deed::Store);
    }
    world.soon(if waits { 6 } else { 60 }, Deed::Store);
}

fn turn(world: &mut World, mood: Mood) {
    world.mishap(match mood {
        Mood::Well => "the store is well again",
        Mood::Closed => "the store cannot be opened",
        Mood::Fails => "the store fails",
        Mood::FailsBehind => "the store fails behind a write",
    });
    world.crowd.disk.borrow_mut().mood = mood;
    if mood != Mood::Well {
        world.soon(4_000, Deed::Turn(Mood::Well));
    }
}

fn calm(world: &mut World) {
    world.crowd.disk.borrow_mut().mood = Mood::Well;
    people::calm(world);
    world.later(CONVERGED, Deed::Agree);
}

/// Whether all are where they want to be, and see the same; then they ask for more.
fn agree(world: &mut World) -> Result<(), String> {
    let crowd = &world.crowd;
    crowd.folk.all_are_in()?;
    for room in 0..ROOMS {
        let name = Room::name(room);
        let mut places = Vec::new();
        for (number, person) in crowd.folk.people.iter().enumerate() {
            let view = &person.views[room];
            if view.state != State::In {
                return Err(format!("person {number} is {:?} of {name} in the end", view.state));
            }
            places.push((view.epoch, view.last));
        }
        // Where a history is lost, who is there learns of it by the next message.
        let is_same = |place: &&(Option<u64>, _)| crowd.plan.is_kept || place.0 == places[0].0;
        if let Some(other) = places.iter().filter(is_same).find(|place| **place != places[0]) {
            return Err(format!("{name} ends at {:x?} and at {other:x?}", places[0]));
        }
        for (epoch, last) in places.into_iter().filter_map(|(epoch, last)| epoch.zip(last)) {
            let seen = crowd.folk.truth.last(room, epoch);
            if seen > last {
                return Err(format!("{name} ends at {last}, and {seen} was seen"));
            }
        }
    }
    world.crowd.folk.truth.audit(&world.crowd.disk.borrow().kept(), EPOCH)?;
    world.crowd.folk.stage = Stage::Asked;
    for number in 0..world.crowd.folk.people.len() {
        person::ask_all(world, number);
    }
    world.later(Duration::from_secs(2), Deed::Part);
    Ok(())
}

fn part(world: &mut World) -> Result<(), String> {
    people::part(world)?;
    world.later(Duration::from_secs(8), Deed::Forget);
    Ok(())
}

/// All histories are too old. Somebody comes to each loop, so that it has a reason to tick.
fn forget(world: &mut World) {
    world.jump_by(Plan::oblivion());
    for loop_index in 0..world.crowd.plan.loops {
        people::connect(world, None, None, loop_index);
    }
    world.later(Duration::from_secs(12), Deed::Over);
}
