//! Running a server until it is told to stop.
//!
//! Owns where it listens, the first lines on standard output, and when it is ready. Never knows
//! what is served.

use std::collections::HashSet;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use throng::net::{Config, Handler, Mailboxes, Os, Server, Tls, TlsSetup};

use super::life::{Life, Predecessor, manager};
use super::options::{Place, ServerOptions};
use super::privileges;

/// A server that listens, and serves nobody yet.
pub struct Listening {
    server: Server,
    loops: usize,
    predecessor: Option<Predecessor>,
    /// Whether its sockets stand in place of all addresses.
    is_whole: bool,
}

/// Binds the addresses, or takes over those of another process, and becomes the user that was asked
/// for. So it comes before threads and files: those are the user's then. `files` are those that are
/// read again.
pub fn listen(options: &ServerOptions, config: Config, files: &[&Path]) -> io::Result<Listening> {
    let mut predecessor = Predecessor::of_process()?;
    let (sockets, is_whole) = match &mut predecessor {
        Some(predecessor) => predecessor.take_sockets(),
        None => manager::sockets().map(|sockets| {
            let is_whole = !sockets.is_empty();
            (sockets, is_whole)
        })?,
    };
    let mut wanted = options.listen.clone();
    if is_whole {
        // Each once, however many loops have listened there.
        wanted = sockets.iter().map(|socket| socket.name.clone()).collect();
        let mut seen = HashSet::new();
        wanted.retain(|name| seen.insert(name.clone()));
    }
    let loops = options.loops as usize;
    let mut builder = Server::builder().loops(loops).reuse_port(options.reuse_port).config(config);
    for place in wanted.iter().map(|place| Place::of(place)) {
        builder = match place {
            Place::Tcp(addr) => builder.listen(addr),
            Place::Unix(path) => builder.listen_unix(path, options.unix_mode.0),
        };
    }
    let builder = manager::watched(builder.inherit(sockets), loops);
    let server = builder.bind().map_err(|error| {
        let advice = advice(&error);
        // What is wrong with a Unix socket begins with its path.
        let wanted = match error.raw_os_error() {
            Some(_) => format!("{}: ", wanted.join(", ")),
            None => "unix:".to_owned(),
        };
        io::Error::new(error.kind(), format!("cannot listen on {wanted}{error}{advice}"))
    })?;
    if let Some(user) = &options.user {
        privileges::become_user(user, &server)?;
        privileges::say_unreadable(files.iter().copied());
    }
    Ok(Listening { server, loops, predecessor, is_whole })
}

/// Serves, with TLS where there is a setup for it.
pub fn run<M, H>(
    listening: Listening,
    tls: Option<&TlsSetup>,
    make: impl Fn(usize, &Mailboxes<M>) -> H + Sync,
) -> io::Result<()>
where
    H: Handler<Os, Mail = M> + Handler<Tls, Mail = M>,
{
    let Listening { server, loops, predecessor, is_whole } = listening;
    Life::new(&server, is_whole)?.watch()?;
    let succession = server.succession();
    let follow = predecessor.map(|it| it.follow(succession)).transpose()?;
    let mut out = io::stdout();
    let scheme = if tls.is_some() { "https" } else { "http" };
    for addr in server.local_addrs() {
        writeln!(out, "listening on {scheme}://{addr}")?;
    }
    for path in server.local_paths() {
        writeln!(out, "listening on {scheme}://unix:{}", path.display())?;
    }
    out.flush()?;
    let started = AtomicUsize::new(0);
    let make = |index: usize, mailboxes: &Mailboxes<M>| {
        let handler = make(index, mailboxes);
        if started.fetch_add(1, Ordering::Relaxed) + 1 == loops {
            match &follow {
                Some(serves) => drop(serves.send(())), // it waits for this
                None => manager::ready(),
            }
        }
        handler
    };
    match tls {
        Some(setup) => server.run_tls(setup, make),
        None => server.run(make),
    }
}

/// What to do about an address that cannot be listened on.
fn advice(error: &io::Error) -> &'static str {
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::AddrInUse, Some(_)) => {
            "; stop who listens there, or take another port by --listen"
        }
        (ErrorKind::AddrNotAvailable, Some(_)) => "; --listen takes an address of this machine",
        (ErrorKind::PermissionDenied, Some(_)) => {
            "; ports below 1024 need a right, see capabilities(7), or start as root with --user"
        }
        (ErrorKind::AddrInUse, None) => "; stop it, or take another path by --listen",
        (ErrorKind::AlreadyExists, None) => "; remove it, or take another path by --listen",
        (ErrorKind::NotFound, None) => "; make its folder first",
        (ErrorKind::PermissionDenied, None) => "; this user may not write to its folder",
        _ => "",
    }
}
