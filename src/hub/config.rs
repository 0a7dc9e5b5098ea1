//! What the hub allows.
//!
//! Owns the hub's own limits and their defaults. The engine's stand in
//! [`net::Config`](crate::net::Config).

use super::history::History;
use super::overload::RoomRules;
use super::recent::Dedup;

/// The hub's own limits.
///
/// ```
/// use throng::hub::Config;
///
/// let config = Config { rooms_max: 3, ..Config::default() };
/// assert_eq!(config.presence_max, 500);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most rooms that a connection may be in; one more gets the error `too_many_rooms`.
    /// Default: 100.
    pub rooms_max: usize,
    /// In a room of more members than this, comings and goings are not announced, and lists of
    /// members stop here: else they would cost the square of the members. Default: 500.
    pub presence_max: usize,
    /// Most faults of a connection within a minute; one more gets Close 1008. Default: 100.
    pub faults_per_minute_max: u16,
    /// What holds for rooms by their names: priority, and what becomes of messages for members that
    /// read too slowly. Default: nothing.
    pub room_rules: RoomRules,
    /// What is kept of which room. Default: 100 messages for an hour, in memory.
    pub history: History,
    /// For how long a message that comes again is told from a new one. Default: 5 minutes.
    pub dedup: Dedup,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rooms_max: 100,
            presence_max: 500,
            faults_per_minute_max: 100,
            room_rules: RoomRules::default(),
            history: History::default(),
            dedup: Dedup::default(),
        }
    }
}
