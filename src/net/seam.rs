//! The seams between the loop and the world: readiness and byte streams, time, randomness.
//!
//! Owns the traits. Everything of the loop that is not pure goes through them, with static
//! dispatch, so that a test can drive the real loop from a seed (`tests/simulation.rs`).

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::ConnectionId;

/// One choice of world: the operating system's ([`Os`](super::Os)), or a test's.
pub trait Platform: Sized + 'static {
    /// A byte stream to a peer.
    type Stream: Stream;
    /// Readiness, and new streams.
    type Poll: Poll<Stream = Self::Stream>;
    /// Time.
    type Clock: Clock;
    /// Randomness.
    type Random: Random;
}

/// A byte stream to one peer that never blocks: [`io::ErrorKind::WouldBlock`] where nothing can be
/// read or written now.
pub trait Stream {
    /// Reads what has come; 0 where the peer will send no more. [`io::ErrorKind::ResourceBusy`]
    /// where the stream has had its share of the turn: it is asked again in the next.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes the front of `bytes`, and says how much.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Writes the front of all the slices together, and says how much.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Tells the peer that no more will be written.
    fn shutdown(&mut self) -> io::Result<()>;
    /// The peer's address, where it has one.
    fn remote_addr(&self) -> Option<SocketAddr>;
    /// Whether it is a Unix socket: its peer is on this machine, and has no address.
    fn is_unix(&self) -> bool {
        false
    }

    /// A handle on the socket, for another process; `None` where a stream is more than its socket.
    #[cfg(unix)]
    fn handle(&self) -> Option<std::os::fd::OwnedFd> {
        None
    }

    // What follows is for streams that encrypt. Where nothing stands between the loop and the
    // socket it is as written here, and costs nothing.

    /// Whether there is something to read, or the end to be told, although the socket is drained.
    fn has_unread(&self) -> bool {
        false
    }
    /// Whether both ends are still agreeing how to speak: nothing can be written before that.
    fn is_opening(&self) -> bool {
        false
    }
    /// Whether the stream has something of its own to write, or keeps what it took.
    fn owes(&self) -> bool {
        false
    }
    /// Writes what the stream [owes](Self::owes), and says how much.
    fn flush(&mut self) -> io::Result<usize> {
        Ok(0)
    }
    /// Tells a stream that was connected whom it is to lead to: `host[:port]`.
    fn lead_to(&mut self, host: &str) -> io::Result<()> {
        let _ = host;
        Ok(())
    }
    /// Gives back what stood behind the header of a proxy. `false` where it is not taken: then it
    /// is what the peer has sent.
    fn take_back(&mut self, bytes: &[u8]) -> bool {
        let _ = bytes;
        false
    }
    /// Whether the peer speaks plain HTTP where TLS is spoken.
    fn is_astray(&self) -> bool {
        false
    }
    /// Whether nobody in between can read along.
    fn is_secure(&self) -> bool {
        false
    }
    /// The certificate that the peer has shown, in DER; it was verified.
    fn peer_certificate(&self) -> Option<&[u8]> {
        None
    }
    /// Why the stream has failed, once, where it knows better than the system.
    fn take_fault(&mut self) -> Option<io::Error> {
        None
    }
}

/// Where readiness and new streams come from. Edge-triggered: news once, until nothing is left to
/// read or write.
pub trait Poll {
    /// A byte stream to a peer.
    type Stream: Stream;
    /// Waits until something is ready, at most `timeout`, and fills `ready` with it.
    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()>;
    /// The next new stream of a listener.
    fn accept(&mut self, listener: usize) -> io::Result<Self::Stream>;
    /// Begins to connect, from an address of this machine where that matters. The stream is
    /// writable when it is connected, or broken when it cannot be.
    fn connect(&mut self, from: Option<IpAddr>, to: SocketAddr) -> io::Result<Self::Stream> {
        let _ = (from, to);
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Takes a stream that another process has opened.
    #[cfg(unix)]
    fn adopt(&mut self, socket: std::os::fd::OwnedFd) -> io::Result<Self::Stream> {
        let _ = socket;
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Reports the readiness of `stream` no more.
    fn deregister(&mut self, stream: &mut Self::Stream) -> io::Result<()> {
        let _ = stream;
        Ok(())
    }
    /// Reports the readiness of `stream` as `id` from now on.
    fn register(&mut self, stream: &mut Self::Stream, id: ConnectionId) -> io::Result<()>;
    /// How many listeners there are.
    fn listeners(&self) -> usize;
    /// Takes no new streams any more.
    fn stop_listening(&mut self);
}

/// What is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A listener, by its number.
    Listener(usize),
    /// The mailbox.
    Mailbox,
    /// A connection. It may be gone by now: look it up.
    Connection(ConnectionId),
}

/// One piece of readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Who is ready.
    pub source: Source,
    /// There is something to read.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
    /// The peer has sent its last byte: read on until 0, however short a read is.
    pub read_closed: bool,
    /// The stream is broken.
    pub error: bool,
}

/// Time.
pub trait Clock {
    /// The time since some start, which never goes back.
    fn now(&self) -> Duration;
    /// Milliseconds since 1970, for people.
    fn unix_ms(&self) -> u64;
}

/// Randomness that nobody can predict (RFC 6455 section 10.3).
pub trait Random {
    /// The next 64 bits.
    fn next_u64(&mut self) -> u64;
}
