//! What is counted for each user.
//!
//! Owns how many connections a user has. Never remembers a user who has none, so that there are at
//! most as many as connections.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard};

use super::table::lock;

/// How many locks the users are spread over.
const SHARDS: usize = 64;

type Shard = HashMap<Arc<str>, u32>;

/// The connections of all users.
#[derive(Debug)]
pub(super) struct Users {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

impl Users {
    pub(super) fn new() -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, hasher: RandomState::new() }
    }

    /// Counts a connection of a user; whether it may be.
    pub(super) fn enter(&self, user: &Arc<str>, connections_max: u32) -> bool {
        let mut shard = self.shard(user);
        match shard.get_mut(user) {
            Some(count) if *count >= connections_max => return false,
            Some(count) => *count += 1,
            None if connections_max == 0 => return false,
            None => drop(shard.insert(Arc::clone(user), 1)),
        }
        true
    }

    /// A connection that was counted has ended.
    pub(super) fn leave(&self, user: &str) {
        let mut shard = self.shard(user);
        let Some(count) = shard.get_mut(user) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            shard.remove(user);
        }
    }

    fn shard(&self, user: &str) -> MutexGuard<'_, Shard> {
        lock(&self.shards[self.hasher.hash_one(user) as usize % SHARDS])
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_connections_is_forgotten() {
        let users = Users::new();
        let names: Vec<Arc<str>> = (0..1_000).map(|n| format!("user{n}").into()).collect();
        for name in &names {
            assert!(users.enter(name, 2) && users.enter(name, 2) && !users.enter(name, 2));
        }
        assert_eq!(users.len(), 1_000);
        for name in &names {
            users.leave(name);
            assert!(users.enter(name, 2));
            users.leave(name);
            users.leave(name);
            users.leave(name); // once too often: nothing to count down
        }
        assert_eq!(users.len(), 0);
        assert!(!users.enter(&names[0], 0));
    }
}
