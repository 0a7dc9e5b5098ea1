//! The ready-made realtime server: one [`Handler`](crate::net::Handler).
//!
//! Owns rooms, their members, the messages of DESIGN section 7, who may come in, and the page.
//! Never touches a socket. [`Control`] is the way in for who is no client.

pub mod address;
mod admin;
mod answers;
mod api;
pub mod auth;
mod command;
mod commands;
mod config;
mod control;
mod delivery;
mod door;
mod entrance;
mod forwarded;
mod frames;
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
pub mod overload;
mod pages;
pub mod protobuf;
mod recovery;
mod rights;
mod rooms;
mod seats;
mod sequencer;
mod shedding;
mod speech;
mod tallies;
mod task;
mod terms;
mod trace;
mod waiting;
mod wire;

pub use api::ApiPace;
pub use config::Config;
pub use control::{Control, ControlError};
pub use door::Door;
pub use handler::{Hub, Session};
pub use mail::{Mail, To};
pub use metrics::Metrics;
pub use task::{ConnectionInfo, MemberId, MemberIdError, Reply, RoomInfo, Task, Who};
