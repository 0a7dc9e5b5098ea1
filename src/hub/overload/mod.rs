//! What the server does when it has too much to do.
//!
//! Owns the pressure, where it comes from, the level that it leads to, and what each level sheds:
//! first the messages of low priority, then news of who comes and goes and compression, then new
//! connections. Never touches a socket. Without a [`watch`] the level is always
//! [`Level::Normal`].

mod budget;
mod controller;
mod family;
mod guard;
mod level;
mod pressure;
mod probe;
mod rules;
mod watch;

pub use budget::{Bound, Budget, OverBudget, Server};
pub use controller::Controller;
pub(in crate::hub) use family::families;
pub use guard::{Guard, LoopReport};
pub use level::Level;
pub use pressure::{Pressure, Source};
pub(in crate::hub) use probe::this_thread;
pub use probe::{Limits, Probe};
pub(in crate::hub) use rules::is_low;
pub use rules::{RoomRule, RoomRules};
pub use watch::watch;
