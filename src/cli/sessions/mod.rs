//! The options of sessions, and where they are kept.
//!
//! Owns their names, units and defaults. Never brings anybody into a room: the hub does.

mod shared;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use throng::hub::broker::RedisAddress;
use throng::hub::overload::Bound;
use throng::hub::sessions::{Memory, Sessions};

use self::shared::Shared;
use super::options::seconds;

/// Who may come back.
#[derive(Debug, Args)]
pub struct SessionOptions {
    /// Let who was here come back with its rooms: `welcome` tells the name of a session, which
    /// `resume` or ?session= takes. With --redis on whatever node.
    #[arg(long, help_heading = "Sessions")]
    sessions: bool,
    /// How long a session waits for who had it, in seconds.
    #[arg(long, value_name = "S", help_heading = "Sessions", default_value = "1800",
          value_parser = seconds)]
    session_ttl: Duration,
    /// What all sessions may take in memory, in bytes; past it those go that would end first. With
    /// --redis they are there instead.
    #[arg(long, value_name = "BYTES", help_heading = "Sessions", default_value_t = 64 << 20)]
    session_bytes: usize,
}

impl SessionOptions {
    /// What sessions may take in memory, if they are kept there.
    pub fn bound(&self, has_redis: bool) -> Option<Bound> {
        let bytes = self.session_bytes as u64;
        (self.sessions && !has_redis).then_some(Bound { bytes, words: "sessions" })
    }

    /// Where sessions are kept, if they are.
    ///
    /// # Errors
    /// The system has no thread.
    pub fn sessions(&self, redis: Option<RedisAddress>) -> io::Result<Option<Arc<dyn Sessions>>> {
        if !self.sessions {
            return Ok(None);
        }
        Ok(Some(match redis {
            Some(address) => Arc::new(Shared::start(address, self.session_ttl)?),
            None => Arc::new(Memory::new(self.session_ttl, self.session_bytes)),
        }))
    }
}
