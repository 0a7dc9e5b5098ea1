//! Which room keeps what.
//!
//! Owns the rules and their defaults. Never keeps a message.

use std::time::Duration;

use crate::hub::auth::Pattern;
use crate::hub::overload::Bound;

/// What is kept of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// How many messages; 0 is no history: no offsets, no recovery. Default: 100.
    pub messages_max: usize,
    /// For how long. Default: an hour.
    pub age: Duration,
    /// Whether a message is in the store before anybody gets it. Default: not.
    pub is_durable: bool,
}

/// What is kept of the rooms of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The rooms.
    pub pattern: Pattern,
    /// What is kept of each.
    pub keep: Keep,
}

/// What is kept of all rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The first that matches a room's name holds. Default: none.
    pub rules: Vec<Rule>,
    /// For rooms that no rule is about.
    pub otherwise: Keep,
    /// What all histories together may take in memory, in bytes; past it the rooms in which nothing
    /// was said for longest lose theirs. Default: 64 MiB.
    pub bytes_max: usize,
}

impl Keep {
    /// No history.
    pub const NOTHING: Self =
        Self { messages_max: 0, age: Duration::from_secs(3600), is_durable: false };

    /// Whether messages have offsets.
    pub const fn has_history(&self) -> bool {
        self.messages_max > 0
    }

    /// What was said before this time, in milliseconds since 1970, is too old at `now_ms`.
    pub fn oldest_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(u64::try_from(self.age.as_millis()).unwrap_or(u64::MAX))
    }
}

impl Default for Keep {
    fn default() -> Self {
        Self { messages_max: 100, ..Self::NOTHING }
    }
}

impl Default for History {
    fn default() -> Self {
        Self { rules: Vec::new(), otherwise: Keep::default(), bytes_max: 64 << 20 }
    }
}

impl History {
    /// No room keeps anything.
    pub fn nothing() -> Self {
        Self { otherwise: Keep::NOTHING, ..Self::default() }
    }

    /// What all histories take at most.
    pub fn bound(&self) -> Bound {
        let has_any = self.otherwise.has_history() || !self.rules.is_empty();
        let bytes = if has_any { self.bytes_max as u64 } else { 0 };
        Bound { bytes, words: "histories of rooms" }
    }

    /// What is kept of a room.
    pub fn keep(&self, room: &str) -> &Keep {
        let rule = self.rules.iter().find(|rule| rule.pattern.matches(room));
        rule.map_or(&self.otherwise, |rule| &rule.keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_holds() {
        let rule = |pattern: &str, messages_max| Rule {
            pattern: Pattern::new(pattern).unwrap(),
            keep: Keep { messages_max, ..Keep::default() },
        };
        let rules = vec![rule("a.*", 1), rule("*.b", 2)];
        let history = History { rules, ..History::default() };
        let kept = ["a.b", "c.b", "c"].map(|room| history.keep(room).messages_max);
        assert_eq!(kept, [1, 2, 100]);
        assert!(!History::nothing().keep("c").has_history());
    }

    #[test]
    fn an_age_reaches_back_to_1970_at_most() {
        let keep = Keep { age: Duration::from_secs(2), ..Keep::default() };
        assert_eq!((keep.oldest_ms(5000), keep.oldest_ms(1)), (3000, 0));
    }
}
