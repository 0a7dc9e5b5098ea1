//! Row 91: the client that comes back, over real sockets. The exact schedule is shown beside the
//! code, without waiting.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use throng::client::{
    ClientError, Connect, Ending, Event, Fate, Incoming, Policy, Reconnect, ReconnectingClient,
    State, Step, default_fate,
};
use throng::frame::CloseCode;
use throng::proto::Message;

use crate::common::Frame;
use crate::peer::{Peer, Session};

const BRISK: Duration = Duration::from_millis(20);

/// Short waits, so that the tests are short.
fn brisk() -> Policy {
    Policy { base: BRISK, cap: BRISK * 4, stable_after: Duration::ZERO, ..Policy::default() }
}

type States = Arc<Mutex<Vec<State>>>;

/// A client whose states are written down.
fn client(connect: Connect, policy: Policy) -> (ReconnectingClient, States) {
    let states = States::default();
    let kept = Arc::clone(&states);
    let client = ReconnectingClient::new(connect).policy(policy);
    (client.on_state(move |state| kept.lock().unwrap().push(state)), states)
}

fn text(client: &mut ReconnectingClient) -> String {
    match client.read().expect("something comes") {
        Incoming::Message(message) => message.as_text().expect("text").to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn row_091_a_random_first_delay_then_growing_backoff() {
    let ms = Duration::from_millis;
    let schedule = |policy: Policy, random: u64| {
        let mut machine = Reconnect::new(policy);
        machine.step(Event::Connect, ms(0), 0);
        let mut now = ms(0);
        let waits: Vec<u128> = (0..9)
            .map(|_| {
                machine.step(Event::Ended(Ending::Lost), now, random);
                let due = machine.due().expect("it waits");
                let wait = due - now;
                now = due;
                machine.step(Event::Tick, now, random);
                wait.as_millis()
            })
            .collect();
        waits
    };
    // The RFC's advice: a first delay between 0 and 5 s, then truncated binary exponential backoff.
    let halves = schedule(Policy::rfc6455(), 1 << 63);
    assert_eq!(halves, [2500, 250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
    assert_eq!(schedule(Policy::rfc6455(), 0)[0], 0);
    assert_eq!(schedule(Policy::rfc6455(), u64::MAX)[0], 4999);
    // The default tries at once, and then the same.
    let halves = schedule(Policy::default(), 1 << 63);
    assert_eq!(halves, [0, 250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
}

/// Lost three times in three ways; joined again each time, with a fresh token.
#[test]
fn it_comes_back_authenticates_and_joins_again() {
    let peer = Peer::listen(|listener| {
        for round in 0..4 {
            let mut session = Session::accept(listener);
            let request = session.open();
            assert_eq!(request.only("Authorization"), format!("Bearer {round}"));
            assert_eq!(session.read_frame().0.payload, b"join", "before anything else");
            session.send_frame(Frame::text(format!("round {round}")));
            match round {
                0 => {}
                1 => session.reset(),
                2 => {
                    session.send_frame(Frame::close(1012, "restart"));
                    session.expect_close(Some(1012));
                }
                _ => {
                    assert_eq!(session.read_frame().0.payload, b"hello");
                    session.send_frame(Frame::close(1000, "enough"));
                    session.expect_close(Some(1000));
                }
            }
        }
    });
    let (client, states) = client(Connect::to(&peer.url("/")), brisk());
    let mut round = 0;
    let mut client = client
        .before_connect(move |connect| {
            round += 1;
            Ok(connect.header("Authorization", format!("Bearer {}", round - 1)))
        })
        .after_connect(|client| client.send(Message::text("join")));
    assert!(matches!(client.read(), Err(ClientError::Closed)), "not connected yet");
    client.connect().expect("it opens");
    assert_eq!(text(&mut client), "round 0");
    // A reset may swallow what came before it.
    let second = text(&mut client);
    if second == "round 1" {
        assert_eq!(text(&mut client), "round 2");
    } else {
        assert_eq!(second, "round 2");
    }
    assert_eq!(text(&mut client), "round 3");
    client.send(Message::text("hello")).expect("it is connected");
    let Incoming::Close(close) = client.read().expect("the end") else { panic!("a Close") };
    assert_eq!((close.code, close.reason), (Some(CloseCode::NORMAL), "enough"));
    assert_eq!(client.state(), State::Disconnected);
    assert!(matches!(client.read(), Err(ClientError::Closed)));
    assert!(matches!(client.send(Message::text("x")), Err(ClientError::Closed)));
    let round = [State::Connecting, State::Connected, State::Waiting];
    let expected: Vec<State> = round.into_iter().cycle().take(11).collect();
    let seen = states.lock().unwrap().clone();
    assert_eq!(seen[..11], expected);
    assert_eq!(seen[11..], [State::Disconnected]);
    peer.join();
}

#[test]
fn it_waits_for_a_server_that_is_not_there_yet() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(150));
        let listener = std::net::TcpListener::bind(addr).expect("the port is still free");
        let mut session = Session::accept(&listener);
        session.open();
        session.read_to_end();
    });
    let (mut client, states) = client(Connect::to(&format!("ws://{addr}/")), brisk());
    client.connect().expect("in the end it opens");
    assert_eq!(client.state(), State::Connected);
    assert!(client.client().is_some_and(|client| client.is_open()));
    assert!(states.lock().unwrap().iter().filter(|it| **it == State::Waiting).count() >= 2);
    drop(client);
    thread.join().unwrap();
}

#[test]
fn it_gives_up_when_told_to() {
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let policy = Policy { retries_max: Some(3), ..brisk() };
    let (client, states) = client(Connect::to("ws://127.0.0.1:1/"), policy);
    let mut client = client.before_connect(move |connect| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(connect)
    });
    let error = client.connect().expect_err("nobody is there");
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
    assert_eq!(tries.load(Ordering::SeqCst), 4, "one attempt and three retries");
    assert_eq!(client.state(), State::Failed);
    assert_eq!(states.lock().unwrap().last(), Some(&State::Failed));
    assert!(matches!(client.read(), Err(ClientError::Closed)));
    // A hook that fails is an attempt that failed; and what cannot work is not tried again.
    let (client, _) = self::client(Connect::to("ws://127.0.0.1:1/"), policy);
    let error = client.before_connect(|_| Err("no token".into())).connect().expect_err("no token");
    assert_eq!(error.to_string(), "no token");
    let (mut client, states) = self::client(Connect::to("http://a/"), policy);
    assert!(matches!(client.connect(), Err(ClientError::Url(_))));
    assert_eq!(*states.lock().unwrap(), [State::Connecting, State::Failed]);
}

#[test]
fn final_statuses_and_codes() {
    for status in [401, 403, 404] {
        let peer = Peer::answering(move |_| {
            format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n").into_bytes()
        });
        let (mut client, _) = client(Connect::to(&peer.url("/")), brisk());
        let error = client.connect().expect_err("refused");
        assert!(matches!(error, ClientError::Refused(answer) if answer.status() == status));
        assert_eq!(client.state(), State::Failed);
    }
    // Busy now, open the next time.
    let peer = Peer::listen(|listener| {
        let mut session = Session::accept(listener);
        session.read_request();
        session.send("HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n");
        let mut session = Session::accept(listener);
        session.open();
        session.send_frame(Frame::close(1008, "banned"));
        session.expect_close(Some(1008));
    });
    let (mut client, _) = client(Connect::to(&peer.url("/")), brisk());
    client.connect().expect("the second time");
    let Incoming::Close(close) = client.read().expect("the end") else { panic!("a Close") };
    assert_eq!((close.code, close.reason), (Some(CloseCode::POLICY_VIOLATION), "banned"));
    assert_eq!(client.state(), State::Failed);
    peer.join();
    // The application knows what its own codes mean.
    let peer = Peer::start(|mut session| {
        session.open();
        session.send_frame(Frame::close(4403, ""));
        session.expect_close(Some(4403));
    });
    let fate = |ending| match ending {
        Ending::Closed(Some(code)) if code.get() == 4403 => Fate::Fail,
        other => default_fate(other),
    };
    let (mut client, _) = self::client(Connect::to(&peer.url("/")), Policy { fate, ..brisk() });
    client.connect().expect("it opens");
    assert!(matches!(client.read(), Ok(Incoming::Close(_))));
    assert_eq!(client.state(), State::Failed);
    peer.join();
}

#[test]
fn close_is_for_good() {
    let peer = Peer::start(|mut session| {
        session.open();
        session.expect_close(Some(1000));
        session.send_frame(Frame::close(1000, "bye"));
    });
    let (mut client, states) = client(Connect::to(&peer.url("/")), brisk());
    client.connect().expect("it opens");
    assert_eq!(client.close(CloseCode::NORMAL, "").expect("it closes").reason, "bye");
    let all = [State::Connecting, State::Connected, State::Closing, State::Disconnected];
    assert_eq!(*states.lock().unwrap(), all);
    assert!(matches!(client.close(CloseCode::NORMAL, ""), Err(ClientError::Closed)));
    peer.join();
}

/// Also while it waits for the next attempt a read has its deadline.
#[test]
fn a_read_times_out_while_waiting() {
    let short = Duration::from_millis(80);
    let policy = Policy {
        first_delay_max: Duration::ZERO,
        base: Duration::from_secs(3600),
        cap: Duration::from_secs(3600),
        ..Policy::default()
    };
    let peer = Peer::start(|mut session| {
        session.open();
    });
    let connect = Connect::to(&peer.url("/")).read_timeout(Some(short));
    let connect = connect.timeout(Duration::from_millis(50));
    let (mut client, _) = client(connect, policy);
    client.connect().expect("it opens");
    peer.join();
    let started = Instant::now();
    let error = client.read().expect_err("nobody is there any more");
    assert!(matches!(error, ClientError::Timeout(Step::Read)), "{error}");
    assert!(started.elapsed() < short * 10);
    assert_eq!(client.state(), State::Waiting);
    assert!(matches!(client.close(CloseCode::NORMAL, ""), Err(ClientError::Closed)));
    assert_eq!(client.state(), State::Disconnected);
}
