//! `throng connect`: a connection in the hands of a person, or of a script.
//!
//! Owns the command. Standard input is read by a thread of its own and the system's signals by
//! another; everything else happens in one, the session's. Never speaks the protocol itself: that
//! is the library's blocking client.

mod command;
mod editor;
mod ending;
mod input;
mod keys;
mod link;
mod options;
mod pings;
mod screen;
mod session;
mod speaking;
mod terminal;
mod words;

use std::io;
use std::process;

pub use options::ConnectOptions;
use session::Session;

/// Runs the command. Any exit status but 0 ends the process here.
pub fn run(options: &ConnectOptions) -> io::Result<()> {
    let session = Session::new(options).unwrap_or_else(|error| {
        eprintln!("throng connect: {error}");
        let is_usage = error.kind() == io::ErrorKind::InvalidInput;
        process::exit(if is_usage { ending::USAGE } else { ending::BROKEN })
    });
    match session.run() {
        ending::CLOSED => Ok(()),
        status => process::exit(status),
    }
}
