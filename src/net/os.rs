//! The operating system behind the seams: mio, the monotonic clock, the kernel's randomness.
//!
//! Owns the epoll instance and the listeners of one loop. Never decides anything.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Token};

use super::{Clock, ConnectionId, Platform, Poll, Random, Ready, Source, Stream};

/// How much readiness one wait brings at most.
const EVENTS_MAX: usize = 1024;

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
}

/// An epoll instance and the listeners on it.
#[derive(Debug)]
pub struct OsPoll {
    poll: mio::Poll,
    events: Events,
    listeners: Vec<TcpListener>,
}

impl OsPoll {
    /// Listens on sockets that are bound and do not block.
    ///
    /// # Errors
    /// What epoll says.
    pub fn new(listeners: Vec<std::net::TcpListener>) -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let mut listeners: Vec<_> = listeners.into_iter().map(TcpListener::from_std).collect();
        for (generation, listener) in (0..).zip(&mut listeners) {
            let id = ConnectionId { index: LISTENER, generation };
            poll.registry().register(listener, token(id), Interest::READABLE)?;
        }
        Ok(Self { poll, events: Events::with_capacity(EVENTS_MAX), listeners })
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
        let listener = self.listeners.get(listener).ok_or(io::ErrorKind::WouldBlock)?;
        let (stream, _) = listener.accept()?;
        // Linux passes the listener's TCP_NODELAY on; elsewhere it is asked for each time.
        #[cfg(not(target_os = "linux"))]
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn register(&mut self, stream: &mut TcpStream, id: ConnectionId) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(stream, token(id), both)
    }

    fn listeners(&self) -> usize {
        self.listeners.len()
    }

    fn stop_listening(&mut self) {
        self.listeners.clear();
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

/// The kernel's randomness, a few hundred bytes at a time.
#[derive(Debug)]
pub struct OsRandom {
    pool: [u64; 32],
    used: usize,
}

impl Default for OsRandom {
    fn default() -> Self {
        Self { pool: [0; 32], used: 32 }
    }
}

impl Random for OsRandom {
    fn next_u64(&mut self) -> u64 {
        if self.used == self.pool.len() {
            for word in &mut self.pool {
                *word = getrandom::u64().expect("the kernel has randomness");
            }
            self.used = 0;
        }
        self.used += 1;
        self.pool[self.used - 1]
    }
}
