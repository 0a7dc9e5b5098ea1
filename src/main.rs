//! The program `throng`.
//!
//! Owns the process: its exit code and its last words.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("throng: {error}");
            ExitCode::FAILURE
        }
    }
}
