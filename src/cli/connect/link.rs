//! The connection, and the way back to it.
//!
//! Owns the client, the attempts to open one, each on a thread of its own, and when the next one is
//! due. Never shows anything.

use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use throng::client::{Client, ClientError, Connect, Ending, Event, Policy, Reconnect, State};

use super::input::Happening;

#[derive(Debug)]
pub struct Link {
    connect: Connect,
    machine: Reconnect,
    began: Instant,
    client: Option<Client>,
    happenings: Sender<Happening>,
}

impl Link {
    pub fn new(connect: Connect, policy: Policy, happenings: Sender<Happening>) -> Self {
        let machine = Reconnect::new(policy);
        Self { connect, machine, began: Instant::now(), client: None, happenings }
    }

    /// The connection, while there is one.
    pub const fn client(&mut self) -> Option<&mut Client> {
        self.client.as_mut()
    }

    /// Makes the first attempt. It ends with [`Happening::Opened`], as all do.
    pub fn start(&mut self) {
        self.step(Event::Connect);
    }

    /// Takes a connection that an attempt has opened.
    pub fn opened(&mut self, client: Client) {
        self.client = Some(client);
        self.step(Event::Opened);
    }

    /// The connection has ended, or an attempt. Says when there is another attempt.
    pub fn ended(&mut self, ending: Ending) -> Option<Duration> {
        self.client = None;
        self.step(Event::Ended(ending));
        self.due()
    }

    /// How long it is until the next attempt; `None` where there will be none.
    pub fn due(&self) -> Option<Duration> {
        self.machine.due().map(|due| due.saturating_sub(self.began.elapsed()))
    }

    /// How many attempts in a row have failed, and will be made up for.
    pub const fn retries(&self) -> u32 {
        self.machine.retries()
    }

    /// Makes the next attempt where it is due.
    pub fn tick(&mut self) {
        self.step(Event::Tick);
    }

    fn step(&mut self, event: Event) {
        let before = self.machine.state();
        // Without randomness it waits for as long as it may.
        let random = getrandom::u64().unwrap_or(u64::MAX);
        let state = self.machine.step(event, self.began.elapsed(), random);
        if state == State::Connecting && before != State::Connecting {
            self.attempt();
        }
    }

    fn attempt(&self) {
        let (connect, happenings) = (self.connect.clone(), self.happenings.clone());
        let attempt = move || {
            // Where nobody listens any more, the process ends.
            let _ = happenings.send(Happening::Opened(Box::new(connect.open())));
        };
        if let Err(error) = thread::Builder::new().name("opening".into()).spawn(attempt) {
            let failed = Err(ClientError::Lost(Some(error)));
            let _ = self.happenings.send(Happening::Opened(Box::new(failed)));
        }
    }
}
