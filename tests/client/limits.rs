//! What a hostile or slow server can cost: time, memory, patience.

use std::time::{Duration, Instant};

use throng::client::{Client, ClientError, Connect, Incoming, Step};
use throng::http::{HeadLimits, ResponseError};
use throng::proto::{Message, Role, Settings};

use crate::common::Frame;
use crate::common::frame::{PING, PONG};
use crate::frames::{open, open_with};
use crate::peer::Peer;

const SHORT: Duration = Duration::from_millis(100);

fn timed<T>(action: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    (action(), started.elapsed())
}

#[test]
fn a_server_that_answers_slowly_or_never() {
    let silent = Peer::start(|mut session| {
        session.read_request();
        session.read_to_end();
    });
    let drip = Peer::start(|mut session| {
        let answer = session.read_request().answer();
        use std::io::Write;
        for byte in answer.bytes() {
            if session.stream().write_all(&[byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    for peer in [silent, drip] {
        let connect = Connect::to(&peer.url("/")).timeout(SHORT);
        let (result, time) = timed(|| connect.open());
        let error = result.expect_err("too slow");
        assert!(matches!(error, ClientError::Timeout(Step::Handshake)), "{error}");
        assert!((SHORT..SHORT * 10).contains(&time), "{time:?}");
    }
}

#[test]
fn a_head_without_an_end() {
    let limits = HeadLimits { head_bytes_max: 2048, ..HeadLimits::default() };
    type Endless = fn(usize) -> Vec<u8>;
    let endless: [(Endless, ResponseError); 3] = [
        (|_| vec![b'x'; 1000], ResponseError::TooLarge),
        (
            |at| if at == 0 { b"HTTP/1.1 101 x\r\n".to_vec() } else { b"X: y\r\n".to_vec() },
            ResponseError::TooLarge,
        ),
        (
            |at| match at {
                0 => b"HTTP/1.1 101 x\r\n".to_vec(),
                1..=70 => b"A: b\r\n".to_vec(),
                _ => b"\r\n".to_vec(),
            },
            ResponseError::TooManyHeaders,
        ),
    ];
    for (bytes, expected) in endless {
        let peer = Peer::start(move |mut session| {
            session.read_request();
            use std::io::Write;
            for at in 0..100_000 {
                if session.stream().write_all(&bytes(at)).is_err() {
                    return;
                }
            }
            panic!("the client takes everything");
        });
        let error = Connect::to(&peer.url("/")).head_limits(limits).open().expect_err("too much");
        assert!(matches!(error, ClientError::Head(it) if it == expected), "{error}");
    }
}

#[test]
fn a_read_that_times_out_loses_nothing() {
    let (mut client, peer) = open_with(
        |it| it.read_timeout(Some(SHORT)),
        |session| {
            let bytes = Frame::text("in two halves").unmasked().bytes();
            session.send(&bytes[..7]);
            assert_eq!(session.read_frame().0.payload, b"go on");
            session.send(&bytes[7..]);
            session.read_to_end();
        },
    );
    let (error, time) = timed(|| client.read().expect_err("only half is there"));
    assert!(matches!(error, ClientError::Timeout(Step::Read)), "{error}");
    assert!((SHORT..SHORT * 10).contains(&time), "{time:?}");
    assert!(client.is_open());
    client.send(Message::text("go on")).unwrap();
    assert_eq!(client.read().unwrap(), Incoming::Message(Message::text("in two halves")));
    drop(client);
    peer.join();
}

/// Bytes that trickle in do not stretch the time that a read may take.
#[test]
fn a_read_has_one_deadline_for_all_its_bytes() {
    let (mut client, peer) = open_with(
        |it| it.read_timeout(Some(SHORT)),
        |session| {
            use std::io::Write;
            for byte in Frame::text("0123456789".repeat(10)).unmasked().bytes() {
                if session.stream().write_all(&[byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        },
    );
    let (error, time) = timed(|| client.read().expect_err("too slow"));
    assert!(matches!(error, ClientError::Timeout(Step::Read)), "{error}");
    assert!(time < SHORT * 8, "{time:?}");
    drop(client);
    peer.join();
}

#[test]
fn limits_of_messages_and_fragments() {
    let settings =
        Settings { message_bytes_max: 1000, fragments_max: 3, ..Settings::new(Role::Client) };
    let bad = [
        Frame::binary("").declare(1001).unmasked().bytes(),
        [
            Frame::binary([0; 600]).unfinished().unmasked().bytes(),
            Frame::continuation([0; 600]).unmasked().bytes(),
        ]
        .concat(),
        [
            Frame::text("").unfinished().unmasked().bytes(),
            Frame::continuation("").unfinished().unmasked().bytes().repeat(3),
        ]
        .concat(),
    ];
    for bytes in bad {
        let (mut client, peer) = open_with(
            |it| it.settings(settings.clone()),
            move |session| {
                session.send(bytes);
                session.expect_close(Some(1009));
                session.expect_end();
            },
        );
        assert!(matches!(client.read(), Err(ClientError::Protocol(_))));
        peer.join();
    }
}

/// A server that pings without reading the pongs does not hold the client up, nor make it grow: of
/// what is owed the newest comes at the end.
#[test]
fn a_flood_of_pings_that_nobody_reads_the_pongs_of() {
    const PINGS: u32 = 120_000;
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (mut client, peer) = open(move |session| {
        // More than the two sockets can hold: 16 MB of pongs.
        let ping = |at: u32| Frame::ping([&at.to_be_bytes()[..], &[0; 121]].concat());
        socket2::SockRef::from(session.stream())
            .set_recv_buffer_size(256 << 10)
            .expect("an option");
        for start in (0..PINGS).step_by(1000) {
            let frames = (start..start + 1000).map(|at| ping(at).unmasked().bytes());
            session.send(frames.collect::<Vec<_>>().concat());
        }
        session.send_frame(Frame::text("done"));
        wait.recv().expect("the client says when");
        let (mut pongs, mut newest) = (0, None);
        while newest != Some(PINGS - 1) {
            let (frame, _) = session.read_frame();
            assert_eq!(frame.opcode, PONG);
            let at = u32::from_be_bytes(frame.payload[..4].try_into().expect("four bytes"));
            assert!(newest < Some(at), "out of order");
            newest = Some(at);
            pongs += 1;
        }
        assert!(pongs < PINGS, "nothing was left out: the sockets held it all");
        session.send_frame(Frame::text("the newest was there"));
        session.read_to_end();
    });
    let (read, time) =
        timed(|| client.read().map(|it| it == Incoming::Message(Message::text("done"))));
    assert!(read.unwrap(), "not held up");
    assert!(time < Duration::from_secs(20), "{time:?}");
    go.send(()).unwrap();
    let last = client.read().expect("the pongs go out while it waits");
    assert_eq!(last, Incoming::Message(Message::text("the newest was there")));
    drop(client);
    peer.join();
}

#[test]
fn a_heartbeat_finds_a_server_that_is_gone() {
    let beat = Duration::from_millis(60);
    let (mut client, peer) = open_with(
        |it| it.heartbeat(Some(beat)),
        |session| {
            // One that answers stays; its silence costs a ping now and then.
            for _ in 0..3 {
                let (frame, _) = session.read_frame();
                assert_eq!(frame.opcode, PING);
                session.send_frame(Frame::pong(frame.payload));
            }
            session.send_frame(Frame::text("alive"));
            assert_eq!(session.read_frame().0.opcode, PING);
            session.expect_end();
        },
    );
    let mut pongs = 0;
    loop {
        match client.read().unwrap() {
            Incoming::Pong(_) => pongs += 1,
            Incoming::Message(message) => break assert_eq!(message.as_text(), Some("alive")),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pongs, 3);
    let (error, time) = timed(|| client.read().expect_err("silence"));
    assert!(matches!(error, ClientError::Timeout(Step::Pong)), "{error}");
    assert_eq!(error.close_code(), Some(1006));
    assert!((beat * 2..beat * 20).contains(&time), "{time:?}");
    peer.join();
}

/// What waits in the socket while nobody reads is no silence.
#[test]
fn a_heartbeat_does_not_blame_the_server_for_a_slow_reader() {
    let beat = Duration::from_millis(40);
    let (mut client, peer) = open_with(
        |it| it.heartbeat(Some(beat)),
        |session| {
            session.send_frame(Frame::text("early"));
            session.read_to_end();
        },
    );
    std::thread::sleep(beat * 4);
    assert_eq!(client.read().unwrap(), Incoming::Message(Message::text("early")));
    drop(client);
    peer.join();
}

/// Nor is a pong that came late, and waits since then.
#[test]
fn a_heartbeat_takes_a_pong_that_nobody_was_there_to_read() {
    let beat = Duration::from_millis(60);
    let (mut client, peer) = open_with(
        |it| it.heartbeat(Some(beat)).read_timeout(Some(beat * 3 / 2)),
        move |session| {
            let (frame, _) = session.read_frame();
            std::thread::sleep(beat * 2 / 3);
            session.send_frame(Frame::pong(frame.payload));
            session.read_to_end();
        },
    );
    let error = client.read().expect_err("the pong comes later");
    assert!(matches!(error, ClientError::Timeout(Step::Read)), "{error}");
    std::thread::sleep(beat * 3);
    assert_eq!(client.read().unwrap(), Incoming::Pong(b""));
    drop(client);
    peer.join();
}

#[test]
fn many_messages_in_one_read_come_one_by_one() {
    let (mut client, peer) = open(|session| {
        let bytes: Vec<u8> =
            (0..20_000_u32).flat_map(|at| Frame::text(at.to_string()).unmasked().bytes()).collect();
        session.send(bytes);
        session.read_to_end();
    });
    for at in 0..20_000_u32 {
        let Incoming::Message(message) = client.read().unwrap() else { panic!("{at}") };
        assert_eq!(message.as_text(), Some(&*at.to_string()));
    }
    drop(client);
    peer.join();
}

#[test]
fn nobody_is_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::connect(&url).expect_err("nobody listens");
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
    let error = Client::connect("ws://no-such-host.invalid/").expect_err("no such name");
    assert!(matches!(error, ClientError::Resolve { .. }), "{error}");
    // The peer leaves in the middle of its answer.
    let peer = Peer::start(|mut session| {
        let answer = session.read_request().answer();
        session.send(&answer[..40]);
    });
    let error = Client::connect(&peer.url("/")).expect_err("half an answer");
    assert!(matches!(error, ClientError::Lost(None)), "{error}");
}
