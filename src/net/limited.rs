//! Connections that may send little until they have shown who they are.
//!
//! Owns the way of the handler's word to the read half. Never decides who has shown enough.

use super::reading::Reading;
use super::{ConnectionId, EventLoop, Handler, Peers, Platform};

impl<S, P: Platform> Peers<S, P> {
    /// A connection that was accepted as [limited](crate::handshake::Acceptance::limited) may send
    /// what all may, from its next message on.
    pub fn lift_limit(&mut self, id: ConnectionId) {
        self.lifted.push(id);
    }

    /// Whether the limit of the connection that is being read is to be lifted now.
    #[inline]
    pub(super) fn takes_lift(&mut self, id: ConnectionId) -> bool {
        if self.lifted.is_empty() {
            return false;
        }
        let before = self.lifted.len();
        self.lifted.retain(|lifted| *lifted != id);
        self.lifted.len() < before
    }
}

impl<H: Handler<P>, P: Platform> EventLoop<H, P> {
    /// Lifts the limits of connections that are not being read.
    pub(super) fn lift_limits(&mut self) {
        while let Some(id) = self.peers.lifted.pop() {
            let Some(index) = self.peers.find(id) else { continue };
            if let Reading::Open(inbound) = &mut self.readings[index] {
                inbound.lift_limit();
            }
        }
    }
}
