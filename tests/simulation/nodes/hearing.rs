//! What a client of one of several nodes hears, and whether it may be so.
//!
//! Owns the judgement of every message of the hubs, by what docs/distributed.md promises. What is
//! said of a room goes to the truth that all nodes share.

use super::crowd::World;
use super::person::whom;
use super::sky::lock;
use crate::answers;
use crate::people::{Asked, Stage};
use crate::rooms::Room;
use crate::said::Said;
use crate::view::{State, Step};

/// So begins what is said of a message that may be published, or not.
const UNCERTAIN: &str = "it is not known";

pub fn message(world: &mut World, link: usize, payload: &[u8]) -> Result<(), String> {
    let said = Said::parse(payload)?;
    match &*said.kind {
        "welcome" => {
            // A loop that is behind cannot be asked, nor a queue that is full.
            let plan = &world.crowd.plan;
            let may_fail = plan.mailbox_max < 100 || plan.relay.operations_max < 100;
            answers::welcome(world, link, &said, may_fail)
        }
        "ok" => answer(world, link, &said),
        "error" => error(world, link, &said),
        "text" => text(world, link, &said),
        "system" => system(world, link, &said),
        "direct" => direct(world, link, &said),
        other => Err(format!("a message of type {other}")),
    }
}

fn node_of(world: &World, link: usize) -> usize {
    world.crowd.plan.node_of(world.links[link].loop_index).0
}

fn text(world: &mut World, link: usize, said: &Said<'_>) -> Result<(), String> {
    let (number, room) = answers::place(world, link, said)?;
    let id = said.number()?;
    let sent = world.crowd.folk.truth.sent(id).filter(|sent| sent.room == room);
    let sent = sent.ok_or("never sent there")?;
    world.crowd.folk.seen += 1;
    let author = (id / crate::truth::IDS_PER_LINK) as usize;
    if !sent.has_echo && author == link {
        return Err("its author was to be left out".to_owned());
    }
    let is_far = node_of(world, author) != node_of(world, link);
    let is_refused = world.crowd.folk.truth.is_refused(id);
    let view = &mut world.crowd.folk.people[number].views[room];
    if view.state == State::Out {
        return Err("in a room that was not joined".to_owned());
    }
    if said.offset.is_some() && !Room::of(room).has_history() {
        return Err("an offset".to_owned());
    }
    let last = view.last;
    match view.step(None, said.offset) {
        Step::At(epoch, offset) => world.crowd.folk.truth.see(room, epoch, offset, id),
        Step::Placeless if is_far && (Room::of(room).has_history() || is_refused) => {
            Err("it was for the members of another node alone".to_owned())
        }
        // What is sent again where nobody else can be reached is said again.
        Step::Placeless if view.heard.contains(&id) && !sent.comes_again => Err("twice".to_owned()),
        Step::Placeless => {
            view.heard.push(id);
            Ok(())
        }
        Step::Gap => Err(format!("after {last:?}, and nobody has told of a gap")),
        Step::Unknown => Ok(()),
    }
}

fn system(world: &mut World, link: usize, said: &Said<'_>) -> Result<(), String> {
    let (number, room) = answers::place(world, link, said)?;
    let is_kept = world.crowd.plan.is_kept;
    let view = &mut world.crowd.folk.people[number].views[room];
    if view.state == State::Out {
        return Err("in a room that was not joined".to_owned());
    }
    let change = match said.event.as_deref() {
        Some("join") => 1,
        Some("leave") => -1,
        Some("gap") => {
            let epoch = said.epoch()?.ok_or("without an epoch")?;
            let is_missing = view.epoch == Some(epoch) && view.last != said.offset;
            if is_missing && (is_kept || view.last > said.offset) {
                return Err(format!("a gap after {:?}, where nothing is missing", view.last));
            }
            let was_known = view.epoch.is_some();
            (view.epoch, view.last) = (Some(epoch), said.offset);
            world.mishap(match was_known {
                true => "a gap that members are told of",
                false => "members learn how far their room is",
            });
            return Ok(());
        }
        _ => return Err("no such event".to_owned()),
    };
    view.count(said.sender.as_deref().ok_or("nobody")?, change);
    Ok(())
}

fn direct(world: &mut World, link: usize, said: &Said<'_>) -> Result<(), String> {
    let (id, number) = (said.number()?, world.crowd.folk.links[link].person);
    if number.is_none() || whom(id) != number {
        return Err("to somebody else".to_owned());
    }
    if !world.crowd.told.insert((link, id)) {
        return Err("twice".to_owned());
    }
    world.crowd.expected.retain(|(to, other)| (Some(*to), *other) != (number, id));
    Ok(())
}

/// A command was carried out.
fn answer(world: &mut World, link: usize, said: &Said<'_>) -> Result<(), String> {
    let id = said.id.ok_or("an answer to nothing")?;
    let asked =
        world.crowd.folk.links[link].asked.remove(&id).ok_or("an answer to nothing asked")?;
    let number = answers::person(world, link)?;
    match asked {
        Asked::Join { room, since } => answers::joined(world, number, room, since, said).map(drop),
        Asked::Leave { room } => {
            world.crowd.folk.people[number].views[room].leave();
            world.crowd.folk.people[number].views[room].left = id;
            Ok(())
        }
        Asked::Publish { room, .. } => published(world, number, room, id, said),
        Asked::Again { room, id } => published(world, number, room, id, said),
        Asked::Presence { .. } => present(world, said),
        Asked::History { room } => answers::page(world, room, said),
        Asked::Direct => Ok(()),
        Asked::Heartbeat | Asked::Nonsense => Err("that was never asked".to_owned()),
    }
}

/// What is acknowledged, the broker has.
fn published(
    world: &mut World,
    number: usize,
    room: usize,
    id: u64,
    said: &Said<'_>,
) -> Result<(), String> {
    if said.offset.is_some() != Room::of(room).has_history() {
        return Err("an offset, or none".to_owned());
    }
    let Some(offset) = said.offset else { return Ok(()) };
    if !lock(&world.crowd.sky).has(room, offset, id) {
        return Err("the broker does not have it there".to_owned());
    }
    let sent = world.crowd.folk.truth.sent(id).ok_or("never sent")?;
    let view = &mut world.crowd.folk.people[number].views[room];
    if view.state == State::Out || view.last >= Some(offset) {
        return Ok(());
    }
    let last = view.last;
    if sent.has_echo {
        // What a link that breaks has kept back is read when there is a new one.
        let is_due = world.is_calm && last.is_some();
        world.mishap("a message that comes after its ok");
        return if is_due {
            Err(format!("before it was delivered, after {last:?}"))
        } else {
            Ok(())
        };
    }
    let step = view.step(None, Some(offset));
    view.silent = view.silent.saturating_sub(1);
    match step {
        Step::At(epoch, offset) => world.crowd.folk.truth.see(room, epoch, offset, id),
        Step::Gap => Err(format!("after {last:?}, and nobody has told of a gap")),
        Step::Placeless | Step::Unknown => Ok(()),
    }
}

/// In the end all nodes know the same people.
fn present(world: &World, said: &Said<'_>) -> Result<(), String> {
    let mut names: Vec<&str> =
        said.members.as_ref().ok_or("nobody")?.iter().map(|n| &**n).collect();
    names.sort_unstable();
    let due: Vec<String> = (0..world.crowd.folk.people.len()).map(|n| format!("p{n}")).collect();
    if world.crowd.folk.stage == Stage::Asked && names != due {
        return Err(format!("there are {due:?}"));
    }
    match said.count == Some(names.len() as u64) {
        true => Ok(()),
        false => Err("the count is another than that of the names".to_owned()),
    }
}

/// A command was not carried out.
fn error(world: &mut World, link: usize, said: &Said<'_>) -> Result<(), String> {
    let Some((code, id)) = answers::refusal(world, link, said)? else { return Ok(()) };
    let asked =
        world.crowd.folk.links[link].asked.remove(&id).ok_or("an error of nothing asked")?;
    let number = answers::person(world, link)?;
    let due: &[&str] = match asked {
        Asked::Join { room, .. } => {
            world.crowd.folk.people[number].views[room].is_joining = false;
            &["overloaded"]
        }
        Asked::Leave { .. } | Asked::Presence { .. } => &["not_joined", "overloaded"],
        Asked::Publish { room, .. } => refused(world, number, room, id, said)?,
        Asked::Again { room, .. } => of_publish(room),
        Asked::History { .. } => &["overloaded", "store_unavailable"],
        Asked::Direct => &["overloaded", "degraded"],
        Asked::Heartbeat | Asked::Nonsense => &[],
    };
    if due.contains(&code) { Ok(()) } else { Err(format!("due is one of {due:?}")) }
}

/// Why a message of a room may not be published.
fn of_publish(room: usize) -> &'static [&'static str] {
    match Room::of(room) {
        Room::Durable => &["not_joined", "overloaded", "store_unavailable"],
        Room::InMemory | Room::WithoutHistory => &["not_joined", "overloaded", "degraded"],
    }
}

/// A message was not published, unless that is not known.
fn refused(
    world: &mut World,
    number: usize,
    room: usize,
    id: u64,
    said: &Said<'_>,
) -> Result<&'static [&'static str], String> {
    let code = said.code.as_deref();
    let is_uncertain = said.content.as_deref().is_some_and(|words| words.starts_with(UNCERTAIN))
        || code == Some("store_unavailable");
    let has_echo = world.crowd.folk.truth.sent(id).is_some_and(|sent| sent.has_echo);
    let view = &mut world.crowd.folk.people[number].views[room];
    let has_stayed = view.state == State::In && view.left < id;
    let is_local = code == Some("degraded") && !is_uncertain && has_echo && has_stayed;
    if is_local && !view.heard.contains(&id) {
        return Err("the members of its node have not got it".to_owned());
    }
    if !is_uncertain {
        view.silent = view.silent.saturating_sub(u64::from(!has_echo));
        world.crowd.folk.truth.refuse(room, id)?;
    }
    Ok(of_publish(room))
}
