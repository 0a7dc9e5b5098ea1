//! A connection to RabbitMQ: the bytes, and what they say.
//!
//! Owns the socket, what waits to go out, and what has come and is not read yet. It sends and takes
//! only while somebody waits for it: what is not taken here stays with the server, which sends no
//! more than it was told to. Never knows what a message is about.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Frame, Kind, Malformed};
use super::methods::{self, Done, Said, read_header};
use crate::hub::broker::BrokerError;

/// How long a message is at most, with its head.
pub(super) const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// How long a frame is at most, both ways, until another length is agreed on and after it.
const FRAME_BYTES_MAX: usize = 128 << 10;

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// Bytes both ways.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// A connection.
pub(super) struct Wire {
    socket: Box<dyn Socket>,
    /// What has come; up to `read` it was taken.
    arrived: Vec<u8>,
    read: usize,
    /// What goes out; up to `sent` it has gone.
    out: Vec<u8>,
    sent: usize,
    is_flushed: bool,
    frame_max: usize,
    content: Option<Content>,
    /// The last message that was taken and of which the server does not know that.
    taken: Option<u64>,
}

/// Something that has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It asks who this is.
    Start {
        has_plain: bool,
    },
    /// How long its frames are.
    Tune {
        frame_max: u32,
    },
    Done(Done),
    /// A queue is there, and is called so.
    QueueIs(String),
    /// A message for this consumer, with its number where it comes from a stream.
    Message {
        consumer: String,
        number: Option<u64>,
        body: Box<[u8]>,
    },
    /// A message that no queue takes.
    Returned {
        words: String,
        body: Box<[u8]>,
    },
    /// The channel is closed.
    ChannelClosed {
        code: u16,
        words: String,
    },
}

/// What a frame comes to.
enum Step {
    /// It is not there as a whole.
    Short,
    /// Nothing yet.
    Quiet,
    Event(Event),
    /// The connection is of no more use, and why.
    Over(String),
}

/// A message that comes piece by piece.
struct Content {
    of: ContentOf,
    number: Option<u64>,
    /// How many bytes are missing; none before that was said.
    missing: Option<usize>,
    body: Vec<u8>,
}

enum ContentOf {
    Delivery { consumer: String, tag: u64 },
    Return { words: String },
}

impl Wire {
    pub(super) fn new(socket: Box<dyn Socket>) -> Self {
        Self {
            socket,
            arrived: Vec::new(),
            read: 0,
            out: methods::PROTOCOL.to_vec(),
            sent: 0,
            is_flushed: true,
            frame_max: FRAME_BYTES_MAX,
            content: None,
            taken: None,
        }
    }

    /// What goes out is put here.
    pub(super) const fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Puts a message into an exchange.
    pub(super) fn publish(&mut self, to: (&str, &str), must_arrive: bool, body: &[u8]) {
        methods::publish(&mut self.out, to, must_arrive, self.frame_max, body);
    }

    /// Agrees to the length of a frame that the server offers.
    pub(super) fn tune(&mut self, frame_max: u32) {
        let offered = if frame_max == 0 { FRAME_BYTES_MAX } else { frame_max as usize };
        self.frame_max = offered.clamp(4096, FRAME_BYTES_MAX); // 4,096 is the least of all
        methods::tune_ok(&mut self.out, self.frame_max as u32);
    }

    /// Sends and takes until something has come. It may be given up at any time.
    pub(super) async fn turn(&mut self) -> Result<(), BrokerError> {
        if let Some(tag) = self.taken.take() {
            methods::acknowledge(&mut self.out, tag);
        }
        let turned = poll_fn(|context| self.poll(context)).await;
        turned.map_err(|error| BrokerError(error.to_string()))
    }

    /// Says that this is the end, if it can be said at once.
    pub(super) async fn close(&mut self) {
        methods::close(&mut self.out);
        let all_sent = poll_fn(|context| match self.poll_send(context) {
            Ok(()) if self.sent < self.out.len() => Poll::Pending,
            Ok(()) | Err(_) => Poll::Ready(()),
        });
        all_sent.await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(context)?;
        if self.read == self.arrived.len() {
            self.arrived.clear();
            self.read = 0;
        } else if self.read > READ_BYTES {
            self.arrived.drain(..mem::take(&mut self.read));
        }
        let before = self.arrived.len();
        self.arrived.resize(before + READ_BYTES, 0);
        let mut buffer = ReadBuf::new(&mut self.arrived[before..]);
        let polled = Pin::new(&mut self.socket).poll_read(context, &mut buffer);
        let count = buffer.filled().len();
        self.arrived.truncate(before + count);
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if count == 0 => {
                Poll::Ready(Err(io::Error::other("the connection is broken")))
            }
            Poll::Ready(result) => Poll::Ready(result),
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let mut socket = Pin::new(&mut self.socket);
        while self.sent < self.out.len() {
            match socket.as_mut().poll_write(context, &self.out[self.sent..]) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.sent += count;
                    self.is_flushed = false;
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        self.out.clear();
        self.sent = 0;
        if !self.is_flushed {
            match socket.poll_flush(context) {
                Poll::Pending => {}
                Poll::Ready(result) => {
                    result?;
                    self.is_flushed = true;
                }
            }
        }
        Ok(())
    }

    /// The next that has come; none where nothing is there as a whole.
    pub(super) fn next(&mut self) -> Result<Option<Event>, BrokerError> {
        loop {
            let step = self.frame().map_err(|malformed| BrokerError(malformed.0.into()))?;
            match step {
                Step::Short => return Ok(None),
                Step::Quiet => {}
                Step::Event(event) => return Ok(Some(event)),
                Step::Over(words) => return Err(BrokerError(words)),
            }
        }
    }

    /// Reads a frame.
    fn frame(&mut self) -> Result<Step, Malformed> {
        let arrived = &self.arrived[self.read..];
        let Some(Frame { kind, payload, end }) = Frame::first(arrived, self.frame_max)? else {
            return Ok(Step::Short);
        };
        let payload = &arrived[payload];
        let step = match kind {
            Kind::Heartbeat => Step::Quiet,
            Kind::Method if self.content.is_some() => {
                return Err(Malformed("a message was not sent to its end"));
            }
            Kind::Method => step_of(Said::read(payload)?, &mut self.content),
            Kind::Header => {
                let (size, number) = read_header(payload)?;
                let size = usize::try_from(size).ok().filter(|size| *size <= MESSAGE_BYTES_MAX);
                let size = size.ok_or(Malformed("a message is too long"))?;
                let content = self.content.as_mut().filter(|content| content.missing.is_none());
                let content = content.ok_or(Malformed("a head belongs to nothing"))?;
                (content.number, content.missing) = (number, Some(size));
                Step::Quiet
            }
            Kind::Body => {
                let missing = self.content.as_mut().and_then(|content| content.missing.as_mut());
                let missing = missing.ok_or(Malformed("a piece belongs to nothing"))?;
                let rest = missing.checked_sub(payload.len());
                *missing = rest.ok_or(Malformed("a message is longer than it says"))?;
                if let Some(content) = &mut self.content {
                    content.body.extend_from_slice(payload);
                }
                Step::Quiet
            }
        };
        self.read += end;
        let is_whole = self.content.as_ref().is_some_and(|content| content.missing == Some(0));
        let content = if is_whole { self.take_content() } else { None };
        Ok(content.map_or(step, Step::Event))
    }

    fn take_content(&mut self) -> Option<Event> {
        let Content { of, number, body, .. } = self.content.take()?;
        let body = body.into_boxed_slice();
        Some(match of {
            ContentOf::Delivery { consumer, tag } => {
                self.taken = Some(tag);
                Event::Message { consumer, number, body }
            }
            ContentOf::Return { words } => Event::Returned { words, body },
        })
    }
}

impl Content {
    const fn new(of: ContentOf) -> Self {
        Self { of, number: None, missing: None, body: Vec::new() }
    }
}

/// What happens by a method; a message begins with one.
fn step_of(said: Said<'_>, content: &mut Option<Content>) -> Step {
    let event = match said {
        Said::Start { mechanisms } => {
            let mut names = mechanisms.split(|byte| *byte == b' ');
            Event::Start { has_plain: names.any(|name| name == b"PLAIN") }
        }
        Said::Tune { frame_max } => Event::Tune { frame_max },
        Said::Done(done) => Event::Done(done),
        Said::QueueIs(name) => Event::QueueIs(name.into()),
        Said::Deliver { consumer, tag } => {
            *content = Some(Content::new(ContentOf::Delivery { consumer: consumer.into(), tag }));
            return Step::Quiet;
        }
        Said::Return { words } => {
            *content = Some(Content::new(ContentOf::Return { words: words.into() }));
            return Step::Quiet;
        }
        Said::ChannelClosed { code, words } => Event::ChannelClosed { code, words: words.into() },
        Said::Cancel { consumer } => {
            return Step::Over(format!("the queue of {consumer} is gone"));
        }
        Said::Closed { words, .. } => return Step::Over(words.into()),
        Said::Blocked { words } => {
            return Step::Over(format!("it takes nothing for now: {words}"));
        }
        Said::Unblocked => return Step::Quiet,
    };
    Step::Event(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::broker::rabbit::frames::{Value, frame, short, table};

    fn wire() -> Wire {
        Wire::new(Box::new(tokio::io::empty()))
    }

    fn delivery(body_size: u64, pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        frame(&mut out, Kind::Method, 1, |out| {
            out.extend([0, 60, 0, 60]);
            short(out, "rooms");
            out.extend(3_u64.to_be_bytes());
            out.push(0);
            short(out, "throng");
            short(out, "rooms");
        });
        frame(&mut out, Kind::Header, 1, |out| {
            out.extend([0, 60, 0, 0]);
            out.extend(body_size.to_be_bytes());
            out.extend(0x2000_u16.to_be_bytes());
            table(out, &[("x-stream-offset", Value::Number(9))]);
        });
        for piece in pieces {
            frame(&mut out, Kind::Body, 1, |out| out.extend(*piece));
        }
        out
    }

    #[test]
    fn a_message_is_read_however_it_is_cut() {
        let bytes = delivery(5, &[b"abc", b"de"]);
        for cut in 0..=bytes.len() {
            let mut wire = wire();
            let mut events = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                wire.arrived.extend(part);
                while let Some(event) = wire.next().unwrap() {
                    events.push(event);
                }
            }
            let body = b"abcde"[..].into();
            let message = Event::Message { consumer: "rooms".into(), number: Some(9), body };
            assert_eq!((events, wire.taken), (vec![message], Some(3)), "{cut}");
        }
    }

    #[test]
    fn an_empty_message_is_one() {
        let mut wire = wire();
        wire.arrived = delivery(0, &[]);
        assert!(matches!(wire.next(), Ok(Some(Event::Message { .. }))));
    }

    #[test]
    fn what_does_not_follow_is_an_error() {
        let whole = delivery(5, &[b"abcde"]);
        let mut method_within = delivery(5, &[b"abc"]);
        method_within.extend(&whole);
        let mut only_body = Vec::new();
        frame(&mut only_body, Kind::Body, 1, |out| out.push(1));
        for bad in [
            delivery(5, &[b"abcdef"]),
            delivery(MESSAGE_BYTES_MAX as u64 + 1, &[]),
            method_within,
            only_body,
        ] {
            let mut wire = wire();
            wire.arrived = bad;
            assert!(wire.next().is_err());
        }
    }
}
