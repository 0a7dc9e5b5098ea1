//! The dashboard: `/admin`.
//!
//! Owns who may look, what a viewer is told and may do, and what is counted for it. While nobody
//! looks nothing is counted, sent or kept. Never speaks to a member, but to end its connection.

mod access;
mod commands;
mod heavy;
mod limits;
mod snapshot;
mod survey;
mod sweep;
mod viewers;
mod watch;

pub(super) use survey::Slip;
pub(super) use viewers::Desk;

/// The page, and the WebSocket that feeds it.
pub(super) const PATH: &str = "/admin";

/// What is spoken there.
pub(super) const SUBPROTOCOL: &str = "throng.admin.v1";
