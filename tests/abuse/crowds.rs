//! Many at once: resets, silence, and no descriptors left.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::common::http::Upgrade;
use crate::common::{RawClient, Server, eventually};
use crate::{Watch, is_idle};

#[test]
fn two_thousand_connections_reset_at_once() {
    let server = Server::echo(&[]);
    let mut watch = Watch::over(&server);
    let request = Upgrade::new("/").bytes();
    let mut clients = Vec::new();
    for n in 0..2000 {
        let mut client = RawClient::connect(&server);
        match n % 4 {
            0 => {}
            1 => client.send(&request[..50]),
            _ => client.send(&request),
        }
        clients.push(client);
    }
    watch.is_served();
    eventually("they are all accepted", 5.0, || server.fd_count() >= watch.fds + 2000);
    // 16 KiB for a connection before it is open, and at most that after: 31 MiB.
    watch.is_bounded(&server, 2000 * 16);
    for client in clients {
        client.reset();
    }
    watch.is_served();
    watch.is_settled(&server);
}

#[test]
fn two_thousand_silent_connections() {
    let server = Server::echo(&["--handshake-timeout", "2", "--close-timeout", "1"]);
    let mut watch = Watch::over(&server);
    let started = Instant::now();
    let clients: Vec<TcpStream> = (0..2000).map(|_| server.dial()).collect();
    eventually("they are all accepted", 2.0, || {
        server.fd_count() >= watch.fds + 2000 || started.elapsed() > Duration::from_millis(1800)
    });
    watch.is_served();
    watch.is_bounded(&server, 2000 * 16); // 16 KiB each, as above
    eventually("the deadline cuts them", 6.0, || server.fd_count() <= watch.fds);
    let took = started.elapsed().as_secs_f64();
    assert!(took >= 1.9, "cut after {took} s, before the deadline of 2 s");
    for stream in clients.into_iter().step_by(100) {
        let mut client = RawClient::on(stream);
        client.note("a silent one");
        let said = client.read_to_end();
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"), "{said:?}");
    }
    watch.is_settled(&server);
}

#[test]
fn out_of_descriptors() {
    let server = Server::echo_with_descriptors(64, &["--handshake-timeout", "30"]);
    let mut early: Vec<RawClient> = (0..10).map(|_| RawClient::open(&server, "/")).collect();
    let mut late: Vec<RawClient> = (0..100).map(|_| RawClient::connect(&server)).collect();
    for client in &mut late {
        client.send(Upgrade::new("/").bytes());
    }
    eventually("the descriptors are used up", 5.0, || server.fd_count() >= 60);
    std::thread::sleep(Duration::from_millis(200));
    for client in &mut early {
        client.note("connected before");
        let asked = Instant::now();
        client.expect_open();
        assert!(asked.elapsed() < Duration::from_secs(1), "waited {:?}", asked.elapsed());
    }
    is_idle(&server); // no busy loop over a listener that stays ready
    // The oldest 40 of the crowd leave; 40 of those who wait get in.
    late.drain(..40);
    for client in late.iter_mut().take(40) {
        client.note("let in");
        client.expect_upgrade();
        client.expect_open();
    }
    drop(late);
    eventually("the crowd is gone", 5.0, || server.fd_count() <= 40);
    RawClient::open(&server, "/").expect_open();
    for client in &mut early {
        client.expect_open();
    }
    is_idle(&server);
}

#[test]
fn two_processes_share_an_address() {
    let mut first = Server::echo(&["--reuse-port", "--close-timeout", "0.5"]);
    let shared = first.address().to_string();
    let second = Server::echo(&["--reuse-port", "--listen", &shared]);
    let before = (first.fds_at_rest(), second.fds_at_rest());
    // By hash, so not evenly; that all 64 meet one of the two has a chance of 2^-63.
    let mut clients: Vec<RawClient> = (0..64).map(|_| RawClient::open(&first, "/")).collect();
    let held = (first.fd_count() - before.0, second.fd_count() - before.1);
    assert!(held.0 > 0 && held.1 > 0 && held.0 + held.1 == 64, "spread as {held:?}");
    clients.iter_mut().for_each(RawClient::expect_open);

    // One stops: who was with it is told, the others notice nothing.
    first.signal("TERM");
    assert!(first.wait_exit(5.0).success());
    let mut told = 0;
    for client in &mut clients {
        match client.next_frame(Duration::from_millis(20)) {
            Some(frame) => {
                assert_eq!(frame.close_code(), Some(1001));
                told += 1;
            }
            None => client.expect_open(),
        }
    }
    assert_eq!(told, held.0);
    // Who comes now is served by the other.
    for _ in 0..8 {
        RawClient::open(&first, "/").expect_open();
    }
}
