//! The committed counts, `counts.toml`: what a run is held against.
//!
//! Owns the file and how far a count may be from it. Never counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

/// More than so many per cent up fails; so many down does too, since nobody would see them come
/// back.
const PERCENT_MAX: f64 = 5.0;

const WORDS: &str = "\
# Instructions of each case, by callgrind. Written by
#     cargo run -p throng-instructions --profile instructions -- --bless
";

/// The counts, and what they were made with.
pub struct Committed {
    rustc: String,
    machine: String,
    counts: BTreeMap<String, u64>,
}

impl Committed {
    /// What the file says.
    ///
    /// # Errors
    /// There is no file, or a line of it cannot be read.
    pub fn read() -> io::Result<Self> {
        let text = fs::read_to_string(path())?;
        let mut committed =
            Self { rustc: String::new(), machine: String::new(), counts: BTreeMap::new() };
        for line in text.lines().filter(|line| !line.starts_with('#') && line.contains('=')) {
            let (name, value) = line.split_once(" = ").ok_or_else(|| unreadable(line))?;
            let text = || value.trim_matches('"').to_owned();
            match name {
                "rustc" => committed.rustc = text(),
                "machine" => committed.machine = text(),
                _ => {
                    let count = value.replace('_', "").parse().map_err(|_| unreadable(line))?;
                    committed.counts.insert(name.to_owned(), count);
                }
            }
        }
        Ok(committed)
    }

    /// Writes `counts` as what is right from now on.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(counts: &[(&'static str, u64)]) -> io::Result<()> {
        let (rustc, machine) = (rustc(), machine());
        let mut text = format!("{WORDS}rustc = \"{rustc}\"\nmachine = \"{machine}\"\n\n[counts]\n");
        for (name, count) in counts {
            text += &format!("{name} = {count}\n");
        }
        fs::write(path(), text)
    }

    /// Why the counts of this machine cannot be held against the file at all, if so: another
    /// architecture, or one without the vector instructions.
    pub fn not_comparable(&self) -> Option<String> {
        let here = machine();
        (here != self.machine).then(|| format!("made on {}, this is {here}", self.machine))
    }

    /// What to know about a failure: another compiler makes other code.
    pub fn other_rustc(&self) -> Option<String> {
        let here = rustc();
        (here != self.rustc).then(|| format!("made by rustc {}, this is {here}", self.rustc))
    }

    /// What is wrong with one count; else by how many per cent it differs.
    pub fn judge(&self, name: &str, count: u64) -> Result<f64, String> {
        let Some(before) = self.counts.get(name).copied() else {
            return Err("is not in counts.toml".to_owned());
        };
        let percent = (count as f64 / before as f64 - 1.0) * 100.0;
        match percent {
            grown if grown > PERCENT_MAX => Err(format!("has grown by {grown:.1} % from {before}")),
            less if less < -PERCENT_MAX => {
                Err(format!("has shrunk by {:.1} % from {before}: please bless it", -less))
            }
            percent => Ok(percent),
        }
    }

    /// What is in the file and was not counted.
    pub fn missing(&self, counts: &[(&'static str, u64)]) -> Vec<String> {
        let counted = |name: &str| counts.iter().any(|(other, _)| *other == name);
        self.counts.keys().filter(|name| !counted(name)).cloned().collect()
    }
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.toml")
}

fn unreadable(line: &str) -> io::Error {
    io::Error::other(format!("counts.toml: cannot read {line:?}"))
}

fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let text = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
    text.unwrap_or_default().split(' ').nth(1).unwrap_or("unknown").to_owned()
}

/// The architecture, and whether it has what the kernels look for.
fn machine() -> String {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        return "x86_64 with AVX2".to_owned();
    }
    std::env::consts::ARCH.to_owned()
}
