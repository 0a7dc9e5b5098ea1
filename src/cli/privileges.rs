//! `--user`: from root to somebody else, for good.
//!
//! Owns the change, and the proof that there is no way back. It comes after the addresses are bound
//! and the files of keys are read, and before any thread is there and any other file is opened.

use std::io;
use std::path::Path;

use throng::net::Server;

/// Whether this is a user that one can become, as far as words go.
///
/// # Errors
/// There is no such user, or it is root.
#[cfg(target_os = "linux")]
pub fn check(name: &str) -> Result<(), String> {
    find(name).map(drop)
}

#[cfg(target_os = "linux")]
fn find(name: &str) -> Result<nix::unistd::User, String> {
    let found = nix::unistd::User::from_name(name).map_err(|error| error.to_string())?;
    match found {
        None => Err("there is no such user on this machine".into()),
        Some(user) if user.uid.is_root() => {
            Err("that is root: name one that may do less, or leave it out".into())
        }
        Some(user) => Ok(user),
    }
}

/// Becomes this user, with its groups, and gives it the files of the server's sockets. Who is that
/// user already stays so.
///
/// # Errors
/// There is no such user, this is not root, or something of root's could not be given up.
#[cfg(target_os = "linux")]
pub fn become_user(name: &str, server: &Server) -> io::Result<()> {
    use nix::sys::prctl;
    use nix::unistd::{Uid, getegid, initgroups, setresgid, setresuid};

    let user = find(name).map_err(|words| fault(name, words))?;
    let own = Uid::effective();
    if !own.is_root() && own == user.uid {
        return Ok(()); // started anew by itself, or by somebody who has seen to it
    }
    if !own.is_root() {
        return Err(fault(name, "only root can become another user: start it as root, or as them"));
    }
    for path in server.local_paths() {
        // Not through a link that somebody has put there.
        std::os::unix::fs::lchown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    }
    let words = std::ffi::CString::new(name).map_err(|error| fault(name, error))?;
    initgroups(&words, user.gid)
        .and_then(|()| setresgid(user.gid, user.gid, user.gid))
        .and_then(|()| setresuid(user.uid, user.uid, user.uid))
        .and_then(|()| prctl::set_no_new_privs())
        // The metrics read /proc/self/fd, which is root's where the kernel keeps the process to
        // itself, as it does with one that was root.
        .and_then(|()| prctl::set_dumpable(true))
        .map_err(|error| fault(name, error))?;
    let root = Uid::from_raw(0);
    let is_back = setresuid(root, root, root).is_ok();
    if is_back || Uid::current() != user.uid || getegid() != user.gid {
        return Err(fault(name, "the rights of root could not be given up"));
    }
    tracing::info!(user = name, "root's rights are given up");
    Ok(())
}

/// There is no such way here.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn check(_name: &str) -> Result<(), String> {
    Err("another user can be become on Linux only".into())
}

/// There is no such way here.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn become_user(name: &str, _server: &Server) -> io::Result<()> {
    check(name).map_err(|words| fault(name, words))
}

/// Says which files could be read as root and cannot be any more: what changes in them is not seen.
pub fn say_unreadable<'a>(files: impl IntoIterator<Item = &'a Path>) {
    for path in files {
        if let Err(error) = rustix::fs::access(path, rustix::fs::Access::READ_OK) {
            let path = path.display();
            tracing::warn!(%path, %error, "the user may not read this: changes need a restart");
        }
    }
}

fn fault(name: &str, words: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("--user {name}: {words}"))
}
