//! What was said in a room, for those who come back.
//!
//! Owns the rules (which room keeps what), the places of messages, the logs in memory, and the
//! store of durable rooms with its thread. Never delivers: the sequencer does.
//!
//! ```
//! use std::time::Duration;
//! use throng::hub::history::{History, Keep, Rule};
//! use throng::hub::auth::Pattern;
//!
//! let orders = Keep { is_durable: true, messages_max: 10_000, ..Keep::default() };
//! let rules = vec![Rule { pattern: Pattern::new("orders.*")?, keep: orders }];
//! let history = History { rules, ..History::default() };
//! assert!(history.keep("orders.7").is_durable);
//! assert_eq!(history.keep("lobby").age, Duration::from_secs(3600));
//! # Ok::<(), &'static str>(())
//! ```

mod keeper;
mod log;
#[cfg(feature = "cli")]
mod outbox;
mod place;
mod rules;
#[cfg(feature = "cli")]
mod sqlite;
mod store;
mod unsent;
mod writer;

pub use keeper::{Keeper, KeeperLimits, KeeperStats};
pub use place::{Epoch, Position, Span};
pub use rules::{History, Keep, Rule};
#[cfg(feature = "cli")]
pub use sqlite::SqliteStore;
pub use store::{Entry, EntryId, Placed, Row, Rows, Store, StoreError, Taken, Write, Written};
pub use writer::Writer;

pub(super) use keeper::{Done, MAIL_PAUSE, Op, Outbox, Reading, Share, Shared, Waiting, What};
pub(super) use log::Logs;
pub(super) use place::{Kept, Page, PageMax, Since};
pub(super) use unsent::Unsent;
