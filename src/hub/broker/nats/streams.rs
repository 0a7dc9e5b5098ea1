//! The streams in which NATS keeps things, and what is asked of them.
//!
//! Owns their configuration, how something is put into one and read from it, and what an error
//! means for the link. Never knows what it carries.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, push};
use async_nats::jetstream::context::{GetStreamErrorKind, PublishError, PublishErrorKind};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{
    Config, ConsumerErrorKind, LastRawMessageErrorKind, RawMessageError, Republish, Stream,
};
use async_nats::jetstream::{self, Context, ContextBuilder, ErrorCode};
use async_nats::{Client, Subscriber};
use futures_util::StreamExt;

use super::{ANSWER_TIMEOUT, names};
use crate::hub::broker::{BrokerError, MessageId, Place};

/// How much longer a room is known than its messages are kept: so long a room in which nothing is
/// said has its epoch. Its last message stands for it.
const HEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a field or a place is kept at most.
const FIELD_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// When a reader is gone by itself of which nobody has said so.
const READER_AGE: Duration = Duration::from_secs(10);

/// How many more than twice as many as there were are taken, where others write all the time.
const TABLE_SLACK: u64 = 64;

/// How long one more is waited for, where as many have come as there were.
const REST_PAUSE: Duration = Duration::from_millis(50);

/// How often a stream is looked for that another node may be making now.
const TRIES: usize = 3;

/// What all rooms together need to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    messages: i64,
    age: Duration,
    window: Duration,
}

/// The streams, over one connection.
pub(super) struct Streams {
    pub(super) client: Client,
    context: Context,
    pub(super) rooms: Stream<()>,
    pub(super) fields: Stream<()>,
    limits: Limits,
}

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It was refused, and has changed nothing.
    Refused(BrokerError),
    /// The same, and so will be all that follows on this link.
    Lasting(BrokerError),
    /// Nobody knows whether it was done.
    Broken(BrokerError),
}

/// What has become of a message.
pub(super) enum Stored {
    /// It is there, with this number in the stream.
    At(u64),
    /// It was there before.
    Before(u64),
    /// Another is the last of its subject than was thought.
    Conflict,
}

impl Limits {
    /// What is kept before anybody asks for more.
    const FEWEST: Self = Self {
        messages: 100,
        age: Duration::from_secs(60 * 60).saturating_add(HEAD),
        window: Duration::from_secs(2 * 60),
    };

    pub(super) fn of(place: Place<'_>, id: Option<MessageId<'_>>) -> Self {
        Self {
            messages: i64::try_from(place.keep.messages_max).unwrap_or(i64::MAX),
            // NATS counts nanoseconds in 63 bits.
            age: place.keep.age.saturating_add(HEAD).min(Duration::from_secs(1 << 33)),
            window: id.map_or(Duration::ZERO, |id| id.window),
        }
    }

    /// What a stream keeps; it may be that there is no limit.
    fn of_config(config: &Config) -> Self {
        let messages = config.max_messages_per_subject;
        Self {
            messages: if messages <= 0 { i64::MAX } else { messages },
            age: if config.max_age.is_zero() { Duration::MAX } else { config.max_age },
            window: config.duplicate_window,
        }
    }

    pub(super) fn max(self, other: Self) -> Self {
        let age = self.age.max(other.age);
        let window = self.window.max(other.window).min(age);
        Self { messages: self.messages.max(other.messages), age, window }
    }

    fn apply(self, config: &mut Config) {
        let is_endless = self.messages == i64::MAX;
        config.max_messages_per_subject = if is_endless { -1 } else { self.messages };
        config.max_age = if self.age == Duration::MAX { Duration::ZERO } else { self.age };
        config.duplicate_window = self.window;
    }
}

impl Streams {
    /// Finds the streams, or makes them.
    pub(super) async fn open(client: Client) -> Result<Self, BrokerError> {
        let context = ContextBuilder::new()
            .timeout(ANSWER_TIMEOUT)
            .ack_timeout(ANSWER_TIMEOUT)
            .backpressure_on_inflight(true)
            .build(client.clone());
        let limits = keep(&context, rooms_config(), Limits::FEWEST).await?;
        let fields = fields_config();
        let as_they_are = Limits::of_config(&fields);
        keep(&context, fields, as_they_are).await?;
        let handle = async |name| {
            let stream = context.get_stream_no_info(name).await;
            stream.map_err(|error| BrokerError(words(&error)))
        };
        let (rooms, fields) = (handle(names::ROOMS).await?, handle(names::FIELDS).await?);
        Ok(Self { client, context, rooms, fields, limits })
    }

    /// Has as much kept as that. What is kept already is never made less: other nodes may need it.
    pub(super) async fn grow(&mut self, wanted: Limits) -> Result<(), BrokerError> {
        let all = self.limits.max(wanted);
        if all != self.limits {
            self.limits = keep(&self.context, rooms_config(), all).await?;
        }
        Ok(())
    }

    /// Puts a message into the stream of this subject.
    pub(super) async fn put(
        &self,
        subject: String,
        message: PublishMessage,
    ) -> Result<Stored, Trouble> {
        let sent = async { self.context.send_publish(subject, message).await?.await };
        match sent.await {
            Ok(ack) if ack.duplicate => Ok(Stored::Before(ack.sequence)),
            Ok(ack) => Ok(Stored::At(ack.sequence)),
            Err(error) => match error.kind() {
                PublishErrorKind::WrongLastSequence => Ok(Stored::Conflict),
                _ => Err(of_publish(&error)),
            },
        }
    }

    /// The last message of a subject.
    pub(super) async fn last(
        &self,
        stream: &Stream<()>,
        subject: &str,
    ) -> Result<Option<StreamMessage>, Trouble> {
        found(stream.get_last_raw_message_by_subject(subject).await)
    }

    /// The message of this number.
    pub(super) async fn at(&self, sequence: u64) -> Result<Option<StreamMessage>, Trouble> {
        found(self.rooms.get_raw_message(sequence).await)
    }

    /// Takes all messages of these subjects that a stream has, up to this number; and when it has
    /// begun to, in nanoseconds since 1970 by the clock of NATS.
    pub(super) async fn deliver(
        &self,
        stream: &Stream<()>,
        subjects: String,
        until: u64,
        take: impl FnMut(jetstream::Message),
    ) -> Result<i128, Trouble> {
        let inbox = self.client.new_inbox();
        let subscriber = self.client.subscribe(inbox.clone()).await;
        let mut subscriber = subscriber.map_err(|error| Trouble::broken(&error))?;
        let reader: Consumer<push::Config> = stream
            .create_consumer(push::Config {
                deliver_subject: inbox,
                deliver_policy: DeliverPolicy::All,
                ack_policy: AckPolicy::None,
                filter_subject: subjects,
                memory_storage: true,
                num_replicas: 1,
                inactive_threshold: READER_AGE,
                ..push::Config::default()
            })
            .await
            .map_err(|error| match error.kind() {
                ConsumerErrorKind::JetStream(refusal) => Trouble::refused(&refusal),
                _ => Trouble::broken(&error),
            })?;
        let info = reader.cached_info();
        let begin_ns = info.created.unix_timestamp_nanos();
        let count = info.num_pending + info.delivered.consumer_sequence;
        if count > 0 {
            self.take_each(&mut subscriber, until, count, take).await?;
        }
        let gone = format!("$JS.API.CONSUMER.DELETE.{}.{}", info.stream_name, info.name);
        let told = self.client.publish(gone, Vec::new().into()).await;
        told.map_err(|error| Trouble::broken(&error))?;
        Ok(begin_ns)
    }

    async fn take_each(
        &self,
        subscriber: &mut Subscriber,
        until: u64,
        count: u64,
        mut take: impl FnMut(jetstream::Message),
    ) -> Result<(), Trouble> {
        let mut taken = 0;
        loop {
            // What was replaced meanwhile has come anew, and may count as pending for good.
            let has_all = taken >= count;
            let patience = if has_all { REST_PAUSE } else { ANSWER_TIMEOUT };
            let message = match tokio::time::timeout(patience, subscriber.next()).await {
                Ok(message) => message,
                Err(_) if has_all => return Ok(()),
                Err(error) => return Err(Trouble::broken(&error)),
            };
            let Some(message) = message else {
                return Err(Trouble::Broken(BrokerError("the connection is broken".into())));
            };
            let message = jetstream::Message { message, context: self.context.clone() };
            let Ok((sequence, pending)) =
                message.info().map(|info| (info.stream_sequence, info.pending))
            else {
                continue; // a word of the server about the delivery
            };
            if sequence <= until {
                take(message);
            }
            taken += 1;
            if pending == 0 || sequence >= until || taken > 2 * count + TABLE_SLACK {
                return Ok(());
            }
        }
    }
}

impl Trouble {
    fn refused(error: &jetstream::Error) -> Self {
        match error.error_code() {
            ErrorCode::STREAM_NOT_FOUND
            | ErrorCode::JETSTREAM_NOT_ENABLED
            | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT
            | ErrorCode::CLUSTER_NOT_AVAILABLE => Self::Lasting(BrokerError(words(error))),
            _ => Self::Refused(BrokerError(words(error))),
        }
    }

    pub(super) fn broken(error: &dyn std::error::Error) -> Self {
        Self::Broken(BrokerError(words(error)))
    }
}

/// What an error says, in one line.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    error.to_string().replace('\n', " ")
}

fn of_publish(error: &PublishError) -> Trouble {
    let words = BrokerError(words(error));
    match error.kind() {
        PublishErrorKind::StreamNotFound => Trouble::Lasting(words),
        PublishErrorKind::MaxAckPending | PublishErrorKind::MaxPayloadExceeded => {
            Trouble::Refused(words)
        }
        PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::WrongLastSequence
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::Other => {
            let source = std::error::Error::source(error);
            let refusal = source.and_then(|source| source.downcast_ref::<jetstream::Error>());
            refusal.map_or(Trouble::Broken(words), Trouble::refused)
        }
    }
}

fn found(result: Result<StreamMessage, RawMessageError>) -> Result<Option<StreamMessage>, Trouble> {
    match result {
        Ok(message) => Ok(Some(message)),
        Err(error) => match error.kind() {
            LastRawMessageErrorKind::NoMessageFound => Ok(None),
            LastRawMessageErrorKind::JetStream(refusal) => Err(Trouble::refused(&refusal)),
            LastRawMessageErrorKind::InvalidSubject => {
                Err(Trouble::Refused(BrokerError(words(&error))))
            }
            LastRawMessageErrorKind::Other => Err(Trouble::broken(&error)),
        },
    }
}

/// Finds a stream that keeps so much, or makes it, or has it keep more; and how much it keeps.
async fn keep(context: &Context, mut new: Config, wanted: Limits) -> Result<Limits, BrokerError> {
    wanted.apply(&mut new);
    let mut last = BrokerError(String::new());
    for _ in 0..TRIES {
        match context.get_stream(&new.name).await {
            Ok(stream) => {
                let mut config = stream.cached_info().config.clone();
                let has = Limits::of_config(&config);
                let all = has.max(wanted);
                if all != has {
                    all.apply(&mut config);
                    let updated = context.update_stream(config).await;
                    updated.map_err(|error| BrokerError(words(&error)))?;
                }
                return Ok(all);
            }
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(refusal)
                    if refusal.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
                _ => return Err(BrokerError(words(&error))),
            },
        }
        match context.create_stream(new.clone()).await {
            Ok(_) => return Ok(wanted),
            Err(error) => last = BrokerError(words(&error)), // another node may have made it
        }
    }
    Err(last)
}

fn rooms_config() -> Config {
    Config {
        name: names::ROOMS.into(),
        subjects: vec![names::ROOM_SUBJECTS.into()],
        republish: Some(Republish {
            source: names::ROOM_SUBJECTS.into(),
            destination: names::LIVE_SUBJECTS.into(),
            headers_only: false,
        }),
        num_replicas: 1,
        ..Config::default()
    }
}

fn fields_config() -> Config {
    Config {
        name: names::FIELDS.into(),
        subjects: names::FIELD_SUBJECTS.map(String::from).to_vec(),
        max_messages_per_subject: 1,
        max_age: FIELD_AGE,
        duplicate_window: Duration::from_secs(1),
        num_replicas: 1,
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stream_keeps_is_never_made_less() {
        let small = Limits { messages: 10, age: HEAD, window: Duration::from_secs(1) };
        assert_eq!(small.max(Limits::FEWEST), Limits::FEWEST);
        let mut config = rooms_config();
        Limits::FEWEST.apply(&mut config);
        assert_eq!(Limits::of_config(&config), Limits::FEWEST);
        // Who has no limit keeps none.
        (config.max_messages_per_subject, config.max_age) = (-1, Duration::ZERO);
        let endless = Limits::of_config(&config);
        assert_eq!(endless.max(Limits::FEWEST), endless);
        let mut same = config.clone();
        endless.apply(&mut same);
        assert_eq!(same, config);
    }
}
