//! Several nodes of the real binary over a real Redis, with clients on all of them, while nodes are
//! killed, Redis is, and what is between them is cut, held and lost. A checker knows every message.
//!
//! `THRONG_FULL=1` runs ten minutes of seeds; `THRONG_SEED=N` runs that one.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../record/mod.rs"]
mod record;

mod away;
mod faults;
mod figure;
mod followed;
#[allow(dead_code)] // the tests of the life cycle use the rest
#[path = "../life/lineage.rs"]
mod lineage;
mod nodes;
mod people;
mod planted;
#[allow(dead_code)] // the tests of the broker use the rest
#[path = "../broker/redis.rs"]
mod redis;
mod relay;
mod trial;
