//! Connections that are open and say nothing; each is pinged now and then, if that is wished.
//!
//! Owns the round of pings. A ping carries the time that it was sent at, and its pong brings it
//! back. The pace is coarse: to hold many connections must cost next to nothing.

use throng::net::Message;

use super::clock::{MILLISECOND_NS, now_ns};
use super::pace::Pace;
use super::worker::{Crew, Peers, Task};

/// How often pings go out that are due.
const STEP_NS: u64 = 200 * MILLISECOND_NS;

/// The round of pings.
#[derive(Default)]
pub struct Idle {
    pace: Option<Pace>,
    turn: usize,
    /// When each connection was pinged that has not answered yet; 0 is never.
    waiting_ns: Vec<u64>,
    waiting: usize,
}

impl Task for Idle {
    fn begin(&mut self, crew: &mut Crew, _: &mut Peers) {
        let Some(every_s) = crew.plan.ping_every_s else { return };
        self.waiting_ns = vec![0; crew.links.len()];
        self.pace = Some(Pace::new(crew.links.len().max(1) as f64 / every_s));
    }

    fn act(&mut self, crew: &mut Crew, peers: &mut Peers) -> u64 {
        let Some(pace) = &mut self.pace else { return u64::MAX };
        let now = now_ns();
        for _ in pace.due(now) {
            let link = self.turn;
            self.turn = (self.turn + 1) % crew.links.len();
            let Some(id) = crew.links[link] else { continue };
            if self.waiting_ns[link] != 0 {
                continue; // the last one is still out: one is enough to tell how slow it is
            }
            if peers.ping(id, &now.to_be_bytes()).is_ok() {
                crew.done.pings += 1;
                self.waiting_ns[link] = now;
                self.waiting += 1;
            }
        }
        pace.next_ns().max(now + STEP_NS)
    }

    fn message(&mut self, _: &mut Crew, _: &mut Peers, _: usize, _: Message<'_>) {}

    fn pong(&mut self, crew: &mut Crew, link: usize, payload: &[u8]) {
        let now = now_ns();
        let Some(waiting_ns) = self.waiting_ns.get_mut(link) else { return };
        if *waiting_ns == 0 || payload != waiting_ns.to_be_bytes() {
            let words = || "a pong that does not hold what its ping held".into();
            return crew.note(|errors| &mut errors.mismatched, words);
        }
        crew.recorder.receive(std::mem::take(waiting_ns), now, 0);
        self.waiting -= 1;
        crew.done.pongs += 1;
    }

    fn close(&mut self, _: &mut Crew, _: &mut Peers, link: usize) {
        if let Some(waiting_ns) = self.waiting_ns.get_mut(link)
            && std::mem::take(waiting_ns) != 0
        {
            self.waiting -= 1;
        }
    }

    fn is_answered(&self) -> bool {
        self.waiting == 0
    }

    fn give_up(&mut self, crew: &mut Crew) {
        let now = now_ns();
        for sent_ns in self.waiting_ns.iter().filter(|sent_ns| **sent_ns != 0) {
            crew.note(|errors| &mut errors.timeouts, || "a ping without a pong".into());
            crew.recorder.give_up(*sent_ns, now);
        }
    }
}
