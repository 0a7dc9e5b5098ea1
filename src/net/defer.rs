//! TCP_DEFER_ACCEPT (tcp(7)): a connection is accepted when its first bytes are there.
//!
//! Owns this one option of a listener. Never knows what is served: it is for protocols in which the
//! client speaks first, as in HTTP and in the PROXY protocol.

use std::os::fd::AsFd;

use nix::sys::socket::setsockopt;
use nix::{libc, setsockopt_impl, sockopt_impl};

/// How long the kernel keeps a connection that says nothing, in seconds: until it would send its
/// part of TCP's handshake once more, which is the least there is.
const DEFER_S: libc::c_int = 1;

sockopt_impl!(DeferAccept, SetOnly, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, libc::c_int);

/// Has a listener accept connections with their first bytes, or after a second without any. It
/// costs less, and is not needed: where the system refuses, all goes on as it is.
pub(super) fn defer_accept(listener: &impl AsFd) {
    if let Err(error) = setsockopt(listener, DeferAccept, &DEFER_S) {
        tracing::debug!(%error, "connections are accepted before their first bytes");
    }
}
