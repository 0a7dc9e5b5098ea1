//! A platform in memory with one connection, whose bytes come and go in pieces of a given size.
//!
//! It keeps the contract of edge-triggered epoll: a short read has drained the socket, a short
//! write has filled it, and there is news when that changes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use throng::net::{Clock, ConnectionId, OsRandom, Platform, Poll, Ready, Source, Stream};

/// What stands between the client and the server.
#[derive(Default)]
pub struct World {
    /// What the client has sent and has not arrived.
    pub coming: VecDeque<u8>,
    inbox: VecDeque<u8>,
    /// What the client has not read.
    pub outbox: Vec<u8>,
    /// How much arrives in one piece, and how much is taken in one.
    pub piece_in: usize,
    pub piece_out: usize,
    room: usize,
    was_full: bool,
    id: Option<ConnectionId>,
    accepted: bool,
    /// The client has ended TCP.
    pub fin: bool,
    /// The server has.
    pub shut: bool,
    /// The server has dropped the stream.
    pub gone: bool,
    /// How often the server wrote.
    pub writes: usize,
    /// A socket that is full is broken.
    pub breaks: bool,
    pub now: Duration,
}

pub type Shared = Rc<RefCell<World>>;

pub enum Memory {}

impl Platform for Memory {
    type Stream = MemoryStream;
    type Poll = MemoryPoll;
    type Clock = MemoryClock;
    type Random = OsRandom;
}

pub struct MemoryStream(Shared);

impl Stream for MemoryStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let world = &mut *self.0.borrow_mut();
        if world.inbox.is_empty() {
            let ended = world.fin && world.coming.is_empty();
            return if ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let count = buffer.len().min(world.inbox.len());
        for (to, from) in buffer.iter_mut().zip(world.inbox.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let world = &mut *self.0.borrow_mut();
        assert!(!world.shut, "written to after the end of TCP");
        let whole: usize = slices.iter().map(|slice| slice.len()).sum();
        let count = whole.min(world.room);
        world.was_full |= count < whole;
        if count == 0 {
            let is_broken = world.breaks;
            return Err(
                if is_broken { ErrorKind::BrokenPipe } else { ErrorKind::WouldBlock }.into()
            );
        }
        world.writes += 1;
        world.room -= count;
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
        world.outbox.extend(bytes.take(count));
        Ok(count)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.0.borrow_mut().shut = true;
        Ok(())
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.0.borrow_mut().gone = true;
    }
}

pub struct MemoryPoll(pub Shared);

impl Poll for MemoryPoll {
    type Stream = MemoryStream;

    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        let world = &mut *self.0.borrow_mut();
        ready.clear();
        let mut news = Ready {
            source: Source::Listener(0),
            readable: true,
            writable: false,
            read_closed: false,
            error: false,
        };
        if !world.accepted {
            world.room = world.piece_out;
            ready.push(news);
        }
        let Some(id) = world.id else { return Ok(()) };
        let count = world.coming.len().min(world.piece_in);
        let piece = world.coming.drain(..count);
        world.inbox.extend(piece);
        news.read_closed = world.fin && world.coming.is_empty();
        news.readable = count > 0 || news.read_closed;
        news.writable = std::mem::take(&mut world.was_full);
        if news.writable {
            world.room = world.piece_out;
        }
        news.source = Source::Connection(id);
        if news.readable || news.writable {
            ready.push(news);
        } else {
            // Nothing happens but time.
            world.now += timeout.unwrap_or_default().min(Duration::from_millis(100));
        }
        Ok(())
    }

    fn accept(&mut self, _: usize) -> io::Result<MemoryStream> {
        if std::mem::replace(&mut self.0.borrow_mut().accepted, true) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(MemoryStream(Rc::clone(&self.0)))
    }

    fn register(&mut self, _: &mut MemoryStream, id: ConnectionId) -> io::Result<()> {
        self.0.borrow_mut().id = Some(id);
        Ok(())
    }

    fn listeners(&self) -> usize {
        1
    }

    fn stop_listening(&mut self) {}
}

pub struct MemoryClock(pub Shared);

impl Clock for MemoryClock {
    fn now(&self) -> Duration {
        self.0.borrow().now
    }

    fn unix_ms(&self) -> u64 {
        0
    }
}
