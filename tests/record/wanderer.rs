//! A member that comes and goes: it comes back where it was sent away, joins again where it has
//! lost sight, and in the end sees all there is. What it does meanwhile is for the test.

use std::thread;
use std::time::{Duration, Instant};

use super::checker::{Event, Kept};
use super::recorder::Recorder;
use crate::common::RawClient;
use crate::common::random::Random;

/// A connection to wherever it comes back to; none where nobody is there.
pub type Dial<'a> = Box<dyn FnMut(&mut Random) -> Option<RawClient> + Send + 'a>;

/// A member of some rooms.
pub struct Wanderer<'a> {
    pub client: Recorder,
    pub random: Random,
    rooms: &'static [&'static str],
    dial: Dial<'a>,
    /// Whether it leaves by a reset, every other time.
    resets: bool,
    /// When it last tried to see again what it has lost sight of.
    tried: Instant,
}

impl<'a> Wanderer<'a> {
    pub fn new(
        rooms: &'static [&'static str],
        seed: u64,
        resets: bool,
        mut dial: Dial<'a>,
    ) -> Self {
        let mut random = Random::new(seed);
        let client = Recorder::new(dial(&mut random).expect("somebody is there"));
        let mut wanderer = Self { client, random, rooms, dial, resets, tried: Instant::now() };
        if !wanderer.join() {
            wanderer.come_back();
        }
        wanderer
    }

    /// Leaves, and comes back into all rooms.
    pub fn come_back(&mut self) {
        if self.resets && self.random.below(2) == 0 && !self.client.is_gone() {
            self.client.break_off();
        }
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            assert!(Instant::now() < end, "nobody takes a member");
            let dialled = (self.dial)(&mut self.random);
            if dialled.is_some_and(|client| self.client.try_reconnect(client)) && self.join() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn join(&mut self) -> bool {
        self.rooms.iter().all(|room| self.client.try_join(room))
    }

    /// Comes back where it was sent away, and joins again where it has lost sight.
    pub fn mend(&mut self) {
        if self.client.is_gone() {
            self.come_back();
        }
        if !self.client.blind.is_empty() && self.tried.elapsed() > Duration::from_millis(100) {
            self.tried = Instant::now();
            let blind: Vec<String> = self.client.blind.iter().cloned().collect();
            if !blind.iter().all(|room| self.client.try_join(room)) {
                self.come_back();
            }
        }
    }

    /// Sees all there is, and tells what has happened.
    pub fn finish(mut self, kept: &Kept, patience: Duration) -> Vec<Event> {
        let end = Instant::now() + patience;
        self.mend();
        while !self.client.blind.is_empty() {
            assert!(Instant::now() < end, "{:?} stay out of sight", self.client.blind);
            self.client.pump(Duration::from_millis(20));
            self.mend();
        }
        for room in self.rooms {
            self.client.see_up_to(room, kept[*room].len() as u64);
        }
        self.client.events
    }
}
