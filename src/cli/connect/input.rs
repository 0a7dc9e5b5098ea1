//! What comes from the person, the pipe and the system.
//!
//! Owns the threads that wait for it. Never interprets a line.

use std::io::{self, BufRead, BufReader, Read};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SendError, Sender, SyncSender, sync_channel};
use std::thread;

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;
use throng::client::{Client, ClientError};

use super::keys::Keys;
use super::screen::{Screen, Typed};
use super::terminal;

/// How many handfuls of lines wait at most: then the pipe waits.
const HANDFULS_WAITING_MAX: usize = 4;
/// How much is read of a pipe at once, and with it the size of a handful.
const HANDFUL_BYTES: usize = 64 << 10;
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

/// What comes of a pipe, in order, at the session's pace.
#[derive(Debug)]
pub enum Piped {
    /// All lines that were there already, without their line ends: at least one.
    Lines(Vec<Vec<u8>>),
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
    let (sender, receiver) = sync_channel(HANDFULS_WAITING_MAX);
    thread::Builder::new().name("lines".into()).spawn(move || {
        let mut input = BufReader::with_capacity(HANDFUL_BYTES, io::stdin());
        // Who does not listen any more has ended, and this thread ends with the process.
        let _ = send_lines(&mut input, bytes_max, &sender);
    })?;
    Ok(receiver)
}

fn send_lines(
    input: &mut BufReader<impl Read>,
    bytes_max: u64,
    lines: &SyncSender<Piped>,
) -> Result<(), SendError<Piped>> {
    let mut handful = Vec::new();
    loop {
        let mut line = Vec::new();
        // One more for the line end, and one to see that it is too long.
        let read = input.take(bytes_max.saturating_add(2)).read_until(b'\n', &mut line);
        line.pop_if(|byte| *byte == b'\n');
        let fits = line.len() as u64 <= bytes_max;
        if matches!(read, Ok(1..)) && fits {
            handful.push(line);
            if input.buffer().contains(&b'\n') {
                continue;
            }
        }
        if !handful.is_empty() {
            lines.send(Piped::Lines(std::mem::take(&mut handful)))?;
        }
        match read {
            Ok(0) => return Ok(()),
            Ok(_) if fits => {}
            Ok(_) => return lines.send(Piped::TooLong),
            Err(error) => return lines.send(Piped::Broken(error)),
        }
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
        let mut all = Vec::new();
        for capacity in [1, 3, 100] {
            let (sender, receiver) = sync_channel(100);
            let mut input = BufReader::with_capacity(capacity, input);
            send_lines(&mut input, bytes_max, &sender).expect("there is room");
            drop(sender);
            let lines = receiver.iter().flat_map(|piped| match piped {
                Piped::Lines(lines) => lines,
                other => vec![format!("{other:?}").into_bytes()],
            });
            all.push(lines.map(|line| String::from_utf8_lossy(&line).into_owned()).collect());
        }
        let last: Vec<String> = all.pop().unwrap_or_default();
        assert!(all.iter().all(|lines| *lines == last), "{all:?}: {last:?}");
        last
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
