//! Messages that come compressed (RFC 7692 section 6.2).
//!
//! Owns the way from the unmasked bytes of a frame to the message that they stand for, a bounded
//! piece at a time. Never holds more than the limit and one piece.

use std::ops::Range;

use super::inbound::{Events, Found, Place};
use super::{Delivery, MessageKind, ProtocolError};

/// At most this much is inflated before the limits are looked at.
const INFLATE_STEP: usize = 64 << 10;

/// Compressed bytes in the input, and whether the message ends with them.
#[derive(Clone, Debug)]
pub(super) struct Inflating {
    pub(super) range: Range<usize>,
    pub(super) last: bool,
}

impl Events<'_> {
    /// Inflates some of what has come: a whole message where it ends here, else a chunk, or nothing
    /// yet. The limit is held against every piece, so that no more than it and one piece is kept.
    #[inline(never)]
    pub(super) fn inflate(&mut self) -> Result<Option<Found>, ProtocolError> {
        let Some(Inflating { mut range, last }) = self.inflating.take() else { return Ok(None) };
        let Some(kind) = self.inbound.message else { return Ok(None) };
        let max = self.inbound.message_bytes_max(self.settings);
        let limit = usize::try_from(max).unwrap_or(usize::MAX);
        let assembly = self.inbound.assembly.get_or_insert_with(|| self.spare.take());
        loop {
            let (room, inflater) = assembly.inflating(limit.saturating_add(1));
            let inflater = inflater.get_or_insert_with(|| self.spare.take_inflater());
            let step = room.len().min(INFLATE_STEP);
            let mut input = &self.input[range.clone()];
            let written = inflater.step(&mut input, &mut room[..step])?;
            range.start = range.end - input.len();
            let bytes = assembly.advance(written);
            if kind == MessageKind::Text {
                self.inbound.utf8.push(bytes)?;
            }
            assembly.inflated_bytes += written as u64;
            if assembly.inflated_bytes > max {
                return Err(ProtocolError::MessageTooBig);
            }
            if written < step {
                return self.end_inflating(kind, last); // used up
            }
            if self.settings.delivery == Delivery::Chunks {
                self.inflating = Some(Inflating { range, last });
                return Ok(Some(Found::Chunk(kind, false, Place::Assembly)));
            }
        }
    }

    /// The compressed bytes that have come are inflated.
    fn end_inflating(
        &mut self,
        kind: MessageKind,
        last: bool,
    ) -> Result<Option<Found>, ProtocolError> {
        let Some(assembly) = &mut self.inbound.assembly else { return Ok(None) };
        if last && let Some(inflater) = &mut assembly.inflater {
            inflater.finish()?;
            assembly.inflated_bytes = 0;
        }
        let has_bytes = !assembly.message().is_empty();
        if last {
            self.inbound.end_message()?;
        }
        Ok(match self.settings.delivery {
            Delivery::Whole if last => Some(Found::Message(kind, Place::Assembly)),
            Delivery::Chunks if last || has_bytes => {
                Some(Found::Chunk(kind, last, Place::Assembly))
            }
            Delivery::Whole | Delivery::Chunks => None,
        })
    }

    /// The message, or the chunk, that stood in the assembly was taken.
    pub(super) fn end_assembly(&mut self) {
        let is_under_way = self.inbound.message.is_some();
        match &mut self.inbound.assembly {
            // The context lasts to the end of the message, or of the connection.
            Some(assembly) if is_under_way || self.inbound.direction.keeps_context() => {
                assembly.clear_message();
            }
            Some(_) | None => self.inbound.release(self.spare),
        }
    }
}
