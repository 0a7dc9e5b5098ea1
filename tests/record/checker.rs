//! The checker: it knows every message that was sent, acknowledged, refused and seen, and what the
//! room kept in the end, and says what does not agree. No loss, no double, no reorder, nothing made
//! up; and `recovered` is said where, and only where, it is true.
//!
//! It holds for rooms of which nothing that was kept is lost: they have one epoch.

use std::collections::{HashMap, HashSet};

/// How many messages an answer to `join` brings at most.
const MISSED_MAX: u64 = 1000;

/// Something that a client has done or was told, in its own order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is about to publish; ids are told apart, and grow with each client.
    Sent { room: String, id: u64 },
    /// `ok` has come.
    Acked { room: String, id: u64, offset: u64 },
    /// An error has come. What was published may be there all the same: its outcome is unknown.
    Refused { room: String, id: u64, code: String },
    /// The answer to `join`.
    Joined { room: String, joined: Joined },
    /// It was told that nobody knows now how far the room is, or that it has a gap: what it sees
    /// until it has joined again is not without one.
    Blind { room: String },
    /// A delivery.
    Seen { room: String, id: u64, offset: u64 },
    /// A delivery that has no place in the room's order: its node was alone.
    Unplaced { room: String, id: u64 },
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

/// What each room has kept, from its first message: offsets and ids.
pub type Kept = HashMap<String, Vec<(u64, u64)>>;

/// All that happened.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    /// What each client tells.
    pub clients: Vec<Vec<Event>>,
    pub kept: Kept,
}

/// A room of which nothing is seen that is not kept.
pub fn is_durable(room: &str) -> bool {
    room.starts_with("d.")
}

/// What does not agree; nothing where all is well.
pub fn check(trial: &Trial) -> Vec<String> {
    let index = Index::of(trial);
    let mut faults = check_kept(trial, &index);
    faults.extend(check_answers(trial));
    let mut epochs = HashMap::new();
    for (number, events) in trial.clients.iter().enumerate() {
        let (views, unplaced, faults_of_one) = (HashMap::new(), HashSet::new(), Vec::new());
        let mut reader = Reader { index: &index, views, unplaced, faults: faults_of_one };
        events.iter().for_each(|event| reader.take(event, &mut epochs));
        faults.extend(reader.faults.iter().map(|fault| format!("client {number}: {fault}")));
    }
    faults
}

/// Where each message is.
#[derive(Default)]
struct Index<'a> {
    /// The id at each offset.
    kept: HashMap<(&'a str, u64), u64>,
    /// The offset of each id.
    offsets: HashMap<(&'a str, u64), u64>,
    last: HashMap<&'a str, u64>,
    sent: HashSet<(&'a str, u64)>,
}

impl<'a> Index<'a> {
    fn of(trial: &'a Trial) -> Self {
        let mut index = Self::default();
        for (room, rows) in &trial.kept {
            for (offset, id) in rows {
                index.kept.insert((room, *offset), *id);
                index.offsets.insert((room, *id), *offset);
                index.last.insert(room, *offset);
            }
        }
        for event in trial.clients.iter().flatten() {
            if let Event::Sent { room, id } = event {
                index.sent.insert((room, *id));
            }
        }
        index
    }
}

/// How far a client has seen a room.
#[derive(Default)]
struct View {
    epoch: String,
    last: u64,
    /// Where it does not know how far the room is: the last that it has seen since.
    blind: Option<u64>,
}

/// One client's record, read from its start.
struct Reader<'a> {
    index: &'a Index<'a>,
    views: HashMap<&'a str, View>,
    unplaced: HashSet<u64>,
    faults: Vec<String>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, event: &'a Event, epochs: &mut HashMap<&'a str, &'a str>) {
        match event {
            Event::Sent { .. } | Event::Refused { .. } => {}
            Event::Acked { room, id, offset } => self.hold("acknowledged", room, *id, *offset),
            Event::Blind { room } => self.views.entry(room).or_default().blind = Some(0),
            Event::Seen { room, id, offset } => {
                self.hold("seen", room, *id, *offset);
                self.see(room, *id, *offset);
            }
            Event::Unplaced { room, id } => self.see_unplaced(room, *id),
            Event::Joined { room, joined } => {
                for (offset, id) in &joined.messages {
                    self.hold("recovered", room, *id, *offset);
                }
                let known = *epochs.entry(room).or_insert(&joined.epoch);
                if known != joined.epoch {
                    self.faults.push(format!("{room} has the epochs {known} and {}", joined.epoch));
                }
                self.faults.extend(check_join(self.views.get(&**room), room, joined));
                let (epoch, last) = (joined.epoch.clone(), joined.offset);
                self.views.insert(room, View { epoch, last, blind: None });
            }
            Event::Ended { room } => {
                let last = self.index.last.get(&**room).copied().unwrap_or(0);
                let view = self.views.get(&**room);
                let (seen, blind) = view.map_or((0, None), |view| (view.last, view.blind));
                if seen != last || blind.is_some() {
                    self.faults.push(format!("{room} ends at {last}, and was seen up to {seen}"));
                }
            }
        }
    }

    /// What was told of is kept where it is said to be.
    fn hold(&mut self, how: &str, room: &str, id: u64, offset: u64) {
        if self.index.kept.get(&(room, offset)) != Some(&id) {
            self.faults.push(format!("{id} was {how} at {offset} of {room}, and is lost"));
        }
    }

    fn see(&mut self, room: &str, id: u64, offset: u64) {
        match self.views.get_mut(room) {
            Some(View { blind: Some(last), .. }) if offset > *last => *last = offset,
            Some(View { blind: None, last, .. }) if offset == *last + 1 => *last = offset,
            Some(view) => {
                let last = view.blind.as_mut().unwrap_or(&mut view.last);
                self.faults.push(format!("{offset} of {room} came after {last}"));
                *last = offset;
            }
            None => self.faults.push(format!("{id} was seen in {room}, which was not joined")),
        }
    }

    fn see_unplaced(&mut self, room: &str, id: u64) {
        if is_durable(room) {
            self.faults.push(format!("{id} was seen in {room} without a place"));
        }
        if let Some(offset) = self.index.offsets.get(&(room, id)) {
            self.faults
                .push(format!("{id} was seen in {room} without a place, and is at {offset}"));
        }
        if !self.unplaced.insert(id) {
            self.faults.push(format!("{id} was seen in {room} twice without a place"));
        }
        if !self.index.sent.contains(&(room, id)) {
            self.faults.push(format!("{id} was seen in {room}, and never sent there"));
        }
    }
}

/// What a room has kept: every offset once, nothing made up.
fn check_kept(trial: &Trial, index: &Index<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for (room, rows) in &trial.kept {
        let mut ids = HashSet::new();
        for (at, (offset, id)) in rows.iter().enumerate() {
            if *offset != at as u64 + 1 {
                faults.push(format!("{room} has {offset} where {} is due", at + 1));
            }
            if !ids.insert(*id) {
                faults.push(format!("{id} stands twice in {room}"));
            }
            if !index.sent.contains(&(&**room, *id)) {
                faults.push(format!("{id} in {room} was never sent there"));
            }
        }
    }
    faults
}

/// What senders were told: one thing of each message, and their own order. Of what was not
/// acknowledged the order is unknown too: it may have come late, by a connection that was broken.
fn check_answers(trial: &Trial) -> Vec<String> {
    let (mut faults, mut answered) = (Vec::new(), HashSet::new());
    for (number, events) in trial.clients.iter().enumerate() {
        let mut acked: Vec<(u64, &str, u64)> = Vec::new();
        for event in events {
            let id = match event {
                Event::Acked { room, id, offset } => {
                    acked.push((*id, room, *offset));
                    *id
                }
                Event::Refused { id, .. } => *id,
                _ => continue,
            };
            if !answered.insert(id) {
                faults.push(format!("client {number}: {id} was answered twice"));
            }
        }
        acked.sort_unstable();
        let mut latest = HashMap::new();
        for (id, room, offset) in acked {
            if latest.insert(room, offset).is_some_and(|before| before >= offset) {
                faults.push(format!("{id} in {room} stands before what was sent before it"));
            }
        }
    }
    faults
}

/// Whether an answer to `join` leaves no gap to what was seen before, repeats nothing, and recovers
/// what can be.
fn check_join(view: Option<&View>, room: &str, joined: &Joined) -> Vec<String> {
    let mut faults = Vec::new();
    let Joined { epoch, offset, since, recovered, messages } = joined;
    if !recovered {
        if !messages.is_empty() {
            faults.push(format!("{room} was not recovered, and there are messages"));
        }
        // All is kept: only too much for one answer is a reason.
        if let (Some(view), Some(since)) = (view, since)
            && view.epoch == *epoch
            && *offset <= since + MISSED_MAX
        {
            faults.push(format!("{room} was not recovered from {since} to {offset}"));
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
