//! A12: every way of going away, and what is left of it: nothing.

use std::time::Duration;

use crate::Watch;
use crate::common::http::{Upgrade, get};
use crate::common::{Frame, RawClient, Server, eventually};

/// Every stage of a connection's life at which a client can go away.
fn stages() -> Vec<(&'static str, Vec<u8>)> {
    let upgrade = Upgrade::new("/echo").bytes();
    let half = upgrade[..upgrade.len() / 2].to_vec();
    let with = |bytes: Vec<u8>| [upgrade.clone(), bytes].concat();
    vec![
        ("before a byte", Vec::new()),
        ("in the head", half),
        ("after a plain request", get("/healthz")),
        ("after a bad request", b"NONSENSE\r\n\r\n".to_vec()),
        ("after the upgrade", upgrade.clone()),
        ("in a frame header", with(vec![0x81])),
        ("in a masking key", with(Frame::text("hello").bytes()[..4].to_vec())),
        ("in a payload", with(Frame::text("hello").bytes()[..8].to_vec())),
        ("in a large payload", with(Frame::binary("").declare(1 << 20).bytes())),
        ("in a split message", with(Frame::text("a").unfinished().bytes())),
        ("after a message", with(Frame::text("hello").bytes())),
        ("after a large message", with(Frame::binary(vec![1; 300_000]).bytes())),
        ("after a ping", with(Frame::ping("p").bytes())),
        ("after the Close", with(Frame::close(1000, "").bytes())),
        ("after a breach", with(Frame::new(3, "").bytes())),
        (
            "after a breach, with more to come",
            with(
                [Frame::new(3, ""); 1]
                    .iter()
                    .flat_map(Frame::bytes)
                    .chain(vec![0; 100_000])
                    .collect(),
            ),
        ),
    ]
}

fn leave_at_every_stage(server: &Server, rounds: usize, leave: impl Fn(RawClient)) {
    for round in 0..rounds {
        for (name, bytes) in stages() {
            let mut client = RawClient::connect(server);
            client.note(name);
            client.send(bytes);
            if round % 2 == 1 {
                std::thread::sleep(Duration::from_millis(3)); // the server has seen it all
            }
            leave(client);
        }
    }
}

#[test]
fn a12_reset_at_every_stage() {
    let server = Server::serve(&["--max-message", "1048576"]);
    let mut watch = Watch::over(&server);
    leave_at_every_stage(&server, 10, RawClient::reset);
    watch.is_settled(&server);
    // 160 connections, one at a time, of at most 300 KB: what the allocator keeps of the largest.
    watch.is_bounded(&server, 2048);
}

#[test]
fn a12_close_at_every_stage() {
    let server = Server::serve(&["--max-message", "1048576"]);
    let mut watch = Watch::over(&server);
    leave_at_every_stage(&server, 10, drop);
    watch.is_settled(&server);
    watch.is_bounded(&server, 2048);
}

#[test]
fn a12_half_close_at_every_stage() {
    let server = Server::serve(&[
        "--max-message",
        "1048576",
        "--close-timeout",
        "1",
        "--handshake-timeout",
        "2",
    ]);
    let mut watch = Watch::over(&server);
    leave_at_every_stage(&server, 2, |mut client| {
        client.half_close();
        client.read_to_end(); // what it was owed comes, then the end, in good order
    });
    watch.is_settled(&server);
    watch.is_bounded(&server, 2048);
}

#[test]
fn a12_reset_while_the_server_writes() {
    let server = Server::echo(&[]);
    let mut watch = Watch::over(&server);
    for size in [1_000, 100_000, 1_000_000, 4_000_000] {
        for pause_ms in [0, 1, 5, 20] {
            let mut client = RawClient::open(&server, "/");
            client.send(Frame::binary(vec![5; size]).bytes());
            std::thread::sleep(Duration::from_millis(pause_ms));
            client.reset();
        }
    }
    watch.is_settled(&server);
    watch.gives_back_to(&server, 2048);
}

#[test]
fn a12_a_close_that_the_client_does_not_finish() {
    let server = Server::echo(&["--close-timeout", "1"]);
    let mut watch = Watch::over(&server);
    // The server has closed its side after the handshake, or after a failure; the client keeps its
    // own side open, says nothing more, or goes on sending.
    let endings = [Frame::close(1000, "").bytes(), Frame::new(3, "").bytes()];
    let mut clients = Vec::new();
    for ending in &endings {
        for talking in [false, true] {
            let mut client = RawClient::open(&server, "/");
            client.send(ending);
            client.read_to_end();
            if talking {
                client.send(Frame::text("hello?").bytes().repeat(1000));
            }
            clients.push(client);
        }
    }
    eventually("the close deadline cuts them", 4.0, || server.fd_count() <= watch.fds);
    watch.is_settled(&server);
    drop(clients);
}

#[test]
fn a12_a_thousand_connections_one_after_the_other() {
    let server = Server::echo(&[]);
    let mut watch = Watch::over(&server);
    let used = server.cpu_s();
    for n in 0..1000_u32 {
        let mut client = RawClient::open(&server, "/");
        if n % 3 == 0 {
            client.send(Frame::close(1000, "").bytes());
            client.expect_close(1000);
        } else if n % 3 == 1 {
            client.send(Frame::text("left hanging").bytes());
        }
    }
    let used = server.cpu_s() - used;
    assert!(used < 5.0, "{used} s for a thousand connections");
    watch.is_settled(&server);
    // Nothing may be kept of a connection: 1 KiB of each would be 1 MiB.
    watch.is_bounded(&server, 512);
}
