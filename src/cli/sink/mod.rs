//! The options of the sink: to whom what happens in rooms is handed.
//!
//! Owns their names, units and defaults, and the two ways there are: a webhook and a Redis stream.
//! Never keeps an event: the library's outbox does.

mod address;
mod signature;
mod stream;
mod webhook;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use throng::hub::auth::Pattern;
use throng::hub::history::Keeper;
use throng::hub::sink::{EventKind, Held, Limits, Rules, Sink};

use self::address::Address;
use self::signature::Secret;
use self::stream::Stream;
use self::webhook::Webhook;
use super::options::seconds;
use super::settings::Misfit;

/// What is handed to another service.
#[derive(Debug, Args)]
pub struct SinkOptions {
    /// Service that is told what happens in rooms: http://.. or https://.. gets POST requests,
    /// redis://HOST/STREAM or rediss://HOST/STREAM entries of that stream.
    #[arg(long, value_name = "URL", help_heading = "Sink", value_parser = Address::parse)]
    sink: Option<Address>,
    /// Rooms of which it is told: a name, or a pattern such as orders.*; all, where none is given.
    /// May be given more than once.
    #[arg(long, value_name = "PATTERN", help_heading = "Sink", value_parser = Pattern::new)]
    sink_room: Vec<Pattern>,
    /// What it is told: join, leave, message.
    #[arg(long, value_name = "EVENTS", help_heading = "Sink", value_delimiter = ',',
          default_values = ["join", "leave", "message"], value_parser = kind())]
    sink_events: Vec<EventKind>,
    /// File with the secret that requests are signed with, at least 24 bytes: whsec_ and base64, or
    /// any; a line end behind them does not count.
    #[arg(long, value_name = "FILE", help_heading = "Sink")]
    sink_secret_file: Option<PathBuf>,
    /// How long an answer is waited for, in seconds.
    #[arg(long, value_name = "S", help_heading = "Sink", default_value = "10",
          value_parser = seconds)]
    sink_timeout: Duration,
    /// The longest pause between two tries, in seconds.
    #[arg(long, value_name = "S", help_heading = "Sink", default_value = "60",
          value_parser = seconds)]
    sink_pause: Duration,
    /// How often an event is tried alone that the service does not want; then it is let go.
    #[arg(long, value_name = "N", help_heading = "Sink", default_value_t = 5,
          value_parser = 1..=1000)]
    sink_tries: i64,
    /// Most events in one request, or one round trip to Redis.
    #[arg(long, value_name = "N", help_heading = "Sink", default_value_t = 100,
          value_parser = 1..=10_000)]
    sink_batch: i64,
    /// Most events that wait for the service, in the file of history. Past it the oldest are
    /// dropped; messages of durable rooms are not: who publishes more gets the error `sink_full`.
    #[arg(long, value_name = "N", help_heading = "Sink", default_value_t = 100_000,
          value_parser = 1..=100_000_000)]
    sink_waiting: i64,
    /// What they take at most, in bytes.
    #[arg(long, value_name = "BYTES", help_heading = "Sink", default_value_t = 64 << 20,
          value_parser = 1024..=1 << 40)]
    sink_waiting_bytes: i64,
    /// How many entries the Redis stream keeps, about; older ones go.
    #[arg(long, value_name = "N", help_heading = "Sink", default_value_t = 1_000_000,
          value_parser = 1..=1_000_000_000)]
    sink_stream_length: i64,
}

/// A sink that can be started.
#[derive(Debug)]
pub struct Setup {
    rules: Rules,
    limits: Limits,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Webhook(Box<Webhook>),
    Stream(Box<Stream>),
}

impl SinkOptions {
    /// Whether there is one.
    pub const fn is_wanted(&self) -> bool {
        self.sink.is_some()
    }

    /// What the options come to; `None` where no sink is asked for.
    ///
    /// # Errors
    /// They do not go together, or name what cannot be used.
    pub fn setup(&self, has_file: bool) -> Result<Option<Setup>, Misfit> {
        let Some(address) = &self.sink else {
            let orphan = (!self.sink_room.is_empty())
                .then_some("sink_room")
                .or(self.sink_secret_file.as_ref().map(|_| "sink_secret_file"));
            return orphan.map_or(Ok(None), |key| Err(Misfit::new(key, "needs --sink")));
        };
        if !has_file {
            return Err(Misfit::new("sink", "needs a --history-db: what waits is kept there"));
        }
        let secret = self.sink_secret_file.as_deref().map(Secret::read).transpose();
        let secret = secret.map_err(|words| Misfit::new("sink_secret_file", words))?;
        let way = match address {
            Address::Webhook(url) => {
                Way::Webhook(Webhook::new(url, secret, self.sink_timeout).into())
            }
            Address::Stream { .. } if secret.is_some() => {
                let words = "is for a webhook: entries of a stream are not signed";
                return Err(Misfit::new("sink_secret_file", words));
            }
            Address::Stream { url, stream } => {
                let length = self.sink_stream_length.unsigned_abs();
                let stream = Stream::new(url, stream, length, self.sink_timeout);
                Way::Stream(Box::new(stream.map_err(|words| Misfit::new("sink", words))?))
            }
        };
        Ok(Some(Setup { rules: self.rules(), limits: self.limits(), way }))
    }

    fn rules(&self) -> Rules {
        Rules { rooms: self.sink_room.clone(), kinds: self.sink_events.clone() }
    }

    fn limits(&self) -> Limits {
        Limits {
            outbox_max: Held {
                events: self.sink_waiting.unsigned_abs(),
                bytes: self.sink_waiting_bytes.unsigned_abs(),
            },
            batch_max: self.sink_batch as usize,
            tries_max: self.sink_tries as u32,
            pause_max: self.sink_pause,
        }
    }
}

impl Setup {
    /// Starts it.
    ///
    /// # Errors
    /// The system has no thread.
    pub fn start(self, keeper: &Keeper) -> io::Result<Sink> {
        match self.way {
            Way::Webhook(webhook) => Sink::start(keeper, self.rules, self.limits, *webhook),
            Way::Stream(stream) => Sink::start(keeper, self.rules, self.limits, *stream),
        }
    }
}

fn kind() -> impl TypedValueParser<Value = EventKind> {
    let names = EventKind::ALL.map(EventKind::name);
    PossibleValuesParser::new(names).map(|name| {
        let named = EventKind::ALL.into_iter().find(|kind| kind.name() == name);
        named.unwrap_or(EventKind::Message) // the parser knows no other name
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: SinkOptions,
    }

    fn options(flags: &str) -> SinkOptions {
        let line = Line::try_parse_from(["throng"].into_iter().chain(flags.split_whitespace()));
        line.unwrap_or_else(|error| panic!("{error}")).options
    }

    #[test]
    fn flags_become_rules_and_limits() {
        let options = options("--sink http://a/b --sink-room a.* --sink-events join,message");
        let (rules, limits) = (options.rules(), options.limits());
        assert!(rules.wants(EventKind::Join, "a.1") && !rules.wants(EventKind::Leave, "a.1"));
        assert!(!rules.wants(EventKind::Join, "b"));
        assert_eq!(limits, Limits::default());
        assert!(options.setup(true).is_ok_and(|setup| setup.is_some()));
    }

    #[test]
    fn what_does_not_go_together_is_said() {
        let fault = |flags, has_file| options(flags).setup(has_file).expect_err(flags).key;
        assert_eq!(fault("--sink http://a", false), "sink");
        assert_eq!(fault("--sink-room a", true), "sink_room");
        assert_eq!(fault("--sink http://a --sink-secret-file /nowhere", true), "sink_secret_file");
        assert!(options("").setup(false).is_ok_and(|setup| setup.is_none()));
        assert!(Line::try_parse_from(["throng", "--sink-events", "shout"]).is_err());
    }
}
