//! The file of a Unix socket (unix(7)).
//!
//! Owns it from the bind to the end: takes the place of one that nobody listens on, gives it its
//! mode, and removes it. Never takes the place of a server that lives, nor of what is no socket.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::listener::LISTEN_BACKLOG;

/// How often the lock of a folder is asked for, and how long after: who has it needs it for
/// a moment.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// The file of a socket that we listen on. When this is dropped, after the listeners, the file is
/// removed, unless somebody else listens there by then: one who was given the listener, say.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
}

/// What was found at a path.
enum Found {
    Nothing,
    /// A socket that nobody listens on: its server has died.
    Stale,
    /// A socket that somebody listens on.
    Live,
    /// Something else than a socket.
    Other,
}

impl SocketFile {
    /// Listens at `path`. Whoever may write to the file, as `mode` says, may connect. What is wrong
    /// begins with the path.
    pub(super) fn listen(path: &Path, mode: u32) -> io::Result<(UnixListener, Self)> {
        Self::take(path, mode)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    fn take(path: &Path, mode: u32) -> io::Result<(UnixListener, Self)> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        let addr = SockAddr::unix(path)?;
        socket.set_nonblocking(true)?;
        // Two who start at once must not each take the other's new socket for a dead one's.
        let _lock = lock(path)?;
        match find(&addr, path)? {
            Found::Nothing => {}
            Found::Stale => fs::remove_file(path)?,
            Found::Live => {
                return Err(io::Error::new(ErrorKind::AddrInUse, "a server listens there"));
            }
            Found::Other => {
                let words = "a file stands there that is no socket";
                return Err(io::Error::new(ErrorKind::AlreadyExists, words));
            }
        }
        socket.bind(&addr)?;
        // The mode is there before it listens: nobody has come in by another.
        let is_set = fs::set_permissions(path, Permissions::from_mode(mode));
        if let Err(error) = is_set.and_then(|()| socket.listen(LISTEN_BACKLOG)) {
            let _ = fs::remove_file(path);
            return Err(error);
        }
        Ok((socket.into(), Self { path: path.to_owned() }))
    }

    /// The file of a socket that was opened elsewhere, and is listened on here from now on.
    pub(super) fn inherited(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let removed = lock(&self.path).and_then(|_lock| {
            match find(&SockAddr::unix(&self.path)?, &self.path)? {
                Found::Stale => fs::remove_file(&self.path),
                Found::Nothing | Found::Live | Found::Other => Ok(()),
            }
        });
        if let Err(error) = removed {
            let path = self.path.display();
            tracing::warn!(%path, %error, "the file of the socket stays; the next start takes it");
        }
    }
}

/// Keeps others who would listen in the same folder waiting. Where the folder cannot be read there
/// is no lock, and no harm but for two who start at the same moment.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) else { return Ok(None) };
    for _ in 0..TRIES {
        match folder.try_lock() {
            Ok(()) => return Ok(Some(folder)),
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            Err(TryLockError::Error(_)) => return Ok(None), // a file system without locks
        }
    }
    Err(io::Error::new(ErrorKind::WouldBlock, "another program has locked its folder"))
}

/// What stands at a path, by an attempt to connect.
fn find(addr: &SockAddr, path: &Path) -> io::Result<Found> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => return Ok(Found::Other),
        Ok(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?; // where its queue is full, it lives
    match socket.connect(addr) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(Found::Stale),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(error),
        Ok(()) | Err(_) => Ok(Found::Live),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path in a folder of its own, which goes with it.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("throng-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).expect("a folder");
            Self(folder.join("socket"))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(self.0.parent().expect("a folder"));
        }
    }

    #[test]
    fn the_file_is_there_for_as_long_as_it_is_listened_on() {
        let place = Place::new("socket-file");
        let (listener, file) = SocketFile::listen(&place.0, 0o640).expect("a socket");
        let mode = fs::metadata(&place.0).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        let error = SocketFile::listen(&place.0, 0o640).expect_err("it lives");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        drop((listener, file));
        assert!(!place.0.exists());
    }

    #[test]
    fn what_a_dead_server_left_is_replaced() {
        let place = Place::new("socket-stale");
        drop(UnixListener::bind(&place.0).expect("a socket"));
        assert!(place.0.exists());
        SocketFile::listen(&place.0, 0o660).expect("nobody listens there");
    }

    #[test]
    fn what_is_no_socket_stays() {
        let place = Place::new("socket-other");
        fs::write(&place.0, "words").expect("a file");
        let error = SocketFile::listen(&place.0, 0o660).expect_err("it is no socket");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&place.0).expect("still there"), b"words");
    }

    #[test]
    fn a_socket_that_was_handed_on_keeps_its_file() {
        let place = Place::new("socket-handed");
        let (listener, file) = SocketFile::listen(&place.0, 0o660).expect("a socket");
        let handed = listener.try_clone().expect("a second handle");
        drop((listener, file));
        assert!(place.0.exists());
        drop(handed);
    }

    /// Each of many that start at once either listens or is told of one that does.
    #[test]
    fn of_many_that_start_at_once_one_listens() {
        let place = Place::new("socket-race");
        drop(UnixListener::bind(&place.0).expect("a socket, stale by now"));
        let start = || SocketFile::listen(&place.0, 0o660);
        let started: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(started.iter().filter(|result| result.is_ok()).count(), 1, "{started:?}");
    }
}
