//! What comes from the person, the pipe and the system.
//!
//! Owns the threads that wait for it. Never interprets a line.

use std::io::{self, BufRead, Read};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::thread;

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;
use throng::client::{Client, ClientError};

use super::keys::Keys;
use super::screen::{Screen, Typed};
use super::terminal;

/// How many lines of a pipe wait at most: then the pipe waits.
const LINES_WAITING_MAX: usize = 16;
/// Beside the signal's number, what a shell shows of a process that a signal has ended.
pub const ENDED_BY_SIGNAL: i32 = 128;

/// What the session has to know at once.
#[derive(Debug)]
pub enum Happening {
    /// An attempt to connect has ended.
    Opened(Box<Result<Client, ClientError>>),
    Typed(Typed),
    /// SIGINT, SIGTERM or SIGHUP.
    Stop(i32),
    /// The terminal has another size, or this process is in front again.
    Redraw,
    /// Standard input or output is gone.
    Broken(io::Error),
}

/// A line of a pipe, in order, at the session's pace.
#[derive(Debug)]
pub enum Piped {
    /// Without its line end.
    Line(Vec<u8>),
    TooLong,
    Broken(io::Error),
}

/// Reads keys, until there are none any more.
pub fn take_keys(screen: Arc<Screen>, happenings: Sender<Happening>) -> io::Result<()> {
    thread::Builder::new().name("keys".into()).spawn(move || {
        let (mut keys, mut block) = (Keys::default(), [0; 4096]);
        let mut stdin = io::stdin().lock();
        loop {
            let typed = match stdin.read(&mut block) {
                Ok(0) => Ok(vec![Typed::End]),
                Ok(count) => {
                    let pressed = block[..count].iter().filter_map(|&byte| keys.push(byte));
                    screen.press(pressed.collect())
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let typed = match typed {
                Ok(typed) => typed,
                Err(error) => {
                    let _ = happenings.send(Happening::Broken(error)); // the process ends
                    return;
                }
            };
            for typed in typed {
                let last = typed == Typed::End;
                if happenings.send(Happening::Typed(typed)).is_err() || last {
                    return;
                }
            }
        }
    })?;
    Ok(())
}

/// Reads lines; the end of the channel is the end of the input.
pub fn take_lines(bytes_max: u64) -> io::Result<Receiver<Piped>> {
    let (sender, receiver) = sync_channel(LINES_WAITING_MAX);
    thread::Builder::new().name("lines".into()).spawn(move || {
        // Who does not listen any more has ended, and this thread ends with the process.
        let _ = send_lines(&mut io::stdin().lock(), bytes_max, &sender);
    })?;
    Ok(receiver)
}

fn send_lines(
    input: &mut impl BufRead,
    bytes_max: u64,
    lines: &SyncSender<Piped>,
) -> Result<(), std::sync::mpsc::SendError<Piped>> {
    loop {
        let mut line = Vec::new();
        // One more for the line end, and one to see that it is too long.
        match input.take(bytes_max.saturating_add(2)).read_until(b'\n', &mut line) {
            Ok(0) => return Ok(()),
            Ok(_) => {
                line.pop_if(|byte| *byte == b'\n');
            }
            Err(error) => return lines.send(Piped::Broken(error)),
        }
        if line.len() as u64 > bytes_max {
            return lines.send(Piped::TooLong);
        }
        lines.send(Piped::Line(line))?;
    }
}

/// Whether a stop was told that the session has not looked at.
#[derive(Clone, Debug, Default)]
pub struct Unheard(Arc<AtomicBool>);

impl Unheard {
    pub fn heard(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Tells signals. A second stop while the session has not heard of the first ends the process.
pub fn take_signals(happenings: Sender<Happening>) -> io::Result<Unheard> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT])?;
    let unheard = Unheard::default();
    let pending = unheard.clone();
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let happening = match signal {
                SIGWINCH | SIGCONT => Happening::Redraw,
                _ if pending.0.swap(true, Ordering::Relaxed) => {
                    terminal::give_back();
                    process::exit(ENDED_BY_SIGNAL + signal);
                }
                _ => Happening::Stop(signal),
            };
            if happenings.send(happening).is_err() {
                return;
            }
        }
    })?;
    Ok(unheard)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8], bytes_max: u64) -> Vec<String> {
        let (sender, receiver) = sync_channel(100);
        send_lines(&mut &input[..], bytes_max, &sender).expect("there is room");
        drop(sender);
        let lines = receiver.iter().map(|line| match line {
            Piped::Line(line) => String::from_utf8_lossy(&line).into_owned(),
            other => format!("{other:?}"),
        });
        lines.collect()
    }

    #[test]
    fn lines_of_a_pipe() {
        assert_eq!(lines(b"", 9), [""; 0]);
        assert_eq!(lines(b"\n\na\r\nlast", 9), ["", "", "a\r", "last"]);
        assert_eq!(lines(b"1234\n1234", 4), ["1234", "1234"]);
        assert_eq!(lines(b"1234\n12345\n", 4), ["1234", "TooLong"]);
        assert_eq!(lines(b"12345", 4), ["TooLong"]);
    }
}
