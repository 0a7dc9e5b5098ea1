//! Pings that wait for their pong.
//!
//! Owns who asked and when. Never sends one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many wait at most; the oldest go first.
const WAITING_MAX: usize = 256;

/// Why a ping was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A person wants to know how long it takes.
    Asked,
    /// The server has been silent: it need not be shown.
    Silence,
    /// Whatever was sent before it has arrived with it.
    Farewell,
    /// It shows that what was written before it has gone out.
    Way,
}

#[derive(Debug, Default)]
pub struct Pings {
    waiting: VecDeque<Ping>,
    sent: u64,
}

#[derive(Debug)]
struct Ping {
    payload: Vec<u8>,
    why: Why,
    at: Instant,
}

impl Pings {
    /// A payload that no person would send.
    pub fn payload(&mut self) -> Vec<u8> {
        self.sent += 1;
        format!("throng connect {}", self.sent).into_bytes()
    }

    /// A ping is about to be sent.
    pub fn starts(&mut self, payload: &[u8], why: Why) {
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Ping { payload: payload.to_vec(), why, at: Instant::now() });
    }

    /// A pong came: what it answers, and how long it took; `None` for one that nobody asked for.
    /// Pings before it are not answered any more (RFC 6455 section 5.5.3).
    pub fn answered(&mut self, payload: &[u8]) -> Option<(Why, Duration)> {
        let index = self.waiting.iter().position(|ping| ping.payload == payload)?;
        let ping = self.waiting.drain(..=index).next_back()?;
        Some((ping.why, ping.at.elapsed()))
    }

    /// Another connection: nothing is waited for.
    pub fn forget(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pong_answers_its_ping_and_those_before() {
        let mut pings = Pings::default();
        for (payload, why) in
            [(&b"a"[..], Why::Asked), (b"b", Why::Silence), (b"c", Why::Farewell), (b"c", Why::Way)]
        {
            pings.starts(payload, why);
        }
        let mut why = |payload: &[u8]| pings.answered(payload).map(|(why, _)| why);
        assert_eq!(why(b"x"), None);
        assert_eq!(why(b"b"), Some(Why::Silence));
        assert_eq!(why(b"a"), None);
        assert_eq!(why(b"c"), Some(Why::Farewell));
        assert_eq!(why(b"c"), Some(Why::Way));
        for _ in 0..1000 {
            pings.starts(b"", Why::Asked);
        }
        assert_eq!(pings.waiting.len(), WAITING_MAX);
        assert_ne!(pings.payload(), pings.payload());
    }
}
