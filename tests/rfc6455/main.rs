//! RFC 6455, requirement by requirement, against the real binary over real sockets.
//!
//! `docs/rfc-checklist.tsv` numbers the requirements; a test named `row_NNN_...` shows row NNN.
//! Every stream goes through in three cuts (whole, byte for byte, at random places), and once glued
//! to the handshake. `coverage` fails where a row that is built has no test.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod closing;
mod control;
mod coverage;
mod framing;
mod messages;
mod opening;
mod opening_lists;
