//! Unix sockets, with the real binary: the file, its mode and its end; who comes by one; what curl
//! and `throng connect` see of it. nginx and HAProxy by Unix sockets are in `tests/proxies`.

#[path = "../common/mod.rs"]
mod common;
mod files;
mod peers;

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use common::server::program;
use common::{Folder, RawClient, Upgrade};

/// A server on a Unix socket and on nothing else.
struct Alone {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Alone {
    fn start(flags: &[&str]) -> Alone {
        let mut command = Command::new(program());
        command.args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        Alone { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn signal(&self, name: &str) {
        common::signal::send(self.child.id(), name);
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// Connected to the socket at `path`.
fn dial(path: &str) -> RawClient {
    let stream = UnixStream::connect(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    RawClient::on(TcpStream::from(OwnedFd::from(stream)))
}

/// Connected and upgraded.
fn open(path: &str, target: &str) -> RawClient {
    let mut client = dial(path);
    client.send(Upgrade::new(target).bytes());
    client.expect_upgrade();
    client
}

/// A folder, the path of a socket in it, and that as `--listen` has it.
fn place() -> (Folder, String, String) {
    let folder = Folder::new("unix");
    let path = folder.file("socket");
    let listen = format!("unix:{path}");
    (folder, path, listen)
}
