//! What a person does, in the storm, in the calm, and at the end.
//!
//! Owns what is said, and when. What comes back is read in [`hearing`](super::hearing).

use std::time::Duration;

use super::crowd::{Deed, World};
use crate::people::{self, Asked, Stage, ask, hang_up, join, publish};
use crate::rooms::{ROOMS, Room};
use crate::view::State;

/// Somebody does something, and something else later.
pub fn live(world: &mut World, number: usize) {
    if world.crowd.folk.stage >= Stage::Asked {
        return;
    }
    let most = world.dice.one_of(&[5, 50, 500, 3_000]);
    world.soon(most, Deed::Live(number));
    let loops = world.crowd.plan.loops;
    let Some(link) = people::talking(world, number, loops) else { return };
    if world.is_calm {
        come_back(world, number, link);
    } else {
        act(world, number, link);
    }
}

/// In the storm: anything.
fn act(world: &mut World, number: usize, link: usize) {
    let room = world.dice.below(ROOMS);
    let state = world.crowd.folk.people[number].views[room].state;
    match world.dice.below(24) {
        0..=9 if state != State::Out => drop(publish(world, link, room)),
        0..=13 => join(world, number, link, room, false),
        14 => drop(ask(world, link, Asked::Leave { room }, "")),
        15 => drop(ask(world, link, Asked::Presence { room }, "")),
        16 => drop(ask(world, link, Asked::History { room }, r#","limit":7"#)),
        17 => drop(ask(world, link, Asked::Nonsense, "")),
        18 => {
            let user = world.dice.below(world.crowd.plan.people);
            let more = format!(r#","user":"p{user}","content":"psst""#);
            ask(world, link, Asked::Direct, &more);
        }
        19 if world.crowd.plan.has_slow && world.dice.once_in(3) => {
            world.mishap("a member that stops reading");
            let pause = Duration::from_millis(world.dice.below(20_000) as u64);
            world.crowd.folk.links[link].paused_until = world.now + pause;
        }
        20 if world.dice.once_in(3) => {
            world.mishap("a burst of messages");
            let most = if world.dice.once_in(4) { 600 } else { 60 };
            if world.dice.once_in(2) {
                ask(world, link, Asked::History { room }, r#","limit":7"#); // held meanwhile
            }
            for _ in 0..world.dice.between(most / 12, most) {
                publish(world, link, room);
            }
        }
        21 if world.dice.once_in(3) => hang_up(world, link),
        19..=21 => drop(publish(world, link, room)),
        _ => drop(ask(world, link, Asked::Heartbeat, "")),
    }
}

/// In the calm: into every room, and a last word for a while.
fn come_back(world: &mut World, number: usize, link: usize) {
    for room in 0..ROOMS {
        let view = &world.crowd.folk.people[number].views[room];
        let is_placeless = view.epoch.is_none() && Room::of(room).has_history();
        if (view.state != State::In || is_placeless) && !view.is_joining {
            join(world, number, link, room, true);
        }
    }
    let room = world.dice.below(ROOMS);
    let is_early = world.now < world.crowd.folk.calm_from + Duration::from_secs(3);
    if is_early && world.crowd.folk.people[number].views[room].state == State::In {
        publish(world, link, room);
    }
}

/// At the end: who is there, and what was said?
pub fn ask_all(world: &mut World, number: usize) {
    let Some(link) = world.crowd.folk.people[number].link else { return };
    for room in 0..ROOMS {
        ask(world, link, Asked::Presence { room }, "");
        // A long answer alone may be more than is owed to one who has to wait.
        if !world.crowd.plan.is_narrow() {
            ask(world, link, Asked::History { room }, r#","limit":1000"#);
        }
    }
}
