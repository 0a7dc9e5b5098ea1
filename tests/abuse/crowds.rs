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
