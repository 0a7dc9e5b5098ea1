//! The echo server.
//!
//! Owns nothing: each message goes back as it came.

use throng::net::{ConnectionId, Handler, Message, Peers};

#[derive(Debug)]
pub struct Echo;

impl Handler for Echo {
    type Session = ();
    type Mail = ();

    fn message(&mut self, peers: &mut Peers<()>, from: ConnectionId, message: Message<'_>) {
        // A peer that is gone, or reads too slowly, is told by its close.
        let _ = peers.send(from, message);
    }
}
