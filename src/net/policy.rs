//! What becomes of a message for a peer that reads too slowly.
//!
//! Owns the policies, and the count of what each peer did not get. Never writes to a socket.

use super::turn::{Chain, Tag};
use super::{
    BacklogPolicy, CloseReason, ConnectionId, Drop, Peers, Platform, SendError, SharedFrame,
};
use crate::frame::CloseCode;

impl Tag {
    /// What may be done with a message that was sent under this policy, and has no key.
    pub(super) const fn of(policy: BacklogPolicy) -> Self {
        match policy {
            BacklogPolicy::Close | BacklogPolicy::DropNewest => Self::KEPT,
            BacklogPolicy::DropOldest | BacklogPolicy::KeepLatest => Self::LOSSY,
        }
    }
}

impl<S, P: Platform> Peers<S, P> {
    /// What becomes of messages for peers that read too slowly, unless it is said with the message.
    pub const fn backlog_policy(&self) -> BacklogPolicy {
        self.config.backlog_policy
    }

    /// How many messages a slow peer did not get since this was last asked. Ask in
    /// [`Handler::drain`]: it is called when such a peer has caught up.
    ///
    /// [`Handler::drain`]: super::Handler::drain
    pub fn take_dropped(&mut self, id: ConnectionId) -> u64 {
        self.dropped.remove(&id).unwrap_or(0)
    }

    /// What may be done with this frame, until the turn's arena is emptied.
    #[inline]
    pub(super) fn tag_of(&mut self, policy: BacklogPolicy, frame: &SharedFrame) -> Tag {
        match (policy, frame.key()) {
            (BacklogPolicy::KeepLatest, Some(key)) => self.turn.tag(key),
            _ => Tag::of(policy),
        }
    }

    /// The slot of an open connection that may be owed one more message.
    #[inline]
    pub(super) fn admit(&mut self, id: ConnectionId) -> Result<usize, SendError> {
        self.admit_under(id, self.config.backlog_policy)
    }

    /// The same, under a policy of its own.
    #[inline]
    pub(super) fn admit_under(
        &mut self,
        id: ConnectionId,
        policy: BacklogPolicy,
    ) -> Result<usize, SendError> {
        let index = self.find_open(id)?;
        if self.table[index].backlog_bytes() < self.config.backlog_bytes_max {
            return Ok(index);
        }
        self.apply_policy(index, policy)
    }

    #[cold]
    fn apply_policy(&mut self, index: usize, policy: BacklogPolicy) -> Result<usize, SendError> {
        let max = self.config.backlog_bytes_max;
        let Some(backlog) = &mut self.table[index].backlog else { return Ok(index) };
        let before = backlog.charge();
        // A peer is not closed over messages that it may lose.
        let dropped = match policy {
            BacklogPolicy::DropNewest => 0,
            BacklogPolicy::Close | BacklogPolicy::DropOldest | BacklogPolicy::KeepLatest => {
                backlog.drop_oldest(max)
            }
        };
        let now = backlog.charge();
        self.stats.backlog(before, now);
        self.count_dropped(index, Drop::Oldest, dropped);
        if now < max {
            return Ok(index);
        }
        if policy == BacklogPolicy::Close {
            self.close_slow(index);
        } else {
            self.count_dropped(index, Drop::Newest, 1);
        }
        Err(SendError::Backlogged)
    }

    /// Closes a peer that is owed too much, with 1008.
    fn close_slow(&mut self, index: usize) {
        let (id, mask) = (self.id(index), self.mask());
        let peer = &mut self.table[index];
        let Some(backlog) = &mut peer.backlog else { return };
        let before = backlog.charge();
        self.stats.drop(Drop::Closed, 1 + backlog.drop_all());
        self.stats.backlog(before, backlog.charge());
        peer.chain = Chain::EMPTY;
        let outbound = &mut peer.outbound;
        let code = CloseCode::POLICY_VIOLATION;
        self.turn.push(&mut peer.chain, Tag::FIXED, |out| {
            outbound.fail_with(code, "reads too slowly", mask, out);
        });
        self.end(index);
        self.given_out.push((id, CloseReason::Backlogged));
    }

    /// Counts messages that a peer does not get, although it stays.
    pub(super) fn count_dropped(&mut self, index: usize, which: Drop, count: usize) {
        if count > 0 {
            self.stats.drop(which, count);
            *self.dropped.entry(self.id(index)).or_default() += count as u64;
        }
    }
}
