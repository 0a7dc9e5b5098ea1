//! A server: listeners, and a thread for each loop.
//!
//! Owns sockets before they are accepted on, and the threads. Never speaks to a peer.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::thread;

use socket2::{Domain, Protocol, Socket, Type};

use super::mailbox::Signal;
use super::{
    Config, EventLoop, Handler, Mailbox, Mailboxes, Os, OsClock, OsPoll, OsRandom, Platform,
};
use crate::proto::Role;

/// How many connections the kernel keeps ready to be accepted.
const LISTEN_BACKLOG: i32 = 4096;

/// What a server is made of.
///
/// ```no_run
/// # use throng::net::{ConnectionId, Handler, Message, Peers, Server};
/// # struct Echo;
/// # impl Handler for Echo {
/// #     type Session = ();
/// #     type Mail = ();
/// #     fn message(&mut self, peers: &mut Peers<()>, from: ConnectionId, message: Message<'_>) {
/// #         let _ = peers.send(from, message);
/// #     }
/// # }
/// # fn main() -> std::io::Result<()> {
/// let server = Server::builder().listen("127.0.0.1:0").loops(2).bind()?;
/// println!("listening on {:?}", server.local_addrs());
/// server.run(|_loop_index, _mailboxes| Echo)
/// # }
/// ```
#[derive(Debug)]
pub struct Builder {
    addrs: io::Result<Vec<SocketAddr>>,
    loops: usize,
    reuse_port: bool,
    config: Config,
}

/// A server that is bound to its addresses: it runs when [`run`](Self::run) is called.
pub struct Server {
    polls: Vec<OsPoll>,
    signals: Vec<Arc<Signal>>,
    local_addrs: Vec<SocketAddr>,
    config: Config,
}

/// Stops a server, from any thread.
#[derive(Clone)]
pub struct Stopper {
    signals: Vec<Arc<Signal>>,
}

impl Stopper {
    /// Says goodbye to every peer with Close 1001; [`Server::run`] returns when they have left, or
    /// after [`Config::drain_timeout`].
    pub fn stop(&self) {
        for signal in &self.signals {
            signal.stop();
        }
    }
}

impl Builder {
    /// Adds an address to listen on; port 0 takes a free one.
    #[must_use]
    pub fn listen(mut self, addr: impl ToSocketAddrs) -> Self {
        if let Ok(addrs) = &mut self.addrs {
            match addr.to_socket_addrs() {
                Ok(more) => addrs.extend(more),
                Err(error) => self.addrs = Err(error),
            }
        }
        self
    }

    /// How many loops to run, each on a thread of its own with listeners of its own
    /// (SO_REUSEPORT). Default: 1.
    #[must_use]
    pub const fn loops(mut self, loops: usize) -> Self {
        self.loops = if loops == 0 { 1 } else { loops };
        self
    }

    /// Whether other processes of the same user that ask for it too may listen on the same
    /// addresses (SO_REUSEPORT, socket(7)): the kernel spreads new connections over all of them by
    /// hash. Default: not, so that a second server on an address is refused.
    #[must_use]
    pub const fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.reuse_port = reuse_port;
        self
    }

    /// The limits and times.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Binds the addresses.
    ///
    /// # Errors
    /// What the system says of an address: in use, not ours, not allowed.
    pub fn bind(self) -> io::Result<Server> {
        let wanted = self.addrs?;
        if wanted.is_empty() && self.config.settings.role == Role::Server {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on"));
        }
        let shared = self.loops > 1 || self.reuse_port;
        let mut local_addrs = Vec::new();
        let mut first = Vec::new();
        for addr in wanted {
            let listener = listen(addr, shared)?;
            local_addrs.push(listener.local_addr()?);
            first.push(listener);
        }
        let mut polls = vec![OsPoll::new(first)?];
        for _ in 1..self.loops {
            let listeners: io::Result<Vec<_>> =
                local_addrs.iter().map(|addr| listen(*addr, shared)).collect();
            polls.push(OsPoll::new(listeners?)?);
        }
        let mut signals = Vec::new();
        for poll in &polls {
            let waker = poll.waker()?;
            signals.push(Signal::new(move || {
                if let Err(error) = waker.wake() {
                    tracing::error!(%error, "a loop cannot be woken");
                }
            }));
        }
        Ok(Server { polls, signals, local_addrs, config: self.config })
    }

    /// Binds and runs: see [`Server::run`].
    ///
    /// # Errors
    /// As [`bind`](Self::bind) and [`Server::run`].
    pub fn run<H: Handler>(
        self,
        make: impl Fn(usize, &Mailboxes<H::Mail>) -> H + Sync,
    ) -> io::Result<()> {
        self.bind()?.run(make)
    }
}

impl Server {
    /// A server of one loop that listens nowhere yet.
    pub fn builder() -> Builder {
        let (addrs, config) = (Ok(Vec::new()), Config::default());
        Builder { addrs, loops: 1, reuse_port: false, config }
    }

    /// The addresses that it listens on.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// What stops it.
    pub fn stopper(&self) -> Stopper {
        Stopper { signals: self.signals.clone() }
    }

    /// Runs the loops, the first on this thread, until it is stopped. `make` makes the handler of
    /// each, on its thread, from the loop's number and the mailboxes of all.
    ///
    /// # Errors
    /// What epoll says when it cannot wait, or the system when it has no thread.
    pub fn run<H: Handler>(
        self,
        make: impl Fn(usize, &Mailboxes<H::Mail>) -> H + Sync,
    ) -> io::Result<()> {
        self.run_on::<Os, H>(|poll| poll, make)
    }

    /// The same with TLS: the handler has to be one for [`Tls`](super::Tls), as one is that is for
    /// any platform.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    #[cfg(feature = "tls")]
    pub fn run_tls<H: Handler<super::Tls>>(
        self,
        setup: &super::TlsSetup,
        make: impl Fn(usize, &Mailboxes<H::Mail>) -> H + Sync,
    ) -> io::Result<()> {
        let is_proxied = self.config.proxy_protocol;
        let world = |poll| super::TlsPoll::new(poll, setup.clone(), is_proxied);
        self.run_on::<super::Tls, H>(world, make)
    }

    fn run_on<P: Platform<Clock = OsClock, Random = OsRandom>, H: Handler<P>>(
        self,
        world: impl Fn(OsPoll) -> P::Poll + Sync,
        make: impl Fn(usize, &Mailboxes<H::Mail>) -> H + Sync,
    ) -> io::Result<()> {
        let (max, stopper) = (self.config.mailbox_max, self.stopper());
        let mailboxes: Mailboxes<H::Mail> =
            self.signals.iter().map(|s| Mailbox::with_signal(max, Arc::clone(s))).collect();
        let run_loop = |index: usize, poll: OsPoll| {
            let (clock, random) = (OsClock::default(), OsRandom::default());
            let handler = make(index, &mailboxes);
            let mailbox = mailboxes[index].clone();
            let (config, poll) = (self.config.clone(), world(poll));
            EventLoop::<H, P>::new(config, handler, mailbox, poll, clock, random).run()
        };
        thread::scope(|scope| {
            let mut polls = self.polls.into_iter().enumerate();
            let first = polls.next();
            let mut threads = Vec::new();
            for (index, poll) in polls {
                let name = format!("throng-{index}");
                let run_loop = &run_loop;
                let start = thread::Builder::new().name(name);
                match start.spawn_scoped(scope, move || run_loop(index, poll)) {
                    Ok(thread) => threads.push(thread),
                    Err(error) => {
                        stopper.stop(); // the loops that run already
                        return Err(error);
                    }
                }
            }
            let mut result = first.map_or(Ok(()), |(index, poll)| run_loop(index, poll));
            if result.is_err() {
                stopper.stop();
            }
            for thread in threads {
                let ended =
                    thread.join().unwrap_or_else(|_| Err(io::Error::other("loop panicked")));
                result = result.and(ended);
            }
            result
        })
    }
}

/// A listening socket. With `shared` several may listen on one address, and the kernel spreads new
/// connections over them by hash.
fn listen(addr: SocketAddr, shared: bool) -> io::Result<TcpListener> {
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
