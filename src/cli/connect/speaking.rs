//! What a session says to the server.
//!
//! Owns the way from a line to a frame. Never takes a line before the one before it is on its way:
//! a pipe then waits, and nothing is lost or sent twice.

use std::ops::ControlFlow::{self, Continue};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use throng::client::{ClientError, Step};
use throng::frame::CloseCode;
use throng::proto::Message;

use super::command::{COMMANDS, Command};
use super::ending;
use super::input::Piped;
use super::pings::Why;
use super::screen::Tone;
use super::session::{Leaving, Lines, Session, Turn, Way};

/// What is sent before the server is listened to again, in bytes: a server may want to be read
/// before it reads on.
const BATCH_BYTES: usize = 1 << 20;
/// How long a pipe that has just given something is given to go on: to listen in between takes
/// longer.
const BREATH: Duration = Duration::from_micros(200);
/// What a small message counts at least.
const LINE_BYTES_MIN: usize = 64;

impl Session<'_> {
    /// Does what was typed, as far as it goes. Says whether there is more to be done at once.
    pub fn speak(&mut self) -> ControlFlow<i32, bool> {
        self.try_way()?;
        let mut sent = 0;
        while self.way == Way::Clear && self.leaving.is_none() {
            if sent >= BATCH_BYTES {
                return Continue(true);
            }
            let breath = if sent > 0 { BREATH } else { Duration::ZERO };
            let Some(line) = self.next_line(breath)? else { break };
            sent += line.len().max(LINE_BYTES_MIN);
            self.obey(line)?;
        }
        self.say_close()?;
        Continue(self.way == Way::Stuck)
    }

    /// Whether the last message has gone out: a ping is only taken behind it, and does no harm.
    fn try_way(&mut self) -> Turn {
        if self.way != Way::Stuck {
            return Continue(());
        }
        let payload = self.pings.payload();
        self.ping(&payload, Why::Way)
    }

    fn next_line(&mut self, breath: Duration) -> ControlFlow<i32, Option<Vec<u8>>> {
        if let Some(line) = self.queue.pop_front() {
            return Continue(Some(line));
        }
        let Lines::Piped(lines) = &self.lines else { return Continue(None) };
        match lines.recv_timeout(breath) {
            Ok(Piped::Lines(lines)) => self.queue.extend(lines),
            Ok(Piped::TooLong) => self.refuse(&self.too_long())?,
            Ok(Piped::Broken(error)) => self.refuse(&format!("standard input: {error}"))?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.lines = Lines::Ended,
        }
        Continue(self.queue.pop_front())
    }

    /// Does what a line says.
    pub fn obey(&mut self, line: Vec<u8>) -> Turn {
        let command = match self.read_line(line) {
            Ok(command) => command,
            Err(words) => return self.refuse(&words),
        };
        let connected = self.link.client().is_some();
        match command {
            Command::Help => {
                let lines = COMMANDS.iter().map(|(name, arguments, what)| {
                    format!("{:<24}{what}", format!("{name}{arguments}"))
                });
                let lines: Vec<String> = lines.collect();
                let slash = format!("{:<24}send a text that begins with a slash", "//TEXT");
                self.say(Tone::Notice, &format!("{}\n{slash}", lines.join("\n")));
                Continue(())
            }
            Command::Quit => self.leave(CloseCode::NORMAL, "", ending::CLOSED),
            Command::Text(_) | Command::Binary(_) | Command::Ping(_) | Command::Close(..)
                if !connected =>
            {
                self.say(Tone::Error, "not connected, so it was not sent; Up brings it back");
                Continue(())
            }
            Command::Text(text) => self.send(Message::text(&text)),
            Command::Binary(bytes) => self.send(Message::binary(&bytes)),
            Command::Ping(text) => self.ping(text.as_bytes(), Why::Asked),
            Command::Close(code, reason) => self.leave(code, &reason, ending::CLOSED),
        }
    }

    /// What a line means here: a person's lines hold commands, a pipe's only where asked.
    fn read_line(&self, mut line: Vec<u8>) -> Result<Command, String> {
        let obeys = self.options.commands || self.screen.is_typed_into();
        let is_command = obeys && line.first() == Some(&b'/');
        if self.options.binary && !is_command {
            return Ok(Command::Binary(line));
        }
        line.pop_if(|byte| *byte == b'\r'); // a line of another system
        let line = String::from_utf8(line)
            .map_err(|_| "a line is not UTF-8; --binary sends any bytes".to_owned())?;
        let command = if is_command { Command::parse(&line)? } else { Command::Text(line) };
        match command {
            Command::Text(text) if text.len() as u64 > self.options.max_message => {
                Err(self.too_long())
            }
            Command::Text(text) if self.options.binary => Ok(Command::Binary(text.into_bytes())),
            command => Ok(command),
        }
    }

    fn too_long(&self) -> String {
        format!("a line is longer than {} bytes, see --max-message", self.options.max_message)
    }

    /// A line cannot be sent. A person tries again; a pipe is not sent with a line missing.
    fn refuse(&mut self, words: &str) -> Turn {
        self.say(Tone::Error, words);
        if self.screen.is_typed_into() {
            return Continue(());
        }
        self.lines = Lines::Ended;
        self.leave(CloseCode::GOING_AWAY, "", ending::USAGE)
    }

    fn send(&mut self, message: Message<'_>) -> Turn {
        let Some(client) = self.link.client() else { return Continue(()) };
        let result = client.send(message);
        self.sent(result)
    }

    pub fn ping(&mut self, payload: &[u8], why: Why) -> Turn {
        let Some(client) = self.link.client() else { return Continue(()) };
        self.pings.starts(payload, why);
        let result = client.ping(payload);
        self.sent(result)
    }

    /// Says the Close, once nothing is in its way.
    fn say_close(&mut self) -> Turn {
        let Some(leaving) = self.leaving.as_mut().filter(|leaving| !leaving.said) else {
            return Continue(());
        };
        let Some(client) = self.link.client() else { return Continue(()) };
        let Leaving { code, reason, .. } = leaving;
        let result = client.start_close(*code, reason);
        leaving.said = !client.is_open();
        self.sent(result)
    }

    fn sent(&mut self, result: Result<(), ClientError>) -> Turn {
        self.active = Instant::now();
        self.way = match result {
            Ok(()) => Way::Clear,
            Err(ClientError::Timeout(Step::Write)) => Way::Stuck,
            Err(ClientError::Lost(_) | ClientError::Closed) => Way::Broken,
            Err(error) => return self.lost(&error),
        };
        Continue(())
    }
}
