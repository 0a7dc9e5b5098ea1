//! NATS with JetStream as the broker.
//!
//! Owns the address, and how a link is opened. Runs on the thread of the relay, with a runtime of
//! its own that works only while the thread waits for it. The client does not connect again by
//! itself: the relay knows when.
//!
//! A message is published on the subject of its room, with its place in a header, on the condition
//! that the last of that subject is the one that this node knows: so one of two nodes is first, and
//! the other learns of it and tries again. What the stream has taken, and nothing else, it passes
//! on, and that is what nodes subscribe to.

mod arrivals;
mod link;
mod names;
mod rooms;
mod streams;
mod tables;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{ConnectOptions, Event, ServerAddr};
use percent_encoding::percent_decode_str;
use tokio::runtime;
use tokio::sync::{Notify, mpsc};

use self::arrivals::{Arrival, Door};
use self::link::{NatsLink, Session};
use self::streams::Streams;
use super::{Broker, BrokerError, Waker};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an answer may take; then the link is taken for broken.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// As good as never: how long the client may wait before it connects or asks by itself.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// Where a NATS server is: `nats://[USER:PASSWORD@ or TOKEN@]HOST[:PORT]`, or `tls://`. Shown
/// without password and token.
///
/// ```
/// use throng::hub::broker::NatsAddress;
///
/// let address: NatsAddress = "nats://ann:secret@127.0.0.1".parse()?;
/// assert_eq!(address.to_string(), "127.0.0.1:4222");
/// assert!("127.0.0.1:4222".parse::<NatsAddress>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone)]
pub struct NatsAddress {
    /// Without what nobody is to see.
    server: ServerAddr,
    login: Login,
}

#[derive(Clone)]
enum Login {
    Nobody,
    User(String, String),
    Token(String),
}

/// A NATS server of version 2.9 or later, with JetStream, as the broker.
#[derive(Debug)]
pub struct Nats {
    address: NatsAddress,
    notify: Arc<Notify>,
}

impl Nats {
    /// The server at this address.
    pub fn new(address: NatsAddress) -> Self {
        Self { address, notify: Arc::default() }
    }
}

impl Broker for Nats {
    type Link = NatsLink;

    fn connect(&mut self) -> Result<NatsLink, BrokerError> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| BrokerError(error.to_string()))?;
        let (sender, arrivals) = mpsc::unbounded_channel();
        let door = Door::new(sender);
        let opened = runtime.block_on(async {
            let client = self.address.options(&door).connect(&self.address.server).await;
            let client = client.map_err(|error| self.address.fault(&error))?;
            let streams = Streams::open(client.clone()).await;
            let streams = streams.map_err(|error| self.address.fault(&error))?;
            let subject = client.new_inbox();
            let echo = client.subscribe(subject.clone()).await;
            Ok((streams, (echo.map_err(|error| self.address.fault(&error))?, subject)))
        });
        let (streams, echo) = opened?;
        let notify = Arc::clone(&self.notify);
        Ok(NatsLink::new(runtime, Session::new(streams, echo, (door, arrivals), notify)))
    }

    fn waker(&self) -> Waker {
        let notify = Arc::clone(&self.notify);
        Waker::new(move || notify.notify_one())
    }
}

impl NatsAddress {
    fn options(&self, door: &Door) -> ConnectOptions {
        let options = match &self.login {
            Login::Nobody => ConnectOptions::new(),
            Login::User(name, password) => {
                ConnectOptions::with_user_and_password(name.clone(), password.clone())
            }
            Login::Token(token) => ConnectOptions::with_token(token.clone()),
        };
        let has_begun = Arc::new(AtomicBool::new(false));
        let door = door.clone();
        options
            .name("throng")
            .ignore_discovered_servers()
            .connection_timeout(CONNECT_TIMEOUT)
            .request_timeout(Some(ANSWER_TIMEOUT))
            // A thread that was busy has not read the answers yet: the link asks when it listens.
            .ping_interval(NEVER)
            .reconnect_delay_callback(move |_| {
                if has_begun.swap(true, Ordering::Relaxed) { NEVER } else { Duration::ZERO }
            })
            .event_callback(move |event| {
                match event {
                    Event::Disconnected | Event::Closed => {
                        door.put(Arrival::Gone);
                    }
                    Event::ServerError(_) | Event::SlowConsumer(_) => {
                        tracing::warn!(%event, "NATS tells of trouble");
                    }
                    Event::Connected
                    | Event::LameDuckMode
                    | Event::Draining
                    | Event::ClientError(_) => {}
                }
                std::future::ready(())
            })
    }

    fn fault(&self, error: &dyn std::error::Error) -> BrokerError {
        BrokerError(format!("NATS at {self}: {}", streams::words(error)))
    }
}

impl FromStr for NatsAddress {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let wanted = "this is not nats://[USER:PASSWORD@ or TOKEN@]HOST[:PORT], or tls://";
        let is_url = url.starts_with("nats://") || url.starts_with("tls://");
        // The fault of the library could show the password.
        let server = url.parse::<ServerAddr>().ok().filter(|_| is_url).ok_or(wanted)?;
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let login = match (server.username(), server.password()) {
            (Some(name), Some(password)) => Login::User(plain(name), plain(password)),
            (Some(token), None) => Login::Token(plain(token)),
            (None, Some(_)) => return Err(wanted.into()),
            (None, None) => Login::Nobody,
        };
        let mut url = server.into_inner();
        let has_path = !matches!(url.path(), "" | "/") || url.query().is_some();
        let is_clean = url.set_username("").and_then(|()| url.set_password(None)).is_ok();
        if has_path || !is_clean || url.host_str().is_none_or(str::is_empty) {
            return Err(wanted.into());
        }
        let server = ServerAddr::from_url(url).map_err(|_| wanted)?;
        Ok(Self { server, login })
    }
}

impl fmt::Display for NatsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.server.host(), self.server.port())
    }
}

impl fmt::Debug for NatsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NatsAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_hides_its_password() {
        for url in ["tls://ann:hush@example.com:7000", "nats://hush@example.com"] {
            let address: NatsAddress = url.parse().unwrap();
            let shown = format!("{address} {address:?} {:?}", address.server);
            assert!(!shown.contains("hush"), "{shown}");
        }
        let bad = [
            "",
            "example.com",
            "http://example.com",
            "nats://",
            "nats://:hush@h",
            "nats://hush@h/x",
        ];
        for bad in bad {
            let error = bad.parse::<NatsAddress>().map(|_| ()).unwrap_err();
            assert!(!error.contains("hush"), "{bad}: {error}");
        }
    }

    #[test]
    fn what_is_escaped_in_a_password_is_not_part_of_it() {
        let address: NatsAddress = "nats://a%40b:c%2Fd@h".parse().unwrap();
        assert!(matches!(address.login, Login::User(name, word) if name == "a@b" && word == "c/d"));
    }
}
