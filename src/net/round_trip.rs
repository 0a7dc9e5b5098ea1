//! How long a ping takes to be answered.
//!
//! Owns what stands in the pings of the loop: the time, as nobody else can write it. Never sends.

use std::time::Duration;

/// Reads in a pong when its ping was sent.
#[derive(Debug)]
pub(super) struct RoundTrip {
    /// Hides how long the loop has run, and makes it hard to invent a time.
    key: u64,
    /// No answer takes longer.
    max: Duration,
}

impl RoundTrip {
    pub(super) const fn new(key: u64, max: Duration) -> Self {
        Self { key, max }
    }

    /// What to send in a ping.
    pub(super) fn payload(&self, now: Duration) -> [u8; 8] {
        (micros(now) ^ self.key).to_be_bytes()
    }

    /// How long the ping of this pong is ago, if it was one of ours.
    pub(super) fn measure(&self, payload: &[u8], now: Duration) -> Option<Duration> {
        let sent = u64::from_be_bytes(payload.try_into().ok()?) ^ self.key;
        let time = Duration::from_micros(micros(now).checked_sub(sent)?);
        (time <= self.max).then_some(time)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_to_a_ping_of_ours_is_measured() {
        let trip = RoundTrip::new(0x5a5a_0102_0304_0506, Duration::from_secs(10));
        let sent = Duration::from_secs(77);
        let payload = trip.payload(sent);
        let after = |time| trip.measure(&payload, sent + time);
        assert_eq!(after(Duration::from_millis(3)), Some(Duration::from_millis(3)));
        assert_eq!(after(Duration::from_secs(11)), None);
        assert_eq!(trip.measure(&payload, Duration::from_secs(76)), None);
        for other in [&b""[..], b"hello", b"01234567", &[0; 8], &[payload, payload].concat()] {
            assert_eq!(trip.measure(other, sent), None, "{other:?}");
        }
    }
}
