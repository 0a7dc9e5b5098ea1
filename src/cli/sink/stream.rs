//! A stream of a Redis: each event is an entry.
//!
//! Owns the connection and the command. Never reads the stream.

use std::fmt;
use std::time::Duration;

use redis::{Client, Connection, RedisError};
use throng::hub::sink::{Batch, Courier, Failure};

/// The other side of a stream.
pub struct Stream {
    client: Client,
    connection: Option<Connection>,
    name: String,
    /// How many entries it keeps, about.
    length: u64,
    timeout: Duration,
}

impl Stream {
    pub fn new(url: &str, name: &str, length: u64, timeout: Duration) -> Result<Self, String> {
        // What the crate says of a URL may repeat it, password and all.
        let client = Client::open(url).map_err(|_| "is no address of a Redis".to_owned())?;
        Ok(Self { client, connection: None, name: name.into(), length, timeout })
    }

    fn append(&mut self, batch: &Batch) -> Result<(), RedisError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let connection = self.client.get_connection_with_timeout(self.timeout)?;
                connection.set_read_timeout(Some(self.timeout))?;
                connection.set_write_timeout(Some(self.timeout))?;
                self.connection.insert(connection)
            }
        };
        // All or none, so that a try that fails leaves nothing behind, as far as that is known.
        let mut pipe = redis::pipe();
        pipe.atomic();
        for event in &batch.events {
            let command = pipe.cmd("XADD").arg(&self.name).arg("MAXLEN").arg("~").arg(self.length);
            let command = command.arg("*").arg("id").arg(&event.id);
            let command = command.arg("type").arg(event.kind.name()).arg("room").arg(&*event.room);
            command.arg("event").arg(&event.json).ignore();
        }
        pipe.query(connection)
    }
}

impl Courier for Stream {
    fn hand_over(&mut self, batch: &Batch) -> Result<(), Failure> {
        self.append(batch).map_err(|error| {
            self.connection = None; // what it would say next may belong to this
            let reason = match error.code() {
                Some(code) => format!("Redis says {code}"),
                None => format!("Redis cannot be used: {}", error.category()),
            };
            Failure::Later { reason, after: None }
        })
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}
