//! What all hubs say alike, and whether it may be so.
//!
//! Owns the judgement of who is greeted, of who comes into a room, of pages, and of what an error
//! is about. What else may be said is for each kind of world.

use crate::people::{self, People};
use crate::rooms::Room;
use crate::said::Said;
use crate::view::State;
use crate::world::World;

/// Somebody is greeted, in the room of the URL; where it `may_fail`, without one.
pub fn welcome<C: People>(
    world: &mut World<C>,
    link: usize,
    said: &Said<'_>,
    may_fail: bool,
) -> Result<(), String> {
    let state = &mut world.crowd.folk_mut().links[link];
    if std::mem::replace(&mut state.is_welcome, true) {
        return Err("welcome twice".to_owned());
    }
    let Some(number) = state.person else {
        people::say_close(world, link);
        return Ok(());
    };
    if said.sender.as_deref() != Some(&*format!("p{number}")) {
        return Err("another name".to_owned());
    }
    if room_of(said)? != state.room {
        return if may_fail && said.room.is_none() { Ok(()) } else { Err("another room".into()) };
    }
    let (Some(room), epoch) = (state.room, said.epoch()?) else { return Ok(()) };
    let view = &mut world.crowd.folk_mut().people[number].views[room];
    (view.state, view.epoch, view.last) = (State::In, epoch, said.offset);
    view.list(said);
    Ok(())
}

fn room_of(said: &Said<'_>) -> Result<Option<usize>, String> {
    let Some(name) = &said.room else { return Ok(None) };
    Room::number(name).map(Some).ok_or_else(|| format!("there is no room {name}"))
}

/// Whose connection it is.
pub fn person<C: People>(world: &World<C>, link: usize) -> Result<usize, String> {
    let person = world.crowd.folk().links[link].person;
    person.ok_or_else(|| "to somebody who only looks in".to_owned())
}

/// Whose connection it is, and the room that is meant.
pub fn place<C: People>(
    world: &World<C>,
    link: usize,
    said: &Said<'_>,
) -> Result<(usize, usize), String> {
    let number = person(world, link)?;
    let room = room_of(said)?.ok_or("without a room")?;
    Ok((number, room))
}

/// Somebody comes into a room; whether it is told that something is missing.
pub fn joined<C: People>(
    world: &mut World<C>,
    number: usize,
    room: usize,
    since: Option<(u64, u64)>,
    said: &Said<'_>,
) -> Result<bool, String> {
    let (epoch, offset) = (said.epoch()?, said.offset);
    if epoch.is_some() != offset.is_some() {
        return Err("an epoch, or an offset".to_owned());
    }
    let given = said.messages.as_deref().unwrap_or_default();
    let mut last = since.map_or(0, |(_, last)| last);
    for message in given {
        let at = message.offset.ok_or("without an offset")?;
        if at != last + 1 {
            return Err(format!("{at} after {last}"));
        }
        last = at;
        let epoch = epoch.ok_or("without an epoch")?;
        world.crowd.folk_mut().truth.see(room, epoch, at, message.number()?)?;
    }
    let is_recovered = said.recovered.ok_or("recovered, or not?")?;
    if is_recovered {
        world.mishap("somebody comes back and gets what it missed");
        let (from, _) = since.ok_or("recovered from nowhere")?;
        if Some(from) != epoch || Some(last) != offset {
            return Err(format!("recovered, with a gap: from {since:?}"));
        }
    } else if !given.is_empty() {
        return Err("messages, and not recovered".to_owned());
    }
    let is_gap = !is_recovered && since.is_some();
    if is_gap {
        world.mishap("somebody comes back and is told of a gap");
    }
    let view = &mut world.crowd.folk_mut().people[number].views[room];
    view.is_joining = false;
    let is_behind = view.state == State::In && view.epoch == epoch && view.last > offset;
    if is_behind && epoch.is_some() {
        return Err(format!("the room is behind what was seen: {:?}", view.last));
    }
    (view.state, view.epoch, view.last) = (State::In, epoch, offset);
    view.list(said);
    Ok(is_gap)
}

/// A page of a history, up to its end.
pub fn page<C: People>(world: &mut World<C>, room: usize, said: &Said<'_>) -> Result<(), String> {
    let messages = said.messages.as_deref().unwrap_or_default();
    let Some(epoch) = said.epoch()? else {
        return if messages.is_empty() { Ok(()) } else { Err("no epoch".to_owned()) };
    };
    let end = said.offset.ok_or("no offset")?;
    for (at, message) in messages.iter().rev().enumerate() {
        let offset = message.offset.ok_or("without an offset")?;
        if offset + at as u64 != end {
            return Err(format!("{offset} where {} is due", end - at as u64));
        }
        world.crowd.folk_mut().truth.see(room, epoch, offset, message.number()?)?;
    }
    let is_whole = said.more == Some(false) && world.crowd.is_kept();
    if is_whole && messages.len() as u64 != end {
        return Err("something is missing in front".to_owned());
    }
    Ok(())
}

/// A command was not carried out: why, and its number; none where it is about the room of the URL,
/// of a loop that cannot be asked.
pub fn refusal<'s, C: People>(
    world: &mut World<C>,
    link: usize,
    said: &'s Said<'_>,
) -> Result<Option<(&'s str, u64)>, String> {
    let code = said.code.as_deref().ok_or("no code")?;
    let Some(id) = said.id else {
        let is_behind = code == "overloaded" && world.crowd.folk().links[link].room.is_some();
        return if is_behind { Ok(None) } else { Err("an error without an id".to_owned()) };
    };
    match code {
        "overloaded" => world.mishap("a command is refused: overloaded"),
        "store_unavailable" => world.mishap("a command is refused: store_unavailable"),
        "degraded" => world.mishap("a command is refused: degraded"),
        _ => {}
    }
    Ok(Some((code, id)))
}
