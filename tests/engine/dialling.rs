//! The client's role on the loop: many connections that it opens itself.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use throng::extension::{self, Mode};
use throng::handshake::ClientRequest;
use throng::net::{
    CloseReason, Config, ConnectionId, Dial, DialError, Handler, Message, Peers, Request, Server,
    Verdict,
};
use throng::proto::{Role, Settings};

use crate::Running;
use crate::common::eventually;

/// Echoes; says no on one path.
struct Echo;

impl Handler for Echo {
    type Session = ();
    type Mail = ();

    fn request(&mut self, request: &Request<'_>) -> Verdict<()> {
        match (request.head().path(), request.offer()) {
            ("/no", _) | (_, None) => Verdict::Respond(throng::http::Response::text(404, "no\n")),
            (_, Some(_)) => Verdict::accept(()),
        }
    }

    fn message(&mut self, peers: &mut Peers<()>, from: ConnectionId, message: Message<'_>) {
        assert_eq!(peers.send(from, message), Ok(()));
    }
}

/// What has happened, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// Opens connections on request, says something on each, expects it back, and closes.
struct Caller(Log);

/// Where to, with what path, and how many.
type Order = (SocketAddr, &'static str, u32);

impl Caller {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().expect("no test panics with it").push(line.into());
    }
}

fn text(number: u32) -> String {
    format!("this is number {number} {}", "and so on ".repeat(number as usize % 50))
}

impl Handler for Caller {
    type Session = u32;
    type Mail = Order;

    fn mail(&mut self, peers: &mut Peers<u32>, (to, path, count): Order) {
        for session in 1..=count {
            let nonce = [session as u8; 16];
            let request = ClientRequest::new(to.to_string(), path, nonce).expect("a request");
            let from = Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));
            peers.connect(Dial { to, from, request, session });
        }
    }

    fn open(&mut self, peers: &mut Peers<u32>, id: ConnectionId) {
        let session = *peers.session(id).expect("it is open");
        peers.send(id, Message::text(&text(session))).expect("it is open");
        peers.send(id, Message::binary(&vec![7; 50_000])).expect("it is open");
    }

    fn message(&mut self, peers: &mut Peers<u32>, from: ConnectionId, message: Message<'_>) {
        let session = *peers.session(from).expect("it is open");
        match message.as_text() {
            Some(echo) => assert_eq!(echo, text(session)),
            None => {
                assert_eq!(message.payload, vec![7; 50_000]);
                peers.close(from, throng::frame::CloseCode::NORMAL, "").expect("it is open");
            }
        }
    }

    fn close(&mut self, _: &mut Peers<u32>, _: ConnectionId, _: u32, reason: CloseReason<'_>) {
        self.note(format!("closed {}", matches!(reason, CloseReason::Peer(_))));
    }

    fn refused(&mut self, _: &mut Peers<u32>, session: u32, error: DialError) {
        self.note(format!("refused {session}: {error}"));
    }
}

/// Long enough for 300 handshakes at once in a debug build on a machine that has other work.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// A loop in the client's role, that carries one order out.
fn call(order: Order, mode: Mode) -> (Log, impl Drop) {
    let config = Config {
        settings: Settings::new(Role::Client),
        deflate: extension::Config::new(mode),
        handshake_timeout: HANDSHAKE_TIMEOUT,
        ..Config::default()
    };
    let log = Log::default();
    let seen = Arc::clone(&log);
    let server = Server::builder().config(config).bind().expect("nothing is listened on");
    let stopper = server.stopper();
    let thread = thread::spawn(move || {
        let run = server.run(move |_, mailboxes| {
            mailboxes[0].post(order).expect("room in the mailbox");
            Caller(Arc::clone(&log))
        });
        run.expect("the loop turns");
    });
    (seen, Stop(stopper, Some(thread)))
}

struct Stop(throng::net::Stopper, Option<thread::JoinHandle<()>>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stop();
        let ended = self.1.take().map_or(Ok(()), thread::JoinHandle::join);
        assert!(ended.is_ok() || thread::panicking(), "the client's thread panicked");
    }
}

fn lines(log: &Log) -> Vec<String> {
    log.lock().expect("no test panics with it").clone()
}

#[test]
fn many_connections_of_one_loop_speak_with_another() {
    for mode in [Mode::Off, Mode::Shared, Mode::Dedicated] {
        let config = Config { deflate: extension::Config::new(mode), ..Config::default() };
        let server = Running::start(config, 1, |_, _| Echo);
        let (log, _stop) = call((server.addr, "/", 300), mode);
        eventually("all have spoken", 20.0, || lines(&log).len() == 300);
        assert!(lines(&log).iter().all(|line| line == "closed true"), "{mode:?} {:?}", lines(&log));
    }
}

#[test]
fn a_refusal_says_why() {
    let server = Running::start(Config::default(), 1, |_, _| Echo);
    let (log, _stop) = call((server.addr, "/no", 1), Mode::Shared);
    eventually("a refusal", 5.0, || !lines(&log).is_empty());
    assert!(lines(&log)[0].contains("404"), "{:?}", lines(&log));

    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let (log, _stop) = call((nobody, "/", 2), Mode::Off);
    eventually("two refusals", 5.0, || lines(&log).len() == 2);
    assert!(lines(&log)[0].contains("ended before it was open"), "{:?}", lines(&log));
}

/// A server that answers what it likes.
fn answering(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut request = [0; 1024];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(answer.as_bytes());
        let _ = stream.read(&mut request); // until the client has gone
    });
    addr
}

#[test]
fn a_wrong_or_a_missing_answer_opens_nothing() {
    let table = [
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            "Accept",
        ),
        ("HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\r\n\r\n", "LF"),
        ("SSH-2.0-OpenSSH\r\n\r\n", ""),
        ("", "took too long"),
    ];
    for (answer, words) in table {
        let (log, _stop) = call((answering(answer), "/", 1), Mode::Off);
        eventually("a refusal", 10.0, || !lines(&log).is_empty());
        let line = lines(&log)[0].clone();
        assert!(line.starts_with("refused 1: ") && line.contains(words), "{answer:?}: {line}");
    }
}
