//! A client that stays connected.
//!
//! Owns a blocking client, the state machine that says when there has to be another, the clock and
//! the hooks. Never sends a message twice: what was on its way when a connection broke is lost, and
//! only the application knows what that means.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use super::arrivals::{Arrived, Incoming};
use super::deadline::Deadline;
use super::{Client, ClientError, Connect, Ending, Event, Policy, Reconnect, State, Step, masks};
use crate::frame::CloseCode;
use crate::proto::{Close, Message};

type BoxedError = Box<dyn Error + Send + Sync>;
type BeforeConnect = Box<dyn FnMut(Connect) -> Result<Connect, BoxedError> + Send>;
type AfterConnect = Box<dyn FnMut(&mut Client) -> Result<(), ClientError> + Send>;
type OnState = Box<dyn FnMut(State) + Send>;

/// A [`Client`] that connects again when it has to, while [`read`](Self::read) or
/// [`send`](Self::send) run.
///
/// ```no_run
/// use throng::client::{Connect, Incoming, ReconnectingClient};
/// use throng::proto::Message;
///
/// # fn fresh_token() -> std::io::Result<String> { Ok(String::new()) }
/// let mut client = ReconnectingClient::new(Connect::to("ws://127.0.0.1:8080/ws"))
///     .before_connect(|connect| {
///         Ok(connect.header("Authorization", format!("Bearer {}", fresh_token()?)))
///     })
///     .after_connect(|client| client.send(Message::text(r#"{"type":"join","room":"lobby"}"#)))
///     .on_state(|state| eprintln!("{state:?}"));
/// client.connect()?;
/// while let Incoming::Message(message) = client.read()? {
///     println!("{:?}", message.as_text());
/// }
/// # Ok::<(), throng::client::ClientError>(())
/// ```
pub struct ReconnectingClient {
    connect: Connect,
    machine: Reconnect,
    client: Option<Client>,
    started: Instant,
    before_connect: Option<BeforeConnect>,
    after_connect: Option<AfterConnect>,
    on_state: Option<OnState>,
}

impl ReconnectingClient {
    /// A client that is not connected yet: see [`connect`](Self::connect).
    pub fn new(connect: Connect) -> Self {
        Self {
            connect,
            machine: Reconnect::new(Policy::default()),
            client: None,
            started: Instant::now(),
            before_connect: None,
            after_connect: None,
            on_state: None,
        }
    }

    /// How to come back, and what is final.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.machine = Reconnect::new(policy);
        self
    }

    /// Called before each attempt with what [`new`](Self::new) was given, to authenticate: what it
    /// returns is connected with. An error counts as an attempt that failed.
    #[must_use]
    pub fn before_connect(
        mut self,
        hook: impl FnMut(Connect) -> Result<Connect, BoxedError> + Send + 'static,
    ) -> Self {
        self.before_connect = Some(Box::new(hook));
        self
    }

    /// Called with each new connection before anything else uses it, to join again what was left.
    /// An error counts as an attempt that failed.
    #[must_use]
    pub fn after_connect(
        mut self,
        hook: impl FnMut(&mut Client) -> Result<(), ClientError> + Send + 'static,
    ) -> Self {
        self.after_connect = Some(Box::new(hook));
        self
    }

    /// Called with each new state.
    #[must_use]
    pub fn on_state(mut self, hook: impl FnMut(State) + Send + 'static) -> Self {
        self.on_state = Some(Box::new(hook));
        self
    }

    /// The state.
    pub const fn state(&self) -> State {
        self.machine.state()
    }

    /// The connection, while there is one.
    pub const fn client(&mut self) -> Option<&mut Client> {
        self.client.as_mut()
    }

    /// Connects, and tries again as often as the policy says.
    ///
    /// # Errors
    ///
    /// The last attempt's, when it makes no sense to go on: the state is Failed.
    pub fn connect(&mut self) -> Result<(), ClientError> {
        self.step(Event::Connect);
        self.come_back(Deadline::after(None))
    }

    /// Sends a message, over a new connection where there is none.
    ///
    /// # Errors
    ///
    /// As [`Client::send`]; after [`ClientError::Lost`] nobody knows whether the server has got it,
    /// so it is not sent again, and the next call connects. [`ClientError::Closed`] while
    /// Disconnected, Closing or Failed.
    pub fn send(&mut self, message: Message<'_>) -> Result<(), ClientError> {
        self.come_back(Deadline::after(None))?;
        let client = self.client.as_mut().ok_or(ClientError::Closed)?;
        match client.send(message) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.ended_by(&error);
                Err(error)
            }
        }
    }

    /// Waits for what comes next, over as many connections as it takes. A Close shows only when it
    /// is the end: the state is then Disconnected or Failed.
    ///
    /// # Errors
    ///
    /// [`ClientError::Timeout`] after the read timeout, also while Waiting; the last attempt's
    /// error when it makes no sense to go on; [`ClientError::Closed`] while Disconnected or Failed.
    pub fn read(&mut self) -> Result<Incoming<'_>, ClientError> {
        let deadline = Deadline::after(self.connect.times().read);
        let arrived = loop {
            self.come_back(deadline)?;
            let client = self.client.as_mut().ok_or(ClientError::Closed)?;
            match client.next(deadline, Step::Read) {
                Ok(Arrived::Close(code)) => {
                    self.step(Event::Ended(Ending::Closed(code)));
                    if self.state() != State::Waiting {
                        break Arrived::Close(code);
                    }
                }
                Ok(arrived) => break arrived,
                Err(error) => {
                    let ended = self.ended_by(&error);
                    if !ended || self.state() != State::Waiting {
                        return Err(error);
                    }
                }
            }
        };
        let client = self.client.as_mut().ok_or(ClientError::Closed)?;
        Ok(client.lend(arrived))
    }

    /// Closes for good: see [`Client::close`].
    ///
    /// # Errors
    ///
    /// As [`Client::close`]; [`ClientError::Closed`] where there was no connection. The state is
    /// Disconnected in any case.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<Close<'_>, ClientError> {
        let was_connected = self.state() == State::Connected;
        self.step(Event::Close);
        if !was_connected {
            self.client = None;
            return Err(ClientError::Closed);
        }
        // The state changes when the connection has ended, so it is known only afterwards; and a
        // result that borrows the client must come last.
        if let Some(client) = &mut self.client
            && let Err(error) = client.close(code, reason)
        {
            self.client = None;
            self.step(Event::Ended(Ending::Lost));
            return Err(error);
        }
        self.step(Event::Ended(Ending::Closed(Some(code))));
        self.client.as_mut().ok_or(ClientError::Closed)?.close(code, reason)
    }

    /// Waits and connects until there is a connection, or no sense in trying.
    fn come_back(&mut self, deadline: Deadline) -> Result<(), ClientError> {
        loop {
            match self.state() {
                State::Connected => return Ok(()),
                State::Disconnected | State::Closing | State::Failed => {
                    return Err(ClientError::Closed);
                }
                State::Waiting => self.wait(deadline)?,
                State::Connecting => match self.attempt() {
                    Ok(client) => {
                        self.client = Some(client);
                        self.step(Event::Opened);
                    }
                    Err(error) => {
                        self.client = None;
                        self.step(Event::Ended(Ending::of(&error).unwrap_or(Ending::Lost)));
                        if self.state() != State::Waiting {
                            return Err(error);
                        }
                    }
                },
            }
        }
    }

    fn attempt(&mut self) -> Result<Client, ClientError> {
        let mut connect = self.connect.clone();
        if let Some(hook) = &mut self.before_connect {
            connect = hook(connect).map_err(ClientError::Hook)?;
        }
        let mut client = connect.open()?;
        if let Some(hook) = &mut self.after_connect {
            hook(&mut client)?;
        }
        Ok(client)
    }

    /// Sleeps until the next attempt is due, or the deadline has passed.
    fn wait(&mut self, deadline: Deadline) -> Result<(), ClientError> {
        let due = self.machine.due().unwrap_or_default();
        let until_due = due.saturating_sub(self.now());
        let left = deadline.left().map_err(|_| ClientError::Timeout(Step::Read))?;
        thread::sleep(left.map_or(until_due, |left| left.min(until_due)));
        self.step(Event::Tick);
        Ok(())
    }

    /// Takes note of an error that has ended the connection; `false` where it has not.
    fn ended_by(&mut self, error: &ClientError) -> bool {
        let Some(ending) = Ending::of(error) else { return false };
        self.client = None;
        self.step(Event::Ended(ending));
        true
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Moves the machine, and tells a new state.
    fn step(&mut self, event: Event) {
        let mut random = [0; 8];
        // Without randomness it waits for as long as it may.
        let random = masks::fill(&mut random).map_or(u64::MAX, |()| u64::from_ne_bytes(random));
        let (before, now) = (self.machine.state(), self.now());
        let state = self.machine.step(event, now, random);
        if let Some(hook) = &mut self.on_state
            && state != before
        {
            hook(state);
        }
    }
}

impl std::fmt::Debug for ReconnectingClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReconnectingClient")
            .field("connect", &self.connect)
            .field("machine", &self.machine)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}
