//! Rows 84 and 90, and the close handshake from the client's side.

use std::time::{Duration, Instant};

use throng::client::{ClientError, Incoming, Step};
use throng::frame::CloseCode;
use throng::proto::{Close, Message};

use crate::common::frame::TEXT;
use crate::common::{Frame, each_cut};
use crate::frames::{open, open_with};

fn close(code: u16, reason: &str) -> Close<'_> {
    Close { code: CloseCode::new(code), reason }
}

/// The server closes TCP first: the client waits for it, and for no longer than it may.
#[test]
fn row_084_the_client_waits_for_the_servers_end_of_tcp() {
    each_cut(|| {
        const PAUSE: Duration = Duration::from_millis(150);
        // The client closes.
        let (mut client, peer) = open(|session| {
            session.expect_close(Some(1000));
            session.send_frame(Frame::close(1000, "bye"));
            session.expect_silence(PAUSE); // no FIN of the client's
            session.end_first();
        });
        let started = Instant::now();
        assert_eq!(client.close(CloseCode::NORMAL, "done").unwrap(), close(1000, "bye"));
        assert!(started.elapsed() >= PAUSE);
        peer.join();
        // The server closes.
        let (mut client, peer) = open(|session| {
            session.send_frame(Frame::close(4001, ""));
            session.expect_close(Some(4001));
            session.expect_silence(PAUSE);
        });
        let started = Instant::now();
        assert_eq!(client.read().unwrap(), Incoming::Close(close(4001, "")));
        assert!(started.elapsed() >= PAUSE);
        peer.join();
        // A server that never closes TCP costs the close timeout, and no more.
        let (mut client, peer) = open_with(
            |it| it.close_timeout(PAUSE),
            |session| {
                session.expect_close(Some(1000));
                session.send_frame(Frame::close(1000, ""));
                session.expect_end(); // the client gave up waiting
            },
        );
        let started = Instant::now();
        assert!(client.close(CloseCode::NORMAL, "").is_ok());
        assert!((PAUSE..PAUSE * 10).contains(&started.elapsed()), "{:?}", started.elapsed());
        peer.join();
        // Nor does one that goes on talking.
        let (mut client, peer) = open_with(
            |it| it.close_timeout(PAUSE),
            |session| {
                session.send_frame(Frame::close(1000, ""));
                let junk = [0; 4096];
                use std::io::Write;
                while session.stream().write_all(&junk).is_ok() {}
            },
        );
        let started = Instant::now();
        assert!(matches!(client.read(), Ok(Incoming::Close(_))));
        assert!(started.elapsed() < PAUSE * 10, "{:?}", started.elapsed());
        peer.join();
    });
}

#[test]
fn a_server_that_never_answers_the_close_is_cut() {
    let (mut client, peer) = open_with(
        |it| it.close_timeout(Duration::from_millis(100)),
        |session| {
            session.expect_close(Some(1001));
            session.expect_end();
        },
    );
    let error = client.close(CloseCode::GOING_AWAY, "").expect_err("no answer comes");
    assert!(matches!(error, ClientError::Timeout(Step::Close)), "{error}");
    assert_eq!(error.close_code(), Some(1006));
    assert!(matches!(client.read(), Err(ClientError::Closed)));
    assert!(matches!(client.close(CloseCode::NORMAL, ""), Err(ClientError::Closed)));
    peer.join();
}

#[test]
fn messages_before_the_servers_close_are_not_lost_to_who_reads() {
    let (mut client, peer) = open(|session| {
        session.expect_close(Some(1000));
        session.send_frame(Frame::text("still"));
        session.send_frame(Frame::ping("and"));
        assert_eq!(session.read_frame().0.payload, b"and", "pings are answered until the Close");
        session.send_frame(Frame::close(1000, "bye"));
        session.send_frame(Frame::text("behind the Close"));
    });
    client.start_close(CloseCode::NORMAL, "").unwrap();
    assert!(!client.is_open());
    assert!(matches!(client.send(Message::text("x")), Err(ClientError::Closed)));
    assert!(matches!(client.ping(b""), Err(ClientError::Closed)));
    assert!(matches!(client.start_close(CloseCode::NORMAL, ""), Err(ClientError::Closed)));
    assert_eq!(client.read().unwrap(), Incoming::Message(Message::text("still")));
    assert_eq!(client.read().unwrap(), Incoming::Close(close(1000, "bye")));
    assert!(matches!(client.read(), Err(ClientError::Closed)));
    // Who asks again hears the same.
    assert_eq!(client.close(CloseCode::NORMAL, "").unwrap(), close(1000, "bye"));
    peer.join();
}

#[test]
fn both_close_at_the_same_time() {
    let (mut client, peer) = open(|session| {
        session.send_frame(Frame::close(4000, "server"));
        session.expect_close(Some(4001));
        session.end_first(); // one Close each
    });
    assert_eq!(
        client.close(CloseCode::new(4001).unwrap(), "client").unwrap(),
        close(4000, "server")
    );
    peer.join();
}

#[test]
fn the_code_and_reason_that_are_reported() {
    let longest = "r".repeat(123);
    let table: [(Frame, Close<'_>); 5] = [
        (Frame::close_body(""), Close { code: None, reason: "" }),
        (Frame::close(1000, ""), close(1000, "")),
        (Frame::close(1013, "later \u{20ac}"), close(1013, "later \u{20ac}")),
        (Frame::close(3000, &longest), close(3000, &longest)),
        (Frame::close(4999, "x"), close(4999, "x")),
    ];
    for (frame, expected) in table {
        let code = expected.code.map(CloseCode::get);
        let (mut client, peer) = open(move |session| {
            session.send_frame(frame);
            session.expect_close(code);
            session.end_first();
        });
        assert_eq!(client.read().unwrap(), Incoming::Close(expected));
        peer.join();
    }
}

#[test]
fn row_090_a_transport_that_is_lost() {
    each_cut(|| {
        // By FIN at a frame's edge, inside a header, inside a message; and by a reset.
        let cuts: [&[u8]; 4] = [b"", b"\x81", b"\x81\x05Hel", b"\x01\x01a"];
        for cut in cuts {
            for reset in [false, true] {
                let peer = crate::peer::Peer::listen(move |listener| {
                    let mut session = crate::peer::Session::accept(listener);
                    session.open();
                    session.send(cut);
                    assert_eq!(session.read_frame().0.opcode, TEXT);
                    if reset {
                        session.reset();
                    }
                });
                let mut client = throng::client::Client::connect(&peer.url("/")).unwrap();
                client.send(Message::text("now go")).unwrap();
                let error = client.read().expect_err("lost");
                assert!(matches!(error, ClientError::Lost(_)), "{error}");
                assert_eq!(error.close_code(), Some(1006));
                assert!(matches!(client.read(), Err(ClientError::Closed)));
                assert!(matches!(client.send(Message::text("x")), Err(ClientError::Closed)));
                assert!(!client.is_open());
                peer.join();
            }
        }
        // Also after the client's own Close.
        let (mut client, peer) = open(|session| session.expect_close(Some(1000)));
        let error = client.close(CloseCode::NORMAL, "").expect_err("no Close came back");
        assert!(matches!(error, ClientError::Lost(None)), "{error}");
        assert_eq!(error.to_string(), "the connection was lost");
        peer.join();
    });
}

/// What the server said last can be read, even when writing shows first that it has gone.
#[test]
fn a_close_is_read_although_writing_fails() {
    let (mut client, peer) = open(|session| {
        session.send_frame(Frame::close(1008, "too loud"));
    });
    peer.join(); // the socket is closed
    std::thread::sleep(Duration::from_millis(20));
    // The first write is answered with a reset, the next ones fail.
    let failed = (0..100).find_map(|_| {
        std::thread::sleep(Duration::from_millis(1));
        client.send(Message::binary(&[0; 1000])).err()
    });
    let failed = failed.expect("nobody is there");
    assert!(matches!(failed, ClientError::Lost(Some(_))), "{failed}");
    assert_eq!(client.read().unwrap(), Incoming::Close(close(1008, "too loud")));
}

#[test]
fn a_reason_is_cut_to_what_fits() {
    let (mut client, peer) = open(|session| {
        let (frame, _) = session.read_frame();
        assert_eq!(frame.close_code(), Some(1008));
        assert_eq!(frame.payload[2..], *"\u{e9}".repeat(61).as_bytes());
        session.send_frame(Frame::close(1008, ""));
    });
    let reason = "\u{e9}".repeat(100);
    client.close(CloseCode::POLICY_VIOLATION, &reason).unwrap();
    peer.join();
}
