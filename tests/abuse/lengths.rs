//! A1 and A2: lengths that lie.

use crate::Watch;
use crate::common::frame::{BINARY, CONTINUATION, Form, TEXT};
use crate::common::{Expect, Frame, RawClient, Server, each_chunking, exchange};

const LIMIT: u64 = 1 << 20;

/// What a header of `form` that declares `length` must bring, where the limit is 1 MiB.
fn verdict(form: Form, length: u64) -> Option<u16> {
    let shortest = match form {
        Form::Bits64 => length > 0xffff,
        Form::Bits16 => length > 125,
        Form::Bits7 | Form::Shortest => true,
    };
    if length >> 63 == 1 || !shortest {
        Some(1002)
    } else if length > LIMIT {
        Some(1009)
    } else {
        None // it waits for the payload
    }
}

fn around(exponents: &[u32]) -> Vec<u64> {
    let powers = exponents.iter().map(|&exponent| 1_u64 << exponent);
    let mut lengths: Vec<u64> = powers.flat_map(|power| [power - 1, power, power + 1]).collect();
    lengths.extend([LIMIT - 1, LIMIT, LIMIT + 1, u64::MAX - 14, u64::MAX - 1, u64::MAX]);
    lengths
}

#[test]
fn a1_lengths_around_every_edge() {
    let server = Server::echo(&["--max-message", "1048576"]);
    let mut watch = Watch::over(&server);
    for length in around(&[7, 8, 15, 16, 20, 31, 32, 33, 47, 53, 61, 62, 63]) {
        let mut forms = vec![Form::Bits64];
        if length <= 0xffff {
            forms.push(Form::Bits16);
        }
        for form in forms {
            for opcode in [TEXT, BINARY, CONTINUATION] {
                let header = Frame::new(opcode, "").form(form).declare(length).bytes();
                let before = if opcode == CONTINUATION {
                    Frame::text("0123456789").unfinished().bytes()
                } else {
                    Vec::new()
                };
                let joined = length.saturating_add(if opcode == CONTINUATION { 10 } else { 0 });
                let code = verdict(form, length).or_else(|| verdict(Form::Shortest, joined));
                let mut client = RawClient::open(&server, "/");
                client.note(format!("length {length:#x}, opcode {opcode}"));
                client.send([before, header].concat());
                match code {
                    Some(code) => client.expect_close(code),
                    None => {
                        let silence = std::time::Duration::from_millis(2);
                        client.expect_silence(silence);
                    }
                }
            }
        }
    }
    // Headers of a few bytes, 250 connections one after the other: 1 MiB is the allocator's noise.
    watch.is_bounded(&server, 1024);
    watch.is_settled(&server);
}

#[test]
fn a1_fragments_whose_sum_overflows() {
    let server = Server::echo(&[]);
    let mut watch = Watch::over(&server);
    for length in [u64::MAX >> 1, (u64::MAX >> 1) - 9, u64::from(u32::MAX) - 5, 1 << 32] {
        let first = Frame::binary("0123456789").unfinished().bytes();
        let second = Frame::continuation("").form(Form::Bits64).declare(length).bytes();
        let stream = [first, second].concat();
        exchange(&server, &format!("10 + {length:#x}"), &stream, &[Expect::Close(1009)]);
    }
    watch.is_bounded(&server, 1024);
    watch.is_settled(&server);
}

#[test]
fn a1_2_to_the_62_is_refused_at_the_header() {
    let server = Server::echo(&[]);
    let mut watch = Watch::over(&server);
    let header = Frame::binary("").declare(1 << 62).bytes();
    assert_eq!(header.len(), 14, "nothing but a header is sent");
    exchange(&server, "2^62", &header, &[Expect::Close(1009)]);
    let good_first = [Frame::text("good").bytes(), header].concat();
    let expected = [Expect::text("good"), Expect::Close(1009)];
    exchange(&server, "2^62 after a message", &good_first, &expected);
    watch.is_bounded(&server, 512);
    watch.is_settled(&server);
}

#[test]
fn a2_announced_and_never_sent() {
    let server = Server::echo(&[]);
    let mut watch = Watch::over(&server);
    let reserved_kb = server.data_kb();
    let mut clients = Vec::new();
    each_chunking(|chunking| {
        for _ in 0..100 {
            let mut client = RawClient::open(&server, "/");
            let header = Frame::binary("").declare(64 << 20).bytes(); // the limit itself
            client.send_chunked(&header, chunking);
            clients.push(client);
        }
    });
    watch.is_served();
    // 300 connections that announce 64 MiB each: 18.75 GiB if believed. With no payload there is
    // nothing to keep: 16 KiB a connection for its tables and an assembly is 4.7 MiB, used or only
    // reserved (where the allocator's own step of 1 to 4 MiB comes on top).
    watch.is_bounded(&server, 300 * 16);
    let reserved = server.data_kb().saturating_sub(reserved_kb);
    assert!(reserved <= 300 * 16 + 4096, "{reserved} KiB more are reserved");
    drop(clients);
    watch.is_settled(&server);
}

#[test]
fn a2_memory_follows_what_arrived() {
    let server = Server::echo(&[]);
    let mut watch = Watch::over(&server);
    let mut client = RawClient::open(&server, "/");
    client.send(Frame::binary("").declare(64 << 20).bytes());
    for sent_kb in (1024..=8192).step_by(1024) {
        client.send(vec![0; 1 << 20]);
        watch.is_served();
        // What arrived, doubled where a growing buffer is moved, and 1 MiB of noise.
        watch.is_bounded(&server, 2 * sent_kb + 1024);
    }
    drop(client);
    watch.is_settled(&server);
    watch.gives_back_to(&server, 1024);
}
