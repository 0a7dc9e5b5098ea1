//! A table of strangers that cannot grow.
//!
//! Owns its entries: at most as many as it was made for. An entry that is not held goes when its
//! place is wanted, the oldest first. Never looks at more than a handful of entries, whatever the
//! table holds.
//!
//! A key belongs to one of many sets of 16 entries, by a hash that nobody can predict, and each set
//! has a lock of its own: two loops meet only where their keys do, and wait as long as 16 entries
//! take to be compared.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many entries a set has.
const WAYS: usize = 16;

/// What is kept of a stranger.
pub(super) trait Slot: Default {
    /// Whether it must not be forgotten now.
    fn is_held(&self) -> bool;
}

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    seen: Duration,
    value: V,
}

type Set<K, V> = Vec<Entry<K, V>>;

/// See the head of this module.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    sets: Box<[Mutex<Set<K, V>>]>,
    hasher: RandomState,
}

impl<K: Eq + Hash, V: Slot> Table<K, V> {
    /// What a table of so many takes at most, beside what its keys own.
    pub(super) const fn bytes_max(entries_max: usize) -> u64 {
        let sets = entries_max.div_ceil(WAYS) + 1;
        (sets * (size_of::<Mutex<Set<K, V>>>() + WAYS * size_of::<Entry<K, V>>())) as u64
    }

    /// A table of at most `entries_max` entries, or a few more: sets are whole. It takes no memory
    /// for an entry that it never had.
    pub(super) fn new(entries_max: usize) -> Self {
        let sets = entries_max.div_ceil(WAYS).max(1);
        let sets = (0..sets).map(|_| Mutex::default()).collect();
        Self { sets, hasher: RandomState::new() }
    }

    /// Does something with the entry of `key`, which is made where there is none. `None` where all
    /// places that it could have are held by others.
    pub(super) fn with<Q, R>(
        &self,
        key: &Q,
        now: Duration,
        act: impl FnOnce(&mut V) -> R,
    ) -> Option<R>
    where
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        K: std::borrow::Borrow<Q>,
    {
        let mut set = self.set(key);
        let found = set.iter().position(|entry| entry.key.borrow() == key);
        let at = match found {
            Some(at) => at,
            None if set.len() < WAYS => {
                set.push(Entry { key: key.to_owned(), seen: now, value: V::default() });
                set.len() - 1
            }
            None => {
                let free = set.iter().enumerate().filter(|(_, entry)| !entry.value.is_held());
                let (at, _) = free.min_by_key(|(_, entry)| entry.seen)?;
                set[at] = Entry { key: key.to_owned(), seen: now, value: V::default() };
                at
            }
        };
        let entry = &mut set[at];
        entry.seen = entry.seen.max(now);
        Some(act(&mut entry.value))
    }

    /// Does something with the entry of `key`, if there is one.
    pub(super) fn with_known<Q>(&self, key: &Q, act: impl FnOnce(&mut V))
    where
        Q: Hash + Eq + ?Sized,
        K: std::borrow::Borrow<Q>,
    {
        let mut set = self.set(key);
        if let Some(entry) = set.iter_mut().find(|entry| entry.key.borrow() == key) {
            act(&mut entry.value);
        }
    }

    /// How many entries there are. Looks at every set.
    pub(super) fn len(&self) -> usize {
        self.sets.iter().map(|set| lock(set).len()).sum()
    }

    fn set<Q: Hash + ?Sized>(&self, key: &Q) -> MutexGuard<'_, Set<K, V>> {
        let hash = self.hasher.hash_one(key) as usize;
        lock(&self.sets[hash % self.sets.len()])
    }
}

/// Counters are whole after each change, so that a thread that panicked leaves nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Count {
        count: u32,
        held: bool,
    }

    impl Slot for Count {
        fn is_held(&self) -> bool {
            self.held
        }
    }

    fn at(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    fn bump(table: &Table<u32, Count>, key: u32, now: u64) -> Option<u32> {
        table.with(&key, at(now), |count| {
            count.count += 1;
            count.count
        })
    }

    #[test]
    fn it_never_grows_past_its_size() {
        let table = Table::<u32, Count>::new(1 << 10);
        for key in 0..100_000 {
            assert_eq!(bump(&table, key, u64::from(key)), Some(1));
        }
        assert_eq!(table.len(), 1 << 10);
        let memory: usize = table.sets.iter().map(|set| lock(set).capacity()).sum();
        assert_eq!(memory, 1 << 10);
    }

    #[test]
    fn the_oldest_that_is_not_held_goes() {
        let table = Table::<u32, Count>::new(1);
        for key in 0..16 {
            assert_eq!(bump(&table, key, 100 + u64::from(key)), Some(1));
        }
        table.with_known(&0, |count| count.held = true);
        assert_eq!(bump(&table, 1, 200), Some(2)); // seen anew: now 2 is the oldest that can go
        assert_eq!(bump(&table, 16, 201), Some(1));
        assert_eq!(bump(&table, 0, 202), Some(2), "it is held");
        assert_eq!(bump(&table, 1, 203), Some(3), "it was seen");
        assert_eq!(bump(&table, 16, 204), Some(2), "it is new");
        assert_eq!(bump(&table, 2, 205), Some(1), "it was forgotten");
    }

    #[test]
    fn where_all_are_held_there_is_no_room() {
        let table = Table::<u32, Count>::new(16);
        for key in 0..16 {
            table.with(&key, at(1), |count| count.held = true);
        }
        assert_eq!(bump(&table, 16, 2), None);
        table.with_known(&7, |count| count.held = false);
        assert_eq!(bump(&table, 16, 3), Some(1));
        assert_eq!(bump(&table, 7, 4), Some(1), "it was forgotten, and 16 was not held");
    }
}
