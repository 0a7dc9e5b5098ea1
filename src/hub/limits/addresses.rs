//! What is counted for each address.
//!
//! Owns how many connections an address has and how fast it may knock. Never counts a single IPv6
//! address: whoever has one has the 2^64 of its network.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Rate};
use super::table::{Slot, Table};

/// What counts as one address: an IPv4 address, or a /64 of IPv6. An IPv4 address that is written
/// as IPv6 is the IPv4 address.
///
/// ```
/// use throng::hub::limits::Network;
///
/// let of = |text: &str| Network::from(text.parse::<std::net::IpAddr>().unwrap());
/// assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
/// assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:0:1"));
/// assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Network {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for Network {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.to_bits()),
            IpAddr::V6(ip) => Self::V6((ip.to_bits() >> 64) as u64),
        }
    }
}

/// What is known of one address. It is held while it has connections.
#[derive(Debug, Default)]
struct Counters {
    connections: u32,
    handshakes: Bucket,
}

impl Slot for Counters {
    fn is_held(&self) -> bool {
        self.connections > 0
    }
}

/// Which limit of an address was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// It knocks too fast; how long to wait.
    Rate(Duration),
    Connections,
}

/// The counters of all addresses that are known.
#[derive(Debug)]
pub(super) struct Addresses {
    table: Table<Network, Counters>,
    uncounted: AtomicU64,
}

impl Addresses {
    /// What so many take at most.
    pub(super) const fn bytes_max(addresses_max: usize) -> u64 {
        Table::<Network, Counters>::bytes_max(addresses_max)
    }

    pub(super) fn new(addresses_max: usize) -> Self {
        Self { table: Table::new(addresses_max), uncounted: AtomicU64::new(0) }
    }

    /// Counts a connection that is to be, and says whether it was counted. It is not where the
    /// table is full of addresses that have connections: whoever has as many addresses is not held
    /// by a limit on each, and nobody else must be kept out for it. The limits in all still hold.
    pub(super) fn enter(
        &self,
        network: Network,
        now: Duration,
        rate: Option<&Rate>,
        connections_max: u32,
    ) -> Result<bool, Met> {
        let entered = self.table.with(&network, now, |counters| {
            if let Some(rate) = rate {
                counters.handshakes.take(now, 1, rate).map_err(Met::Rate)?;
            }
            if counters.connections >= connections_max {
                return Err(Met::Connections);
            }
            counters.connections += 1;
            Ok(true)
        });
        entered.unwrap_or_else(|| {
            self.uncounted.fetch_add(1, Relaxed);
            Ok(false)
        })
    }

    /// A connection that was counted has ended.
    pub(super) fn leave(&self, network: Network) {
        self.table.with_known(&network, |counters| {
            counters.connections = counters.connections.saturating_sub(1);
        });
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many connections found no room to be counted in.
    pub(super) fn uncounted(&self) -> u64 {
        self.uncounted.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u32 = 3;

    fn enter(addresses: &Addresses, network: u32, now_ms: u64) -> Result<bool, Met> {
        let (rate, now) = (Rate::per_second(2, 4), Duration::from_millis(now_ms));
        addresses.enter(Network::V4(network), now, Some(&rate), MAX)
    }

    #[test]
    fn connections_and_handshakes_are_counted_apart() {
        let addresses = Addresses::new(100);
        for _ in 0..MAX {
            assert_eq!(enter(&addresses, 1, 0), Ok(true));
        }
        assert_eq!(enter(&addresses, 1, 0), Err(Met::Connections));
        assert_eq!(enter(&addresses, 1, 0), Err(Met::Rate(Duration::from_millis(500))));
        assert_eq!(enter(&addresses, 2, 0), Ok(true), "another address");
        addresses.leave(Network::V4(1));
        assert_eq!(enter(&addresses, 1, 499), Err(Met::Rate(Duration::from_millis(1))));
        assert_eq!(enter(&addresses, 1, 500), Ok(true));
        assert_eq!(enter(&addresses, 1, 1_000), Err(Met::Connections));
    }

    /// Who cycles through addresses makes the table forget the idle ones, and it stays as it is.
    #[test]
    fn many_addresses_do_not_make_it_grow() {
        let addresses = Addresses::new(256);
        assert_eq!(enter(&addresses, u32::MAX, 0), Ok(true));
        for network in 0..50_000 {
            assert_eq!(enter(&addresses, network, 1 + u64::from(network)), Ok(true));
            addresses.leave(Network::V4(network));
        }
        assert_eq!(addresses.len(), 256);
        assert_eq!(addresses.uncounted(), 0);
        for _ in 1..MAX {
            assert_eq!(enter(&addresses, u32::MAX, 60_000), Ok(true));
        }
        assert_eq!(enter(&addresses, u32::MAX, 60_000), Err(Met::Connections), "it was held");
    }

    #[test]
    fn a_table_full_of_connections_keeps_nobody_out() {
        let addresses = Addresses::new(16);
        for network in 0..16 {
            assert_eq!(enter(&addresses, network, 0), Ok(true));
        }
        for _ in 0..10 {
            assert_eq!(enter(&addresses, 99, 0), Ok(false));
        }
        assert_eq!((addresses.len(), addresses.uncounted()), (16, 10));
        addresses.leave(Network::V4(99)); // unknown: nothing to count down
        addresses.leave(Network::V4(3));
        assert_eq!(enter(&addresses, 99, 1), Ok(true));
    }
}
