//! Rows 57 to 63, 71 to 76, 78, 96, 97 and 100: messages, their fragments, their text, their size.

use std::time::Duration;

use crate::common::frame::{TEXT, stream};
use crate::common::http::Upgrade;
use crate::common::random::Random;
use crate::common::{
    Chunking, Expect, Frame, RawClient, Server, each_chunking, each_cut, exchange,
};
use crate::opening::refused;

/// A message in the pieces given.
fn split(first: Frame, rest: &[&[u8]]) -> Vec<u8> {
    let mut bytes = first.unfinished().bytes();
    for (index, piece) in rest.iter().enumerate() {
        let frame = Frame::continuation(piece);
        let last = index + 1 == rest.len();
        bytes.extend(if last { frame } else { frame.unfinished() }.bytes());
    }
    bytes
}

fn fails(server: &Server, name: &str, bad: &[u8], code: u16) {
    let all = [Frame::text("before").bytes(), bad.to_vec(), Frame::text("after").bytes()].concat();
    exchange(server, name, &all, &[Expect::text("before"), Expect::Close(code)]);
}

#[test]
fn row_057_fragmented_control_frames_fail() {
    let server = Server::echo(&[]);
    for frame in [Frame::ping("p"), Frame::pong("p"), Frame::close(1000, ""), Frame::ping("")] {
        fails(&server, "alone", &frame.clone().unfinished().bytes(), 1002);
        let inside = [Frame::text("a").unfinished(), frame.unfinished()];
        fails(&server, "inside a message", &stream(&inside), 1002);
    }
}

#[test]
fn row_058_fragments_are_joined_in_order() {
    let server = Server::echo(&[]);
    let pieces: Vec<String> = (0..50).map(|n| format!("<{n}>")).collect();
    let rest: Vec<&[u8]> = pieces[1..].iter().map(|piece| piece.as_bytes()).collect();
    let message = split(Frame::text(&pieces[0]), &rest);
    exchange(&server, "fifty pieces", &message, &[Expect::text(pieces.concat())]);
    let mut random = Random::new(58);
    let pieces: Vec<Vec<u8>> =
        [0, 1, 125, 126, 0, 4096, 65_536, 3].iter().map(|&size| random.bytes(size)).collect();
    let rest: Vec<&[u8]> = pieces[1..].iter().map(Vec::as_slice).collect();
    let message = split(Frame::binary(&pieces[0]), &rest);
    exchange(&server, "pieces of all sizes", &message, &[Expect::binary(pieces.concat())]);
}

#[test]
fn row_059_a_new_message_inside_a_message_fails() {
    let server = Server::echo(&[]);
    for start in [Frame::text("a"), Frame::binary("a")] {
        for next in [Frame::text("b"), Frame::binary("b"), Frame::text("").unfinished()] {
            let both = [start.clone().unfinished(), next];
            fails(&server, "at once", &stream(&both), 1002);
            let [start, next] = both;
            let later = [start, Frame::continuation("m").unfinished(), Frame::ping("p"), next];
            let all = stream(&later);
            exchange(&server, "later", &all, &[Expect::pong("p"), Expect::Close(1002)]);
        }
    }
}

#[test]
fn row_060_control_frames_between_fragments_are_handled_at_once() {
    let server = Server::echo(&[]);
    let frames = [
        Frame::text("one ").unfinished(),
        Frame::ping("1"),
        Frame::continuation("two ").unfinished(),
        Frame::pong("not asked for"),
        Frame::ping("2"),
        Frame::continuation("three"),
        Frame::ping("3"),
    ];
    exchange(
        &server,
        "pings between",
        &stream(&frames),
        &[Expect::pong("1"), Expect::pong("2"), Expect::text("one two three"), Expect::pong("3")],
    );
    // "At once" means before the message is complete: its end is sent only after the pong.
    each_chunking(|chunking| {
        let mut client = RawClient::open(&server, "/");
        client.send_chunked(&stream(&frames[..2]), chunking);
        client.expect(&Expect::pong("1"));
        client.send_chunked(&Frame::continuation("end").bytes(), chunking);
        client.expect(&Expect::text("one end"));
    });
    let closed = [Frame::text("a").unfinished(), Frame::close(1000, "")];
    exchange(&server, "a Close between", &stream(&closed), &[Expect::Close(1000)]);
}

#[test]
fn row_061_a_continuation_of_nothing_fails() {
    let server = Server::echo(&[]);
    for frame in [Frame::continuation("x"), Frame::continuation("").unfinished()] {
        let alone = frame.bytes();
        exchange(&server, "as the first frame", &alone, &[Expect::Close(1002)]);
        fails(&server, "after a message", &alone, 1002);
        let message = split(Frame::text("a"), &[b"b"]);
        let all = [message, alone].concat();
        let expected = [Expect::text("ab"), Expect::Close(1002)];
        exchange(&server, "after a split message", &all, &expected);
    }
}

#[test]
fn row_062_the_type_comes_from_the_first_fragment() {
    let server = Server::echo(&[]);
    let all = [
        split(Frame::text("te"), &[b"", b"xt"]),
        Frame::binary([0xff]).bytes(),
        split(Frame::binary([0xfe]), &[&[0xff, 0x00]]),
        Frame::text("whole").bytes(),
        split(Frame::text(""), &[b""]),
        split(Frame::binary(""), &[b"", b"", b""]),
    ];
    exchange(
        &server,
        "split and whole",
        &all.concat(),
        &[
            Expect::text("text"),
            Expect::binary([0xff]),
            Expect::binary([0xfe, 0xff, 0x00]),
            Expect::text("whole"),
            Expect::text(""),
            Expect::binary(""),
        ],
    );
}

/// Not UTF-8, each for a reason of its own.
const BAD_UTF8: [(&str, &[u8]); 16] = [
    ("a lone continuation byte", b"\x80"),
    ("another", b"\xbf"),
    ("two of them", b"a\x80\xbfb"),
    ("overlong slash in two", b"\xc0\xaf"),
    ("overlong in two", b"\xc1\xbf"),
    ("overlong in three", b"\xe0\x80\xaf"),
    ("overlong in three, at the edge", b"\xe0\x9f\xbf"),
    ("overlong in four", b"\xf0\x80\x80\xaf"),
    ("overlong in four, at the edge", b"\xf0\x8f\xbf\xbf"),
    ("a surrogate", b"\xed\xa0\x80"),
    ("the last surrogate", b"\xed\xbf\xbf"),
    ("a pair of surrogates", b"\xed\xa0\xbd\xed\xb8\x80"),
    ("above U+10FFFF", b"\xf4\x90\x80\x80"),
    ("a five byte form", b"\xf8\x88\x80\x80\x80"),
    ("never a byte of UTF-8", b"\xff"),
    ("cut inside a code point", b"\xe2\x82a"),
];

/// The hub passes no frames on: what it has from one is a message of its own to others, however it
/// came in pieces and whatever its extension has made of it.
#[test]
fn row_063_fragments_and_extensions_end_at_the_server() {
    let server = Server::serve(&[]);
    let mut plain = RawClient::open(&server, "/ws?room=r63&name=plain");
    plain.read_text();
    let text = br#"{"type":"text","room":"r63","content":"passed on"}"#;
    let len = text.len() as u16;
    // A stored block, and the first byte of the empty one whose rest is left out (RFC 7692 7.2.1).
    let block = [&[0], &len.to_le_bytes()[..], &(!len).to_le_bytes(), text, &[0]].concat();
    each_chunking(|chunking| {
        let request = Upgrade::new("/ws?room=r63&name=packed");
        let request = request.header("Sec-WebSocket-Extensions", "permessage-deflate");
        let mut packed = RawClient::connect(&server);
        packed.send(request.bytes());
        let agreed = packed.expect_upgrade();
        assert!(agreed.only("sec-websocket-extensions").is_some(), "{agreed:?}");
        assert!(plain.read_text().contains("join"));
        let (one, other) = block.split_at(20);
        let (other, last) = other.split_at(10);
        let frames = [
            Frame::text(one).rsv(4).unfinished(),
            Frame::continuation(other).unfinished(),
            Frame::continuation(last),
        ];
        packed.send_chunked(&stream(&frames), chunking);
        let frame = plain.read_frame(); // checked: no bit of an extension
        assert!(frame.fin && frame.opcode == TEXT, "{chunking:?}: {frame}");
        assert!(String::from_utf8_lossy(&frame.payload).contains("passed on"), "{frame}");
        drop(packed);
        assert!(plain.read_text().contains("leave"));
    });
}

#[test]
fn row_071_text_that_is_not_utf8_fails_with_1007() {
    let server = Server::echo(&[]);
    for (name, bytes) in BAD_UTF8 {
        fails(&server, name, &Frame::text(bytes).bytes(), 1007);
        let embedded = [&b"plain \xce\xba\xe1\xbd\xb9 "[..], bytes, b" plain"].concat();
        fails(&server, name, &Frame::text(embedded).bytes(), 1007);
        exchange(&server, name, &Frame::binary(bytes).bytes(), &[Expect::binary(bytes)]);
    }
    // Whole as far as it goes, but the message ends inside a code point.
    for cut in [&b"\xc3"[..], b"\xe2\x82", b"\xf0\x9f\x98", b"ok \xf0"] {
        fails(&server, "cut at the end", &Frame::text(cut).bytes(), 1007);
        fails(&server, "cut at the end", &split(Frame::text(cut), &[b""]), 1007);
    }
    let edges = "\u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{fffe}\u{ffff}\u{10ffff}";
    exchange(&server, "edges", &Frame::text(edges).bytes(), &[Expect::text(edges)]);
}

#[test]
fn row_072_code_points_may_be_cut_by_frames() {
    let server = Server::echo(&[]);
    let text = "a\u{e9}\u{20ac}\u{1f600}\u{10ffff}z";
    for cut in 0..=text.len() {
        let message = split(Frame::text(&text.as_bytes()[..cut]), &[&text.as_bytes()[cut..]]);
        exchange(&server, &format!("cut at {cut}"), &message, &[Expect::text(text)]);
    }
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    let message = split(Frame::text(bytes[0]), &bytes[1..]);
    exchange(&server, "a byte a frame", &message, &[Expect::text(text)]);
}

#[test]
fn row_073_bad_utf8_is_found_before_the_message_ends() {
    let server = Server::echo(&[]);
    for (name, bytes) in BAD_UTF8 {
        // The message is never finished.
        let fragment = Frame::text([b"start ", bytes].concat()).unfinished().bytes();
        exchange(&server, name, &fragment, &[Expect::Close(1007)]);
        // Nor is even the frame.
        let frame = Frame::text([b"start ", bytes].concat()).declare(5000).bytes();
        exchange(&server, name, &frame, &[Expect::Close(1007)]);
    }
    // A code point begun in one frame and spoilt by the first byte of the next.
    let spoilt = [Frame::text(b"\xf0\x9f").unfinished(), Frame::continuation("a").unfinished()];
    exchange(&server, "spoilt", &stream(&spoilt), &[Expect::Close(1007)]);
}

#[test]
fn row_074_bad_utf8_in_the_handshake_fails() {
    each_cut(|| {
        let server = Server::echo(&[]);
        let with = |name: &str, value: &[u8]| Upgrade::new("/").header(name, value).bytes();
        for value in [&b"ch\xe4t"[..], b"\xff\xfe", b"chat\xc3"] {
            refused(&server, "subprotocol", &with("Sec-WebSocket-Protocol", value), &[400]);
            refused(&server, "extension", &with("Sec-WebSocket-Extensions", value), &[400]);
            let host = Upgrade::new("/").replace("Host", value).bytes();
            refused(&server, "host", &host, &[400]);
            let line = [b"GET /", value, b" HTTP/1.1\r\nHost: localhost\r\n\r\n"].concat();
            refused(&server, "target", &line, &[400]);
        }
    });
}

#[test]
fn row_075_nothing_is_sent_once_the_state_changed() {
    let server = Server::serve(&[]);
    each_chunking(|chunking| {
        let mut leaver = RawClient::open(&server, "/ws?room=r75&name=leaver");
        leaver.read_text();
        let mut talker = RawClient::open(&server, "/ws?room=r75&name=talker");
        talker.read_text();
        leaver.read_text(); // the talker's join
        // The Close and a message to the room arrive together; others go on talking meanwhile.
        let text = Frame::text(r#"{"type":"text","content":"last words"}"#);
        leaver.send_chunked(&stream(&[Frame::close(1000, ""), text.clone()]), chunking);
        talker.send_chunked(&stream(&[text.clone(), text.clone(), text]), chunking);
        loop {
            let message = leaver.read_message();
            if message.opcode == crate::common::frame::CLOSE {
                break;
            }
            // What the talker said before the Close came in may still arrive, before our Close.
            assert_eq!(message.opcode, TEXT, "{message}");
        }
        leaver.expect_eof();
    });
}

#[test]
fn row_076_messages_are_sent_with_opcode_first_and_fin_last() {
    let server = Server::echo(&[]);
    let mut random = Random::new(76);
    each_chunking(|chunking| {
        let mut client = RawClient::open(&server, "/");
        for size in [0, 1, 1000, 70_000, 1_000_000] {
            let payload = random.bytes(size);
            client.send_chunked(&Frame::binary(&payload).bytes(), chunking);
            let mut frame = client.read_frame();
            assert_eq!(frame.opcode, 2, "the first frame has the type: {frame}");
            let mut joined = frame.payload.clone();
            while !frame.fin {
                frame = client.read_frame();
                assert_eq!(frame.opcode, 0, "the others are continuations: {frame}");
                joined.extend_from_slice(&frame.payload);
            }
            assert!(joined == payload, "{size} bytes came back changed");
        }
        client.expect_open();
    });
}

#[test]
fn row_078_after_a_final_fragment_a_new_message_starts() {
    let server = Server::echo(&[]);
    let all = [
        split(Frame::text("a"), &[b"b"]),
        split(Frame::binary("c"), &[b"d", b"e"]),
        Frame::text("f").bytes(),
        split(Frame::text("g"), &[b""]),
    ];
    exchange(
        &server,
        "four messages",
        &all.concat(),
        &[Expect::text("ab"), Expect::binary("cde"), Expect::text("f"), Expect::text("g")],
    );
}

#[test]
fn row_096_messages_over_the_limit_fail_with_1009() {
    let server = Server::echo(&["--max-message", "1000"]);
    let (fits, over) = ("x".repeat(1000), "x".repeat(1001));
    exchange(&server, "at the limit", &Frame::text(&fits).bytes(), &[Expect::text(&fits)]);
    let pieces = split(Frame::text(&fits[..400]), &[&fits.as_bytes()[400..999], b"x"]);
    exchange(&server, "at the limit, in pieces", &pieces, &[Expect::text(&fits)]);
    fails(&server, "over it", &Frame::text(&over).bytes(), 1009);
    fails(&server, "over it, binary", &Frame::binary(&over).bytes(), 1009);
    let pieces = split(Frame::text(&over[..400]), &[&over.as_bytes()[400..1000], b"x"]);
    fails(&server, "over it, in pieces", &pieces, 1009);
    // Known at the header, and said at the header.
    let header = Frame::text("").declare(1001).header();
    exchange(&server, "the header alone", &header, &[Expect::Close(1009)]);
    let second = Frame::continuation("").declare(602).header();
    let headers = [Frame::text(&fits[..399]).unfinished().bytes(), second].concat();
    exchange(&server, "the second header", &headers, &[Expect::Close(1009)]);
    // Control frames do not count towards the message.
    let frames = [
        Frame::text(&fits[..600]).unfinished(),
        Frame::ping([b'p'; 125]),
        Frame::continuation(&fits[600..]),
    ];
    let expected = [Expect::pong([b'p'; 125]), Expect::text(&fits)];
    exchange(&server, "with a ping inside", &stream(&frames), &expected);
}

#[test]
fn row_097_fragments_without_end_fail_with_1009() {
    let server = Server::echo(&[]);
    let empty = Frame::continuation("").unfinished().bytes();
    let tiny = Frame::continuation("x").unfinished().bytes();
    for (name, piece) in [("empty", empty), ("of one byte", tiny)] {
        let mut flood = Frame::text("").unfinished().bytes();
        for _ in 0..140_000 {
            flood.extend_from_slice(&piece);
        }
        each_chunking(|chunking| {
            let mut client = RawClient::open(&server, "/");
            client.note(format!("{name}, {chunking:?}"));
            client.send_chunked(&flood, chunking);
            client.expect_close(1009);
        });
    }
    // A reasonable number is served, and the count starts again with each message.
    let pieces: Vec<&[u8]> = vec![b""; 70_000];
    let message = split(Frame::text("a"), &pieces);
    let mut client = RawClient::open(&server, "/");
    client.send_chunked(&[&message[..], &message, &message].concat(), Chunking::Random(97));
    for _ in 0..3 {
        client.expect(&Expect::text("a"));
    }
}

#[test]
fn row_100_nothing_is_used_before_it_is_validated() {
    let server = Server::serve(&[]);
    let mut witness = RawClient::open(&server, "/ws?room=r100&name=witness");
    witness.read_text();
    each_chunking(|chunking| {
        for (name, bytes) in BAD_UTF8 {
            let mut hostile = RawClient::open(&server, "/ws?room=r100&name=hostile");
            hostile.read_text();
            assert!(witness.read_text().contains("join"), "{name}");
            let content = [br#"{"type":"text","content":""#, bytes, br#""}"#].concat();
            hostile.send_chunked(&Frame::text(content).bytes(), chunking);
            hostile.expect_close(1007);
            let next = witness.read_text();
            assert!(next.contains("leave"), "{name} reached the room: {next:?}");
        }
    });
    witness.expect_silence(Duration::from_millis(50));
}
