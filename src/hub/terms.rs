//! When connections have to end.
//!
//! Owns whose token ends when, and who has to show one by when, each in the order of their ends: to
//! look for those that are due costs nothing that grows with those that are not. Never closes one.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::net::ConnectionId;

/// The connections of one loop that do not live for ever.
#[derive(Debug, Default)]
pub(super) struct Terms {
    /// When tokens end, in seconds since 1970.
    tokens: BTreeSet<(u64, ConnectionId)>,
    /// By when a token has to be shown. All have the same time, so the first came first. Who has
    /// shown one, or has gone, stays until then: the caller knows.
    unknown: VecDeque<(Duration, ConnectionId)>,
}

impl Terms {
    /// A connection ends when its token does.
    pub(super) fn expires(&mut self, id: ConnectionId, end_s: Option<u64>) {
        self.tokens.extend(end_s.map(|end_s| (end_s, id)));
    }

    /// A connection has another token, or is gone.
    pub(super) fn forget(&mut self, id: ConnectionId, end_s: Option<u64>) {
        if let Some(end_s) = end_s {
            self.tokens.remove(&(end_s, id));
        }
    }

    /// The next connection whose token has ended. It is told of once.
    pub(super) fn next_expired(&mut self, now_s: u64) -> Option<ConnectionId> {
        let (end_s, id) = *self.tokens.first()?;
        (end_s <= now_s).then(|| self.forget(id, Some(end_s)))?;
        Some(id)
    }

    /// A connection has to show a token by then, which is no earlier than for those before it.
    pub(super) fn awaits(&mut self, id: ConnectionId, deadline: Duration) {
        self.unknown.push_back((deadline, id));
    }

    /// How many ends are kept.
    pub(super) fn len(&self) -> usize {
        self.tokens.len() + self.unknown.len()
    }

    /// The next connection that had to show a token by `now`, whether it has or not.
    pub(super) fn next_late(&mut self, now: Duration) -> Option<ConnectionId> {
        let (deadline, id) = *self.unknown.front()?;
        (deadline <= now).then(|| self.unknown.pop_front())?;
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> ConnectionId {
        ConnectionId::from_u64(n)
    }

    #[test]
    fn tokens_end_in_their_order_and_once() {
        let mut terms = Terms::default();
        for (n, end_s) in [(1, Some(30)), (2, Some(10)), (3, None), (4, Some(20)), (5, Some(20))] {
            terms.expires(id(n), end_s);
        }
        terms.forget(id(4), Some(20)); // it has a new token
        terms.expires(id(4), Some(40));
        terms.forget(id(9), Some(20)); // nobody of that name
        assert_eq!(terms.next_expired(9), None);
        let due: Vec<_> = std::iter::from_fn(|| terms.next_expired(30)).collect();
        assert_eq!(due, [id(2), id(5), id(1)]);
        assert_eq!(terms.next_expired(39), None);
        assert_eq!(terms.next_expired(40), Some(id(4)));
        assert!(terms.tokens.is_empty());
    }

    #[test]
    fn who_shows_no_token_is_late_once() {
        let mut terms = Terms::default();
        terms.awaits(id(1), Duration::from_secs(10));
        terms.awaits(id(2), Duration::from_secs(11));
        assert_eq!(terms.next_late(Duration::from_secs(9)), None);
        assert_eq!(terms.next_late(Duration::from_secs(10)), Some(id(1)));
        assert_eq!(terms.next_late(Duration::from_secs(10)), None);
        assert_eq!(terms.next_late(Duration::from_secs(11)), Some(id(2)));
    }
}
