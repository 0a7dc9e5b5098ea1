//! What comes over NATS by itself, until the link takes it.
//!
//! Owns how a message becomes an arrival, and how much may wait: one task listens to each room, and
//! all of them put what they hear into one queue.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::header::NATS_SEQUENCE;
use async_nats::{Message, Subscriber};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use super::rooms::place_of;
use crate::hub::broker::BrokerError;
use crate::hub::broker::inbox::Inbox;
use crate::hub::history::Position;

/// What has come by itself.
pub(super) enum Arrival {
    /// A message has its place, and this number in the stream.
    Placed { room: Arc<str>, position: Position, sequence: u64, body: Box<[u8]> },
    /// Something was said without a place.
    Said { room: Option<Arc<str>>, body: Box<[u8]> },
    /// The connection is gone.
    Gone,
}

/// Where arrivals go in.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) inbox: Arc<Inbox>,
    sender: UnboundedSender<Arrival>,
    is_gone: Arc<AtomicBool>,
    gone: Arc<Notify>,
}

impl Door {
    pub(super) fn new(sender: UnboundedSender<Arrival>) -> Self {
        let (inbox, is_gone, gone) = (Arc::default(), Arc::default(), Arc::default());
        Self { inbox, sender, is_gone, gone }
    }

    /// Whether there is room for more.
    pub(super) fn put(&self, arrival: Arrival) -> bool {
        if matches!(arrival, Arrival::Gone) {
            self.is_gone.store(true, Ordering::Relaxed);
            self.gone.notify_one();
        }
        self.inbox.add(arrival.bytes()) && self.sender.send(arrival).is_ok()
    }

    /// Works as long as the connection is there.
    pub(super) async fn while_open<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, BrokerError> {
        let gone = || BrokerError("the connection is broken".into());
        if self.is_gone.load(Ordering::Relaxed) {
            return Err(gone());
        }
        match select(pin!(work), pin!(self.gone.notified())).await {
            Either::Left((result, _)) => Ok(result),
            Either::Right(_) => Err(gone()),
        }
    }
}

impl Arrival {
    /// What it takes, in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Placed { body, .. } | Self::Said { body, .. } => 128 + body.len(),
            Self::Gone => 0,
        }
    }

    /// What has come on the channel of a room, or of all nodes.
    fn read(room: Option<&Arc<str>>, message: &Message) -> Option<Self> {
        let room = room.cloned();
        let headers = message.headers.as_ref();
        let body: Box<[u8]> = message.payload.as_ref().into();
        let Some(headers) = headers else { return Some(Self::Said { room, body }) };
        let position = place_of(headers)?;
        let sequence = headers.get(NATS_SEQUENCE)?.as_str().parse().ok()?;
        Some(Self::Placed { room: room?, position, sequence, body })
    }
}

/// Puts what comes for a room, or for all nodes, into the queue.
pub(super) async fn listen(mut subscriber: Subscriber, door: Door, room: Option<Arc<str>>) {
    while let Some(message) = subscriber.next().await {
        match Arrival::read(room.as_ref(), &message) {
            Some(arrival) => {
                if !door.put(arrival) {
                    return;
                }
            }
            None => tracing::warn!("something came over NATS that is not ours"),
        }
    }
}
