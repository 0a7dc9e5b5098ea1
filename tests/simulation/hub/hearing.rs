//! What a client hears, and whether it may be so.
//!
//! Owns the judgement of every message of the hub. What it says of a room goes to the truth that
//! all share.

use super::crowd::World;
use super::store::EPOCH;
use crate::answers;
use crate::people::{Asked, Stage};
use crate::rooms::Room;
use crate::said::Said;
use crate::view::{State, Step, View};

/// The codes of a Close that may come to who is slow, or where all are owed too much.
const SLOW_CODES: [u16; 2] = [1008, 1013];

pub fn message(world: &mut World, link: usize, payload: &[u8]) -> Result<(), String> {
    let said = Said::parse(payload)?;
    match &*said.kind {
        "welcome" => {
            // A loop that is behind cannot be asked.
            let may_fail = world.crowd.plan.mailbox_max < 100;
            answers::welcome(world, link, &said, may_fail)
        }
        "ok" => answer(world, link, &said),
        "error" => error(world, link, &said),
        "text" => text(world, link, &said),
        "system" => system(world, link, &said),
        "direct" => Ok(()),
        "heartbeat" => {
            let asked = said.seq.and_then(|seq| world.crowd.folk.links[link].asked.remove(&seq));
            let is_due = asked == Some(Asked::Heartbeat) || world.crowd.plan.drops();
            if is_due { Ok(()) } else { Err("never asked".to_owned()) }
        }
        other => Err(format!("a message of type {other}")),
    }
}

/// Whether somebody may be closed for being too slow.
pub fn may_close(world: &mut World, code: Option<u16>) -> bool {
    let is_slow = world.crowd.plan.has_slow || world.crowd.plan.is_narrow();
    let may_close = is_slow && code.is_some_and(|code| SLOW_CODES.contains(&code));
    if may_close {
        world.mishap("a member that was too slow is closed");
    }
    may_close
}

/// The epoch of a room that never has another.
fn only_epoch(room: usize) -> Option<u64> {
    Room::of(room).is_durable().then_some(EPOCH)
}

fn text(world: &mut World, link: usize, said: &Said<'_>) -> Result<(), String> {
    let (number, room) = answers::place(world, link, said)?;
    let id = said.number()?;
    if world.crowd.folk.truth.sent_to(id) != Some(room) {
        return Err("never sent there".to_owned());
    }
    world.crowd.folk.seen += 1;
    let may_gap = world.crowd.plan.may_gap;
    let drops = world.crowd.plan.drops();
    let view = &mut world.crowd.folk.people[number].views[room];
    if view.is_out(drops) {
        return Err("in a room that was not joined".to_owned());
    }
    if said.offset.is_some() != Room::of(room).has_history() {
        return Err("an offset, or none".to_owned());
    }
    let last = view.last;
    match view.step(only_epoch(room), said.offset) {
        Step::At(epoch, offset) => world.crowd.folk.truth.see(room, epoch, offset, id),
        Step::Placeless if view.heard.contains(&id) => Err("twice".to_owned()),
        Step::Placeless => {
            view.heard.push(id);
            Ok(())
        }
        Step::Gap if may_gap => {
            world.mishap("a gap that is seen by the offsets");
            Ok(())
        }
        Step::Gap => Err(format!("after {last:?}")),
        Step::Unknown => Ok(()),
    }
}

fn system(world: &mut World, link: usize, said: &Said<'_>) -> Result<(), String> {
    let change = match said.event.as_deref() {
        Some("join") => 1,
        Some("leave") => -1,
        Some("dropped") if world.crowd.plan.may_gap => {
            world.mishap("a member is told that it has missed something");
            let number = answers::person(world, link)?;
            // Answers, too: what became of its commands it cannot know.
            world.crowd.folk.links[link].asked.clear();
            world.crowd.folk.people[number].views.iter_mut().for_each(View::miss);
            return Ok(());
        }
        _ => return Err("no such event".to_owned()),
    };
    let (number, room) = answers::place(world, link, said)?;
    let sender = said.sender.as_deref().ok_or("nobody")?;
    let drops = world.crowd.plan.drops();
    let view = &mut world.crowd.folk.people[number].views[room];
    if view.is_out(drops) {
        return Err("in a room that was not joined".to_owned());
    }
    view.count(sender, change);
    Ok(())
}

/// A command was carried out.
fn answer(world: &mut World, link: usize, said: &Said<'_>) -> Result<(), String> {
    let id = said.id.ok_or("an answer to nothing")?;
    let Some(asked) = world.crowd.folk.links[link].asked.remove(&id) else {
        return unasked(world, "an answer to nothing asked");
    };
    let number = answers::person(world, link)?;
    match asked {
        Asked::Join { room, since } => joined(world, number, room, since, said),
        Asked::Leave { room } => {
            world.crowd.folk.people[number].views[room].leave();
            Ok(())
        }
        Asked::Publish { room, has_echo } => published(world, number, room, has_echo, id, said),
        Asked::Again { room, id } => published(world, number, room, true, id, said),
        Asked::Presence { room } => present(world, number, room, said),
        Asked::History { room } => answers::page(world, room, said),
        Asked::Direct => Ok(()),
        Asked::Heartbeat => Err("a heartbeat is answered by its like".to_owned()),
        Asked::Nonsense => Err("it was nonsense".to_owned()),
    }
}

/// Who was told that it has missed something does not wait any more.
fn unasked(world: &World, what: &str) -> Result<(), String> {
    if world.crowd.plan.drops() { Ok(()) } else { Err(what.to_owned()) }
}

fn joined(
    world: &mut World,
    number: usize,
    room: usize,
    since: Option<(u64, u64)>,
    said: &Said<'_>,
) -> Result<(), String> {
    let is_gap = answers::joined(world, number, room, since, said)?;
    let epoch = said.epoch()?;
    let is_known = epoch.is_some() && since.map(|(epoch, _)| epoch) == epoch;
    let is_there = world.crowd.disk.borrow().mood == Default::default();
    if is_gap && world.crowd.plan.is_kept && is_known && is_there && world.is_calm {
        return Err(format!("not recovered, and it is all kept: from {since:?}"));
    }
    Ok(())
}

fn published(
    world: &mut World,
    number: usize,
    room: usize,
    has_echo: bool,
    id: u64,
    said: &Said<'_>,
) -> Result<(), String> {
    if said.offset.is_some() != Room::of(room).has_history() {
        return Err("an offset, or none".to_owned());
    }
    let may_gap = world.crowd.plan.may_gap;
    let Some(offset) = said.offset else { return Ok(()) };
    if Room::of(room).is_durable() {
        world.crowd.folk.truth.store(room, offset, id);
    }
    let view = &mut world.crowd.folk.people[number].views[room];
    if view.state != State::In {
        return Ok(());
    }
    if has_echo {
        let is_seen = view.last >= Some(offset);
        let epoch = view.epoch.filter(|_| is_seen);
        return match epoch {
            Some(epoch) => world.crowd.folk.truth.see(room, epoch, offset, id),
            None if is_seen || may_gap || view.last.is_none() => Ok(()),
            None => Err(format!("before it was delivered: {:?}", view.last)),
        };
    }
    let last = view.last;
    match view.step(only_epoch(room), Some(offset)) {
        Step::At(epoch, offset) => world.crowd.folk.truth.see(room, epoch, offset, id),
        Step::Gap if !may_gap => Err(format!("after {last:?}")),
        Step::Gap | Step::Placeless | Step::Unknown => Ok(()),
    }
}

fn present(world: &World, number: usize, room: usize, said: &Said<'_>) -> Result<(), String> {
    let names = said.members.as_ref().ok_or("nobody")?;
    let people = world.crowd.folk.people.len();
    if world.crowd.folk.stage == Stage::Asked && said.count != Some(people as u64) {
        return Err(format!("there are {people}"));
    }
    let max = world.crowd.plan.hub.presence_max;
    let count = said.count.ok_or("no count")? as usize;
    if names.len() != count.min(max) {
        return Err("the count is another than that of the names".to_owned());
    }
    let known = world.crowd.folk.people[number].views[room].members.as_ref();
    let Some(known) = known.filter(|_| people < max && !world.crowd.plan.may_gap) else {
        return Ok(());
    };
    let mut rest = known.clone();
    for name in names {
        *rest.entry(name.to_string()).or_default() -= 1;
    }
    match rest.values().all(|count| *count == 0) {
        true => Ok(()),
        false => Err(format!("by what was told there are {known:?}")),
    }
}

/// A command was not carried out.
fn error(world: &mut World, link: usize, said: &Said<'_>) -> Result<(), String> {
    let Some((code, id)) = answers::refusal(world, link, said)? else { return Ok(()) };
    let Some(asked) = world.crowd.folk.links[link].asked.remove(&id) else {
        return unasked(world, "an error of nothing asked");
    };
    let number = answers::person(world, link)?;
    let due: &[&str] = match asked {
        Asked::Join { room, .. } => {
            world.crowd.folk.people[number].views[room].is_joining = false;
            &["overloaded"]
        }
        Asked::Leave { .. } | Asked::Presence { .. } => &["not_joined", "overloaded"],
        Asked::Publish { room, .. } => {
            if Room::of(room).has_history() {
                world.crowd.folk.truth.refuse(room, id)?;
            }
            &["not_joined", "overloaded", "store_unavailable"]
        }
        Asked::Again { .. } => &["not_joined", "overloaded", "store_unavailable"],
        Asked::History { .. } => &["overloaded", "store_unavailable"],
        Asked::Direct | Asked::Heartbeat => &["overloaded"],
        Asked::Nonsense => &["unknown_type", "overloaded"],
    };
    if due.contains(&code) { Ok(()) } else { Err(format!("due is one of {due:?}")) }
}
