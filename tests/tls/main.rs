//! TLS, in both roles: the real binary and the real loop against rustls' own buffered connections,
//! which share no code with what is tested, and against each other.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod authority;
mod beginnings;
mod certificates;
mod clients;
mod commands;
mod endings;
mod handshakes;
mod peer;
mod pieces;
mod world;
