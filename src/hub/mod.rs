//! The ready-made realtime server: one [`Handler`](crate::net::Handler).
//!
//! Owns rooms, their members, the messages of DESIGN section 7, who may come in, and the page.
//! Never touches a socket.

pub mod auth;
mod command;
mod delivery;
mod handler;
pub mod hosts;
mod json;
pub mod origin;
mod outbox;
mod pages;
mod rooms;

pub use handler::{Hub, Mail, Session};
