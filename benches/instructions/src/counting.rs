//! Counts by callgrind: this program, started once more under valgrind.
//!
//! Owns the two functions between which instructions count, and callgrind's files. Never judges a
//! count.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use crate::case::Case;

/// Runs each case, once to get warm and once to be counted. Under callgrind: see [`count`].
pub fn run_all(cases: Vec<Case>) {
    for mut case in cases {
        (case.run)();
        a_counted_run_begins();
        (case.run)();
        a_counted_run_ends();
    }
}

/// Before it callgrind writes what it has counted so far, and begins anew.
#[inline(never)]
fn a_counted_run_begins() {
    black_box("begins"); // not the same code as the end, or there would be one function for both
}

#[inline(never)]
fn a_counted_run_ends() {
    black_box("ends");
}

/// How many instructions each of `names` takes, in their order, which is that of [`run_all`].
///
/// # Errors
/// valgrind is missing or failed, or has not counted each run.
pub fn count(names: &[&'static str]) -> io::Result<Vec<(&'static str, u64)>> {
    let folder = Folder::new()?;
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--combine-dumps=no"])
        .arg("--dump-before=*a_counted_run_begins*") // as they stand in the symbol table
        .arg("--dump-before=*a_counted_run_ends*")
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
    // The odd files hold what is between the runs, and one without a number the end.
    let files = fs::read_dir(&folder.0)?.count();
    if files != 2 * names.len() + 1 {
        let wrong = format!("callgrind wrote {files} files for {} runs", names.len());
        return Err(io::Error::other(wrong));
    }
    let file = |number: usize| folder.0.join(format!("counts.{number}"));
    let counts = names.iter().zip(1..).map(|(name, run)| Ok((*name, total(&file(2 * run))?)));
    counts.collect()
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
