//! The life of a server: how it begins, who follows it, and how it ends.
//!
//! Owns what the service manager is told, the signals that end it, and what passes between a server
//! and its successor. Never knows what is served.

mod channel;
mod ending;
pub mod manager;
mod predecessor;
mod successor;

pub use ending::Life;
pub use predecessor::Predecessor;
