//! The process that this one follows, where there is one.
//!
//! Owns what was inherited from it, and the moment from which the server is this process.

use std::env;
use std::fs::File;
use std::io;
use std::process;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::stdio::{dup2_stdin, stdin};
use throng::net::{Inherited, Piece, Succession};

use super::channel::{Channel, Kind, Packet};
use super::manager;
use super::successor::{IMAGES, VARIABLE, VERSION};

/// How long the other may take to hand something over: longer than it waits for its own loops.
const PATIENCE: Duration = Duration::from_secs(60);

/// The way to the process that this one follows.
#[derive(Debug)]
pub struct Predecessor {
    channel: Channel,
    sockets: Vec<Inherited>,
    is_whole: bool,
}

impl Predecessor {
    /// What this process was handed, if it was started to follow another.
    ///
    /// # Errors
    /// What was handed cannot be understood.
    pub fn of_process() -> io::Result<Option<Self>> {
        if env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let refuse = |error: io::Error| {
            let words = format!("nothing was inherited: {error}; {VARIABLE} is not set by hand");
            io::Error::new(error.kind(), words)
        };
        let channel = Channel::new(fcntl_dupfd_cloexec(stdin(), 3)?).map_err(refuse)?;
        let predecessor = Self::receive(channel).map_err(refuse)?;
        dup2_stdin(File::open("/dev/null")?)?;
        Ok(Some(predecessor))
    }

    fn receive(channel: Channel) -> io::Result<Self> {
        let unknown = || io::Error::new(io::ErrorKind::InvalidData, "it speaks another version");
        let (kind, hello, _) = channel.receive(PATIENCE)?;
        if (kind, hello.number) != (Kind::Hello, VERSION) {
            return Err(unknown());
        }
        let mut sockets = Vec::new();
        loop {
            match channel.receive(PATIENCE)? {
                (Kind::Socket, Packet { name, .. }, Some(socket)) => {
                    sockets.push(Inherited { name, socket });
                }
                (Kind::Sockets, Packet { number, .. }, _) => {
                    return Ok(Self { channel, sockets, is_whole: number == 1 });
                }
                _ => return Err(unknown()),
            }
        }
    }

    /// The listening sockets, once, and whether they stand in place of all addresses.
    pub fn take_sockets(&mut self) -> (Vec<Inherited>, bool) {
        (std::mem::take(&mut self.sockets), self.is_whole)
    }

    /// Waits on a thread of its own until this process could serve, which is to be said by what is
    /// returned, and takes over from the other then. Until it has, nobody is served.
    ///
    /// # Errors
    /// The system has no thread.
    pub fn follow(self, succession: Succession) -> io::Result<Sender<()>> {
        let (sender, could_serve) = mpsc::channel();
        succession.hold();
        thread::Builder::new().name("predecessor".into()).spawn(move || {
            if could_serve.recv().is_ok() {
                self.take_over(&succession);
            }
        })?;
        Ok(sender)
    }

    fn take_over(&self, succession: &Succession) {
        let taken = self.take_pieces(succession);
        let pid = process::id();
        match taken {
            Ok(connections) => {
                succession.begin();
                manager::ready();
                tracing::info!(connections, pid, "this process has taken the server over");
            }
            // There is nobody else now.
            Err(error) if is_gone(&error) => {
                succession.begin();
                manager::ready_as(pid);
                tracing::warn!(%error, pid, "the predecessor has gone without a word");
            }
            // It is there, and goes on when this one has ended: two would take from one stream.
            Err(error) => {
                tracing::error!(%error, pid, "the server cannot be taken over");
                process::exit(1);
            }
        }
    }

    /// Takes what is handed over, until the other goes: how many connections.
    fn take_pieces(&self, succession: &Succession) -> io::Result<usize> {
        self.channel.send(&Packet { number: IMAGES, ..Packet::new(Kind::Ready) }, None)?;
        let mut connections = 0;
        loop {
            match self.channel.receive_whole(PATIENCE)? {
                (Kind::State, Packet { body, .. }, _) => {
                    succession.deliver(0, Piece::State(body.into()));
                }
                (Kind::Connection, Packet { body, .. }, Some(socket)) => {
                    let piece = Piece::Connection { socket, image: body };
                    succession.deliver(connections, piece);
                    connections += 1;
                }
                (Kind::Go, ..) => {
                    // From here on both would serve if this were not the end of the other.
                    self.channel.send(&Packet::new(Kind::Taken), None)?;
                    return Ok(connections);
                }
                _ => return Err(io::Error::other("it speaks another version")),
            }
        }
    }
}

/// Whether the other process is there no more.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}
