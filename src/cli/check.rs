//! `throng check`: a file of settings, before a server is started with it.
//!
//! Owns what is said of it. What is right stands with the settings: a file that is good here is one
//! that `throng serve` starts with.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Command};

use super::settings::{self, Faults, Sources};

/// Options of `throng check`.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// The file, as for `throng serve --config`. The environment is looked at too, as there.
    #[arg(value_name = "FILE", required_unless_present = "example")]
    file: Option<PathBuf>,
    /// Print a file with every setting, its words and its default.
    #[arg(long, conflicts_with = "file")]
    example: bool,
}

pub fn run(options: &CheckOptions, program: &Command) -> io::Result<()> {
    let mut out = io::stdout();
    let Some(file) = options.file.as_ref().filter(|_| !options.example) else {
        return out.write_all(settings::example(program).as_bytes());
    };
    let loaded = Sources::of_file(program.clone(), file).load().map_err(io::Error::other)?;
    match loaded.options.plan() {
        Ok(_) => writeln!(out, "{}: good", file.display()),
        Err(misfit) => Err(io::Error::other(Faults::from(loaded.fault(misfit)))),
    }
}
