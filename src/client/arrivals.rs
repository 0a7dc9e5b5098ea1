//! What has arrived, kept until the caller has looked at it.
//!
//! Owns the buffers that events are lent from: they are filled while the protocol core still holds
//! the receive buffer, and lent when it does not. Never holds more than one message.

use crate::frame::CloseCode;
use crate::proto::{Chunk, Close, Delivery, Event, Message, MessageKind, ProtocolError};

/// A message buffer over this is given back once its message was read.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// What [`Client::read`](super::Client::read) brings. It lends the client's buffers until the next
/// call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole message.
    Message(Message<'a>),
    /// A piece of one, with [`Delivery::Chunks`].
    Chunk(Chunk<'a>),
    /// A pong, asked for or not. Pings are answered by the client itself.
    Pong(&'a [u8]),
    /// The server has closed, first or in answer. It is the last thing that comes.
    Close(Close<'a>),
}

/// What the last events were made of.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    message: Vec<u8>,
    /// The message was lent: the next piece starts another.
    message_lent: bool,
    /// The payload of a ping or pong, or the reason of a Close.
    control: Vec<u8>,
}

/// An event without what it borrows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arrived {
    Message(MessageKind),
    Chunk(MessageKind, bool),
    Pong,
    Close(Option<CloseCode>),
}

/// What one piece of the stream has completed.
pub(super) enum Taken {
    Nothing,
    Arrived(Arrived),
    Ping,
    Fault(ProtocolError),
}

impl Arrivals {
    /// Keeps what an event borrows.
    pub(super) fn absorb(&mut self, event: Event<'_>, delivery: Delivery) -> Taken {
        match event {
            Event::Chunk(Chunk { kind, last, payload }) => {
                self.push(payload);
                match delivery {
                    Delivery::Chunks => Taken::Arrived(Arrived::Chunk(kind, last)),
                    Delivery::Whole if last => Taken::Arrived(Arrived::Message(kind)),
                    Delivery::Whole => Taken::Nothing,
                }
            }
            Event::Message(Message { kind, payload }) => {
                self.push(payload); // with `Delivery::Chunks` there are none
                Taken::Arrived(Arrived::Message(kind))
            }
            Event::Ping(payload) => {
                self.keep_control(payload);
                Taken::Ping
            }
            Event::Pong(payload) => {
                self.keep_control(payload);
                Taken::Arrived(Arrived::Pong)
            }
            Event::Close(Close { code, reason }) => {
                self.keep_control(reason.as_bytes());
                Taken::Arrived(Arrived::Close(code))
            }
        }
    }

    /// The payload of the last ping.
    pub(super) fn control(&self) -> &[u8] {
        &self.control
    }

    /// Makes the event of what has arrived.
    pub(super) fn lend(&mut self, arrived: Arrived) -> Incoming<'_> {
        match arrived {
            Arrived::Message(kind) => {
                self.message_lent = true;
                Incoming::Message(Message { kind, payload: &self.message })
            }
            Arrived::Chunk(kind, last) => {
                self.message_lent = true;
                Incoming::Chunk(Chunk { kind, last, payload: &self.message })
            }
            Arrived::Pong => Incoming::Pong(&self.control),
            Arrived::Close(code) => Incoming::Close(self.close(code)),
        }
    }

    fn push(&mut self, payload: &[u8]) {
        if std::mem::take(&mut self.message_lent) {
            self.message.clear();
            self.message.shrink_to(KEPT_BYTES_MAX);
        }
        self.message.extend_from_slice(payload);
    }

    fn keep_control(&mut self, payload: &[u8]) {
        self.control.clear();
        self.control.extend_from_slice(payload);
    }

    /// The Close of which the reason was kept.
    pub(super) fn close(&self, code: Option<CloseCode>) -> Close<'_> {
        Close { code, reason: str::from_utf8(&self.control).unwrap_or_default() }
    }
}
