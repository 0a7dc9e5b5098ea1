//! A world of memory under the real loop: every byte is there at once, and time stands still.
//!
//! Owns the seams, so that one turn of the loop costs the same instructions each time. Never
//! allocates while a turn runs, once it is warm.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use throng::net::{
    Clock, Config, ConnectionId, EventLoop, Handler, Mailbox, Message, Peers, Platform, Poll,
    Random, Ready, SharedFrame, Source, Stream,
};

pub enum Memory {}

impl Platform for Memory {
    type Stream = MemoryStream;
    type Poll = MemoryPoll;
    type Clock = Still;
    type Random = Counter;
}

/// What the loop sees of its peers.
#[derive(Default)]
struct World {
    links: Vec<Link>,
    accepted: usize,
    written_bytes: usize,
}

/// One peer: what it has sent, and how far the loop has read.
struct Link {
    inbox: Rc<[u8]>,
    read: usize,
    id: Option<ConnectionId>,
    has_news: bool,
}

pub struct MemoryStream {
    world: Rc<RefCell<World>>,
    number: usize,
}

impl Stream for MemoryStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let link = &mut self.world.borrow_mut().links[self.number];
        let left = &link.inbox[link.read..];
        if left.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let len = left.len().min(buffer.len());
        buffer[..len].copy_from_slice(&left[..len]);
        link.read += len;
        Ok(len)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.world.borrow_mut().written_bytes += bytes.len();
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = slices.iter().map(|slice| slice.len()).sum();
        self.world.borrow_mut().written_bytes += len;
        Ok(len)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }
}

pub struct MemoryPoll(Rc<RefCell<World>>);

impl Poll for MemoryPoll {
    type Stream = MemoryStream;

    fn wait(&mut self, ready: &mut Vec<Ready>, _: Option<Duration>) -> io::Result<()> {
        ready.clear();
        let world = &mut *self.0.borrow_mut();
        if world.accepted < world.links.len() {
            ready.push(readable(Source::Listener(0)));
        }
        for link in &mut world.links {
            if let Some(id) = link.id
                && std::mem::take(&mut link.has_news)
            {
                ready.push(readable(Source::Connection(id)));
            }
        }
        Ok(())
    }

    fn accept(&mut self, _: usize) -> io::Result<MemoryStream> {
        let mut world = self.0.borrow_mut();
        let number = world.accepted;
        if number == world.links.len() {
            return Err(ErrorKind::WouldBlock.into());
        }
        world.accepted += 1;
        Ok(MemoryStream { world: Rc::clone(&self.0), number })
    }

    fn register(&mut self, stream: &mut MemoryStream, id: ConnectionId) -> io::Result<()> {
        self.0.borrow_mut().links[stream.number].id = Some(id);
        Ok(())
    }

    fn listeners(&self) -> usize {
        1
    }

    fn stop_listening(&mut self) {}
}

fn readable(source: Source) -> Ready {
    Ready { source, readable: true, writable: false, read_closed: false, error: false }
}

pub struct Still;

impl Clock for Still {
    fn now(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn unix_ms(&self) -> u64 {
        0
    }
}

pub struct Counter(u64);

impl Random for Counter {
    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// What the loop does with a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Echo,
    Broadcast,
}

pub struct Program {
    answer: Answer,
    members: Vec<ConnectionId>,
}

impl Handler<Memory> for Program {
    type Session = ();
    type Mail = ();

    fn open(&mut self, _: &mut Peers<(), Memory>, id: ConnectionId) {
        self.members.push(id);
    }

    fn message(&mut self, peers: &mut Peers<(), Memory>, from: ConnectionId, message: Message<'_>) {
        match self.answer {
            Answer::Echo => peers.send(from, message).expect("an open peer"),
            Answer::Broadcast => {
                let frame = SharedFrame::new(message);
                let taken = peers.broadcast(self.members.iter().copied(), &frame);
                assert_eq!(taken, self.members.len());
            }
        }
    }
}

/// The real loop, and the world under it.
pub struct Loop {
    world: Rc<RefCell<World>>,
    event_loop: EventLoop<Program, Memory>,
}

impl Loop {
    /// A loop with room for `connections_max`, so that no table grows while one is counted.
    pub fn new(answer: Answer, connections_max: usize) -> Self {
        let world = Rc::new(RefCell::new(World::default()));
        world.borrow_mut().links.reserve(connections_max);
        let program = Program { answer, members: Vec::with_capacity(connections_max) };
        let config = Config { accepts_per_turn: connections_max, ..Config::default() };
        let (mailbox, poll) = (Mailbox::new(1, || {}), MemoryPoll(Rc::clone(&world)));
        let event_loop = EventLoop::new(config, program, mailbox, poll, Still, Counter(0));
        Self { world, event_loop }
    }

    /// Opens connections with `request`; answers how many bytes they were sent.
    pub fn connect(&mut self, count: usize, request: &Rc<[u8]>) -> usize {
        let mut world = self.world.borrow_mut();
        let link = || Link { inbox: Rc::clone(request), read: 0, id: None, has_news: false };
        world.links.extend(std::iter::repeat_with(link).take(count));
        let all = world.links.len();
        drop(world);
        let written = self.turn();
        assert_eq!(self.event_loop.handler().members.len(), all, "each handshake was taken");
        written
    }

    /// One peer sends `wire`; answers how many bytes the loop wrote.
    pub fn receive(&mut self, wire: &Rc<[u8]>) -> usize {
        let mut world = self.world.borrow_mut();
        let link = &mut world.links[0];
        (link.inbox, link.read, link.has_news) = (Rc::clone(wire), 0, true);
        drop(world);
        self.turn()
    }

    fn turn(&mut self) -> usize {
        self.world.borrow_mut().written_bytes = 0;
        self.event_loop.turn().expect("a turn");
        self.world.borrow().written_bytes
    }
}
