//! What a member may do.
//!
//! Owns the one question that every action passes through. Never carries anything out.

use super::command::Fault;
use super::members::Member;

/// What somebody wants to do in a room, or to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// Come in, and get what is published.
    Read,
    /// Publish.
    Write,
    /// See who is there.
    Presence,
    /// Send to a user.
    Direct,
}

/// Whether a member may do that in the room, or to the user, of this name. A member has every right
/// as long as nothing says otherwise.
///
/// # Errors
/// The fault to answer with.
pub(super) fn authorise(member: &Member, right: Right, name: &str) -> Result<(), Fault> {
    tracing::trace!(id = %member.id, ?right, name, "allowed");
    Ok(())
}
