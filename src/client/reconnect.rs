//! When to connect again (RFC 6455, section 7.2.3).
//!
//! Owns the states of a connection that comes back, and the schedule. Never connects, never waits:
//! time and randomness are arguments.

use std::time::Duration;

use super::{ClientError, ProxyError};
use crate::frame::CloseCode;

/// ```text
///                 Connect            Opened             Close
///  Disconnected ──────────► Connecting ──────► Connected ─────► Closing
///    ▲  ▲  ▲                 │  ▲   │              │               │
///    │  │  └── Ended: Done ──┼──┼───┼──────────────┤               │ Ended
///    │  │                    │  │   │              │               │
///    │  │  Close     Ended:  │  │   │ Ended: Fail, │               │
///    │  └─────── Waiting ◄───┘  │   │ or too many  ▼               │
///    │              │  └────────┘   └─────────► Failed             │
///    │              │   Tick when due                              │
///    └──────────────┴──────────────────────────────────────────────┘
/// ```
///
/// `Connect` leaves Disconnected, Failed and Waiting; `Close` ends all but Connected at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// Not connected, and nothing is done about it.
    #[default]
    Disconnected,
    /// A connection is being opened.
    Connecting,
    /// The connection is open.
    Connected,
    /// The close handshake runs, because the caller wants it.
    Closing,
    /// The connection was lost, or could not be opened; the next attempt comes when it is due.
    Waiting,
    /// It makes no sense to try again.
    Failed,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The caller wants to be connected.
    Connect,
    /// The opening handshake has succeeded.
    Opened,
    /// The attempt, or the connection, has ended.
    Ended(Ending),
    /// The caller wants to be disconnected.
    Close,
    /// Time has passed.
    Tick,
}

/// How an attempt or a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The server has closed, with this code.
    Closed(Option<CloseCode>),
    /// The transport ended without a Close: 1006.
    Lost,
    /// No connection came about: no address, nobody there, no answer in time.
    Unreachable,
    /// The server, or the proxy, answered with this status.
    Refused(u16),
    /// The server broke the protocol, in the handshake or after it.
    Broken,
    /// What the caller asks for cannot work: a bad URL, a header that may not be sent.
    Impossible,
}

impl Ending {
    /// How an error has ended a connection; `None` where it has not: after a read or write that
    /// timed out the connection is still there.
    pub const fn of(error: &ClientError) -> Option<Self> {
        use super::Step;
        Some(match error {
            ClientError::Timeout(Step::Read | Step::Write) => return None,
            ClientError::Lost(_) | ClientError::Closed | ClientError::Timeout(Step::Pong) => {
                Self::Lost
            }
            ClientError::Resolve { .. }
            | ClientError::Connect { .. }
            | ClientError::Timeout(_)
            | ClientError::Hook(_) => Self::Unreachable,
            ClientError::Refused(answer) => Self::Refused(answer.status()),
            ClientError::Proxy(ProxyError::Refused(status)) => Self::Refused(*status),
            ClientError::Proxy(ProxyError::Head(_) | ProxyError::Surplus)
            | ClientError::Head(_)
            | ClientError::Tls(_)
            | ClientError::Answer(_)
            | ClientError::Extension(_)
            | ClientError::TooManyRedirects
            | ClientError::Redirect
            | ClientError::Protocol(_) => Self::Broken,
            ClientError::Proxy(ProxyError::Url)
            | ClientError::Url(_)
            | ClientError::TlsNotBuilt
            | ClientError::TlsSetup(_)
            | ClientError::Request(_)
            | ClientError::Random => Self::Impossible,
        })
    }
}

/// What to do about an [`Ending`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was meant to end: Disconnected.
    Done,
    /// Another try would end the same way: Failed.
    Fail,
    /// Try again; the first time at once.
    Retry,
    /// Try again, but not at once: everybody else would too, or it would end the same way.
    RetryLater,
}

/// The fate of each ending by default.
///
/// | ending | fate |
/// |---|---|
/// | Close 1000 | done |
/// | Close 1008 (a rule of the application was broken) | failed |
/// | Close 1001, 1012, 1013 (the server goes, restarts, is busy) | later: all its clients come |
/// | Close 1002, 1003, 1007, 1009 to 1011, 1014; a server that breaks the protocol | later |
/// | no code, 3000 to 4999, transport lost, nobody there | again, the first time at once |
/// | status 408, 425, 429 and 5xx | later |
/// | any other status; a bad URL or header | failed |
///
/// What 3000 to 4999 mean, only the application knows: give it a function of its own in
/// [`Policy::fate`] where some of them are final.
pub const fn default_fate(ending: Ending) -> Fate {
    match ending {
        Ending::Closed(Some(CloseCode::NORMAL)) => Fate::Done,
        Ending::Closed(Some(CloseCode::POLICY_VIOLATION)) | Ending::Impossible => Fate::Fail,
        Ending::Closed(Some(code)) if code.get() < 3000 => Fate::RetryLater,
        Ending::Closed(_) | Ending::Lost | Ending::Unreachable => Fate::Retry,
        Ending::Refused(408 | 425 | 429 | 500..) | Ending::Broken => Fate::RetryLater,
        Ending::Refused(_) => Fate::Fail,
    }
}

/// How to come back.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The first retry comes after a random time up to this. Default: zero, at once.
    pub first_delay_max: Duration,
    /// The second retry comes after a random time up to this; each further one up to twice as
    /// much as the one before ("full jitter"). Default: 0.5 s.
    pub base: Duration,
    /// ... but never more than this. Default: 30 s.
    pub cap: Duration,
    /// How many retries in a row without success before it is given up. Default: no end.
    pub retries_max: Option<u32>,
    /// A connection that held for so long is a success, and the next retry is a first one again.
    /// Else a server that takes everybody in and throws everybody out would be asked without a
    /// pause. Default: 5 s; zero counts every opening handshake.
    pub stable_after: Duration,
    /// What to do about an ending. Default: [`default_fate`].
    pub fate: fn(Ending) -> Fate,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            first_delay_max: Duration::ZERO,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            retries_max: None,
            stable_after: Duration::from_secs(5),
            fate: default_fate,
        }
    }
}

impl Policy {
    /// The RFC's own advice for clients that are many (section 7.2.3): the first retry after a
    /// random time of up to 5 s, so that a server that lost everybody is not stormed.
    pub fn rfc6455() -> Self {
        Self { first_delay_max: Duration::from_secs(5), ..Self::default() }
    }
}

/// The state of a connection that comes back.
///
/// Times are counted from any fixed moment, as long as it is always the same.
///
/// ```
/// use std::time::Duration;
/// use throng::client::{Ending, Event, Policy, Reconnect, State};
///
/// let (now, random) = (Duration::from_secs(100), u64::MAX);
/// let mut reconnect = Reconnect::new(Policy::default());
/// assert_eq!(reconnect.step(Event::Connect, now, random), State::Connecting);
/// assert_eq!(reconnect.step(Event::Ended(Ending::Unreachable), now, random), State::Waiting);
/// assert_eq!(reconnect.due(), Some(now)); // the first retry at once
/// assert_eq!(reconnect.step(Event::Tick, now, random), State::Connecting);
/// ```
#[derive(Clone, Debug)]
pub struct Reconnect {
    policy: Policy,
    state: State,
    /// Retries in a row without success.
    retries: u32,
    /// Those of them that had to wait: the exponent of the next wait.
    backoffs: u32,
    /// When the connection was opened, or the next attempt is due.
    at: Duration,
}

impl Reconnect {
    /// Disconnected.
    pub const fn new(policy: Policy) -> Self {
        let at = Duration::ZERO;
        Self { policy, state: State::Disconnected, retries: 0, backoffs: 0, at }
    }

    /// The state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// When the next attempt is due, while Waiting.
    pub const fn due(&self) -> Option<Duration> {
        match self.state {
            State::Waiting => Some(self.at),
            State::Disconnected
            | State::Connecting
            | State::Connected
            | State::Closing
            | State::Failed => None,
        }
    }

    /// How many retries there were since the last success.
    pub const fn retries(&self) -> u32 {
        self.retries
    }

    /// Takes an event, and gives the state after it. An event that means nothing in a state changes
    /// nothing. `random` is any number, fresh for each call.
    pub fn step(&mut self, event: Event, now: Duration, random: u64) -> State {
        self.state = match (self.state, event) {
            (State::Disconnected | State::Failed, Event::Connect) => {
                (self.retries, self.backoffs) = (0, 0);
                State::Connecting
            }
            (State::Waiting, Event::Connect) => State::Connecting,
            (State::Waiting, Event::Tick) if now >= self.at => State::Connecting,
            (State::Connecting, Event::Opened) => {
                self.at = now;
                State::Connected
            }
            (State::Connecting, Event::Ended(ending)) => self.after(ending, now, random),
            (State::Connected, Event::Ended(ending)) => {
                if now.saturating_sub(self.at) >= self.policy.stable_after {
                    (self.retries, self.backoffs) = (0, 0);
                }
                self.after(ending, now, random)
            }
            (State::Connected, Event::Close) => State::Closing,
            (State::Closing, Event::Ended(_)) => State::Disconnected,
            (
                State::Connecting | State::Waiting | State::Failed | State::Disconnected,
                Event::Close,
            ) => State::Disconnected,
            (
                State::Disconnected
                | State::Connected
                | State::Closing
                | State::Waiting
                | State::Failed,
                Event::Opened | Event::Ended(_),
            )
            | (State::Connecting | State::Connected | State::Closing, Event::Connect)
            | (State::Closing, Event::Close)
            | (_, Event::Tick) => self.state,
        };
        self.state
    }

    /// The state after an ending that the caller did not ask for.
    fn after(&mut self, ending: Ending, now: Duration, random: u64) -> State {
        let fate = (self.policy.fate)(ending);
        let at_once = match fate {
            Fate::Done => return State::Disconnected,
            Fate::Fail => return State::Failed,
            Fate::Retry => self.retries == 0,
            Fate::RetryLater => false,
        };
        if self.policy.retries_max.is_some_and(|most| self.retries >= most) {
            return State::Failed;
        }
        self.retries = self.retries.saturating_add(1);
        let most = if at_once { self.policy.first_delay_max } else { self.next_backoff() };
        self.at = now.saturating_add(fraction(most, random));
        State::Waiting
    }

    /// `base`, twice that, and so on, up to `cap`.
    fn next_backoff(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.backoffs).unwrap_or(u32::MAX);
        self.backoffs = self.backoffs.saturating_add(1);
        self.policy.base.saturating_mul(factor).min(self.policy.cap)
    }
}

/// The part of `most` that `random` is of 2^64, in whole nanoseconds.
fn fraction(most: Duration, random: u64) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(((u128::from(nanos) * u128::from(random)) >> 64) as u64)
}

#[cfg(test)]
#[path = "reconnect_tests.rs"]
mod tests;
