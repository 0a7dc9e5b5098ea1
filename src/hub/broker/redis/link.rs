//! A connection to Redis that is open.
//!
//! Owns what is said over it and how answers are read. A pipeline carries all that waits, a command
//! for each [batch](batches); news comes over the same connection, and so stands in one order with
//! the answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, PushInfo, PushKind, RedisError, Value};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;

use super::batch::{Batch, batches};
use super::keys::Names;
use super::script::Scripts;
use crate::hub::broker::inbox::{self, Inbox};
use crate::hub::broker::{Answer, BrokerError, Channel, Field, Link, News, Piece, Request, Rows};
use crate::hub::history::{Epoch, Placed, Position, Span};

/// After so long without a word it is asked whether anybody is there.
const QUIET: Duration = Duration::from_secs(1);

/// Errors of a server that will say the same to everything: another one has to be looked for, or
/// the scripts have to be made known again.
const LASTING: [&str; 6] =
    ["READONLY", "NOSCRIPT", "LOADING", "MASTERDOWN", "NOAUTH", "UNKILLABLE"];

/// Whether that is what an error says, here of a script too: before Redis 7 its own code is `ERR`.
fn is_lasting(code: &str, words: &str) -> bool {
    LASTING.contains(&code) || (code == "ERR" && words.contains("-READONLY "))
}

/// A connection to Redis.
pub struct RedisLink {
    runtime: Runtime,
    connection: MultiplexedConnection,
    pushes: UnboundedReceiver<PushInfo>,
    inbox: Arc<Inbox>,
    notify: Arc<Notify>,
    names: Names,
    scripts: Scripts,
    heard: Instant,
    /// Why it can be used no longer.
    broken: Option<BrokerError>,
}

impl RedisLink {
    pub(super) fn new(
        runtime: Runtime,
        connection: MultiplexedConnection,
        pushes: UnboundedReceiver<PushInfo>,
        inbox: Arc<Inbox>,
        notify: Arc<Notify>,
        names: Names,
    ) -> Self {
        let (scripts, heard, broken) = (Scripts::new(), Instant::now(), None);
        Self { runtime, connection, pushes, inbox, notify, names, scripts, heard, broken }
    }

    /// Makes the scripts known to the server.
    pub(super) fn load_scripts(&mut self) -> Result<(), RedisError> {
        let mut pipeline = Pipeline::new();
        for cmd in Scripts::load() {
            pipeline.add_command(cmd);
        }
        for value in self.send(&pipeline)? {
            if let Value::ServerError(error) = value {
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn send(&mut self, pipeline: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let sent = self.connection.send_packed_commands(pipeline, 0, pipeline.len());
        let values = self.runtime.block_on(sent)?;
        self.heard = Instant::now();
        Ok(values)
    }

    fn command(&self, requests: &[Request<'_>], batch: &Batch) -> Cmd {
        let of_batch = batch.iter().map(|at| &requests[*at]);
        match requests[batch[0]] {
            Request::Publish { place, .. } => {
                let messages = of_batch.filter_map(|request| match *request {
                    Request::Publish { id, body, .. } => Some((id, body)),
                    _ => None,
                });
                self.scripts.publish(&self.names, place, messages)
            }
            Request::Read { place, opens, span, messages_max, bytes_max } => {
                let piece = Piece { opens, span, messages_max, bytes_max };
                self.scripts.read(&self.names, place, piece)
            }
            Request::Subscribe(channel) => self.on_channel("SUBSCRIBE", channel),
            Request::Unsubscribe(channel) => self.on_channel("UNSUBSCRIBE", channel),
            Request::Say { on, .. } => {
                let bodies = of_batch.filter_map(|request| match *request {
                    Request::Say { body, .. } => Some(body),
                    _ => None,
                });
                let mut cmd = self.on_channel("PUBLISH", on);
                cmd.arg(said(&bodies.collect::<Vec<_>>()));
                cmd
            }
            Request::Put { table, field, value, lease } => {
                self.scripts.put(&self.names, table, field, lease, value)
            }
            Request::Remove { table, field } => {
                let mut cmd = redis::cmd("HDEL");
                cmd.arg(self.names.table(table)).arg(field);
                cmd
            }
            Request::List { table } => self.scripts.list(&self.names, table),
        }
    }

    fn on_channel(&self, command: &str, channel: Channel<'_>) -> Cmd {
        let mut cmd = redis::cmd(command);
        cmd.arg(self.names.channel(channel));
        cmd
    }

    /// Takes all that has come by itself.
    fn take_news(&mut self, news: &mut Vec<News>) {
        while let Ok(push) = self.pushes.try_recv() {
            self.take_push(&push, news);
        }
        if self.inbox.has_overflown() {
            self.give_up("more comes than this node can take");
        }
    }

    fn take_push(&mut self, push: &PushInfo, news: &mut Vec<News>) {
        self.inbox.remove(bytes(push));
        self.heard = Instant::now();
        match (&push.kind, &push.data[..]) {
            (PushKind::Message, [Value::BulkString(channel), Value::BulkString(payload)]) => {
                let is_ours = read_news(&self.names, channel, payload, news).is_some();
                if !is_ours {
                    tracing::warn!("something came over Redis that is not ours");
                }
            }
            (PushKind::Disconnection, _) => self.give_up("the connection is broken"),
            _ => {} // what confirms a subscription is an answer too
        }
    }

    fn give_up(&mut self, words: &str) {
        self.broken.get_or_insert_with(|| BrokerError(words.into()));
    }

    fn check(&self) -> Result<(), BrokerError> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// The answers of a batch, in its order.
    fn answers(&mut self, request: &Request<'_>, count: usize, value: Value) -> Vec<Answer> {
        if let Value::ServerError(error) = value {
            let words = format!("{} {}", error.code(), error.details().unwrap_or_default());
            if is_lasting(error.code(), &words) {
                self.give_up(&words);
            }
            return vec![Answer::Failed(BrokerError(words)); count];
        }
        let read = match request {
            Request::Publish { .. } => published(&value).filter(|placed| placed.len() == count),
            Request::Read { span, .. } => {
                rows(value, matches!(span, Span::After(_))).map(|rows| vec![rows])
            }
            Request::List { .. } => fields(value).map(|fields| vec![fields]),
            Request::Subscribe(_)
            | Request::Unsubscribe(_)
            | Request::Say { .. }
            | Request::Put { .. }
            | Request::Remove { .. } => Some(vec![Answer::Done; count]),
        };
        read.unwrap_or_else(|| {
            self.give_up("it gives answers that are none");
            vec![Answer::Failed(BrokerError("this is no answer".into())); count]
        })
    }
}

impl Link for RedisLink {
    fn exchange(
        &mut self,
        requests: &[Request<'_>],
        news: &mut Vec<News>,
    ) -> Result<Vec<Answer>, BrokerError> {
        self.check()?;
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let batches = batches(requests);
        let mut pipeline = Pipeline::with_capacity(batches.len());
        for batch in &batches {
            pipeline.add_command(self.command(requests, batch));
        }
        let result = self.send(&pipeline);
        self.take_news(news);
        let values = result.map_err(|error| BrokerError(error.to_string()))?;
        if values.len() != batches.len() {
            return Err(BrokerError("an answer is missing".into()));
        }
        let mut answers = vec![Answer::Done; requests.len()];
        for (batch, value) in batches.iter().zip(values) {
            let of_batch = self.answers(&requests[batch[0]], batch.len(), value);
            for (at, answer) in batch.iter().zip(of_batch) {
                answers[*at] = answer;
            }
        }
        Ok(answers)
    }

    fn wait(&mut self, timeout: Duration, news: &mut Vec<News>) -> Result<(), BrokerError> {
        self.check()?;
        let push = self.runtime.block_on(inbox::next(&mut self.pushes, &self.notify, timeout));
        if let Some(push) = push {
            self.take_push(&push, news);
        }
        self.take_news(news);
        self.check()?;
        if self.heard.elapsed() >= QUIET {
            let mut pipeline = Pipeline::new();
            pipeline.cmd("PING");
            let result = self.send(&pipeline);
            self.take_news(news);
            result.map_err(|error| BrokerError(error.to_string()))?;
        }
        self.check()
    }
}

/// What a push takes, in bytes, about.
pub(super) fn bytes(push: &PushInfo) -> usize {
    let of = |value: &Value| match value {
        Value::BulkString(bytes) => bytes.len(),
        _ => 0,
    };
    128 + push.data.iter().map(of).sum::<usize>()
}

/// What is said in a room without a place, or to all nodes: `s LENGTHS BODIES`.
fn said(bodies: &[&[u8]]) -> Vec<u8> {
    let lengths: Vec<_> = bodies.iter().map(|body| body.len().to_string()).collect();
    let head = format!("s {} ", lengths.join(","));
    [head.as_bytes()].iter().chain(bodies).copied().collect::<Vec<_>>().concat()
}

/// What was published on a channel: by [`said`], or `m EPOCH OFFSET LENGTHS BODIES`, where the
/// offset is that of the first message. None, and nothing is added, where it is neither.
fn read_news(names: &Names, channel: &[u8], payload: &[u8], news: &mut Vec<News>) -> Option<()> {
    let channel = std::str::from_utf8(channel).ok()?;
    let room: Option<Arc<str>> = names.room(channel).map(|room| Arc::from(&*room));
    let (kind, rest) = word(payload)?;
    match (kind, room) {
        (b"m", Some(room)) => {
            let (epoch, rest) = word(rest)?;
            let (offset, rest) = word(rest)?;
            let first = position(epoch, offset)?;
            news.extend((first.offset..).zip(bodies(rest)?).map(|(offset, body)| News::Message {
                room: Arc::clone(&room),
                position: Position { offset, ..first },
                body: body.into(),
            }));
        }
        (b"s", room) => {
            let said = |body: &[u8]| News::Said { room: room.clone(), body: body.into() };
            news.extend(bodies(rest)?.into_iter().map(said));
        }
        _ => return None,
    }
    Some(())
}

/// What stands before the first space, and after it.
fn word(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b' ')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The parts of `LENGTHS BODIES`.
fn bodies(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let (lengths, mut rest) = word(bytes)?;
    let lengths = std::str::from_utf8(lengths).ok()?.split(',');
    let cut = |length: &str| {
        let (body, after) = rest.split_at_checked(length.parse().ok()?)?;
        rest = after;
        Some(body)
    };
    let bodies = lengths.map(cut).collect::<Option<Vec<_>>>()?;
    rest.is_empty().then_some(bodies)
}

fn position(epoch: &[u8], offset: &[u8]) -> Option<Position> {
    let offset = std::str::from_utf8(offset).ok()?.parse().ok()?;
    Some(Position { epoch: read_epoch(epoch)?, offset })
}

fn read_epoch(epoch: &[u8]) -> Option<Epoch> {
    std::str::from_utf8(epoch).ok()?.parse().ok()
}

/// What publish.lua says.
fn published(value: &Value) -> Option<Vec<Answer>> {
    let Value::Array(parts) = value else { return None };
    let (epoch, places) = parts.split_first()?;
    let new = |offset: i64| {
        let Value::BulkString(epoch) = epoch else { return None };
        let (epoch, offset) = (read_epoch(epoch)?, u64::try_from(offset).ok()?);
        Some(Placed { position: Position { epoch, offset }, is_repeat: false })
    };
    let places = places.iter().map(|place| match place {
        Value::Int(offset) => new(*offset),
        Value::BulkString(before) => {
            let (epoch, offset) = word(before)?;
            Some(Placed { position: position(epoch, offset)?, is_repeat: true })
        }
        _ => None,
    });
    places.map(|placed| placed.map(Answer::Published)).collect()
}

/// Rows come as they were found: `is_rising`, or the newest first.
fn rows(value: Value, is_rising: bool) -> Option<Answer> {
    let Value::Array(parts) = value else { return None };
    let [
        Value::BulkString(epoch),
        Value::BulkString(offset),
        Value::Int(more),
        Value::Array(found),
    ] = <[Value; 4]>::try_from(parts).ok()?
    else {
        return None;
    };
    let mut rows = pairs(found, |id, body| {
        let offset = std::str::from_utf8(&id).ok()?.strip_suffix("-0")?.parse().ok()?;
        Some((offset, body.into_boxed_slice()))
    })?;
    if !is_rising {
        rows.reverse();
    }
    Some(Answer::Rows(Rows { position: position(&epoch, &offset)?, rows, has_more: more != 0 }))
}

fn fields(value: Value) -> Option<Answer> {
    let Value::Array(found) = value else { return None };
    let field = |name, value: Vec<u8>| -> Option<Field> {
        let name = String::from_utf8(name).ok()?;
        Some((name.into_boxed_str(), value.into_boxed_slice()))
    };
    pairs(found, field).map(Answer::Fields)
}

/// Two values each.
fn pairs<T>(values: Vec<Value>, make: impl Fn(Vec<u8>, Vec<u8>) -> Option<T>) -> Option<Vec<T>> {
    let mut values = values.into_iter();
    let mut pairs = Vec::with_capacity(values.len() / 2);
    while let Some(first) = values.next() {
        let (Value::BulkString(first), Some(Value::BulkString(second))) = (first, values.next())
        else {
            return None;
        };
        pairs.push(make(first, second)?);
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::is_lasting;

    #[test]
    fn a_script_says_in_its_own_words_that_nothing_can_be_written() {
        let of_script = "ERR Error running script (call to f_1): @user_script:9: \
                         @user_script: 9: -READONLY You can't write against a read only replica.";
        assert!(is_lasting("READONLY", "READONLY You can't write") && is_lasting("ERR", of_script));
        assert!(!is_lasting("ERR", "ERR unknown command") && !is_lasting("OOM", "OOM"));
    }
}
