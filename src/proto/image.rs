//! The read half of a connection in a form that another process can go on with.
//!
//! Owns which part of its state is written down, between two reads. What is held in a context of
//! compression cannot be.

use super::assembly::Spare;
use super::inbound::Inbound;
use super::phase::{Payload, Phase};
use super::{MessageKind, Settings};
use crate::extension::Direction;
use crate::frame::{CONTROL_PAYLOAD_MAX, HEADER_LEN_MAX, Opcode, Utf8};

/// Where a connection stands in its stream.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct InboundImage {
    #[prost(uint32, tag = "1")]
    direction: u32,
    /// What has come of a header.
    #[prost(bytes = "vec", tag = "2")]
    header: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    payload: Option<PayloadImage>,
    /// Of the open message: 1 text, 2 binary.
    #[prost(uint32, tag = "4")]
    kind: u32,
    #[prost(uint32, tag = "5")]
    utf8: u32,
    #[prost(uint32, tag = "6")]
    fragments: u32,
    #[prost(uint64, tag = "7")]
    message_bytes: u64,
    /// What has come of the open message.
    #[prost(bytes = "vec", tag = "8")]
    message: Vec<u8>,
    /// What has come of a control frame.
    #[prost(bytes = "vec", tag = "9")]
    control: Vec<u8>,
}

/// A frame that has come in part.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct PayloadImage {
    #[prost(uint64, tag = "1")]
    left: u64,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
    #[prost(uint32, tag = "3")]
    opcode: u32,
    #[prost(bool, tag = "4")]
    fin: bool,
}

/// In the order of their numbers.
const KINDS: [Option<MessageKind>; 3] = [None, Some(MessageKind::Text), Some(MessageKind::Binary)];

/// In the order of their numbers.
const UTF8: [Utf8; 8] = [
    Utf8::Boundary,
    Utf8::One,
    Utf8::Two,
    Utf8::Three,
    Utf8::AfterE0,
    Utf8::AfterEd,
    Utf8::AfterF0,
    Utf8::AfterF4,
];

impl Inbound {
    /// The state as it is; `None` where it cannot be written down.
    pub(crate) fn image(&self) -> Option<InboundImage> {
        let has_inflater = self.assembly.as_ref().is_some_and(|it| it.inflater.is_some());
        if self.direction.keeps_context() || self.is_compressed || has_inflater {
            return None;
        }
        let (header, payload) = match &self.phase {
            Phase::Header { have, bytes } => (bytes[..usize::from(*have)].to_vec(), None),
            Phase::Payload { left, key, opcode, fin } => {
                let (left, key, opcode) = (*left, key.to_vec(), *opcode as u32);
                (Vec::new(), Some(PayloadImage { left, key, opcode, fin: *fin }))
            }
            Phase::Done => return None,
        };
        let assembly = self.assembly.as_ref();
        Some(InboundImage {
            direction: u32::from(self.direction.to_bits()),
            header,
            payload,
            kind: KINDS.iter().position(|kind| *kind == self.message)? as u32,
            utf8: self.utf8 as u32,
            fragments: self.fragments,
            message_bytes: self.message_bytes,
            message: assembly.map_or_else(Vec::new, |it| it.message().to_vec()),
            control: assembly.map_or_else(Vec::new, |it| it.control().to_vec()),
        })
    }

    /// Goes on from there; `None` where that is no state of ours.
    pub(crate) fn of_image(
        image: &InboundImage,
        settings: &Settings,
        spare: &mut Spare,
    ) -> Option<Self> {
        let direction = Direction::from_bits(u8::try_from(image.direction).ok()?);
        let mut inbound = Self::with_extension(direction);
        inbound.message = *KINDS.get(image.kind as usize)?;
        inbound.utf8 = *UTF8.get(image.utf8 as usize)?;
        inbound.fragments = image.fragments;
        inbound.message_bytes = image.message_bytes;
        inbound.phase = match &image.payload {
            Some(payload) => {
                Phase::inside(payload.read(inbound.message.is_some(), image.control.len())?)
            }
            None => {
                let mut bytes = [0; HEADER_LEN_MAX];
                bytes.get_mut(..image.header.len())?.copy_from_slice(&image.header);
                Phase::Header { have: image.header.len() as u8, bytes }
            }
        };
        if image.control.len() > CONTROL_PAYLOAD_MAX {
            return None;
        }
        if !image.message.is_empty() || !image.control.is_empty() {
            let most = usize::try_from(settings.message_bytes_max).unwrap_or(usize::MAX);
            let mut assembly = spare.take();
            assembly.push(&image.message, most);
            assembly.push_control(&image.control);
            spare.count(&mut assembly, false);
            inbound.assembly = Some(assembly);
        }
        Some(inbound)
    }
}

impl PayloadImage {
    /// None where it cannot be, after so many bytes of a control frame.
    fn read(&self, has_message: bool, control_bytes: usize) -> Option<Payload> {
        let opcode = u8::try_from(self.opcode).ok().and_then(Opcode::from_bits)?;
        let key = self.key.as_slice().try_into().ok()?;
        let control_left_max = CONTROL_PAYLOAD_MAX.saturating_sub(control_bytes) as u64;
        let is_possible =
            if opcode.is_control() { self.left <= control_left_max } else { has_message };
        is_possible.then_some(Payload { left: self.left, key, opcode, fin: self.fin })
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::frame::apply_mask;
    use crate::proto::Role;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let key = [1, 2, 3, 4];
        let mut bytes = vec![first, 0x80 | payload.len() as u8];
        bytes.extend(key);
        let start = bytes.len();
        bytes.extend(payload);
        apply_mask(&mut bytes[start..], key, 0);
        bytes
    }

    /// A stream that is moved at every byte brings what one does that never is.
    #[test]
    fn a_connection_moves_at_every_byte() {
        let stream = [
            frame(0x81, "whole".as_bytes()),
            frame(0x01, "h\u{20ac}".as_bytes()),
            frame(0x89, b"ping"),
            frame(0x00, "l\u{1f600}".as_bytes()),
            frame(0x80, b"o"),
            frame(0x82, &[0xff; 100]),
            frame(0x88, &[3, 232]),
        ]
        .concat();
        let (settings, mut spare) = (Settings::new(Role::Server), Spare::default());
        let events = |inbound: &mut Inbound, spare: &mut Spare, bytes: &[u8]| {
            let (mut bytes, mut found) = (bytes.to_vec(), Vec::new());
            let mut events = inbound.receive(&settings, spare, &mut bytes);
            while let Some(event) = events.next() {
                found.push(format!("{:?}", event.expect("good frames")));
            }
            found
        };
        let whole = events(&mut Inbound::new(), &mut spare, &stream);
        assert_eq!(whole.len(), 5, "{whole:?}");
        for cut in 0..stream.len() {
            let mut first = Inbound::new();
            let mut found = events(&mut first, &mut spare, &stream[..cut]);
            let bytes = first.image().expect("it can be moved").encode_to_vec();
            first.release(&mut spare);
            let image = InboundImage::decode(&*bytes).expect("an image");
            let mut second = Inbound::of_image(&image, &settings, &mut spare).expect("a state");
            found.extend(events(&mut second, &mut spare, &stream[cut..]));
            assert_eq!(found, whole, "moved at {cut}");
            second.release(&mut spare);
        }
        assert_eq!(spare.lent_bytes(), 0);
    }

    #[test]
    fn what_is_no_state_is_not_taken() {
        let (settings, mut spare) = (Settings::new(Role::Server), Spare::default());
        let payload = |opcode, left, key: &[u8]| {
            let key = key.to_vec();
            InboundImage {
                payload: Some(PayloadImage { left, key, opcode, fin: true }),
                ..InboundImage::default()
            }
        };
        let bad = [
            InboundImage { kind: 3, ..InboundImage::default() },
            InboundImage { utf8: 8, ..InboundImage::default() },
            InboundImage { header: vec![0; 15], ..InboundImage::default() },
            InboundImage { control: vec![0; 126], ..InboundImage::default() },
            payload(1, 1, &[0; 4]),
            payload(3, 1, &[0; 4]),
            payload(9, 126, &[0; 4]),
            payload(9, 1, &[0; 3]),
        ];
        for image in bad {
            assert!(Inbound::of_image(&image, &settings, &mut spare).is_none(), "{image:?}");
        }
    }
}
