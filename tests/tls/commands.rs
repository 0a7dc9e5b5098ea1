//! `throng connect` and `throng load` over wss, and the loop in the client's role.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use throng::handshake::ClientRequest;
use throng::net::{
    Config, ConnectionId, Dial, DialError, Handler, Message, Peers, Server as Loop, Tls, TlsSetup,
};
use throng::proto::{Role, Settings};
use throng::tls::{Acceptor, Connector, Files};

use crate::authority::{Authority, text, words};
use crate::common::Server;
use crate::peer::{BOTH, config, connect, echo, open};

fn program() -> Command {
    Command::new(std::env::var("THRONG").unwrap_or_else(|_| env!("CARGO_BIN_EXE_throng").into()))
}

fn connect_with(url: &str, flags: &[&str]) -> Output {
    let mut command = program();
    command.arg("connect").arg(url).args(flags);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let _ = child.stdin.take().expect("a pipe").write_all(b"hello\n"); // it may have ended
    child.wait_with_output().expect("it ends")
}

#[test]
fn connect_over_wss() {
    let authority = Authority::new();
    let flags = authority.pair("server", &["127.0.0.1"]).flags();
    let server = Server::serve(&words(&flags));
    let url = format!("wss://{}/echo", server.address());
    let ca = text(&authority.ca());
    for flags in [vec!["--ca", &*ca], vec!["--insecure"]] {
        let done = connect_with(&url, &flags);
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(String::from_utf8_lossy(&done.stdout), "hello\n", "{errors}");
        assert_eq!(done.status.code(), Some(0), "{errors}");
    }
    // As the server prints its address.
    let shown = format!("https://{}/echo", server.address());
    assert_eq!(connect_with(&shown, &["--ca", &ca]).status.code(), Some(0));

    let done = connect_with(&url, &[]);
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(matches!(done.status.code(), Some(2 | 3)), "{errors}");
    assert!(done.stdout.is_empty());
    let done = connect_with(&url, &["--ca", "missing.pem"]);
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(2), "{errors}");
    assert!(errors.contains("cannot read missing.pem"), "{errors}");
}

#[test]
fn load_over_wss() {
    let authority = Authority::new();
    let flags = authority.pair("server", &["127.0.0.1"]).flags();
    let server = Server::serve(&words(&flags));
    let url = format!("wss://{}/echo", server.address());
    let ca = text(&authority.ca());
    let short = ["-c", "10", "-t", "0.5", "--json", "--ca", &ca];
    for args in [
        vec!["echo", &url, "--warm-up", "0.1", "--size", "40000"],
        vec!["storm", &url, "--warm-up", "0.1"],
        vec!["echo", &url, "--warm-up", "0.1", "--procs", "2"],
    ] {
        let output = program().arg("load").args(&args).args(short).output().expect("it ends");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {errors}");
        let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(outcome["handshakes"].as_u64() >= Some(10), "{args:?}: {outcome}");
        let done = if args[0] == "storm" { "handshakes" } else { "messages" };
        assert!(outcome[done].as_u64() > Some(10), "{args:?}: {outcome}");
    }
    let stranger = Authority::new();
    let args = ["load", "echo", &url, "-c", "1", "-t", "0.1", "--ca", &text(&stranger.ca())];
    let output = program().args(args).output().expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("UnknownIssuer"), "{errors}");
}

/// Dials, sends a message and tells what comes back.
struct Caller(Sender<String>);

impl Handler<Tls> for Caller {
    type Session = u32;
    type Mail = Dial<u32>;

    fn mail(&mut self, peers: &mut Peers<u32, Tls>, dial: Dial<u32>) {
        peers.connect(dial);
    }

    fn open(&mut self, peers: &mut Peers<u32, Tls>, id: ConnectionId) {
        let text = "x".repeat(100_000);
        let _ = peers.send(id, Message::text(&text)); // it is open
    }

    fn message(&mut self, _: &mut Peers<u32, Tls>, _: ConnectionId, message: Message<'_>) {
        let _ = self.0.send(format!("{} bytes", message.payload.len())); // the test may be over
    }

    fn refused(&mut self, _: &mut Peers<u32, Tls>, _: u32, error: DialError) {
        let _ = self.0.send(error.to_string());
    }
}

#[test]
fn a_loop_dials_over_tls_and_looks_at_names() {
    let authority = Authority::new();
    let flags = authority.pair("server", &["localhost"]).flags();
    let server = Server::echo(&words(&flags));
    let connector = Connector::trusting(authority.ca()).expect("good files");
    let settings = Settings::new(Role::Client);
    let caller = Loop::builder().config(Config { settings, ..Config::default() });
    let caller = caller.bind().expect("nothing to bind");
    let stopper = caller.stopper();
    let (told, heard) = channel();
    let to = server.address();
    thread::scope(|scope| {
        let run = scope.spawn(move || {
            caller.run_tls(&TlsSetup::connecting(&connector), |_, mailboxes| {
                for host in ["localhost:1", "localhost", "other.test"] {
                    let request = ClientRequest::new(host, "/", [7; 16]).expect("a request");
                    let dial = Dial { to, from: None, request, session: 0 };
                    assert!(mailboxes[0].post(dial).is_ok(), "there is room");
                }
                Caller(told.clone())
            })
        });
        let patience = Duration::from_secs(20);
        let mut all: Vec<_> =
            (0..3).map(|_| heard.recv_timeout(patience).expect("an answer")).collect();
        stopper.stop();
        run.join().expect("no panic").expect("it ran");
        all.sort();
        assert_eq!(all[..2], ["100000 bytes", "100000 bytes"]);
        assert!(all[2].contains("not valid for name"), "{}", all[2]);
    });
}

/// The example of the documentation, run.
struct Echo;

impl<P: throng::net::Platform> Handler<P> for Echo {
    type Session = ();
    type Mail = ();

    fn message(&mut self, peers: &mut Peers<(), P>, from: ConnectionId, message: Message<'_>) {
        let _ = peers.send(from, message); // a peer that is gone is told of by its close
    }
}

#[test]
fn a_server_of_the_library() {
    let authority = Authority::new();
    let pair = authority.pair("server", &["localhost"]);
    let acceptor = Arc::new(Acceptor::new(Files::new(pair.certificate, pair.key)).expect("good"));
    let server = Loop::builder().listen("127.0.0.1:0").loops(2).bind().expect("a free port");
    let (addr, stopper) = (server.local_addrs()[0], server.stopper());
    let counted = Arc::clone(&acceptor);
    let setup = TlsSetup::accepting(&acceptor);
    let run = thread::spawn(move || server.run_tls(&setup, |_, _| Echo));
    let config = Arc::new(config(&authority, &BOTH, None));
    for _ in 0..5 {
        echo(&mut open(connect(&config, addr, "localhost"), "/"), "by the library");
    }
    let counts = counted.counts();
    assert_eq!((counts.full, counts.resumed, counts.failed), (1, 4, 0));
    stopper.stop();
    run.join().expect("no panic").expect("it ran");
}
