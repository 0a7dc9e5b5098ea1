//! What a monitoring system is told of the sink.
//!
//! Owns the names of its metrics. Never counts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::proto::MetricFamily;

use super::Sink;
use crate::hub::metrics::{counter, counters, gauge, gauges};

/// The numbers of a sink.
pub(in crate::hub) fn families(sink: &Sink) -> [MetricFamily; 5] {
    let stats = sink.stats();
    let results =
        [("delivered", stats.delivered), ("unwanted", stats.unwanted), ("dropped", stats.dropped)];
    let oldest = Duration::from_millis(stats.oldest_ms);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let age = if stats.oldest_ms == 0 { Duration::ZERO } else { now.saturating_sub(oldest) };
    [
        gauges(
            "throng_sink_waiting_events",
            "Events in the outbox.",
            vec![gauge(&[], stats.waiting as f64)],
        ),
        gauges(
            "throng_sink_waiting_bytes",
            "What the events in the outbox take, in bytes.",
            vec![gauge(&[], stats.waiting_bytes as f64)],
        ),
        gauges(
            "throng_sink_oldest_seconds",
            "For how long the oldest event in the outbox waits.",
            vec![gauge(&[], age.as_secs_f64())],
        ),
        counters(
            "throng_sink_events_total",
            "Events that wait no more: handed over, not wanted by the other side, or dropped.",
            results.map(|(result, count)| counter(&[("result", result)], count)).into(),
        ),
        counters(
            "throng_sink_failures_total",
            "Tries to hand events over that failed.",
            vec![counter(&[], stats.failures)],
        ),
    ]
}
