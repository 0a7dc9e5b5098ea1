//! The ready-made realtime server: one [`Handler`](crate::net::Handler).
//!
//! Owns rooms, their members, the messages of DESIGN section 7, and the page. Never touches a
//! socket.

pub mod address;
mod command;
mod delivery;
mod forwarded;
mod handler;
mod json;
pub mod limits;
mod outbox;
mod pages;
mod rooms;

pub use handler::{Hub, Mail, Session};
