//! A server of Debian's as a child process, in a folder of its own.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{Folder, eventually, procfs, signal};

/// A running server. It is told once where to listen and to keep things, and again the same.
pub struct Process {
    child: Child,
    folder: Folder,
    program: &'static str,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

impl Process {
    /// Starts a program with these arguments, which may name its folder.
    pub fn start(program: &'static str, arguments: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let folder = Folder::new(program);
        let arguments = arguments(folder.path());
        let child = spawn(program, &arguments, &[]);
        Self { child, folder, program, arguments, environment: Vec::new() }
    }

    /// Starts a program that has others as its children: what is done to it is done to all of them.
    /// Its input ends when this process does, however that comes.
    pub fn start_family(
        program: &'static str,
        arguments: &[&str],
        environment: impl FnOnce(&Path) -> Vec<(&'static str, String)>,
    ) -> Self {
        let folder = Folder::new("family");
        let environment = environment(folder.path());
        let arguments: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let child = spawn(program, &arguments, &environment);
        Self { child, folder, program, arguments, environment }
    }

    pub const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// As by `kill -9`: what it has not written is lost.
    pub fn kill(&mut self) {
        if self.is_family() {
            signal::send(self.whom(), "KILL");
        } else {
            self.child.kill().expect("it runs");
        }
        self.child.wait().expect("it can be waited for");
    }

    /// After a [`kill`](Self::kill): with what is in its folder.
    pub fn start_again(&mut self) {
        self.child = spawn(self.program, &self.arguments, &self.environment);
    }

    /// It is there, and answers nothing.
    pub fn stall(&self) {
        signal::send(self.whom(), "STOP");
        let (leader, is_family) = (self.child.id(), self.is_family());
        let all = if is_family { procfs::group(leader) } else { vec![leader] };
        eventually("it stands still", 10.0, || all.iter().all(|pid| procfs::is_stopped(*pid)));
    }

    /// After a [`stall`](Self::stall).
    pub fn go_on(&self) {
        signal::send(self.whom(), "CONT");
    }

    const fn is_family(&self) -> bool {
        !self.environment.is_empty()
    }

    /// Itself, or its group.
    fn whom(&self) -> String {
        let group = if self.is_family() { "-" } else { "" };
        format!("{group}{}", self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        if self.is_family() {
            signal::try_send(self.whom(), "KILL");
        }
        let _ = self.child.wait();
    }
}

/// An address of `localhost` that nobody listens at.
pub fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("its address")
}

fn spawn(program: &str, arguments: &[String], environment: &[(&'static str, String)]) -> Child {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    if !environment.is_empty() {
        command.envs(environment.iter().cloned()).stdin(Stdio::piped()).process_group(0);
    }
    command.spawn().unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"))
}
