//! The checker: it knows every message that was sent, acknowledged and seen, and what the room kept
//! in the end, and says what does not agree. No loss, no double, no reorder, nothing made up.

use std::collections::{HashMap, HashSet};

/// Something that a client has done or was told, in its own order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is about to publish; ids are told apart, and grow with each client.
    Sent { room: String, id: u64 },
    /// `ok` has come.
    Acked { room: String, id: u64, offset: u64 },
    /// The answer to `join`.
    Joined { room: String, joined: Joined },
    /// A delivery.
    Seen { room: String, id: u64, offset: u64 },
    /// It has waited for all there is, and stays no longer.
    Ended { room: String },
}

/// What the answer to `join` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    pub epoch: String,
    pub offset: u64,
    pub since: Option<u64>,
    pub recovered: bool,
    /// Offsets and ids.
    pub messages: Vec<(u64, u64)>,
}

/// All that happened.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    /// What each client tells.
    pub clients: Vec<Vec<Event>>,
    /// What each room has kept, from its first message: offsets and ids.
    pub kept: HashMap<String, Vec<(u64, u64)>>,
}

/// How far a client has seen a room.
struct View {
    epoch: String,
    last: u64,
}

/// What does not agree; nothing where all is well.
pub fn check(trial: &Trial) -> Vec<String> {
    let mut faults = check_kept(trial);
    let kept: HashMap<(&str, u64), u64> = trial
        .kept
        .iter()
        .flat_map(|(room, rows)| rows.iter().map(move |(offset, id)| ((&**room, *offset), *id)))
        .collect();
    let mut acked = HashMap::new();
    for (number, events) in trial.clients.iter().enumerate() {
        let mut views: HashMap<&str, View> = HashMap::new();
        let mut fault = |words: String| faults.push(format!("client {number}: {words}"));
        let is_kept = |room: &str, offset: u64, id: u64| kept.get(&(room, offset)) == Some(&id);
        for event in events {
            match event {
                Event::Sent { .. } => {}
                Event::Acked { room, id, offset } => {
                    if !is_kept(room, *offset, *id) {
                        fault(format!("{id} was acknowledged at {offset} of {room}, and is lost"));
                    }
                    if acked.insert(*id, *offset).is_some() {
                        fault(format!("{id} was acknowledged twice"));
                    }
                }
                Event::Seen { room, id, offset } => {
                    if !is_kept(room, *offset, *id) {
                        fault(format!("{id} was seen at {offset} of {room}, and is lost"));
                    }
                    match views.get_mut(&**room) {
                        Some(view) if *offset == view.last + 1 => view.last = *offset,
                        Some(view) => {
                            fault(format!("{offset} of {room} came after {}", view.last));
                            view.last = *offset;
                        }
                        None => fault(format!("{id} was seen in {room}, which was not joined")),
                    }
                }
                Event::Joined { room, joined } => {
                    for (offset, id) in &joined.messages {
                        if !is_kept(room, *offset, *id) {
                            fault(format!("{id} was recovered at {offset} of {room}, and is lost"));
                        }
                    }
                    check_join(views.get(&**room), room, joined).into_iter().for_each(&mut fault);
                    let view = View { epoch: joined.epoch.clone(), last: joined.offset };
                    views.insert(room, view);
                }
                Event::Ended { room } => {
                    let last = trial.kept.get(room).and_then(|rows| rows.last());
                    let last = last.map_or(0, |(offset, _)| *offset);
                    let seen = views.get(&**room).map_or(0, |view| view.last);
                    if seen != last {
                        fault(format!("{room} ends at {last}, and was seen up to {seen}"));
                    }
                }
            }
        }
    }
    faults
}

/// What a room has kept: every offset once, nothing made up, no sender's messages out of order.
fn check_kept(trial: &Trial) -> Vec<String> {
    let mut faults = Vec::new();
    let mut senders = HashMap::new();
    for (number, events) in trial.clients.iter().enumerate() {
        for event in events {
            if let Event::Sent { room, id } = event {
                senders.insert((&**room, *id), number);
            }
        }
    }
    for (room, rows) in &trial.kept {
        let mut ids = HashSet::new();
        let mut latest: HashMap<usize, u64> = HashMap::new();
        for (at, (offset, id)) in rows.iter().enumerate() {
            if *offset != at as u64 + 1 {
                faults.push(format!("{room} has {offset} where {} is due", at + 1));
            }
            if !ids.insert(*id) {
                faults.push(format!("{id} stands twice in {room}"));
            }
            let Some(sender) = senders.get(&(&**room, *id)) else {
                faults.push(format!("{id} in {room} was never sent there"));
                continue;
            };
            if latest.insert(*sender, *id).is_some_and(|before| before > *id) {
                faults.push(format!("{id} in {room} stands behind what was sent after it"));
            }
        }
    }
    faults
}

/// Whether an answer to `join` leaves no gap to what was seen before, and repeats nothing.
fn check_join(view: Option<&View>, room: &str, joined: &Joined) -> Vec<String> {
    let mut faults = Vec::new();
    let Joined { epoch, offset, since, recovered, messages } = joined;
    if !recovered {
        if !messages.is_empty() {
            faults.push(format!("{room} was not recovered, and there are messages"));
        }
        return faults;
    }
    let Some(since) = since else {
        return vec![format!("{room} was recovered from nowhere")];
    };
    match view {
        Some(view) if view.last != *since || view.epoch != *epoch => {
            faults.push(format!("{room} was recovered from {since}, seen was {}", view.last));
        }
        Some(_) => {}
        None => faults.push(format!("{room} was recovered and never seen")),
    }
    let given: Vec<u64> = messages.iter().map(|(offset, _)| *offset).collect();
    let due: Vec<u64> = (since + 1..=*offset).collect();
    if given != due {
        faults.push(format!("{room} from {since} to {offset}: {given:?} was given"));
    }
    faults
}
