//! A server: listeners, and a thread for each loop.
//!
//! Owns sockets before they are accepted on, and the threads. Never speaks to a peer.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
#[cfg(unix)]
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::bound::Bound;
#[cfg(unix)]
use super::inherit::Inherited;
use super::mailbox::{Signal, Wish};
use super::pulse::Pulse;
use super::{
    Config, EventLoop, Handler, Mailbox, Mailboxes, Os, OsClock, OsPoll, OsRandom, Platform,
};
use crate::proto::Role;

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
    #[cfg(unix)]
    paths: Vec<(PathBuf, u32)>,
    loops: usize,
    reuse_port: bool,
    config: Config,
    #[cfg(unix)]
    inherited: Vec<Inherited>,
    pulse: Option<Beat>,
}

/// What each loop calls with its number, and how often.
#[derive(Clone)]
struct Beat {
    every: Duration,
    call: Arc<dyn Fn(usize) + Send + Sync>,
}

/// A server that is bound to its addresses: it runs when [`run`](Self::run) is called.
pub struct Server {
    polls: Vec<OsPoll>,
    signals: Vec<Arc<Signal>>,
    config: Config,
    pulse: Option<Beat>,
    /// Behind the polls, which have the listeners: those have to be gone when this is dropped.
    bound: Bound,
}

impl fmt::Debug for Beat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beat").field("every", &self.every).finish_non_exhaustive()
    }
}

/// Stops a server, from any thread.
#[derive(Clone)]
pub struct Stopper {
    signals: Vec<Arc<Signal>>,
}

impl Stopper {
    /// Asks every peer to leave with Close 1001, evenly over [`Config::drain_timeout`], and refuses
    /// new handshakes with 503; [`Server::run`] returns when all have left, or have had their time.
    pub fn stop(&self) {
        self.ask(Wish::Stop);
    }

    /// The same, while another process listens on the [same sockets](Server::handles): from now on
    /// new connections go there. A request that has begun to come is answered here.
    pub fn give_way(&self) {
        self.ask(Wish::GiveWay);
    }

    fn ask(&self, wish: Wish) {
        for signal in &self.signals {
            signal.ask(wish);
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

    /// Adds a Unix socket to listen on. Whoever may write to its file, as `mode` says, may connect:
    /// 0o660 is its owner and its group. A file that a dead server has left is replaced, and ours
    /// is removed at the end.
    #[cfg(unix)]
    #[must_use]
    pub fn listen_unix(mut self, path: impl Into<PathBuf>, mode: u32) -> Self {
        self.paths.push((path.into(), mode));
        self
    }

    /// How many loops to run, each on a thread of its own with TCP listeners of its own
    /// (SO_REUSEPORT); a Unix socket is one for all. Default: 1.
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

    /// Has these sockets listen, where an address of their name is listened on, in place of new
    /// ones. Others are closed.
    #[cfg(unix)]
    #[must_use]
    pub fn inherit(mut self, sockets: Vec<Inherited>) -> Self {
        self.inherited = sockets;
        self
    }

    /// Has each loop call this with its number at its first turn, and about so often from then on,
    /// out of its own turns: for a watchdog.
    #[must_use]
    pub fn pulse(mut self, every: Duration, beat: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.pulse = Some(Beat { every, call: Arc::new(beat) });
        self
    }

    /// Binds the addresses.
    ///
    /// # Errors
    /// What the system says of an address: in use, not ours, not allowed.
    pub fn bind(self) -> io::Result<Server> {
        let wanted = self.addrs?;
        #[cfg(unix)]
        let is_nowhere = wanted.is_empty() && self.paths.is_empty();
        #[cfg(not(unix))]
        let is_nowhere = wanted.is_empty();
        if is_nowhere && self.config.settings.role == Role::Server {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on"));
        }
        let mut bound = Bound::new(self.loops, self.loops > 1 || self.reuse_port);
        #[cfg(unix)]
        bound.inherit(self.inherited);
        for addr in wanted {
            bound.tcp(addr)?;
        }
        #[cfg(unix)]
        for (path, mode) in self.paths {
            bound.unix(&path, mode)?;
        }
        #[cfg(unix)]
        bound.inherit(Vec::new()); // what nobody wants any more is closed
        let listeners = bound.take_listeners().into_iter();
        let polls = listeners.map(OsPoll::new).collect::<io::Result<Vec<_>>>()?;
        let mut signals = Vec::new();
        for poll in &polls {
            let waker = poll.waker()?;
            signals.push(Signal::new(move || {
                if let Err(error) = waker.wake() {
                    tracing::error!(%error, "a loop cannot be woken");
                }
            }));
        }
        Ok(Server { polls, signals, config: self.config, pulse: self.pulse, bound })
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
        Builder {
            addrs: Ok(Vec::new()),
            #[cfg(unix)]
            paths: Vec::new(),
            loops: 1,
            reuse_port: false,
            config: Config::default(),
            #[cfg(unix)]
            inherited: Vec::new(),
            pulse: None,
        }
    }

    /// The addresses that it listens on by TCP.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.bound.local_addrs
    }

    /// The files of the Unix sockets that it listens on.
    #[cfg(unix)]
    pub fn local_paths(&self) -> impl Iterator<Item = &Path> {
        self.bound.paths()
    }

    /// Handles on its listening sockets, for a process that is to follow this one. A socket listens
    /// until its last handle is closed.
    ///
    /// # Errors
    /// The system has no descriptor left.
    #[cfg(unix)]
    pub fn handles(&self) -> io::Result<Vec<Inherited>> {
        let mut handles = Vec::new();
        for (poll, names) in self.polls.iter().zip(self.bound.names()) {
            for (name, socket) in names.iter().zip(poll.handles()?) {
                handles.push(Inherited { name: name.clone(), socket });
            }
        }
        Ok(handles)
    }

    /// What has its loops hand over to another process, or take over from one.
    #[cfg(all(unix, feature = "hub"))]
    pub fn succession(&self) -> super::Succession {
        super::Succession::new(self.signals.clone())
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
            let mut event_loop =
                EventLoop::<H, P>::new(config, handler, mailbox, poll, clock, random);
            #[cfg(all(unix, feature = "hub"))]
            {
                event_loop.is_held = self.signals[index].handing.holds();
            }
            event_loop.pulse = self
                .pulse
                .clone()
                .map(|Beat { every, call }| Pulse::new(every, move || call(index)));
            event_loop.run()
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
