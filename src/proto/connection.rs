//! Both halves of one connection, for those who have just one.
//!
//! Owns a read half, a write half and their settings. Never answers by itself: [`reply`] says what
//! the RFC wants answered.
//!
//! [`reply`]: Connection::reply

use super::{Event, Events, Inbound, Outbound, Settings, Spare};

/// A connection after the handshake. An event loop with many keeps the halves in tables of its own.
///
/// ```
/// use throng::proto::{Connection, Event, Message, Role, Settings};
///
/// let mut server = Connection::new(Settings::new(Role::Server));
/// let (mut bytes, mut out) = (b"\x89\x82\0\0\0\0hi".to_vec(), Vec::new());
/// let (mut events, outbound) = server.receive(&mut bytes);
/// while let Some(Ok(event)) = events.next() {
///     Connection::reply(outbound, &event, None, &mut out);
/// }
/// assert_eq!(out, b"\x8A\x02hi");
/// ```
#[derive(Debug)]
pub struct Connection {
    inbound: Inbound,
    outbound: Outbound,
    settings: Settings,
    spare: Spare,
}

impl Connection {
    /// A connection that has just been opened.
    pub fn new(settings: Settings) -> Self {
        let (inbound, outbound) = (Inbound::new(), Outbound::new());
        Self { inbound, outbound, settings, spare: Spare::default() }
    }

    /// Takes the next bytes: the events in them, and the write half to answer with.
    pub fn receive<'a>(&'a mut self, input: &'a mut [u8]) -> (Events<'a>, &'a mut Outbound) {
        let events = self.inbound.receive(&self.settings, &mut self.spare, input);
        (events, &mut self.outbound)
    }

    /// Appends what the RFC wants answered at once: the pong to a ping, the Close to a Close.
    pub fn reply(
        outbound: &mut Outbound,
        event: &Event<'_>,
        mask: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) {
        match event {
            Event::Ping(payload) => {
                let _ = outbound.pong(payload, mask, out); // closed: none is wanted
            }
            Event::Close(close) => outbound.receive_close(*close, mask, out),
            Event::Message(_) | Event::Chunk(_) | Event::Pong(_) => {}
        }
    }

    /// The write half.
    pub const fn outbound(&mut self) -> &mut Outbound {
        &mut self.outbound
    }
}
