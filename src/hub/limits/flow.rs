//! How fast messages may come: of one connection, and to one room.
//!
//! Owns the buckets and when patience ends. Never answers: who asks says `rate_limited`, or closes.

use std::time::Duration;

use super::bucket::{Bucket, Rate};
use super::table::{Slot, Table};
use crate::hub::overload::Bound;

/// What one connection may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowLimits {
    /// Messages. Default: 10,000 a second, 20,000 at once.
    pub messages: Option<Rate>,
    /// Bytes of messages. Default: 64 MiB a second, 128 MiB at once.
    pub bytes: Option<Rate>,
    /// How many messages may be refused within a minute before the connection is closed. Default:
    /// 100.
    pub refusals_per_minute_max: u32,
}

impl Default for FlowLimits {
    fn default() -> Self {
        Self {
            messages: Some(Rate::per_second(10_000, 20_000)),
            bytes: Some(Rate::per_second(64 << 20, 128 << 20)),
            refusals_per_minute_max: 100,
        }
    }
}

/// What is to be done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It passes.
    Pass,
    /// It is refused: `error` with the code `rate_limited` and this as `retry_after_ms`.
    Refuse {
        /// How long to wait until it would pass.
        retry_after_ms: u64,
    },
    /// It goes on and on: Close 1008.
    Close,
}

/// What a connection has sent of late: 24 bytes, no heap.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flow {
    messages: Bucket,
    bytes: Bucket,
    refusals: Bucket,
}

const _: () = assert!(size_of::<Flow>() == 24);

impl Flow {
    /// Rules on a message of `len` bytes. A refused one costs nothing but patience.
    pub fn rule(&mut self, now: Duration, len: usize, limits: &FlowLimits) -> Ruling {
        let (messages, bytes) = (limits.messages.as_ref(), limits.bytes.as_ref());
        match take_both(&mut self.messages, &mut self.bytes, now, len, messages, bytes) {
            Ok(()) => Ruling::Pass,
            Err(wait) => self.refuse(now, wait, limits),
        }
    }

    /// A message was refused for another reason that the sender should have known of.
    pub fn refuse(&mut self, now: Duration, wait: Duration, limits: &FlowLimits) -> Ruling {
        let patience = Rate::per_minute(limits.refusals_per_minute_max);
        let is_over =
            limits.refusals_per_minute_max == 0 || self.refusals.take(now, 1, &patience).is_err();
        if is_over { Ruling::Close } else { Ruling::Refuse { retry_after_ms: whole_ms(wait) } }
    }
}

/// What all together may send to one room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomLimits {
    /// Messages. Default: 20,000 a second, 40,000 at once.
    pub messages: Option<Rate>,
    /// Bytes of messages. Default: 128 MiB a second, 256 MiB at once.
    pub bytes: Option<Rate>,
    /// How many rooms are counted at once; of more, the one that was silent longest is forgotten.
    /// Default: 65,536.
    pub rooms_max: usize,
}

impl Default for RoomLimits {
    fn default() -> Self {
        Self {
            messages: Some(Rate::per_second(20_000, 40_000)),
            bytes: Some(Rate::per_second(128 << 20, 256 << 20)),
            rooms_max: 1 << 16,
        }
    }
}

#[derive(Debug, Default)]
struct Room {
    messages: Bucket,
    bytes: Bucket,
}

impl Slot for Room {
    fn is_held(&self) -> bool {
        false
    }
}

/// What has been sent to each room of late, over all loops; and over all nodes, as far as their
/// messages have come here.
#[derive(Debug)]
pub struct RoomFlows {
    limits: RoomLimits,
    rooms: Table<String, Room>,
}

impl RoomFlows {
    /// Rooms in which nothing was said yet.
    pub fn new(limits: RoomLimits) -> Self {
        let rooms = Table::new(limits.rooms_max);
        Self { limits, rooms }
    }

    /// What is kept of rooms at most: their names have 128 bytes.
    pub const fn bound(&self) -> Bound {
        let (rooms, name) = (self.limits.rooms_max, 128);
        let bytes = Table::<String, Room>::bytes_max(rooms) + (rooms * name) as u64;
        Bound { bytes, words: "the table of rooms that have a rate" }
    }

    /// Whether a message of `len` bytes may go to a room.
    ///
    /// # Errors
    /// It may not, and took nothing: `rate_limited`, with so many milliseconds to wait. It is not
    /// the sender's fault alone, so it is no reason to close.
    pub fn take(&self, room: &str, now: Duration, len: usize) -> Result<(), u64> {
        let (messages, bytes) = (self.limits.messages.as_ref(), self.limits.bytes.as_ref());
        if messages.is_none() && bytes.is_none() {
            return Ok(());
        }
        let taken = self.rooms.with(room, now, |room| {
            take_both(&mut room.messages, &mut room.bytes, now, len, messages, bytes)
        });
        taken.unwrap_or(Ok(())).map_err(whole_ms)
    }

    /// A message of `len` bytes has come to a room at another node, which let it in. What is said
    /// here has to wait for it.
    pub fn count(&self, room: &str, now: Duration, len: usize) {
        let (messages, bytes) = (self.limits.messages.as_ref(), self.limits.bytes.as_ref());
        self.rooms.with(room, now, |room| {
            messages.inspect(|rate| room.messages.owe(now, 1, rate));
            bytes.inspect(|rate| room.bytes.owe(now, len as u64, rate));
        });
    }
}

/// Takes a message and its bytes, or neither.
fn take_both(
    messages: &mut Bucket,
    bytes: &mut Bucket,
    now: Duration,
    len: usize,
    messages_rate: Option<&Rate>,
    bytes_rate: Option<&Rate>,
) -> Result<(), Duration> {
    let after = |bucket: Bucket, cost: u64, rate: Option<&Rate>| {
        rate.map_or(Ok(bucket), |rate| bucket.after(now, cost, rate))
    };
    let messages_after = after(*messages, 1, messages_rate);
    let bytes_after = after(*bytes, len as u64, bytes_rate);
    (*messages, *bytes) = match (messages_after, bytes_after) {
        (Ok(messages), Ok(bytes)) => (messages, bytes),
        (Err(one), Err(other)) => return Err(one.max(other)),
        (Err(wait), Ok(_)) | (Ok(_), Err(wait)) => return Err(wait),
    };
    Ok(())
}

/// Whole milliseconds, rounded up, so that who waits as long is let through.
fn whole_ms(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn limits() -> FlowLimits {
        FlowLimits {
            messages: Some(Rate::per_second(10, 20)),
            bytes: Some(Rate::per_second(1_000, 2_000)),
            refusals_per_minute_max: 5,
        }
    }

    #[test]
    fn messages_past_the_rate_are_refused_and_then_end_the_connection() {
        let (mut flow, limits) = (Flow::default(), limits());
        for _ in 0..20 {
            assert_eq!(flow.rule(ms(0), 10, &limits), Ruling::Pass);
        }
        for _ in 0..5 {
            assert_eq!(flow.rule(ms(1), 10, &limits), Ruling::Refuse { retry_after_ms: 99 });
        }
        assert_eq!(flow.rule(ms(1), 10, &limits), Ruling::Close);
    }

    #[test]
    fn patience_ends_with_too_many_refusals_and_not_with_many_messages() {
        let (mut flow, limits) = (Flow::default(), limits());
        let (mut now, mut passed) = (ms(0), 0);
        for _ in 0..200 {
            match flow.rule(now, 10, &limits) {
                Ruling::Pass => passed += 1,
                // Patience comes back by five a minute: this one is refused ten times a second.
                Ruling::Refuse { retry_after_ms } => now += ms(retry_after_ms),
                Ruling::Close => break,
            }
        }
        assert_eq!(passed, 25, "20 at once, one after each of the 5 refusals");
        let (mut flow, mut now) = (Flow::default(), ms(0));
        for _ in 0..2_000 {
            assert_eq!(flow.rule(now, 10, &limits), Ruling::Pass);
            now += ms(100);
        }
    }

    #[test]
    fn bytes_are_held_against_a_limit_of_their_own() {
        let (mut flow, limits) = (Flow::default(), limits());
        assert_eq!(flow.rule(ms(0), 2_000, &limits), Ruling::Pass);
        assert_eq!(flow.rule(ms(0), 100, &limits), Ruling::Refuse { retry_after_ms: 100 });
        assert_eq!(flow.rule(ms(100), 100, &limits), Ruling::Pass);
        // A refusal took no message either: 18 are left.
        for _ in 0..19 {
            assert_eq!(flow.rule(ms(100), 0, &limits), Ruling::Pass);
        }
        assert_eq!(flow.rule(ms(100), 0, &limits), Ruling::Refuse { retry_after_ms: 100 });
    }

    #[test]
    fn without_limits_all_passes() {
        let limits = FlowLimits { messages: None, bytes: None, refusals_per_minute_max: 0 };
        let mut flow = Flow::default();
        assert!((0..100_000).all(|_| flow.rule(ms(0), 1 << 30, &limits) == Ruling::Pass));
        assert_eq!(flow.refuse(ms(0), ms(1), &limits), Ruling::Close);
    }

    #[test]
    fn a_room_is_one_for_all_who_send_to_it() {
        let messages = Some(Rate::per_second(10, 2));
        let rooms = RoomFlows::new(RoomLimits { messages, bytes: None, rooms_max: 100 });
        assert_eq!(rooms.take("a", ms(0), 1), Ok(()));
        assert_eq!(rooms.take("a", ms(0), 1), Ok(()));
        assert_eq!(rooms.take("a", ms(0), 1), Err(100));
        assert_eq!(rooms.take("b", ms(0), 1), Ok(()));
        assert_eq!(rooms.take("a", ms(100), 1), Ok(()));
        // What others have let in is waited for.
        rooms.count("a", ms(400), 1);
        assert_eq!(rooms.take("a", ms(400), 1), Ok(()));
        rooms.count("a", ms(400), 1);
        assert_eq!(rooms.take("a", ms(400), 1), Err(200));
        for n in 0..10_000 {
            assert_eq!(rooms.take(&format!("room{n}"), ms(500), 1), Ok(()));
        }
        assert!(rooms.rooms.len() <= 112);
    }
}
