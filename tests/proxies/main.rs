//! Debian's nginx and HAProxy in front of the real binary, with the configurations of
//! `docs/proxies`: who a client is, what it may, and what passes.
//!
//! Needs `nginx` with its stream module, `haproxy` and `openssl`; `tests/run` installs them.
#![cfg(all(feature = "cli", target_os = "linux"))]

#[path = "../common/mod.rs"]
mod common;

mod addresses;
mod idle;
mod origins;
mod passing;
mod proxy;
mod site;
mod tls;
