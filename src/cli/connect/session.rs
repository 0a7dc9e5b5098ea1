//! One run of `throng connect`.
//!
//! Owns the order of things: what was typed is done, what has come is shown, and what has ended is
//! said. It speaks in `speaking.rs`. Never waits for the server and the person at once: it listens
//! to the server for a moment, then looks what was typed.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGINT;
use throng::client::{Client, ClientError, Ending, Incoming, Step};
use throng::frame::CloseCode;

use super::input::{self, ENDED_BY_SIGNAL, Happening, Piped, Unheard};
use super::link::Link;
use super::options::{CLOSE_TIMEOUT, ConnectOptions, Linger};
use super::pings::{Pings, Why};
use super::screen::{Screen, Tone, Typed};
use super::{ending, words};

/// How long the server is listened to before looking what was typed: shortly while something
/// happens, at leisure else. What comes from the server is seen at once in any case.
const LISTEN_MIN: Duration = Duration::from_millis(1);
const LISTEN_MAX: Duration = Duration::from_millis(20);
/// For how long messages that follow one another are shown before looking what was typed.
const SHOWING_MAX: Duration = Duration::from_millis(50);
/// How long a server may take to answer the last ping, where it is silent otherwise.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(5);

/// Going on, or the exit status.
pub type Turn = ControlFlow<i32>;

/// See the module.
pub struct Session<'a> {
    pub options: &'a ConnectOptions,
    pub screen: Arc<Screen>,
    pub happenings: Receiver<Happening>,
    pub unheard: Unheard,
    pub lines: Lines,
    /// What was typed and not done yet.
    pub queue: VecDeque<Vec<u8>>,
    pub link: Link,
    pub way: Way,
    pub pings: Pings,
    pub leaving: Option<Leaving>,
    pub farewell: Option<Farewell>,
    /// When the server was heard last, when a message came last, and when anything happened last.
    pub heard: Instant,
    pub message: Instant,
    pub active: Instant,
    /// When a silent server was pinged.
    pub probed: Option<Instant>,
    /// Nobody reads what is shown any more.
    pub unread: bool,
    /// The exit status of what has ended last.
    pub status: i32,
}

/// Where lines come from.
pub enum Lines {
    /// A person; they come as they happen.
    Typed,
    Piped(Receiver<Piped>),
    /// There will be no more.
    Ended,
}

/// Whether something can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Clear,
    /// The last message is not out yet: the server may be waiting for this side to read.
    Stuck,
    /// Nothing goes out any more. What has come before can be read, and then why.
    Broken,
}

/// This side wants to close.
#[derive(Debug)]
pub struct Leaving {
    pub code: CloseCode,
    pub reason: String,
    pub since: Instant,
    /// The Close is on its way.
    pub said: bool,
    /// The exit status, where the server closes too.
    pub status: i32,
}

/// The last ping, after the end of the input.
#[derive(Debug)]
pub struct Farewell {
    /// When it was sent, or answered.
    since: Instant,
    answered: bool,
}

impl<'a> Session<'a> {
    /// # Errors
    /// Where the system has no threads, or no signals.
    pub fn new(options: &'a ConnectOptions) -> io::Result<Self> {
        let screen = Arc::new(Screen::new());
        let (sender, happenings) = mpsc::channel();
        let unheard = input::take_signals(sender.clone())?;
        let lines = if screen.is_interactive() {
            input::take_keys(Arc::clone(&screen), sender.clone())?;
            Lines::Typed
        } else {
            Lines::Piped(input::take_lines(options.max_message)?)
        };
        Ok(Self {
            options,
            screen,
            happenings,
            unheard,
            lines,
            queue: VecDeque::new(),
            link: Link::new(options.connect()?, options.policy(), sender),
            way: Way::Clear,
            pings: Pings::default(),
            leaving: None,
            farewell: None,
            heard: Instant::now(),
            message: Instant::now(),
            active: Instant::now(),
            probed: None,
            unread: false,
            status: ending::CLOSED,
        })
    }

    /// Connects, and stays until the end: the exit status.
    pub fn run(mut self) -> i32 {
        self.link.start();
        let status = loop {
            if let Break(status) = self.turn() {
                break status;
            }
        };
        self.screen.close_row();
        status
    }

    fn turn(&mut self) -> Turn {
        while let Ok(happening) = self.happenings.try_recv() {
            self.happens(happening)?;
        }
        self.look_at_clock()?;
        if self.link.client().is_none() {
            return self.wait();
        }
        let in_haste = self.speak()?;
        self.listen(in_haste)
    }

    /// While there is no connection.
    fn wait(&mut self) -> Turn {
        const LONG: Duration = Duration::from_secs(3600);
        match self.happenings.recv_timeout(self.link.due().unwrap_or(LONG)) {
            Ok(happening) => self.happens(happening),
            Err(_) => {
                self.link.tick();
                Continue(())
            }
        }
    }

    fn happens(&mut self, happening: Happening) -> Turn {
        match happening {
            Happening::Opened(result) => match *result {
                Ok(client) => self.opened(client),
                Err(error) => self.attempt_failed(&error),
            },
            Happening::Typed(Typed::Line(line)) if line.is_empty() => Continue(()),
            Happening::Typed(Typed::Line(line)) if self.link.client().is_none() => {
                self.obey(line.into_bytes())
            }
            Happening::Typed(Typed::Line(line)) => {
                self.queue.push_back(line.into_bytes());
                Continue(())
            }
            Happening::Typed(Typed::End) => self.leave(CloseCode::NORMAL, "", ending::CLOSED),
            Happening::Stop(signal) => self.stop(signal),
            Happening::Redraw => match self.screen.redraw() {
                Ok(()) => Continue(()),
                Err(error) => self.broken(&error),
            },
            Happening::Broken(error) => self.broken(&error),
        }
    }

    /// Ctrl-C forgets the line where there is one; else, and as any other signal, it ends.
    fn stop(&mut self, signal: i32) -> Turn {
        self.unheard.heard();
        if signal == SIGINT && self.screen.discard_line().unwrap_or_default() {
            return Continue(());
        }
        let status = ENDED_BY_SIGNAL + signal;
        if self.leaving.is_some() {
            return Break(status);
        }
        self.leave(CloseCode::GOING_AWAY, "", status)
    }

    /// Standard input or output does not work.
    fn broken(&mut self, error: &io::Error) -> Turn {
        self.unread = true;
        // `throng connect URL | head -1` has what it wanted.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return self.leave(CloseCode::NORMAL, "", ending::CLOSED);
        }
        self.say(Tone::Error, &error.to_string());
        self.leave(CloseCode::GOING_AWAY, "", ending::BROKEN)
    }

    fn opened(&mut self, mut client: Client) -> Turn {
        let mut words = format!("connected to {}", self.options.url);
        if let Some(name) = client.subprotocol() {
            words.push_str(&format!(", subprotocol {name}"));
        }
        if let Some(names) = client.answer().header("sec-websocket-extensions") {
            words.push_str(&format!(", {}", String::from_utf8_lossy(names)));
        }
        if self.screen.is_interactive() {
            words.push_str("; /help lists the commands");
        }
        client.set_read_timeout(Some(LISTEN_MIN));
        self.link.opened(client);
        self.way = Way::Clear;
        self.pings.forget();
        (self.farewell, self.probed) = (None, None);
        (self.heard, self.active) = (Instant::now(), Instant::now());
        self.say(Tone::Notice, &words::escape(&words, false));
        match self.screen.open_row() {
            Ok(()) => Continue(()),
            Err(error) => self.broken(&error),
        }
    }

    fn attempt_failed(&mut self, error: &ClientError) -> Turn {
        self.status = ending::of_attempt(error);
        let words = ending::words_of_attempt(error);
        self.ended(&words, Tone::Error, Ending::of(error).unwrap_or(Ending::Lost))
    }

    /// Shows what comes within a moment.
    fn listen(&mut self, in_haste: bool) -> Turn {
        let leisure = (self.active.elapsed() / 4).clamp(LISTEN_MIN, LISTEN_MAX);
        let mut wait = if in_haste { LISTEN_MIN } else { leisure };
        let began = Instant::now();
        while began.elapsed() < SHOWING_MAX {
            let Some(client) = self.link.client() else { return Continue(()) };
            client.set_read_timeout(Some(wait));
            match client.read() {
                Ok(Incoming::Message(message)) => {
                    self.message = Instant::now();
                    let shown = if self.unread { Ok(()) } else { self.screen.message(message) };
                    if let Err(error) = shown {
                        self.broken(&error)?;
                    }
                }
                Ok(Incoming::Pong(payload)) => {
                    let answered = self.pings.answered(payload);
                    let words = String::from_utf8_lossy(payload).into_owned();
                    self.pong(answered, &words);
                }
                Ok(Incoming::Chunk(_)) => {} // messages come whole
                Ok(Incoming::Close(close)) => {
                    let (code, reason) = (close.code, close.reason.to_owned());
                    return self.closed(code, &reason);
                }
                Err(ClientError::Timeout(Step::Read)) => return Continue(()),
                Err(error) => return self.lost(&error),
            }
            (self.heard, self.active, self.probed) = (Instant::now(), Instant::now(), None);
            wait = LISTEN_MIN;
        }
        Continue(())
    }

    fn pong(&mut self, answered: Option<(Why, Duration)>, payload: &str) {
        let payload = words::escape(payload, false);
        let colon = if payload.is_empty() { "" } else { ": " };
        match answered {
            Some((Why::Asked, time)) => {
                let time = words::time(time);
                self.say(Tone::Notice, &format!("pong after {time}{colon}{payload}"));
            }
            Some((Why::Farewell, _)) => {
                self.farewell = Some(Farewell { since: Instant::now(), answered: true });
            }
            Some((Why::Silence | Why::Way, _)) => {}
            None => {
                self.say(Tone::Notice, &format!("a pong that was not asked for{colon}{payload}"));
            }
        }
    }

    /// The server's Close has come, first or in answer.
    fn closed(&mut self, code: Option<CloseCode>, reason: &str) -> Turn {
        let words = words::close(code, reason);
        if let Some(Leaving { said: true, status, .. }) = self.leaving {
            self.say(Tone::Notice, &format!("closed: {words}"));
            return Break(status);
        }
        self.status = ending::of_close(code);
        let tone = if self.status == ending::CLOSED { Tone::Notice } else { Tone::Error };
        self.ended(&format!("closed by the server: {words}"), tone, Ending::Closed(code))
    }

    /// The connection has ended without a Close.
    pub fn lost(&mut self, error: &ClientError) -> Turn {
        self.status = ending::BROKEN;
        self.ended(&error.to_string(), Tone::Error, Ending::of(error).unwrap_or(Ending::Lost))
    }

    /// A connection or an attempt has ended: says so, and whether there is another attempt.
    fn ended(&mut self, words: &str, tone: Tone, ending: Ending) -> Turn {
        let next = self.link.ended(ending);
        let words = words::escape(words, true);
        if let Some(leaving) = &self.leaving {
            let status =
                if leaving.status == ending::CLOSED { self.status } else { leaving.status };
            self.say(tone, &words);
            return Break(status);
        }
        match next {
            Some(_) if self.has_nothing_to_do() => self.say(tone, &words),
            None => self.say(tone, &words),
            Some(wait) => {
                let time = words::time(wait);
                let when = if wait.is_zero() { String::new() } else { format!(" in {time}") };
                let count = self.link.retries();
                self.say(tone, &format!("{words}\nconnecting again{when} (attempt {count})"));
                return Continue(());
            }
        }
        Break(self.status)
    }

    /// Whether the input has ended, all of it was sent, and nobody listens for ever.
    fn has_nothing_to_do(&self) -> bool {
        matches!(self.lines, Lines::Ended)
            && self.queue.is_empty()
            && self.options.linger != Linger::Forever
    }

    /// Closes with this code; `status` is the exit status where that goes well.
    pub fn leave(&mut self, code: CloseCode, reason: &str, status: i32) -> Turn {
        if self.link.client().is_none() {
            return Break(if status == ending::CLOSED { self.status } else { status });
        }
        let reason = reason.to_owned();
        let leaving = Leaving { code, reason, since: Instant::now(), said: false, status };
        self.leaving.get_or_insert(leaving);
        Continue(())
    }

    fn look_at_clock(&mut self) -> Turn {
        if let Some(Leaving { since, status, .. }) = self.leaving {
            if since.elapsed() < CLOSE_TIMEOUT {
                return Continue(());
            }
            self.say(Tone::Error, "the server did not close in time");
            return Break(if status == ending::CLOSED { ending::BROKEN } else { status });
        }
        if self.link.client().is_none() {
            return Continue(());
        }
        self.look_for_life()?;
        self.look_for_answers()
    }

    /// Pings a silent server, and gives up one that stays silent.
    fn look_for_life(&mut self) -> Turn {
        let Some(interval) = self.options.ping_interval else { return Continue(()) };
        match self.probed {
            Some(probed) if probed.elapsed() >= interval => {
                self.lost(&ClientError::Timeout(Step::Pong))
            }
            None if self.heard.elapsed() >= interval && self.way == Way::Clear => {
                self.probed = Some(Instant::now());
                let payload = self.pings.payload();
                self.ping(&payload, Why::Silence)
            }
            Some(_) | None => Continue(()),
        }
    }

    /// After the end of the input: leaves when the answers are in.
    fn look_for_answers(&mut self) -> Turn {
        let Linger::For(linger) = self.options.linger else { return Continue(()) };
        if !self.has_nothing_to_do() || self.way != Way::Clear {
            return Continue(());
        }
        let Some(farewell) = &self.farewell else {
            self.farewell = Some(Farewell { since: Instant::now(), answered: false });
            let payload = self.pings.payload();
            return self.ping(&payload, Why::Farewell);
        };
        let patience = if farewell.answered { linger } else { linger.max(FAREWELL_PATIENCE) };
        if farewell.since.max(self.message).elapsed() < patience {
            return Continue(());
        }
        self.leave(CloseCode::NORMAL, "", ending::CLOSED)
    }

    pub fn say(&mut self, tone: Tone, words: &str) {
        // Where a person cannot be told, the keys are gone too, and that ends the session.
        self.unread |= self.screen.say(tone, words).is_err();
    }
}
