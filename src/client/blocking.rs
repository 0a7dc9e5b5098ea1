//! A connection that blocks: one thread, one socket.
//!
//! Owns what is said and heard after the handshake, the answering of pings and the end of the
//! connection. Never reads ahead of what the caller asks for by more than one buffer.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::arrivals::{Arrivals, Arrived, Incoming, Taken};
use super::compression::Compression;
use super::deadline::Deadline;
use super::input::Input;
use super::masks::Masks;
use super::opening::Opened;
use super::output::{Flushed, Output};
use super::transport::Transport;
use super::{Answer, ClientError, Connect, Step};
use crate::extension::Direction;
use crate::frame::CloseCode;
use crate::proto::{Close, Delivery, Inbound, Message, Outbound, ProtocolError, SendError};
use crate::proto::{Settings, Spare};

/// While something could not be written, how long a read waits before it is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// How long things may take: see the methods of [`Connect`].
#[derive(Clone, Debug)]
pub(super) struct Times {
    pub(super) read: Option<Duration>,
    pub(super) write: Option<Duration>,
    pub(super) close: Duration,
    pub(super) heartbeat: Option<Duration>,
}

impl Default for Times {
    fn default() -> Self {
        let write = Some(Duration::from_secs(30));
        Self { read: None, write, close: Duration::from_secs(5), heartbeat: None }
    }
}

/// An open WebSocket connection, from [`Connect::open`].
///
/// Pings are answered while [`read`](Self::read) or [`close`](Self::close) run, so a client that
/// only sends has to read now and then. Dropping it cuts the connection: the server sees no Close.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    inbound: Inbound,
    outbound: Outbound,
    compression: Compression,
    /// In chunks whatever the caller wants: the message then grows where it is lent from, and is
    /// copied once.
    settings: Settings,
    /// What the caller wants.
    delivery: Delivery,
    spare: Spare,
    input: Input,
    output: Output,
    masks: Masks,
    times: Times,
    arrived: Arrivals,
    /// The newest ping that could not be answered yet.
    owed_pong: Option<Vec<u8>>,
    heard: Instant,
    /// Whether a ping of ours waits for a sign of life.
    probing: bool,
    ended: Option<Ended>,
    answer: Answer,
    subprotocol: Option<String>,
}

/// How the connection has ended.
#[derive(Clone, Copy, Debug)]
enum Ended {
    /// By the server's Close.
    Closed(Option<CloseCode>),
    /// In any other way.
    Failed,
}

impl Client {
    /// Connects with the defaults of [`Connect`].
    ///
    /// # Errors
    ///
    /// As [`Connect::open`].
    pub fn connect(url: &str) -> Result<Self, ClientError> {
        Connect::to(url).open()
    }

    pub(super) fn new(
        transport: Transport,
        opened: Opened,
        settings: Settings,
        times: Times,
        compression: Compression,
    ) -> Self {
        let incoming = opened.params.map_or(Direction::PLAIN, Direction::of_server);
        Self {
            transport,
            inbound: Inbound::with_extension(incoming),
            compression,
            outbound: Outbound::new(),
            delivery: settings.delivery,
            settings: Settings { delivery: Delivery::Chunks, ..settings },
            spare: Spare::default(),
            input: Input::new(&opened.glued),
            output: Output::default(),
            masks: Masks::new(),
            times,
            arrived: Arrivals::default(),
            owed_pong: None,
            heard: Instant::now(),
            probing: false,
            ended: None,
            answer: opened.answer,
            subprotocol: opened.subprotocol,
        }
    }

    /// The subprotocol that the server chose.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The server's answer to the handshake, with its headers.
    pub const fn answer(&self) -> &Answer {
        &self.answer
    }

    /// The server's address, or the proxy's.
    ///
    /// # Errors
    ///
    /// What the system says; the connection has ended.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.transport.peer_addr()
    }

    /// The own address.
    ///
    /// # Errors
    ///
    /// What the system says; the connection has ended.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.transport.local_addr()
    }

    /// Whether messages can be sent.
    pub const fn is_open(&self) -> bool {
        self.ended.is_none() && self.outbound.is_open()
    }

    /// Changes how long [`read`](Self::read) waits; `None` is for ever.
    pub const fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.times.read = timeout;
    }

    /// Sends a message, as one frame with a mask of its own. Returns when the system has taken all
    /// of it.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`] after a Close; [`ClientError::Lost`] where the transport is gone: a
    /// Close that came before can still be read. After [`ClientError::Timeout`] the message may be
    /// half out: what is left of it goes out before anything else, or, where an earlier one is
    /// still in the way, it was not taken at all. A server that waits for this client to read is
    /// one reason; then read.
    pub fn send(&mut self, message: Message<'_>) -> Result<(), ClientError> {
        let Some(payload) = self.compression.deflate(message.payload) else {
            return self.send_uncompressed(message);
        };
        let message = Message { payload: &payload, ..message };
        let said = self.say(|outbound, mask, out| outbound.send_deflated(message, Some(mask), out));
        self.compression.keep(payload);
        if said.is_err() {
            self.compression.restart();
        }
        said
    }

    /// Sends a message as it is, whatever was agreed about compression.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_uncompressed(&mut self, message: Message<'_>) -> Result<(), ClientError> {
        self.say(|outbound, mask, out| outbound.send(message, Some(mask), out))
    }

    /// Whether permessage-deflate was agreed.
    pub const fn is_compressed(&self) -> bool {
        self.compression.is_on()
    }

    /// Sends a ping of at most 125 bytes; what is longer is cut. The pong comes by
    /// [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        self.say(|outbound, mask, out| outbound.ping(payload, Some(mask), out))
    }

    /// Waits for what comes next.
    ///
    /// # Errors
    ///
    /// [`ClientError::Timeout`] after the read timeout: reading goes on with the next call, and
    /// nothing is lost. [`ClientError::Protocol`], [`ClientError::Lost`]: the connection has
    /// ended. [`ClientError::Closed`] after any end.
    pub fn read(&mut self) -> Result<Incoming<'_>, ClientError> {
        let arrived = self.next(Deadline::after(self.times.read), Step::Read)?;
        Ok(self.lend(arrived))
    }

    /// Starts the close handshake, and goes on reading with [`read`](Self::read) until
    /// [`Incoming::Close`]. Nothing can be sent any more.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn start_close(&mut self, code: CloseCode, reason: &str) -> Result<(), ClientError> {
        let close = Close { code: Some(code), reason };
        self.say(|outbound, mask, out| outbound.close(close, Some(mask), out))
    }

    /// Closes: says so, waits for the server's Close and for its end of TCP (RFC 6455, section
    /// 5.5.1), and gives that Close. Messages that come before it are dropped. Where the server has
    /// closed already, it gives that Close again.
    ///
    /// # Errors
    ///
    /// [`ClientError::Timeout`] with [`Step::Close`] where the server takes longer than the close
    /// timeout; the connection is cut. Else as [`read`](Self::read).
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<Close<'_>, ClientError> {
        if self.is_open() {
            self.start_close(code, reason)?;
        }
        let deadline = Deadline::after(Some(self.times.close));
        let code = loop {
            if let Some(Ended::Closed(code)) = self.ended {
                break code;
            }
            match self.next(deadline, Step::Close) {
                Ok(Arrived::Close(code)) => break code,
                Ok(Arrived::Message(_) | Arrived::Chunk(..) | Arrived::Pong) => {}
                Err(error) => {
                    self.end(Ended::Failed);
                    self.transport.cut();
                    return Err(error);
                }
            }
        };
        Ok(self.arrived.close(code))
    }

    /// Encodes a frame and writes it. What is left of an earlier one goes first, and where that
    /// does not go out, the new one is not taken.
    fn say(
        &mut self,
        encode: impl FnOnce(&mut Outbound, [u8; 4], &mut Vec<u8>) -> Result<(), SendError>,
    ) -> Result<(), ClientError> {
        if !self.is_open() {
            return Err(ClientError::Closed);
        }
        let deadline = Deadline::after(self.times.write);
        self.flush(deadline)?;
        let mask = self.masks.next()?;
        encode(&mut self.outbound, mask, self.output.bytes())?;
        self.flush(deadline)
    }

    fn flush(&mut self, deadline: Deadline) -> Result<(), ClientError> {
        match self.output.flush(&mut self.transport, deadline) {
            Ok(Flushed::All) => Ok(()),
            Ok(Flushed::Part) => Err(ClientError::Timeout(Step::Write)),
            Err(error) => Err(ClientError::Lost(Some(error))),
        }
    }

    /// Goes on until something has come that the caller wants to know.
    pub(super) fn next(&mut self, deadline: Deadline, step: Step) -> Result<Arrived, ClientError> {
        if self.ended.is_some() {
            return Err(ClientError::Closed);
        }
        loop {
            match self.take() {
                Some(Taken::Nothing) => {}
                Some(Taken::Ping) => self.answer_ping()?,
                Some(Taken::Fault(error)) => return Err(self.fail(error)),
                Some(Taken::Arrived(Arrived::Close(code))) => {
                    self.answer_close(code)?;
                    return Ok(Arrived::Close(code));
                }
                Some(Taken::Arrived(arrived)) => {
                    self.push_out()?;
                    return Ok(arrived);
                }
                None => self.wait(deadline, step)?,
            }
        }
    }

    /// What the next piece of the stream completes; `None` where more has to be read first.
    fn take(&mut self) -> Option<Taken> {
        let piece = self.input.next_piece()?;
        let mut events = self.inbound.receive(&self.settings, &mut self.spare, piece);
        let mut taken = Taken::Nothing;
        while let Some(event) = events.next() {
            taken = match event {
                Ok(event) => self.arrived.absorb(event, self.delivery),
                Err(error) => Taken::Fault(error),
            };
        }
        Some(taken)
    }

    /// Reads more, with what is owed going out in between.
    fn wait(&mut self, deadline: Deadline, step: Step) -> Result<(), ClientError> {
        let mut looked = false;
        loop {
            self.push_out()?;
            let quiet = match self.times.heartbeat {
                Some(interval) if self.outbound.is_open() => Some(self.probe(interval, looked)?),
                Some(_) | None => None,
            };
            // However short the time, what is there already is taken.
            let mut wait = match deadline.left() {
                Ok(wait) => wait,
                Err(_) if looked => return Err(ClientError::Timeout(step)),
                Err(_) => Some(Duration::ZERO),
            };
            if !self.output.is_empty() {
                wait = Some(wait.map_or(RETRY, |wait| wait.min(RETRY)));
            }
            if let Some(quiet) = quiet {
                wait = Some(wait.map_or(quiet, |wait| wait.min(quiet)));
            }
            match self.input.fill(&mut self.transport, wait) {
                Ok(None) => looked = true,
                Ok(Some(0)) => return Err(self.lost(None)),
                Ok(Some(_)) => {
                    self.heard = Instant::now();
                    self.probing = false;
                    return Ok(());
                }
                Err(error) => return Err(self.lost(Some(error))),
            }
        }
    }

    /// Pings a server that has been silent for `interval`, gives it up after another; says how long
    /// it may still be silent. What came while nobody `looked` is no silence.
    fn probe(&mut self, interval: Duration, looked: bool) -> Result<Duration, ClientError> {
        let left = interval.saturating_sub(self.heard.elapsed());
        if !left.is_zero() || !looked {
            return Ok(left);
        }
        if self.probing {
            self.end(Ended::Failed);
            self.transport.cut();
            return Err(ClientError::Timeout(Step::Pong));
        }
        let mask = self.masks.next()?;
        self.outbound.ping(&[], Some(mask), self.output.bytes())?;
        self.probing = true;
        self.heard = Instant::now();
        self.push_out()?;
        Ok(interval)
    }

    /// RFC 6455, section 5.5.3: of the pings that cannot be answered at once the newest will do.
    fn answer_ping(&mut self) -> Result<(), ClientError> {
        if !self.output.has_room_for_control() {
            self.push_out()?;
        }
        if self.output.has_room_for_control() {
            let mask = self.masks.next()?;
            self.outbound.pong(self.arrived.control(), Some(mask), self.output.bytes())?;
        } else {
            self.owed_pong = Some(self.arrived.control().to_vec());
        }
        Ok(())
    }

    /// Writes what goes out without holding up the read that is to follow.
    fn push_out(&mut self) -> Result<(), ClientError> {
        loop {
            let flushed = self.output.flush_at_once(&mut self.transport);
            let Some(payload) = self.owed_pong.take_if(|_| matches!(flushed, Flushed::All)) else {
                return Ok(());
            };
            let mask = self.masks.next()?;
            self.outbound.pong(&payload, Some(mask), self.output.bytes())?;
        }
    }

    /// RFC 6455, section 5.5.1: the Close is answered, and the server closes TCP first. When the
    /// time for it is over, the client does.
    fn answer_close(&mut self, code: Option<CloseCode>) -> Result<(), ClientError> {
        let deadline = Deadline::after(Some(self.times.close));
        let mask = self.masks.next()?;
        let close = Close { code, reason: "" };
        self.outbound.receive_close(close, Some(mask), self.output.bytes());
        self.end(Ended::Closed(code));
        self.hang_up(deadline);
        Ok(())
    }

    /// RFC 6455, section 7.1.7: says why, and looks at nothing that still comes.
    fn fail(&mut self, error: ProtocolError) -> ClientError {
        if let Ok(mask) = self.masks.next() {
            self.outbound.fail(error, Some(mask), self.output.bytes());
        }
        self.end(Ended::Failed);
        let deadline = Deadline::after(Some(self.times.close));
        let flushed = self.output.flush(&mut self.transport, deadline);
        if matches!(flushed, Ok(Flushed::All)) {
            self.transport.finish_writing();
        }
        self.hang_up(deadline);
        ClientError::Protocol(error)
    }

    fn lost(&mut self, error: Option<io::Error>) -> ClientError {
        self.end(Ended::Failed);
        self.transport.cut();
        ClientError::Lost(error)
    }

    fn end(&mut self, ended: Ended) {
        self.ended.get_or_insert(ended);
        self.owed_pong = None;
        self.inbound.release(&mut self.spare);
    }

    /// Writes what is left, throws away what still comes until the server's end of TCP, and cuts
    /// the connection. To close with unread input would send a reset, which can overtake the Close.
    fn hang_up(&mut self, deadline: Deadline) {
        let written = self.output.flush(&mut self.transport, deadline);
        if matches!(written, Ok(Flushed::All)) {
            while let Ok(wait) = deadline.left() {
                match self.input.fill(&mut self.transport, wait) {
                    Ok(None | Some(1..)) => {}
                    Ok(Some(0)) | Err(_) => break,
                }
            }
        }
        self.transport.cut();
    }

    /// Makes the event of what has arrived.
    pub(super) fn lend(&mut self, arrived: Arrived) -> Incoming<'_> {
        self.arrived.lend(arrived)
    }
}
