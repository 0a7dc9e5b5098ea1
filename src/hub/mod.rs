//! The ready-made realtime server: one [`Handler`](crate::net::Handler).
//!
//! Owns rooms, their members, the messages of DESIGN section 7, and the page. Never touches a
//! socket.

mod command;
mod delivery;
mod handler;
mod json;
mod metrics;
mod outbox;
mod pages;
mod rooms;

pub use handler::{Hub, Mail, Session};
pub use metrics::Metrics;
