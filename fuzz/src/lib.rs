//! What the fuzz targets share.
//!
//! Owns how a fuzz input is read and cut, and the plain second opinions that the code under test is
//! held against. Never a target itself.

pub mod head;
pub mod memory;
pub mod model;
pub mod plan;
pub mod rules;
pub mod script;
pub mod story;

pub use plan::{Cuts, Plan};
pub use story::{Seen, Story};
