//! The broker in memory, by ways that go wrong.
//!
//! Owns what goes wrong between the nodes, and how often; and what the broker really has, whatever
//! was said of it. Never knows a person.

use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use throng::hub::broker::{Answer, Broker, BrokerError, Link, Memory, News, Request, Waker};
use throng::hub::history::{Epoch, Placed, Position};
use throng::net::Clock;

use crate::dice::Dice;
use crate::rooms::{ROOMS, Room};
use crate::said::number;
use crate::world::Fault;

/// What all links of a world share.
pub struct Sky {
    dice: Dice,
    pub is_calm: bool,
    planted: Option<Fault>,
    /// What the broker really has: for each room and epoch, by offset.
    pub log: BTreeMap<(usize, u64), BTreeMap<u64, u64>>,
    /// How far each room is.
    pub ends: [Option<Position>; ROOMS],
    pub mishaps: BTreeMap<&'static str, u64>,
}

pub type SharedSky = Arc<Mutex<Sky>>;

/// The time of a world, as a broker has it.
#[derive(Clone, Default)]
pub struct SkyClock(pub Arc<AtomicU64>);

/// The broker, as a node has it.
pub struct Stormy {
    pub memory: Memory,
    pub sky: SharedSky,
}

pub struct StormyLink {
    inner: <Memory as Broker>::Link,
    sky: SharedSky,
    /// News that is late.
    held: Vec<News>,
}

/// What of a message says which it is.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "c")]
    content: &'a str,
}

pub fn lock(sky: &SharedSky) -> MutexGuard<'_, Sky> {
    sky.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sky {
    pub fn new(dice: Dice, planted: Option<Fault>) -> Self {
        let (log, ends, mishaps) = (BTreeMap::new(), Default::default(), BTreeMap::new());
        Self { dice, is_calm: false, planted, log, ends, mishaps }
    }

    /// Something goes wrong once in so many times, until all is calm.
    fn mishap(&mut self, times: usize, what: &'static str) -> bool {
        let happens = !self.is_calm && self.dice.once_in(times);
        if happens {
            *self.mishaps.entry(what).or_default() += 1;
        }
        happens
    }

    fn shows(&mut self, fault: Fault, times: usize) -> bool {
        self.planted == Some(fault) && self.dice.once_in(times)
    }

    /// Where the broker has a message in a room.
    pub fn has(&self, room: usize, offset: u64, id: u64) -> bool {
        let logs = self.log.range((room, 0)..=(room, u64::MAX));
        logs.into_iter().any(|(_, log)| log.get(&offset) == Some(&id))
    }

    /// Whether each message stands once in each epoch, and no place is without one.
    pub fn audit(&self) -> Result<(), String> {
        for ((room, epoch), log) in &self.log {
            let at = format!("{} of {epoch:x}", Room::name(*room));
            if log.keys().zip(1..).any(|(offset, due)| *offset != due) {
                return Err(format!("a place is empty in {at}"));
            }
            let mut ids: Vec<_> = log.values().collect();
            ids.sort_unstable();
            if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(format!("{} stands twice in {at}", pair[0]));
            }
        }
        Ok(())
    }
}

impl Clock for SkyClock {
    fn now(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn unix_ms(&self) -> u64 {
        self.now().as_millis() as u64
    }
}

impl Broker for Stormy {
    type Link = StormyLink;

    fn connect(&mut self) -> Result<StormyLink, BrokerError> {
        if lock(&self.sky).mishap(4, "a link that is not opened") {
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
        let (mut come, mut answers) = (Vec::new(), Vec::new());
        let breaks = lock(&self.sky).mishap(100, "a link that breaks");
        // Before anything was done, amid it, or after all.
        let done = if breaks { lock(&self.sky).dice.below(requests.len() + 1) } else { usize::MAX };
        for request in requests.iter().take(done) {
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
        let breaks = lock(&self.sky).mishap(1_000, "a link that breaks");
        if breaks {
            return Err(BrokerError("cut".into()));
        }
        let mut come = Vec::new();
        self.inner.exchange(&[], &mut come)?;
        self.pass(come, news);
        Ok(())
    }
}

impl StormyLink {
    fn carry_out(
        &mut self,
        request: &Request<'_>,
        news: &mut Vec<News>,
    ) -> Result<Answer, BrokerError> {
        let refused = || Answer::Failed(BrokerError("out of memory".into()));
        if lock(&self.sky).mishap(200, "a request that is refused") {
            return Ok(refused());
        }
        let Request::Publish { place, body, .. } = request else {
            let mut answer = self.inner.exchange(&[*request], news)?.remove(0);
            if let Answer::Rows(rows) = &mut answer
                && let [first, second, ..] = &mut rows.rows[..]
                && lock(&self.sky).shows(Fault::BrokerSwapsRows, 4)
            {
                mem::swap(&mut first.1, &mut second.1);
            }
            return Ok(answer);
        };
        let (room, id) = (room_of(place.room)?, id_of(body)?);
        if lock(&self.sky).shows(Fault::BrokerLosesWrite, 20) {
            let end = lock(&self.sky).ends[room];
            let end = end.unwrap_or(Position { epoch: place.fresh, offset: 0 });
            let position = Position { offset: end.offset + 1, ..end };
            return Ok(Answer::Published(Placed { position, is_repeat: false }));
        }
        let is_twice = lock(&self.sky).shows(Fault::BrokerWritesTwice, 20);
        if is_twice {
            let once = Request::Publish { place: *place, id: None, body };
            let answer = self.inner.exchange(&[once], news)?.remove(0);
            self.note(room, id, &answer);
        }
        let answer = self.inner.exchange(&[*request], news)?.remove(0);
        self.note(room, id, &answer);
        let refuses = lock(&self.sky).shows(Fault::BrokerRefusesBehind, 20);
        Ok(if refuses { refused() } else { answer })
    }

    /// Takes note of what the broker really has.
    fn note(&self, room: usize, id: u64, answer: &Answer) {
        if let Answer::Published(Placed { position, is_repeat: false }) = answer {
            let sky = &mut *lock(&self.sky);
            let Epoch(epoch) = position.epoch;
            sky.log.entry((room, epoch)).or_default().insert(position.offset, id);
            sky.ends[room] = Some(*position);
        }
    }

    /// Passes news on: messages with a place less of them, more of them, and all of it later.
    fn pass(&mut self, come: Vec<News>, news: &mut Vec<News>) {
        let sky = &mut *lock(&self.sky);
        let mut all = mem::take(&mut self.held);
        for one in come {
            let is_placed = matches!(one, News::Message { .. });
            if is_placed && sky.mishap(50, "news that is lost") || is_dropped(sky, &one) {
                continue;
            }
            if is_placed && sky.mishap(50, "news that is doubled") {
                all.push(one.clone());
            }
            all.push(one);
        }
        if !all.is_empty() && sky.mishap(20, "news that is late") {
            self.held = all;
            return;
        }
        spoil(sky, &mut all);
        news.extend(all);
    }
}

/// Whether a planted fault drops what does not come again.
fn is_dropped(sky: &mut Sky, one: &News) -> bool {
    let News::Said { room, body } = one else { return false };
    match room {
        Some(_) => body.starts_with(b"{\"p\":") && sky.shows(Fault::BrokerLosesPresence, 2),
        None => sky.shows(Fault::BrokerLosesLetters, 4),
    }
}

/// A planted fault gives a message the place of another.
fn spoil(sky: &mut Sky, all: &mut Vec<News>) {
    let is_pair = |pair: &[News]| match pair {
        [News::Message { room, .. }, News::Message { room: other, .. }] => room == other,
        _ => false,
    };
    let Some(at) = all.windows(2).position(is_pair) else { return };
    let (first, second) = all.split_at_mut(at + 1);
    let (News::Message { body, position, .. }, News::Message { body: of, position: to, .. }) =
        (&mut first[at], &mut second[0])
    else {
        return;
    };
    if sky.shows(Fault::BrokerSwapsNews, 2) {
        mem::swap(body, of);
    } else if sky.shows(Fault::BrokerShiftsNews, 2) {
        *to = *position; // the first is lost, and nobody can see that
        all.remove(at);
    }
}

fn room_of(name: &str) -> Result<usize, BrokerError> {
    Room::number(name).ok_or_else(|| BrokerError(format!("there is no room {name}")))
}

fn id_of(body: &[u8]) -> Result<u64, BrokerError> {
    let body: Option<Body<'_>> = serde_json::from_slice(body).ok();
    let id = body.and_then(|body| number(body.content));
    id.ok_or_else(|| BrokerError("what is published has no number".into()))
}
