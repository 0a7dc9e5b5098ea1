//! The numbers of the relay for `/metrics`.
//!
//! Owns their names. Never counts.

use prometheus::proto::MetricFamily;

use super::Relay;
use crate::hub::metrics::{counter, counters, gauge, gauges, seconds};

/// What is said of the way to the other nodes.
pub(in crate::hub) fn families(relay: &Relay) -> Vec<MetricFamily> {
    let stats = relay.stats();
    let count = |name, help, value| counters(name, help, vec![counter(&[], value)]);
    let size = |name, help, value: f64| gauges(name, help, vec![gauge(&[], value)]);
    vec![
        size(
            "throng_broker_connected",
            "Whether the broker can be used.",
            f64::from(u8::from(stats.is_connected)),
        ),
        count(
            "throng_broker_published_total",
            "Messages of this node that the broker has taken.",
            stats.published,
        ),
        count(
            "throng_broker_received_total",
            "Messages that came over the broker for rooms of this node, its own included.",
            stats.received,
        ),
        count(
            "throng_broker_failures_total",
            "Operations that the broker did not carry out, or that nobody knows of.",
            stats.failures,
        ),
        count(
            "throng_broker_reconnects_total",
            "How often the way to the broker was opened again.",
            stats.reconnects,
        ),
        count(
            "throng_broker_filled_total",
            "How often messages were missing in a room, and were read.",
            stats.filled,
        ),
        count(
            "throng_broker_gaps_total",
            "How often messages were missing in a room, and its members were told.",
            stats.gaps,
        ),
        count("throng_broker_exchanges_total", "Round trips to the broker.", stats.exchanges),
        counters(
            "throng_broker_exchange_seconds_total",
            "How long the round trips took.",
            vec![seconds(stats.exchange_time)],
        ),
        size(
            "throng_broker_nodes",
            "Nodes that live, as far as this one knows, itself included.",
            stats.nodes as f64,
        ),
        size("throng_broker_rooms", "Rooms that are followed.", stats.rooms as f64),
        size(
            "throng_broker_queue_bytes",
            "What waits for the broker, in bytes.",
            stats.waiting_bytes as f64,
        ),
    ]
}
