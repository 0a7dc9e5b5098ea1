//! The life of a server: how it drains, how another process follows it, and what the service
//! manager is told. With the real binary; `THRONG_FULL=1` runs the full sizes.

#[path = "../common/mod.rs"]
mod common;
mod draining;
mod fleet;
mod following;
mod knowing;
mod lineage;
mod managing;
mod moving;

/// Whether the full sizes are wanted.
fn is_full() -> bool {
    std::env::var_os("THRONG_FULL").is_some_and(|value| value == "1")
}
