//! What a world of members is made of.
//!
//! Owns the limits, and what may go wrong in one world.

use std::time::Duration;

use throng::hub::auth::Pattern;
use throng::hub::history::{History, Keep, KeeperLimits, Rule};
use throng::hub::{self};
use throng::net::{self, BacklogPolicy};

use crate::dice::Dice;

/// One world's settings.
pub struct Plan {
    pub loops: usize,
    pub people: usize,
    pub net: net::Config,
    pub hub: hub::Config,
    pub keeper: KeeperLimits,
    pub mailbox_max: usize,
    /// How long things go wrong.
    pub storm: Duration,
    /// The store is written to and says that it was not, now and then.
    pub fails_behind: bool,
    /// Members read slowly at times.
    pub has_slow: bool,
    /// Messages may be missing for who is connected: it sees that by the offsets, or is told.
    pub may_gap: bool,
    /// Who comes back gets what it missed, for sure.
    pub is_kept: bool,
}

/// How long what is in the store is kept: longer than any world lasts.
const DURABLE_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

impl Plan {
    pub fn new(dice: &mut Dice) -> Self {
        let mut net = net::Config {
            receive_buffer_bytes: dice.one_of(&[1000, 4 << 10, 64 << 10]),
            accepts_per_turn: dice.one_of(&[1, 3, 256]),
            ..net::Config::default()
        };
        if dice.once_in(3) {
            net.backlog_high_bytes = dice.between(300, 20_000);
            net.backlog_low_bytes = dice.below(net.backlog_high_bytes);
        }
        if dice.once_in(3) {
            net.backlog_bytes_max = dice.between(5_000, 100_000);
            net.backlog_policy = dice.one_of(&[
                BacklogPolicy::Close,
                BacklogPolicy::DropNewest,
                BacklogPolicy::DropOldest,
            ]);
        }
        if dice.once_in(6) {
            net.backlogs_bytes_max = dice.between(20_000, 100_000);
        }
        let (hub, is_short) = hub_config(dice);
        let keeper = KeeperLimits {
            operations_max: dice.one_of(&[1 << 14, 1 << 14, 8]),
            bytes_max: dice.one_of(&[8 << 20, 8 << 20, 4_000]),
        };
        let drops = net.backlog_policy != BacklogPolicy::Close;
        let fails_behind = dice.once_in(4);
        Self {
            loops: dice.between(1, 3),
            people: dice.between(2, 7),
            keeper,
            mailbox_max: dice.one_of(&[1 << 16, 1 << 16, 30, 4]),
            storm: Duration::from_millis(dice.between(3_000, 14_000) as u64),
            fails_behind,
            has_slow: dice.once_in(2),
            may_gap: drops || fails_behind || is_short,
            is_kept: !is_short,
            net,
            hub,
        }
    }

    /// Whether messages are dropped for who reads slowly.
    pub fn drops(&self) -> bool {
        self.net.backlog_policy != BacklogPolicy::Close
    }

    /// Whether little is owed to one, or to all, before somebody is closed for it.
    pub fn is_narrow(&self) -> bool {
        self.net.backlog_bytes_max < 1 << 20 || self.net.backlogs_bytes_max < 1 << 20
    }

    /// How long after the last word nothing is left of any history.
    pub fn oblivion() -> Duration {
        DURABLE_AGE + Duration::from_secs(60)
    }
}

/// The hub's settings, and whether histories may be short, or lost.
fn hub_config(dice: &mut Dice) -> (hub::Config, bool) {
    let rule = |pattern: &str, keep: Keep| Rule {
        pattern: Pattern::new(pattern).expect("a pattern"),
        keep,
    };
    let durable = Keep { messages_max: 100_000, age: DURABLE_AGE, is_durable: true };
    let is_short = dice.once_in(3);
    let mut history = History {
        rules: vec![rule("d.*", durable), rule("n.*", Keep::NOTHING)],
        otherwise: Keep { messages_max: 100_000, ..Keep::default() },
        ..History::default()
    };
    if is_short {
        history.otherwise.messages_max = dice.one_of(&[1, 5, 100]);
        history.otherwise.age = Duration::from_secs(dice.one_of(&[2, 20, 3600]));
        history.bytes_max = dice.one_of(&[3_000, 20_000, 64 << 20]);
    }
    let presence_max = dice.one_of(&[500, 500, 3]);
    let faults_per_minute_max = u16::MAX; // a burst into a room that was left is no fault here
    (hub::Config { presence_max, history, faults_per_minute_max, ..Default::default() }, is_short)
}
