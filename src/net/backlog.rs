//! What a slow peer is owed, between turns.
//!
//! Owns the bytes that the socket did not take, in order. Exists only while there are any. Never
//! drops a frame that is half written.

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::frame::CONTROL_PAYLOAD_MAX;
use crate::proto::SharedFrame;

use super::turn::SLICES_MAX;

/// Bytes of one kind that were owed together: whole frames, unless the front is half written.
#[derive(Debug)]
struct Segment {
    /// How many bytes of it are still owed.
    left: usize,
    /// Where they stand: at the end of this frame, or in `own`.
    shared: Option<SharedFrame>,
    droppable: bool,
    /// Whether the socket has taken a part.
    begun: bool,
}

/// What each segment is charged beside its bytes, so that tiny ones are not free.
const SEGMENT_BYTES: usize = size_of::<Segment>();

/// What the socket did not take.
#[derive(Debug)]
pub(super) struct Backlog {
    segments: VecDeque<Segment>,
    /// The bytes of all segments that are not shared, in order.
    own: VecDeque<u8>,
    /// All that is owed, in bytes.
    left: usize,
    /// The one pong that is owed past the high mark: the newest (RFC 6455 section 5.5.3).
    pong: Option<Pong>,
}

/// The payload of a pong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pong {
    payload: [u8; CONTROL_PAYLOAD_MAX],
    len: u8,
}

impl Pong {
    pub(super) fn new(payload: &[u8]) -> Self {
        let len = payload.len().min(CONTROL_PAYLOAD_MAX);
        let mut pong = Self { payload: [0; CONTROL_PAYLOAD_MAX], len: len as u8 };
        pong.payload[..len].copy_from_slice(&payload[..len]);
        pong
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.payload[..usize::from(self.len)]
    }
}

impl Backlog {
    pub(super) const fn new() -> Self {
        Self { segments: VecDeque::new(), own: VecDeque::new(), left: 0, pong: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// What is held against the limits: bytes and bookkeeping.
    pub(super) fn charge(&self) -> usize {
        self.left + self.segments.len() * SEGMENT_BYTES
    }

    /// Takes what is left of some bytes of which the socket took the first `written`.
    pub(super) fn push_bytes(&mut self, bytes: &[u8], written: usize, droppable: bool) {
        let rest = &bytes[written..];
        self.own.extend(rest);
        self.left += rest.len();
        if let Some(last) = self.segments.back_mut()
            && last.shared.is_none()
            && !(last.droppable || droppable)
        {
            last.left += rest.len(); // neighbours that no policy can tell apart
            return;
        }
        let begun = written > 0;
        self.segments.push_back(Segment { left: rest.len(), shared: None, droppable, begun });
    }

    /// Takes what is left of a frame, header and payload.
    pub(super) fn push_frame(&mut self, [header, payload]: [&[u8]; 2], written: usize) {
        self.push_bytes(&header[written.min(header.len())..], 0, true);
        let rest = &payload[written.saturating_sub(header.len())..];
        self.own.extend(rest);
        self.left += rest.len();
        if let Some(segment) = self.segments.back_mut() {
            segment.left += rest.len();
            segment.begun |= written > 0;
        }
    }

    /// Takes a reference to a frame of which the socket took the first `written` bytes.
    pub(super) fn push_shared(&mut self, frame: &SharedFrame, written: usize) {
        let left = frame.bytes().len() - written;
        self.left += left;
        let shared = Some(frame.clone());
        self.segments.push_back(Segment { left, shared, droppable: true, begun: written > 0 });
    }

    /// The front as slices for one system call, and how many were filled.
    pub(super) fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let (front, back) = self.own.as_slices();
        let mut own_at = 0;
        let mut count = 0;
        for segment in &self.segments {
            if count + 2 > slices.len() {
                break;
            }
            if let Some(frame) = &segment.shared {
                let bytes = frame.bytes();
                slices[count] = IoSlice::new(&bytes[bytes.len() - segment.left..]);
                count += 1;
                continue;
            }
            let end = own_at + segment.left;
            for bytes in [
                &front[own_at.min(front.len())..end.min(front.len())],
                &back[own_at.saturating_sub(front.len())..end.saturating_sub(front.len())],
            ] {
                if !bytes.is_empty() {
                    slices[count] = IoSlice::new(bytes);
                    count += 1;
                }
            }
            own_at = end;
        }
        count
    }

    /// Forgets `written` bytes at the front.
    pub(super) fn advance(&mut self, written: usize) {
        let mut rest = written;
        self.left -= written;
        while let Some(segment) = self.segments.front_mut() {
            let n = rest.min(segment.left);
            if segment.shared.is_none() {
                self.own.drain(..n);
            }
            segment.left -= n;
            segment.begun |= n > 0;
            rest -= n;
            if segment.left > 0 {
                return;
            }
            self.segments.pop_front();
        }
    }

    /// Drops the oldest messages that are not half written until the charge is below `max`, and
    /// says how many.
    pub(super) fn drop_oldest(&mut self, max: usize) -> usize {
        self.retain(|segment, charge| charge < max || !segment.droppable || segment.begun)
    }

    /// Drops everything that is not half written: what is left is what a Close frame must wait for.
    /// Says how many messages that were.
    pub(super) fn drop_all(&mut self) -> usize {
        let count = self.retain(|segment, _| segment.begun);
        self.pong = None;
        self.own.shrink_to_fit();
        count
    }

    /// Says how many messages were not kept.
    fn retain(&mut self, mut keep: impl FnMut(&Segment, usize) -> bool) -> usize {
        let Self { segments, own, left, .. } = self;
        let (mut own_at, mut count, mut messages) = (0, segments.len(), 0);
        segments.retain(|segment| {
            let own_len = if segment.shared.is_none() { segment.left } else { 0 };
            if keep(segment, *left + count * SEGMENT_BYTES) {
                own_at += own_len;
                return true;
            }
            own.drain(own_at..own_at + own_len);
            *left -= segment.left;
            count -= 1;
            messages += usize::from(segment.droppable);
            false
        });
        messages
    }

    /// Owes one pong, in place of any other.
    pub(super) fn owe_pong(&mut self, payload: &[u8]) {
        self.pong = Some(Pong::new(payload));
    }

    pub(super) fn take_pong(&mut self) -> Option<Pong> {
        self.pong.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Message;

    fn drain(backlog: &mut Backlog, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !backlog.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = backlog.gather(&mut slices);
            let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
            let n = bytes.len().min(step);
            all.extend_from_slice(&bytes[..n]);
            backlog.advance(n);
        }
        all
    }

    #[test]
    fn own_and_shared_bytes_leave_in_order_however_short_the_writes() {
        let frame = SharedFrame::new(Message::text("shared"));
        for step in 1..30 {
            let mut backlog = Backlog::new();
            backlog.push_bytes(b"xone", 1, true);
            backlog.push_shared(&frame, 0);
            backlog.push_bytes(b"two", 0, false);
            backlog.push_bytes(b"three", 0, false);
            assert_eq!(drain(&mut backlog, step), b"one\x81\x06sharedtwothree");
            assert_eq!(backlog.charge(), 0);
        }
    }

    #[test]
    fn drop_oldest_spares_what_is_half_written_and_what_is_control() {
        let mut backlog = Backlog::new();
        backlog.push_bytes(b"Xhalf", 1, true);
        backlog.push_bytes(b"control", 0, false);
        backlog.push_bytes(b"old", 0, true);
        backlog.push_bytes(b"new", 0, true);
        let charge = backlog.charge();
        backlog.drop_oldest(charge);
        assert_eq!(drain(&mut backlog, 100), b"halfcontrolnew");
    }

    #[test]
    fn drop_all_leaves_the_half_written_frame() {
        let frame = SharedFrame::new(Message::text("shared"));
        let mut backlog = Backlog::new();
        backlog.push_shared(&frame, 3);
        backlog.push_bytes(b"more", 0, false);
        backlog.drop_all();
        assert_eq!(drain(&mut backlog, 2), b"hared");
    }
}
