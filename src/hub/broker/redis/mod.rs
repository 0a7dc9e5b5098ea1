//! Redis as the broker.
//!
//! Owns how a link is opened: one connection for all (RESP3), so that what comes by itself and the
//! answers stand in one order. Runs on the thread of the relay, with a runtime of its own that
//! works only while the thread waits for it.

mod address;
mod batch;
mod keys;
mod link;
mod script;
mod sentinels;

use std::sync::Arc;
use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, ProtocolVersion, RedisError};
use tokio::runtime;
use tokio::sync::{Notify, mpsc};

pub use self::address::RedisAddress;
use self::keys::Names;
use self::link::RedisLink;
use super::inbox::Inbox;
use super::{Broker, BrokerError, Waker};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an answer may take; then the link is taken for broken.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A Redis of version 6.2 or later, or a Valkey, as the broker.
#[derive(Debug)]
pub struct Redis {
    address: RedisAddress,
    notify: Arc<Notify>,
}

impl Redis {
    /// The Redis at this address.
    pub fn new(address: RedisAddress) -> Self {
        Self { address, notify: Arc::default() }
    }

    fn fault(&self, error: &RedisError) -> BrokerError {
        BrokerError(format!("Redis at {}: {error}", self.address))
    }
}

impl Broker for Redis {
    type Link = RedisLink;

    fn connect(&mut self) -> Result<RedisLink, BrokerError> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| BrokerError(error.to_string()))?;
        let info = self.address.server()?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = info.set_redis_settings(settings);
        let names = Names::new(self.address.database());
        let (inbox, (sender, pushes)) = (Arc::<Inbox>::default(), mpsc::unbounded_channel());
        let taken = Arc::clone(&inbox);
        // What there is no room for is gone, and the link with it.
        let push = move |push| {
            let has_room = taken.add(link::bytes(&push));
            if has_room { sender.send(push).map_err(drop) } else { Err(()) }
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT))
            .set_push_sender(push);
        let connection = runtime.block_on(async {
            let client = Client::open(info)?;
            client.get_multiplexed_async_connection_with_config(&config).await
        });
        let connection = connection.map_err(|error| self.fault(&error))?;
        let notify = Arc::clone(&self.notify);
        let mut link = RedisLink::new(runtime, connection, pushes, inbox, notify, names);
        link.load_scripts().map_err(|error| self.fault(&error))?;
        Ok(link)
    }

    fn waker(&self) -> Waker {
        let notify = Arc::clone(&self.notify);
        Waker::new(move || notify.notify_one())
    }
}
