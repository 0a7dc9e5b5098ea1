//! The client against throng's own server: the library, and the real binary.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use throng::client::{Client, ClientError, Connect, Incoming, ReconnectingClient, State};
use throng::frame::CloseCode;
use throng::net::{ConnectionId, Handler, Peers, Request, Server, Verdict};
use throng::proto::{Message, MessageKind};

use crate::common;

fn url(server: &common::Server, target: &str) -> String {
    format!("ws://{}{target}", server.address())
}

#[test]
fn the_binary_echoes() {
    let server = common::Server::echo(&[]);
    let mut client = Client::connect(&url(&server, "/")).expect("it opens");
    assert_eq!(client.answer().status(), 101);
    for length in [0, 1, 125, 126, 65_535, 65_536, 5 << 20] {
        let payload: Vec<u8> = (0..length).map(|at| (at * 7 % 253) as u8).collect();
        client.send(Message::binary(&payload)).unwrap();
        let Incoming::Message(message) = client.read().unwrap() else { panic!("{length}") };
        assert!(message.kind == MessageKind::Binary && message.payload == payload, "{length}");
    }
    client.send(Message::text("Gr\u{fc}\u{df}e")).unwrap();
    assert_eq!(client.read().unwrap(), Incoming::Message(Message::text("Gr\u{fc}\u{df}e")));
    client.ping(b"there?").unwrap();
    assert_eq!(client.read().unwrap(), Incoming::Pong(b"there?"));
    let close = client.close(CloseCode::new(4321).unwrap(), "bye").unwrap();
    assert_eq!(close.code, CloseCode::new(4321));
}

#[test]
fn the_binary_pings_and_an_idle_client_answers() {
    let server = common::Server::echo(&["--ping-interval", "0.1", "--pong-timeout", "0.5"]);
    let connect = Connect::to(&url(&server, "/")).read_timeout(Some(Duration::from_millis(900)));
    let mut client = connect.open().expect("it opens");
    assert!(matches!(client.read(), Err(ClientError::Timeout(_))), "nothing but pings");
    client.send(Message::text("still here")).unwrap();
    assert_eq!(client.read().unwrap(), Incoming::Message(Message::text("still here")));
}

#[test]
fn the_binary_says_goodbye_when_it_stops() {
    let mut server = common::Server::echo(&[]);
    let mut client = Client::connect(&url(&server, "/")).expect("it opens");
    server.signal("TERM");
    let Incoming::Close(close) = client.read().unwrap() else { panic!("a Close") };
    assert_eq!(close.code, Some(CloseCode::GOING_AWAY));
    server.wait_exit(5.0);
}

#[test]
fn the_binary_refuses_what_it_does_not_serve() {
    let server = common::Server::serve(&[]);
    let error = Client::connect(&url(&server, "/no/such/path")).expect_err("refused");
    let ClientError::Refused(answer) = error else { panic!("{error}") };
    assert_eq!(answer.status(), 404);
    assert!(!answer.body().is_empty());
}

/// Takes one subprotocol, welcomes, and echoes in capitals.
struct Shout;

impl Handler for Shout {
    type Session = ();
    type Mail = ();

    fn request(&mut self, request: &Request<'_>) -> Verdict<()> {
        let mut acceptance = throng::handshake::Acceptance::new().header("X-Served-By", "shout");
        if let Some(name) = request.offer().and_then(|offer| offer.choose(&["loud"])) {
            acceptance = acceptance.subprotocol(name.to_owned());
        }
        Verdict::Accept(acceptance, ())
    }

    fn open(&mut self, peers: &mut Peers<()>, id: ConnectionId) {
        let _ = peers.send(id, Message::text("WELCOME")); // right behind the 101
    }

    fn message(&mut self, peers: &mut Peers<()>, from: ConnectionId, message: Message<'_>) {
        let text = message.as_text().unwrap_or_default().to_uppercase();
        let _ = peers.send(from, Message::text(&text));
    }
}

#[test]
fn the_library_chooses_a_subprotocol() {
    let server = Server::builder().listen("127.0.0.1:0").bind().expect("a free port");
    let (addr, stopper) = (server.local_addrs()[0], server.stopper());
    let thread = thread::spawn(move || server.run(|_, _| Shout));
    let connect = Connect::to(&format!("ws://{addr}/")).subprotocol("quiet").subprotocol("loud");
    let mut client = connect.open().expect("it opens");
    assert_eq!(client.subprotocol(), Some("loud"));
    assert_eq!(client.answer().header("x-served-by"), Some(&b"shout"[..]));
    assert_eq!(client.read().unwrap(), Incoming::Message(Message::text("WELCOME")));
    client.send(Message::text("hey")).unwrap();
    assert_eq!(client.read().unwrap(), Incoming::Message(Message::text("HEY")));
    stopper.stop();
    assert!(matches!(client.read(), Ok(Incoming::Close(_))));
    thread.join().expect("no panic").expect("it stops");
}

/// A server that is stopped and another in its place: the client is back by itself.
#[test]
fn it_survives_a_restart_of_the_server() {
    let run = |addr: SocketAddr| {
        let server = Server::builder().listen(addr).bind().expect("the port is free");
        let (addr, stopper) = (server.local_addrs()[0], server.stopper());
        (addr, stopper, thread::spawn(move || server.run(|_, _| Shout)))
    };
    let (addr, stopper, first) = run(SocketAddr::from(([127, 0, 0, 1], 0)));
    let mut client = ReconnectingClient::new(Connect::to(&format!("ws://{addr}/")));
    client.connect().expect("it opens");
    let welcome = Incoming::Message(Message::text("WELCOME"));
    assert_eq!(client.read().unwrap(), welcome);
    stopper.stop();
    let restarted = thread::spawn(move || {
        first.join().expect("no panic").expect("it stops");
        run(addr)
    });
    // The Close 1001 that it sees, and what fails until the server is there, do not show.
    assert_eq!(client.read().unwrap(), welcome);
    assert_eq!(client.state(), State::Connected);
    client.send(Message::text("hey")).unwrap();
    assert_eq!(client.read().unwrap(), Incoming::Message(Message::text("HEY")));
    client.close(CloseCode::NORMAL, "").unwrap();
    let (_, stopper, second) = restarted.join().expect("no panic");
    stopper.stop();
    second.join().expect("no panic").expect("it stops");
}
