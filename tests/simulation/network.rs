//! The network of a world: what is under way between clients and loops.
//!
//! Owns the bytes in flight, in any pieces, and what epoll would report of them. Streams are
//! [`platform`](crate::platform)'s.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use throng::net::{ConnectionId, Ready, Source};

use crate::world::{Action, Arrival, Crowd, End, Excuse, Fault, World};

/// What has become ready and was not reported.
#[derive(Clone, Copy, Default)]
pub struct News {
    pub read: bool,
    pub write: bool,
}

/// The network between one client and the loop.
#[derive(Default)]
pub struct Link {
    /// Which loop it leads to.
    pub loop_index: usize,
    /// Sent by the client, not arrived.
    pub flight: VecDeque<u8>,
    pub flight_fin: bool,
    /// Arrived, not read by the loop.
    pub inbox: VecDeque<u8>,
    pub in_max: usize,
    pub fin: bool,
    pub reset: bool,
    /// Written by the loop, not read by the client.
    pub outbox: VecDeque<u8>,
    pub out_max: usize,
    /// The loop has ended its side.
    pub shut: bool,
    /// A write did not fit, and the edge that follows has not come.
    pub full: bool,
    pub was_full: bool,
    pub read_bytes: usize,
    pub news: News,
    pub id: Option<ConnectionId>,
    pub accepted: bool,
    pub dropped: bool,
    /// The loop's end answered with a reset.
    pub refused: bool,
    pub arrival_due: bool,
    pub reading_due: bool,
}

impl Link {
    pub fn new(in_max: usize, out_max: usize) -> Self {
        Self { in_max, out_max, ..Self::default() }
    }

    pub fn has_news(&self) -> bool {
        (self.news.read || self.news.write) && !self.dropped
    }
}

impl<C: Crowd> World<C> {
    /// A client connects to its loop; `false` where nobody listens.
    pub fn connect(&mut self, number: usize) -> bool {
        let turner = &mut self.loops[self.links[number].loop_index];
        if turner.is_deaf {
            return false;
        }
        turner.queue.push_back(number);
        turner.has_listener_news = true;
        true
    }

    /// Something is new on a connection.
    pub fn touch(&mut self, number: usize) {
        self.links[number].news = News { read: true, write: true };
    }

    /// The client is gone without a word: what was under way may be lost.
    pub fn reset(&mut self, number: usize) {
        let keeps = !self.dice.once_in(2);
        let link = &mut self.links[number];
        link.reset = true;
        if !keeps {
            link.inbox.clear();
        }
        self.touch(number);
    }

    /// Some of what is in flight arrives.
    pub fn arrive(&mut self, number: usize) {
        let link = &mut self.links[number];
        if link.reset {
            return;
        }
        let room = link.in_max - link.inbox.len().min(link.in_max);
        let some = match self.dice.below(4) {
            0 => 1,
            1 => self.dice.between(1, 30),
            2 => self.dice.between(1, 3000),
            _ => usize::MAX,
        };
        let n = some.min(room).min(link.flight.len());
        let is_cut = n < link.flight.len();
        let ended = link.flight_fin && n == link.flight.len() && !link.fin;
        if link.dropped && (n > 0 || ended) {
            return self.refuse(number);
        }
        link.inbox.extend(link.flight.drain(..n));
        link.fin |= ended;
        link.news.read |= n > 0 || ended;
        if is_cut {
            self.mishap("bytes arrive in part");
        }
        self.arm_arrival(number);
    }

    /// What is still in flight will arrive, if there is room for it.
    pub fn arm_arrival(&mut self, number: usize) {
        let link = &mut self.links[number];
        let has_news = !link.flight.is_empty() || (link.flight_fin && !link.fin);
        let has_room = link.inbox.len() < link.in_max || link.flight.is_empty();
        if has_news && has_room && !link.arrival_due && !link.reset {
            link.arrival_due = true;
            let most = self.dice.one_of(&[0, 1, 1, 3]);
            self.soon(most, Action::Arrive(number));
        }
    }

    /// The loop's socket is gone: what comes for it is answered with a reset.
    fn refuse(&mut self, number: usize) {
        let link = &mut self.links[number];
        link.flight.clear();
        link.outbox.clear(); // a reset overtakes what was not read
        link.refused = true;
        self.arm_reading(number);
    }

    /// The client will read, unless it has stopped to.
    pub fn arm_reading(&mut self, number: usize) {
        let link = &mut self.links[number];
        let has_news = !link.outbox.is_empty() || link.shut || link.refused;
        if !has_news || link.reading_due {
            return;
        }
        if let Some(reader) = self.crowd.reader(number) {
            link.reading_due = true;
            let pause = reader.from.saturating_sub(self.now);
            let most = if reader.is_trickling { 40_000 } else { 2_000 };
            let micros = self.dice.below(most) as u64;
            self.later(pause + Duration::from_micros(micros), Action::Read(number));
        }
    }

    pub fn read_by_client(&mut self, number: usize) {
        self.links[number].reading_due = false;
        let Some(reader) = self.crowd.reader(number) else { return };
        if reader.from > self.now {
            return self.arm_reading(number);
        }
        let link = &mut self.links[number];
        let few = reader.is_trickling || self.dice.once_in(3);
        let most = if few { self.dice.between(1, 2000) } else { usize::MAX };
        let n = link.outbox.len().min(most);
        let bytes: Vec<u8> = link.outbox.drain(..n).collect();
        let made_room = link.full && link.outbox.len() <= link.out_max * 2 / 3;
        if made_room {
            link.full = false;
            let is_lost = self.planted == Some(Fault::LoseWritableEdge) && self.dice.once_in(9);
            link.news.write |= !is_lost;
        }
        let end = match link.outbox.is_empty() {
            true if link.refused => Some(End::Reset),
            true if link.shut => Some(End::Fin),
            _ => None,
        };
        let arrival = Arrival { bytes: &bytes, end, made_room };
        if let Err(what) = C::receive(self, number, arrival) {
            self.fail(format!("client {number}: {what}"));
        }
        self.arm_reading(number);
    }

    /// What epoll would report, in any order, and some of it later.
    pub fn collect(&mut self, at: usize, ready: &mut Vec<Ready>) {
        let turner = &mut self.loops[at];
        if std::mem::take(&mut turner.has_listener_news) && !turner.is_deaf {
            ready.push(news(Source::Listener(0)));
        }
        if turner.woken.swap(false, Ordering::Relaxed) {
            ready.push(news(Source::Mailbox));
        }
        for number in &turner.live {
            let link = &mut self.links[*number];
            let News { read, write } = link.news;
            let Some(id) = link.id.filter(|_| link.has_news()) else { continue };
            if !ready.is_empty() && self.dice.once_in(4) {
                continue; // with a later wait
            }
            link.news = News::default();
            if self.planted == Some(Fault::LoseReadableEdge) && self.dice.once_in(20) {
                continue;
            }
            let (read, write) = (read || self.is_epoll, write || self.is_epoll);
            ready.push(Ready {
                source: Source::Connection(id),
                readable: read && (!link.inbox.is_empty() || link.fin || link.reset),
                writable: write && (!link.full || link.reset),
                read_closed: read && (link.fin || link.reset),
                error: read && link.reset,
            });
        }
        if ready.is_empty() {
            return;
        }
        if !turner.gone.is_empty() && self.dice.once_in(4) {
            let id = self.dice.one_of(&turner.gone);
            let mut stale = news(Source::Connection(id));
            (stale.writable, stale.read_closed) = (true, self.dice.once_in(2));
            stale.error = self.dice.once_in(2);
            ready.push(stale);
            self.mishap("news of a connection that is gone");
        }
        self.dice.shuffle(ready);
        self.activity += 1;
    }

    pub fn accept(&mut self, at: usize) -> io::Result<usize> {
        if self.loops[at].queue.is_empty() || self.loops[at].is_deaf {
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.descriptors_from > self.now {
            const EMFILE: i32 = 24;
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        self.activity += 1;
        let Some(number) = self.loops[at].queue.pop_front() else {
            return Err(ErrorKind::WouldBlock.into());
        };
        if self.mishap_once_in(100, "a connection that is gone when it is accepted") {
            self.crowd.excuse(number, Excuse::Aborted);
            self.links[number].dropped = true;
            self.refuse(number);
            return Err(ErrorKind::ConnectionAborted.into());
        }
        let of_loop = self.links.iter().filter(|link| link.loop_index == at);
        let held = of_loop.filter(|link| link.accepted && !link.dropped).count();
        if held >= self.crowd.connections_max() {
            self.crowd.excuse(number, Excuse::Full);
        }
        self.links[number].accepted = true;
        Ok(number)
    }

    pub fn register(&mut self, number: usize, id: ConnectionId) -> io::Result<()> {
        if self.mishap_once_in(200, "a connection that cannot be watched") {
            self.crowd.excuse(number, Excuse::Unwatched);
            return Err(io::Error::other("no more watches"));
        }
        self.links[number].id = Some(id);
        self.loops[self.links[number].loop_index].live.push(number);
        self.touch(number); // epoll tells of what is there already
        Ok(())
    }

    /// Connections that wait to be accepted go down with the listener.
    pub fn stop_listening(&mut self, at: usize) {
        self.loops[at].is_deaf = true;
        while let Some(number) = self.loops[at].queue.pop_front() {
            self.links[number].dropped = true;
            self.refuse(number);
        }
    }

    /// The loop has dropped its end: with unread input that is a reset.
    pub fn dropped(&mut self, number: usize) {
        let link = &mut self.links[number];
        link.dropped = true;
        let turner = &mut self.loops[link.loop_index];
        turner.gone.extend(link.id);
        turner.live.retain(|other| *other != number);
        self.activity += 1;
        if link.inbox.is_empty() {
            link.shut = true;
            self.arm_reading(number);
            self.arm_arrival(number);
        } else {
            self.refuse(number);
        }
    }

    /// How many streams a loop has.
    pub fn streams(&self, at: usize) -> usize {
        let of_loop = self.links.iter().filter(|link| link.loop_index == at);
        of_loop.filter(|link| link.accepted && !link.dropped).count()
    }
}

fn news(source: Source) -> Ready {
    Ready { source, readable: true, writable: false, read_closed: false, error: false }
}
