//! What is laid down for rooms by their names.
//!
//! Owns the two lists of rules and that the first that matches holds. Never knows a room.

use std::sync::Arc;

use crate::hub::auth::{Pattern, Priority};
use crate::net::BacklogPolicy;

/// What holds for one room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomRule {
    /// How much its messages matter when the server has too much to do.
    pub priority: Priority,
    /// What becomes of its messages where a member reads too slowly; without it, what the engine
    /// does with all others.
    pub backlog: Option<BacklogPolicy>,
}

/// What holds for all rooms.
///
/// ```
/// use throng::hub::auth::{Pattern, Priority};
/// use throng::hub::overload::RoomRules;
///
/// let rules = RoomRules::new([(Pattern::new("chatter.*")?, Priority::Low)], []);
/// assert_eq!(rules.rule("chatter.1").priority, Priority::Low);
/// assert_eq!(rules.rule("lobby").priority, Priority::Normal);
/// # Ok::<(), &'static str>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomRules(Arc<Lists>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Lists {
    priorities: Vec<(Pattern, Priority)>,
    backlogs: Vec<(Pattern, BacklogPolicy)>,
}

impl RoomRules {
    /// Rules in their order: of each list the first holds whose pattern matches.
    pub fn new(
        priorities: impl IntoIterator<Item = (Pattern, Priority)>,
        backlogs: impl IntoIterator<Item = (Pattern, BacklogPolicy)>,
    ) -> Self {
        let (priorities, backlogs) = (priorities.into_iter(), backlogs.into_iter());
        let lists = Lists { priorities: priorities.collect(), backlogs: backlogs.collect() };
        Self(Arc::new(lists))
    }

    /// What holds for the room of this name.
    pub fn rule(&self, room: &str) -> RoomRule {
        RoomRule {
            priority: first(&self.0.priorities, room).unwrap_or_default(),
            backlog: first(&self.0.backlogs, room),
        }
    }
}

fn first<T: Copy>(rules: &[(Pattern, T)], room: &str) -> Option<T> {
    rules.iter().find(|(pattern, _)| pattern.matches(room)).map(|(_, value)| *value)
}

/// Whether a message may wait, or be refused, while others pass: who sends it and where it goes to
/// weigh the same. A low one and a high one make up a normal one.
pub(in crate::hub) fn is_low(sender: Priority, room: Priority) -> bool {
    (sender as i8) + (room as i8) < 2 * Priority::Normal as i8
}

#[cfg(test)]
mod tests {
    use super::*;
    use Priority::{High, Low, Normal};

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    #[test]
    fn the_first_rule_that_matches_holds() {
        let rules = RoomRules::new(
            [(pattern("team.red"), High), (pattern("team.*"), Low), (pattern("*"), Normal)],
            [(pattern("*.prices"), BacklogPolicy::KeepLatest)],
        );
        assert_eq!(rules.rule("team.red").priority, High);
        assert_eq!(rules.rule("team.blue").priority, Low);
        assert_eq!(rules.rule("lobby"), RoomRule::default());
        assert_eq!(rules.rule("team.prices").backlog, Some(BacklogPolicy::KeepLatest));
    }

    #[test]
    fn both_weigh_the_same() {
        let low = [(Low, Low), (Low, Normal), (Normal, Low)];
        for sender in [Low, Normal, High] {
            for room in [Low, Normal, High] {
                assert_eq!(is_low(sender, room), low.contains(&(sender, room)));
            }
        }
    }
}
