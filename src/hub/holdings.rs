//! What the hub of one loop holds, in numbers.
//!
//! Owns the sum of it all, so that a test can ask whether anything is left. Never lets go of
//! anything itself.

use super::handler::Hub;

/// What the hub of one loop holds at a moment.
///
/// With nobody connected, nothing on its way between loops or to the store, and histories too old
/// to be kept, all of it is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Members on this loop.
    pub members: usize,
    /// Rooms with a member, here or on another loop.
    pub rooms: usize,
    /// Places that members of this loop have in rooms.
    pub seats: usize,
    /// Members that wait for another loop, or for the store.
    pub waiting: usize,
    /// What those have said meanwhile, in bytes.
    pub held_bytes: usize,
    /// Questions about durable rooms that are being read.
    pub loading: usize,
    /// Rooms with a history in memory here.
    pub logs: usize,
    /// What those histories take, in bytes.
    pub log_bytes: usize,
    /// Ids of messages that are remembered, until one comes after their time.
    pub ids: usize,
    /// Ends of tokens, and of the time in which one has to be shown.
    pub terms: usize,
    /// What other loops have yet to be told.
    pub unsent: usize,
}

impl Hub {
    /// What the hub holds now. It counts what waits: nothing for every turn.
    pub fn holdings(&self) -> Holdings {
        Holdings {
            members: self.rooms.members.len(),
            rooms: self.rooms.len(),
            seats: self.rooms.seats(),
            waiting: self.waiting.len(),
            held_bytes: self.held_bytes,
            loading: self.loading.values().map(Vec::len).sum(),
            logs: self.logs.len(),
            log_bytes: self.logs.bytes() as usize,
            ids: self.recent.len(),
            terms: self.terms.len(),
            unsent: self.others.unsent(),
        }
    }
}
