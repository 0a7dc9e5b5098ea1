//! The methods of AMQP 0-9-1 that a node says and hears.
//!
//! Owns their numbers and their arguments, and how a content is cut into frames. Of what a server
//! may say, only that is known which one says to a client like this. Never waits, and keeps
//! nothing.

use super::frames::{FRAME_OVERHEAD, Kind, Malformed, Reader, Value, frame, long, short, table};

/// With what a client begins.
pub(super) const PROTOCOL: [u8; 8] = *b"AMQP\0\0\x09\x01";

/// The channel on which all is said but what is about the connection.
const CHANNEL: u16 = 1;

/// A message is kept when the server starts again.
const PERSISTENT: u8 = 2;

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// Who are you?
    Start { mechanisms: &'a [u8] },
    /// How long a frame is at most; 0 is no limit.
    Tune { frame_max: u32 },
    /// What was asked for was done, and this is all there is to say.
    Done(Done),
    /// A queue is there, and is called so.
    QueueIs(&'a str),
    /// A message for a consumer: its content follows.
    Deliver { consumer: &'a str, tag: u64 },
    /// A message could not be put anywhere: its content follows.
    Return { words: &'a str },
    /// A consumer gets no more: its queue is gone.
    Cancel { consumer: &'a str },
    /// The channel is closed, and this is why.
    ChannelClosed { code: u16, words: &'a str },
    /// The connection is closed, and this is why.
    Closed { code: u16, words: &'a str },
    /// The server takes nothing for now.
    Blocked { words: &'a str },
    /// It does again.
    Unblocked,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Open,
    Channel,
    Exchange,
    Bind,
    Unbind,
    Prefetch,
    Consume,
}

impl<'a> Said<'a> {
    /// Reads what stands in a frame of a method.
    pub(super) fn read(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut args = Reader(payload);
        let method = (args.u16()?, args.u16()?);
        let said = match method {
            (10, 10) => {
                args.take(2)?; // the version
                args.long()?; // what the server says of itself
                Self::Start { mechanisms: args.long()? }
            }
            (10, 30) => {
                args.u16()?; // how many channels
                Self::Tune { frame_max: args.u32()? }
            }
            (10, 41) => Self::Done(Done::Open),
            (10, 50) => Self::Closed { code: args.u16()?, words: args.short()? },
            (10, 60) => Self::Blocked { words: args.short()? },
            (10, 61) => Self::Unblocked,
            (20, 11) => Self::Done(Done::Channel),
            (20, 40) => Self::ChannelClosed { code: args.u16()?, words: args.short()? },
            (40, 11) => Self::Done(Done::Exchange),
            (50, 11) => Self::QueueIs(args.short()?),
            (50, 21) => Self::Done(Done::Bind),
            (50, 51) => Self::Done(Done::Unbind),
            (60, 11) => Self::Done(Done::Prefetch),
            (60, 21) => Self::Done(Done::Consume),
            (60, 30) => Self::Cancel { consumer: args.short()? },
            (60, 50) => {
                args.u16()?; // a number for the words
                Self::Return { words: args.short()? }
            }
            (60, 60) => Self::Deliver { consumer: args.short()?, tag: args.u64()? },
            _ => return Err(Malformed("it says something that nobody asked for")),
        };
        Ok(said)
    }
}

/// How long a content is, and its number in the stream that it comes from.
pub(super) fn read_header(payload: &[u8]) -> Result<(u64, Option<u64>), Malformed> {
    let mut args = Reader(payload);
    args.take(4)?; // the class, and nothing
    let size = args.u64()?;
    let flags = args.u16()?;
    if flags & 1 != 0 {
        return Err(Malformed("there are more properties than there are"));
    }
    if flags & 0x8000 != 0 {
        args.short()?; // content type
    }
    if flags & 0x4000 != 0 {
        args.short()?; // content encoding
    }
    if flags & 0x2000 == 0 {
        return Ok((size, None));
    }
    Ok((size, args.number_in_table("x-stream-offset")?))
}

fn method(
    out: &mut Vec<u8>,
    channel: u16,
    (class, number): (u16, u16),
    fill: impl FnOnce(&mut Vec<u8>),
) {
    frame(out, Kind::Method, channel, |out| {
        out.extend(class.to_be_bytes());
        out.extend(number.to_be_bytes());
        fill(out);
    });
}

/// Says who this is.
pub(super) fn start_ok(out: &mut Vec<u8>, name: &str, password: &str) {
    let capabilities = [
        ("authentication_failure_close", Value::Yes),
        ("consumer_cancel_notify", Value::Yes),
        ("connection.blocked", Value::Yes),
    ];
    let own = [("product", Value::Text("throng")), ("capabilities", Value::Table(&capabilities))];
    method(out, 0, (10, 11), |out| {
        table(out, &own);
        short(out, "PLAIN");
        long(out, format!("\0{name}\0{password}").as_bytes());
        short(out, "en_US");
    });
}

/// Agrees to frames of this size, and to no heartbeats: a link that is quiet asks by itself.
pub(super) fn tune_ok(out: &mut Vec<u8>, frame_max: u32) {
    method(out, 0, (10, 31), |out| {
        out.extend(CHANNEL.to_be_bytes());
        out.extend(frame_max.to_be_bytes());
        out.extend([0; 2]);
    });
}

pub(super) fn open(out: &mut Vec<u8>, vhost: &str) {
    method(out, 0, (10, 40), |out| {
        short(out, vhost);
        out.extend([0; 2]); // reserved
    });
}

/// Says that the connection is closed, and waits for nothing.
pub(super) fn close(out: &mut Vec<u8>) {
    method(out, 0, (10, 50), |out| {
        out.extend(200_u16.to_be_bytes());
        short(out, "bye");
        out.extend([0; 4]); // by no method
    });
}

pub(super) fn open_channel(out: &mut Vec<u8>) {
    method(out, CHANNEL, (20, 10), |out| out.push(0));
}

/// Says that it was heard that the channel is closed.
pub(super) fn channel_closed(out: &mut Vec<u8>) {
    method(out, CHANNEL, (20, 41), |_| {});
}

/// An exchange that is kept, and hands on by the whole key.
pub(super) fn declare_exchange(out: &mut Vec<u8>, name: &str) {
    method(out, CHANNEL, (40, 10), |out| {
        out.extend([0; 2]);
        short(out, name);
        short(out, "direct");
        out.push(0b10); // durable
        table(out, &[]);
    });
}

/// Asks whether a queue is there.
pub(super) fn find_queue(out: &mut Vec<u8>, name: &str) {
    declare(out, name, 0b1, &[]);
}

/// A queue that is kept.
pub(super) fn declare_queue(out: &mut Vec<u8>, name: &str, arguments: &[(&str, Value<'_>)]) {
    declare(out, name, 0b10, arguments);
}

/// A queue of this connection alone, which the server names.
pub(super) fn declare_own(out: &mut Vec<u8>, arguments: &[(&str, Value<'_>)]) {
    declare(out, "", 0b1100, arguments); // exclusive, and gone by itself
}

fn declare(out: &mut Vec<u8>, name: &str, flags: u8, arguments: &[(&str, Value<'_>)]) {
    method(out, CHANNEL, (50, 10), |out| {
        out.extend([0; 2]);
        short(out, name);
        out.push(flags);
        table(out, arguments);
    });
}

/// Has an exchange hand on what has this key. Nobody says that it was done.
pub(super) fn bind(out: &mut Vec<u8>, queue: &str, exchange: &str, key: &str) {
    method(out, CHANNEL, (50, 20), |out| {
        out.extend([0; 2]);
        [queue, exchange, key].iter().for_each(|text| short(out, text));
        out.push(1); // no answer
        table(out, &[]);
    });
}

/// Not any more. The server says that it was done.
pub(super) fn unbind(out: &mut Vec<u8>, queue: &str, exchange: &str, key: &str) {
    method(out, CHANNEL, (50, 50), |out| {
        out.extend([0; 2]);
        [queue, exchange, key].iter().for_each(|text| short(out, text));
        table(out, &[]);
    });
}

/// How many messages a consumer may be owed an answer for.
pub(super) fn prefetch(out: &mut Vec<u8>, count: u16) {
    method(out, CHANNEL, (60, 10), |out| {
        out.extend([0; 4]);
        out.extend(count.to_be_bytes());
        out.push(0); // for each consumer
    });
}

pub(super) fn consume(
    out: &mut Vec<u8>,
    queue: &str,
    consumer: &str,
    arguments: &[(&str, Value<'_>)],
) {
    method(out, CHANNEL, (60, 20), |out| {
        out.extend([0; 2]);
        short(out, queue);
        short(out, consumer);
        out.push(0);
        table(out, arguments);
    });
}

/// All up to this one was taken.
pub(super) fn acknowledge(out: &mut Vec<u8>, tag: u64) {
    method(out, CHANNEL, (60, 80), |out| {
        out.extend(tag.to_be_bytes());
        out.push(1);
    });
}

/// Puts a message into an exchange. One that `must_arrive` comes back where no queue takes it.
pub(super) fn publish(
    out: &mut Vec<u8>,
    (exchange, key): (&str, &str),
    must_arrive: bool,
    frame_max: usize,
    body: &[u8],
) {
    method(out, CHANNEL, (60, 40), |out| {
        out.extend([0; 2]);
        short(out, exchange);
        short(out, key);
        out.push(u8::from(must_arrive));
    });
    frame(out, Kind::Header, CHANNEL, |out| {
        out.extend([0, 60, 0, 0]);
        out.extend((body.len() as u64).to_be_bytes());
        out.extend(0x1000_u16.to_be_bytes()); // one property: whether it is kept
        out.push(PERSISTENT);
    });
    for piece in body.chunks(frame_max - FRAME_OVERHEAD) {
        frame(out, Kind::Body, CHANNEL, |out| out.extend(piece));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::broker::rabbit::frames::Frame;

    fn said(number: (u16, u16), fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        method(&mut out, 1, number, fill);
        let frame = Frame::first(&out, 4096).unwrap().unwrap();
        out[frame.payload].to_vec()
    }

    #[test]
    fn what_a_server_says_is_read() {
        let start = said((10, 10), |out| {
            out.extend([0, 9]);
            table(out, &[("product", Value::Text("RabbitMQ"))]);
            long(out, b"AMQPLAIN PLAIN");
            long(out, b"en_US");
        });
        assert_eq!(Said::read(&start), Ok(Said::Start { mechanisms: b"AMQPLAIN PLAIN" }));
        let deliver = said((60, 60), |out| {
            short(out, "rooms");
            out.extend(7_u64.to_be_bytes());
            out.push(0);
        });
        assert_eq!(Said::read(&deliver), Ok(Said::Deliver { consumer: "rooms", tag: 7 }));
        let closed = said((10, 50), |out| {
            out.extend(403_u16.to_be_bytes());
            short(out, "ACCESS_REFUSED");
            out.extend([0; 4]);
        });
        assert_eq!(Said::read(&closed), Ok(Said::Closed { code: 403, words: "ACCESS_REFUSED" }));
        for bad in [&said((99, 1), |_| {}), &start[..20], &deliver[..3], &[][..]] {
            assert!(Said::read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_number_in_the_stream_is_read() {
        let header = |flags: u16, fill: &dyn Fn(&mut Vec<u8>)| {
            let mut out = vec![0, 60, 0, 0];
            out.extend(5_u64.to_be_bytes());
            out.extend(flags.to_be_bytes());
            fill(&mut out);
            out
        };
        let number = |out: &mut Vec<u8>| table(out, &[("x-stream-offset", Value::Number(9))]);
        assert_eq!(read_header(&header(0x2000, &number)), Ok((5, Some(9))));
        assert_eq!(read_header(&header(0x1000, &|out| out.push(2))), Ok((5, None)));
        let typed = header(0xB000, &|out| {
            short(out, "text/plain");
            number(out);
            out.push(2);
        });
        assert_eq!(read_header(&typed), Ok((5, Some(9))));
        assert!(read_header(&header(0x2000, &|_| {})).is_err());
        assert!(read_header(&header(1, &|_| {})).is_err());
    }

    #[test]
    fn a_long_message_goes_out_in_frames_that_were_agreed() {
        let mut out = Vec::new();
        publish(&mut out, ("e", "k"), true, 108, &[7; 250]);
        let (mut at, mut sizes) = (0, Vec::new());
        while let Some(frame) = Frame::first(&out[at..], 108).unwrap() {
            if frame.kind == Kind::Body {
                sizes.push(frame.payload.len());
            }
            at += frame.end;
        }
        assert_eq!((sizes, at), (vec![100, 100, 50], out.len()));
    }
}
