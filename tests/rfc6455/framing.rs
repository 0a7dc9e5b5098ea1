//! Rows 42, 43, 48, 49, 51 to 56 and 64 to 66: one frame at a time.

use std::time::Duration;

use crate::common::frame::{BINARY, CONTINUATION, Form, TEXT, stream};
use crate::common::random::Random;
use crate::common::{CHUNKINGS, Expect, Frame, RawClient, Server, each_chunking, exchange};

/// A good message comes back, then `bad` fails the connection with 1002 and what follows it, good
/// as it is, is not looked at.
fn fails_with_1002(server: &Server, name: &str, bad: &[u8]) {
    let behind = stream(&[Frame::text("after"), Frame::ping("p"), Frame::close(1000, "")]);
    let all = [Frame::text("before").bytes(), bad.to_vec(), behind].concat();
    exchange(server, name, &all, &[Expect::text("before"), Expect::Close(1002)]);
}

#[test]
fn row_042_unmasked_frames_are_refused() {
    let server = Server::echo(&[]);
    let frames = [
        Frame::text("hello"),
        Frame::binary(""),
        Frame::binary([7; 300]),
        Frame::binary(vec![7; 70_000]),
        Frame::ping("p"),
        Frame::pong(""),
        Frame::close(1000, ""),
        Frame::text("un").unfinished(),
    ];
    for frame in frames {
        let frame = frame.unmasked().bytes();
        fails_with_1002(&server, &format!("{:?}", &frame[..2]), &frame);
    }
    let split =
        [Frame::text("a").unfinished().bytes(), Frame::continuation("b").unmasked().bytes()];
    fails_with_1002(&server, "an unmasked continuation", &split.concat());
}

/// Every kind of frame that a server sends, for the three rows on what it must not do.
fn all_kinds_of_answers() -> Vec<crate::common::frame::Received> {
    let server = Server::echo(&[]);
    let mut answers = Vec::new();
    each_chunking(|chunking| {
        let mut client = RawClient::open(&server, "/");
        for size in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload = vec![b'x'; size];
            client.send_chunked(&Frame::text(&payload).bytes(), chunking);
            answers.push(client.read_frame_raw(Duration::from_secs(5)));
            client.send_chunked(&Frame::binary(&payload).bytes(), chunking);
            answers.push(client.read_frame_raw(Duration::from_secs(5)));
            client.send_chunked(&Frame::ping(&payload[..size.min(125)]).bytes(), chunking);
            answers.push(client.read_frame_raw(Duration::from_secs(5)));
        }
        client.send_chunked(&Frame::close(1000, "bye").bytes(), chunking);
        answers.push(client.read_frame_raw(Duration::from_secs(5)));
    });
    assert_eq!(answers.len(), CHUNKINGS.len() * 25);
    answers
}

#[test]
fn row_043_the_server_never_masks() {
    for answer in all_kinds_of_answers() {
        assert!(!answer.masked, "{answer}");
    }
}

#[test]
fn row_048_rsv_bits_are_sent_as_zero() {
    for answer in all_kinds_of_answers() {
        assert_eq!(answer.rsv, 0, "{answer}");
    }
}

#[test]
fn row_049_rsv_bits_without_an_extension_fail() {
    let server = Server::echo(&[]);
    for bits in 1..=7 {
        for frame in [Frame::text("x"), Frame::binary(""), Frame::ping(""), Frame::close(1000, "")]
        {
            fails_with_1002(&server, &format!("RSV {bits}"), &frame.rsv(bits).bytes());
        }
        let later =
            [Frame::text("a").unfinished().bytes(), Frame::continuation("b").rsv(bits).bytes()];
        fails_with_1002(&server, &format!("RSV {bits} on a continuation"), &later.concat());
    }
}

#[test]
fn row_051_reserved_opcodes_fail_before_the_payload() {
    let server = Server::echo(&[]);
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        fails_with_1002(&server, &format!("opcode {opcode:#x}"), &Frame::new(opcode, "x").bytes());
        // Its payload never comes, and is not waited for.
        let header = Frame::new(opcode, "").declare(if opcode < 8 { 1 << 20 } else { 100 });
        exchange(
            &server,
            &format!("header of {opcode:#x}"),
            &header.bytes(),
            &[Expect::Close(1002)],
        );
    }
}

#[test]
fn row_052_top_bit_of_a_64_bit_length_fails() {
    let server = Server::echo(&[]);
    for length in [1 << 63, (1 << 63) + 5, u64::MAX, u64::MAX - 13, (1 << 63) | 0xffff] {
        for opcode in [TEXT, BINARY] {
            let bad = Frame::new(opcode, "").form(Form::Bits64).declare(length).bytes();
            fails_with_1002(&server, &format!("length {length:#x}"), &bad);
        }
        let later = Frame::continuation("").form(Form::Bits64).declare(length).bytes();
        let split = [Frame::text("a").unfinished().bytes(), later].concat();
        fails_with_1002(&server, &format!("continuation of {length:#x}"), &split);
    }
}

#[test]
fn row_053_lengths_are_sent_in_the_shortest_form() {
    let answers = all_kinds_of_answers();
    for answer in &answers {
        assert!(answer.shortest, "{answer}");
    }
    assert!(answers.iter().any(|answer| answer.payload.len() == 65_536), "all forms were seen");
}

#[test]
fn row_054_longer_forms_than_needed_fail() {
    let server = Server::echo(&[]);
    for size in [0, 1, 124, 125] {
        let frame = Frame::binary(vec![1; size]).form(Form::Bits16).bytes();
        fails_with_1002(&server, &format!("{size} in 16 bits"), &frame);
    }
    for size in [0, 125, 126, 127, 65_534, 65_535] {
        let frame = Frame::binary(vec![1; size]).form(Form::Bits64);
        fails_with_1002(&server, &format!("{size} in 64 bits"), &frame.bytes());
        let header = Frame::binary("").declare(size as u64).form(Form::Bits64).header();
        exchange(&server, "the header alone", &header, &[Expect::Close(1002)]);
    }
}

#[test]
fn row_055_lengths_at_the_edges_of_each_form() {
    let server = Server::echo(&[]);
    let mut random = Random::new(55);
    for size in [0, 1, 2, 124, 125, 126, 127, 128, 255, 256, 65_535, 65_536, 65_537] {
        let payload = random.bytes(size);
        let frame = Frame::binary(&payload).bytes();
        exchange(&server, &format!("{size} bytes"), &frame, &[Expect::binary(&payload)]);
        let text = "t".repeat(size);
        exchange(
            &server,
            &format!("{size} letters"),
            &Frame::text(&text).bytes(),
            &[Expect::text(&text)],
        );
    }
}

#[test]
fn row_056_any_mask_any_split() {
    let server = Server::echo(&[]);
    let mut random = Random::new(56);
    let keys = [[0; 4], [0xff; 4], [1, 2, 3, 4], [0, 0, 0, 0x80], [0x81, 0x82, 0x83, 0x84]];
    for key in keys {
        for size in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 130, 300] {
            let payload = random.bytes(size);
            let frame = Frame::binary(&payload).mask(key).bytes();
            exchange(&server, &format!("{key:?} {size}"), &frame, &[Expect::binary(&payload)]);
        }
    }
    // Frames with different keys behind each other, so that payloads start at every alignment.
    let payloads: Vec<Vec<u8>> = (0..40).map(|size| random.bytes(size)).collect();
    let frames: Vec<Frame> = payloads
        .iter()
        .map(|payload| {
            let key = random.bytes(4);
            Frame::binary(payload).mask([key[0], key[1], key[2], key[3]])
        })
        .collect();
    let expected: Vec<Expect> = payloads.iter().map(Expect::binary).collect();
    exchange(&server, "forty keys", &stream(&frames), &expected);
}

#[test]
fn row_064_control_payload_of_at_most_125_bytes() {
    let server = Server::echo(&[]);
    let full = [b'p'; 125];
    exchange(&server, "125", &Frame::ping(full).bytes(), &[Expect::pong(full)]);
    let reason = "r".repeat(123);
    exchange(
        &server,
        "123 and a code",
        &Frame::close(1000, &reason).bytes(),
        &[Expect::Close(1000)],
    );
    for size in [126, 127, 1000, 65_536] {
        let long = "p".repeat(size);
        fails_with_1002(&server, &format!("ping of {size}"), &Frame::ping(&long).bytes());
        fails_with_1002(&server, &format!("pong of {size}"), &Frame::pong(&long).bytes());
        let close = Frame::close(1000, &long).bytes();
        fails_with_1002(&server, &format!("close of {size}"), &close);
        let header = Frame::ping("").declare(size as u64).header();
        exchange(&server, "the header alone", &header, &[Expect::Close(1002)]);
    }
}

#[test]
fn row_065_extension_bits_only_when_agreed() {
    let server = Server::echo(&[]);
    // "Hello" deflated, as in RFC 7692, 7.2.3.1, on a connection that agreed on nothing.
    let deflated = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    fails_with_1002(&server, "text", &Frame::text(deflated).rsv(4).bytes());
    fails_with_1002(&server, "binary", &Frame::binary(deflated).rsv(4).bytes());
    // Nor when something else was offered and not taken.
    each_chunking(|chunking| {
        let request = crate::opening::upgrade().header("Sec-WebSocket-Extensions", "x-made-up");
        let mut client = RawClient::connect(&server);
        client.send(request.bytes());
        client.expect_upgrade();
        client.send_chunked(&Frame::text(deflated).rsv(4).bytes(), chunking);
        client.expect_close(1002);
    });
}

#[test]
fn row_066_nothing_is_allocated_by_a_declared_length() {
    let server = Server::echo(&[]);
    RawClient::open(&server, "/").expect_open();
    let before = server.data_kb();
    let mut waiting = Vec::new();
    for _ in 0..16 {
        each_chunking(|chunking| {
            for opcode in [BINARY, CONTINUATION] {
                let mut client = RawClient::open(&server, "/");
                if opcode == CONTINUATION {
                    client.send(Frame::binary("a").unfinished().bytes());
                }
                let header = Frame::new(opcode, "").declare(60 << 20).header();
                client.send_chunked(&[header, vec![b'x'; 5]].concat(), chunking);
                waiting.push(client);
            }
        });
    }
    RawClient::open(&server, "/").expect_open();
    std::thread::sleep(Duration::from_millis(50));
    // 96 connections that announce 60 MiB each: 5.6 GiB if it were believed. 16 MiB is room for
    // 96 messages of 6 bytes, the tables of 97 connections, and the allocator's own steps.
    let grown = server.data_kb().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB more are reserved");
    for mut client in waiting {
        client.expect_silence(Duration::from_millis(1));
    }
}
