//! The process that follows this one: the same program with the same arguments, as it is on the
//! disk now.
//!
//! Owns how it is started, and what it is handed. One that does not come up changes nothing.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use throng::net::{Inherited, Piece};

use super::channel::{Channel, Kind, Packet};
use super::manager::OWN_VARIABLES;

/// Says to a process that its standard input is the way to its predecessor.
pub const VARIABLE: &str = "THRONG_PREDECESSOR";

/// The version of what passes between the two. One that speaks another is refused.
pub const VERSION: u32 = 1;

/// The version of the states and connections that are handed over. Who takes another gets none.
pub const IMAGES: u32 = 1;

/// How long the other may take over everything.
const TAKING: Duration = Duration::from_secs(30);

/// How long the other may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often one that has hung up is looked at until it has ended, and how long after.
const LAST_LOOKS: u32 = 100;
const LOOK: Duration = Duration::from_millis(10);

/// How this program was started.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

/// A process that is to follow.
#[derive(Debug)]
pub struct Successor {
    child: Mutex<Child>,
    channel: Channel,
    turn: Mutex<()>,
}

impl Program {
    /// To be called before the working directory changes.
    ///
    /// # Errors
    /// The system does not say which program this is.
    pub fn of_process() -> io::Result<Self> {
        let mut arguments = env::args_os();
        let named = arguments.next().map(PathBuf::from).unwrap_or_default();
        // By the name under which it was started, so that a link may lead to another program by
        // then.
        let path = if named.components().count() > 1 {
            Some(env::current_dir()?.join(&named))
        } else {
            let paths = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&paths).map(|folder| folder.join(&named)).find(|path| is_file(path))
        };
        let path = path.filter(|path| is_file(path)).map_or_else(env::current_exe, Ok)?;
        Ok(Self { path, arguments: arguments.collect() })
    }
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

impl Successor {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(program: &Program) -> io::Result<Self> {
        let (channel, theirs) = Channel::pair()?;
        let mut command = Command::new(&program.path);
        command.args(&program.arguments).env(VARIABLE, "1").stdin(Stdio::from(theirs.into_inner()));
        for variable in OWN_VARIABLES {
            command.env_remove(variable);
        }
        let child = Mutex::new(command.spawn()?);
        Ok(Self { child, channel, turn: Mutex::default() })
    }

    /// Hands it the listening sockets.
    ///
    /// # Errors
    /// It does not take them.
    pub fn hand(&self, sockets: &[Inherited], is_whole: bool) -> io::Result<()> {
        let channel = &self.channel;
        channel.send(&Packet { number: VERSION, ..Packet::new(Kind::Hello) }, None)?;
        for Inherited { name, socket } in sockets {
            let packet = Packet { name: name.clone(), ..Packet::new(Kind::Socket) };
            channel.send(&packet, Some(socket.as_fd()))?;
        }
        let number = u32::from(is_whole);
        channel.send(&Packet { number, ..Packet::new(Kind::Sockets) }, None)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child().id()
    }

    /// Waits until it could serve; whether it takes connections as ours are.
    ///
    /// # Errors
    /// It does not come up.
    pub fn wait_ready(&self) -> io::Result<bool> {
        match self.channel.receive(PATIENCE)? {
            (Kind::Ready, Packet { number, .. }, _) => Ok(number == IMAGES),
            _ => Err(io::Error::other("it speaks another version")),
        }
    }

    /// Hands it a piece of what is known, or a connection.
    ///
    /// # Errors
    /// It does not take it.
    pub fn hand_piece(&self, piece: &Piece) -> io::Result<()> {
        // One at a time: loops hand over side by side, and a body may take several packets.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        match piece {
            Piece::State(state) => self.channel.send_body(Kind::State, state, None),
            Piece::Connection { socket, image } => {
                self.channel.send_body(Kind::Connection, image, Some(socket.as_fd()))
            }
        }
    }

    /// Ends it, since it did not come up: why, in words.
    pub fn give_up(&self, error: &io::Error) -> String {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof, WouldBlock};
        let is_gone = matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof);
        let mut child = self.child();
        for _ in 0..if is_gone { LAST_LOOKS } else { 0 } {
            if let Ok(Some(status)) = child.try_wait() {
                return format!("it has ended: {status}");
            }
            thread::sleep(LOOK);
        }
        drop(child);
        self.kill();
        match error.kind() {
            WouldBlock => format!("it was not ready within {} s", PATIENCE.as_secs()),
            _ => error.to_string(),
        }
    }

    /// Leaves the server to it: when this returns it has everything.
    ///
    /// # Errors
    /// It has not.
    pub fn go(&self) -> io::Result<()> {
        self.channel.send(&Packet::new(Kind::Go), None)?;
        match self.channel.receive(TAKING)? {
            (Kind::Taken, ..) => Ok(()),
            _ => Err(io::Error::other("it speaks another version")),
        }
    }

    /// Ends it.
    pub fn kill(&self) {
        let mut child = self.child();
        let _ = child.kill(); // it may have ended
        let _ = child.wait();
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
