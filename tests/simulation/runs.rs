//! How seeds are run: many, one again, twice the same, and with a fault that has to be found.
//!
//! Owns the command line that replays a failure. Never knows what a world is.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How many worlds are made of most kinds.
pub const SEEDS: u64 = 2_000;

/// How many times as many with `THRONG_FULL=1`.
const FULL: u64 = 50;

/// What a world came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub turns: u64,
    pub messages: u64,
    /// What went wrong in it, and how often.
    pub mishaps: BTreeMap<&'static str, u64>,
    /// Of every byte that the clients were sent.
    pub digest: u64,
}

/// Lives through one world; a panic is a failure of it. `test` is the one that replays it.
pub fn guarded(
    seed: u64,
    test: &str,
    live: impl FnOnce() -> Result<Summary, String>,
) -> Result<Summary, String> {
    let result = catch_unwind(AssertUnwindSafe(live)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or_default()))
    });
    let release = if cfg!(debug_assertions) { "" } else { "--release " };
    result.map_err(|what| {
        format!(
            "{what}\nreplay: THRONG_SEED={seed} cargo test {release}--test simulation {test} -- \
             --nocapture"
        )
    })
}

/// Whether one seed is run again, and tells what happens.
pub fn is_replay() -> bool {
    env("THRONG_SEED").is_some()
}

/// Runs as many worlds as are asked for, else as are usual, and says what happened in all of them.
pub fn many(name: &str, usual: u64, run: impl Fn(u64) -> Result<Summary, String>) {
    let is_full = std::env::var_os("THRONG_FULL").is_some();
    let usual = if is_full { usual * FULL } else { usual };
    let seeds = match env("THRONG_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let from = env("THRONG_SEEDS_FROM").unwrap_or_default();
            from..from + env("THRONG_SEEDS").unwrap_or(usual)
        }
    };
    let count = seeds.end - seeds.start;
    let mut total = Summary::default();
    let mut failures = Vec::new();
    for seed in seeds {
        match run(seed) {
            Ok(summary) => {
                total.turns += summary.turns;
                total.messages += summary.messages;
                for (what, times) in summary.mishaps {
                    *total.mishaps.entry(what).or_default() += times;
                }
            }
            Err(what) => failures.push(format!("seed {seed}: {what}")),
        }
        if is_full && (seed + 1) % 10_000 == 0 {
            println!("{name}: {} of {count}, {} failed", seed + 1, failures.len());
        }
    }
    println!("{name}: {count} worlds, {} turns, {} messages", total.turns, total.messages);
    for (what, times) in &total.mishaps {
        println!("{times:>12} {what}");
    }
    let count = failures.len();
    failures.truncate(10);
    assert!(failures.is_empty(), "{count} worlds failed, such as\n{}", failures.join("\n"));
}

/// A seed is a world: all that happens in it is the same each time.
pub fn same_each_time(run: impl Fn(u64) -> Result<Summary, String>) {
    for seed in 0..20 {
        let [first, second] = [run(seed), run(seed)];
        assert_eq!(first, second, "seed {seed}");
    }
}

/// Each fault that is planted is found, in some world.
pub fn all_found<F: Copy + Debug>(faults: &[F], run: impl Fn(u64, F) -> Result<Summary, String>) {
    let mut missed = Vec::new();
    for fault in faults {
        match (0..40).find_map(|seed| run(seed, *fault).err().map(|what| (seed, what))) {
            Some((seed, what)) => {
                let what = what.lines().next().unwrap_or_default();
                println!("{fault:?}, in world {seed}: {what}");
            }
            None => missed.push(fault),
        }
    }
    assert!(missed.is_empty(), "not found in 40 worlds: {missed:?}");
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}
