//! Listening sockets that were opened elsewhere: by the system's service manager, or by the process
//! that this one follows.
//!
//! Owns who gets which. A socket is never closed whose address is listened on still: those who wait
//! there to be accepted would be lost.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use super::Listener;

/// A listening socket from elsewhere.
#[derive(Debug)]
pub struct Inherited {
    /// What it was asked to listen on: an address as [`Builder::listen`](super::Builder::listen)
    /// was told, whose port may be 0, or `unix:PATH`.
    pub name: String,
    /// The socket.
    pub socket: OwnedFd,
}

/// The sockets that are there for an address, to be dealt out to the loops.
pub(super) struct Legacy {
    sockets: VecDeque<Listener>,
    last: Option<Listener>,
}

impl Legacy {
    /// Takes those of a name.
    pub(super) fn take(all: &mut Vec<Inherited>, name: &str) -> io::Result<Self> {
        let taken = all.extract_if(.., |inherited| inherited.name == name);
        let sockets = taken.map(|inherited| Listener::adopt(inherited.socket));
        Ok(Self { sockets: sockets.collect::<io::Result<_>>()?, last: None })
    }

    /// The next, or the last once more where there are fewer than loops; `None` where there never
    /// was one.
    pub(super) fn next(&mut self) -> io::Result<Option<Listener>> {
        let next = match (self.sockets.pop_front(), &self.last) {
            (Some(next), _) => next,
            (None, Some(last)) => last.try_clone()?,
            (None, None) => return Ok(None),
        };
        self.last = Some(next.try_clone()?);
        Ok(Some(next))
    }

    /// Those for which there is no loop of their own.
    pub(super) fn rest(self) -> impl Iterator<Item = Listener> {
        self.sockets.into_iter()
    }
}
