//! The options of a node that is one of several.
//!
//! Owns their names and what they mean. Never speaks to the broker: the library's relay does.

use std::io;
use std::str::FromStr;

use clap::Args;
use throng::hub::broker::{
    Broker, Nats, NatsAddress, Node, Rabbit, RabbitAddress, Redis, RedisAddress, Relay, relay_bound,
};
use throng::hub::history::{History, KeeperLimits};
use throng::hub::overload::Bound;

use super::settings::Misfit;

/// Which other nodes there are, and how they are reached.
#[derive(Debug, Args)]
pub struct BrokerOptions {
    /// Redis (6.2 or later) or Valkey over which several nodes are one:
    /// redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or the master that sentinels watch:
    /// redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]..]/MASTER[/DATABASE]; rediss for
    /// TLS. It gives the messages of all rooms their order, and keeps them, of durable rooms too.
    #[arg(long, value_name = "URL", help_heading = "Several nodes")]
    redis: Option<String>,
    /// NATS (2.9 or later) with JetStream over which several nodes are one, in place of Redis:
    /// nats://[USER:PASSWORD@ or TOKEN@]HOST[:PORT], or tls:// for TLS.
    #[arg(long, value_name = "URL", help_heading = "Several nodes")]
    nats: Option<String>,
    /// RabbitMQ (3.10 or later) over which several nodes are one, in place of Redis:
    /// amqp://[USER:PASSWORD@]HOST[:PORT][/VHOST], or amqps:// for TLS.
    #[arg(long, value_name = "URL", help_heading = "Several nodes")]
    rabbitmq: Option<String>,
    /// What this node is called, for people. Default: the name of the host, and a number.
    #[arg(long, value_name = "NAME", help_heading = "Several nodes")]
    node: Option<String>,
}

impl BrokerOptions {
    /// What the way to the other nodes may take in memory.
    pub fn bound(&self, message_bytes_max: u64) -> Option<Bound> {
        let limits = KeeperLimits::default();
        let mut bound = self.is_wanted().then(|| relay_bound(&limits, message_bytes_max))?;
        if self.rabbitmq.is_some() {
            bound.bytes = bound.bytes.saturating_add(Rabbit::LOGS_BYTES_MAX);
        }
        Some(bound)
    }

    /// Whether this node is one of several.
    pub fn is_wanted(&self) -> bool {
        self.redis.is_some() || self.nats.is_some() || self.rabbitmq.is_some()
    }

    /// Whether what is said makes sense.
    ///
    /// # Errors
    /// It does not.
    pub fn check(&self) -> Result<(), Misfit> {
        self.address()?;
        let is_name =
            |name: &String| (1..=128).contains(&name.len()) && !name.chars().any(char::is_control);
        if self.node.as_ref().is_some_and(|name| !is_name(name)) {
            let wants = "needs a name of 1 to 128 bytes, without control characters";
            return Err(Misfit::new("node", wants));
        }
        Ok(())
    }

    /// The way to the other nodes, if there are any.
    ///
    /// # Errors
    /// The broker cannot be reached now.
    pub fn relay(&self, history: History) -> io::Result<Option<Relay>> {
        let address = self.address().map_err(|misfit| io::Error::other(misfit.words))?;
        let relay = match address {
            None => return Ok(None),
            Some(Address::Redis(address)) => {
                self.start(history, "redis", &address.to_string(), Redis::new(address))
            }
            Some(Address::Nats(address)) => {
                self.start(history, "nats", &address.to_string(), Nats::new(address))
            }
            Some(Address::Rabbit(address)) => {
                self.start(history, "rabbitmq", &address.to_string(), Rabbit::new(address))
            }
        };
        relay.map(Some)
    }

    /// Whether it is a Redis.
    pub const fn is_redis(&self) -> bool {
        self.redis.is_some()
    }

    /// Where the Redis is, if there is one.
    pub fn redis(&self) -> Option<RedisAddress> {
        self.redis.as_ref()?.parse().ok()
    }

    fn start(
        &self,
        history: History,
        flag: &str,
        address: &str,
        broker: impl Broker,
    ) -> io::Result<Relay> {
        let node = Node::new(&self.node.clone().unwrap_or_else(made_up));
        tracing::info!(node = node.name(), broker = flag, %address, "this node is one of several");
        let relay = Relay::start(node, history, KeeperLimits::default(), broker);
        relay.map_err(|error| {
            let advice = "start it, or see to the address, the password and the rights of";
            io::Error::other(format!("{error}; {advice} --{flag}"))
        })
    }

    fn address(&self) -> Result<Option<Address>, Misfit> {
        let urls = [("redis", &self.redis), ("nats", &self.nats), ("rabbitmq", &self.rabbitmq)];
        let mut given = urls.into_iter().filter(|(_, url)| url.is_some()).map(|(flag, _)| flag);
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            let words = format!("does not go together with --{first}: nodes have one broker");
            return Err(Misfit::new(second, words));
        }
        let redis = parsed("redis", self.redis.as_deref())?.map(Address::Redis);
        let nats = parsed("nats", self.nats.as_deref())?.map(Address::Nats);
        let rabbit = parsed("rabbitmq", self.rabbitmq.as_deref())?.map(Address::Rabbit);
        Ok(redis.or(nats).or(rabbit))
    }
}

/// Where the broker is, and which one.
enum Address {
    Redis(RedisAddress),
    Nats(NatsAddress),
    Rabbit(RabbitAddress),
}

fn parsed<T>(flag: &'static str, url: Option<&str>) -> Result<Option<T>, Misfit>
where
    T: FromStr<Err = String>,
{
    url.map(str::parse).transpose().map_err(|error| Misfit::new(flag, error))
}

/// A name for a node that was given none.
fn made_up() -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    let number = getrandom::u32().unwrap_or_else(|_| std::process::id());
    format!("{host}-{number:08x}")
}
