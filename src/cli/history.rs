//! The options of history, and the rules and the store that they make.
//!
//! Owns their names, units and defaults. Never writes to the file: the library's store does.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use throng::hub::Dedup;
use throng::hub::auth::Pattern;
use throng::hub::history::{History, Keep, Keeper, KeeperLimits, Rule, SqliteStore};
use throng::hub::overload::Bound;

use super::options::seconds;
use super::settings::Misfit;

/// What is kept of what was said.
#[derive(Debug, Args)]
pub struct HistoryOptions {
    /// File of the messages of durable rooms, made when there are such rooms; `off` for none.
    #[arg(long, value_name = "PATH", default_value = "throng.db", help_heading = "History")]
    history_db: PathBuf,
    /// Rooms whose messages are on the disk before anybody gets them: a name, or a pattern such
    /// as orders.*. May be given more than once.
    #[arg(long, value_name = "PATTERN", help_heading = "History", value_parser = Pattern::new)]
    durable: Vec<Pattern>,
    /// Messages kept of each room; 0 is no history: no offsets, no recovery.
    #[arg(long, value_name = "N", help_heading = "History", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(..=10_000_000))]
    history_messages: u32,
    /// How long they are kept, in seconds.
    #[arg(long, value_name = "S", help_heading = "History", default_value = "3600",
          value_parser = seconds)]
    history_age: Duration,
    /// What all histories may take in memory, in bytes.
    #[arg(long, value_name = "BYTES", help_heading = "History", default_value_t = 64 << 20)]
    history_bytes: usize,
    /// How long a message is known by its `message_id`, in seconds: of one that comes again within
    /// that time nothing is published, and the answer is that of the first.
    #[arg(long, value_name = "S", help_heading = "History", default_value = "300",
          value_parser = seconds)]
    dedup_window: Duration,
    /// Most messages that are known so at once; past it, the oldest are forgotten. 0 is none.
    #[arg(long, value_name = "N", help_heading = "History", default_value_t = 100_000,
          value_parser = clap::value_parser!(u32).range(..=10_000_000))]
    dedup_messages: u32,
}

impl HistoryOptions {
    /// What is kept of which room.
    pub fn history(&self) -> History {
        let (messages_max, age) = (self.history_messages as usize, self.history_age);
        let otherwise = Keep { messages_max, age, is_durable: false };
        let durable = Keep { is_durable: true, ..otherwise.clone() };
        let rule = |pattern: &Pattern| Rule { pattern: pattern.clone(), keep: durable.clone() };
        let rules = self.durable.iter().map(rule).collect();
        History { rules, otherwise, bytes_max: self.history_bytes }
    }

    /// Whether there is a file.
    pub fn has_file(&self) -> bool {
        self.history_db.as_os_str() != "off"
    }

    /// Whether there are durable rooms.
    pub fn has_durable(&self) -> bool {
        !self.durable.is_empty()
    }

    /// What all of it may take in memory, with the outbox of a sink if there is one.
    pub fn bounds(&self, has_sink: bool, message_bytes_max: u64) -> impl Iterator<Item = Bound> {
        let store = (self.has_durable() || has_sink).then(KeeperLimits::default);
        let store = store.map(|limits| limits.bound(message_bytes_max));
        [self.history().bound(), self.dedup().bound()].into_iter().chain(store)
    }

    /// # Errors
    /// There are durable rooms, and nothing to keep them in.
    pub fn check(&self, has_broker: bool) -> Result<(), Misfit> {
        let is_off = !self.has_file() && !has_broker;
        if self.has_durable() && (is_off || self.history_messages == 0) {
            let needs = "needs a --history-db, and --history-messages above 0";
            return Err(Misfit::new("durable", needs));
        }
        Ok(())
    }

    /// Within what a message that comes again is known.
    pub fn dedup(&self) -> Dedup {
        Dedup { window: self.dedup_window, messages_max: self.dedup_messages as usize }
    }

    /// The store, where there are durable rooms and no broker keeps what is said there, or where
    /// the events of a sink wait in it.
    pub fn keeper(&self, has_broker: bool, has_sink: bool) -> io::Result<Option<Keeper>> {
        if !has_sink && (has_broker || !self.has_durable()) {
            return Ok(None);
        }
        let path = self.history_db.clone();
        let mut is_said = false;
        let open = move || {
            let opened = SqliteStore::open(&path);
            if let (Err(error), false) = (&opened, is_said) {
                let (path, words) = (path.display(), "see to the file, its folder and its owner");
                tracing::error!(%path, %error, "--history-db: {words}; it is tried every second");
            }
            is_said = opened.is_err();
            opened
        };
        Keeper::start(self.history(), KeeperLimits::default(), open).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: HistoryOptions,
    }

    fn options(flags: &str) -> HistoryOptions {
        let line = Line::try_parse_from(["throng"].into_iter().chain(flags.split_whitespace()));
        line.unwrap_or_else(|error| panic!("{error}")).options
    }

    #[test]
    fn flags_become_rules() {
        let history = options("--history-messages 7 --history-age 1.5 --durable a.*").history();
        let keep = history.keep("a.1");
        assert_eq!((keep.messages_max, keep.age), (7, Duration::from_millis(1500)));
        assert!(keep.is_durable && !history.keep("b").is_durable);
        assert_eq!(options("").history(), History::default());
        assert_eq!(options("").dedup(), Dedup::default());
        let dedup = options("--dedup-window 0.5 --dedup-messages 7").dedup();
        assert_eq!((dedup.window, dedup.messages_max), (Duration::from_millis(500), 7));
    }

    #[test]
    fn a_durable_room_needs_a_file() {
        let is_good = |flags, has_broker| options(flags).check(has_broker).is_ok();
        assert!(!is_good("--durable a --history-db off", false));
        assert!(!is_good("--durable a --history-messages 0", false));
        assert!(is_good("--history-db off", false) && is_good("--durable a", false));
        // A broker keeps it in place of the file.
        assert!(is_good("--durable a --history-db off", true));
        assert!(!is_good("--durable a --history-messages 0", true));
        let keeper = options("--durable a").keeper(true, false);
        assert!(keeper.is_ok_and(|keeper| keeper.is_none()));
    }
}
