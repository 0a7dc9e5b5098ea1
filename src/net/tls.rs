//! TLS between the loop and another platform's streams.
//!
//! Owns how a connection begins (TLS, or plain HTTP gone astray), the buffers that all connections
//! of a loop share, and the share of a turn that handshakes may have. Never knows a certificate:
//! that is for [`tls`](crate::tls). A loop without TLS has none of this in it.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{ConnectionId, Os, Platform, Poll, Ready, Stream};
use crate::tls::{Acceptor, Connector, Received, Scratch, Session};

/// The type of a record that begins a handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// How many reads without plaintext are one after another in a turn: records may be empty.
const EMPTY_READS_MAX: u32 = 8;

/// A platform with TLS over the streams of another.
#[derive(Debug)]
pub struct Tls<P = Os>(PhantomData<P>);

impl<P: Platform> Platform for Tls<P> {
    type Stream = TlsStream<P::Stream>;
    type Poll = TlsPoll<P::Poll>;
    type Clock = P::Clock;
    type Random = P::Random;
}

/// How the connections of a loop speak TLS.
#[derive(Clone, Debug)]
pub struct TlsSetup {
    /// For the connections that are taken in; without it they are plain.
    pub acceptor: Option<Arc<Acceptor>>,
    /// For the connections that the loop opens; without it they are plain.
    pub connector: Option<Connector>,
    /// Whether plain HTTP is served on the same port: the first byte tells the two apart. Default:
    /// it is answered with 400.
    pub takes_plain: bool,
    /// How many steps of handshakes are taken in a turn of the loop; a handshake has two or three,
    /// of which one costs. Default: 16.
    pub handshakes_per_turn: u32,
}

impl Default for TlsSetup {
    fn default() -> Self {
        Self { acceptor: None, connector: None, takes_plain: false, handshakes_per_turn: 16 }
    }
}

impl TlsSetup {
    /// TLS for the connections that are taken in.
    pub fn accepting(acceptor: &Arc<Acceptor>) -> Self {
        Self { acceptor: Some(Arc::clone(acceptor)), ..Self::default() }
    }

    /// TLS for the connections that the loop opens.
    pub fn connecting(connector: &Connector) -> Self {
        Self { connector: Some(connector.clone()), ..Self::default() }
    }
}

/// What the connections of a loop share.
#[derive(Debug)]
struct Shared {
    setup: TlsSetup,
    /// Whether a header of a proxy stands before everything.
    is_proxied: bool,
    scratch: RefCell<Scratch>,
    /// How many steps of handshakes are left in this turn.
    steps_left: Cell<u32>,
}

/// Readiness, and new streams with TLS.
#[derive(Debug)]
pub struct TlsPoll<P> {
    inner: P,
    shared: Rc<Shared>,
}

impl<P> TlsPoll<P> {
    /// Puts TLS over the streams of `inner`. With `is_proxied` each that is taken in begins with a
    /// header of the PROXY protocol, in front of TLS.
    pub fn new(inner: P, setup: TlsSetup, is_proxied: bool) -> Self {
        let steps_left = Cell::new(setup.handshakes_per_turn);
        let scratch = RefCell::new(Scratch::default());
        Self { inner, shared: Rc::new(Shared { setup, is_proxied, scratch, steps_left }) }
    }
}

impl<P: Poll> Poll for TlsPoll<P> {
    type Stream = TlsStream<P::Stream>;

    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.wait(ready, timeout)?;
        self.shared.steps_left.set(self.shared.setup.handshakes_per_turn.max(1));
        Ok(())
    }

    fn accept(&mut self, listener: usize) -> io::Result<Self::Stream> {
        let socket = self.inner.accept(listener)?;
        let phase = match self.shared.setup.acceptor {
            None => Phase::Plain,
            Some(_) if self.shared.is_proxied => Phase::Proxy,
            Some(_) => Phase::Unknown,
        };
        Ok(TlsStream::new(socket, phase, &self.shared))
    }

    fn connect(&mut self, from: Option<IpAddr>, to: SocketAddr) -> io::Result<Self::Stream> {
        let socket = self.inner.connect(from, to)?;
        Ok(TlsStream::new(socket, Phase::Plain, &self.shared))
    }

    #[cfg(unix)]
    fn adopt(&mut self, socket: std::os::fd::OwnedFd) -> io::Result<Self::Stream> {
        Ok(TlsStream::new(self.inner.adopt(socket)?, Phase::Plain, &self.shared))
    }

    fn deregister(&mut self, stream: &mut Self::Stream) -> io::Result<()> {
        self.inner.deregister(&mut stream.socket)
    }

    fn register(&mut self, stream: &mut Self::Stream, id: ConnectionId) -> io::Result<()> {
        self.inner.register(&mut stream.socket, id)
    }

    fn listeners(&self) -> usize {
        self.inner.listeners()
    }

    fn stop_listening(&mut self) {
        self.inner.stop_listening();
    }
}

/// What a connection speaks.
///
/// ```text
///   Proxy ──header──► Unknown ──a handshake record──► Session
///                        ├──plain HTTP, and it is served──► Plain
///                        └──plain HTTP────────────────────► Astray
/// ```
#[derive(Debug)]
enum Phase {
    /// The header of the proxy in front.
    Proxy,
    /// Nothing has come yet.
    Unknown,
    /// No TLS.
    Plain,
    /// No TLS, where there should be.
    Astray,
    /// TLS.
    Session(Box<Session>),
}

/// A stream with TLS, or without where that was agreed.
#[derive(Debug)]
pub struct TlsStream<S> {
    socket: S,
    phase: Phase,
    shared: Rc<Shared>,
    /// The last read may have left something.
    has_unread: bool,
    /// The end of TLS was said, and that of TCP follows when it is written.
    is_ending: bool,
    fault: Option<Box<io::Error>>,
}

impl<S: Stream> TlsStream<S> {
    fn new(socket: S, phase: Phase, shared: &Rc<Shared>) -> Self {
        let shared = Rc::clone(shared);
        Self { socket, phase, shared, has_unread: false, is_ending: false, fault: None }
    }

    /// The first bytes of a connection: they are in `buffer`, so many.
    fn meet(&mut self, buffer: &mut [u8], count: usize) -> io::Result<Option<usize>> {
        let Some(first) = buffer[..count].first() else { return Ok(Some(0)) };
        let setup = &self.shared.setup;
        let is_plain = match setup.takes_plain {
            true => *first != HANDSHAKE,
            false => first.is_ascii_uppercase(), // a method; else let TLS say what is wrong
        };
        match &setup.acceptor {
            Some(acceptor) if !is_plain => {
                let session = Session::server(acceptor.config()).map_err(io::Error::other)?;
                self.phase = Phase::Session(Box::new(session));
                self.open_with(&buffer[..count])?;
                Ok(None)
            }
            Some(_) if !setup.takes_plain => {
                self.phase = Phase::Astray;
                Ok(Some(count))
            }
            Some(_) | None => {
                self.phase = Phase::Plain;
                Ok(Some(count))
            }
        }
    }

    /// Gives a session what was read before there was one.
    fn open_with(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Phase::Session(session) = &mut self.phase else { return Ok(()) };
        let shared = &self.shared;
        shared.steps_left.set(shared.steps_left.get().saturating_sub(1));
        let given = session.give(&mut shared.scratch.borrow_mut(), bytes);
        let flushed = session.flush(|bytes| self.socket.write(bytes));
        given.and(flushed.map(|_| ()))
    }

    /// Reads from a session until there is plaintext, or nothing more to be had.
    fn read_session(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self { socket, phase, shared, has_unread, .. } = self;
        let Phase::Session(session) = phase else { return Ok(0) };
        for _ in 0..EMPTY_READS_MAX {
            let was_open = session.is_open();
            if !was_open && shared.steps_left.get() == 0 {
                break;
            }
            let mut count = 0;
            let received =
                session.receive(&mut shared.scratch.borrow_mut(), buffer, |ciphertext| {
                    count = socket.read(ciphertext)?;
                    Ok(count)
                });
            if !was_open && count > 0 {
                shared.steps_left.set(shared.steps_left.get().saturating_sub(1));
            }
            // An answer of a handshake, a key update, or an alert about what is wrong.
            let flushed = session.flush(|bytes| socket.write(bytes));
            if !was_open
                && session.is_open()
                && let Some(acceptor) = &shared.setup.acceptor
            {
                acceptor.count_handshake(session.state().handshake_kind());
            }
            let received = received?;
            flushed?;
            match received {
                Received::End => {
                    *has_unread = false;
                    return Ok(0);
                }
                Received::Plain(0, _) => {}
                Received::Plain(len, is_filled) => {
                    *has_unread = is_filled || session.has_unread();
                    return Ok(len);
                }
            }
        }
        Err(ErrorKind::ResourceBusy.into())
    }

    /// Keeps what is wrong with TLS, for who asks, and counts it.
    fn fail(&mut self, error: io::Error) -> io::Error {
        let kind = error.kind();
        if matches!(kind, ErrorKind::InvalidData) {
            tracing::debug!(%error, "TLS has failed");
            if let Some(acceptor) = &self.shared.setup.acceptor {
                acceptor.count_failure();
            }
            self.fault = Some(Box::new(error));
        }
        kind.into()
    }
}

/// Whether an error only says that nothing can be done now.
fn is_of_the_moment(error: &io::Error) -> bool {
    use ErrorKind::{Interrupted, ResourceBusy, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ResourceBusy)
}

impl<S: Stream> Stream for TlsStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = match self.phase {
            Phase::Proxy | Phase::Plain | Phase::Astray => return self.socket.read(buffer),
            Phase::Unknown if self.shared.steps_left.get() == 0 => {
                return Err(ErrorKind::ResourceBusy.into());
            }
            Phase::Unknown => {
                let count = self.socket.read(buffer)?;
                match self.meet(buffer, count) {
                    Ok(Some(count)) => return Ok(count),
                    Ok(None) => self.read_session(buffer),
                    Err(error) => Err(error),
                }
            }
            Phase::Session(_) => self.read_session(buffer),
        };
        result.map_err(|error| if is_of_the_moment(&error) { error } else { self.fail(error) })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Self { socket, phase, shared, .. } = self;
        match phase {
            Phase::Plain | Phase::Astray => socket.write_vectored(slices),
            Phase::Proxy | Phase::Unknown => Err(ErrorKind::NotConnected.into()),
            Phase::Session(session) => {
                let scratch = &mut shared.scratch.borrow_mut();
                session.send(scratch, slices, |bytes| socket.write(bytes))
            }
        }
    }

    fn shutdown(&mut self) -> io::Result<()> {
        if let Phase::Session(session) = &mut self.phase {
            session.say_end(&mut self.shared.scratch.borrow_mut())?;
            self.is_ending = true;
            return self.flush().map(|_| ());
        }
        self.socket.shutdown()
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.socket.remote_addr()
    }

    fn is_unix(&self) -> bool {
        self.socket.is_unix()
    }

    fn has_unread(&self) -> bool {
        self.has_unread
    }

    fn is_opening(&self) -> bool {
        match &self.phase {
            Phase::Unknown => true,
            Phase::Session(session) => !session.is_open(),
            Phase::Proxy | Phase::Plain | Phase::Astray => false,
        }
    }

    fn owes(&self) -> bool {
        matches!(&self.phase, Phase::Session(session) if session.owes() || self.is_ending)
    }

    fn flush(&mut self) -> io::Result<usize> {
        let Phase::Session(session) = &mut self.phase else { return Ok(0) };
        let mut total = 0;
        let is_all = session.flush(|bytes| {
            let written = self.socket.write(bytes)?;
            total += written;
            Ok(written)
        })?;
        if is_all && std::mem::take(&mut self.is_ending) {
            self.socket.shutdown()?;
        }
        Ok(total)
    }

    fn lead_to(&mut self, host: &str) -> io::Result<()> {
        let Some(connector) = &self.shared.setup.connector else { return Ok(()) };
        let mut session = connector.session(host)?;
        session.begin(&mut self.shared.scratch.borrow_mut())?;
        self.phase = Phase::Session(Box::new(session));
        Ok(())
    }

    fn take_back(&mut self, bytes: &[u8]) -> bool {
        if !matches!(self.phase, Phase::Proxy) {
            return false;
        }
        self.phase = Phase::Unknown;
        if bytes.is_empty() {
            return true;
        }
        let mut bytes = bytes.to_vec();
        let count = bytes.len();
        match self.meet(&mut bytes, count) {
            Ok(met) => met.is_none(),
            // The next read says so, and that of a socket that is drained is asked for as well.
            Err(error) => {
                let _ = self.fail(error);
                true
            }
        }
    }

    fn is_astray(&self) -> bool {
        matches!(self.phase, Phase::Astray)
    }

    fn is_secure(&self) -> bool {
        matches!(self.phase, Phase::Session(_))
    }

    fn peer_certificate(&self) -> Option<&[u8]> {
        let Phase::Session(session) = &self.phase else { return None };
        session.state().peer_certificates()?.first().map(|certificate| &**certificate)
    }

    fn take_fault(&mut self) -> Option<io::Error> {
        self.fault.take().map(|error| *error)
    }
}
