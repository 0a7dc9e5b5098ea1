//! Everything at once, for a while: two servers of the real binary, one over a Redis and one with a
//! file of its own, under members whose every word is checked, guests that behave badly, floods and
//! slow readers, while they are upgraded, told to read their settings again, and Redis is killed.
//! In the end nothing is left of it: no memory, no descriptor, no connection, and nothing is lost.
//!
//! `THRONG_FULL=1` takes ten minutes; `THRONG_SEED=N` takes that seed, `THRONG_SOAK_S=N` that long.
#![cfg(feature = "cli")]

#[allow(dead_code)] // the tests of TLS use the rest
#[path = "../tls/authority.rs"]
mod authority;
#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code)]
#[path = "../tls/peer.rs"]
mod peer;
#[path = "../record/mod.rs"]
mod record;

mod callbacks;
mod chaos;
mod crowds;
mod guests;
mod judge;
mod planted;
#[allow(dead_code)] // the tests of the broker use the rest
#[path = "../broker/redis.rs"]
mod redis;
#[allow(dead_code)] // the tests of the engine use the rest
#[path = "../engine/running.rs"]
mod running;
mod served;
mod talkers;
mod trial;
mod watch;

/// What the histories of a server may take in memory.
pub const HISTORY_BYTES: usize = 8 << 20;

/// Whether the full size is wanted.
fn is_full() -> bool {
    std::env::var_os("THRONG_FULL").is_some_and(|value| value == "1")
}
