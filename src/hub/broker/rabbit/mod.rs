//! RabbitMQ as the broker.
//!
//! Owns how a link is opened: one connection, and what nodes need of exchanges, streams and queues.
//! Runs on the thread of the relay, with a runtime of its own that works only while the thread
//! waits for it; never on a loop.
//!
//! RabbitMQ gives no offsets and compares nothing before it writes. But its streams are logs: what
//! is written stands in one order, and is read by everybody in that order. So all nodes write what
//! they want done into a log, all read all of it, and each comes to the same: the place of a
//! message follows from what stands before it. Nobody is elected, and what was written before a
//! node died is carried out all the same. The client is written here ([`frames`], [`methods`],
//! [`wire`]): it is a dozen methods, and takes only what it can hold.

mod address;
mod clock;
mod entry;
mod fields;
mod frames;
mod link;
mod live;
mod logs;
mod methods;
mod rooms;
#[cfg(test)]
mod rooms_tests;
mod session;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::Notify;

pub use self::address::RabbitAddress;

use self::link::RabbitLink;
use self::logs::Logs;
use self::session::{Fault, Session};
use super::{Broker, BrokerError, Waker};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long nothing may come while something is waited for; then the link is taken for broken.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A RabbitMQ of version 3.10 or later as the broker.
#[derive(Debug)]
pub struct Rabbit {
    address: RabbitAddress,
    notify: Arc<Notify>,
    /// What is known of the logs, while there is no link.
    logs: Arc<Mutex<Option<Logs>>>,
}

impl Rabbit {
    /// What a node knows of the logs takes so much in memory at most, in bytes, about.
    pub const LOGS_BYTES_MAX: u64 = logs::BYTES_MAX;

    /// The server at this address.
    pub fn new(address: RabbitAddress) -> Self {
        let logs = Arc::new(Mutex::new(Some(Logs::new())));
        Self { address, notify: Arc::default(), logs }
    }

    fn open(&self) -> Result<RabbitLink, Fault> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| BrokerError(error.to_string()))?;
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner).take();
        let logs = logs.unwrap_or_else(Logs::new);
        let session = runtime.block_on(async {
            let socket = tokio::time::timeout(CONNECT_TIMEOUT, self.address.connect()).await;
            let late = |_| Err(std::io::ErrorKind::TimedOut.into());
            match socket.unwrap_or_else(late) {
                Ok(socket) => Ok(Session::new(socket, logs, Arc::clone(&self.logs))),
                Err(error) => Err((error, logs)),
            }
        });
        let mut session = session.map_err(|(error, logs)| {
            *self.logs.lock().unwrap_or_else(PoisonError::into_inner) = Some(logs);
            BrokerError(error.to_string())
        })?;
        runtime.block_on(session.open(&self.address))?;
        Ok(RabbitLink::new(runtime, session, Arc::clone(&self.notify)))
    }
}

impl Broker for Rabbit {
    type Link = RabbitLink;

    fn connect(&mut self) -> Result<RabbitLink, BrokerError> {
        let opened = match self.open() {
            Err(Fault::OtherLog) => {
                tracing::warn!("RabbitMQ has other logs than before: they are read anew");
                self.open()
            }
            opened => opened,
        };
        opened.map_err(|fault| {
            let words = match fault {
                Fault::Broken(error) => error.0,
                Fault::OtherLog => "its logs change all the time".into(),
            };
            BrokerError(format!("RabbitMQ at {}: {words}", self.address))
        })
    }

    fn waker(&self) -> Waker {
        let notify = Arc::clone(&self.notify);
        Waker::new(move || notify.notify_one())
    }
}
