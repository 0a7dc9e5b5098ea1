//! Rows 77, 79 to 83, 85 to 89 and 92 to 95: how connections end.

use std::time::{Duration, Instant};

use crate::common::frame::{CLOSE, Form, TEXT, stream};
use crate::common::{Expect, Frame, RawClient, Server, each_chunking, eventually, exchange};

#[test]
fn row_077_no_data_after_the_servers_own_close() {
    // The server closes first, because it is told to stop; the client goes on talking.
    each_chunking(|chunking| {
        let mut server = Server::echo(&["--drain", "2", "--close-timeout", "1"]);
        let mut client = RawClient::open(&server, "/");
        client.expect_open();
        server.signal("TERM");
        let close = client.read_frame();
        assert_eq!((close.opcode, close.close_code()), (CLOSE, Some(1001)), "{close}");
        let more = [Frame::text("one more"), Frame::ping("p"), Frame::close(1001, "")];
        client.send_chunked(&stream(&more), chunking);
        let rest = client.read_to_end();
        let pong_only = rest.is_empty() || rest == [0x8a, 1, b'p'];
        assert!(pong_only, "after its Close the server sent {rest:?}");
        assert!(server.wait_exit(5.0).success());
    });
}

#[test]
fn row_079_a_close_body_is_empty_or_two_bytes_at_least() {
    let server = Server::echo(&[]);
    exchange(&server, "empty", &Frame::close_body("").bytes(), &[Expect::CloseEmpty]);
    exchange(&server, "a code", &Frame::close(1000, "").bytes(), &[Expect::Close(1000)]);
    for byte in [0x00, 0x03, 0xff] {
        let one = Frame::close_body([byte]).bytes();
        exchange(&server, "one byte", &one, &[Expect::Close(1002)]);
    }
}

#[test]
fn row_080_a_close_reason_is_utf8() {
    let server = Server::echo(&[]);
    for reason in ["bye", "\u{e9}\u{20ac}\u{1f600}", &"r".repeat(123)] {
        let close = Frame::close(1000, reason).bytes();
        exchange(&server, reason, &close, &[Expect::Close(1000)]);
    }
    for bad in [&b"\xff"[..], b"ok \xc3", b"\xed\xa0\x80", b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80"]
    {
        let close = Frame::close_body([&[0x03, 0xe8], bad].concat()).bytes();
        exchange(&server, "a bad reason", &close, &[Expect::Close(1007)]);
    }
}

#[test]
fn row_081_a_close_is_answered_once() {
    let server = Server::echo(&[]);
    let close = Frame::close(1000, "");
    exchange(&server, "one", &close.bytes(), &[Expect::Close(1000)]);
    let many = [Frame::text("a"), close.clone(), close.clone(), Frame::text("b"), close];
    exchange(&server, "three", &stream(&many), &[Expect::text("a"), Expect::Close(1000)]);
    let inside = [Frame::text("begun").unfinished(), Frame::close(1001, "")];
    exchange(&server, "in a message", &stream(&inside), &[Expect::Close(1001)]);
}

#[test]
fn row_082_tcp_is_closed_after_close_went_both_ways() {
    let server = Server::echo(&[]);
    let at_rest = server.fds_at_rest();
    each_chunking(|chunking| {
        let mut client = RawClient::open(&server, "/");
        client.send_chunked(&Frame::close(1000, "done").bytes(), chunking);
        client.expect_close(1000);
        drop(client);
        eventually("the socket is given back", 5.0, || server.fd_count() <= at_rest);
    });
}

#[test]
fn row_083_the_server_closes_tcp_first_and_at_once() {
    let server = Server::echo(&[]);
    each_chunking(|chunking| {
        let mut client = RawClient::open(&server, "/");
        client.send_chunked(&Frame::close(1000, "").bytes(), chunking);
        let sent = Instant::now();
        client.expect_close(1000); // and the end of the stream, while our side is still open
        let took = sent.elapsed();
        assert!(took < Duration::from_secs(1), "it took {took:?}");
    });
}

#[test]
fn row_085_both_sides_close_at_the_same_time() {
    each_chunking(|chunking| {
        let mut server = Server::echo(&["--drain", "2", "--close-timeout", "1"]);
        let mut clients: Vec<RawClient> = (0..5).map(|_| RawClient::open(&server, "/")).collect();
        for client in &mut clients {
            client.expect_open();
        }
        server.signal("TERM");
        for client in &mut clients {
            // Not yet having read the server's Close; it may be on the way, or be the answer.
            client.send_chunked(&Frame::close(1000, "").bytes(), chunking);
        }
        for client in &mut clients {
            let close = client.read_frame();
            let code = close.close_code();
            assert!(matches!(code, Some(1000 | 1001)), "{code:?}");
            client.expect_eof(); // one Close and no more
        }
        assert!(server.wait_exit(3.0).success());
    });
}

#[test]
fn row_086_the_first_close_counts() {
    let server = Server::echo(&[]);
    let two = [Frame::close(3001, "first"), Frame::close(3002, "second")];
    exchange(&server, "two codes", &stream(&two), &[Expect::Close(3001)]);
    let then_none = [Frame::close(3001, ""), Frame::close_body("")];
    exchange(&server, "a code, then none", &stream(&then_none), &[Expect::Close(3001)]);
    let none_first = [Frame::close_body(""), Frame::close(3002, "")];
    exchange(&server, "none, then a code", &stream(&none_first), &[Expect::CloseEmpty]);
}

#[test]
fn row_087_the_reason_is_the_first_ones_or_empty() {
    let server = Server::echo(&[]);
    each_chunking(|chunking| {
        for (reason, body) in [("first", Frame::close(3001, "first")), ("", Frame::close(3001, ""))]
        {
            let mut client = RawClient::open(&server, "/");
            client.send_chunked(&stream(&[body, Frame::close(3001, "second")]), chunking);
            let close = client.read_frame();
            assert_eq!(close.close_code(), Some(3001));
            let answered = String::from_utf8(close.payload[2..].to_vec()).expect("UTF-8");
            assert!(answered.is_empty() || answered == reason, "{answered:?}");
            client.expect_eof();
        }
    });
}

#[test]
fn row_088_after_a_failure_nothing_is_processed() {
    let server = Server::echo(&["--max-message", "1000"]);
    let failures: [(&str, Frame, u16); 6] = [
        ("a reserved opcode", Frame::new(3, "x"), 1002),
        ("RSV", Frame::text("x").rsv(1), 1002),
        ("not masked", Frame::text("x").unmasked(), 1002),
        ("not UTF-8", Frame::text([0xff]), 1007),
        ("too long", Frame::text([b'x'; 1001]), 1009),
        ("a bad Close", Frame::close(1005, ""), 1002),
    ];
    let good = [Frame::text("t"), Frame::ping("p"), Frame::close(1000, ""), Frame::binary("b")];
    for (name, bad, code) in failures {
        let all = [vec![Frame::text("before"), bad.clone()], good.to_vec()].concat();
        let expected = [Expect::text("before"), Expect::Close(code)];
        exchange(&server, name, &stream(&all), &expected);
        // The same when the rest comes late.
        each_chunking(|chunking| {
            let mut client = RawClient::open(&server, "/");
            client.note(format!("{name}, {chunking:?}, late"));
            client.send_chunked(&bad.bytes(), chunking);
            let close = client.read_frame();
            assert_eq!(close.close_code(), Some(code), "{name}");
            client.send(stream(&good));
            client.expect_eof();
        });
    }
}

#[test]
fn row_089_a_failure_is_told_with_a_fitting_code() {
    let server = Server::echo(&["--max-message", "1000"]);
    let failures: [(&str, Vec<u8>, u16); 9] = [
        ("protocol", Frame::new(0xb, "").bytes(), 1002),
        ("a long control frame", Frame::ping([0; 126]).bytes(), 1002),
        ("a long form", Frame::text("").form(Form::Bits64).bytes(), 1002),
        ("a stray continuation", Frame::continuation("").bytes(), 1002),
        ("not UTF-8", Frame::text([0xc3, 0x28]).bytes(), 1007),
        ("not UTF-8 in a reason", Frame::close_body([0x03, 0xe8, 0xff]).bytes(), 1007),
        ("too big", Frame::binary([0; 1001]).bytes(), 1009),
        ("far too big", Frame::binary("").declare(1 << 62).bytes(), 1009),
        ("a Close of one byte", Frame::close_body([3]).bytes(), 1002),
    ];
    for (name, bad, code) in failures {
        exchange(&server, name, &bad, &[Expect::Close(code)]);
    }
    let mut server = Server::echo(&["--drain", "2"]);
    let mut client = RawClient::open(&server, "/");
    server.signal("TERM");
    let close = client.read_frame();
    assert_eq!(close.close_code(), Some(1001), "going away");
}

#[test]
fn row_092_codes_of_the_api_are_never_sent() {
    let server = Server::echo(&[]);
    // What might tempt a server into sending 1005, 1006 or 1015: a Close without a code, the very
    // codes, and each way of losing a connection while it can still write.
    let streams = [
        Frame::close_body("").bytes(),
        Frame::close(1005, "").bytes(),
        Frame::close(1006, "").bytes(),
        Frame::close(1015, "").bytes(),
        Frame::text("half a mess").unfinished().bytes(),
        Frame::text("").declare(100).bytes(),
        Frame::text("x").bytes()[..4].to_vec(),
        Vec::new(),
    ];
    for (index, stream) in streams.iter().enumerate() {
        each_chunking(|chunking| {
            let mut client = RawClient::open(&server, "/");
            client.note(format!("stream {index}, {chunking:?}"));
            if !stream.is_empty() {
                client.send_chunked(stream, chunking);
            }
            client.half_close();
            while let Some(frame) = client.next_frame(Duration::from_secs(5)) {
                let code = if frame.opcode == CLOSE { frame.close_code() } else { None };
                assert!(!matches!(code, Some(1005 | 1006 | 1015)), "{index}: {code:?}");
            }
            client.expect_eof();
        });
    }
}

#[test]
fn row_093_invalid_close_codes_fail_with_1002() {
    let server = Server::echo(&[]);
    let bad = [
        0, 1, 100, 500, 999, 1004, 1005, 1006, 1015, 1016, 1017, 1100, 1999, 2000, 2500, 2998,
        2999, 5000, 5001, 10_000, 32_767, 32_768, 65_534, 65_535,
    ];
    for code in bad {
        let name = format!("code {code}");
        exchange(&server, &name, &Frame::close(code, "").bytes(), &[Expect::Close(1002)]);
        exchange(&server, &name, &Frame::close(code, "why").bytes(), &[Expect::Close(1002)]);
    }
}

/// `code` is accepted and comes back.
fn accepted(server: &Server, code: u16) {
    for reason in ["", "because"] {
        let close = stream(&[Frame::text("t"), Frame::close(code, reason)]);
        let expected = [Expect::text("t"), Expect::Close(code)];
        exchange(server, &format!("code {code}"), &close, &expected);
    }
}

#[test]
fn row_094_codes_3000_to_4999_are_accepted() {
    let server = Server::echo(&[]);
    for code in [3000, 3001, 3500, 3999, 4000, 4001, 4500, 4999] {
        accepted(&server, code);
    }
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011] {
        accepted(&server, code);
    }
}

#[test]
fn row_095_registered_codes_1012_to_1014_are_accepted() {
    let server = Server::echo(&[]);
    for code in [1012, 1013, 1014] {
        accepted(&server, code);
    }
    // And the neighbour that is reserved is not.
    let close = Frame::close(1015, "").bytes();
    exchange(&server, "code 1015", &close, &[Expect::Close(1002)]);
    let text = Frame::new(TEXT, "still served").bytes();
    exchange(&server, "afterwards", &text, &[Expect::text("still served")]);
}
