//! A world in memory for the loop: clients that are nothing but bytes.
//!
//! Owns the seams of `throng::net` over queues. Every byte arrives at once, every write is taken
//! whole, and time stands still until it is moved: who looks for short reads and slow peers finds
//! them in `tests/simulation`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use throng::net::{Clock, ConnectionId, Platform, Poll, Random, Ready, Source, Stream};

/// All that the loop sees of the world.
#[derive(Default)]
pub struct World {
    pub links: Vec<Link>,
    accepted: usize,
    pub now: Duration,
    random: u64,
    has_mail: Arc<AtomicBool>,
}

/// One client's end.
#[derive(Default)]
pub struct Link {
    inbox: VecDeque<u8>,
    pub outbox: Vec<u8>,
    has_news: bool,
    id: Option<ConnectionId>,
    /// Whether the client has gone.
    pub gone: bool,
    /// Whether the server has ended its side.
    pub shut: bool,
}

/// Shared by the client's side and the loop's.
pub type Shared = Rc<RefCell<World>>;

impl World {
    /// What wakes the loop for its mail.
    pub fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let has_mail = Arc::clone(&self.has_mail);
        move || has_mail.store(true, Ordering::Relaxed)
    }

    /// A new client has sent this: its number.
    pub fn connect(&mut self, bytes: &[u8]) -> usize {
        self.links.push(Link { inbox: bytes.iter().copied().collect(), ..Link::default() });
        self.links.len() - 1
    }

    pub fn send(&mut self, number: usize, bytes: &[u8]) {
        self.links[number].inbox.extend(bytes);
        self.links[number].has_news = true;
    }

    pub fn hang_up(&mut self, number: usize) {
        self.links[number].gone = true;
        self.links[number].has_news = true;
    }

    /// Whether the loop has anything to do.
    pub fn has_news(&self) -> bool {
        self.accepted < self.links.len()
            || self.has_mail.load(Ordering::Relaxed)
            || self.links.iter().any(|link| link.has_news && link.id.is_some())
    }
}

pub enum Memory {}

impl Platform for Memory {
    type Stream = MemoryStream;
    type Poll = MemoryPoll;
    type Clock = MemoryClock;
    type Random = MemoryRandom;
}

pub struct MemoryStream {
    world: Shared,
    number: usize,
}

impl Stream for MemoryStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let link = &mut self.world.borrow_mut().links[self.number];
        if link.inbox.is_empty() {
            return if link.gone { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let n = buffer.len().min(link.inbox.len());
        for (to, from) in buffer.iter_mut().zip(link.inbox.drain(..n)) {
            *to = from;
        }
        Ok(n)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let link = &mut self.world.borrow_mut().links[self.number];
        slices.iter().for_each(|slice| link.outbox.extend_from_slice(slice));
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        let link = &mut self.world.borrow_mut().links[self.number];
        (link.shut, link.gone, link.has_news) = (true, true, true); // the client ends too
        Ok(())
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        let link = &mut self.world.borrow_mut().links[self.number];
        (link.shut, link.id) = (true, None);
    }
}

pub struct MemoryPoll(pub Shared);

impl Poll for MemoryPoll {
    type Stream = MemoryStream;

    fn wait(&mut self, ready: &mut Vec<Ready>, _: Option<Duration>) -> io::Result<()> {
        let world = &mut *self.0.borrow_mut();
        ready.clear();
        let news = |source, read_closed| Ready {
            source,
            readable: true,
            writable: true,
            read_closed,
            error: false,
        };
        if world.accepted < world.links.len() {
            ready.push(news(Source::Listener(0), false));
        }
        if world.has_mail.swap(false, Ordering::Relaxed) {
            ready.push(news(Source::Mailbox, false));
        }
        for link in &mut world.links {
            if let (true, Some(id)) = (link.has_news, link.id) {
                link.has_news = false;
                ready.push(news(Source::Connection(id), link.gone));
            }
        }
        Ok(())
    }

    fn accept(&mut self, _: usize) -> io::Result<MemoryStream> {
        let world = &mut *self.0.borrow_mut();
        if world.accepted == world.links.len() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let number = world.accepted;
        world.accepted += 1;
        Ok(MemoryStream { world: Rc::clone(&self.0), number })
    }

    fn register(&mut self, stream: &mut MemoryStream, id: ConnectionId) -> io::Result<()> {
        let link = &mut self.0.borrow_mut().links[stream.number];
        (link.id, link.has_news) = (Some(id), true);
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
        1_712_345_678_901 + self.now().as_millis() as u64
    }
}

pub struct MemoryRandom(pub Shared);

impl Random for MemoryRandom {
    fn next_u64(&mut self) -> u64 {
        let world = &mut *self.0.borrow_mut();
        world.random = world.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        world.random
    }
}
