//! How much of what one may do: connections, handshakes, messages and bytes.
//!
//! Owns the counters and the answers when a limit is passed. Never reads a clock, since time is an
//! argument; never holds a connection, and never lets what it remembers of strangers grow without
//! end.
//!
//! What is in all, per address, per user or per room is counted over all loops of a server: the
//! [`Gate`] and the [`RoomFlows`] are shared by reference. What is held while counting is an
//! atomic, or a lock over a few entries for some tens of nanoseconds. What is per connection is a
//! [`Flow`], which stands in the connection's session.

mod addresses;
mod bucket;
mod flow;
mod handshakes;
mod table;
mod users;

pub use addresses::Network;
pub use bucket::{Bucket, Rate, SharedBucket};
pub use flow::{Flow, FlowLimits, RoomFlows, RoomLimits, Ruling};
pub(super) use handshakes::Origin;
pub use handshakes::{Gate, HandshakeLimits, Limit, Place, Refusal};
