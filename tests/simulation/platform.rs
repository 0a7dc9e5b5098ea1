//! The seams as the loop sees them: a world in place of the operating system.
//!
//! Streams behave as TCP under edge-triggered epoll does: a short read has drained the socket, a
//! short write has filled it, and news come once.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use throng::net::{Clock, ConnectionId, Platform, Poll, Random, Ready, Stream};

use crate::world::{Fault, World};

pub type Shared = Rc<RefCell<World>>;

pub enum Sim {}

impl Platform for Sim {
    type Stream = SimStream;
    type Poll = SimPoll;
    type Clock = SimClock;
    type Random = SimRandom;
}

/// The server's end of a connection.
pub struct SimStream {
    world: Shared,
    number: usize,
}

impl Stream for SimStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let world = &mut *self.world.borrow_mut();
        if world.dice.once_in(50) {
            return Err(ErrorKind::Interrupted.into());
        }
        let link = &mut world.links[self.number];
        if link.inbox.is_empty() {
            return match (link.reset, link.fin) {
                (true, _) => Err(ErrorKind::ConnectionReset.into()),
                (false, true) => Ok(0),
                (false, false) => Err(ErrorKind::WouldBlock.into()),
            };
        }
        world.activity += 1;
        let mut n = buffer.len().min(link.inbox.len());
        for (to, from) in buffer.iter_mut().zip(link.inbox.drain(..n)) {
            *to = from;
        }
        link.read_bytes += n;
        let in_frames = link.read_bytes > 1000; // not in the request, where it may be harmless
        match world.planted {
            Some(Fault::DropReadByte) if in_frames && n > 1 && world.dice.once_in(10) => n -= 1,
            Some(Fault::FlipReadBit) if in_frames && world.dice.once_in(10) => buffer[n / 2] ^= 1,
            Some(Fault::DoubleRead) if in_frames && n * 2 <= buffer.len() => {
                buffer.copy_within(..n, n);
                n *= 2;
            }
            _ => {}
        }
        world.trace(|| format!("read {n} of {}", self.number));
        world.arm_arrival(self.number);
        if world.dice.once_in(8) {
            world.arrive(self.number); // right behind the read, before its bytes are handled
        }
        Ok(n)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let world = &mut *self.world.borrow_mut();
        if world.dice.once_in(50) {
            return Err(ErrorKind::Interrupted.into());
        }
        let link = &mut world.links[self.number];
        if link.reset {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if link.shut {
            world.fail(format!("client {}: written to after the end of TCP", self.number));
            return Err(ErrorKind::BrokenPipe.into());
        }
        let whole: usize = slices.iter().map(|slice| slice.len()).sum();
        let room = link.out_max - link.outbox.len();
        if room < whole {
            (link.full, link.was_full) = (true, true);
        }
        if room == 0 && whole > 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        world.activity += 1;
        let mut left = whole.min(room);
        for slice in slices {
            let n = slice.len().min(left);
            link.outbox.extend(&slice[..n]);
            left -= n;
        }
        if world.planted == Some(Fault::DropWrittenByte) && world.dice.once_in(20) {
            world.links[self.number].outbox.pop_back();
        }
        world.trace(|| format!("wrote {} of {whole} to {}", whole.min(room), self.number));
        world.arm_reading(self.number);
        Ok(whole.min(room))
    }

    fn shutdown(&mut self) -> io::Result<()> {
        let world = &mut *self.world.borrow_mut();
        let link = &mut world.links[self.number];
        if link.reset {
            return Err(ErrorKind::NotConnected.into());
        }
        link.shut = true;
        world.activity += 1;
        world.arm_reading(self.number);
        Ok(())
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.world.borrow_mut().dropped(self.number);
    }
}

pub struct SimPoll(pub Shared);

impl Poll for SimPoll {
    type Stream = SimStream;

    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        self.0.borrow_mut().wait(ready, timeout);
        Ok(())
    }

    fn accept(&mut self, _: usize) -> io::Result<SimStream> {
        let number = self.0.borrow_mut().accept()?;
        Ok(SimStream { world: Rc::clone(&self.0), number })
    }

    fn register(&mut self, stream: &mut SimStream, id: ConnectionId) -> io::Result<()> {
        self.0.borrow_mut().register(stream.number, id)
    }

    fn listeners(&self) -> usize {
        1
    }

    fn stop_listening(&mut self) {
        self.0.borrow_mut().stop_listening();
    }
}

pub struct SimClock(pub Shared);

impl Clock for SimClock {
    fn now(&self) -> Duration {
        self.0.borrow().now
    }

    fn unix_ms(&self) -> u64 {
        self.0.borrow().now.as_millis() as u64
    }
}

pub struct SimRandom(pub Shared);

impl Random for SimRandom {
    fn next_u64(&mut self) -> u64 {
        self.0.borrow_mut().dice.next()
    }
}
