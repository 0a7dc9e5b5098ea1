//! The ready-made realtime server: one [`Handler`](crate::net::Handler).
//!
//! Owns rooms, their members, the messages of DESIGN section 7, who may come in, and the page.
//! Never touches a socket. [`Control`] is the way in for who is no client.

pub mod address;
mod answers;
pub mod auth;
mod command;
mod commands;
mod config;
mod control;
mod delivery;
mod door;
mod forwarded;
mod handler;
pub mod history;
pub mod hosts;
mod json;
pub mod limits;
mod mail;
mod members;
mod metrics;
pub mod origin;
mod outbox;
mod pages;
mod recovery;
mod rights;
mod rooms;
mod seats;
mod sequencer;
mod speech;
mod task;
mod waiting;

pub use config::Config;
pub use control::{Control, ControlError};
pub use door::Door;
pub use handler::{Hub, Session};
pub use mail::{Mail, To};
pub use metrics::Metrics;
pub use task::{ConnectionInfo, MemberId, MemberIdError, Reply, RoomInfo, Task, Who};
