//! From a URL to a connected socket.
//!
//! Owns the addresses of a name, the way through a proxy and that to a Unix socket. Never speaks to
//! the server.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::path::Path;

#[cfg(unix)]
use socket2::{Domain, SockAddr, Socket, Type};

use super::connecting::{Remote, Turn};
use super::deadline::Deadline;
use super::opening::{Received, write_all};
use super::transport::Transport;
use super::{ClientError, Proxy, ProxyError, Step, Url};
use crate::http::{HeadLimits, HeaderSlots, ResponseHead};

/// Connects, through the proxy where there is one. The turn has to be kept until the handshake has
/// succeeded or failed (RFC 6455, section 4.1, item 2).
pub(super) fn dial(
    url: &Url,
    proxy: Option<&Proxy>,
    limits: &HeadLimits,
    deadline: Deadline,
) -> Result<(Transport, Turn), ClientError> {
    let Some(proxy) = proxy else {
        return first_that_answers(url.host(), url.port(), deadline, |addr, deadline| {
            let turn = Turn::wait(Remote::Address(addr), deadline)?;
            Ok((connect(addr, deadline), turn))
        });
    };
    let turn = Turn::wait(Remote::Name(format!("{}:{}", url.host(), url.port())), deadline)?;
    let (mut transport, ()) =
        first_that_answers(proxy.host(), proxy.port(), deadline, |addr, deadline| {
            Ok((connect(addr, deadline), ()))
        })?;
    open_tunnel(&mut transport, proxy.request(url).as_bytes(), limits, deadline)?;
    Ok((transport, turn))
}

/// Connects to the Unix socket at `path`.
#[cfg(unix)]
pub(super) fn dial_unix(path: &Path, deadline: Deadline) -> Result<(Transport, Turn), ClientError> {
    let name = format!("unix:{}", path.display());
    let turn = Turn::wait(Remote::Name(name.clone()), deadline)?;
    let left = deadline.left().map_err(|_| ClientError::Timeout(Step::Connect))?;
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_write_timeout(left)?; // for the connect too: it waits for room in the queue
        socket.connect(&SockAddr::unix(path)?)?;
        Transport::of(socket.into())
    };
    match connect() {
        Ok(transport) => Ok((transport, turn)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(ClientError::Timeout(Step::Connect))
        }
        Err(error) => Err(ClientError::Connect { host: name, error }),
    }
}

/// What came of one address, and what is kept with a connection.
type Attempt<T> = (io::Result<Transport>, T);

/// Tries the addresses of a name in turn. Each may take its share of the time that is left, so that
/// one that swallows everything does not cost the others their chance.
///
/// The standard library's resolver knows no deadline: this is the one wait that may outlast it.
fn first_that_answers<T>(
    host: &str,
    port: u16,
    deadline: Deadline,
    mut attempt: impl FnMut(SocketAddr, Deadline) -> Result<Attempt<T>, ClientError>,
) -> Result<(Transport, T), ClientError> {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let addrs = (name, port).to_socket_addrs();
    let addrs = addrs.map_err(|error| ClientError::Resolve { host: host.to_owned(), error })?;
    let addrs: Vec<SocketAddr> = addrs.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (index, addr) in addrs.iter().enumerate() {
        let share = match deadline.left() {
            Err(_) => return Err(ClientError::Timeout(Step::Connect)),
            Ok(None) => deadline,
            Ok(Some(left)) => deadline.within(left / (addrs.len() - index) as u32),
        };
        match attempt(*addr, share)? {
            (Ok(transport), kept) => return Ok((transport, kept)),
            (Err(error), _) => last = error,
        }
    }
    if deadline.left().is_err() {
        return Err(ClientError::Timeout(Step::Connect));
    }
    Err(ClientError::Connect { host: host.to_owned(), error: last })
}

fn connect(addr: SocketAddr, deadline: Deadline) -> io::Result<Transport> {
    let stream = match deadline.left() {
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        Ok(None) => TcpStream::connect(addr)?,
        Ok(Some(left)) => TcpStream::connect_timeout(&addr, left)?,
    };
    Transport::new(stream)
}

/// Asks the proxy for a tunnel. Any 2xx opens it, and has no body (RFC 9110, section 9.3.6).
fn open_tunnel(
    transport: &mut Transport,
    request: &[u8],
    limits: &HeadLimits,
    deadline: Deadline,
) -> Result<(), ClientError> {
    write_all(transport, request, deadline, Step::Proxy)?;
    let mut received = Received::default();
    let head_len = received.final_head(transport, limits, deadline, Step::Proxy).map_err(
        |error| match error {
            ClientError::Head(error) => ProxyError::Head(error).into(),
            error => error,
        },
    )?;
    let mut slots = HeaderSlots::new();
    let head = &received.bytes()[..head_len];
    let response = ResponseHead::parse(head, &mut slots, limits).map_err(ProxyError::Head)?;
    if !(200..300).contains(&response.status()) {
        return Err(ProxyError::Refused(response.status()).into());
    }
    if received.bytes().len() > head_len {
        return Err(ProxyError::Surplus.into()); // a server speaks second
    }
    Ok(())
}
