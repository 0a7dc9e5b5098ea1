//! The terminal's mode.
//!
//! Owns the way it was before, and puts that back. Never reads or draws.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use rustix::termios::{self, InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios};

/// Columns of a terminal that does not say how many it has.
const COLUMNS: usize = 80;
/// Asks the terminal to put marks around what is pasted, so that its lines stay together.
const PASTE_MARKS_ON: &[u8] = b"\x1b[?2004h";
const PASTE_MARKS_OFF: &[u8] = b"\x1b[?2004l";

/// The mode that the shell left. It belongs to the process, as the terminal does: who ends the
/// process puts it back.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Takes keys one by one and shows none. Ctrl-C and Ctrl-Z stay signals, and a line end on the way
/// out still begins a line.
///
/// # Errors
/// Where standard input is no terminal.
pub fn take_keys() -> io::Result<()> {
    let mut mode = termios::tcgetattr(io::stdin())?;
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| mode.clone());
    mode.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN;
    mode.input_modes -= InputModes::ICRNL | InputModes::INLCR | InputModes::IXON;
    mode.special_codes[SpecialCodeIndex::VMIN] = 1;
    mode.special_codes[SpecialCodeIndex::VTIME] = 0;
    termios::tcsetattr(io::stdin(), OptionalActions::Drain, &mode)?;
    write(PASTE_MARKS_ON)
}

/// Leaves the terminal as it was. A second call does nothing.
pub fn give_back() {
    if let Some(mode) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // A terminal that has gone needs nothing.
        let _ = write(PASTE_MARKS_OFF);
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Drain, &mode);
    }
}

/// How wide it is now.
pub fn columns() -> usize {
    match termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        Ok(_) | Err(_) => COLUMNS,
    }
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(bytes)?;
    out.flush()
}
