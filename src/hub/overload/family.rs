//! The numbers of the guard for `/metrics`.
//!
//! Owns their names. Never counts.

use prometheus::proto::MetricFamily;

use super::guard::Guard;
use super::level::Level;
use super::pressure::Source;
use crate::hub::metrics::{counter, counters, gauge, gauges};
use crate::net::{Owner, Stats};

/// What is said of the guard, and of the memory of all loops.
pub(in crate::hub) fn families(guard: &Guard, stats: &Stats) -> [MetricFamily; 4] {
    let pressure = guard.pressure();
    let pressures = Source::ALL
        .map(|source| gauge(&[("source", source.name())], pressure.0[source as usize] / 100.0));
    let sheds = Level::ALL[1..].iter();
    let sheds = sheds.map(|level| counter(&[("level", level.name())], guard.sheds(*level)));
    let reports = guard.reports();
    let rooms = reports.iter().map(|report| report.rooms_bytes).sum();
    let history = reports.iter().map(|report| report.history_bytes).sum::<u64>();
    let owners = Owner::ALL.map(|owner| (owner.name(), stats.memory[owner as usize]));
    let owners = owners.into_iter().chain([("rooms", rooms), ("history", history)]);
    let memory = owners.map(|(owner, bytes)| gauge(&[("owner", owner)], bytes as f64));
    [
        gauges(
            "throng_degrade_level",
            "What is shed: 0 nothing, 1 low priority, 2 presence and compression, 3 new peers.",
            vec![gauge(&[], f64::from(guard.level() as u8))],
        ),
        gauges(
            "throng_pressure_ratio",
            "How near the server is to its limits, by what limits it.",
            pressures.into(),
        ),
        counters(
            "throng_sheds_total",
            "Messages, news and handshakes that were shed, by the level that sheds them.",
            sheds.collect(),
        ),
        gauges("throng_memory_bytes", "What the server holds, by owner.", memory.collect()),
    ]
}
