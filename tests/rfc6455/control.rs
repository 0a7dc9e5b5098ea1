//! Rows 67 to 70: Ping and Pong.

use std::time::Duration;

use crate::common::frame::{PONG, stream};
use crate::common::random::Random;
use crate::common::{Expect, Frame, RawClient, Server, each_chunking, exchange};

#[test]
fn row_067_a_ping_is_answered_unless_a_close_was_received() {
    let server = Server::echo(&[]);
    exchange(&server, "a ping", &Frame::ping("").bytes(), &[Expect::pong("")]);
    let before = [Frame::ping("before"), Frame::close(1000, "")];
    let expected = [Expect::pong("before"), Expect::Close(1000)];
    exchange(&server, "before the Close", &stream(&before), &expected);
    let after = [Frame::close(1000, ""), Frame::ping("after")];
    exchange(&server, "after the Close", &stream(&after), &[Expect::Close(1000)]);
    let between = [Frame::text("a"), Frame::ping("1"), Frame::text("b"), Frame::ping("2")];
    exchange(
        &server,
        "between messages",
        &stream(&between),
        &[Expect::text("a"), Expect::pong("1"), Expect::text("b"), Expect::pong("2")],
    );
}

#[test]
fn row_068_a_pong_carries_the_ping_unchanged() {
    let server = Server::echo(&[]);
    let mut random = Random::new(68);
    for size in [0, 1, 2, 3, 4, 5, 8, 64, 124, 125] {
        let payload = random.bytes(size); // not UTF-8: it need not be
        let ping = Frame::ping(&payload).bytes();
        exchange(&server, &format!("{size} bytes"), &ping, &[Expect::pong(&payload)]);
    }
}

#[test]
fn row_069_unsolicited_pongs_cost_nothing() {
    let server = Server::echo(&[]);
    for pong in [Frame::pong(""), Frame::pong("never asked"), Frame::pong([0xff; 125])] {
        exchange(&server, "one", &pong.bytes(), &[]);
        let both = [pong, Frame::text("next")];
        exchange(&server, "and a message", &stream(&both), &[Expect::text("next")]);
    }
    let flood = Frame::pong([7; 125]).bytes().repeat(20_000);
    let before = server.rss_kb();
    each_chunking(|chunking| {
        let mut client = RawClient::open(&server, "/");
        client.send_chunked(&flood, chunking);
        client.expect_open();
    });
    // 3 x 2.6 MB went in. 1 MiB is far below one flood and above the noise of the allocator.
    let grown = server.rss_kb().saturating_sub(before);
    assert!(grown < 1024, "{grown} KiB more after pongs");
}

#[test]
fn row_070_owed_pongs_are_bounded_and_the_newest_comes() {
    let server = Server::echo(&[]);
    each_chunking(|chunking| {
        let mut client = RawClient::open(&server, "/");
        client.note(format!("{chunking:?}"));
        let pings = (0..20_000).map(|n| Frame::ping(format!("{n:0>100}")));
        let pings: Vec<u8> = pings.flat_map(|ping| ping.bytes()).collect();
        let sender = client.stream.try_clone().expect("a second handle");
        let writer = std::thread::spawn(move || {
            RawClient::on(sender).try_send(&pings, chunking).expect("the pings are taken");
        });
        // The client is slow to start reading; pongs may be left out, never reordered or repeated.
        std::thread::sleep(Duration::from_millis(200));
        let (mut last, mut count) = (None, 0);
        while last != Some(19_999) {
            let pong = client.read_frame();
            assert_eq!(pong.opcode, PONG, "{pong}");
            let text = String::from_utf8(pong.payload).expect("digits");
            let number: u32 = text.parse().expect("a number");
            assert!(last.is_none_or(|last| last < number), "{number} after {last:?}");
            (last, count) = (Some(number), count + 1);
        }
        assert!(count > 0);
        writer.join().expect("the writer ends");
        client.expect_open();
    });
}
