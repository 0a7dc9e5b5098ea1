//! What a monitoring system asks of the server: `/metrics` and `/readyz`.
//!
//! Owns the last numbers of each loop, and their names in the Prometheus text format. Never counts:
//! the loops do, and bring what they have about once a second.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use prometheus::TextEncoder;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use super::api::Counts;
use super::auth::Refusal;
use super::broker::{self, Relay};
use super::history::Keeper;
use super::limits::{Gate, Limit};
use super::overload::{self, Guard};
use super::sessions::Sessions;
use super::sink::{self, Sink};
use super::tallies::Tallies;
use crate::http::Response;
use crate::net::{Cause, Drop, FanOut, Request, State, Stats};
#[cfg(feature = "tls")]
use crate::tls::{self, Acceptor};

/// The text format of Prometheus, whatever is asked for: everything that scrapes reads it.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The numbers of all loops: clones are one. Give each loop's hub a clone.
///
/// ```no_run
/// use throng::hub::{Hub, Metrics};
/// use throng::net::Server;
///
/// # fn main() -> std::io::Result<()> {
/// let metrics = Metrics::default();
/// Server::builder().listen("127.0.0.1:8080").loops(2).run(|loop_index, mailboxes| {
///     Hub::new(loop_index, mailboxes.clone()).metrics(&metrics)
/// })
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    loops: Arc<Mutex<Vec<Stats>>>,
    keeper: Arc<OnceLock<Keeper>>,
    sink: Arc<OnceLock<Sink>>,
    sessions: Arc<OnceLock<Arc<dyn Sessions>>>,
    relay: Arc<OnceLock<Relay>>,
    api: Arc<Counts>,
    tallies: Arc<Mutex<Vec<Tallies>>>,
    #[cfg(feature = "tls")]
    tls: Arc<OnceLock<Arc<Acceptor>>>,
}

impl Metrics {
    /// Where the HTTP API counts.
    pub(super) fn api(&self) -> Arc<Counts> {
        Arc::clone(&self.api)
    }

    /// Takes what a loop has done so far, in place of what it brought before.
    pub fn publish(&self, loop_index: usize, stats: &Stats) {
        let mut loops = self.loops();
        if loops.len() <= loop_index {
            loops.resize_with(loop_index + 1, Stats::default);
        }
        loops[loop_index].clone_from(stats);
    }

    /// Tells of the store too: `/readyz` is 503 while durable rooms cannot be used.
    pub fn watch(&self, keeper: &Keeper) {
        self.keeper.get_or_init(|| keeper.clone());
    }

    /// Tells of the sink too. `/readyz` does not ask it: clients are served without it.
    pub fn watch_sink(&self, sink: &Sink) {
        self.sink.get_or_init(|| sink.clone());
    }

    /// Tells of sessions too.
    pub fn watch_sessions(&self, sessions: &Arc<dyn Sessions>) {
        self.sessions.get_or_init(|| Arc::clone(sessions));
    }

    /// Tells of the way to the other nodes too: `/readyz` says where it is broken.
    pub fn watch_relay(&self, relay: &Relay) {
        self.relay.get_or_init(|| relay.clone());
    }

    /// Takes what the hub of a loop has counted so far, in place of what it brought before.
    pub(super) fn publish_tallies(&self, loop_index: usize, tallies: &Tallies) {
        let mut loops = lock(&self.tallies);
        if loops.len() <= loop_index {
            loops.resize_with(loop_index + 1, Tallies::default);
        }
        loops[loop_index].clone_from(tallies);
    }

    /// Shows what this has seen, too.
    #[cfg(feature = "tls")]
    pub fn watch_tls(&self, acceptor: &Arc<Acceptor>) {
        let _ = self.tls.set(Arc::clone(acceptor)); // a server has one
    }

    /// Answers what is asked about the server itself; nothing else.
    pub(super) fn respond(
        &self,
        request: &Request<'_>,
        guard: &Guard,
        gate: Option<&Gate>,
    ) -> Option<Response> {
        let head = request.head();
        let reads = matches!(head.method(), "GET" | "HEAD");
        let response = match head.path() {
            "/metrics" | "/readyz" if !reads => {
                Response::text(405, "this method is not for this path\n")
                    .header("Allow", "GET, HEAD")
            }
            "/metrics" => match self.encode(guard, gate) {
                Ok(text) => Response::new(200).body(CONTENT_TYPE, text.into_bytes()),
                Err(error) => {
                    tracing::error!(%error, "the metrics cannot be written");
                    Response::text(500, "the metrics cannot be written\n")
                }
            },
            "/readyz" if request.is_stopping() => Response::text(503, "not ready: stopping\n"),
            "/readyz" => match self.keeper.get().and_then(Keeper::reason) {
                Some(reason) => Response::text(503, format!("not ready: store: {reason}\n")),
                // A node that is alone serves its members: it is not to be taken out.
                None => match self.relay.get().and_then(Relay::reason) {
                    Some(reason) => {
                        Response::text(200, format!("ready, but alone: broker: {reason}\n"))
                    }
                    None => Response::text(200, "ready\n"),
                },
            },
            _ => return None,
        };
        Some(response.header("Cache-Control", "no-store"))
    }

    /// The numbers of all loops, and of the process, as text.
    fn encode(&self, guard: &Guard, gate: Option<&Gate>) -> prometheus::Result<String> {
        let mut families = {
            let loops = self.loops();
            let mut all = Stats::default();
            loops.iter().for_each(|stats| all.add(stats));
            let mut families = of_all(&all);
            families.extend(of_each(&loops));
            families.extend(overload::families(guard, &all));
            families.extend(self.keeper.get().into_iter().flat_map(of_store));
            families.extend(self.sink.get().into_iter().flat_map(sink::families));
            families.extend(self.sessions.get().into_iter().flat_map(of_sessions));
            families.extend(self.relay.get().into_iter().flat_map(broker::families));
            families
        };
        families.push(of_api(&self.api));
        families.push(of_errors(&lock(&self.tallies)));
        families.extend(gate.map(of_limits));
        families.extend(of_tokens(&lock(&self.tallies)));
        #[cfg(feature = "tls")]
        families
            .extend(of_tls(self.tls.get().map(|acceptor| acceptor.counts()).unwrap_or_default()));
        families.extend(ProcessCollector::for_self().collect());
        families.retain(|family| !family.get_metric().is_empty()); // the encoder refuses empty ones
        TextEncoder::new().encode_to_string(&families)
    }

    fn loops(&self) -> MutexGuard<'_, Vec<Stats>> {
        lock(&self.loops)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is said of all loops together.
fn of_all(stats: &Stats) -> Vec<MetricFamily> {
    let states = State::ALL
        .map(|state| gauge(&[("state", state.name())], stats.connections[state as usize] as f64));
    let closes =
        Cause::ALL.map(|cause| counter(&[("cause", cause.name())], stats.closes[cause as usize]));
    let drops =
        Drop::ALL.map(|drop| counter(&[("reason", drop.name())], stats.drops[drop as usize]));
    let mut refused = stats.refused.clone();
    refused.sort_unstable();
    let refused =
        refused.iter().map(|(status, count)| counter(&[("reason", &status.to_string())], *count));
    let both = |into, out| {
        vec![counter(&[("direction", "in")], into), counter(&[("direction", "out")], out)]
    };
    vec![
        gauges("throng_connections", "Connections there are, by state.", states.into()),
        counters(
            "throng_accepted_total",
            "Connections that were taken in.",
            vec![counter(&[], stats.accepted)],
        ),
        counters(
            "throng_opened_total",
            "Connections that became WebSockets.",
            vec![counter(&[], stats.opened)],
        ),
        counters(
            "throng_handshakes_refused_total",
            "Requests that were refused, by HTTP status.",
            refused.collect(),
        ),
        counters("throng_closes_total", "WebSockets that have ended, by cause.", closes.into()),
        counters(
            "throng_messages_total",
            "Messages, by direction; out counts each receiver.",
            both(stats.messages_in, stats.messages_out),
        ),
        counters(
            "throng_bytes_total",
            "Bytes read from and written to sockets, by direction.",
            both(stats.bytes_in, stats.bytes_out),
        ),
        counters(
            "throng_drops_total",
            "Messages not sent to peers that read too slowly, by reason.",
            drops.into(),
        ),
        gauges(
            "throng_backlog_bytes",
            "What slow peers are owed, in bytes.",
            vec![gauge(&[], stats.backlog_bytes as f64)],
        ),
        histogram(
            "throng_fanout_seconds",
            "Broadcasts, by the time from when the loop woke to when all sockets were written to.",
            &stats.fan_out,
        ),
        histogram(
            "throng_rtt_seconds",
            "Pings of peers that were silent, by the time to their pong.",
            &stats.rtt,
        ),
    ]
}

fn of_api(counts: &Counts) -> MetricFamily {
    let metrics = counts.all().into_iter().map(|(operation, status, count)| {
        counter(&[("operation", operation), ("status", &status.to_string())], count)
    });
    let help = "Requests to the HTTP API, by operation and HTTP status.";
    counters("throng_api_requests_total", help, metrics.collect())
}

/// What is said of tokens that came after the handshake.
fn of_tokens(loops: &[Tallies]) -> [MetricFamily; 4] {
    let mut all = Tallies::default();
    Refusal::ALL.iter().for_each(|refusal| all.add_refused(refusal.code(), 0)); // all are shown
    loops.iter().for_each(|tallies| all.add(tallies));
    all.refused.sort_unstable();
    let refused = all.refused.iter().map(|(code, count)| counter(&[("code", code)], *count));
    [
        gauges(
            "throng_unauthenticated",
            "Connections that have yet to show a token.",
            vec![gauge(&[], all.unknown as f64)],
        ),
        counters(
            "throng_first_messages_total",
            "Connections that were let in by the token of their first message.",
            vec![counter(&[], all.let_in)],
        ),
        counters(
            "throng_refreshes_total",
            "Tokens that were followed by another.",
            vec![counter(&[], all.refreshed)],
        ),
        counters(
            "throng_tokens_refused_total",
            "Tokens that were refused after the handshake, by code.",
            refused.collect(),
        ),
    ]
}

/// What is said of each loop.
fn of_each(loops: &[Stats]) -> [MetricFamily; 2] {
    let numbers: Vec<String> = (0..loops.len()).map(|number| number.to_string()).collect();
    let each = || loops.iter().zip(&numbers);
    let lags = each().map(|(stats, number)| gauge(&[("loop", number)], stats.lag.as_secs_f64()));
    let turns = each().map(|(stats, number)| counter(&[("loop", number)], stats.turns));
    [
        gauges(
            "throng_loop_lag_seconds",
            "The longest turn of each loop within a second.",
            lags.collect(),
        ),
        counters("throng_loop_turns_total", "Turns of each loop.", turns.collect()),
    ]
}

fn of_errors(loops: &[Tallies]) -> MetricFamily {
    let mut all = Tallies::default();
    loops.iter().for_each(|tallies| all.add(tallies));
    all.errors.sort_unstable();
    let codes = all.errors.iter().map(|(code, count)| counter(&[("code", code)], *count));
    let help = "Commands that were answered with an error, by its code.";
    counters("throng_errors_total", help, codes.collect())
}

/// What the door has refused. Counted where all loops meet, so it is never late.
fn of_limits(gate: &Gate) -> MetricFamily {
    let met = Limit::ALL.map(|limit| counter(&[("limit", limit.name())], gate.refusals(limit)));
    let help = "Handshakes that were refused, by the limit that they met.";
    counters("throng_limits_met_total", help, met.into())
}

/// What is said of the store of durable rooms.
fn of_store(keeper: &Keeper) -> [MetricFamily; 7] {
    let stats = keeper.stats();
    let up = f64::from(u8::from(keeper.reason().is_none()));
    let one = |value| vec![counter(&[], value)];
    [
        gauges("throng_store_up", "Whether the store can be used.", vec![gauge(&[], up)]),
        counters("throng_store_commits_total", "Transactions.", one(stats.commits)),
        counters("throng_store_messages_total", "Messages written.", one(stats.messages)),
        counters("throng_store_reads_total", "Pieces of history read.", one(stats.reads)),
        counters("throng_store_failures_total", "Operations that failed.", one(stats.failures)),
        counters(
            "throng_store_commit_seconds_total",
            "How long the transactions took.",
            vec![seconds(stats.commit_time)],
        ),
        gauges(
            "throng_store_queue_bytes",
            "What waits for the store, in bytes.",
            vec![gauge(&[], stats.waiting_bytes as f64)],
        ),
    ]
}

fn of_sessions(sessions: &Arc<dyn Sessions>) -> [MetricFamily; 3] {
    let stats = sessions.stats();
    let asked = [("resumed", stats.resumed), ("unknown", stats.unknown)];
    let asked = asked.map(|(result, count)| counter(&[("result", result)], count));
    [
        gauges("throng_sessions", "Sessions there are.", vec![gauge(&[], stats.sessions as f64)]),
        counters("throng_sessions_resumed_total", "Sessions asked for.", asked.into()),
        counters(
            "throng_sessions_dropped_total",
            "Sessions that went since there was no room for them.",
            vec![counter(&[], stats.dropped)],
        ),
    ]
}

/// What is said of TLS.
#[cfg(feature = "tls")]
fn of_tls(counts: tls::Counts) -> Vec<MetricFamily> {
    vec![
        counters(
            "throng_tls_handshakes_total",
            "TLS handshakes that were done, in full or resuming a session.",
            vec![
                counter(&[("kind", "full")], counts.full),
                counter(&[("kind", "resumed")], counts.resumed),
            ],
        ),
        counters(
            "throng_tls_failures_total",
            "Connections whose TLS handshake failed, or whose records were broken.",
            vec![counter(&[], counts.failed)],
        ),
        counters(
            "throng_tls_rereads_total",
            "How often changed certificate files were taken into use.",
            vec![counter(&[], counts.rereads)],
        ),
        gauges(
            "throng_tls_files_broken",
            "1 while the certificate files cannot be used, and what was read before is.",
            vec![gauge(&[], f64::from(u8::from(counts.is_stale)))],
        ),
    ]
}

fn histogram(name: &str, help: &str, times: &FanOut) -> MetricFamily {
    let mut count = 0;
    let buckets = FanOut::BOUNDS_US.iter().zip(times.counts).map(|(bound_us, more)| {
        count += more;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound_us as f64 / 1e6);
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(times.counts.iter().sum());
    histogram.set_sample_sum(times.sum.as_secs_f64());
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    family(name, help, MetricType::HISTOGRAM, vec![metric])
}

pub(super) fn counters(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    family(name, help, MetricType::COUNTER, metrics)
}

pub(super) fn gauges(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    family(name, help, MetricType::GAUGE, metrics)
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.into());
    family.set_help(help.into());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

pub(super) fn counter(labels: &[(&str, &str)], value: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value as f64);
    let mut metric = Metric::from_label(pairs(labels));
    metric.set_counter(counter);
    metric
}

/// A count of seconds.
pub(super) fn seconds(time: Duration) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(time.as_secs_f64());
    let mut metric = Metric::default();
    metric.set_counter(counter);
    metric
}

pub(super) fn gauge(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::from_label(pairs(labels));
    metric.set_gauge(gauge);
    metric
}

fn pairs(labels: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).into());
        pair.set_value((*value).into());
        pair
    };
    labels.iter().map(pair).collect()
}
