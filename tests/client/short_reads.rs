//! Reads with a short timeout: what a program does that has something else to look at.

use std::thread;
use std::time::{Duration, Instant};

use throng::client::{ClientError, Connect, Incoming, Step};

use crate::common::Frame;
use crate::peer::Peer;

/// A read without time never looked at the socket.
#[test]
fn a_read_without_time_takes_what_is_there() {
    let peer = Peer::start(|mut session| {
        session.open();
        session.send_frame(Frame::text("here").unmasked());
        thread::sleep(Duration::from_secs(1));
    });
    let connect = Connect::to(&peer.url("/")).read_timeout(Some(Duration::ZERO));
    let mut client = connect.open().expect("it connects");
    thread::sleep(Duration::from_millis(200));
    match client.read() {
        Ok(Incoming::Message(message)) => assert_eq!(message.as_text(), Some("here")),
        other => panic!("{other:?}"),
    }
    assert!(matches!(client.read(), Err(ClientError::Timeout(Step::Read))));
    peer.join();
}

/// Over reads that were shorter than a tick of the kernel, no ping was ever sent and no server ever
/// given up.
#[test]
fn a_heartbeat_does_not_need_long_reads() {
    let peer = Peer::start(|mut session| {
        session.open();
        thread::sleep(Duration::from_secs(2));
    });
    let beat = Some(Duration::from_millis(50));
    let short = Some(Duration::from_millis(1));
    let connect = Connect::to(&peer.url("/")).heartbeat(beat).read_timeout(short);
    let mut client = connect.open().expect("it connects");
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        match client.read() {
            Err(ClientError::Timeout(Step::Read)) => {}
            Err(ClientError::Timeout(Step::Pong)) => return peer.detach(),
            other => panic!("{other:?}"),
        }
    }
    panic!("a silent server was not given up within 40 intervals");
}
