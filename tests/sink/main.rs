//! The sink: what happens in rooms comes to another service, at least once and in the order of each
//! room, whatever becomes of that service and of the server. The real binary, real sockets, a real
//! Redis.
//!
//! `THRONG_FULL=1` makes the run with `kill -9` long.
#![cfg(feature = "cli")]

#[allow(dead_code)] // the tests of TLS use the rest
#[path = "../tls/authority.rs"]
mod authority;
#[path = "../common/mod.rs"]
mod common;
#[path = "../record/mod.rs"]
mod record;

mod bounds;
mod failures;
mod killing;
mod receiver;
#[path = "../broker/redis.rs"]
#[allow(dead_code)]
mod redis;
mod secured;
mod stream;
mod telling;
