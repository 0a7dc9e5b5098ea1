//! The echo server.
//!
//! Owns nothing: each message goes back as it came.

use throng::net::{ConnectionId, Handler, Message, Peers, Platform};

#[derive(Debug)]
pub struct Echo;

impl<P: Platform> Handler<P> for Echo {
    type Session = ();
    type Mail = ();

    fn message(&mut self, peers: &mut Peers<(), P>, from: ConnectionId, message: Message<'_>) {
        // A peer that is gone, or reads too slowly, is told by its close.
        let _ = peers.send(from, message);
    }

    fn pack(&mut self, _: &Peers<(), P>, _: ConnectionId) -> Option<Vec<u8>> {
        Some(Vec::new())
    }

    fn unpack(&mut self, _: &mut Peers<(), P>, _: ConnectionId, _: &[u8]) -> Option<()> {
        Some(())
    }
}
