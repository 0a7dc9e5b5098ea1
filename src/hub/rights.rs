//! What a member may do.
//!
//! Owns the one question that every action passes through. Never carries anything out.

use super::auth;
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

/// Whether a member may do that in the room, or to the user, of this name. Who has no token has
/// every right: the door lets nobody in without one where it is needed. To send to a user takes the
/// right to write to the room `@NAME`.
///
/// # Errors
/// The fault to answer with.
pub(super) fn authorise(member: &Member, right: Right, name: &str) -> Result<(), Fault> {
    let Some(identity) = member.identity() else { return Ok(()) };
    let grants = &identity.grants;
    let is_allowed = match right {
        Right::Read => grants.allows(auth::Right::Read, name),
        Right::Write => grants.allows(auth::Right::Write, name),
        Right::Presence => grants.allows(auth::Right::Presence, name),
        Right::Direct => grants.allows(auth::Right::Write, &format!("@{name}")),
    };
    if is_allowed { Ok(()) } else { Err(Fault::new("forbidden", "your token does not allow this")) }
}
