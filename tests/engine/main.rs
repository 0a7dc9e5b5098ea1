//! The library's second door, `throng::net`: what a handler may do, over real sockets.
//!
//! Owns the tests of verdicts, delivery, policies, mail and loops. What the program does with them
//! stands in the other tests.

#[path = "../common/mod.rs"]
mod common;

mod breaking;
mod compression;
mod delivery;
mod dialling;
mod gate;
mod limited;
mod loops;
mod proxying;
mod running;
mod verdicts;
#[allow(dead_code)] // the tests of TLS use the rest
#[path = "../tls/world.rs"]
mod world;

pub use running::Running;
