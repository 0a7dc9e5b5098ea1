//! The real binary with the processes that follow it: where it is, which process it is now, what it
//! says, and what it holds.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::common::procfs::is_alive;
use crate::common::{Folder, Server, eventually, signal};

/// How long a request may wait for its answer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The key of the HTTP API.
pub const API_KEY: &str = "key-of-these-tests-0123456789";

/// What the log says when a process has taken over.
const TAKEN: [&str; 2] = ["this process has taken the server over", "gone without a word"];

/// A server. Its log is a file: a pipe would be read to no end in ten minutes.
pub struct Served {
    address: SocketAddr,
    folder: Folder,
    first: Mutex<Server>,
    log: Mutex<Log>,
}

impl Served {
    /// Starts the program by a name of its own: an upgrade takes up no build of meanwhile.
    pub fn start(name: &str, flags: impl FnOnce(&Folder) -> Vec<String>) -> Self {
        let folder = Folder::new(&format!("soak-{name}"));
        let (program, log) = (folder.file("throng"), folder.file("log"));
        let built = crate::common::server::program();
        fs::hard_link(&built, &program)
            .or_else(|_| fs::copy(&built, &program).map(drop))
            .expect("a copy");
        fs::write(folder.file("throng.toml"), "message_rate = 100\n").expect("a file");
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" serve \"$@\" 2>>\"$LOG\"", &program]).env("LOG", &log);
        let own = ["--loops", "2", "--config", &folder.file("throng.toml"), "--api-key", API_KEY];
        let own = own.map(str::to_owned).into_iter().chain(flags(&folder)).collect::<Vec<_>>();
        let words = own.iter().map(String::as_str).collect::<Vec<_>>();
        let first = Server::start(command, &words);
        let (address, pid) = (first.address(), first.pid());
        let log = Log::of(File::open(&log).expect("a log"), pid);
        Self { address, folder, first: Mutex::new(first), log: Mutex::new(log) }
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it has its files.
    pub const fn folder(&self) -> &Folder {
        &self.folder
    }

    pub fn dial(&self) -> io::Result<TcpStream> {
        TcpStream::connect_timeout(&self.address, PATIENCE)
    }

    /// What it has said up to now.
    pub fn log(&self) -> MutexGuard<'_, Log> {
        let mut log = self.log.lock().expect("not poisoned");
        log.read();
        log
    }

    /// The process that is the server now.
    pub fn pid(&self) -> u32 {
        self.log().pid()
    }

    /// Has another process follow, and waits until it has taken over and the old is gone.
    pub fn upgrade(&self) {
        let (old, count) = (self.pid(), self.log().pids.len());
        self.signal("USR2");
        eventually("another process takes over", 60.0, || self.log().pids.len() > count);
        eventually("the old process ends", 60.0, || self.has_ended(old));
    }

    /// Has it read its file again, with another limit in it.
    pub fn change(&self, message_rate: u32) {
        let words = format!("message_rate = {message_rate}\n");
        fs::write(self.folder.file("throng.toml"), words).expect("a file");
        self.signal("HUP");
    }

    /// Ends it by this signal.
    pub fn end(&self, name: &str) {
        let pid = self.pid();
        self.signal(name);
        eventually("it ends", 60.0, || self.has_ended(pid));
    }

    pub fn signal(&self, name: &str) {
        let pid = self.pid();
        let mut first = self.first.lock().expect("not poisoned");
        if pid == first.pid() {
            return first.signal(name);
        }
        signal::send(pid, name);
    }

    fn has_ended(&self, pid: u32) -> bool {
        let mut first = self.first.lock().expect("not poisoned");
        if pid == first.pid() {
            // Nobody else asks for its end.
            return !is_alive(pid) && first.wait_exit(1.0).code() != Some(101);
        }
        !is_alive(pid)
    }

    /// The status and the body of the answer to a request.
    pub fn ask(&self, request: &str) -> io::Result<(u16, String)> {
        let mut stream = self.dial()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        Ok((status.ok_or(io::ErrorKind::InvalidData)?, body.to_owned()))
    }

    pub fn get(&self, path: &str) -> io::Result<(u16, String)> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
    }

    /// A request to its HTTP API.
    pub fn post(&self, path: &str, body: &str) -> io::Result<(u16, String)> {
        let length = body.len();
        self.ask(&format!(
            "POST /api/{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {API_KEY}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        ))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let (pid, first) = (self.pid(), self.first.lock().map_or(0, |first| first.pid()));
        if pid != first && is_alive(pid) {
            signal::try_send(pid, "KILL");
        }
    }
}

/// A log that is read as it grows.
pub struct Log {
    file: File,
    rest: String,
    pids: Vec<u32>,
    /// How many connections the process that is the server now has taken over.
    pub taken: f64,
    pub lines: usize,
    /// What was said as an error, and what is said of a panic.
    pub errors: Vec<String>,
}

impl Log {
    fn of(file: File, first: u32) -> Self {
        let (rest, errors) = (String::new(), Vec::new());
        Self { file, rest, pids: vec![first], taken: 0.0, lines: 0, errors }
    }

    fn pid(&self) -> u32 {
        *self.pids.last().expect("the first")
    }

    fn read(&mut self) {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).expect("the log can be read");
        self.rest.push_str(&String::from_utf8_lossy(&bytes));
        let rest = std::mem::take(&mut self.rest);
        let whole = rest.rfind('\n').map_or(0, |end| end + 1);
        rest[whole..].clone_into(&mut self.rest);
        rest[..whole].lines().for_each(|line| self.take(line));
    }

    fn take(&mut self, line: &str) {
        self.lines += 1;
        if line.contains(" ERROR ") || line.contains("panicked at") {
            self.errors.push(line.to_owned());
        }
        if TAKEN.iter().any(|words| line.contains(words)) {
            let number = |name: &str| {
                let (_, rest) = line.split_once(name)?;
                rest.split(' ').next()?.parse::<u32>().ok()
            };
            self.pids.push(number(" pid=").expect("a process"));
            self.taken = number(" connections=").map_or(0.0, f64::from);
        }
    }
}
