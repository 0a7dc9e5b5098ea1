//! Running a server until it is told to stop.
//!
//! Owns the first line on standard output and the signals. Never knows what is served.

use std::io::{self, Write};
use std::process;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use throng::net::{Handler, Mailboxes, Os, Server, Stopper, Tls, TlsSetup};

use super::options::ServerOptions;

/// Serves, with TLS where there is a setup for it.
pub fn run<M, H>(
    options: &ServerOptions,
    tls: Option<&TlsSetup>,
    make: impl Fn(usize, &Mailboxes<M>) -> H + Sync,
) -> io::Result<()>
where
    H: Handler<Os, Mail = M> + Handler<Tls, Mail = M>,
{
    let mut builder = Server::builder()
        .loops(options.loops as usize)
        .reuse_port(options.reuse_port)
        .config(options.config());
    for addr in &options.listen {
        builder = builder.listen(addr);
    }
    let server = builder.bind().map_err(|error| {
        let wanted = options.listen.join(", ");
        io::Error::new(error.kind(), format!("cannot listen on {wanted}: {error}"))
    })?;
    stop_on_signals(server.stopper())?;
    let mut out = io::stdout();
    let scheme = if tls.is_some() { "https" } else { "http" };
    for addr in server.local_addrs() {
        writeln!(out, "listening on {scheme}://{addr}")?;
    }
    out.flush()?;
    match tls {
        Some(setup) => server.run_tls(setup, make),
        None => server.run(make),
    }
}

/// Stops at the first SIGINT or SIGTERM, and ends at once at the second.
fn stop_on_signals(stopper: Stopper) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        let mut signals = signals.forever();
        if signals.next().is_some() {
            tracing::info!("stopping: every peer gets Close 1001");
            stopper.stop();
        }
        if let Some(signal) = signals.next() {
            process::exit(128 + signal); // what a shell shows of a process that it has ended
        }
    })?;
    Ok(())
}
