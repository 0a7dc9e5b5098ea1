//! Tokens, from a request to an identity, as the library offers it; and `throng token`.
//!
//! Owns the tests of what is refused and why (class A16, web rules 2, 8, 9 and 12), of key files
//! that change, and of what gets into a log. The keys in `keys/` are for these tests only.

#[path = "../common/mod.rs"]
mod common;

mod command;
mod files;
mod logs;
mod refused;
mod requests;
mod serving;
mod support;
mod taken;
