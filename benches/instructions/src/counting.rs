//! Counts by callgrind: this program, started once more under valgrind.
//!
//! Owns the one function between whose beginning and end instructions count, and callgrind's files.
//! Never judges a count.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use crate::case::Case;

/// What callgrind takes for the names of [`one_measured_run`], mangled or not.
const PATTERN: &str = "*one_measured_run*";

/// More than the one run of nothing can take.
const NOTHING_MAX: u64 = 100;

/// Runs each case, once to get warm and once to be counted. Under callgrind: see [`count`].
pub fn run_all(cases: Vec<Case>) {
    for mut case in cases {
        (case.run)();
        one_measured_run(&mut *case.run);
    }
    one_measured_run(&mut || {}); // writes the last one's file
}

/// callgrind counts in here only, and each time writes what it has counted before.
#[inline(never)]
fn one_measured_run(run: &mut dyn FnMut()) {
    run();
}

/// How many instructions each of `names` takes, in their order, which is that of [`run_all`].
///
/// # Errors
/// valgrind is missing or failed, or has not counted each run and nothing else.
pub fn count(names: &[&'static str]) -> io::Result<Vec<(&'static str, u64)>> {
    let folder = Folder::new()?;
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no", "--combine-dumps=no"])
        .arg(format!("--toggle-collect={PATTERN}"))
        .arg(format!("--dump-before={PATTERN}"))
        .arg(format!("--callgrind-out-file={}", folder.0.join("counts").display()))
        .arg(env::current_exe()?)
        .arg("run")
        .env_clear() // what stands above the stack moves it
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .status()
        .map_err(|error| io::Error::new(error.kind(), format!("valgrind: {error}")))?;
    if !status.success() {
        return Err(io::Error::other(format!("under valgrind: {status}")));
    }
    // The first file is written before the first run, and the last when the program ends.
    let file = |number: usize| folder.0.join(format!("counts.{number}"));
    let outside = total(&file(1))? + total(&folder.0.join("counts"))?;
    if outside > NOTHING_MAX || file(names.len() + 2).exists() {
        return Err(io::Error::other("callgrind counted more than the measured runs"));
    }
    names.iter().zip(2..).map(|(name, number)| Ok((*name, total(&file(number))?))).collect()
}

/// The instructions that one of callgrind's files tells of.
fn total(path: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(path)
        .map_err(|error| io::Error::new(error.kind(), "a run was not counted"))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals:")?.trim().parse().ok());
    total.ok_or_else(|| io::Error::other("callgrind wrote no total"))
}

/// A folder of our own that goes when we go.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let path = env::temp_dir().join(format!("throng-instructions-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
