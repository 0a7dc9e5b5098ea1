//! A connection written down, for another process.
//!
//! Owns the form: Protobuf, so that its lengths are checked where it is read. Never touches a
//! socket.

use super::backlog::{Backlog, Mark};
use crate::extension::Direction;
use crate::proto::{Inbound, InboundImage, Settings, Spare};

/// What is known of a connection.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Image {
    #[prost(message, optional, tag = "1")]
    inbound: Option<InboundImage>,
    /// What was agreed for the messages to it.
    #[prost(uint32, tag = "2")]
    outgoing: u32,
    #[prost(message, repeated, tag = "3")]
    owed: Vec<SegmentImage>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pong: Option<Vec<u8>>,
    /// How many messages were dropped that it was not told of.
    #[prost(uint64, tag = "5")]
    pub(super) dropped: u64,
    /// Who it is from, where a proxy has said so.
    #[prost(string, optional, tag = "6")]
    pub(super) proxied: Option<String>,
    /// What the handler knows.
    #[prost(bytes = "vec", tag = "7")]
    pub(super) session: Vec<u8>,
}

/// A part of what is owed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct SegmentImage {
    #[prost(bytes = "vec", tag = "1")]
    bytes: Vec<u8>,
    /// 0 is never dropped, 1 with the peer only, 2 to make room.
    #[prost(uint32, tag = "2")]
    mark: u32,
    #[prost(bool, tag = "3")]
    begun: bool,
}

impl Image {
    pub(super) fn new(
        inbound: InboundImage,
        outgoing: Direction,
        backlog: Option<&Backlog>,
    ) -> Self {
        let segments = backlog.into_iter().flat_map(Backlog::segments);
        let owed = segments.map(|(bytes, mark, begun)| {
            let mark = match mark {
                Mark::Fixed => 0,
                Mark::Kept => 1,
                // The keys of another process are not ours.
                Mark::Lossy | Mark::Keyed(_) => 2,
            };
            SegmentImage { bytes, mark, begun }
        });
        let pong = backlog.and_then(Backlog::pong).map(|pong| pong.payload().to_vec());
        let (inbound, outgoing) = (Some(inbound), u32::from(outgoing.to_bits()));
        Self { inbound, outgoing, owed: owed.collect(), pong, ..Self::default() }
    }

    pub(super) fn inbound(&self, settings: &Settings, spare: &mut Spare) -> Option<Inbound> {
        Inbound::of_image(self.inbound.as_ref()?, settings, spare)
    }

    pub(super) fn direction(&self) -> Direction {
        u8::try_from(self.outgoing).map_or(Direction::PLAIN, Direction::from_bits)
    }

    /// What is owed, if anything is.
    pub(super) fn backlog(&self) -> Option<Box<Backlog>> {
        if self.owed.is_empty() {
            return None;
        }
        let mut backlog = Box::new(Backlog::new());
        for SegmentImage { bytes, mark, begun } in &self.owed {
            let mark = match mark {
                1 => Mark::Kept,
                2 => Mark::Lossy,
                _ => Mark::Fixed,
            };
            backlog.restore(bytes, mark, *begun);
        }
        if let Some(pong) = &self.pong {
            backlog.owe_pong(pong);
        }
        Some(backlog)
    }
}
