//! What is held against the committed counts: the path of an echo, of a handshake and of a
//! broadcast, and the kernels under them.

use std::hint::black_box;
use std::rc::Rc;

use throng::extension::{Config, Deflater, Inflater, Mode};
use throng::frame::{Decoded, HEADER_LEN_MAX, Header, Opcode, Utf8, apply_mask};
use throng::handshake::{Acceptance, ClientRequest, Offer, write_response};
use throng::http::{HeadLimits, HeadScan, HeaderSlots, Request, ResponseHead};
use throng::proto::{
    Event, Inbound, Message, MessageKind, Outbound, Role, Settings, SharedFrame, Spare,
};

use crate::case::{Case, KEY, REQUEST, json, masked};
use crate::memory::{Answer, Loop};

use MessageKind::{Binary, Text};

const BROADCAST_PEERS: usize = 1_000;

pub fn cases() -> Vec<Case> {
    let mut cases = vec![header_decode(), header_encode(), mask(), shared_frame()];
    cases.push(utf8("utf8-ascii-4-kib", "{\"type\":\"text\"} "));
    cases.push(utf8("utf8-mixed-4-kib", "Καλημέρα, très bien! 🎉 "));
    cases.extend([
        codec("codec-echo-text-32x1", Text, 32, 1),
        codec("codec-echo-text-32x32", Text, 32, 32),
        codec("codec-echo-binary-32x1", Binary, 32, 1),
        codec("codec-echo-binary-32x32", Binary, 32, 32),
        codec("codec-echo-text-16-kib", Text, 16 << 10, 1),
        echo("loop-echo-text-32x1", Text, 32, 1),
        echo("loop-echo-text-32x32", Text, 32, 32),
        echo("loop-echo-binary-32x1", Binary, 32, 1),
        echo("loop-echo-binary-32x32", Binary, 32, 32),
        echo("loop-echo-text-1-kib", Text, 1 << 10, 1),
        broadcast(),
        http_head(),
        handshake(),
        handshakes_on_the_loop(),
        handshake_of_a_client(),
        deflate("deflate-1-kib-level-1", 1, true),
        deflate("deflate-1-kib-level-6", 6, true),
        deflate("deflate-1-kib-level-1-context", 1, false),
        inflate(),
    ]);
    cases
}

/// Headers of each length, masked and not.
fn header_decode() -> Case {
    let mut wire = Vec::new();
    for index in 0..1_000 {
        let payload_len = [32, 125, 1 << 10, 70_000][index % 4];
        let mask = (index % 8 < 4).then_some(KEY);
        let opcode = if index % 16 < 8 { Opcode::Text } else { Opcode::Binary };
        let header = Header { fin: true, rsv: 0, opcode, mask, payload_len };
        let mut bytes = [0; HEADER_LEN_MAX];
        let len = header.encode(&mut bytes);
        wire.extend_from_slice(&bytes[..len]);
    }
    Case::new("header-decode-1000", move || {
        let (mut rest, mut count) = (black_box(&wire[..]), 0);
        while let Ok(Decoded::Whole(header, len)) = Header::decode(rest) {
            black_box(header);
            (rest, count) = (&rest[len..], count + 1);
        }
        assert_eq!(count, 1_000);
    })
}

fn header_encode() -> Case {
    let mut out = [0; HEADER_LEN_MAX];
    Case::new("header-encode-1000", move || {
        let mut bytes = 0;
        for index in 0..1_000 {
            let payload_len = [32, 125, 1 << 10, 70_000][index % 4];
            let mask = (index % 8 < 4).then_some(KEY);
            let header = Header { fin: true, rsv: 0, opcode: Opcode::Text, mask, payload_len };
            bytes += black_box(header).encode(black_box(&mut out));
        }
        assert_eq!(bytes, 250 * (2 + 2 + 4 + 10) + 500 * 4);
    })
}

fn mask() -> Case {
    let mut payload = vec![0x55; 1 << 10];
    Case::new("mask-1-kib", move || apply_mask(black_box(&mut payload), black_box(KEY), 0))
}

fn utf8(name: &'static str, words: &str) -> Case {
    let mut text = words.repeat((4 << 10) / words.len() + 1);
    text.truncate(text.floor_char_boundary(4 << 10));
    Case::new(name, move || {
        let mut utf8 = Utf8::default();
        assert!(utf8.push(black_box(text.as_bytes())).is_ok() && utf8.is_boundary());
    })
}

fn shared_frame() -> Case {
    let payload = json(1 << 10);
    Case::new("shared-frame-1-kib", move || {
        let frame = SharedFrame::new(Message::text(black_box(&payload)));
        assert_eq!(black_box(frame).bytes().len(), 4 + (1 << 10));
    })
}

/// Bytes to events to bytes, as in the loop but without it.
fn codec(name: &'static str, kind: MessageKind, len: usize, count: usize) -> Case {
    let wire = masked(kind, json(len).as_bytes(), count);
    let (mut inbound, outbound) = (Inbound::new(), Outbound::new());
    let (settings, mut spare) = (Settings::new(Role::Server), Spare::default());
    let (mut buffer, mut out) = (vec![0; wire.len()], Vec::with_capacity(wire.len()));
    let expected = wire.len() - 4 * count;
    Case::new(name, move || {
        buffer.copy_from_slice(black_box(&wire));
        out.clear();
        let mut events = inbound.receive(&settings, &mut spare, &mut buffer);
        while let Some(event) = events.next() {
            let Ok(Event::Message(message)) = event else { panic!("a message") };
            outbound.send(message, None, &mut out).expect("an open connection");
        }
        assert_eq!(black_box(&out).len(), expected);
    })
}

/// One turn of the real loop: a read, the messages, their echoes, a write.
fn echo(name: &'static str, kind: MessageKind, len: usize, count: usize) -> Case {
    let wire: Rc<[u8]> = masked(kind, json(len).as_bytes(), count).into();
    let mut event_loop = Loop::new(Answer::Echo, 1);
    // Without an extension: what is echoed is what was sent.
    event_loop.connect(1, &plain_request());
    let expected = wire.len() - 4 * count;
    Case::new(name, move || assert_eq!(event_loop.receive(&wire), expected))
}

/// One turn of the real loop: a message to each of a room.
fn broadcast() -> Case {
    let wire: Rc<[u8]> = masked(Text, json(128).as_bytes(), 1).into();
    let mut event_loop = Loop::new(Answer::Broadcast, BROADCAST_PEERS);
    event_loop.connect(BROADCAST_PEERS, &plain_request());
    let expected = BROADCAST_PEERS * (wire.len() - 4);
    Case::new("loop-broadcast-1000", move || {
        assert_eq!(event_loop.receive(&wire), expected);
    })
}

fn plain_request() -> Rc<[u8]> {
    let text = std::str::from_utf8(REQUEST).expect("ASCII");
    let lines = text.split_inclusive("\r\n").filter(|line| !line.contains("Extensions"));
    lines.collect::<String>().into_bytes().into()
}

fn http_head() -> Case {
    let limits = HeadLimits::default();
    Case::new("http-head", move || {
        let len = HeadScan::new().scan(black_box(REQUEST), &limits);
        assert_eq!(len, Ok(Some(REQUEST.len())));
        let mut slots = HeaderSlots::new();
        assert!(Request::parse(black_box(REQUEST), &mut slots, &limits).is_ok());
    })
}

fn handshake() -> Case {
    let limits = HeadLimits::default();
    let mut out = Vec::with_capacity(1 << 10);
    Case::new("handshake", move || {
        out.clear();
        let mut slots = HeaderSlots::new();
        let request = Request::parse(black_box(REQUEST), &mut slots, &limits).expect("valid");
        let offer = Offer::from_request(&request).expect("valid").expect("an upgrade");
        let chosen = offer.choose(&["superchat", "chat"]).expect("one of ours");
        let acceptance = Acceptance::new().subprotocol(chosen);
        offer.check(&acceptance).expect("an answer that fits");
        write_response(&mut out, offer.key(), &acceptance);
        assert!(out.ends_with(b"\r\n\r\n"));
    })
}

/// Ten connections are accepted, read, upgraded, with permessage-deflate, and answered. They are
/// then there: a loop of fresh ones each time would count its making.
fn handshakes_on_the_loop() -> Case {
    let request: Rc<[u8]> = REQUEST.into();
    let mut event_loop = Loop::new(Answer::Echo, 100);
    event_loop.connect(40, &request); // tables of 64 from here on
    Case::new("loop-handshake-10", move || assert!(event_loop.connect(10, &request) > 1_000))
}

fn handshake_of_a_client() -> Case {
    let limits = HeadLimits::default();
    let mut out = Vec::with_capacity(1 << 10);
    Case::new("client-handshake", move || {
        out.clear();
        let request = ClientRequest::new("server.example.com", "/chat", *b"the sample nonce");
        let request = request.and_then(|it| it.subprotocol("chat")).expect("a valid request");
        request.encode(&mut out);
        let head: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
            Sec-WebSocket-Protocol: chat\r\n\r\n";
        let mut slots = HeaderSlots::new();
        let response = ResponseHead::parse(black_box(head), &mut slots, &limits).expect("valid");
        assert!(request.verify(&response).is_ok());
    })
}

/// Two messages in turn, alike but not the same: a context would make nothing of a repeated one.
fn deflate(name: &'static str, level: u8, reset_after: bool) -> Case {
    let config = Config { level, ..Config::new(Mode::Shared) };
    let mut deflater = Deflater::new(&config, 15);
    let (payloads, mut out) = (json(2 << 10), Vec::with_capacity(4 << 10));
    let mut turn = 0;
    Case::new(name, move || {
        let payload = &payloads.as_bytes()[turn << 10..][..1 << 10];
        turn = 1 - turn;
        out.clear();
        assert!(deflater.deflate(black_box(payload), &mut out, reset_after));
        assert!(out.len() < payload.len());
    })
}

fn inflate() -> Case {
    let payload = json(1 << 10);
    let mut deflated = Vec::new();
    let mut deflater = Deflater::new(&Config::default(), 15);
    assert!(deflater.deflate(payload.as_bytes(), &mut deflated, true));
    let (mut inflater, mut room) = (Inflater::new(), vec![0; 2 << 10]);
    Case::new("inflate-1-kib", move || {
        let mut input = black_box(&deflated[..]);
        assert_eq!(inflater.step(&mut input, &mut room), Ok(payload.len()));
        inflater.finish().expect("a whole message");
        inflater.reset();
        assert_eq!(&room[..payload.len()], payload.as_bytes());
    })
}
