//! The seams as the loop sees them: a world in place of the operating system.
//!
//! Streams behave as TCP under edge-triggered epoll does: a short read has drained the socket, a
//! short write has filled it, and news come once.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use throng::net::{Clock, ConnectionId, Platform, Poll, Random, Ready, Stream};

use crate::world::{Crowd, Fault, World};

pub type Shared<C> = Rc<RefCell<World<C>>>;

pub struct Sim<C>(PhantomData<C>);

impl<C: Crowd> Platform for Sim<C> {
    type Stream = SimStream<C>;
    type Poll = SimPoll<C>;
    type Clock = SimClock<C>;
    type Random = SimRandom<C>;
}

/// The server's end of a connection.
pub struct SimStream<C: Crowd> {
    world: Shared<C>,
    number: usize,
}

impl<C: Crowd> Stream for SimStream<C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let world = &mut *self.world.borrow_mut();
        if world.dice.once_in(50) {
            world.mishap("a call that a signal interrupts");
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
            world.mishap("a call that a signal interrupts");
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
            world.mishap("a write that falls short");
        }
        let link = &mut world.links[self.number];
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

impl<C: Crowd> Drop for SimStream<C> {
    fn drop(&mut self) {
        self.world.borrow_mut().dropped(self.number);
    }
}

/// What one loop waits on.
pub struct SimPoll<C: Crowd> {
    pub world: Shared<C>,
    pub loop_index: usize,
}

impl<C: Crowd> Poll for SimPoll<C> {
    type Stream = SimStream<C>;

    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        self.world.borrow_mut().wait(self.loop_index, ready, timeout);
        Ok(())
    }

    fn accept(&mut self, _: usize) -> io::Result<SimStream<C>> {
        let number = self.world.borrow_mut().accept(self.loop_index)?;
        Ok(SimStream { world: Rc::clone(&self.world), number })
    }

    fn register(&mut self, stream: &mut SimStream<C>, id: ConnectionId) -> io::Result<()> {
        self.world.borrow_mut().register(stream.number, id)
    }

    fn listeners(&self) -> usize {
        1
    }

    fn stop_listening(&mut self) {
        self.world.borrow_mut().stop_listening(self.loop_index);
    }
}

pub struct SimClock<C: Crowd>(pub Shared<C>);

impl<C: Crowd> Clock for SimClock<C> {
    fn now(&self) -> Duration {
        self.0.borrow().now
    }

    fn unix_ms(&self) -> u64 {
        self.0.borrow().now.as_millis() as u64
    }
}

pub struct SimRandom<C: Crowd>(pub Shared<C>);

impl<C: Crowd> Random for SimRandom<C> {
    fn next_u64(&mut self) -> u64 {
        self.0.borrow_mut().dice.next()
    }
}
