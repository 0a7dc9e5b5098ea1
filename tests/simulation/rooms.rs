//! The rooms of a world of people.
//!
//! Owns what they are called, and what is kept of each.

/// How many rooms there are.
pub const ROOMS: usize = 4;

/// What is kept of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    InMemory,
    Durable,
    /// Messages have no offsets.
    WithoutHistory,
}

impl Room {
    const NAMES: [&'static str; ROOMS] = ["m.0", "m.1", "d.0", "n.0"];

    pub const fn of(number: usize) -> Self {
        match number {
            0 | 1 => Self::InMemory,
            2 => Self::Durable,
            _ => Self::WithoutHistory,
        }
    }

    pub const fn name(number: usize) -> &'static str {
        Self::NAMES[number]
    }

    pub fn number(name: &str) -> Option<usize> {
        Self::NAMES.iter().position(|other| *other == name)
    }

    pub fn is_durable(self) -> bool {
        self == Self::Durable
    }

    pub fn has_history(self) -> bool {
        self != Self::WithoutHistory
    }
}
