//! Rows 35 to 41: what the client makes of the server's answer.

use std::time::Duration;

use throng::client::{Client, ClientError, Connect, Culprit, Incoming};
use throng::handshake::AnswerError;
use throng::http::{HttpError, ResponseError};

use crate::common::{Frame, each_cut};
use crate::peer::{Peer, Request};

/// What becomes of a client that offers two subprotocols, when the right answer is bent like this.
fn verdict(bend: impl Fn(&Request) -> String + Send + 'static) -> Result<Client, ClientError> {
    let peer = Peer::answering(move |request| (bend(request) + "\r\n").into_bytes());
    let connect = Connect::to(&peer.url("/")).subprotocol("chat").subprotocol("v2");
    let verdict = connect.open();
    match &verdict {
        Ok(client) => assert!(client.is_open()),
        Err(error) => assert_eq!(error.culprit(), Culprit::Server, "{error}"),
    }
    peer.detach(); // it ends when the client leaves, and that is for the caller to say
    verdict
}

fn fault(bend: impl Fn(&Request) -> String + Send + 'static) -> AnswerError {
    match verdict(bend) {
        Err(ClientError::Answer(error)) => error,
        other => panic!("no fault of the answer: {other:?}"),
    }
}

/// The right answer with `from` replaced.
fn replaced(from: &'static str, to: &'static str) -> impl Fn(&Request) -> String + Send + 'static {
    move |request| {
        let bent = request.answer().replacen(from, to, 1);
        assert_ne!(bent, request.answer(), "{from}");
        bent
    }
}

/// The right answer and more lines.
fn also(lines: &'static str) -> impl Fn(&Request) -> String + Send + 'static {
    move |request| request.answer() + lines
}

#[test]
fn row_035_any_other_status_is_plain_http() {
    each_cut(|| {
        for status in [200, 204, 301, 401, 403, 404, 426, 500, 503] {
            let peer = Peer::answering(move |_| {
                let head =
                    format!("HTTP/1.1 {status} x\r\nX-Why: because\r\nContent-Length: 5\r\n\r\n");
                (head + "sorry, and more").into_bytes()
            });
            let error = Client::connect(&peer.url("/")).expect_err("no WebSocket");
            let ClientError::Refused(answer) = &error else { panic!("{status}: {error}") };
            let body = if status == 204 { "" } else { "sorry" };
            assert_eq!((answer.status(), answer.body()), (status, body.as_bytes()));
            assert_eq!(answer.header("x-why"), Some(&b"because"[..]));
            assert!(error.to_string().contains(&status.to_string()), "{error}");
        }
        // A perfect answer but for its status.
        let error = verdict(replaced("101 Switching Protocols", "200 OK\r\nContent-Length: 0"));
        assert!(matches!(error, Err(ClientError::Refused(answer)) if answer.status() == 200));
        // Bodies framed in the other ways, and one that is too long.
        let bodies: [(&str, &str, &str); 4] = [
            ("Transfer-Encoding: chunked\r\n", "3\r\nnot\r\n4\r\n now\r\n0\r\n\r\n", "not now"),
            ("", "until the end", "until the end"),
            ("Content-Length: 99\r\n", "cut short", "cut short"),
            ("Content-Length: 99999\r\n", "0123456789abcdefghij", "0123456789abcdef"),
        ];
        for (lines, body, expected) in bodies {
            let peer = Peer::start(move |mut session| {
                session.read_request();
                session.send(format!("HTTP/1.1 503 x\r\n{lines}\r\n{body}"));
            });
            let error = Connect::to(&peer.url("/")).body_bytes_max(16).open().expect_err("refused");
            let ClientError::Refused(answer) = error else { panic!("{error}") };
            assert_eq!(answer.body(), expected.as_bytes());
        }
    });
}

#[test]
fn interim_responses_are_passed_over() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    assert!(verdict(move |request| early.to_owned() + &request.answer()).is_ok());
    let endless = "HTTP/1.1 102 Processing\r\n\r\n".repeat(9);
    let verdict = verdict(move |request| endless.clone() + &request.answer());
    assert!(matches!(verdict, Err(ClientError::Answer(AnswerError::Status(_)))), "{verdict:?}");
}

#[test]
fn row_036_upgrade_missing_or_different() {
    each_cut(|| {
        let line = "Upgrade: websocket\r\n";
        assert_eq!(fault(replaced(line, "")), AnswerError::Upgrade);
        assert_eq!(fault(replaced(line, "Upgrade: h2c\r\n")), AnswerError::Upgrade);
        assert_eq!(fault(replaced(line, "Upgrade: websockets\r\n")), AnswerError::Upgrade);
        assert_eq!(fault(replaced(line, "Upgrade: h2c, websocket\r\n")), AnswerError::Upgrade);
        assert_eq!(fault(also("Upgrade: websocket\r\n")), AnswerError::Upgrade);
        assert!(verdict(replaced(line, "uPGRADE:WebSocket\r\n")).is_ok());
    });
}

#[test]
fn row_037_connection_without_the_token() {
    each_cut(|| {
        let line = "Connection: Upgrade\r\n";
        assert_eq!(fault(replaced(line, "")), AnswerError::Connection);
        assert_eq!(fault(replaced(line, "Connection: keep-alive\r\n")), AnswerError::Connection);
        assert_eq!(fault(replaced(line, "Connection: Upgraded\r\n")), AnswerError::Connection);
        assert!(verdict(replaced(line, "Connection: keep-alive, upgrade\r\n")).is_ok());
    });
}

#[test]
fn row_038_accept_missing_or_wrong() {
    each_cut(|| {
        let name = "Sec-WebSocket-Accept: ";
        assert_eq!(fault(replaced(name, "X-Accept: ")), AnswerError::AcceptMissing);
        assert_eq!(fault(replaced(name, "Sec-WebSocket-Accept: A")), AnswerError::Accept);
        let other = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"; // of another key
        let stale = move |it: &Request| {
            let right = it.answer();
            let at = right.find(name).expect("the line");
            right[..at].to_owned() + other
        };
        assert_eq!(fault(stale), AnswerError::Accept);
        assert_eq!(fault(also(other)), AnswerError::AcceptRepeated);
        let other_case = |it: &Request| {
            let right = it.answer();
            let at = right.find("Accept: ").expect("the line") + 8;
            right[..at].to_owned() + &right[at..].to_ascii_uppercase()
        };
        assert_eq!(fault(other_case), AnswerError::Accept, "compared with case");
        // Blanks around the value are no part of it.
        assert!(verdict(replaced(name, "Sec-WebSocket-Accept: \t  ")).is_ok());
        let behind = |it: &Request| it.answer().trim_end().to_owned() + " \t\r\n";
        assert!(verdict(behind).is_ok());
    });
}

#[test]
fn row_039_an_extension_that_was_not_offered() {
    each_cut(|| {
        for lines in [
            "Sec-WebSocket-Extensions: x-webkit-deflate-frame\r\n",
            "Sec-WebSocket-Extensions: foo; bar=1\r\n",
            "Sec-WebSocket-Extensions: foo\r\nSec-WebSocket-Extensions: bar\r\n",
        ] {
            assert_eq!(fault(also(lines)), AnswerError::ExtensionNotOffered, "{lines}");
        }
        assert_eq!(fault(also("Sec-WebSocket-Extensions: a b\r\n")), AnswerError::Extensions);
        assert_eq!(fault(also("Sec-WebSocket-Extensions:\r\n")), AnswerError::Extensions);
    });
}

#[test]
fn row_040_a_subprotocol_that_was_not_offered() {
    each_cut(|| {
        let chosen = verdict(also("Sec-WebSocket-Protocol: v2\r\n")).expect("it was offered");
        assert_eq!(chosen.subprotocol(), Some("v2"));
        assert_eq!(verdict(also("")).expect("none is fine").subprotocol(), None);
        for lines in ["Sec-WebSocket-Protocol: v3\r\n", "Sec-WebSocket-Protocol: Chat\r\n"] {
            assert_eq!(fault(also(lines)), AnswerError::SubprotocolNotOffered, "{lines}");
        }
        for lines in [
            "Sec-WebSocket-Protocol: chat, v2\r\n",
            "Sec-WebSocket-Protocol:\r\n",
            "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n",
        ] {
            assert_eq!(fault(also(lines)), AnswerError::Subprotocol, "{lines}");
        }
        // A client that offered none takes none.
        let peer = Peer::answering(|request| {
            (request.answer() + "Sec-WebSocket-Protocol: chat\r\n\r\n").into_bytes()
        });
        let error = Client::connect(&peer.url("/")).expect_err("not offered");
        assert!(
            matches!(error, ClientError::Answer(AnswerError::SubprotocolNotOffered)),
            "{error}"
        );
    });
}

#[test]
fn row_041_any_other_breach() {
    each_cut(|| {
        assert_eq!(fault(replaced("HTTP/1.1", "HTTP/1.0")), AnswerError::HttpVersion);
        assert_eq!(fault(also("Content-Length: 3\r\n")), AnswerError::Body);
        assert_eq!(fault(also("Transfer-Encoding: chunked\r\n")), AnswerError::Body);
        let head = |bent: Result<Client, ClientError>| match bent {
            Err(ClientError::Head(error)) => error,
            other => panic!("the head is malformed: {other:?}"),
        };
        let line = "HTTP/1.1 101 Switching Protocols\r\n";
        for bad in
            ["HTTP/2.0 101 x\r\n", "HTTP/1.1 1O1 x\r\n", "ICY 101 x\r\n", "\r\nHTTP/1.1 101\r\n"]
        {
            assert_eq!(head(verdict(replaced(line, bad))), ResponseError::StatusLine, "{bad}");
        }
        let lines = [
            ("X : y\r\n", HttpError::HeaderName),
            ("X: a\r\n b\r\n", HttpError::HeaderName),
            ("X: a\n", HttpError::BareLf),
            ("X: a\rb\r\n", HttpError::BareCr),
            ("X: a\0\r\n", HttpError::ControlByte),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", HttpError::ContentLength),
        ];
        for (lines, error) in lines {
            assert_eq!(head(verdict(also(lines))), ResponseError::Head(error), "{lines:?}");
        }
        // Somebody who does not speak HTTP at all.
        let peer = Peer::start(|mut session| session.send("SSH-2.0-OpenSSH_9.2\r\n\r\n"));
        let error = Client::connect(&peer.url("/")).expect_err("no HTTP");
        assert!(matches!(error, ClientError::Head(_) | ClientError::Lost(_)), "{error}");
    });
}

#[test]
fn the_head_may_come_byte_by_byte_and_glued_to_frames() {
    let peer = Peer::start(|mut session| {
        let request = session.read_request();
        let mut bytes = (request.answer() + "\r\n").into_bytes();
        bytes.extend(Frame::text("glued").unmasked().bytes());
        bytes.extend(Frame::text("again").unmasked().bytes());
        bytes.extend(&Frame::text("cut").unmasked().bytes()[..3]);
        session.send(bytes);
        std::thread::sleep(Duration::from_millis(20));
        session.send(&Frame::text("cut").unmasked().bytes()[3..]);
        session.read_to_end();
    });
    let mut client = Client::connect(&peer.url("/")).expect("it opens");
    for expected in ["glued", "again", "cut"] {
        let Ok(Incoming::Message(message)) = client.read() else { panic!("{expected}") };
        assert_eq!(message.as_text(), Some(expected));
    }
    drop(client);
    peer.join();
    let peer = Peer::start(|mut session| {
        let request = session.read_request();
        let answer = request.answer() + "\r\n";
        session.trickle(answer.as_bytes(), Duration::from_micros(200));
        session.trickle(&Frame::text("slow").unmasked().bytes(), Duration::from_micros(200));
        session.read_to_end();
    });
    let mut client = Client::connect(&peer.url("/")).expect("it opens");
    assert!(matches!(client.read(), Ok(Incoming::Message(it)) if it.as_text() == Some("slow")));
}
