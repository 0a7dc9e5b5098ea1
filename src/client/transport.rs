//! The bytes to and from the server.
//!
//! Owns the socket and its timeouts, and TLS where it is spoken. Never knows what the bytes mean.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

#[cfg(feature = "tls")]
use super::secured::Secured;
#[cfg(feature = "tls")]
use super::{ClientError, deadline::Deadline};
#[cfg(feature = "tls")]
use crate::tls::Connector;

/// No timeout of a socket may be zero, and kernels count in milliseconds.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// A connection. Both directions say `None` where nothing moved in time.
#[derive(Debug)]
pub(super) struct Transport {
    wire: Wire,
    #[cfg(feature = "tls")]
    secured: Option<Box<Secured>>,
}

/// A connected socket.
#[derive(Debug)]
pub(super) struct Wire {
    /// None once it is cut: a socket that is only shut down still takes what the server sends.
    stream: Option<TcpStream>,
    /// What the socket was told last: to tell it anew costs a system call.
    read_wait: Option<Duration>,
    write_wait: Option<Duration>,
}

impl Transport {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Self::of(stream)
    }

    /// Over a socket that may be a Unix one, which has the same calls.
    pub(super) fn of(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)?;
        Ok(Self {
            wire: Wire { stream: Some(stream), read_wait: None, write_wait: None },
            #[cfg(feature = "tls")]
            secured: None,
        })
    }

    /// Speaks TLS from here on, with a server of this name.
    #[cfg(feature = "tls")]
    pub(super) fn secure(
        &mut self,
        connector: &Connector,
        host: &str,
        deadline: Deadline,
    ) -> Result<(), ClientError> {
        let secured = Secured::open(&mut self.wire, connector, host, deadline)?;
        self.secured = Some(Box::new(secured));
        Ok(())
    }

    /// Reads what is there, waiting for at most `wait`; zero bytes is the end.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        wait: Option<Duration>,
    ) -> io::Result<Option<usize>> {
        #[cfg(feature = "tls")]
        if let Some(secured) = &mut self.secured {
            return secured.read(&mut self.wire, buffer, wait);
        }
        self.wire.read(buffer, wait)
    }

    /// Writes what fits, waiting for at most `wait`. What was not taken is to be offered again,
    /// before anything else.
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        wait: Option<Duration>,
    ) -> io::Result<Option<usize>> {
        #[cfg(feature = "tls")]
        if let Some(secured) = &mut self.secured {
            return secured.write(bytes, |bytes| self.wire.write(bytes, wait));
        }
        self.wire.write(bytes, wait)
    }

    /// Writes what fits at once.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        #[cfg(feature = "tls")]
        if let Some(secured) = &mut self.secured {
            return secured.write(bytes, |bytes| self.wire.try_write(bytes));
        }
        self.wire.try_write(bytes)
    }

    /// Says that nothing more will be written. It may be that the other side has gone already.
    pub(super) fn finish_writing(&mut self) {
        #[cfg(feature = "tls")]
        if let Some(secured) = &mut self.secured {
            secured.say_end(&mut self.wire);
        }
        let _ = self.wire.stream().map(|stream| stream.shutdown(Shutdown::Write));
    }

    /// Ends both directions.
    pub(super) fn cut(&mut self) {
        #[cfg(feature = "tls")]
        if let Some(secured) = self.secured.as_mut().filter(|secured| secured.has_ended()) {
            secured.say_end(&mut self.wire); // to who has said so: else the end is no clean one
        }
        self.wire.stream = None;
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.wire.stream()?.peer_addr()
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.wire.stream()?.local_addr()
    }
}

impl Wire {
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        wait: Option<Duration>,
    ) -> io::Result<Option<usize>> {
        let wait = wait.map(|wait| wait.max(WAIT_MIN));
        if wait != self.read_wait {
            self.stream()?.set_read_timeout(wait)?;
            self.read_wait = wait;
        }
        in_time(self.stream()?.read(buffer))
    }

    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        wait: Option<Duration>,
    ) -> io::Result<Option<usize>> {
        let wait = wait.map(|wait| wait.max(WAIT_MIN));
        if wait != self.write_wait {
            self.stream()?.set_write_timeout(wait)?;
            self.write_wait = wait;
        }
        in_time(self.stream()?.write(bytes)).and_then(not_zero)
    }

    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let mut stream = self.stream()?;
        // A timeout would cost a tick of the kernel's clock each time that nothing fits.
        stream.set_nonblocking(true)?;
        let written = in_time(stream.write(bytes)).and_then(not_zero);
        stream.set_nonblocking(false)?;
        written
    }

    fn stream(&self) -> io::Result<&TcpStream> {
        self.stream.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

/// A timeout, or a signal that came in between, is no error: the caller knows its deadline.
fn in_time(result: io::Result<usize>) -> io::Result<Option<usize>> {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A write that takes nothing would be tried for ever.
fn not_zero(count: Option<usize>) -> io::Result<Option<usize>> {
    if count == Some(0) { Err(io::ErrorKind::WriteZero.into()) } else { Ok(count) }
}
