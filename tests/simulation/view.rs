//! How far somebody knows a room.
//!
//! Owns what a client may conclude from what it is told: offsets without a gap, nothing twice, and
//! who is there.

use std::collections::BTreeMap;

use crate::said::Said;

/// Whether somebody is in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Out,
    In,
    /// It is in, and has missed something.
    Lost,
}

#[derive(Default)]
pub struct View {
    pub state: State,
    /// How far it knows the room, by its own account.
    pub epoch: Option<u64>,
    pub last: Option<u64>,
    /// It has asked to come in.
    pub is_joining: bool,
    /// Who is there, and how often, where it can know.
    pub members: Option<BTreeMap<String, i64>>,
    /// Messages without offsets that it has had on this connection.
    pub heard: Vec<u64>,
    /// The last command by which it has left.
    pub left: u64,
    /// How many of its own stand in the order without a word to it, or may.
    pub silent: u64,
}

/// What a delivery means for who gets it.
pub enum Step {
    /// It stands at this place.
    At(u64, u64),
    /// It has no place.
    Placeless,
    /// Something is missing, or the history is another.
    Gap,
    /// It cannot be judged.
    Unknown,
}

impl View {
    /// Its connection has ended.
    pub fn leave(&mut self) {
        (self.state, self.is_joining) = (State::Out, false);
        (self.members, self.heard) = (None, Vec::new());
    }

    /// Some of what was said has not come, answers too: whether it is in, it cannot know.
    pub fn miss(&mut self) {
        if self.state == State::In || self.is_joining {
            self.state = State::Lost;
        }
        (self.is_joining, self.members) = (false, None);
    }

    /// Whether it cannot be in. With `drops` the answer that says so may be missing.
    pub fn is_out(&mut self, drops: bool) -> bool {
        if drops && self.state == State::Out {
            self.state = State::Lost;
        }
        self.state == State::Out
    }

    /// Up to where it knows the room, if it does.
    pub fn since(&self) -> Option<(u64, u64)> {
        self.epoch.zip(self.last)
    }

    /// A message has come that has an offset, or is known by its answer to have one. `only` is the
    /// epoch of a room that never has another.
    pub fn step(&mut self, only: Option<u64>, offset: Option<u64>) -> Step {
        let Some(offset) = offset else { return Step::Placeless };
        if self.state == State::Lost {
            return Step::Unknown;
        }
        if let Some(last) = self.last {
            let skipped = offset.checked_sub(last + 1).filter(|count| *count <= self.silent);
            let Some(skipped) = skipped else {
                self.state = State::Lost;
                return Step::Gap;
            };
            self.silent -= skipped;
        }
        self.last = Some(offset);
        self.epoch.or(only).map_or(Step::Unknown, |epoch| Step::At(epoch, offset))
    }

    /// Takes in who is there.
    pub fn list(&mut self, said: &Said<'_>) {
        let Some(members) = &said.members else { return };
        let is_whole = said.count == Some(members.len() as u64);
        self.members = is_whole.then(|| {
            let mut counts = BTreeMap::new();
            for name in members {
                *counts.entry(name.to_string()).or_default() += 1;
            }
            counts
        });
    }

    /// Somebody has come (1) or gone (-1).
    pub fn count(&mut self, name: &str, change: i64) {
        let Some(members) = &mut self.members else { return };
        let count = members.entry(name.to_owned()).or_default();
        *count += change;
        if *count == 0 {
            members.remove(name);
        }
    }
}
