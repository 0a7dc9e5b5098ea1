//! The lower limit of a connection that has yet to show who it is.
//!
//! Owns that limit, and how it is lifted. Never decides when.

use super::inbound::Events;
use super::{Inbound, Settings};

/// The longest message taken of a [limited](crate::extension::Direction::limited) connection, in
/// bytes.
pub const LIMITED_BYTES_MAX: u64 = 16 << 10;

impl Inbound {
    /// The longest message taken at present, in bytes.
    #[inline]
    pub(super) fn message_bytes_max(&self, settings: &Settings) -> u64 {
        let max = settings.message_bytes_max;
        if self.direction.is_limited() { max.min(LIMITED_BYTES_MAX) } else { max }
    }

    /// From the next frame on the connection has the limit that all have.
    pub const fn lift_limit(&mut self) {
        self.direction = self.direction.unlimited();
    }
}

impl Events<'_> {
    /// The same, from the next event on.
    pub fn lift_limit(&mut self) {
        self.inbound.lift_limit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extension::Direction;
    use crate::proto::{Event, ProtocolError, Role, Spare};

    const SETTINGS: Settings = Settings::new(Role::Server);

    fn limited() -> Inbound {
        Inbound::with_extension(Direction::PLAIN.limited())
    }

    /// A binary message of `len` zeros, masked with zeros.
    fn message(len: u16) -> Vec<u8> {
        let [high, low] = len.to_be_bytes();
        let mut bytes = vec![0x82, 0xFE, high, low, 0, 0, 0, 0];
        bytes.resize(bytes.len() + usize::from(len), 0);
        bytes
    }

    #[test]
    fn a_limited_connection_takes_short_messages_only() {
        let mut spare = Spare::default();
        let mut fits = message(16 << 10);
        let mut inbound = limited();
        let mut events = inbound.receive(&SETTINGS, &mut spare, &mut fits);
        assert!(matches!(events.next(), Some(Ok(Event::Message(_)))));
        drop(events);
        // The header that announces it is enough: nothing of it is kept.
        let mut long = message((16 << 10) + 1);
        let mut events = inbound.receive(&SETTINGS, &mut spare, &mut long[..8]);
        assert_eq!(events.next(), Some(Err(ProtocolError::MessageTooBig)));
    }

    #[test]
    fn the_limit_is_lifted_between_two_messages_of_one_read() {
        let mut spare = Spare::default();
        let mut both = [message(200), message(20 << 10)].concat();
        let mut inbound = limited();
        let mut events = inbound.receive(&SETTINGS, &mut spare, &mut both);
        assert!(matches!(events.next(), Some(Ok(Event::Message(_)))));
        events.lift_limit();
        assert!(matches!(events.next(), Some(Ok(Event::Message(_)))));
    }

    #[test]
    fn no_more_is_made_ready_than_a_limited_message_can_have() {
        let mut spare = Spare::default();
        let mut bytes = message(16 << 10);
        let mut inbound = limited();
        for piece in bytes.chunks_mut(1000) {
            let mut events = inbound.receive(&SETTINGS, &mut spare, piece);
            while let Some(event) = events.next() {
                assert!(event.is_ok());
            }
        }
        assert!(spare.bytes() as u64 <= LIMITED_BYTES_MAX, "{}", spare.bytes());
    }
}
