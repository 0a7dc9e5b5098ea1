//! A broker in memory, by a way that goes wrong.
//!
//! Owns what goes wrong, and how often; and what the broker really has, whatever was said of it.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::ROOMS;
use crate::hub::broker::memory::MemoryLink;
use crate::hub::broker::{
    Answer, Broker, BrokerError, Link, Memory, MessageId, News, Request, Waker, body,
};
use crate::hub::history::{Placed, Position};
use crate::hub::sequencer::Publish;

/// A fault that is planted, and has to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plant {
    /// The broker says that it has a message, and has not.
    LosesWrite,
    WritesTwice,
    /// It says that it has refused a message, and has it.
    RefusesBehind,
    /// What a loop is told is lost, comes twice, or in another order.
    LosesDone,
    DoublesDone,
    SwapsDone,
}

/// What all links of a world share.
pub(super) struct Sky {
    pub(super) random: u64,
    pub(super) is_calm: bool,
    pub(super) planted: Option<Plant>,
    /// What the broker really has: for each room, by offset.
    pub(super) log: [BTreeMap<u64, u64>; ROOMS.len()],
    pub(super) mishaps: BTreeMap<&'static str, usize>,
}

impl Sky {
    pub(super) fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }

    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Something goes wrong once in so many times, until all is calm.
    pub(super) fn mishap(&mut self, times: u64, what: &'static str) -> bool {
        let happens = !self.is_calm && self.once_in(times);
        *self.mishaps.entry(what).or_default() += usize::from(happens);
        happens
    }

    pub(super) fn shows(&mut self, plant: Plant, times: u64) -> bool {
        self.planted == Some(plant) && self.once_in(times)
    }
}

pub(super) type SharedSky = Arc<Mutex<Sky>>;

pub(super) fn lock(sky: &SharedSky) -> MutexGuard<'_, Sky> {
    sky.lock().unwrap()
}

/// The broker in memory, by a way that goes wrong.
pub(super) struct Stormy {
    pub(super) memory: Memory,
    pub(super) sky: SharedSky,
}

pub(super) struct StormyLink {
    inner: MemoryLink,
    sky: SharedSky,
    /// News that is late.
    held: Vec<News>,
}

impl Broker for Stormy {
    type Link = StormyLink;

    fn connect(&mut self) -> Result<StormyLink, BrokerError> {
        if lock(&self.sky).mishap(4, "a link is not opened") {
            return Err(BrokerError("not now".into()));
        }
        let (inner, sky) = (self.memory.connect()?, Arc::clone(&self.sky));
        Ok(StormyLink { inner, sky, held: Vec::new() })
    }

    fn waker(&self) -> Waker {
        Waker::new(|| {})
    }
}

impl Link for StormyLink {
    fn exchange(
        &mut self,
        requests: &[Request<'_>],
        news: &mut Vec<News>,
    ) -> Result<Vec<Answer>, BrokerError> {
        let mut come = Vec::new();
        let breaks = lock(&self.sky).mishap(40, "a link breaks");
        let done = if breaks {
            lock(&self.sky).below(requests.len() as u64 + 1) as usize
        } else {
            requests.len()
        };
        let mut answers = Vec::new();
        for request in &requests[..done] {
            answers.push(self.carry_out(request, &mut come)?);
        }
        if breaks {
            return Err(BrokerError("cut".into()));
        }
        self.inner.exchange(&[], &mut come)?;
        self.pass(come, news);
        Ok(answers)
    }

    /// Never waits.
    fn wait(&mut self, _: Duration, news: &mut Vec<News>) -> Result<(), BrokerError> {
        self.exchange(&[], news).map(|_| ())
    }
}

impl StormyLink {
    fn carry_out(
        &mut self,
        request: &Request<'_>,
        news: &mut Vec<News>,
    ) -> Result<Answer, BrokerError> {
        let refused = || Answer::Failed(BrokerError("out of memory".into()));
        if lock(&self.sky).mishap(60, "a request is refused") {
            return Ok(refused());
        }
        let Request::Publish { place, body, .. } = request else {
            return Ok(self.inner.exchange(&[*request], news)?.remove(0));
        };
        let room = room_of(place.room);
        if lock(&self.sky).shows(Plant::LosesWrite, 20) {
            let offset = lock(&self.sky).log[room].len() as u64 + 1;
            let epoch = place.known.map_or(place.fresh, |known| known.epoch);
            let position = Position { epoch, offset };
            return Ok(Answer::Published(Placed { position, is_repeat: false }));
        }
        let times = 1 + usize::from(lock(&self.sky).shows(Plant::WritesTwice, 20));
        let mut answer = refused();
        for _ in 0..times {
            let once =
                Request::Publish { place: *place, id: id_of(request).filter(|_| times == 1), body };
            answer = self.inner.exchange(&[once], news)?.remove(0);
            if let Answer::Published(Placed { position, is_repeat: false }) = &answer {
                let (publish, _) = body::decode(0, &place.room.into(), body).expect("a message");
                lock(&self.sky).log[room].insert(position.offset, number(&publish));
            }
        }
        Ok(if lock(&self.sky).shows(Plant::RefusesBehind, 20) { refused() } else { answer })
    }

    /// Passes news on, less of it, more of it, or later.
    fn pass(&mut self, come: Vec<News>, news: &mut Vec<News>) {
        let mut sky = lock(&self.sky);
        let is_late = sky.mishap(20, "news is late");
        let mut all = mem::take(&mut self.held);
        for one in come {
            if sky.mishap(50, "news is lost") {
                continue;
            }
            if sky.mishap(50, "news is doubled") {
                all.push(one.clone());
            }
            all.push(one);
        }
        if is_late {
            self.held = all;
        } else {
            news.extend(all);
        }
    }
}

fn id_of<'a>(request: &Request<'a>) -> Option<MessageId<'a>> {
    match request {
        Request::Publish { id, .. } => *id,
        _ => None,
    }
}

pub(super) fn room_of(name: &str) -> usize {
    ROOMS.iter().position(|room| *room == name).expect("a room")
}

pub(super) fn number(publish: &Publish) -> u64 {
    publish.content.get().parse().expect("a number")
}
