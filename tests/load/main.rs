//! `throng load` as a script sees it: the real program against `throng echo`, `throng serve`, and
//! tungstenite where a server has to do something wrong.
//!
//! Owns what the command promises: its figures, its exit statuses and its page.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;
mod run;

mod faults;
mod modes;
mod report;
mod usage;
