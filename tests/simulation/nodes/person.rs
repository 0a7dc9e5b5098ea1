//! What a person does, on one node and then on another.
//!
//! Owns what is said, and when. What comes back is read in [`hearing`](super::hearing).

use std::time::Duration;

use super::crowd::{Deed, World};
use crate::people::{self, Asked, Stage, ask, hang_up, join};
use crate::rooms::{ROOMS, Room};
use crate::view::State;

/// Direct messages have numbers of their own.
const DIRECTS: u64 = 1 << 60;

/// Somebody does something, and something else later.
pub fn live(world: &mut World, number: usize) {
    if world.crowd.folk.stage >= Stage::Asked {
        return;
    }
    let most = world.dice.one_of(&[20, 200, 2_000]);
    world.soon(most, Deed::Live(number));
    let loops = world.crowd.plan.loops();
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
    let is_out = world.crowd.folk.people[number].views[room].state == State::Out;
    match world.dice.below(20) {
        0..=9 if !is_out => say(world, number, link, room),
        0..=10 => join(world, number, link, room, false),
        11 => drop(ask(world, link, Asked::Leave { room }, "")),
        12 => drop(ask(world, link, Asked::Presence { room }, "")),
        13 => drop(ask(world, link, Asked::History { room }, r#","limit":7"#)),
        14 => drop(whisper(world, link, None)),
        15 if world.dice.once_in(3) => hang_up(world, link),
        _ => (0..world.dice.below(6)).for_each(|_| say(world, number, link, room)),
    }
}

/// In the calm: into every room, and a last word for a while.
fn come_back(world: &mut World, number: usize, link: usize) {
    for room in 0..ROOMS {
        let view = &world.crowd.folk.people[number].views[room];
        if view.state != State::In && !view.is_joining {
            join(world, number, link, room, true);
        }
    }
    let room = world.dice.below(ROOMS);
    let is_early = world.now < world.crowd.folk.calm_from + Duration::from_secs(3);
    if is_early && world.crowd.folk.people[number].views[room].state == State::In {
        say(world, number, link, room);
    }
}

/// Says something in a room.
pub fn say(world: &mut World, number: usize, link: usize, room: usize) {
    let id = people::publish(world, link, room);
    let is_silent = world.crowd.folk.truth.sent(id).is_some_and(|sent| !sent.has_echo);
    if is_silent && Room::of(room).has_history() {
        world.crowd.folk.people[number].views[room].silent += 1;
    }
}

/// Sends a direct message, to anybody where nobody is named: its number.
fn whisper(world: &mut World, link: usize, to: Option<usize>) -> u64 {
    let to = to.unwrap_or_else(|| world.dice.below(world.crowd.plan.people));
    world.crowd.directs += 1;
    let id = DIRECTS + world.crowd.directs * 100 + to as u64;
    ask(world, link, Asked::Direct, &format!(r#","user":"p{to}","content":"{id}:psst""#));
    id
}

/// Whom a direct message is to.
pub fn whom(id: u64) -> Option<usize> {
    Some((id.checked_sub(DIRECTS)? % 100) as usize)
}

/// At the end: who is there, and what was said? And a word to the next.
pub fn ask_all(world: &mut World, number: usize) {
    let Some(link) = world.crowd.folk.people[number].link else { return };
    for room in 0..ROOMS {
        ask(world, link, Asked::Presence { room }, "");
        ask(world, link, Asked::History { room }, r#","limit":1000"#);
    }
    let to = (number + 1) % world.crowd.folk.people.len();
    let id = whisper(world, link, Some(to));
    world.crowd.expected.insert((to, id));
}
