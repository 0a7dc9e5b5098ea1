//! Who may come in.
//!
//! Owns the limits on handshakes and connections, in all, per address and per user, and the answers
//! when one is met. Never decides who somebody is.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::addresses::{Addresses, Met, Network};
use super::bucket::{Rate, SharedBucket};
use super::users::Users;
use crate::http::Response;
use crate::hub::overload::Bound;

/// When to come back where it depends on others' leaving.
const ROOM_AFTER: Duration = Duration::from_secs(5);

/// What all loops of a server let in together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeLimits {
    /// Connections in all: else 503. Default: 1,000,000.
    pub connections_max: u32,
    /// Connections of an address: else 429. Default: 65,536, as many as TCP has ports.
    pub connections_per_address_max: u32,
    /// Connections of a user: else 429. Default: 1,000.
    pub connections_per_user_max: u32,
    /// Handshakes in all: else 429. Default: 50,000 a second, 100,000 at once.
    pub rate: Option<Rate>,
    /// Handshakes of an address: else 429. Default: 10,000 a second, 65,536 at once.
    pub rate_per_address: Option<Rate>,
    /// How many addresses are known at once, at 40 bytes each. One that has no connection is
    /// forgotten when its place is wanted, the oldest first. Twice as many as are expected to have
    /// connections at once is enough. Default: 65,536.
    pub addresses_max: usize,
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_000_000,
            connections_per_address_max: 1 << 16,
            connections_per_user_max: 1_000,
            rate: Some(Rate::per_second(50_000, 100_000)),
            rate_per_address: Some(Rate::per_second(10_000, 1 << 16)),
            addresses_max: 1 << 16,
        }
    }
}

impl HandshakeLimits {
    /// What the table of addresses takes at most; users are counted with their connections.
    pub const fn bound(&self) -> Bound {
        let bytes = Addresses::bytes_max(self.addresses_max);
        Bound { bytes, words: "the table of addresses" }
    }
}

/// A limit that a handshake can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Connections,
    ConnectionsPerAddress,
    ConnectionsPerUser,
    Handshakes,
    HandshakesPerAddress,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::ConnectionsPerUser,
        Self::Handshakes,
        Self::HandshakesPerAddress,
    ];

    /// Its name, for programs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::ConnectionsPerUser => "connections_per_user",
            Self::Handshakes => "handshakes",
            Self::HandshakesPerAddress => "handshakes_per_address",
        }
    }

    const fn status(self) -> u16 {
        match self {
            Self::Connections => 503,
            Self::ConnectionsPerAddress
            | Self::ConnectionsPerUser
            | Self::Handshakes
            | Self::HandshakesPerAddress => 429,
        }
    }

    /// What a person is told.
    const fn message(self) -> &'static str {
        match self {
            Self::Connections => "this server has all the connections it takes",
            Self::ConnectionsPerAddress => "your address has all the connections it may have",
            Self::ConnectionsPerUser => "you have all the connections you may have",
            Self::Handshakes => "this server is asked for too many connections at once",
            Self::HandshakesPerAddress => "your address asks for connections too fast",
        }
    }
}

/// A handshake that is not let in, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The limit that it has met.
    pub limit: Limit,
    /// When it may be tried again.
    pub retry_after: Duration,
}

impl Refusal {
    /// The answer: 503 or 429 with Retry-After in whole seconds, and a JSON body that says which
    /// limit it was.
    pub fn response(&self) -> Response {
        let Self { limit, retry_after } = self;
        let (status, name, message) = (limit.status(), limit.name(), limit.message());
        let error = if status == 503 { "overloaded" } else { "rate_limited" };
        let ms = retry_after.as_nanos().div_ceil(1_000_000);
        let seconds = retry_after.as_nanos().div_ceil(1_000_000_000).max(1);
        let body = format!(
            r#"{{"error":"{error}","limit":"{name}","message":"{message}","retry_after_ms":{ms}}}"#
        );
        let response = Response::json(status, format!("{body}\n")).because(name);
        response.header("Retry-After", seconds.to_string()).header("Cache-Control", "no-store")
    }
}

/// The limits of a server and what is counted against them, shared by its loops.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use throng::hub::limits::{Gate, HandshakeLimits, Limit};
///
/// let limits = HandshakeLimits { connections_per_address_max: 1, ..Default::default() };
/// let gate = Arc::new(Gate::new(limits));
/// let (addr, now) = (Some([192, 0, 2, 7].into()), Duration::ZERO);
/// let place = gate.enter(addr, now).expect("it is the first");
/// let refusal = gate.enter(addr, now).unwrap_err();
/// assert_eq!(refusal.limit, Limit::ConnectionsPerAddress);
/// assert_eq!(refusal.response().status(), 429);
/// drop(place); // the connection has ended
/// assert!(gate.enter(addr, now).is_ok());
/// ```
#[derive(Debug)]
pub struct Gate {
    limits: HandshakeLimits,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Counters {
    connections: AtomicU32,
    handshakes: SharedBucket,
    addresses: Addresses,
    users: Users,
    refusals: [AtomicU64; Limit::ALL.len()],
}

impl Gate {
    /// A gate that nobody has passed yet.
    pub fn new(limits: HandshakeLimits) -> Self {
        let counters = Counters {
            connections: AtomicU32::new(0),
            handshakes: SharedBucket::default(),
            addresses: Addresses::new(limits.addresses_max),
            users: Users::new(),
            refusals: Default::default(),
        };
        Self { limits, counters: Arc::new(counters) }
    }

    /// The same gate with other limits: who is in stays counted. The table of addresses keeps its
    /// size.
    #[must_use]
    pub fn with_limits(&self, limits: HandshakeLimits) -> Self {
        Self { limits, counters: Arc::clone(&self.counters) }
    }

    /// What it lets in.
    pub const fn limits(&self) -> &HandshakeLimits {
        &self.limits
    }

    /// Lets a handshake in and counts its connection, until the [`Place`] is dropped. The limits of
    /// the address come first, so that one address cannot use up what is there for all. A
    /// connection without an address has those in all.
    ///
    /// # Errors
    /// The limit that was met.
    pub fn enter(self: &Arc<Self>, addr: Option<IpAddr>, now: Duration) -> Result<Place, Refusal> {
        let limits = &self.limits;
        let mut network = addr.map(Network::from);
        if let Some(known) = network {
            let (rate, max) =
                (limits.rate_per_address.as_ref(), limits.connections_per_address_max);
            let is_counted =
                self.counters.addresses.enter(known, now, rate, max).map_err(|met| match met {
                    Met::Rate(wait) => self.refuse(Limit::HandshakesPerAddress, wait),
                    Met::Connections => self.refuse(Limit::ConnectionsPerAddress, ROOM_AFTER),
                })?;
            network = network.filter(|_| is_counted);
        }
        let before = self.counters.connections.fetch_add(1, Relaxed);
        let place = Place { gate: Arc::clone(self), network, user: None }; // counts down if dropped
        if before >= limits.connections_max {
            return Err(self.refuse(Limit::Connections, ROOM_AFTER));
        }
        if let Some(rate) = &limits.rate
            && let Err(wait) = self.counters.handshakes.take(now, 1, rate)
        {
            return Err(self.refuse(Limit::Handshakes, wait));
        }
        Ok(place)
    }

    /// Counts a connection that was let in by another process, whatever the limits are.
    pub(in crate::hub) fn readmit(self: &Arc<Self>, origin: &Origin, now: Duration) -> Place {
        let Counters { connections, addresses, users, .. } = &*self.counters;
        connections.fetch_add(1, Relaxed);
        let is_counted = |network: &Network| {
            addresses.enter(*network, now, None, u32::MAX).is_ok_and(|is_counted| is_counted)
        };
        let network = origin.network.filter(is_counted);
        let user = origin.user.as_deref().map(Arc::from);
        let user = user.filter(|user| users.enter(user, u32::MAX));
        Place { gate: Arc::clone(self), network, user }
    }

    fn refuse(&self, limit: Limit, retry_after: Duration) -> Refusal {
        self.counters.refusals[limit as usize].fetch_add(1, Relaxed);
        Refusal { limit, retry_after }
    }

    /// Connections of a user have come on other nodes, or have ended there.
    pub(in crate::hub) fn count_user_elsewhere(&self, user: &Arc<str>, change: i64) {
        self.counters.users.count_elsewhere(user, change);
    }

    /// How many more or less connections users have here since this was asked last.
    pub(in crate::hub) fn take_user_changes(&self) -> Vec<(Arc<str>, i64)> {
        self.counters.users.take_changes()
    }

    /// How many connections there are, over all loops.
    pub fn connections(&self) -> u32 {
        self.counters.connections.load(Relaxed)
    }

    /// How many handshakes have met this limit.
    pub fn refusals(&self, limit: Limit) -> u64 {
        self.counters.refusals[limit as usize].load(Relaxed)
    }

    /// How many addresses are known. Looks through the whole table: for metrics.
    pub fn addresses(&self) -> usize {
        self.counters.addresses.len()
    }

    /// How many connections were let in without being counted for their address, since the table
    /// was full of addresses that have some.
    pub fn uncounted(&self) -> u64 {
        self.counters.addresses.uncounted()
    }
}

/// A connection that is counted, for as long as this lives: it belongs into the session.
#[derive(Debug)]
pub struct Place {
    gate: Arc<Gate>,
    network: Option<Network>,
    user: Option<Arc<str>>,
}

const _: () = assert!(size_of::<Place>() <= 40);

/// Where a connection is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::hub) struct Origin {
    network: Option<Network>,
    user: Option<Box<str>>,
}

impl Place {
    /// Where it is counted.
    pub(in crate::hub) fn origin(&self) -> Origin {
        Origin { network: self.network, user: self.user.as_deref().map(Into::into) }
    }

    /// Counts the connection for a user too, once it is certain who that is. A second user takes
    /// the place of the first.
    ///
    /// # Errors
    /// The user has too many connections. The place is held until it is dropped.
    pub fn take_user(&mut self, user: &Arc<str>) -> Result<(), Refusal> {
        self.take_user_of(user, None)
    }

    /// The same, where the user's token may say how many connections there may be: in place of what
    /// holds for others.
    ///
    /// # Errors
    /// As [`take_user`](Self::take_user).
    pub fn take_user_of(&mut self, user: &Arc<str>, max: Option<u32>) -> Result<(), Refusal> {
        if self.user.as_ref() == Some(user) {
            return Ok(());
        }
        let gate = &self.gate;
        let max = max.unwrap_or(gate.limits.connections_per_user_max);
        if !gate.counters.users.enter(user, max) {
            return Err(gate.refuse(Limit::ConnectionsPerUser, ROOM_AFTER));
        }
        if let Some(before) = self.user.replace(Arc::clone(user)) {
            self.gate.counters.users.leave(&before);
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let counters = &self.gate.counters;
        counters.connections.fetch_sub(1, Relaxed);
        if let Some(network) = self.network {
            counters.addresses.leave(network);
        }
        if let Some(user) = &self.user {
            counters.users.leave(user);
        }
    }
}

#[cfg(test)]
#[path = "handshakes_tests.rs"]
mod tests;
