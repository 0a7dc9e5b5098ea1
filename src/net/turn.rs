//! What a turn of the loop owes its peers.
//!
//! Owns the arena: the bytes, the shared frames, and for each peer a chain of pieces of them.
//! Filled during the turn, written at its end, then emptied without being freed. Never touches a
//! socket.

use std::io::IoSlice;
use std::num::NonZeroU64;
use std::ops::Range;

use super::backlog::Mark;
use crate::proto::SharedFrame;

/// A shared frame up to this length, in bytes, is copied into the arena once a turn, where it joins
/// its neighbours in one piece; a longer one is referred to.
pub(super) const COPY_MAX: usize = 4 << 10;

/// The arena is written out early when it has grown to this, in bytes or in pieces.
const BYTES_MAX: usize = 1 << 20;
const PIECES_MAX: usize = 1 << 16;

/// What the arena keeps at rest, in bytes, of each kind.
const REST_MAX: usize = 16 << 10;

/// How many pieces go into one system call.
pub(super) const SLICES_MAX: usize = 64;

const NONE: u32 = u32::MAX;

/// The pieces that one peer is owed: places in the arena.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    first: u32,
    last: u32,
}

impl Chain {
    pub(super) const EMPTY: Self = Self { first: NONE, last: NONE };

    pub(super) const fn is_empty(self) -> bool {
        self.first == NONE
    }
}

/// Where a piece stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the arena's bytes.
    Bytes { start: u32, end: u32 },
    /// A shared frame, by its number in this turn.
    Shared(u32),
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    place: Place,
    tag: Tag,
    next: u32,
}

const _: () = assert!(size_of::<Piece>() <= 20);

/// A [`Mark`] in four bytes: its key stands in the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(u32);

impl Tag {
    pub(super) const FIXED: Self = Self(0);
    pub(super) const KEPT: Self = Self(1);
    pub(super) const LOSSY: Self = Self(2);
    /// From here on, numbers of keys.
    const KEYED: u32 = 3;
}

/// A piece, lent.
pub(super) enum Owed<'a> {
    Bytes(&'a [u8]),
    Shared(&'a SharedFrame),
}

impl Owed<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Shared(frame) => frame.bytes(),
        }
    }
}

/// A shared frame that stands in the arena, to be owed to any number of peers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Staged(Place);

/// The arena of one turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    bytes: Vec<u8>,
    shared: Vec<SharedFrame>,
    /// The bytes that the shared frames keep.
    shared_bytes: usize,
    pieces: Vec<Piece>,
    /// The keys of frames that may take the place of others.
    keys: Vec<NonZeroU64>,
    /// The most bytes and pieces of a turn since the arena was last [trimmed](Self::trim).
    peak: (usize, usize),
}

impl Turn {
    /// Whether it is time to write before the turn ends.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() + self.shared_bytes >= BYTES_MAX || self.pieces.len() >= PIECES_MAX
    }

    /// Forgets what the turn owed. Chains of this turn mean nothing after this.
    pub(super) fn clear(&mut self) {
        let (bytes, pieces) = self.peak;
        self.peak = (bytes.max(self.bytes.len()), pieces.max(self.pieces.len()));
        self.bytes.clear();
        self.bytes.shrink_to(BYTES_MAX);
        self.shared.clear();
        self.shared_bytes = 0;
        self.pieces.clear();
        self.keys.clear();
    }

    /// Gives back what no turn has needed since this was last done: a crowd that came at once must
    /// not cost memory for ever.
    pub(super) fn trim(&mut self) {
        let (bytes, pieces) = std::mem::take(&mut self.peak);
        self.bytes.shrink_to(bytes.max(REST_MAX));
        self.pieces.shrink_to(pieces.max(REST_MAX / size_of::<Piece>()));
        self.keys.shrink_to(REST_MAX / size_of::<NonZeroU64>());
    }

    /// What it takes, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let pieces = self.pieces.capacity() * size_of::<Piece>();
        let shared = self.shared.capacity() * size_of::<SharedFrame>() + self.shared_bytes;
        self.bytes.capacity() + pieces + shared + self.keys.capacity() * size_of::<NonZeroU64>()
    }

    /// The tag of a key, in this turn.
    pub(super) fn tag(&mut self, key: NonZeroU64) -> Tag {
        self.keys.push(key);
        Tag(Tag::KEYED + self.keys.len() as u32 - 1)
    }

    fn mark(&self, tag: Tag) -> Mark {
        match tag {
            Tag::FIXED => Mark::Fixed,
            Tag::KEPT => Mark::Kept,
            Tag::LOSSY => Mark::Lossy,
            Tag(number) => {
                let key = self.keys.get((number - Tag::KEYED) as usize);
                key.map_or(Mark::Lossy, |key| Mark::Keyed(*key))
            }
        }
    }

    /// Lets `encode` append bytes, and owes them.
    #[inline]
    pub(super) fn push<T>(
        &mut self,
        chain: &mut Chain,
        tag: Tag,
        encode: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> T {
        let start = self.bytes.len() as u32;
        let result = encode(&mut self.bytes);
        let end = self.bytes.len() as u32;
        if end > start {
            self.link(chain, Place::Bytes { start, end }, tag);
        }
        result
    }

    /// Puts a frame into the arena, once for all its peers.
    pub(super) fn stage(&mut self, frame: &SharedFrame) -> Staged {
        if frame.bytes().len() > COPY_MAX {
            self.shared.push(frame.clone());
            self.shared_bytes += frame.bytes().len();
            return Staged(Place::Shared(self.shared.len() as u32 - 1));
        }
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(frame.bytes());
        Staged(Place::Bytes { start, end: self.bytes.len() as u32 })
    }

    /// Owes a staged frame.
    #[inline]
    pub(super) fn push_staged(&mut self, chain: &mut Chain, staged: Staged, tag: Tag) {
        self.link(chain, staged.0, tag);
    }

    /// Appends a piece to a chain, or makes the last one longer where the two are neighbours.
    #[inline]
    fn link(&mut self, chain: &mut Chain, place: Place, tag: Tag) {
        let new = self.pieces.len() as u32;
        if let Some(last) = self.pieces.get_mut(chain.last as usize) {
            if let (Place::Bytes { end: last_end, .. }, Place::Bytes { start, end }) =
                (&mut last.place, place)
                && *last_end == start
                && last.tag == tag
            {
                *last_end = end;
                return;
            }
            last.next = new;
        } else {
            chain.first = new;
        }
        chain.last = new;
        self.pieces.push(Piece { place, tag, next: NONE });
    }

    /// The pieces of a chain in order, and what a policy may do with each.
    pub(super) fn owed(&self, chain: Chain) -> impl Iterator<Item = (Owed<'_>, Mark)> {
        let first = self.pieces.get(chain.first as usize);
        std::iter::successors(first, |piece| self.pieces.get(piece.next as usize)).map(|piece| {
            let owed = match piece.place {
                Place::Bytes { start, end } => Owed::Bytes(&self.bytes[range(start, end)]),
                Place::Shared(number) => Owed::Shared(&self.shared[number as usize]),
            };
            (owed, self.mark(piece.tag))
        })
    }

    /// The bytes of a chain that is one piece, as most are.
    #[inline]
    pub(super) fn only(&self, chain: Chain) -> Option<&[u8]> {
        let piece = self.pieces.get(chain.first as usize).filter(|_| chain.first == chain.last)?;
        Some(match piece.place {
            Place::Bytes { start, end } => &self.bytes[range(start, end)],
            Place::Shared(number) => self.shared[number as usize].bytes(),
        })
    }

    /// The front of a chain as slices for one system call: how many were filled, their length
    /// together, and the chain that follows them.
    pub(super) fn gather<'a>(
        &'a self,
        chain: Chain,
        slices: &mut [IoSlice<'a>; SLICES_MAX],
    ) -> (usize, usize, Chain) {
        let (mut count, mut len) = (0, 0);
        let mut at = chain.first;
        while let Some(piece) = self.pieces.get(at as usize) {
            let Some(slice) = slices.get_mut(count) else { break };
            let bytes = match piece.place {
                Place::Bytes { start, end } => &self.bytes[range(start, end)],
                Place::Shared(number) => self.shared[number as usize].bytes(),
            };
            *slice = IoSlice::new(bytes);
            count += 1;
            len += bytes.len();
            at = piece.next;
        }
        let rest = if at == NONE { Chain::EMPTY } else { Chain { first: at, last: chain.last } };
        (count, len, rest)
    }

    /// How many bytes a chain owes.
    pub(super) fn len(&self, chain: Chain) -> usize {
        self.owed(chain).map(|(owed, _)| owed.bytes().len()).sum()
    }
}

fn range(start: u32, end: u32) -> Range<usize> {
    start as usize..end as usize
}
