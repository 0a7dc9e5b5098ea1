//! A running `throng connect`, and servers that behave as a test wants.
//!
//! Owns the child process: it ends with the test.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

use crate::common::{Server, eventually, signal};

const PATIENCE_S: f64 = 20.0;

pub fn program() -> String {
    std::env::var("THRONG").unwrap_or_else(|_| env!("CARGO_BIN_EXE_throng").to_owned())
}

/// What was written by now, by whoever reads it to its end.
#[derive(Clone, Default)]
pub struct Shown(Arc<(Mutex<Vec<u8>>, AtomicBool)>);

impl Shown {
    pub fn read(mut from: impl Read + Send + 'static) -> Self {
        let shown = Self::default();
        let kept = shown.clone();
        thread::spawn(move || {
            let (bytes, whole) = &*kept.0;
            let mut block = [0; 1 << 16];
            while let Ok(count @ 1..) = from.read(&mut block) {
                bytes.lock().expect("not poisoned").extend_from_slice(&block[..count]);
            }
            whole.store(true, Ordering::Release);
        });
        shown
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().expect("not poisoned")).into_owned()
    }

    /// Nothing more will come.
    fn is_whole(&self) -> bool {
        self.0.1.load(Ordering::Acquire)
    }

    /// Waits until all of `parts` were shown, one after another.
    pub fn wait_for(&self, parts: &[&str]) {
        let all_there = || {
            let text = self.text();
            parts
                .iter()
                .try_fold(&*text, |rest, part| rest.split_once(part).map(|it| it.1))
                .is_some()
        };
        let end = Instant::now() + Duration::from_secs_f64(PATIENCE_S);
        while !all_there() {
            assert!(Instant::now() < end, "not shown: {parts:?} in\n{:?}", self.text());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

pub struct Run {
    pub child: Child,
    pub out: Shown,
    pub errors: Shown,
}

impl Run {
    /// With pipes.
    pub fn piped(url: &str, flags: &[&str]) -> (Self, ChildStdin) {
        let mut command = Command::new(program());
        command.arg("connect").arg(url).args(flags).env("TERM", "xterm");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stdin = child.stdin.take().expect("a pipe");
        let out = Shown::read(child.stdout.take().expect("a pipe"));
        let errors = Shown::read(child.stderr.take().expect("a pipe"));
        (Self { child, out, errors }, stdin)
    }

    pub fn signal(&self, name: &str) {
        signal::send(self.child.id(), name);
    }

    /// Waits for the exit status.
    pub fn ends(&mut self) -> i32 {
        let mut status = None;
        eventually("the program ends", PATIENCE_S, || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        status.and_then(|status| status.code()).expect("no signal")
    }

    /// As `ends`, with what was shown.
    pub fn ends_with(&mut self, status: i32, words: &str) {
        let ended = self.ends();
        eventually("all is read", PATIENCE_S, || self.out.is_whole() && self.errors.is_whole());
        let (out, errors) = (self.out.text(), self.errors.text());
        assert_eq!(ended, status, "standard output:\n{out}\nstandard error:\n{errors}");
        assert!(errors.contains(words), "{words:?} in\n{errors}");
        assert!(!out.contains('\x1b') && !errors.contains('\x1b'), "colours in a pipe");
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// Runs it with all of the input at once.
pub fn run(url: &str, flags: &[&str], input: &[u8]) -> Run {
    let (run, mut stdin) = Run::piped(url, flags);
    let input = input.to_vec();
    thread::spawn(move || stdin.write_all(&input)); // it may end before it has read all
    run
}

pub fn url_of(server: &Server, path: &str) -> String {
    format!("ws://{}{path}", server.address())
}

// ---- a server that behaves as a test wants ----

pub type Socket = WebSocket<TcpStream>;

/// Takes as many connections as there are tests of them, one after another.
pub fn serve(scripts: Vec<fn(Socket)>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    let server = thread::spawn(move || {
        for script in scripts {
            let (stream, _) = listener.accept().expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            script(tungstenite::accept(stream).expect("a handshake"));
        }
    });
    (url, server)
}

pub fn next_text(socket: &mut Socket) -> String {
    loop {
        match socket.read().expect("a message") {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Reads to the end, answering pings; gives the code of the Close.
pub fn read_to_end(mut socket: Socket) -> Option<u16> {
    let mut code = None;
    while let Ok(message) = socket.read() {
        if let Message::Close(Some(frame)) = message {
            code = Some(frame.code.into());
        }
    }
    code
}

pub fn close(mut socket: Socket, code: u16, reason: &'static str) {
    let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
    socket.close(Some(frame)).expect("a Close");
    read_to_end(socket);
}
