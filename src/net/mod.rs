//! The event loop: many connections on one thread (mio, edge-triggered epoll).
//!
//! Owns sockets, tables, backlogs, deadlines and the mailbox; calls one [`Handler`] per loop. Never
//! knows rooms, JSON or a store.
//!
//! A turn: wait, read what is ready, hand messages to the handler, and at its end write what each
//! peer is owed with one system call a peer. The read half of a connection and its write half stand
//! in two tables with one index, so that a handler that borrows a message can write to any peer,
//! the sender included.

mod accept;
mod backlog;
mod bound;
mod config;
mod deadline;
#[cfg(target_os = "linux")]
mod defer;
mod deflaters;
mod dial;
mod draining;
mod event_loop;
mod exchange;
mod handler;
#[cfg(all(unix, feature = "hub"))]
mod handover;
mod id;
#[cfg(all(unix, feature = "hub"))]
mod image;
#[cfg(unix)]
mod inherit;
mod limited;
mod listener;
mod mailbox;
mod os;
mod particulars;
mod peer;
mod peers;
mod policy;
mod proxied;
mod proxy;
mod pulse;
mod reading;
mod relief;
mod round_trip;
mod said;
mod sampling;
mod seam;
mod server;
#[cfg(unix)]
mod socket_file;
mod stats;
#[cfg(feature = "tls")]
mod tls;
mod turn;
mod writing;

pub use crate::proto::{Chunk, Close, Message, MessageKind, SendError, SharedFrame};
pub use config::{BacklogPolicy, Config};
pub use dial::{Dial, DialError};
pub use event_loop::EventLoop;
pub use handler::{CloseReason, Handler, Request, Timeout, Verdict};
#[cfg(all(unix, feature = "hub"))]
pub use handover::{Exported, Piece, Succession};
pub use id::ConnectionId;
#[cfg(unix)]
pub use inherit::Inherited;
pub use listener::Listener;
pub use mailbox::{Mailbox, MailboxFull, Mailboxes};
pub use os::{Os, OsClock, OsPoll, OsRandom};
pub use particulars::Particulars;
pub use peers::Peers;
pub use proxy::{ProxyError, ProxyHeader};
#[cfg(feature = "hub")]
pub(crate) use sampling::Sampling;
pub use seam::{Clock, Platform, Poll, Random, Ready, Source, Stream};
pub use server::{Builder, Server, Stopper};
pub use stats::{Cause, Drop, FanOut, Owner, State, Stats};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsPoll, TlsSetup, TlsStream};
