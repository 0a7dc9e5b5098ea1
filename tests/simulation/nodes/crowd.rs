//! The people of several nodes, and the weather between the nodes.
//!
//! Owns the course of a world: a storm, in which the broker goes away too; calm, in which all nodes
//! are one again within 5 s, and after one more word all see the same; then the end, after which
//! nothing may be left. What members hear is judged in [`hearing`](super::hearing).

use std::collections::BTreeSet;
use std::time::Duration;

use throng::hub::broker::{Memory, Relay};

use super::hearing;
use super::person;
use super::plan::Plan;
use super::sky::{SharedSky, lock};
use crate::people::{self, Folk, People, Stage};
use crate::rooms::{ROOMS, Room};
use crate::truth::Truth;
use crate::view::State;
use crate::world::Action;

pub type World = crate::world::World<Nodes>;

/// How long after the storm all nodes are connected.
const CONNECTED: Duration = Duration::from_secs(5);

/// And when all have to agree: two words later.
const CONVERGED: Duration = Duration::from_secs(10);

/// What happens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// A person does something.
    Live(usize),
    /// The relay of a node has the processor.
    Relay(usize),
    /// Nobody can reach the broker.
    Away,
    Back,
    /// Nothing goes wrong from here on.
    Calm,
    /// All nodes must be connected by now, and one more word is said in each room.
    Word,
    /// All must agree by now.
    Agree,
    /// Everyone goes.
    Part,
    /// So late that no history is kept.
    Forget,
    /// Nobody is there any more.
    Over,
}

pub struct Nodes {
    pub plan: Plan,
    pub folk: Folk,
    pub memory: Memory,
    pub sky: SharedSky,
    pub relays: Vec<Relay>,
    /// The nodes whose relay has yet to run.
    pub due: Vec<usize>,
    /// Direct messages that were sent: how many, who has had which, and who has yet to.
    pub directs: u64,
    pub told: BTreeSet<(usize, u64)>,
    pub expected: BTreeSet<(usize, u64)>,
}

impl Nodes {
    pub fn new(plan: Plan, memory: Memory, sky: SharedSky) -> Self {
        let folk = Folk::new(plan.people, Truth::new(false));
        Self {
            plan,
            folk,
            memory,
            sky,
            relays: Vec::new(),
            due: Vec::new(),
            directs: 0,
            told: BTreeSet::new(),
            expected: BTreeSet::new(),
        }
    }
}

/// Puts everything on the agenda.
pub fn begin(world: &mut World) {
    for number in 0..world.crowd.plan.people {
        world.soon(1000, Deed::Live(number));
    }
    for node in 0..world.crowd.plan.nodes.len() {
        world.soon(20, Deed::Relay(node));
    }
    let storm = world.crowd.plan.storm;
    for _ in 0..world.dice.below(8) {
        let action = match world.dice.below(6) {
            0 => Action::NoDescriptors,
            1 => Action::Jump,
            2 => Action::Stall(world.dice.below(world.crowd.plan.loops())),
            _ => Deed::Away.into(),
        };
        world.soon(storm.as_millis() as usize, action);
    }
    world.later(storm, Deed::Calm);
}

impl People for Nodes {
    type Deed = Deed;

    fn act(world: &mut World, deed: Deed) {
        let result = match deed {
            Deed::Live(number) => return person::live(world, number),
            Deed::Relay(node) => return run_relay(world, node),
            Deed::Away => return leave(world),
            Deed::Back => return world.crowd.memory.back(),
            Deed::Calm => return calm(world),
            Deed::Word => say_word(world),
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
        !self.due.is_empty()
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
        self.plan.hub.history.bytes_max
    }

    fn queue(&self, loop_index: usize) -> (usize, usize) {
        let (node, _) = self.plan.node_of(loop_index);
        (self.relays[node].stats().waiting_bytes, self.plan.relay.bytes_max)
    }

    fn has_slow(&self) -> bool {
        false
    }

    fn may_close(_: &mut World, _: Option<u16>) -> bool {
        false
    }

    fn message(world: &mut World, link: usize, payload: &[u8]) -> Result<(), String> {
        hearing::message(world, link, payload)
    }
}

/// A relay runs when it does, soon where something waits for it.
fn run_relay(world: &mut World, node: usize) {
    world.crowd.due.push(node);
    let waits = world.crowd.relays[node].stats().waiting_bytes > 0;
    if world.mishap_once_in(400, "a relay without the processor") {
        return world.soon(3_000, Deed::Relay(node));
    }
    world.soon(if waits { 6 } else { 60 }, Deed::Relay(node));
}

fn leave(world: &mut World) {
    if world.is_calm {
        return;
    }
    world.mishap("the broker is away");
    world.crowd.memory.leave();
    world.soon(4_000, Deed::Back);
}

fn calm(world: &mut World) {
    world.crowd.memory.back();
    lock(&world.crowd.sky).is_calm = true;
    people::calm(world);
    world.later(CONNECTED, Deed::Word);
    world.later(CONVERGED, Deed::Agree);
}

/// Whether all nodes are connected; then somebody says one more word in each room.
fn say_word(world: &mut World) -> Result<(), String> {
    for (node, relay) in world.crowd.relays.iter().enumerate() {
        if let Some(reason) = relay.reason().filter(|_| !relay.stats().is_connected) {
            return Err(format!("node {node} is alone, 5 s after the storm: {reason}"));
        }
    }
    for room in 0..ROOMS {
        let number = world.dice.below(world.crowd.folk.people.len());
        let person = &world.crowd.folk.people[number];
        let (Some(link), State::In) = (person.link, person.views[room].state) else {
            return Err(format!("person {number} is not in {}", Room::name(room)));
        };
        person::say(world, number, link, room);
    }
    Ok(())
}

/// Whether all are where they want to be, and see the same; then they ask for more.
fn agree(world: &mut World) -> Result<(), String> {
    let crowd = &world.crowd;
    let sky = lock(&crowd.sky);
    let everyone = (0..crowd.folk.people.len()).map(|number| (format!("p{number}"), 1)).collect();
    crowd.folk.all_are_in()?;
    for (number, person) in crowd.folk.people.iter().enumerate() {
        for (room, view) in person.views.iter().enumerate() {
            let what = format!("person {number} of {} in the end", Room::name(room));
            if view.state != State::In {
                return Err(format!("{what}: {:?}", view.state));
            }
            let end = sky.ends[room].map(|end| (end.epoch.0, end.offset));
            // Nothing was ever said in it, or taken: it has begun, and no more.
            let is_empty = end.is_none() && view.since().is_none_or(|(_, offset)| offset == 0);
            if Room::of(room).has_history() && view.since() != end && !is_empty {
                return Err(format!("{what}: {:x?}, not {end:x?}", view.since()));
            }
            if view.members.as_ref().is_some_and(|members| *members != everyone) {
                return Err(format!("{what}: it was told of {:?}", view.members));
            }
        }
    }
    sky.audit()?;
    let is_there = |(room, offset, id): (usize, u64, u64)| match sky.has(room, offset, id) {
        true => Ok(()),
        false => Err(format!("{id} at {offset} of {} is not there", Room::name(room))),
    };
    crowd.folk.truth.places().try_for_each(|(room, _, offset, id)| is_there((room, offset, id)))?;
    drop(sky);
    world.crowd.folk.stage = Stage::Asked;
    for number in 0..world.crowd.folk.people.len() {
        person::ask_all(world, number);
    }
    world.later(Duration::from_secs(2), Deed::Part);
    Ok(())
}

fn part(world: &mut World) -> Result<(), String> {
    if let Some((number, id)) = world.crowd.expected.first() {
        return Err(format!("person {number} has not got {id}"));
    }
    people::part(world)?;
    world.later(Duration::from_secs(8), Deed::Forget);
    Ok(())
}

/// All histories are too old. Somebody comes to each loop, so that it has a reason to tick.
fn forget(world: &mut World) {
    world.jump_by(Plan::oblivion());
    for loop_index in 0..world.crowd.plan.loops() {
        people::connect(world, None, None, loop_index);
    }
    world.later(Duration::from_secs(12), Deed::Over);
}
