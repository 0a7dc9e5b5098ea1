//! A `throng load` that has ended, and servers that behave as a test wants.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use serde_json::Value;
use tungstenite::WebSocket;

use crate::common::Server;

fn program() -> String {
    std::env::var("THRONG").unwrap_or_else(|_| env!("CARGO_BIN_EXE_throng").to_owned())
}

/// A load that has ended.
pub struct Done {
    pub status: i32,
    pub out: String,
    pub errors: String,
}

/// Runs `throng load` with these arguments.
pub fn load(args: &[&str]) -> Done {
    let mut command = Command::new(program());
    let output = command.arg("load").args(args).output().expect("the program starts");
    Done {
        status: output.status.code().expect("no signal"),
        out: String::from_utf8(output.stdout).expect("text"),
        errors: String::from_utf8(output.stderr).expect("text"),
    }
}

/// The same with `--json`: the status and the one object on standard output.
pub fn load_json(args: &[&str]) -> (i32, Value) {
    let done = load(&[args, &["--json"]].concat());
    let value = serde_json::from_str(&done.out);
    let value = value.unwrap_or_else(|error| {
        panic!("{error} in standard output:\n{}\nstandard error:\n{}", done.out, done.errors)
    });
    (done.status, value)
}

/// A figure by its path: `latency_us/p99`.
pub fn figure(value: &Value, path: &str) -> f64 {
    let found = value.pointer(&format!("/{path}"));
    found.and_then(Value::as_f64).unwrap_or_else(|| panic!("no number {path} in {value}"))
}

pub fn url_of(server: &Server, path: &str) -> String {
    format!("ws://{}{path}", server.address())
}

pub type Socket = WebSocket<TcpStream>;

/// A server that does the same on each connection, on a thread of its own.
pub fn serve(script: fn(Socket)) -> String {
    serve_raw(move |stream| {
        if let Ok(socket) = tungstenite::accept(stream) {
            script(socket);
        }
    })
}

/// The same, before any handshake.
pub fn serve_raw(script: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let script = script.clone();
            stream.set_nodelay(true).expect("a socket");
            thread::spawn(move || script(stream));
        }
    });
    url
}
