//! Rows 44 to 47 and the rules of frames that hold for both sides, seen from the client.

use std::collections::HashSet;
use std::time::Duration;

use throng::client::{Client, ClientError, Connect, Incoming};
use throng::frame::CloseCode;
use throng::proto::{Delivery, Message, MessageKind, ProtocolError, Role, Settings};

use crate::common::frame::{BINARY, Form, PING, PONG, TEXT};
use crate::common::{Frame, each_cut};
use crate::peer::{Peer, Session};

/// A connected client, and the script that its server runs once it is open.
pub fn open(script: impl FnOnce(&mut Session) + Send + 'static) -> (Client, Peer) {
    open_with(|connect| connect, script)
}

pub fn open_with(
    connect: impl FnOnce(Connect) -> Connect,
    script: impl FnOnce(&mut Session) + Send + 'static,
) -> (Client, Peer) {
    let peer = Peer::start(move |mut session| {
        session.open();
        script(&mut session);
    });
    let client = connect(Connect::to(&peer.url("/"))).open().expect("it opens");
    (client, peer)
}

/// The client fails the connection over `bytes`, says `code`, and listens to nothing behind them.
fn fails(name: &str, bytes: &[u8], code: u16) -> ProtocolError {
    let mut last = None;
    for pause in [None, Some(Duration::from_micros(300))] {
        let (sent, behind) = (bytes.to_vec(), Frame::text("never seen").unmasked().bytes());
        let (mut client, peer) = open(move |session| {
            match pause {
                None => {
                    session.send([sent, behind, Frame::close(1000, "").unmasked().bytes()].concat())
                }
                Some(pause) => session.trickle(&sent, pause),
            }
            session.expect_close(Some(code));
            session.expect_end();
        });
        let error = loop {
            match client.read() {
                Ok(Incoming::Pong(_)) => {}
                Ok(other) => panic!("{name}: {other:?}"),
                Err(ClientError::Protocol(error)) => break error,
                Err(other) => panic!("{name}: {other}"),
            }
        };
        assert_eq!(error.close_code().get(), code, "{name}");
        assert!(matches!(client.read(), Err(ClientError::Closed)), "{name}: nothing more comes");
        let closed = client.send(Message::text("x"));
        assert!(matches!(closed, Err(ClientError::Closed)), "{name}: nothing more goes");
        assert!(!client.is_open());
        last = Some(error);
        peer.join();
    }
    last.expect("there are two ways")
}

fn raw(frame: Frame) -> Vec<u8> {
    frame.unmasked().bytes()
}

#[test]
fn row_044_every_frame_is_masked() {
    each_cut(|| {
        let (mut client, peer) = open(|session| {
            let long = vec![b'x'; 70_000];
            for (opcode, payload) in
                [(TEXT, &b"a"[..]), (BINARY, &b""[..]), (TEXT, &long), (PING, b"p"), (PONG, b"q")]
            {
                if opcode == PONG {
                    session.send_frame(Frame::ping("q"));
                    session.send_frame(Frame::text("go on"));
                }
                let (frame, _) = session.read_frame(); // it asserts the mask
                assert!((frame.opcode, &*frame.payload) == (opcode, payload), "{frame}");
            }
            session.expect_close(Some(1000));
            session.send_frame(Frame::close(1000, ""));
            session.end_first();
        });
        let long = "x".repeat(70_000);
        client.send(Message::text("a")).unwrap();
        client.send(Message::binary(b"")).unwrap();
        client.send(Message::text(&long)).unwrap();
        client.ping(b"p").unwrap();
        assert!(client.read().is_ok());
        client.close(CloseCode::NORMAL, "").unwrap();
        peer.join();
    });
}

#[test]
fn row_045_a_masked_frame_fails_the_connection() {
    each_cut(|| {
        for frame in
            [Frame::text("hi"), Frame::binary(""), Frame::ping("x"), Frame::close(1000, "")]
        {
            assert_eq!(fails("masked", &frame.bytes(), 1002), ProtocolError::Masked);
            // A key of zeros changes no byte, and is a mask all the same.
            assert_eq!(fails("zeros", &frame.mask([0; 4]).bytes(), 1002), ProtocolError::Masked);
        }
    });
}

/// That they come from the system's generator is shown beside the code, with a source that counts.
#[test]
fn row_046_a_fresh_mask_for_each_frame() {
    each_cut(|| {
        const FRAMES: usize = 300;
        let (mut client, peer) = open(|session| {
            let keys: Vec<[u8; 4]> = (0..FRAMES)
                .map(|at| {
                    if at % 3 == 2 {
                        session.send_frame(Frame::ping(""));
                    }
                    session.read_frame().1
                })
                .collect();
            let distinct: HashSet<[u8; 4]> = keys.iter().copied().collect();
            assert!(distinct.len() >= FRAMES - 1, "{} of {FRAMES}", distinct.len());
            // Not a counter, nor one key changed a little: every bit is set about half the time.
            for bit in 0..32 {
                let ones =
                    keys.iter().filter(|key| u32::from_be_bytes(**key) >> bit & 1 == 1).count();
                assert!((90..=210).contains(&ones), "bit {bit}: {ones} of {FRAMES}");
            }
            let steps: HashSet<u32> = keys
                .windows(2)
                .map(|two| u32::from_be_bytes(two[1]).wrapping_sub(u32::from_be_bytes(two[0])))
                .collect();
            assert!(steps.len() > FRAMES - 10, "the keys step");
            session.send_frame(Frame::close(1000, ""));
        });
        for _ in 0..FRAMES / 3 {
            client.send(Message::text("the same each time")).unwrap();
            client.ping(b"").unwrap();
        }
        // The server's pings are answered while it waits for something else.
        while !matches!(client.read().unwrap(), Incoming::Close(_)) {}
        peer.join();
    });
}

/// The frame is encoded and masked as a whole before its first byte leaves, and what the socket did
/// not take goes out unchanged before anything else.
#[test]
fn row_047_a_payload_does_not_change_once_it_has_begun() {
    each_cut(|| {
        const BYTES: usize = 12 << 20;
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (mut client, peer) = open_with(
            |it| it.write_timeout(Some(Duration::from_millis(100))),
            move |session| {
                wait.recv().expect("the client says when");
                let (frame, _) = session.read_frame();
                assert!(frame.payload.iter().all(|&byte| byte == 7), "it changed on the way");
                assert_eq!(frame.payload.len(), BYTES);
                assert_eq!(session.read_frame().0.payload, b"second");
                session.read_to_end();
            },
        );
        let mut payload = vec![7; BYTES];
        let error = client.send(Message::binary(&payload)).expect_err("the server does not read");
        assert!(matches!(error, ClientError::Timeout(_)), "{error}");
        payload.fill(8); // the caller's buffer is its own again
        let error =
            client.send(Message::text("first")).expect_err("not taken: the other is in the way");
        assert!(matches!(error, ClientError::Timeout(_)), "{error}");
        go.send(()).unwrap();
        loop {
            match client.send(Message::text("second")) {
                Ok(()) => break,
                Err(ClientError::Timeout(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        drop(client);
        peer.join();
    });
}

#[test]
fn what_a_server_may_not_send() {
    let table: [(&str, Vec<u8>, u16); 14] = [
        ("RSV1", raw(Frame::text("x").rsv(4)), 1002),
        ("RSV2", raw(Frame::text("x").rsv(2)), 1002),
        ("RSV3 on a ping", raw(Frame::ping("x").rsv(1)), 1002),
        ("opcode 3", raw(Frame::new(3, "x")), 1002),
        ("opcode 15", raw(Frame::new(15, "")), 1002),
        ("a split ping", raw(Frame::ping("x").unfinished()), 1002),
        ("a continuation of nothing", raw(Frame::continuation("x")), 1002),
        ("a long form of a short length", raw(Frame::text("x").form(Form::Bits16)), 1002),
        ("the top bit", raw(Frame::text("x").form(Form::Bits64).declare(1 << 63)), 1002),
        ("a Close of one byte", raw(Frame::close_body([3])), 1002),
        ("a close code that may not be sent", raw(Frame::close(1005, "")), 1002),
        ("a reason that is not UTF-8", raw(Frame::close_body([3, 0xe8, 0xff])), 1007),
        ("text that is not UTF-8", raw(Frame::text([b'a', 0xff])), 1007),
        ("a message over the limit", raw(Frame::binary("").declare((16 << 20) + 1)), 1009),
    ];
    for (name, bytes, code) in table {
        fails(name, &bytes, code);
    }
    let interleaved = [raw(Frame::text("a").unfinished()), raw(Frame::text("b"))].concat();
    fails("a message inside another", &interleaved, 1002);
    let cut = [raw(Frame::text([0xf0, 0x9f]).unfinished()), raw(Frame::continuation("x"))].concat();
    fails("a code point cut by a frame, and another byte", &cut, 1007);
}

#[test]
fn every_length_in_every_direction() {
    let lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20];
    let (mut client, peer) = open(move |session| {
        for length in lengths {
            let (frame, _) = session.read_frame();
            assert_eq!((frame.opcode, frame.payload.len()), (BINARY, length));
            session.send_frame(Frame::binary(frame.payload));
        }
        session.send_frame(Frame::close(4000, "done"));
        session.expect_close(Some(4000));
    });
    for length in lengths {
        let payload: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
        client.send(Message::binary(&payload)).unwrap();
        let Incoming::Message(message) = client.read().unwrap() else { panic!("{length}") };
        assert!(message.kind == MessageKind::Binary && message.payload == payload, "{length}");
    }
    assert!(matches!(client.read(), Ok(Incoming::Close(it)) if it.reason == "done"));
    peer.join();
}

/// Fragments with pings between them, in one piece and byte by byte.
#[test]
fn fragments_and_control_frames_between_them() {
    for pause in [None, Some(Duration::from_micros(200))] {
        let (mut client, peer) = open(move |session| {
            let bytes = [
                raw(Frame::text([0xe2, 0x82]).unfinished()),
                raw(Frame::ping("one")),
                raw(Frame::continuation("").unfinished()),
                raw(Frame::pong("unasked")),
                raw(Frame::continuation([0xac])),
                raw(Frame::text("next")),
                raw(Frame::text("")),
            ]
            .concat();
            match pause {
                None => session.send(bytes),
                Some(pause) => session.trickle(&bytes, pause),
            }
            let (frame, _) = session.read_frame();
            assert_eq!((frame.opcode, &*frame.payload), (PONG, &b"one"[..]));
            session.send_frame(Frame::close_body(""));
            session.expect_close(None);
            session.end_first();
        });
        assert_eq!(client.read().unwrap(), Incoming::Pong(b"unasked"));
        for expected in ["\u{20ac}", "next", ""] {
            assert_eq!(client.read().unwrap(), Incoming::Message(Message::text(expected)));
        }
        assert!(matches!(client.read(), Ok(Incoming::Close(it)) if it.code.is_none()));
        peer.join();
    }
}

#[test]
fn a_message_in_chunks_is_never_kept() {
    let settings = Settings { delivery: Delivery::Chunks, ..Settings::new(Role::Server) };
    let (mut client, peer) = open_with(
        |it| it.settings(settings),
        |session| {
            session.send_frame(Frame::binary(vec![1; 300_000]).unfinished());
            session.send_frame(Frame::continuation(vec![1; 300_000]));
            session.send_frame(Frame::text("whole"));
            session.read_to_end();
        },
    );
    let mut bytes = 0;
    loop {
        let Incoming::Chunk(chunk) = client.read().unwrap() else { panic!("a chunk comes") };
        assert!(chunk.payload.len() <= 65_536 && chunk.kind == MessageKind::Binary);
        bytes += chunk.payload.len();
        if chunk.last {
            break;
        }
    }
    assert_eq!(bytes, 600_000);
    let Incoming::Chunk(chunk) = client.read().unwrap() else { panic!("a chunk comes") };
    assert!(chunk.last && chunk.payload == b"whole");
    drop(client);
    peer.join();
}

#[test]
fn pongs_come_back_and_long_pings_are_cut() {
    let (mut client, peer) = open(|session| {
        for length in [0, 4, 125] {
            let (frame, _) = session.read_frame();
            assert_eq!((frame.opcode, frame.payload.len()), (PING, length));
            session.send_frame(Frame::pong(frame.payload));
        }
        session.read_to_end();
    });
    for payload in [&b""[..], b"ping", &[7; 200]] {
        client.ping(payload).unwrap();
        let cut = &payload[..payload.len().min(125)];
        assert_eq!(client.read().unwrap(), Incoming::Pong(cut));
    }
    drop(client);
    peer.join();
}
