//! The client over real sockets: against small servers that misbehave on purpose, against the
//! library's own server, and against the real binary.
//!
//! `docs/rfc-checklist.tsv` numbers the requirements; a test named `row_NNN_...` shows row NNN.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;
mod peer;

mod answers;
mod closing;
mod compression;
mod frames;
mod limits;
mod reconnecting;
mod request;
mod short_reads;
mod ways;
mod whole;
