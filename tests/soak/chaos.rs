//! What is done to the servers meanwhile: another process follows, settings are read again, and
//! Redis is killed, stopped and started again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::random::Random;
use crate::redis::Redis;
use crate::served::Served;

/// What was done to a server, and when its process was one and the same.
#[derive(Clone, Debug, Default)]
pub struct Done {
    pub upgrades: usize,
    pub changes: usize,
    /// Since the beginning: in which time it was upgraded, and in which it was left alone.
    pub changing: (Duration, Duration),
    pub still: (Duration, Duration),
}

/// The time of a run, of which a server is upgraded in one half.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub begin: Instant,
    pub time: Duration,
    /// Whether it is the first.
    pub is_first: bool,
}

impl Plan {
    /// How much time is between two upgrades.
    fn pause(self) -> Duration {
        (self.time / 20).clamp(Duration::from_secs(3), Duration::from_secs(30))
    }
}

/// Has a server followed by others in its half, and read its settings again all the time. Its Redis
/// is not touched meanwhile: a process that does not find it does not start.
pub fn upgrade(server: &Served, redis: &Mutex<Redis>, plan: Plan, is_over: &AtomicBool) -> Done {
    let (half, pause) = (plan.time / 2, plan.pause());
    let mut done = Done::default();
    let mut next = if plan.is_first { pause } else { half };
    done.still = if plan.is_first { (half, plan.time) } else { (Duration::ZERO, half) };
    while !is_over.load(Ordering::SeqCst) {
        let now = plan.begin.elapsed();
        let is_its_time = if plan.is_first { now < half } else { now >= half };
        if is_its_time && now >= next {
            let redis = redis.lock().expect("not poisoned");
            if done.upgrades == 0 {
                let from = if plan.is_first { Duration::ZERO } else { half };
                (done.changing.0, done.still.1) = (from, done.still.1.max(now).min(plan.time));
            }
            server.upgrade();
            drop(redis);
            done.upgrades += 1;
            done.changing.1 = plan.begin.elapsed();
            next = done.changing.1 + pause;
        }
        done.changes += 1;
        server.change(100 + 50 * (done.changes as u32 % 2));
        thread::sleep(pause / 3);
    }
    if plan.is_first {
        done.still.0 = done.still.0.max(done.changing.1);
    }
    done
}

/// Kills Redis and starts it again, or has it answer nothing for a while, until it is over; how
/// often it did each.
pub fn trouble(redis: &Mutex<Redis>, plan: Plan, seed: u64, is_over: &AtomicBool) -> [usize; 2] {
    let mut random = Random::new(seed);
    let mut counts = [0; 2];
    while !is_over.load(Ordering::SeqCst) {
        thread::sleep(plan.pause() / 2 + milliseconds(&mut random, 1000));
        let mut redis = redis.lock().expect("not poisoned");
        let kind = counts.iter().sum::<usize>() % 2;
        counts[kind] += 1;
        let lasting = milliseconds(&mut random, 3500);
        if kind == 0 {
            redis.kill();
            thread::sleep(lasting);
            redis.start_again();
        } else {
            redis.process.stall();
            thread::sleep(lasting);
            redis.process.go_on();
        }
    }
    counts
}

fn milliseconds(random: &mut Random, most: usize) -> Duration {
    Duration::from_millis(100 + random.below(most) as u64)
}
