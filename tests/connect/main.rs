//! `throng connect` as a script and as a person see it: the real program, over real sockets, with
//! pipes and with a terminal.
//!
//! Owns what the command promises. The servers are `throng echo`, `throng serve`, and tungstenite
//! where a server has to behave in its own way.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;
mod run;

mod opening;
mod pipes;
mod statuses;
mod terminal;
