//! The real binary as a child process: started on a free port, watched through `/proc`, and killed
//! when the test ends.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::{procfs, signal};

/// Where the program under test is. `THRONG` names another build of it.
pub fn program() -> String {
    std::env::var("THRONG").unwrap_or_else(|_| env!("CARGO_BIN_EXE_throng").to_owned())
}

/// Waits until `holds` is true; panics with `what` when it is not within `seconds`.
pub fn eventually(what: &str, seconds: f64, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    while !holds() {
        assert!(Instant::now() < end, "not within {seconds} s: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Ports of an address of loopback that is nobody else's: between here and the bind of a program
/// that is told of them no other takes them.
pub fn free_addresses<const COUNT: usize>() -> [SocketAddr; COUNT] {
    static USED: AtomicU8 = AtomicU8::new(0);
    let number = USED.fetch_add(1, Ordering::Relaxed);
    assert!(number < 250, "one more program than there are addresses for");
    let [.., high, low] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, 64 + high % 64, low, number + 1);
    let bind = |_| TcpListener::bind((ip, 0)).expect("an address of loopback");
    let listeners: [TcpListener; COUNT] = std::array::from_fn(bind);
    listeners.map(|listener| listener.local_addr().expect("an address"))
}

/// A running `throng echo` or `throng serve`.
pub struct Server {
    child: Child,
    address: SocketAddr,
    errors: Arc<Mutex<String>>,
    ended: bool,
}

impl Server {
    pub fn echo(flags: &[&str]) -> Server {
        let mut command = Command::new(program());
        command.arg("echo");
        Server::start(command, flags)
    }

    pub fn serve(flags: &[&str]) -> Server {
        let mut command = Command::new(program());
        command.arg("serve");
        Server::start(command, flags)
    }

    /// `throng serve` that logs what `filter` says.
    pub fn serve_logging(filter: &str, flags: &[&str]) -> Server {
        Server::serve_with(&[("THRONG_LOG", filter)], flags)
    }

    /// `throng serve` with these variables in its environment.
    pub fn serve_with(variables: &[(&str, &str)], flags: &[&str]) -> Server {
        let mut command = Command::new(program());
        command.arg("serve").envs(variables.iter().copied());
        Server::start(command, flags)
    }

    /// `throng echo` that may hold at most `descriptors` files and sockets open.
    pub fn echo_with_descriptors(descriptors: u32, flags: &[&str]) -> Server {
        Server::with_descriptors("echo", descriptors, flags)
    }

    /// `throng serve`, likewise.
    pub fn serve_with_descriptors(descriptors: u32, flags: &[&str]) -> Server {
        Server::with_descriptors("serve", descriptors, flags)
    }

    fn with_descriptors(name: &str, descriptors: u32, flags: &[&str]) -> Server {
        let mut command = Command::new("sh");
        let line = format!("ulimit -n {descriptors}; exec \"$0\" {name} \"$@\"");
        command.arg("-c").arg(line).arg(program());
        Server::start(command, flags)
    }

    pub fn start(mut command: Command, flags: &[&str]) -> Server {
        command.args(["--listen", "127.0.0.1:0"]).args(flags);
        Server::on(command, Stdio::null())
    }

    /// A program that says where it listens, with this as its standard input.
    pub fn on(mut command: Command, input: Stdio) -> Server {
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let errors = Arc::new(Mutex::new(String::new()));
        drain(child.stderr.take().expect("a pipe"), Arc::clone(&errors));
        let (sender, first_line) = mpsc::channel();
        let output = child.stdout.take().expect("a pipe");
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line); // after the first line nobody listens
            }
        });
        let line = first_line.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| {
            let _ = child.kill();
            let said = errors.lock().expect("not poisoned");
            panic!("{command:?} printed no first line; on standard error:\n{said}")
        });
        let address = line
            .strip_prefix("listening on http://")
            .or_else(|| line.strip_prefix("listening on https://"))
            .and_then(|address| address.trim().parse().ok())
            .unwrap_or_else(|| panic!("unexpected first line: {line:?}"));
        Server { child, address, errors, ended: false }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A plain TCP connection.
    pub fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5));
        stream.unwrap_or_else(|error| panic!("connect: {error}"))
    }

    /// Memory in use, in KiB.
    pub fn rss_kb(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// Memory reserved for data, in KiB: also what was allocated and never touched.
    pub fn data_kb(&self) -> u64 {
        self.status("VmData:")
    }

    fn status(&self, field: &str) -> u64 {
        procfs::status_kb(self.pid(), field).expect("the server is alive")
    }

    /// Processor time used so far by all threads, in seconds.
    pub fn cpu_s(&self) -> f64 {
        procfs::cpu_s(self.pid()).expect("the server is alive")
    }

    /// Processor time used while `seconds` go by.
    pub fn cpu_over(&self, seconds: f64) -> f64 {
        let before = self.cpu_s();
        thread::sleep(Duration::from_secs_f64(seconds));
        self.cpu_s() - before
    }

    /// How many files and sockets it has open.
    pub fn fd_count(&self) -> usize {
        procfs::fd_count(self.pid()).expect("the server is alive")
    }

    /// How many it has open at rest: waits until the number stands still.
    pub fn fds_at_rest(&self) -> usize {
        let mut before = 0;
        eventually("the number of open files stands still", 5.0, || {
            thread::sleep(Duration::from_millis(50));
            let now = self.fd_count();
            std::mem::replace(&mut before, now) == now
        });
        before
    }

    /// Sends a signal by its short name: "TERM", "INT".
    pub fn signal(&mut self, name: &str) {
        self.ended = true;
        signal::send(self.pid(), name);
    }

    /// Has it read its settings again.
    pub fn hang_up(&self) {
        signal::send(self.pid(), "HUP");
    }

    /// Has it stand still for some time, wherever it is.
    pub fn stand_still(&self, time: Duration) {
        for name in ["STOP", "CONT"] {
            signal::send(self.pid(), name);
            thread::sleep(time);
        }
    }

    /// Waits until the program has ended by itself.
    pub fn wait_exit(&mut self, within_s: f64) -> ExitStatus {
        let mut status = None;
        eventually("the server exits", within_s, || {
            status = self.child.try_wait().expect("the child can be waited for");
            status.is_some()
        });
        status.expect("just seen")
    }

    /// What it wrote to standard error so far.
    pub fn errors(&self) -> String {
        self.errors.lock().expect("not poisoned").clone()
    }
}

impl Drop for Server {
    /// A server that died, or in which something panicked, fails the test it served.
    fn drop(&mut self) {
        let died = !self.ended && matches!(self.child.try_wait(), Ok(Some(_)));
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
        let errors = self.errors();
        if thread::panicking() {
            eprintln!("--- the server's standard error:\n{errors}");
        } else {
            assert!(!died, "the server died:\n{errors}");
            assert!(!errors.contains("panicked at"), "the server panicked:\n{errors}");
        }
    }
}

/// Reads a pipe to its end and keeps the first 256 KiB.
fn drain(mut pipe: impl Read + Send + 'static, kept: Arc<Mutex<String>>) {
    const KEPT_MAX: usize = 256 * 1024;
    thread::spawn(move || {
        let mut block = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut block) {
            let mut kept = kept.lock().expect("not poisoned");
            if kept.len() < KEPT_MAX {
                kept.push_str(&String::from_utf8_lossy(&block[..count]));
            }
        }
    });
}
