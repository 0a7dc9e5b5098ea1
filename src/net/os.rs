//! The operating system behind the seams: mio, the monotonic clock, the kernel's randomness.
//!
//! Owns the epoll instance and the listeners of one loop. Never decides anything.

use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[cfg(unix)]
use mio::net::UnixListener;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Token};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{Clock, ConnectionId, Listener, Platform, Poll, Random, Ready, Source, Stream};

/// How much readiness one wait brings at most: what a turn owes is still in the cache when it is
/// written, and peers have their answers while others are read (docs/performance.md).
const EVENTS_MAX: usize = 128;

/// What connect says of a socket that does not wait (EINPROGRESS).
#[cfg(target_os = "linux")]
const IN_PROGRESS: i32 = 115;
#[cfg(not(target_os = "linux"))]
const IN_PROGRESS: i32 = 36; // the BSDs and macOS

/// Tokens are connection ids; an index this high is none.
const LISTENER: u32 = u32::MAX;
const MAILBOX: u32 = u32::MAX - 1;

/// The operating system.
#[derive(Debug)]
pub enum Os {}

impl Platform for Os {
    type Stream = TcpStream;
    type Poll = OsPoll;
    type Clock = OsClock;
    type Random = OsRandom;
}

/// A Unix socket may stand in a [`TcpStream`]: to read, write and shut down, the kernel has the
/// same calls for both. So a connection has one type, and TCP pays nothing for there being others.
impl Stream for TcpStream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buffer)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    #[inline]
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Write::write_vectored(self, slices)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Self::shutdown(self, Shutdown::Write)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.peer_addr().ok()
    }

    #[cfg(unix)]
    fn handle(&self) -> Option<OwnedFd> {
        self.as_fd().try_clone_to_owned().ok()
    }

    fn is_unix(&self) -> bool {
        // Asked of this end, which has an address also when the peer has gone.
        SockRef::from(self).local_addr().is_ok_and(|addr| addr.is_unix())
    }
}

/// An epoll instance and the listeners on it.
#[derive(Debug)]
pub struct OsPoll {
    poll: mio::Poll,
    events: Events,
    listeners: Vec<Watched>,
}

/// A listener that epoll watches.
#[derive(Debug)]
enum Watched {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Watched {
    fn new(listener: Listener, poll: &mio::Poll, id: ConnectionId) -> io::Result<Self> {
        let (registry, wanted) = (poll.registry(), Interest::READABLE);
        match listener {
            Listener::Tcp(listener) => {
                let mut listener = TcpListener::from_std(listener);
                registry.register(&mut listener, token(id), wanted)?;
                Ok(Self::Tcp(listener))
            }
            #[cfg(unix)]
            Listener::Unix(listener) => {
                let mut listener = UnixListener::from_std(listener);
                registry.register(&mut listener, token(id), wanted)?;
                Ok(Self::Unix(listener))
            }
        }
    }

    fn deregister(&mut self, poll: &mio::Poll) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => poll.registry().deregister(listener),
            #[cfg(unix)]
            Self::Unix(listener) => poll.registry().deregister(listener),
        }
    }

    fn accept(&self) -> io::Result<TcpStream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                // Linux passes the listener's TCP_NODELAY on; elsewhere it is asked for each time.
                #[cfg(not(target_os = "linux"))]
                stream.set_nodelay(true)?;
                Ok(stream)
            }
            #[cfg(unix)]
            Self::Unix(listener) => Ok(TcpStream::from(OwnedFd::from(listener.accept()?.0))),
        }
    }
}

#[cfg(unix)]
impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

impl OsPoll {
    /// Listens on sockets that are bound and do not block.
    ///
    /// # Errors
    /// What epoll says.
    pub fn new(listeners: Vec<Listener>) -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let watched = (0..).zip(listeners).map(|(generation, listener)| {
            Watched::new(listener, &poll, ConnectionId { index: LISTENER, generation })
        });
        let listeners = watched.collect::<io::Result<_>>()?;
        Ok(Self { poll, events: Events::with_capacity(EVENTS_MAX), listeners })
    }

    /// Handles on its listeners, in their order.
    ///
    /// # Errors
    /// The system has no descriptor left.
    #[cfg(unix)]
    pub fn handles(&self) -> io::Result<Vec<OwnedFd>> {
        self.listeners.iter().map(|listener| listener.as_fd().try_clone_to_owned()).collect()
    }

    /// What wakes this poll from another thread.
    ///
    /// # Errors
    /// What epoll says.
    pub fn waker(&self) -> io::Result<mio::Waker> {
        let id = ConnectionId { index: MAILBOX, generation: 0 };
        mio::Waker::new(self.poll.registry(), token(id))
    }
}

fn token(id: ConnectionId) -> Token {
    const { assert!(usize::BITS == 64, "a token holds an index and a generation") };
    Token(id.to_u64() as usize)
}

fn source(token: Token) -> Source {
    let id = ConnectionId::from_u64(token.0 as u64);
    match id.index {
        LISTENER => Source::Listener(id.generation as usize),
        MAILBOX => Source::Mailbox,
        _ => Source::Connection(id),
    }
}

impl Poll for OsPoll {
    type Stream = TcpStream;

    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        ready.clear();
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        ready.extend(self.events.iter().map(|event| Ready {
            source: source(event.token()),
            readable: event.is_readable(),
            writable: event.is_writable(),
            read_closed: event.is_read_closed(),
            error: event.is_error(),
        }));
        Ok(())
    }

    fn accept(&mut self, listener: usize) -> io::Result<TcpStream> {
        self.listeners.get(listener).ok_or(io::ErrorKind::WouldBlock)?.accept()
    }

    fn connect(&mut self, from: Option<IpAddr>, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(from) = from {
            socket.bind(&SocketAddr::new(from, 0).into())?;
        }
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => Err(error),
            Ok(()) | Err(_) => Ok(TcpStream::from_std(socket.into())),
        }
    }

    fn register(&mut self, stream: &mut TcpStream, id: ConnectionId) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(stream, token(id), both)
    }

    fn listeners(&self) -> usize {
        self.listeners.len()
    }

    #[cfg(unix)]
    fn adopt(&mut self, socket: OwnedFd) -> io::Result<TcpStream> {
        Ok(TcpStream::from(socket))
    }

    fn deregister(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        self.poll.registry().deregister(stream)
    }

    fn stop_listening(&mut self) {
        for mut listener in self.listeners.drain(..) {
            // Another process may have it too: epoll would go on telling of it.
            if let Err(error) = listener.deregister(&self.poll) {
                tracing::debug!(%error, "a listener is watched still");
            }
        }
    }
}

/// The monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct OsClock {
    start: Instant,
}

impl Default for OsClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for OsClock {
    #[inline]
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// How much randomness is asked for at once, in bytes.
const POOL_BYTES: usize = 512;

/// The kernel's randomness, some at a time.
#[derive(Debug)]
pub struct OsRandom {
    pool: [u8; POOL_BYTES],
    used: usize,
}

impl Default for OsRandom {
    fn default() -> Self {
        Self { pool: [0; POOL_BYTES], used: POOL_BYTES }
    }
}

impl Random for OsRandom {
    fn next_u64(&mut self) -> u64 {
        if self.used == self.pool.len() {
            getrandom::fill(&mut self.pool).expect("the kernel has randomness");
            self.used = 0;
        }
        let (words, _) = self.pool.as_chunks::<8>();
        let word = words[self.used / 8];
        self.used += 8;
        u64::from_ne_bytes(word)
    }
}
