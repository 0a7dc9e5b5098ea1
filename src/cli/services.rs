//! What runs beside the loops: the store, the way to other nodes, the sink, the sessions.
//!
//! Owns in which order they start, and which hub gets which of them. Never does their work.

use std::io;
use std::sync::Arc;

use throng::hub::broker::Relay;
use throng::hub::history::Keeper;
use throng::hub::sessions::Sessions;
use throng::hub::sink::Sink;
use throng::hub::{Hub, Metrics};

/// What runs, where it was asked for.
#[derive(Debug)]
pub struct Services {
    pub keeper: Option<Keeper>,
    /// Whether the keeper has durable rooms, and not the outbox of the sink alone.
    pub has_durable: bool,
    pub relay: Option<Relay>,
    pub sink: Option<Sink>,
    pub sessions: Option<Arc<dyn Sessions>>,
}

impl Services {
    /// Has the metrics tell of them. Without durable rooms a server is ready whatever becomes of
    /// the file.
    pub fn watch(&self, metrics: &Metrics) {
        if let Some(keeper) = self.keeper.as_ref().filter(|_| self.has_durable) {
            metrics.watch(keeper);
        }
        if let Some(relay) = &self.relay {
            metrics.watch_relay(relay);
        }
        if let Some(sink) = &self.sink {
            metrics.watch_sink(sink);
        }
        if let Some(sessions) = &self.sessions {
            metrics.watch_sessions(sessions);
        }
    }

    /// The hub of a loop, with them.
    pub fn serve(&self, hub: Hub) -> Hub {
        let hub = match (&self.keeper, &self.relay) {
            (_, Some(relay)) => hub.relaying(relay),
            (Some(keeper), None) => hub.keeping(keeper),
            (None, None) => hub,
        };
        let hub = match &self.sink {
            Some(sink) => hub.telling(sink),
            None => hub,
        };
        match &self.sessions {
            Some(sessions) => hub.resuming(Arc::clone(sessions)),
            None => hub,
        }
    }
}

/// Starts the sink of a setup, whose events wait with the keeper. With a relay it hears of messages
/// there.
pub fn start_sink(
    setup: Option<super::sink::Setup>,
    keeper: Option<&Keeper>,
    relay: Option<&Relay>,
) -> io::Result<Option<Sink>> {
    let (Some(setup), Some(keeper)) = (setup, keeper) else { return Ok(None) };
    let sink = setup.start(keeper)?;
    if let Some(relay) = relay {
        relay.tell(&sink);
    }
    Ok(Some(sink))
}
