//! What a viewer is shown each second.
//!
//! Owns the shape of it, and how the parts of all loops become one. Rates are over the time since
//! the last snapshot of the same loop; the first has none.

use std::time::Duration;

use serde::Serialize;

use super::limits::LimitInfo;
use super::survey::{BusyRoom, Part, SlowPeer, Talker};
use super::watch::per_s;
use crate::hub::handler::{Hub, Session};
use crate::hub::rooms::Room;
use crate::hub::task::RoomInfo;
use crate::net::{Cause, Drop, FanOut, Peers, Platform, State, Stats};

/// How many rooms, talkers and slow peers are shown.
const SHOWN: usize = 10;

/// Rates over less than this are chance: the last ones are shown again.
const INTERVAL_MIN: Duration = Duration::from_millis(500);

/// What was shown last.
#[derive(Debug)]
pub(super) struct Before {
    at: Duration,
    stats: Stats,
    rates: Option<Rates>,
    fan_out: FanOutInfo,
}

/// The first message to a viewer.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "hello")]
pub(super) struct Hello {
    version: &'static str,
    loops: usize,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "snapshot")]
struct Snapshot<'a> {
    /// Milliseconds since 1970.
    timestamp: u64,
    /// Since this loop began.
    uptime_s: u64,
    /// The level of overload.
    level: &'static str,
    connections: Connections,
    /// Those that speak to the hub.
    members: usize,
    rates: Option<Rates>,
    fan_out: FanOutInfo,
    /// What slow peers are owed.
    backlog_bytes: u64,
    loops: Vec<LoopInfo>,
    rooms: Rooms<'a>,
    talkers: Vec<Talker>,
    slow: Vec<SlowPeer>,
    limits: Vec<LimitInfo>,
    /// Requests that were refused, by status.
    refused: Vec<Count>,
    /// WebSockets that have ended, by cause.
    closes: Vec<Count>,
    /// Messages that slow peers did not get.
    drops: Vec<Count>,
}

#[derive(Debug, Serialize)]
struct Connections {
    handshake: u64,
    open: u64,
    closing: u64,
}

/// So many a second.
#[derive(Clone, Copy, Debug, Serialize)]
struct Rates {
    opened: f64,
    closed: f64,
    refused: f64,
    messages_in: f64,
    messages_out: f64,
    bytes_in: f64,
    bytes_out: f64,
}

/// The broadcasts since the last snapshot, by the time they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct FanOutInfo {
    count: u64,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
}

#[derive(Debug, Serialize)]
struct LoopInfo {
    #[serde(rename = "loop")]
    loop_index: usize,
    lag_us: u64,
    connections: u64,
}

#[derive(Debug, Serialize)]
struct Rooms<'a> {
    count: usize,
    by_members: Vec<RoomInfo>,
    by_messages: &'a [BusyRoom],
}

#[derive(Debug, Serialize)]
struct Count {
    name: Box<str>,
    count: u64,
}

impl Hello {
    pub(super) const fn new(loops: usize) -> Self {
        Self { version: env!("CARGO_PKG_VERSION"), loops }
    }

    pub(super) fn text(&self) -> String {
        text(self)
    }
}

impl Hub {
    /// The snapshot, as text.
    pub(super) fn snapshot<P: Platform>(
        &mut self,
        peers: &Peers<Session, P>,
        mut parts: Vec<Part>,
    ) -> String {
        parts.sort_unstable_by_key(|part| part.loop_index);
        let mut all = Stats::default();
        parts.iter().for_each(|part| all.add(&part.stats));
        let (rates, fan_out) = self.rates(peers.now(), &all);
        let busy = busiest(parts.iter_mut().flat_map(|part| part.rooms.drain(..)).collect());
        let mut talkers: Vec<_> = parts.iter_mut().flat_map(|it| it.talkers.drain(..)).collect();
        talkers.sort_by(|one, other| other.messages_per_s.total_cmp(&one.messages_per_s));
        talkers.truncate(SHOWN);
        let mut slow: Vec<_> = parts.iter_mut().flat_map(|part| part.slow.drain(..)).collect();
        slow.sort_unstable_by_key(|peer| std::cmp::Reverse(peer.backlog_bytes));
        slow.truncate(SHOWN);
        let loops = parts.iter().map(|part| LoopInfo {
            loop_index: part.loop_index,
            lag_us: part.stats.lag.as_micros() as u64,
            connections: part.stats.connections.iter().sum(),
        });
        let [handshake, open, closing] = State::ALL.map(|state| all.connections[state as usize]);
        let mut refused = all.refused.clone();
        refused.sort_unstable();
        text(&Snapshot {
            timestamp: peers.unix_ms(),
            uptime_s: peers.now().as_secs(),
            level: self.level(),
            connections: Connections { handshake, open, closing },
            members: parts.iter().map(|part| part.members).sum(),
            rates,
            fan_out,
            backlog_bytes: all.backlog_bytes,
            loops: loops.collect(),
            rooms: Rooms {
                count: self.rooms.len(),
                by_members: self.largest_rooms(),
                by_messages: &busy,
            },
            talkers,
            slow,
            limits: self.limits(peers, &all),
            refused: refused
                .iter()
                .map(|(status, count)| of(&status.to_string(), *count))
                .collect(),
            closes: Cause::ALL.map(|it| of(it.name(), all.closes[it as usize])).into(),
            drops: Drop::ALL.map(|it| of(it.name(), all.drops[it as usize])).into(),
        })
    }

    /// The level of overload: this is the one place to ask.
    fn level(&self) -> &'static str {
        "normal"
    }

    /// What there was a second since the last snapshot, which this one takes the place of.
    fn rates(&mut self, now: Duration, all: &Stats) -> (Option<Rates>, FanOutInfo) {
        let before = self.desk.before.take();
        let (mut rates, mut fan_out) = (None, FanOutInfo::default());
        if let Some(before) = before {
            let time = now.saturating_sub(before.at);
            if time < INTERVAL_MIN {
                let shown = (before.rates, before.fan_out);
                self.desk.before = Some(before);
                return shown;
            }
            rates = Some(Rates::between(&before.stats, all, time));
            fan_out = FanOutInfo::between(&before.stats.fan_out, &all.fan_out);
        }
        self.desk.before = Some(Before { at: now, stats: all.clone(), rates, fan_out });
        (rates, fan_out)
    }

    fn largest_rooms(&self) -> Vec<RoomInfo> {
        let numbers = self.desk.large_rooms.numbers().into_iter();
        let mut rooms: Vec<&Room> =
            numbers.filter_map(|number| self.rooms.room(number as u32)).collect();
        rooms.sort_unstable_by_key(|room| (std::cmp::Reverse(room.count()), room.name.clone()));
        rooms.truncate(SHOWN);
        let info = |room: &Room| RoomInfo { room: (&*room.name).into(), count: room.count() };
        rooms.into_iter().map(info).collect()
    }
}

impl Rates {
    fn between(before: &Stats, now: &Stats, time: Duration) -> Self {
        let sum = |stats: &Stats| stats.refused.iter().map(|(_, count)| count).sum::<u64>();
        // A loop that was left out this time makes a sum smaller.
        let rate = |now: u64, before: u64| per_s(now.saturating_sub(before), time);
        Self {
            opened: rate(now.opened, before.opened),
            closed: rate(now.closes.iter().sum(), before.closes.iter().sum()),
            refused: rate(sum(now), sum(before)),
            messages_in: rate(now.messages_in, before.messages_in),
            messages_out: rate(now.messages_out, before.messages_out),
            bytes_in: rate(now.bytes_in, before.bytes_in),
            bytes_out: rate(now.bytes_out, before.bytes_out),
        }
    }
}

impl FanOutInfo {
    fn between(before: &FanOut, now: &FanOut) -> Self {
        let mut counts = now.counts;
        for (count, before) in counts.iter_mut().zip(before.counts) {
            *count = count.saturating_sub(before);
        }
        Self {
            count: counts.iter().sum(),
            p50_us: quantile_us(&counts, 0.5),
            p99_us: quantile_us(&counts, 0.99),
        }
    }
}

/// The time that this part of all took at most, in microseconds: between two bounds as if they were
/// spread evenly, and the last bound for what took longer. Nothing where there was nothing.
fn quantile_us(counts: &[u64; FanOut::BOUNDS_US.len() + 1], part: f64) -> Option<f64> {
    let all: u64 = counts.iter().sum();
    let wanted = (all as f64 * part).max(1.0);
    let (mut below, mut low) = (0, 0.0);
    for (count, bound) in counts.iter().zip(FanOut::BOUNDS_US) {
        let high = bound as f64;
        if *count > 0 && (below + count) as f64 >= wanted {
            let share = (wanted - below as f64) / *count as f64;
            return Some((low + (high - low) * share).round());
        }
        (below, low) = (below + count, high);
    }
    (all > 0).then_some(low)
}

/// The rooms of all loops in which the most is said.
fn busiest(mut rooms: Vec<BusyRoom>) -> Vec<BusyRoom> {
    rooms.sort_unstable_by(|one, other| one.room.cmp(&other.room));
    rooms.dedup_by(|other, one| {
        let is_same = one.room == other.room;
        if is_same {
            one.messages_per_s += other.messages_per_s;
        }
        is_same
    });
    rooms.sort_by(|one, other| other.messages_per_s.total_cmp(&one.messages_per_s));
    rooms.truncate(SHOWN);
    rooms
}

fn of(name: &str, count: u64) -> Count {
    Count { name: name.into(), count }
}

/// Anything that is shown, as JSON.
pub(super) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| {
        // Strings and numbers always can be written.
        tracing::error!(%error, "the dashboard was not written to");
        "{}".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_bounds() {
        let mut counts = [0; FanOut::BOUNDS_US.len() + 1];
        assert_eq!(quantile_us(&counts, 0.5), None);
        counts[1] = 100; // 50 to 100 microseconds
        assert_eq!(quantile_us(&counts, 0.5), Some(75.0));
        assert_eq!(quantile_us(&counts, 0.99), Some(100.0));
        counts[3] = 100; // 250 to 500
        assert_eq!(quantile_us(&counts, 0.5), Some(100.0));
        assert_eq!(quantile_us(&counts, 0.75), Some(375.0));
        counts = [0; FanOut::BOUNDS_US.len() + 1];
        counts[FanOut::BOUNDS_US.len()] = 1;
        assert_eq!(quantile_us(&counts, 0.5), Some(1_000_000.0));
    }

    #[test]
    fn a_room_of_two_loops_is_one() {
        let room = |name: &str, messages_per_s| BusyRoom { room: name.into(), messages_per_s };
        let rooms = busiest(vec![room("a", 2.0), room("b", 4.5), room("a", 3.0)]);
        let shown: Vec<_> = rooms.iter().map(|it| (&*it.room, it.messages_per_s)).collect();
        assert_eq!(shown, [("a", 5.0), ("b", 4.5)]);
    }

    #[test]
    fn rates_are_what_came_since() {
        let (before, mut now) = (Stats::default(), Stats::default());
        (now.messages_in, now.refused) = (300, vec![(401, 4), (403, 6)]);
        let rates = Rates::between(&before, &now, Duration::from_secs(2));
        assert_eq!((rates.messages_in, rates.refused), (150.0, 5.0));
        assert_eq!(Rates::between(&now, &before, Duration::from_secs(2)).messages_in, 0.0);
    }
}
