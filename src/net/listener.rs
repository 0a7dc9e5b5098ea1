//! Sockets that listen, before a loop has them.
//!
//! Owns how they are made and what is set on them. Never accepts, and never knows a loop. What a
//! Unix socket has besides, its file, is for [`socket_file`](super::socket_file).

use std::io;
use std::net::{SocketAddr, TcpListener};
#[cfg(unix)]
use std::os::fd::OwnedFd;
#[cfg(unix)]
use std::os::unix::net::UnixListener;

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections the kernel keeps ready to be accepted.
pub(super) const LISTEN_BACKLOG: i32 = 4096;

/// A socket that is bound, listens and does not block.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket (unix(7)).
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    /// Listens by TCP. With `shared` several may listen on one address, and the kernel spreads new
    /// connections over them by hash.
    pub(super) fn tcp(addr: SocketAddr, shared: bool) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(shared)?;
        socket.set_tcp_nodelay(true)?; // Linux passes it on to what is accepted
        socket.set_nonblocking(true)?;
        #[cfg(target_os = "linux")]
        super::defer::defer_accept(&socket);
        socket.bind(&addr.into())?;
        socket.listen(LISTEN_BACKLOG)?;
        Ok(socket.into())
    }

    /// A socket that listens already, as ours do.
    #[cfg(unix)]
    pub(super) fn adopt(socket: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(socket);
        socket.set_nonblocking(true)?;
        if socket.local_addr()?.is_unix() {
            return Ok(Self::Unix(socket.into()));
        }
        socket.set_tcp_nodelay(true)?;
        #[cfg(target_os = "linux")]
        super::defer::defer_accept(&socket);
        Ok(Self::Tcp(socket.into()))
    }

    /// The address that it listens on, where that is one of TCP.
    pub(super) fn tcp_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            #[cfg(unix)]
            Self::Unix(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// A second handle on the same socket.
    #[cfg(unix)]
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            Self::Unix(listener) => listener.try_clone().map(Self::Unix),
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}
