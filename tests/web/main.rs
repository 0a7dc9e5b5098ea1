//! Web rules that are held by the real binary as a whole, and the pages that say which test shows
//! which rule and class: `docs/web-rules.md` and `docs/reliability.md`.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod canary;
mod counts;
mod coverage;
mod exposure;
mod logs;
mod tokens;
