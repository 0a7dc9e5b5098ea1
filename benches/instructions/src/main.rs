//! How many instructions things cost, held against what is committed, and whether each parser's
//! cost is linear in its input.
//!
//!     cargo run -p throng-instructions --profile instructions [-- --bless]
//!
//! Counts do not depend on what else the machine does, so that a test run can fail on them. The
//! last line is `N passed, N failed`.

mod case;
mod committed;
mod counting;
mod kernels;
mod linear;
mod memory;

use std::io;
use std::process::ExitCode;

use case::Case;
use committed::Committed;
use linear::{PARSERS, Parser};

/// Twice the input, at most so many times the instructions.
const RATIO_MAX: f64 = 2.2;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let result = match (args.next().as_deref(), args.next()) {
        (None, None) => check(),
        (Some("--bless"), None) => bless(),
        (Some("run"), None) => {
            counting::run_all(all_cases());
            Ok(true)
        }
        _ => {
            eprintln!("usage: throng-instructions [--bless]");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The kernels, then each parser with its input and with twice that.
fn all_cases() -> Vec<Case> {
    let mut cases = kernels::cases();
    for Parser { name, n, make } in PARSERS {
        cases.extend([n, 2 * n].map(|n| Case { name, run: make(n) }));
    }
    cases
}

/// What is counted once, and what is counted with input of two lengths.
type Counts = Vec<(&'static str, u64)>;

fn count() -> io::Result<(Counts, Counts)> {
    let names: Vec<_> = all_cases().iter().map(|case| case.name).collect();
    let mut kernels = counting::count(&names)?;
    let parsers = kernels.split_off(kernels.len() - 2 * PARSERS.len());
    Ok((kernels, parsers))
}

fn check() -> io::Result<bool> {
    let committed = Committed::read()?;
    let (kernels, parsers) = count()?;
    let mut verdicts = Vec::new();
    if let Some(why) = committed.not_comparable() {
        println!("the counts are not compared: {why}");
    } else {
        verdicts.extend(kernels.iter().map(|(name, count)| kernel(&committed, name, *count)));
        for name in committed.missing(&kernels) {
            println!("FAILED {name} is in counts.toml and was not counted");
            verdicts.push(false);
        }
    }
    if verdicts.contains(&false) {
        if let Some(what) = committed.other_rustc() {
            println!("the counts were {what}");
        }
        println!("to take the counts as they are now, run this with --bless, and say why");
    }
    verdicts.extend(parsers.chunks(2).map(parser));
    let passed = verdicts.iter().filter(|passed| **passed).count();
    println!("{passed} passed, {} failed", verdicts.len() - passed);
    Ok(passed == verdicts.len() && passed > 0)
}

fn bless() -> io::Result<bool> {
    let (kernels, _) = count()?;
    Committed::write(&kernels)?;
    Ok(true)
}

fn kernel(committed: &Committed, name: &str, count: u64) -> bool {
    match committed.judge(name, count) {
        Ok(percent) => println!("ok     {name} {count} {percent:+.1} %"),
        Err(ref what) => {
            println!("FAILED {name} {count} {what}");
            return false;
        }
    }
    true
}

fn parser(counts: &[(&'static str, u64)]) -> bool {
    let (name, once, twice) = (counts[0].0, counts[0].1, counts[1].1);
    let ratio = twice as f64 / once as f64;
    let passed = ratio <= RATIO_MAX;
    let verdict = if passed { "ok    " } else { "FAILED" };
    println!("{verdict} {name} {once}, with twice the input {twice}: {ratio:.2} times as many");
    passed
}
