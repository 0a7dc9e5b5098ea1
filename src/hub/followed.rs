//! The rooms that a home loop has the relay follow.
//!
//! Owns which they are, and when each may be let go of: some seconds after somebody asked for it
//! last or the last member has left; and which are to be followed as soon as the relay takes it.
//! Never asks the relay, never reads a clock.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// How long a room is followed that nobody is in, in milliseconds: who comes back in between finds
/// it as it was.
const LINGER_MS: u64 = 10_000;

/// One room.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    /// Whether its subscription is confirmed.
    is_followed: bool,
    /// When it is looked at, if that is due.
    due_ms: Option<u64>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Followed {
    rooms: HashMap<Arc<str>, Room>,
    /// Those that are due, in the order of their times. A room stands here once.
    due: VecDeque<(u64, Arc<str>)>,
    /// Those that the relay had no room for, when somebody was let in.
    missed: BTreeSet<Arc<str>>,
}

impl Followed {
    pub(super) fn has(&self, room: &str) -> bool {
        self.rooms.contains_key(room)
    }

    /// Somebody wants the room, or has left it: it is looked at some seconds from now. Whether it
    /// is followed.
    pub(super) fn touch(&mut self, room: &Arc<str>, now_ms: u64) -> bool {
        let due_ms = now_ms + LINGER_MS;
        let entry = self.rooms.entry(Arc::clone(room)).or_default();
        if entry.due_ms.replace(due_ms).is_none() {
            self.due.push_back((due_ms, Arc::clone(room)));
        }
        entry.is_followed
    }

    /// Its subscription is confirmed.
    pub(super) fn begin(&mut self, room: &str) {
        if let Some(room) = self.rooms.get_mut(room) {
            room.is_followed = true;
        }
    }

    /// The relay has no room for it now: somebody is let in who cannot be told how far it is.
    pub(super) fn miss(&mut self, room: &Arc<str>) {
        self.missed.insert(Arc::clone(room));
    }

    /// What has to be asked for again.
    pub(super) fn missed(&self) -> Vec<Arc<str>> {
        self.missed.iter().cloned().collect()
    }

    /// It was read, or nobody wants it any more. Whether it was missed.
    pub(super) fn find(&mut self, room: &str) -> bool {
        self.missed.remove(room)
    }

    /// Whether there will be something to do.
    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty() || !self.missed.is_empty()
    }

    /// The next room whose time has come. It is due no longer.
    pub(super) fn next_due(&mut self, now_ms: u64) -> Option<Arc<str>> {
        while self.due.front().is_some_and(|(due_ms, _)| *due_ms <= now_ms) {
            let (_, room) = self.due.pop_front()?;
            let Some(entry) = self.rooms.get_mut(&room) else { continue };
            match entry.due_ms {
                // It was touched meanwhile.
                Some(due_ms) if due_ms > now_ms => self.due.push_back((due_ms, room)),
                _ => {
                    entry.due_ms = None;
                    return Some(room);
                }
            }
        }
        None
    }

    /// It is not followed any more.
    pub(super) fn remove(&mut self, room: &str) {
        self.missed.remove(room);
        self.rooms.remove(room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_due_some_seconds_after_it_was_touched_last() {
        let mut followed = Followed::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert!(!followed.touch(&a, 0));
        followed.begin("a");
        followed.touch(&b, 1);
        assert!(followed.touch(&a, 5000));
        assert_eq!(followed.next_due(LINGER_MS), None);
        assert_eq!(followed.next_due(LINGER_MS + 1), Some(b));
        assert_eq!(followed.next_due(LINGER_MS + 4999), None);
        assert_eq!(followed.next_due(LINGER_MS + 5000), Some(a));
        assert_eq!((followed.next_due(u64::MAX), followed.due.len()), (None, 0));
        assert!(followed.has("a"));
        followed.remove("a");
        assert!(!followed.has("a"));
    }

    #[test]
    fn what_was_missed_is_asked_for_until_it_is_read_or_let_go_of() {
        let mut followed = Followed::default();
        let room: Arc<str> = "a".into();
        followed.miss(&room);
        assert!(followed.has_due());
        assert_eq!(followed.missed(), [Arc::clone(&room)]);
        assert_eq!([followed.find("a"), followed.find("a")], [true, false]);
        followed.miss(&room);
        followed.remove("a");
        assert!(followed.missed().is_empty() && !followed.has_due());
    }
}
