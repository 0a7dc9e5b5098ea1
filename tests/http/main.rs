//! The HTTP side of the real binary: plain requests, what others fell for, and the chat relay.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod relay;
mod requests;
mod smuggling;
