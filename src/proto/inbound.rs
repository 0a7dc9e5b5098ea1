//! Bytes to events (RFC 6455 sections 5 and 6.2).
//!
//! Owns the place in the stream of one connection: a header cut short, a frame, a message. Never
//! copies a message that is whole in one read, never looks at a byte twice.

use std::ops::Range;

use crate::frame::{Decoded, HEADER_LEN_MAX, Header, HeaderError};
use crate::frame::{Opcode, Utf8, apply_mask, unmask_text};

use super::assembly::{Assembly, Spare};
use super::inflating::Inflating;
use super::phase::{Payload, Phase};
use super::{
    Chunk, Close, Delivery, Event, Message, MessageKind, ProtocolError, RSV1, Role, Settings,
};
use crate::extension::Direction;

/// Unmasking and UTF-8 go over a payload in blocks that stay in the first-level cache.
const BLOCK: usize = 8 << 10;

const RSV: u8 = 0x70;

/// A frame with at least this much still to come is worth a read of its own, into the message.
const DIRECT_FROM: u64 = 16 << 10;

/// At most this much is read at once, so that it is still in the cache when it is unmasked.
const DIRECT_MAX: usize = 256 << 10;

/// The read half of a connection: 40 bytes, no heap unless a frame or message is split.
///
/// ```
/// use throng::proto::{Event, Inbound, Message, Role, Settings, Spare};
///
/// let (settings, mut spare) = (Settings::new(Role::Server), Spare::default());
/// let mut inbound = Inbound::new();
/// let mut bytes = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
/// let mut events = inbound.receive(&settings, &mut spare, &mut bytes);
/// assert_eq!(events.next(), Some(Ok(Event::Message(Message::text("Hello")))));
/// assert_eq!(events.next(), None);
/// ```
#[derive(Debug)]
pub struct Inbound {
    pub(super) phase: Phase,
    pub(super) message: Option<MessageKind>,
    pub(super) utf8: Utf8,
    /// What was agreed for the messages that come.
    pub(super) direction: Direction,
    /// Whether the open message is compressed: RSV1 of its first frame (RFC 7692 section 6).
    pub(super) is_compressed: bool,
    pub(super) fragments: u32,
    pub(super) message_bytes: u64,
    pub(super) assembly: Option<Box<Assembly>>,
}

const _: () = assert!(size_of::<Inbound>() <= 40);

impl Inbound {
    /// A connection on which nothing has come yet, and nothing is compressed.
    pub const fn new() -> Self {
        Self::with_extension(Direction::PLAIN)
    }

    /// A connection on which nothing has come yet, and permessage-deflate was agreed.
    pub const fn with_extension(direction: Direction) -> Self {
        Self {
            direction,
            is_compressed: false,
            phase: Phase::START,
            message: None,
            utf8: Utf8::Boundary,
            fragments: 0,
            message_bytes: 0,
            assembly: None,
        }
    }

    /// Takes the next bytes of the stream. They are unmasked in place, and the events borrow them.
    /// Go on until there are no more events: what is not taken is lost.
    pub fn receive<'a>(
        &'a mut self,
        settings: &'a Settings,
        spare: &'a mut Spare,
        input: &'a mut [u8],
    ) -> Events<'a> {
        Events::new(self, settings, spare, input, 0)
    }

    /// Where the next bytes of the stream may be read to without a copy: inside a large message,
    /// its own buffer, and no further than the frame goes. Read there, then say how much with
    /// [`receive_direct`](Self::receive_direct).
    pub fn direct(&mut self, settings: &Settings) -> Option<&mut [u8]> {
        let Phase::Payload { left, opcode, .. } = self.phase else { return None };
        let is_worth_it = left >= DIRECT_FROM && !opcode.is_control() && !self.is_compressed;
        if !is_worth_it || settings.delivery != Delivery::Whole {
            return None;
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(DIRECT_MAX);
        let assembly = self.assembly.as_mut()?;
        if assembly.message().len() < DIRECT_FROM as usize {
            return None; // memory follows the bytes that have come
        }
        let limit = usize::try_from(settings.message_bytes_max).unwrap_or(usize::MAX);
        let room = assembly.room(most.min(DIRECT_FROM as usize), limit);
        let len = room.len().min(most);
        Some(&mut room[..len])
    }

    /// Takes `n` bytes that were read to where [`direct`](Self::direct) said.
    pub fn receive_direct<'a>(
        &'a mut self,
        settings: &'a Settings,
        spare: &'a mut Spare,
        n: usize,
    ) -> Events<'a> {
        Events::new(self, settings, spare, &mut [], n)
    }

    /// Whether a Close frame or a fault has ended the stream: what arrives is thrown away.
    pub const fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// Whether nothing of a message or frame has come, and nothing is kept.
    #[inline]
    pub(super) const fn is_between_messages(&self) -> bool {
        let at_start = matches!(self.phase, Phase::Header { have: 0, .. });
        at_start && self.message.is_none() && self.assembly.is_none()
    }

    /// Whether messages may come compressed.
    pub const fn is_compressed(&self) -> bool {
        self.direction.is_compressed()
    }

    /// What a message that has come in part takes, in bytes: what has come of it, and what it is
    /// inflated with.
    pub fn partial_bytes(&self) -> usize {
        let keeps_context = self.direction.keeps_context();
        self.assembly.as_ref().map_or(0, |assembly| assembly.used_bytes(keeps_context))
    }

    /// Gives the buffers back, for a connection that ends.
    pub fn release(&mut self, spare: &mut Spare) {
        if let Some(assembly) = self.assembly.take() {
            spare.put(assembly);
        }
    }

    /// Checks the header as far as it has come, in the order of its bytes, so that the verdict does
    /// not depend on where the stream was cut.
    #[inline]
    fn judge(&self, bytes: &[u8], role: Role) -> Result<Decoded, ProtocolError> {
        if let Some(&first) = bytes.first() {
            self.check_first(first)?;
        }
        let decoded = Header::decode(bytes);
        if let Err(error @ (HeaderError::ReservedOpcode | HeaderError::FragmentedControl)) = decoded
        {
            return Err(error.into());
        }
        // RFC 6455 section 5.1: a server fails on an unmasked frame, a client on a masked one.
        match (role, bytes.get(1).map(|second| second & 0x80 != 0)) {
            (Role::Server, Some(false)) => Err(ProtocolError::Unmasked),
            (Role::Client, Some(true)) => Err(ProtocolError::Masked),
            (Role::Server | Role::Client, _) => Ok(decoded?),
        }
    }

    #[inline]
    fn check_first(&self, first: u8) -> Result<(), ProtocolError> {
        let opcode = Opcode::from_bits(first & 0x0F);
        // RFC 6455 section 5.2: RSV1 to 3 "MUST be 0 unless an extension is negotiated". RFC 7692
        // section 6: RSV1 only on the first frame of a message, never on a control frame.
        let starts_message = matches!(opcode, Some(Opcode::Text | Opcode::Binary));
        let allowed = if starts_message && self.direction.is_compressed() { RSV1 } else { 0 };
        if first & RSV & !allowed != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        // RFC 6455 section 5.4: fragments of one message are not interleaved with another's.
        match opcode {
            Some(Opcode::Continuation) if self.message.is_none() => {
                Err(ProtocolError::UnexpectedContinuation)
            }
            Some(Opcode::Text | Opcode::Binary) if self.message.is_some() => {
                Err(ProtocolError::ExpectedContinuation)
            }
            Some(_) | None => Ok(()), // reserved: the header says so
        }
    }

    /// Enters the payload that a header announces, if the limits allow it: the length is held
    /// against them as the 64-bit number that it is, before anything is made of it.
    #[inline]
    fn begin(&mut self, header: &Header, settings: &Settings) -> Result<(), ProtocolError> {
        let kind = match header.opcode {
            Opcode::Text => Some(MessageKind::Text),
            Opcode::Binary => Some(MessageKind::Binary),
            Opcode::Continuation => self.message,
            Opcode::Close | Opcode::Ping | Opcode::Pong => None,
        };
        if kind.is_some() {
            if self.message.is_none() {
                self.is_compressed = header.rsv & RSV1 != 0;
            }
            self.message = kind;
            self.message_bytes = self.message_bytes.saturating_add(header.payload_len);
            self.fragments = self.fragments.saturating_add(1);
            // What does not compress grows a little; what comes out is held against the limit.
            let max = self.message_bytes_max(settings);
            let growth = if self.is_compressed { max / 256 + 64 } else { 0 };
            if self.message_bytes > max.saturating_add(growth) {
                return Err(ProtocolError::MessageTooBig);
            }
            if self.fragments > settings.fragments_max {
                return Err(ProtocolError::TooManyFragments);
            }
        }
        self.phase = Phase::inside(Payload {
            left: header.payload_len,
            key: header.mask.unwrap_or_default(),
            opcode: header.opcode,
            fin: header.fin,
        });
        Ok(())
    }

    /// The message that was open has ended.
    #[inline]
    pub(super) fn end_message(&mut self) -> Result<(), ProtocolError> {
        self.message = None;
        self.message_bytes = 0;
        self.fragments = 0;
        self.is_compressed = false;
        if self.utf8.is_boundary() {
            Ok(())
        } else {
            Err(ProtocolError::InvalidUtf8(crate::frame::InvalidUtf8))
        }
    }
}

impl Default for Inbound {
    fn default() -> Self {
        Self::new()
    }
}

/// The events in some bytes: a lending iterator, since each event borrows what it is made of.
///
/// `next` gives `None` when the bytes are used up, and after an error or a Close.
#[derive(Debug)]
pub struct Events<'a> {
    pub(super) inbound: &'a mut Inbound,
    pub(super) settings: &'a Settings,
    pub(super) spare: &'a mut Spare,
    pub(super) input: &'a mut [u8],
    /// How much of `input` is used up.
    pub(super) at: usize,
    /// How many bytes stand in the assembly's room, not yet taken.
    direct: usize,
    /// What of a compressed frame is unmasked, and not yet inflated.
    pub(super) inflating: Option<Inflating>,
    lent: Lent,
    /// Whether a short message may come next, and nothing is lent.
    at_rest: bool,
}

/// What of the assembly the last event borrowed, to be given back before the next.
#[derive(Clone, Copy, Debug)]
enum Lent {
    Nothing,
    Message,
    Control,
}

/// An event before it borrows.
#[derive(Debug)]
pub(super) enum Found {
    Message(MessageKind, Place),
    Chunk(MessageKind, bool, Place),
    Control(Opcode, Place),
}

/// Where a payload stands.
#[derive(Debug)]
pub(super) enum Place {
    Input(Range<usize>),
    Assembly,
}

impl<'a> Events<'a> {
    fn new(
        inbound: &'a mut Inbound,
        settings: &'a Settings,
        spare: &'a mut Spare,
        input: &'a mut [u8],
        direct: usize,
    ) -> Self {
        let (inflating, lent) = (None, Lent::Nothing);
        let at_rest = false;
        Self { inbound, settings, spare, input, at: 0, direct, inflating, lent, at_rest }
    }

    /// The next event, or what the peer did wrong. Not `Iterator`: the event borrows `self`.
    #[expect(clippy::should_implement_trait, reason = "lends")]
    #[inline(always)]
    pub fn next(&mut self) -> Option<Result<Event<'_>, ProtocolError>> {
        if !self.at_rest {
            self.give_back();
            self.at_rest = self.may_be_short();
        }
        if self.at_rest {
            match self.short() {
                Ok(Some((kind, range))) => {
                    let payload = &self.input[range];
                    return Some(Ok(Event::Message(Message { kind, payload })));
                }
                Ok(None) => self.at_rest = false,
                Err(error) => return Some(Err(self.fail(error))),
            }
        }
        self.next_long()
    }

    #[inline(never)]
    fn next_long(&mut self) -> Option<Result<Event<'_>, ProtocolError>> {
        match self.find() {
            Ok(None) => None,
            Ok(Some(found)) => Some(self.lend(found)),
            Err(error) => Some(Err(self.fail(error))),
        }
    }

    #[cold]
    fn fail(&mut self, error: ProtocolError) -> ProtocolError {
        self.at_rest = false;
        self.inbound.phase = Phase::Done;
        self.inbound.release(self.spare);
        error
    }

    /// Goes on until an event is complete or the bytes are used up.
    #[inline]
    fn find(&mut self) -> Result<Option<Found>, ProtocolError> {
        loop {
            if self.inflating.is_some() {
                let found = self.inflate()?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            match self.inbound.phase {
                Phase::Header { .. } => {
                    let Some(header) = self.header()? else { return Ok(None) };
                    self.inbound.begin(&header, self.settings)?;
                }
                Phase::Payload { left, key, opcode, fin } => {
                    let payload = Payload { left, key, opcode, fin };
                    if payload.left > 0 && self.at == self.input.len() && self.direct == 0 {
                        return Ok(None);
                    }
                    let found = if payload.opcode.is_control() {
                        self.control(payload)
                    } else {
                        self.data(payload)?
                    };
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                Phase::Done => return Ok(None),
            }
        }
    }

    /// The next header: straight from the input where it is whole, else by way of the spill.
    #[inline]
    fn header(&mut self) -> Result<Option<Header>, ProtocolError> {
        let Phase::Header { have: 0, .. } = self.inbound.phase else { return self.spilled() };
        let rest = &self.input[self.at..];
        match self.inbound.judge(rest, self.settings.role)? {
            Decoded::Whole(header, len) => {
                self.at += len;
                Ok(Some(header))
            }
            Decoded::Partial(_) => {
                let mut bytes = [0; HEADER_LEN_MAX];
                bytes[..rest.len()].copy_from_slice(rest);
                self.inbound.phase = Phase::Header { have: rest.len() as u8, bytes };
                self.at = self.input.len();
                Ok(None)
            }
        }
    }

    /// Goes on with a header that an earlier read cut.
    fn spilled(&mut self) -> Result<Option<Header>, ProtocolError> {
        loop {
            let Phase::Header { have, bytes } = &self.inbound.phase else { return Ok(None) };
            let have = usize::from(*have);
            let needed = match self.inbound.judge(&bytes[..have], self.settings.role)? {
                Decoded::Whole(header, _) => return Ok(Some(header)),
                Decoded::Partial(needed) => needed,
            };
            let rest = &self.input[self.at..];
            if rest.is_empty() {
                return Ok(None);
            }
            let n = rest.len().min(needed - have);
            let Phase::Header { have: stored, bytes } = &mut self.inbound.phase else {
                return Ok(None);
            };
            bytes[have..have + n].copy_from_slice(&rest[..n]);
            *stored = (have + n) as u8;
            self.at += n;
        }
    }

    /// Takes what has come of a control frame; an event when that is all of it.
    fn control(&mut self, mut payload: Payload) -> Option<Found> {
        let range = self.next_range(payload.left);
        let bytes = &mut self.input[range.clone()];
        apply_mask(bytes, payload.key, 0);
        let is_whole = range.len() as u64 == payload.left;
        let is_split = match &self.inbound.assembly {
            Some(assembly) => !assembly.control().is_empty(),
            None => false,
        };
        let place = if is_whole && !is_split {
            Place::Input(range)
        } else {
            let assembly = self.inbound.assembly.get_or_insert_with(|| self.spare.take());
            assembly.push_control(bytes);
            Place::Assembly
        };
        if is_whole {
            let close = payload.opcode == Opcode::Close;
            self.inbound.phase = if close { Phase::Done } else { Phase::START };
            return Some(Found::Control(payload.opcode, place));
        }
        payload.key.rotate_left(bytes.len() % 4);
        payload.left -= bytes.len() as u64;
        self.inbound.phase = Phase::inside(payload);
        None
    }

    /// Takes what has come of a data frame; an event when a message, or a chunk, is complete.
    #[inline]
    fn data(&mut self, mut payload: Payload) -> Result<Option<Found>, ProtocolError> {
        let Some(kind) = self.inbound.message else {
            return Err(ProtocolError::UnexpectedContinuation); // never: `begin` has set it
        };
        let range = self.next_range(payload.left);
        let taken = self.absorb(kind, payload.key, range.clone())?;
        payload.left -= taken as u64;
        let last = payload.left == 0 && payload.fin;
        if self.inbound.is_compressed {
            self.inflating = Some(Inflating { range: range.clone(), last });
        }
        if payload.left == 0 {
            self.inbound.phase = Phase::START;
        } else {
            payload.key.rotate_left(taken % 4);
            self.inbound.phase = Phase::inside(payload);
        }
        if self.inbound.is_compressed {
            return Ok(None);
        }
        if last {
            self.inbound.end_message()?;
        }
        match self.settings.delivery {
            Delivery::Chunks if taken == 0 && !last => Ok(None),
            Delivery::Chunks => Ok(Some(Found::Chunk(kind, last, Place::Input(range)))),
            Delivery::Whole => Ok(self.assemble(kind, last, range)),
        }
    }

    /// Unmasks and checks the bytes of a data frame that have come, and counts them.
    #[inline]
    fn absorb(
        &mut self,
        kind: MessageKind,
        key: [u8; 4],
        range: Range<usize>,
    ) -> Result<usize, ProtocolError> {
        let direct = std::mem::take(&mut self.direct);
        let bytes = match &mut self.inbound.assembly {
            Some(assembly) if direct > 0 => assembly.advance(direct),
            Some(_) | None => &mut self.input[range],
        };
        if kind == MessageKind::Binary || self.inbound.is_compressed {
            apply_mask(bytes, key, 0);
            return Ok(bytes.len());
        }
        for block in bytes.chunks_mut(BLOCK) {
            // A block is a multiple of four: the key stays in step.
            let is_ascii = unmask_text(block, key);
            if !(is_ascii && self.inbound.utf8.is_boundary()) {
                self.inbound.utf8.push(block)?;
            }
        }
        Ok(bytes.len())
    }

    /// Keeps a piece of a message; the message when this was the last. One that is whole in this
    /// read is not copied.
    #[inline]
    fn assemble(&mut self, kind: MessageKind, last: bool, range: Range<usize>) -> Option<Found> {
        if last && self.inbound.assembly.is_none() {
            return Some(Found::Message(kind, Place::Input(range)));
        }
        if !range.is_empty() {
            let most = self.inbound.message_bytes_max(self.settings);
            let assembly = self.inbound.assembly.get_or_insert_with(|| self.spare.take());
            assembly.push(&self.input[range], usize::try_from(most).unwrap_or(usize::MAX));
        }
        last.then_some(Found::Message(kind, Place::Assembly))
    }

    /// The bytes of the input that belong to a payload of which `left` are to come.
    #[inline]
    fn next_range(&mut self, left: u64) -> Range<usize> {
        let start = self.at;
        let rest = self.input.len() - start;
        self.at += usize::try_from(left).unwrap_or(usize::MAX).min(rest);
        start..self.at
    }

    /// Makes the event that was found, out of the bytes where they stand.
    #[inline]
    fn lend(&mut self, found: Found) -> Result<Event<'_>, ProtocolError> {
        let (opcode, place) = match found {
            Found::Message(kind, place) => {
                let payload = self.borrow(place, Lent::Message);
                return Ok(Event::Message(Message { kind, payload }));
            }
            Found::Chunk(kind, last, place) => {
                let payload = self.borrow(place, Lent::Message);
                return Ok(Event::Chunk(Chunk { kind, last, payload }));
            }
            Found::Control(opcode, place) => (opcode, place),
        };
        let payload = self.borrow(place, Lent::Control);
        match opcode {
            Opcode::Ping => Ok(Event::Ping(payload)),
            Opcode::Pong => Ok(Event::Pong(payload)),
            Opcode::Close | Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                Close::parse(payload).map(Event::Close)
            }
        }
    }

    #[inline]
    fn borrow(&mut self, place: Place, lent: Lent) -> &[u8] {
        match (place, &self.inbound.assembly) {
            (Place::Input(range), _) => &self.input[range],
            (Place::Assembly, Some(assembly)) => {
                self.lent = lent;
                match lent {
                    Lent::Message => assembly.message(),
                    Lent::Control => assembly.control(),
                    Lent::Nothing => &[],
                }
            }
            (Place::Assembly, None) => &[], // a message of empty fragments
        }
    }

    /// Takes back what the last event borrowed.
    #[inline]
    fn give_back(&mut self) {
        if self.inbound.is_done() {
            return self.inbound.release(self.spare); // also of a message that a Close has cut short
        }
        match std::mem::replace(&mut self.lent, Lent::Nothing) {
            Lent::Nothing => return,
            Lent::Message => return self.end_assembly(),
            Lent::Control => {
                if let Some(assembly) = &mut self.inbound.assembly {
                    assembly.clear_control();
                    if !assembly.message().is_empty() || assembly.inflater.is_some() {
                        return; // a message is being put together around it
                    }
                }
            }
        }
        self.inbound.release(self.spare);
    }
}

impl Drop for Events<'_> {
    fn drop(&mut self) {
        self.give_back();
        if let Some(assembly) = &mut self.inbound.assembly {
            self.spare.count(assembly, self.inbound.direction.keeps_context());
        }
    }
}
