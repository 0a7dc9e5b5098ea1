//! What a decoder said about a stream, in a form that does not depend on how it was cut.
//!
//! Owns the copies of events. Never decodes.

use throng::proto::{Chunk, Close, Event, Message, MessageKind, ProtocolError};

/// An event, copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A message, or what came of one in a row.
    Data {
        kind: MessageKind,
        payload: Vec<u8>,
        ended: bool,
    },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close {
        code: Option<u16>,
        reason: String,
    },
}

/// The events of a stream, and the fault that ended it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    pub events: Vec<Seen>,
    pub fault: Option<ProtocolError>,
}

impl Story {
    pub fn take(&mut self, event: &Event<'_>) {
        match *event {
            Event::Message(Message { kind, payload }) => {
                self.events.push(Seen::Data { kind, payload: payload.to_vec(), ended: true });
            }
            Event::Chunk(Chunk { kind, last, payload }) => self.data(kind, payload, last),
            Event::Ping(payload) => self.events.push(Seen::Ping(payload.to_vec())),
            Event::Pong(payload) => self.events.push(Seen::Pong(payload.to_vec())),
            Event::Close(Close { code, reason }) => {
                let (code, reason) = (code.map(|code| code.get()), reason.to_owned());
                self.events.push(Seen::Close { code, reason });
            }
        }
    }

    /// Takes a piece of a message; pieces in a row are one.
    pub fn data(&mut self, kind: MessageKind, piece: &[u8], last: bool) {
        match self.events.last_mut() {
            Some(Seen::Data { kind: before, payload, ended }) if !*ended => {
                assert_eq!(*before, kind, "a message changed its kind");
                payload.extend_from_slice(piece);
                *ended = last;
            }
            _ if piece.is_empty() && !last => {}
            _ => self.events.push(Seen::Data { kind, payload: piece.to_vec(), ended: last }),
        }
    }

    /// Takes the fault. How much of the frame at fault was handed out before it depends on the
    /// cuts, rightly, so that is left out.
    pub fn fail(&mut self, fault: ProtocolError) {
        self.fault = Some(fault);
        if matches!(self.events.last(), Some(Seen::Data { ended: false, .. })) {
            self.events.pop();
        }
    }
}
