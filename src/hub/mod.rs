//! The ready-made realtime server: one [`Handler`](crate::net::Handler).
//!
//! Owns rooms, their members, the messages of DESIGN section 7, and the page. Never touches a
//! socket. [`Control`] is the way in for who is no client.

mod answers;
mod command;
mod commands;
mod config;
mod control;
mod delivery;
mod handler;
mod json;
mod mail;
mod members;
mod outbox;
mod pages;
mod rights;
mod rooms;
mod seats;
mod speech;
mod task;

pub use config::Config;
pub use control::{Control, ControlError};
pub use handler::{Hub, Session};
pub use mail::{Mail, To};
pub use task::{ConnectionInfo, MemberId, MemberIdError, Reply, RoomInfo, Task, Who};
