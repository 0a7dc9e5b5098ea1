//! The limits that are shown, and how far they are used.
//!
//! Owns the list. Never sets one.

use serde::Serialize;

use crate::hub::handler::{Hub, Session};
use crate::hub::limits::Limit;
use crate::net::{Drop, Peers, Platform, Stats};

/// One limit. The page has the words for its name.
#[derive(Debug, Serialize)]
pub(super) struct LimitInfo {
    name: &'static str,
    max: u64,
    /// How much of it is used now, where that can be said.
    used: Option<u64>,
    /// How often it was met.
    met: Option<u64>,
}

impl Hub {
    /// All limits that hold. `all` is what all loops have done.
    pub(super) fn limits<P: Platform>(
        &self,
        peers: &Peers<Session, P>,
        all: &Stats,
    ) -> Vec<LimitInfo> {
        let (engine, loops) = (peers.config(), self.others.control().loops());
        let connections = all.connections.iter().sum();
        let drops = Drop::ALL.map(|drop| all.drops[drop as usize]).iter().sum();
        let mut limits = vec![
            LimitInfo {
                name: "connections",
                max: engine.connections_max.saturating_mul(loops) as u64,
                used: Some(connections),
                met: None,
            },
            unused("message_bytes", engine.settings.message_bytes_max),
            LimitInfo {
                name: "backlog_bytes",
                max: engine.backlog_bytes_max as u64,
                used: None,
                met: Some(drops),
            },
            unused("rooms_per_connection", self.config.rooms_max as u64),
        ];
        if let Some(rate) = self.door.flow.as_ref().and_then(|flow| flow.messages) {
            limits.push(unused("messages_per_second", rate.units_per_second()));
        }
        if let Some(gate) = &self.door.gate {
            let of = |limit: Limit, max: u64| LimitInfo {
                name: limit.name(),
                max,
                used: None,
                met: Some(gate.refusals(limit)),
            };
            let held = gate.limits();
            let counts = [
                (Limit::ConnectionsPerAddress, held.connections_per_address_max),
                (Limit::ConnectionsPerUser, held.connections_per_user_max),
            ];
            let counts = counts.into_iter().filter(|(_, max)| *max < u32::MAX);
            limits.extend(counts.map(|(limit, max)| of(limit, u64::from(max))));
            let rates = [
                (Limit::Handshakes, held.rate),
                (Limit::HandshakesPerAddress, held.rate_per_address),
            ];
            let rates = rates.into_iter().filter_map(|(limit, rate)| Some((limit, rate?)));
            limits.extend(rates.map(|(limit, rate)| of(limit, rate.units_per_second())));
        }
        limits
    }
}

const fn unused(name: &'static str, max: u64) -> LimitInfo {
    LimitInfo { name, max, used: None, met: None }
}
