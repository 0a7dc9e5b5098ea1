//! What a slow peer is owed, between turns.
//!
//! Owns the bytes that the socket did not take, in order. Exists only while there are any. Never
//! drops a frame that is half written.

use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;
use std::num::NonZeroU64;
use std::sync::Arc;

use crate::frame::{CONTROL_PAYLOAD_MAX, Decoded, HEADER_LEN_MAX, Header};
use crate::proto::SharedFrame;

use super::turn::SLICES_MAX;

/// What a policy may do with something that is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// No message, or one that a later one refers to: never dropped.
    Fixed,
    /// Whole messages that are dropped with the peer only.
    Kept,
    /// Whole messages that make room for later ones.
    Lossy,
    /// One message that makes room, and whose place a later one of this key takes.
    Keyed(NonZeroU64),
}

/// Bytes of one kind that were owed together: whole frames, unless the front is half written.
#[derive(Debug)]
struct Segment {
    /// How many bytes of it are still owed; none where another has taken its place.
    left: usize,
    /// Where they stand: at the end of this frame, or in `own`.
    shared: Option<Arc<[u8]>>,
    mark: Mark,
    /// Whether the socket has taken a part.
    begun: bool,
}

/// What each segment is charged beside its bytes, so that tiny ones are not free.
const SEGMENT_BYTES: usize = size_of::<Segment>();

/// What a key is charged: its place in a table that is half full.
const KEY_BYTES: usize = 2 * size_of::<(NonZeroU64, u64)>();

/// So much more than the bytes need may stay, in bytes.
const OWN_KEPT_MAX: usize = 4 << 10;

/// So few segments whose place was taken are not worth to be cleared away.
const EMPTY_KEPT_MAX: usize = 64;

/// What the socket did not take.
#[derive(Debug)]
pub(super) struct Backlog {
    segments: VecDeque<Segment>,
    /// The bytes of all segments that are not shared, in order.
    own: VecDeque<u8>,
    /// All that is owed, in bytes.
    left: usize,
    /// How many segments have left at the front: the first has this number.
    gone: u64,
    /// How many segments are empty, since another has taken their place.
    empty: usize,
    /// The number of the segment that has each key.
    latest: HashMap<NonZeroU64, u64>,
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
    pub(super) fn new() -> Self {
        Self {
            segments: VecDeque::new(),
            own: VecDeque::new(),
            left: 0,
            gone: 0,
            empty: 0,
            latest: HashMap::new(),
            pong: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// What is held against the limits: bytes and bookkeeping.
    pub(super) fn charge(&self) -> usize {
        charge(self.left, self.segments.len(), self.latest.len())
    }

    /// Takes what is left of some bytes of which the socket took the first `written`. Says how many
    /// messages it has taken the place of.
    pub(super) fn push_bytes(&mut self, bytes: &[u8], written: usize, mark: Mark) -> usize {
        if let Mark::Keyed(_) = mark {
            return self.push_alone(bytes.into(), written, mark);
        }
        let rest = &bytes[written..];
        self.own.extend(rest);
        self.left += rest.len();
        if let Some(last) = self.segments.back_mut()
            && last.shared.is_none()
            && last.left > 0
            && (last.mark, mark) == (Mark::Fixed, Mark::Fixed)
        {
            last.left += rest.len(); // neighbours that no policy can tell apart
            return 0;
        }
        let begun = written > 0;
        self.segments.push_back(Segment { left: rest.len(), shared: None, mark, begun });
        0
    }

    /// Takes what is left of a frame, header and payload.
    pub(super) fn push_frame(&mut self, [header, payload]: [&[u8]; 2], written: usize, mark: Mark) {
        self.push_bytes(&header[written.min(header.len())..], 0, mark);
        let rest = &payload[written.saturating_sub(header.len())..];
        self.own.extend(rest);
        self.left += rest.len();
        if let Some(segment) = self.segments.back_mut() {
            segment.left += rest.len();
            segment.begun |= written > 0;
        }
    }

    /// Takes a reference to a frame of which the socket took the first `written` bytes. Says how
    /// many messages it has taken the place of.
    pub(super) fn push_shared(&mut self, frame: &SharedFrame, written: usize, mark: Mark) -> usize {
        self.push_alone(frame.to_bytes(), written, mark)
    }

    fn push_alone(&mut self, bytes: Arc<[u8]>, written: usize, mark: Mark) -> usize {
        let mut replaced = 0;
        if let Mark::Keyed(key) = mark {
            replaced = self.forget(key);
            self.latest.insert(key, self.gone + self.segments.len() as u64);
        }
        let left = bytes.len() - written;
        self.left += left;
        let shared = Some(bytes);
        self.segments.push_back(Segment { left, shared, mark, begun: written > 0 });
        replaced
    }

    /// Forgets the message of a key, unless it is half written. Its segment stays, empty, so that
    /// the others keep their numbers.
    fn forget(&mut self, key: NonZeroU64) -> usize {
        if self.empty > EMPTY_KEPT_MAX && self.empty > self.segments.len() / 2 {
            self.retain(|_, _| true);
        }
        let at = self.latest.get(&key).and_then(|number| number.checked_sub(self.gone));
        let segment = at.and_then(|at| self.segments.get_mut(at as usize));
        let Some(segment) = segment.filter(|segment| !segment.begun) else { return 0 };
        self.left -= std::mem::take(&mut segment.left);
        segment.shared = None;
        segment.mark = Mark::Fixed;
        self.empty += 1;
        1
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
            if let Some(bytes) = &segment.shared {
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
            self.empty -= usize::from(segment.left == 0);
            let n = rest.min(segment.left);
            if segment.shared.is_none() {
                self.own.drain(..n);
            }
            segment.left -= n;
            segment.begun |= n > 0;
            rest -= n;
            if segment.left > 0 {
                break;
            }
            if let Mark::Keyed(key) = segment.mark
                && self.latest.get(&key) == Some(&self.gone)
            {
                self.latest.remove(&key);
            }
            self.segments.pop_front();
            self.gone += 1;
        }
        if self.own.capacity() > 2 * self.own.len() + OWN_KEPT_MAX {
            self.own.shrink_to_fit(); // what is held must not be far from what is charged
        }
    }

    /// Drops the oldest messages that may make room, and are not half written, until the charge is
    /// below `max`, and says how many.
    pub(super) fn drop_oldest(&mut self, max: usize) -> usize {
        self.retain(|segment, charge| {
            let may_drop = matches!(segment.mark, Mark::Lossy | Mark::Keyed(_));
            charge < max || !may_drop || segment.begun
        })
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
        let Self { segments, own, left, latest, .. } = self;
        let (mut own_at, mut count, mut messages) = (0, segments.len(), 0);
        let mut keys = latest.len();
        segments.retain(|segment| {
            if segment.left == 0 {
                count -= 1;
                return false; // another has taken its place
            }
            let own_len = if segment.shared.is_none() { segment.left } else { 0 };
            if keep(segment, charge(*left, count, keys)) {
                own_at += own_len;
                return true;
            }
            messages += match segment.mark {
                Mark::Fixed => 0,
                _ if own_len == 0 => 1,
                _ => frames_in(own.range(own_at..own_at + own_len).copied()),
            };
            own.drain(own_at..own_at + own_len);
            *left -= segment.left;
            count -= 1;
            keys -= usize::from(matches!(segment.mark, Mark::Keyed(_)));
            false
        });
        self.empty = 0;
        self.number_keys();
        messages
    }

    /// Finds the segment of each key anew.
    fn number_keys(&mut self) {
        self.latest.clear();
        self.gone = 0;
        for (number, segment) in (0..).zip(&self.segments) {
            if let Mark::Keyed(key) = segment.mark {
                self.latest.insert(key, number);
            }
        }
    }

    /// The pong that is owed past the high mark.
    pub(super) const fn pong(&self) -> Option<&Pong> {
        self.pong.as_ref()
    }

    /// Owes one pong, in place of any other.
    pub(super) fn owe_pong(&mut self, payload: &[u8]) {
        self.pong = Some(Pong::new(payload));
    }

    pub(super) fn take_pong(&mut self) -> Option<Pong> {
        self.pong.take()
    }
}

/// What is owed, for another process.
#[cfg(feature = "hub")]
impl Backlog {
    /// What each segment owes, what may be done with it, and whether a part of it is written.
    pub(super) fn segments(&self) -> impl Iterator<Item = (Vec<u8>, Mark, bool)> {
        let mut own_at = 0;
        self.segments.iter().filter(|segment| segment.left > 0).map(move |segment| {
            let bytes = match &segment.shared {
                Some(bytes) => bytes[bytes.len() - segment.left..].to_vec(),
                None => {
                    let start = own_at;
                    own_at += segment.left;
                    self.own.range(start..own_at).copied().collect()
                }
            };
            (bytes, segment.mark, segment.begun)
        })
    }

    /// Takes a segment of another process.
    pub(super) fn restore(&mut self, bytes: &[u8], mark: Mark, begun: bool) {
        self.push_bytes(bytes, 0, mark);
        if let Some(segment) = self.segments.back_mut() {
            segment.begun |= begun;
        }
    }
}

const fn charge(bytes: usize, segments: usize, keys: usize) -> usize {
    bytes + segments * SEGMENT_BYTES + keys * KEY_BYTES
}

/// How many frames some bytes are: neighbours are kept as one.
fn frames_in(mut bytes: impl ExactSizeIterator<Item = u8> + Clone) -> usize {
    let mut count = 0;
    while bytes.len() > 0 {
        let mut head = [0; HEADER_LEN_MAX];
        let len = bytes.len().min(HEADER_LEN_MAX);
        head.iter_mut().zip(bytes.clone()).for_each(|(to, from)| *to = from);
        count += 1;
        // They are ours, and whole.
        let Ok(Decoded::Whole(header, header_len)) = Header::decode(&head[..len]) else { break };
        let whole = header_len as u64 + header.payload_len;
        let last = usize::try_from(whole).unwrap_or(usize::MAX).saturating_sub(1);
        if bytes.nth(last).is_none() {
            break;
        }
    }
    count
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
            backlog.push_bytes(b"xone", 1, Mark::Lossy);
            backlog.push_shared(&frame, 0, Mark::Lossy);
            backlog.push_bytes(b"two", 0, Mark::Fixed);
            backlog.push_bytes(b"three", 0, Mark::Fixed);
            assert_eq!(drain(&mut backlog, step), b"one\x81\x06sharedtwothree");
            assert_eq!(backlog.charge(), 0);
        }
    }

    #[test]
    fn drop_oldest_spares_what_is_half_written_and_what_is_control() {
        let mut backlog = Backlog::new();
        backlog.push_bytes(b"Xhalf", 1, Mark::Lossy);
        backlog.push_bytes(b"control", 0, Mark::Fixed);
        backlog.push_bytes(b"old", 0, Mark::Lossy);
        backlog.push_bytes(b"new", 0, Mark::Lossy);
        let charge = backlog.charge();
        backlog.drop_oldest(charge);
        assert_eq!(drain(&mut backlog, 100), b"halfcontrolnew");
    }

    #[test]
    fn drop_all_leaves_the_half_written_frame() {
        let frame = SharedFrame::new(Message::text("shared"));
        let mut backlog = Backlog::new();
        backlog.push_shared(&frame, 3, Mark::Kept);
        backlog.push_bytes(b"more", 0, Mark::Fixed);
        backlog.drop_all();
        assert_eq!(drain(&mut backlog, 2), b"hared");
    }

    const KEY: NonZeroU64 = NonZeroU64::MIN;

    fn frame(text: &str) -> SharedFrame {
        SharedFrame::new(Message::text(text))
    }

    #[test]
    fn what_is_dropped_is_counted_by_messages() {
        let two = [frame("one").bytes(), frame(&"x".repeat(200)).bytes()].concat();
        let mut backlog = Backlog::new();
        backlog.push_bytes(&two, 0, Mark::Lossy);
        backlog.push_shared(&frame("three"), 0, Mark::Lossy);
        backlog.push_bytes(b"control", 0, Mark::Fixed);
        backlog.push_bytes(frame("kept").bytes(), 0, Mark::Kept);
        assert_eq!(backlog.drop_oldest(0), 3);
        assert_eq!(drain(&mut backlog, 9), b"control\x81\x04kept");
        backlog.push_bytes(&two, 0, Mark::Kept);
        assert_eq!((backlog.drop_oldest(0), backlog.drop_all()), (0, 2));
    }

    #[test]
    fn a_key_has_one_message_the_newest_in_its_order() {
        let other = NonZeroU64::MAX;
        for step in [1, 3, 100] {
            let mut backlog = Backlog::new();
            backlog.push_shared(&frame("a1"), 1, Mark::Keyed(KEY)); // half written
            assert_eq!(backlog.push_shared(&frame("a2"), 0, Mark::Keyed(KEY)), 0);
            backlog.push_bytes(frame("b1").bytes(), 0, Mark::Keyed(other));
            backlog.push_bytes(frame("x").bytes(), 0, Mark::Kept);
            assert_eq!(backlog.push_bytes(frame("a3").bytes(), 0, Mark::Keyed(KEY)), 1);
            assert_eq!(backlog.push_shared(&frame("b2"), 0, Mark::Keyed(other)), 1);
            let expected = b"\x02a1\x81\x01x\x81\x02a3\x81\x02b2";
            assert_eq!(drain(&mut backlog, step), expected, "{step}");
            assert_eq!((backlog.charge(), backlog.empty), (0, 0));
        }
    }

    #[test]
    fn a_key_that_is_sent_for_ever_is_owed_once() {
        let mut backlog = Backlog::new();
        let mut replaced = 0;
        for n in 0..10_000 {
            let key = NonZeroU64::new(n % 3 + 1).expect("not 0");
            replaced += backlog.push_shared(&frame("value"), 0, Mark::Keyed(key));
            assert!(backlog.charge() < 100 * SEGMENT_BYTES, "{}", backlog.charge());
            if n % 100 == 0 {
                backlog.drop_oldest(usize::MAX); // numbers the segments anew
            }
        }
        assert_eq!(replaced, 9_997);
        assert_eq!(drain(&mut backlog, 5).len(), 3 * 7);
    }

    #[test]
    #[cfg(feature = "hub")]
    fn what_is_owed_moves_to_another_process() {
        let mut backlog = Backlog::new();
        backlog.push_bytes(b"Xhalf", 1, Mark::Kept);
        backlog.push_shared(&frame("shared"), 0, Mark::Keyed(KEY));
        backlog.push_shared(&frame("latest"), 0, Mark::Keyed(KEY));
        backlog.push_bytes(b"own", 0, Mark::Lossy);
        backlog.push_bytes(b"control", 0, Mark::Fixed);
        let mut moved = Backlog::new();
        for (bytes, mark, begun) in backlog.segments() {
            moved.restore(&bytes, mark, begun);
        }
        assert_eq!(moved.drop_oldest(0), 2, "what is half written stays");
        assert_eq!(drain(&mut moved, 3), b"halfcontrol");
        assert_eq!(drain(&mut backlog, 3), b"half\x81\x06latestowncontrol");
    }

    #[test]
    fn what_has_drained_is_not_held() {
        let mut backlog = Backlog::new();
        for _ in 0..100 {
            backlog.push_bytes(&[0; 10_000], 0, Mark::Kept);
        }
        backlog.advance(990_000);
        assert!(backlog.own.capacity() <= 2 * 10_000 + OWN_KEPT_MAX);
    }
}
