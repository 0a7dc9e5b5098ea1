//! A4 to A7: many cheap things.

use std::time::{Duration, Instant};

use crate::Watch;
use crate::common::frame::PONG;
use crate::common::http::{Upgrade, get};
use crate::common::random::Random;
use crate::common::{CHUNKINGS, Chunking, Expect, Frame, RawClient, Server};

/// A fragmented message that is begun and never ended.
fn endless(piece: &Frame, count: usize) -> Vec<u8> {
    let mut bytes = Frame::binary("").unfinished().bytes();
    bytes.extend(piece.clone().unfinished().bytes().repeat(count));
    bytes
}

#[test]
fn a4_fifty_thousand_fragments_of_one_byte() {
    let server = Server::echo(&[]);
    let mut watch = Watch::over(&server);
    let bytes = Random::new(4).bytes(50_000);
    let mut stream = Frame::binary("").unfinished().bytes();
    for byte in &bytes {
        stream.extend(Frame::continuation([*byte]).unfinished().bytes());
    }
    stream.extend(Frame::continuation("").bytes());
    for chunking in CHUNKINGS {
        let used = server.cpu_s();
        let mut client = RawClient::open(&server, "/");
        client.send_chunked(&stream, chunking);
        client.expect(&Expect::binary(&bytes));
        // 40 us for each fragment, debug build and a wake-up for each included.
        let used = server.cpu_s() - used;
        assert!(used < 2.0, "{used} s for 50,000 fragments, {chunking:?}");
        watch.is_served();
    }
    // One message of 50 KB in, one out: 1 MiB is far below one allocation for each fragment.
    watch.is_bounded(&server, 1024);
    watch.is_settled(&server);
}

#[test]
fn a4_twenty_thousand_empty_messages() {
    let server = Server::echo(&[]);
    let mut watch = Watch::over(&server);
    for chunking in CHUNKINGS {
        let mut client = RawClient::open(&server, "/");
        client.note(format!("{chunking:?}"));
        let mut sender = RawClient::on(client.stream.try_clone().expect("a second handle"));
        let writer = std::thread::spawn(move || {
            let both = [Frame::text("").bytes(), Frame::binary("").bytes()].concat();
            sender.try_send(&both.repeat(10_000), chunking).expect("the messages are taken");
        });
        for _ in 0..10_000 {
            client.expect(&Expect::text(""));
            client.expect(&Expect::binary(""));
        }
        writer.join().expect("the writer ends");
        client.expect_open();
        watch.is_served();
    }
    // 20,000 answers of 2 bytes are 40 KB; 1 MiB is room for the turn's arena and the backlog.
    watch.is_bounded(&server, 1024);
    watch.is_settled(&server);
}

#[test]
fn a4_a_million_empty_fragments() {
    let server = Server::echo(&["--close-timeout", "1"]);
    let mut watch = Watch::over(&server);
    for piece in [Frame::continuation(""), Frame::continuation("x")] {
        let started = Instant::now();
        let mut client = RawClient::open(&server, "/");
        let flood = endless(&piece, 1_000_000);
        // Whether all of it is taken is the server's choice, as long as its answer can be read.
        let mut sender = RawClient::on(client.stream.try_clone().expect("a second handle"));
        let writer = std::thread::spawn(move || sender.try_send(&flood, Chunking::Whole));
        client.expect_close(1009);
        let sent = writer.join().expect("the writer ends");
        assert!(sent.is_ok(), "the rest of the flood was not drained: {sent:?}");
        watch.is_served();
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?} for a million fragments");
    }
    // 131,072 fragments may be counted, of at most one byte: 128 KiB, doubled, and 1 MiB of noise.
    watch.is_bounded(&server, 2 * 128 + 1024);
    watch.is_settled(&server);
}

#[test]
fn a4_endless_messages_on_many_connections() {
    let server = Server::echo(&[]);
    let mut watch = Watch::over(&server);
    let flood = endless(&Frame::continuation("x"), 10_000);
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = RawClient::open(&server, "/");
        client.send(&flood);
        clients.push(client);
    }
    watch.is_served();
    // 100 x 10,000 bytes of payload in a buffer that doubles: 16 KiB each, and as much again for
    // everything else a connection has. A list entry for each fragment (32 bytes) would be 31 MiB.
    watch.is_bounded(&server, 100 * 32 + 1024);
    drop(clients);
    watch.is_settled(&server);
}

#[test]
fn a5_ping_flood_that_never_reads() {
    let server = Server::echo(&["--write-timeout", "2"]);
    let mut watch = Watch::over(&server);
    let pings: Vec<u8> = (0..1000).flat_map(|n| Frame::ping([n as u8; 125]).bytes()).collect();
    let mut clients = Vec::new();
    let mut taken = 0;
    for _ in 0..4 {
        let mut client = RawClient::open_narrow(&server, "/");
        taken += client.flood(&pings, 24 << 20, Duration::from_millis(100));
        clients.push(client);
        watch.is_served();
    }
    // Whatever was sent, and that is up to 24 MiB each: what a peer is owed stays under the mark of
    // 64 KiB and the answers to what is read of it in one turn, 2 MiB, in a buffer that doubles;
    // 4 MiB for what the loop keeps.
    println!("{} KiB taken, {} KiB grown", taken / 1024, watch.grown_kb(&server));
    watch.is_bounded(&server, 4 * 2 * (64 + 2048) + 4096);
    watch.is_quiet(&server);
    watch.is_settled(&server); // they are cut by the write deadline while still connected
    drop(clients);
}

#[test]
fn a5_unsolicited_pongs_by_the_million() {
    let server = Server::echo(&[]);
    let mut watch = Watch::over(&server);
    let mut client = RawClient::open(&server, "/");
    let pongs = Frame::pong("x").bytes().repeat(100_000);
    for _ in 0..10 {
        client.send(&pongs);
    }
    client.expect_open(); // and not one answer to any of them
    watch.is_bounded(&server, 512);
    drop(client);
    watch.is_settled(&server);
}

#[test]
fn a5_a_reader_that_comes_back_gets_the_newest_pong() {
    let server = Server::echo(&[]);
    let mut watch = Watch::over(&server);
    let mut client = RawClient::open_narrow(&server, "/");
    let ping = Frame::ping([b'p'; 125]).bytes();
    let taken = client.flood(&ping, 64 << 20, Duration::from_millis(200));
    // Finish the ping that may have been cut, then one more that can be told apart.
    let mut sender = RawClient::on(client.stream.try_clone().expect("a second handle"));
    let writer = std::thread::spawn(move || {
        sender.send(&ping[taken % ping.len()..]);
        sender.send(Frame::ping("the newest").bytes());
    });
    let mut pongs = 0;
    loop {
        let frame = client.read_frame();
        assert_eq!(frame.opcode, PONG, "{frame}");
        pongs += 1;
        if frame.payload == b"the newest" {
            break;
        }
    }
    writer.join().expect("the writer ends");
    assert!(pongs <= taken / 131 + 2, "{pongs} pongs to {taken} bytes of pings");
    watch.is_served();
    drop(client);
    watch.is_settled(&server);
}

/// A correct upgrade request of about `size` bytes, in many headers.
fn large_head(size: usize) -> Vec<u8> {
    let line = "a".repeat(300);
    let lines = (size - 200) / 306;
    (0..lines).fold(Upgrade::new("/"), |head, n| head.header(&format!("X{n:02}"), &line)).bytes()
}

#[test]
fn a7_a_head_byte_for_byte_costs_no_more_than_its_bytes() {
    let server = Server::echo(&[]);
    let mut watch = Watch::over(&server);
    let head = large_head(15_000);
    let used = server.cpu_s();
    for _ in 0..3 {
        let mut client = RawClient::connect(&server);
        for byte in &head {
            client.send([*byte]);
        }
        client.expect_upgrade();
    }
    let used = server.cpu_s() - used;
    // 45,000 bytes at 15 us, a wake-up and a read for each in a debug build. A parser that starts
    // over at each read would look at 3 x 112 million bytes instead. (How the instructions grow
    // is measured elsewhere: bytes that queue up for one read make it too coarse here.)
    assert!(used < 45_000.0 * 15e-6, "{used} s for three heads of 15 KB, byte for byte");
    watch.is_bounded(&server, 512);
    watch.is_settled(&server);
}

#[test]
fn a7_pipelined_requests_that_are_never_read() {
    let server = Server::serve(&[
        "--max-message",
        "1048576",
        "--write-timeout",
        "3",
        "--close-timeout",
        "1",
    ]);
    let mut watch = Watch::over(&server);
    let requests = get("/").repeat(100);
    let mut clients = Vec::new();
    let mut taken = 0;
    for _ in 0..4 {
        let mut client = RawClient::connect_narrow(&server);
        taken += client.flood(&requests, 8 << 20, Duration::from_millis(150));
        clients.push(client);
        watch.is_served();
    }
    watch.is_quiet(&server);
    println!("{} KiB taken, {} KiB grown", taken / 1024, watch.grown_kb(&server));
    // What is read in one turn, 2 MiB of requests in a buffer that grows; answers up to the mark of
    // 64 KiB; 1 MiB of noise. An answer to each request would be a hundred times the requests.
    watch.is_bounded(&server, 4 * (2 * 2048 + 64) + 1024);
    watch.is_settled(&server); // cut, although they still hold their ends
    drop(clients);
}
