//! What is counted for each user.
//!
//! Owns how many connections a user has, here and on other nodes, and what the other nodes have yet
//! to hear of it. Never remembers a user who has none, so that there are at most as many as
//! connections.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard};

use super::table::lock;

/// How many locks the users are spread over.
const SHARDS: usize = 64;

/// How many connections a user has.
#[derive(Debug, Default)]
struct Count {
    here: u32,
    elsewhere: u32,
}

#[derive(Debug, Default)]
struct Shard {
    users: HashMap<Arc<str>, Count>,
    /// How many more or less are here since it was asked last, where somebody asks.
    changes: Option<HashMap<Arc<str>, i64>>,
}

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
        let count = shard.users.get(user);
        let before = count.map_or(0, |count| count.here.saturating_add(count.elsewhere));
        if before >= connections_max {
            return false;
        }
        shard.users.entry(Arc::clone(user)).or_default().here += 1;
        shard.note(user, 1);
        true
    }

    /// A connection that was counted has ended.
    pub(super) fn leave(&self, user: &str) {
        let mut shard = self.shard(user);
        let Some((user, count)) = shard.users.get_key_value(user) else { return };
        if count.here == 0 {
            return;
        }
        let user = Arc::clone(user);
        shard.change(&user, |count| count.here -= 1);
        shard.note(&user, -1);
    }

    /// Connections have come on other nodes, or have ended there.
    pub(super) fn count_elsewhere(&self, user: &Arc<str>, change: i64) {
        let add = |count: u32| u32::try_from(i64::from(count) + change).unwrap_or(0);
        self.shard(user).change(user, |count| count.elsewhere = add(count.elsewhere));
    }

    /// How many more or less connections users have here since this was asked last; the first time,
    /// how many they have.
    pub(super) fn take_changes(&self) -> Vec<(Arc<str>, i64)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            let before = shard.changes.replace(HashMap::new());
            let here = |(user, count): (&Arc<str>, &Count)| (Arc::clone(user), count.here.into());
            let changes = before.unwrap_or_else(|| shard.users.iter().map(here).collect());
            all.extend(changes.into_iter().filter(|(_, change)| *change != 0));
        }
        all
    }

    fn shard(&self, user: &str) -> MutexGuard<'_, Shard> {
        lock(&self.shards[self.hasher.hash_one(user) as usize % SHARDS])
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).users.len()).sum()
    }
}

impl Shard {
    /// Changes the count of a user, who is forgotten when there is nothing to count.
    fn change(&mut self, user: &Arc<str>, change: impl FnOnce(&mut Count)) {
        let count = self.users.entry(Arc::clone(user)).or_default();
        change(count);
        if count.here == 0 && count.elsewhere == 0 {
            self.users.remove(user);
        }
    }

    fn note(&mut self, user: &Arc<str>, change: i64) {
        if let Some(changes) = &mut self.changes {
            *changes.entry(Arc::clone(user)).or_default() += change;
        }
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

    #[test]
    fn connections_on_other_nodes_count_and_those_here_are_told_of() {
        let (users, ann) = (Users::new(), Arc::<str>::from("ann"));
        assert!(users.enter(&ann, 3));
        assert_eq!(users.take_changes(), [(Arc::clone(&ann), 1)]);
        users.count_elsewhere(&ann, 2);
        assert!(!users.enter(&ann, 3) && users.enter(&ann, 4));
        users.leave("ann");
        users.leave("ann");
        assert_eq!(users.take_changes(), [(Arc::clone(&ann), -1)]);
        assert_eq!(users.take_changes(), []);
        assert_eq!(users.len(), 1, "there are two elsewhere");
        users.leave("ann");
        users.count_elsewhere(&ann, -2);
        assert_eq!(users.len(), 0);
    }
}
