//! History and recovery: what comes back to those who come back, over one loop and several, from
//! memory and from the store, with a checker that knows every message.
//!
//! `THRONG_FULL=1` makes the runs with `kill -9` long.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../record/mod.rs"]
mod record;
#[path = "../engine/running.rs"]
mod running;

mod crowd;
mod durable;
mod faults;
mod killing;
mod order;
mod paging;
mod place;
mod planted;
mod power;
mod recovery;
mod repeats;
