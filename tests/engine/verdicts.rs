//! What a handler may answer to a request.

use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use throng::handshake::Acceptance;
use throng::http::Response;
use throng::net::{
    Config, ConnectionId, Handler, Mailbox, Message, Peers, Request, SendError, Verdict,
};

use crate::Running;
use crate::common::http::Upgrade;
use crate::common::{Expect, Frame};

/// Asks another thread about each request, and echoes.
struct Asking {
    ask: Sender<(ConnectionId, String)>,
}

impl Handler for Asking {
    type Session = String;
    type Mail = (ConnectionId, String);

    fn request(&mut self, request: &Request<'_>) -> Verdict<String> {
        assert!(request.remote_addr().is_some_and(|addr| addr.ip().is_loopback()));
        let path = request.head().path().to_owned();
        match path.as_str() {
            "/now" => {
                let offer = request.offer().expect("a handshake");
                let mut acceptance = Acceptance::new().header("X-Served-By", "throng");
                if let Some(subprotocol) = offer.choose(&["b", "a"]) {
                    acceptance = acceptance.subprotocol(subprotocol.to_owned());
                }
                Verdict::Accept(acceptance, path)
            }
            "/wrong" => Verdict::Accept(Acceptance::new().subprotocol("not-offered"), path),
            "/body" => {
                let body = String::from_utf8_lossy(request.body()).into_owned();
                Verdict::Respond(Response::text(200, body))
            }
            _ => {
                self.ask.send((request.id(), path)).expect("the other thread lives");
                Verdict::Pending
            }
        }
    }

    fn message(&mut self, peers: &mut Peers<String>, from: ConnectionId, message: Message<'_>) {
        assert_eq!(peers.send(from, message), Ok(()));
    }

    fn mail(&mut self, peers: &mut Peers<String>, (id, path): (ConnectionId, String)) {
        let verdict = match path.as_str() {
            "/yes" => Verdict::accept(path),
            _ => Verdict::Respond(Response::text(403, "no\n")),
        };
        peers.decide(id, verdict);
        let gone = ConnectionId::from_u64(u64::MAX >> 1);
        peers.decide(gone, Verdict::Pending);
        assert_eq!(peers.send(gone, Message::text("x")), Err(SendError::Closed));
    }
}

fn asking() -> Running {
    let config = Config { handshake_timeout: Duration::from_secs(1), ..Config::default() };
    Running::start(config, 1, |_, mailboxes| {
        let (ask, asked) = channel::<(ConnectionId, String)>();
        let mailbox: Mailbox<_> = mailboxes[0].clone();
        thread::spawn(move || {
            for (id, path) in asked {
                thread::sleep(Duration::from_millis(50));
                if path != "/never" && mailbox.post((id, path)).is_err() {
                    return;
                }
            }
        });
        Asking { ask }
    })
}

#[test]
fn a_pending_handshake_is_taken_later_with_the_frames_glued_to_it() {
    let server = asking();
    let mut client = server.client();
    let mut bytes = Upgrade::new("/yes").bytes();
    bytes.extend(Frame::text("glued").bytes());
    client.send(bytes);
    client.expect_upgrade();
    client.expect(&Expect::text("glued"));
    client.send(Frame::text("later").bytes());
    client.expect(&Expect::text("later"));
}

#[test]
fn a_pending_handshake_is_refused_later() {
    let server = asking();
    let mut client = server.client();
    client.send(Upgrade::new("/no").bytes());
    assert_eq!(client.expect_answer(403).status, 403);
    client.expect_eof();
}

#[test]
fn a_request_that_nobody_decides_about_gets_503() {
    let server = asking();
    let mut client = server.client();
    client.send(Upgrade::new("/never").bytes());
    client.expect_answer(503);
    client.expect_eof();
}

#[test]
fn the_acceptance_carries_subprotocol_and_headers() {
    let server = asking();
    let mut client = server.client();
    client.send(Upgrade::new("/now").header("Sec-WebSocket-Protocol", "c, a, b").bytes());
    let answer = client.expect_upgrade();
    assert_eq!(answer.only("sec-websocket-protocol"), Some("a"));
    assert_eq!(answer.only("x-served-by"), Some("throng"));
}

#[test]
fn a_subprotocol_that_was_not_offered_is_never_sent() {
    let server = asking();
    let mut client = server.client();
    client.send(Upgrade::new("/wrong").bytes());
    client.expect_answer(500);
    client.expect_eof();
}

#[test]
fn a_body_is_handed_over_whole_and_refused_when_too_long() {
    let server = asking();
    let mut client = server.client();
    let head = "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    client.send(format!("{head}he"));
    thread::sleep(Duration::from_millis(20));
    client.send(format!("llo{head}again"));
    assert_eq!(client.read_answer(false).body, b"hello");
    assert_eq!(client.read_answer(false).body, b"again");
    client.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n");
    client.expect_answer(413);
    client.expect_eof();
    let mut client = server.client();
    client.send("POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.expect_answer(411);
    client.expect_eof();
}
