//! The options of history, and the rules and the store that they make.
//!
//! Owns their names, units and defaults. Never writes to the file: the library's store does.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use throng::hub::auth::Pattern;
use throng::hub::history::{History, Keep, Keeper, KeeperLimits, Rule, SqliteStore};

use super::options::seconds;

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

    /// The store, where there are durable rooms.
    pub fn keeper(&self) -> io::Result<Option<Keeper>> {
        if self.durable.is_empty() {
            return Ok(None);
        }
        if self.history_db.as_os_str() == "off" || self.history_messages == 0 {
            let needs = "--durable needs a --history-db, and --history-messages above 0";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, needs));
        }
        let path = self.history_db.clone();
        let open = move || SqliteStore::open(&path);
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
    }

    #[test]
    fn a_durable_room_needs_a_file() {
        assert!(options("--durable a --history-db off").keeper().is_err());
        assert!(options("--durable a --history-messages 0").keeper().is_err());
        assert!(options("--history-db off").keeper().is_ok_and(|keeper| keeper.is_none()));
    }
}
