//! The common case in few steps: a short message, whole in this read, while no other is open.
//!
//! Owns no state, and decides nothing that the long way would decide otherwise: whatever is not
//! exactly this is left to it. `docs/performance.md` has what it is worth.

use std::ops::Range;

use super::inbound::Events;
use super::{Delivery, MessageKind, ProtocolError, Role};
use crate::frame::{CONTROL_PAYLOAD_MAX, apply_mask, unmask_text};

/// FIN and the opcode: all of the first byte, so that no reserved bit is set.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

/// The longest payload whose length stands in the second byte.
const LEN_MAX: u8 = CONTROL_PAYLOAD_MAX as u8;

impl Events<'_> {
    /// Whether a short message may come next: nothing is open, kept or lent.
    pub(super) fn may_be_short(&self) -> bool {
        self.inbound.is_between_messages()
            && self.inflating.is_none()
            && self.settings.delivery == Delivery::Whole
            && self.settings.message_bytes_max >= u64::from(LEN_MAX)
            && self.settings.fragments_max > 0
    }

    /// Takes a short message from the front of the input, if that is what stands there.
    #[inline(always)]
    pub(super) fn short(&mut self) -> Result<Option<(MessageKind, Range<usize>)>, ProtocolError> {
        let Some(&[first, second, ref key @ ..]) = self.input.get(self.at..) else {
            return Ok(None);
        };
        if first != TEXT && first != BINARY {
            return Ok(None);
        }
        let kind = if first == TEXT { MessageKind::Text } else { MessageKind::Binary };
        // The mask bit stands above the length: where it is wrong, the length is too long.
        let (len, key) = match (self.settings.role, key) {
            (Role::Server, &[a, b, c, d, ..]) => (second ^ 0x80, Some([a, b, c, d])),
            (Role::Server, [..]) => return Ok(None),
            (Role::Client, [..]) => (second, None),
        };
        let start = self.at + if key.is_some() { 6 } else { 2 };
        let range = start..start + usize::from(len);
        if len > LEN_MAX || range.end > self.input.len() {
            return Ok(None);
        }
        let payload = &mut self.input[range.clone()];
        self.at = range.end;
        match (kind, key) {
            (MessageKind::Binary, Some(key)) => apply_mask(payload, key, 0),
            (MessageKind::Text, Some(key)) if unmask_text(payload, key) => {}
            (MessageKind::Text, Some(_) | None) => {
                self.inbound.utf8.push(payload)?;
                self.inbound.end_message()?;
            }
            (MessageKind::Binary, None) => {}
        }
        Ok(Some((kind, range)))
    }
}
