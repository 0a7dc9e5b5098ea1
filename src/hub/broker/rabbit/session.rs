//! What goes on over one connection.
//!
//! Owns how it begins: who this is, which exchanges and streams there have to be, and that the logs
//! are read up to their end. And what becomes of what comes: entries of the logs, and what is said.
//! Never decides what an entry comes to.

use std::collections::{HashSet, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::address::RabbitAddress;
use super::entry::{Head, Kind};
use super::frames::Value;
use super::live;
use super::logs::{Log, Logs};
use super::methods::{self, Done};
use super::rooms::Outcome;
use super::wire::{Event, Socket, Wire};
use crate::hub::broker::{BrokerError, Channel, LINK_BYTES_MAX, News};

/// Where entries of the logs are put in.
const LOG: &str = "throng";

/// Where is said what is kept nowhere.
pub(super) const LIVE: &str = "throng.live";

/// How long an answer may take while a connection begins: a server that has just been started makes
/// streams slowly.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the entry that was read last may take to come again, by which it is seen that a log is
/// the same.
const RESUME_TIMEOUT: Duration = Duration::from_secs(2);

/// How many messages may come of each queue before it is said that they were taken.
const PREFETCH: u16 = 256;

/// What a stream of rooms keeps, in bytes: more than enough for what nodes have in memory.
const ROOMS_LOG_BYTES: i64 = 256 << 20;

/// What the other keeps; and for how long: twice as long as any lease.
const FIELDS_LOG_BYTES: i64 = 64 << 20;
const FIELDS_LOG_AGE: &str = "1h";

/// Why a connection does not begin.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is broken, or was refused.
    Broken(BrokerError),
    /// A log is not the one that was read before.
    OtherLog,
}

/// Who waits for entries of this node.
pub(super) trait Watch {
    /// This one has come back, and is carried out now.
    fn before(&mut self, logs: &Logs, number: u64);

    /// That is what has become of it; or it was refused, and why.
    fn after(&mut self, logs: &Logs, number: u64, outcome: Result<Outcome, String>);
}

/// One connection, and what is known over it.
pub(super) struct Session {
    pub(super) wire: Wire,
    pub(super) logs: Logs,
    /// Where they go when this ends.
    shelf: Arc<Mutex<Option<Logs>>>,
    /// The logs that go on where they were, if their next entry is the last that was read.
    resumed: Vec<Log>,
    /// The queue of this node.
    pub(super) queue: String,
    pub(super) followed: HashSet<Arc<str>>,
    /// The entries of this node that have not come back.
    owed: VecDeque<u64>,
    /// How often it has said something to itself, and not heard it.
    echoes: usize,
    pub(super) heard: Instant,
}

impl From<BrokerError> for Fault {
    fn from(error: BrokerError) -> Self {
        Self::Broken(error)
    }
}

impl Session {
    pub(super) fn new(
        socket: Box<dyn Socket>,
        logs: Logs,
        shelf: Arc<Mutex<Option<Logs>>>,
    ) -> Self {
        Self {
            wire: Wire::new(socket),
            logs,
            shelf,
            resumed: Vec::new(),
            queue: String::new(),
            followed: HashSet::new(),
            owed: VecDeque::new(),
            echoes: 0,
            heard: Instant::now(),
        }
    }

    /// Begins, and reads the logs up to their end.
    pub(super) async fn open(&mut self, address: &RabbitAddress) -> Result<(), Fault> {
        match self.hear().await? {
            Event::Start { has_plain: true } => {}
            Event::Start { has_plain: false } => {
                return Err(BrokerError("it takes no login by PLAIN".into()).into());
            }
            other => return Err(unexpected(&other).into()),
        }
        methods::start_ok(self.wire.out(), &address.user, &address.password);
        match self.hear().await? {
            Event::Tune { frame_max } => self.wire.tune(frame_max),
            other => return Err(unexpected(&other).into()),
        }
        methods::open(self.wire.out(), &address.vhost);
        self.hear_done(Done::Open).await?;
        methods::open_channel(self.wire.out());
        self.hear_done(Done::Channel).await?;
        for exchange in [LOG, LIVE] {
            methods::declare_exchange(self.wire.out(), exchange);
            self.hear_done(Done::Exchange).await?;
        }
        for log in Log::BOTH {
            self.find(log).await?;
        }
        methods::prefetch(self.wire.out(), PREFETCH);
        self.hear_done(Done::Prefetch).await?;
        methods::declare_own(
            self.wire.out(),
            &[("x-max-length-bytes", Value::Number(LINK_BYTES_MAX as i64))],
        );
        match self.hear().await? {
            Event::QueueIs(name) => self.queue = name,
            other => return Err(unexpected(&other).into()),
        }
        methods::consume(self.wire.out(), &self.queue, LIVE, &[]);
        self.hear_done(Done::Consume).await?;
        self.read_logs().await
    }

    /// Sees to it that there is a stream. One that is there may have been made otherwise.
    async fn find(&mut self, log: Log) -> Result<(), BrokerError> {
        let (stream, key) = log.names();
        methods::find_queue(self.wire.out(), stream);
        match self.hear().await? {
            Event::QueueIs(_) => {}
            Event::ChannelClosed { code: 404, .. } => {
                methods::channel_closed(self.wire.out());
                methods::open_channel(self.wire.out());
                self.hear_done(Done::Channel).await?;
                methods::declare_queue(self.wire.out(), stream, &arguments(log));
                match self.hear().await? {
                    Event::QueueIs(_) => {}
                    other => return Err(unexpected(&other)),
                }
            }
            other => return Err(unexpected(&other)),
        }
        methods::bind(self.wire.out(), stream, LOG, key);
        Ok(())
    }

    /// Reads on where the logs were read to, up to what is written there now.
    async fn read_logs(&mut self) -> Result<(), Fault> {
        for log in Log::BOTH {
            let from = match self.logs.last(log) {
                Some(number) => Value::Number(number as i64),
                None => Value::Text("first"),
            };
            self.resumed.extend(self.logs.last(log).map(|_| log));
            let (stream, _) = log.names();
            methods::consume(self.wire.out(), stream, stream, &[("x-stream-offset", from)]);
        }
        for log in Log::BOTH {
            let look = Head::look(self.logs.stamp(log));
            self.write(log, &look, b"")?;
        }
        self.say_to_itself();
        let mut news = Vec::new(); // nobody follows anything yet
        while !self.is_settled() {
            if let Some(event) = self.wire.next()? {
                match event {
                    Event::Done(Done::Consume) => {}
                    event => self.take(event, &mut news, &mut ())?,
                }
                continue;
            }
            let turned = if self.resumed.is_empty() {
                self.turn(BEGIN_TIMEOUT).await
            } else {
                self.turn(RESUME_TIMEOUT).await
            };
            if let Err(error) = turned {
                // Of a log that is shorter now, nothing comes before it is as long again.
                return Err(self.give_up_resuming().unwrap_or(Fault::Broken(error)));
            }
        }
        Ok(())
    }

    /// What was read before is of no use, where it was to go on.
    fn give_up_resuming(&mut self) -> Option<Fault> {
        let was_resumed = !self.resumed.is_empty();
        was_resumed.then(|| {
            self.logs.forget();
            Fault::OtherLog
        })
    }

    /// The next that comes while a connection begins.
    async fn hear(&mut self) -> Result<Event, BrokerError> {
        loop {
            if let Some(event) = self.wire.next()? {
                return Ok(event);
            }
            self.turn(BEGIN_TIMEOUT).await?;
        }
    }

    async fn hear_done(&mut self, wanted: Done) -> Result<(), BrokerError> {
        match self.hear().await? {
            Event::Done(done) if done == wanted => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Sends and takes until something comes; it must within this time.
    pub(super) async fn turn(&mut self, within: Duration) -> Result<(), BrokerError> {
        let gone = |_| Err(BrokerError("it does not answer".into()));
        timeout(within, self.wire.turn()).await.unwrap_or_else(gone)?;
        self.heard = Instant::now();
        Ok(())
    }

    /// Puts an entry into a log; it comes back at its place.
    pub(super) fn write(
        &mut self,
        log: Log,
        head: &Head<'_>,
        body: &[u8],
    ) -> Result<(), BrokerError> {
        let (_, key) = log.names();
        self.wire.publish((LOG, key), true, &head.write(body)?);
        self.owed.push_back(head.stamp.number);
        Ok(())
    }

    /// Says something to itself: when it is heard, all that was sent before was done.
    pub(super) fn say_to_itself(&mut self) {
        self.wire.publish(("", &self.queue), false, b"");
        self.echoes += 1;
    }

    /// Whether all has come that this node waits for.
    pub(super) fn is_settled(&self) -> bool {
        self.owed.is_empty() && self.echoes == 0
    }

    /// Takes something that has come.
    pub(super) fn take(
        &mut self,
        event: Event,
        news: &mut Vec<News>,
        watch: &mut dyn Watch,
    ) -> Result<(), Fault> {
        match event {
            Event::Message { consumer, number, body } => {
                let log = Log::BOTH.into_iter().find(|log| log.names().0 == consumer);
                match (log, number) {
                    (Some(log), Some(number)) => self.take_entry(log, number, &body, news, watch),
                    (Some(_), None) => Err(BrokerError("a stream is no stream".into()).into()),
                    (None, _) => {
                        self.take_said(&body, news);
                        Ok(())
                    }
                }
            }
            Event::Returned { words, body } => {
                let number = Head::read(&body).map(|(head, _)| head.stamp.number);
                if let Some(number) = number
                    && self.is_paid(number)
                {
                    watch.after(&self.logs, number, Err(words));
                }
                Ok(())
            }
            Event::Done(Done::Unbind) => Ok(()),
            other @ (Event::Start { .. }
            | Event::Tune { .. }
            | Event::Done(_)
            | Event::QueueIs(_)
            | Event::ChannelClosed { .. }) => Err(unexpected(&other).into()),
        }
    }

    fn take_said(&mut self, said: &[u8], news: &mut Vec<News>) {
        if said.is_empty() {
            self.echoes = self.echoes.saturating_sub(1);
            return;
        }
        match live::read(said) {
            Some(one) => news.push(one),
            None => tracing::warn!("something came over RabbitMQ that is not ours"),
        }
    }

    fn take_entry(
        &mut self,
        log: Log,
        number: u64,
        entry: &[u8],
        news: &mut Vec<News>,
        watch: &mut dyn Watch,
    ) -> Result<(), Fault> {
        if let Some(index) = self.resumed.iter().position(|resumed| *resumed == log) {
            self.resumed.swap_remove(index);
            if self.logs.is_last(log, number, entry) {
                return Ok(());
            }
            self.logs.forget();
            return Err(Fault::OtherLog);
        }
        let Some((head, body)) = Head::read(entry) else {
            tracing::warn!("something stands in a log that is not ours");
            return Ok(());
        };
        self.logs.step(log, number, head.stamp)?;
        let own = head.stamp.number;
        let is_own = head.stamp.node == self.logs.node && head.kind.is_in(log) && self.is_paid(own);
        if is_own {
            watch.before(&self.logs, own);
        }
        let outcome = match log {
            Log::Rooms => self.logs.rooms.take(number, &head, body),
            Log::Fields => {
                self.logs.fields.take(&head, body);
                Outcome::Nothing
            }
        };
        if let Outcome::Placed(placed) = outcome
            && !placed.is_repeat
            && let Some(room) = self.followed.get(&*head.name)
        {
            let (room, body) = (Arc::clone(room), body.into());
            news.push(News::Message { room, position: placed.position, body });
        }
        if is_own {
            watch.after(&self.logs, own, Ok(outcome));
        }
        Ok(())
    }

    /// Whether an entry was owed that has come back: now it is not.
    fn is_paid(&mut self, number: u64) -> bool {
        let owed = self.owed.iter().position(|owed| *owed == number);
        owed.and_then(|index| self.owed.remove(index)).is_some()
    }

    /// From now on, or not any more, what is said there is for this node.
    pub(super) fn follow(&mut self, channel: Channel<'_>, follows: bool) {
        let key = live::key(channel);
        match channel {
            Channel::Room(room) if follows => drop(self.followed.insert(room.into())),
            Channel::Room(room) => drop(self.followed.remove(room)),
            Channel::Nodes => {}
        }
        let change = if follows { methods::bind } else { methods::unbind };
        change(self.wire.out(), &self.queue, LIVE, &key);
    }
}

impl Watch for () {
    fn before(&mut self, _: &Logs, _: u64) {}

    fn after(&mut self, _: &Logs, _: u64, _: Result<Outcome, String>) {}
}

impl Drop for Session {
    fn drop(&mut self) {
        let logs = mem::replace(&mut self.logs, Logs::new());
        *self.shelf.lock().unwrap_or_else(PoisonError::into_inner) = Some(logs);
    }
}

impl Kind {
    /// Whether entries of this kind stand in a log.
    const fn is_in(self, log: Log) -> bool {
        match (self, log) {
            (Self::Look, Log::Rooms | Log::Fields)
            | (Self::Message | Self::Open, Log::Rooms)
            | (Self::Put | Self::Remove, Log::Fields) => true,
            (Self::Message | Self::Open, Log::Fields) | (Self::Put | Self::Remove, Log::Rooms) => {
                false
            }
        }
    }
}

/// What a stream is made with.
fn arguments(log: Log) -> Vec<(&'static str, Value<'static>)> {
    let stream = ("x-queue-type", Value::Text("stream"));
    let bytes = |log_bytes| ("x-max-length-bytes", Value::Number(log_bytes));
    // Only whole segments are given up.
    let segment = |log_bytes| ("x-stream-max-segment-size-bytes", Value::Number(log_bytes / 16));
    match log {
        Log::Rooms => vec![stream, bytes(ROOMS_LOG_BYTES), segment(ROOMS_LOG_BYTES)],
        Log::Fields => {
            let age = ("x-max-age", Value::Text(FIELDS_LOG_AGE));
            vec![stream, bytes(FIELDS_LOG_BYTES), segment(FIELDS_LOG_BYTES), age]
        }
    }
}

fn unexpected(event: &Event) -> BrokerError {
    BrokerError(match event {
        Event::ChannelClosed { words, .. } => words.clone(),
        Event::Start { .. }
        | Event::Tune { .. }
        | Event::Done(_)
        | Event::QueueIs(_)
        | Event::Message { .. }
        | Event::Returned { .. } => "it says something that was not its turn to say".into(),
    })
}
