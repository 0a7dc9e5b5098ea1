//! What tests of history and of several nodes share: clients that take down all they see, a checker
//! that knows every message, and faults by which it is checked. Nothing in here imports throng.
#![allow(dead_code, unused_imports)] // every test program uses its own part of this

pub mod checker;
pub mod person;
pub mod plants;
pub mod recorder;
pub mod wanderer;

pub use checker::{Event, Joined, Kept, Trial, check};
pub use person::{Person, offsets, readiness};
pub use recorder::{Recorder, kept};
pub use wanderer::Wanderer;
