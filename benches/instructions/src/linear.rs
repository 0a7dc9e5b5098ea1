//! Each parser with input of a length and of twice that: the cost must not grow by more than the
//! input does.
//!
//! Whole and cut into single bytes where a parser takes pieces: to start over at each piece is the
//! usual way to become quadratic.

use std::hint::black_box;

use throng::extension::{Config, Deflater, Inflater, Mode, negotiate, verify_answer};
use throng::frame::{Decoded, Header, Utf8, apply_mask};
use throng::handshake::{ClientRequest, Offer};
use throng::http::fields::has_token;
use throng::http::{HeadLimits, HeadScan, HeaderSlots, Request, ResponseHead, dechunk};
use throng::proto::{Event, Inbound, MessageKind, Role, Settings, Spare};

use crate::case::{KEY, json, masked};

/// A parser, how much input it gets at first, and what runs it over so much.
pub struct Parser {
    pub name: &'static str,
    pub n: usize,
    pub make: fn(usize) -> Box<dyn FnMut()>,
}

/// `n` is as large as the limits of the parser let `2n` be, or large enough for what grows faster
/// than the input to show.
pub const PARSERS: [Parser; 22] = [
    Parser { name: "header", n: 1_000, make: headers },
    Parser { name: "mask", n: 16 << 10, make: mask },
    Parser { name: "frames", n: 500, make: frames },
    Parser { name: "frames-by-byte", n: 200, make: frames_by_byte },
    Parser { name: "fragments", n: 1_000, make: fragments },
    Parser { name: "message-by-byte", n: 4 << 10, make: message_by_byte },
    Parser { name: "utf8", n: 16 << 10, make: utf8 },
    Parser { name: "utf8-by-byte", n: 4 << 10, make: utf8_by_byte },
    Parser { name: "http-head-lines", n: 31, make: head_lines },
    Parser { name: "http-head-long-line", n: 7 << 10, make: head_long_line },
    Parser { name: "http-head-by-byte", n: 31, make: head_by_byte },
    Parser { name: "http-target", n: 3 << 10, make: target },
    Parser { name: "http-chunked-body", n: 1_000, make: chunks },
    Parser { name: "field-value", n: 1_000, make: field_value },
    Parser { name: "subprotocols", n: 16, make: subprotocols },
    Parser { name: "extension-offers", n: 150, make: extension_offers },
    Parser { name: "extension-params", n: 300, make: extension_params },
    Parser { name: "extension-answer", n: 300, make: extension_answer },
    Parser { name: "response-head", n: 31, make: response_head },
    Parser { name: "inflate", n: 16 << 10, make: inflate },
    Parser { name: "inflate-by-byte", n: 4 << 10, make: inflate_by_byte },
    Parser { name: "inflate-empty-blocks", n: 1_000, make: inflate_empty_blocks },
];

fn headers(n: usize) -> Box<dyn FnMut()> {
    let wire = masked(MessageKind::Binary, b"", n);
    Box::new(move || {
        let (mut rest, mut count) = (black_box(&wire[..]), 0);
        while let Ok(Decoded::Whole(_, len)) = Header::decode(rest) {
            (rest, count) = (&rest[len..], count + 1);
        }
        assert_eq!(count, n);
    })
}

fn mask(n: usize) -> Box<dyn FnMut()> {
    let mut bytes = vec![0x55; n];
    Box::new(move || apply_mask(black_box(&mut bytes), KEY, 0))
}

/// Hands `wire` over in pieces, and counts the messages.
fn receive(wire: Vec<u8>, piece: usize, messages: usize) -> Box<dyn FnMut()> {
    let (settings, mut spare) = (Settings::new(Role::Server), Spare::default());
    let mut buffer = vec![0; wire.len()];
    Box::new(move || {
        let (mut inbound, mut count) = (Inbound::new(), 0);
        buffer.copy_from_slice(&wire);
        for piece in buffer.chunks_mut(piece) {
            let mut events = inbound.receive(&settings, &mut spare, piece);
            while let Some(event) = events.next() {
                let Ok(Event::Message(message)) = event else { panic!("a message") };
                black_box(message);
                count += 1;
            }
        }
        assert_eq!(count, messages);
    })
}

fn frames(n: usize) -> Box<dyn FnMut()> {
    let wire = masked(MessageKind::Text, json(32).as_bytes(), n);
    receive(wire, usize::MAX, n)
}

fn frames_by_byte(n: usize) -> Box<dyn FnMut()> {
    receive(masked(MessageKind::Text, json(32).as_bytes(), n), 1, n)
}

fn message_by_byte(n: usize) -> Box<dyn FnMut()> {
    receive(masked(MessageKind::Text, json(n).as_bytes(), 1), 1, 1)
}

/// One text in frames of seven bytes, which are cut inside characters.
fn fragments(n: usize) -> Box<dyn FnMut()> {
    let text = "日本語のテキスト".repeat(n / 3 + 1);
    let pieces: Vec<&[u8]> = text.as_bytes().chunks(7).collect();
    let mut wire = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let mut frame = masked(MessageKind::Text, piece, 1);
        let (first, last) = (index == 0, index + 1 == pieces.len());
        frame[0] = if last { 0x80 } else { 0 } | u8::from(first); // FIN, and text or continuation
        wire.append(&mut frame);
    }
    receive(wire, usize::MAX, 1)
}

fn text_in_pieces(n: usize, piece: usize) -> Box<dyn FnMut()> {
    let text = "日本語のテキスト ".repeat(n / 25 + 1);
    Box::new(move || {
        let mut utf8 = Utf8::default();
        for piece in text.as_bytes().chunks(piece) {
            utf8.push(black_box(piece)).expect("UTF-8");
        }
        assert!(utf8.is_boundary());
    })
}

fn utf8(n: usize) -> Box<dyn FnMut()> {
    text_in_pieces(n, usize::MAX)
}

fn utf8_by_byte(n: usize) -> Box<dyn FnMut()> {
    text_in_pieces(n, 1)
}

/// A handshake with these lines besides its own.
fn request_with(target: &str, lines: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\n{lines}Upgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

fn read_offer(head: Vec<u8>, piece: usize, then: fn(&Offer<'_>)) -> Box<dyn FnMut()> {
    let limits = HeadLimits { headers_max: 128, ..HeadLimits::default() };
    Box::new(move || {
        let (mut scan, mut end) = (HeadScan::new(), 0);
        while end < head.len() {
            end = head.len().min(end + piece);
            scan.scan(black_box(&head[..end]), &limits).expect("a valid head");
        }
        let mut slots = HeaderSlots::new();
        let request = Request::parse(black_box(&head), &mut slots, &limits).expect("valid");
        then(&Offer::from_request(&request).expect("valid").expect("an upgrade"));
    })
}

const WHOLE: usize = 1 << 20;

/// 5 lines less: the handshake's own are 5.
fn head_lines(n: usize) -> Box<dyn FnMut()> {
    read_offer(
        request_with("/", &"X-Line: some value of a header\r\n".repeat(n - 5)),
        WHOLE,
        |_| {},
    )
}

fn head_by_byte(n: usize) -> Box<dyn FnMut()> {
    read_offer(request_with("/", &"X-Line: some value of a header\r\n".repeat(n - 5)), 1, |_| {})
}

fn head_long_line(n: usize) -> Box<dyn FnMut()> {
    read_offer(request_with("/", &format!("X-Line: {}\r\n", "x".repeat(n))), WHOLE, |_| {})
}

fn target(n: usize) -> Box<dyn FnMut()> {
    read_offer(request_with(&format!("/{}", "a/".repeat(n / 2)), ""), WHOLE, |_| {})
}

fn chunks(n: usize) -> Box<dyn FnMut()> {
    let body = "5;x=y\r\nhello\r\n".repeat(n) + "0\r\n\r\n";
    Box::new(move || assert_eq!(dechunk(black_box(body.as_bytes())).len(), 5 * n))
}

fn field_value(n: usize) -> Box<dyn FnMut()> {
    let value = "keep-alive ,\t, ".repeat(n);
    Box::new(move || assert!(!has_token([black_box(value.as_bytes())].into_iter(), "upgrade")))
}

/// Finding repeats costs the square of their number, which is why there may be 32 only.
fn subprotocols(n: usize) -> Box<dyn FnMut()> {
    let names: Vec<_> = (0..n).map(|number| format!("a-name-of-some-length-{number:02}")).collect();
    let head = request_with("/", &format!("Sec-WebSocket-Protocol: {}\r\n", names.join(", ")));
    read_offer(head, WHOLE, |offer| assert!(offer.choose(&["none"]).is_none()))
}

/// Offers that are all passed over, so that each has to be read.
fn extension_offers(n: usize) -> Box<dyn FnMut()> {
    let offers = vec!["permessage-deflate; server_max_window_bits=7"; n].join(", ");
    let head = request_with("/", &format!("Sec-WebSocket-Extensions: {offers}\r\n"));
    read_offer(head, WHOLE, |offer| assert!(negotiated(offer).is_none()))
}

/// One offer with a parameter that comes again and again: all of it is held against the grammar.
fn extension_params(n: usize) -> Box<dyn FnMut()> {
    let params = "; client_max_window_bits".repeat(n);
    let line = format!("Sec-WebSocket-Extensions: permessage-deflate{params}\r\n");
    read_offer(request_with("/", &line), WHOLE, |offer| assert!(negotiated(offer).is_none()))
}

fn negotiated(offer: &Offer<'_>) -> Option<throng::extension::Params> {
    let offers = offer.extensions().map(|it| it.params().map(|param| (param.name, param.value)));
    negotiate(offers, &Config::new(Mode::Dedicated))
}

fn request() -> ClientRequest {
    let request = ClientRequest::new("a", "/", *b"the sample nonce");
    request.and_then(|it| it.extensions("permessage-deflate")).expect("a valid request")
}

fn verify(lines: &str, then: fn(&ClientRequest, &ResponseHead<'_>)) -> Box<dyn FnMut()> {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{lines}\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    let limits = HeadLimits::default();
    let request = request();
    Box::new(move || {
        let mut slots = HeaderSlots::new();
        let head = black_box(head.as_bytes());
        let response = ResponseHead::parse(head, &mut slots, &limits).expect("a valid head");
        then(&request, &response);
    })
}

/// 3 lines less: the answer's own are 3.
fn response_head(n: usize) -> Box<dyn FnMut()> {
    verify(&"X-Line: some value of a header\r\n".repeat(n - 3), |request, response| {
        assert!(request.verify(response).is_ok());
    })
}

fn extension_answer(n: usize) -> Box<dyn FnMut()> {
    let params = "; client_max_window_bits".repeat(n);
    let line = format!("Sec-WebSocket-Extensions: permessage-deflate{params}\r\n");
    verify(&line, |request, response| {
        let accepted = request.verify(response).expect("by the grammar");
        let answer = accepted.extensions().next().expect("one extension");
        let params = answer.params().map(|param| (param.name, param.value));
        assert!(verify_answer(params, &Config::new(Mode::Dedicated)).is_err());
    })
}

fn inflate_in_pieces(deflated: Vec<u8>, piece: usize, expected: usize) -> Box<dyn FnMut()> {
    let (mut inflater, mut room) = (Inflater::new(), vec![0; 4 << 10]);
    Box::new(move || {
        let mut bytes = 0;
        for mut piece in deflated.chunks(piece) {
            loop {
                let written = inflater.step(&mut piece, &mut room).expect("DEFLATE");
                bytes += written;
                if written < room.len() {
                    break;
                }
            }
        }
        inflater.finish().expect("a whole message");
        inflater.reset();
        assert_eq!(bytes, expected);
    })
}

fn deflated(n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut deflater = Deflater::new(&Config::default(), 15);
    assert!(deflater.deflate(json(n).as_bytes(), &mut out, true));
    out
}

fn inflate(n: usize) -> Box<dyn FnMut()> {
    inflate_in_pieces(deflated(n), usize::MAX, n)
}

fn inflate_by_byte(n: usize) -> Box<dyn FnMut()> {
    inflate_in_pieces(deflated(n), 1, n)
}

/// Stored blocks of nothing: the cheapest bytes that an attacker can send.
fn inflate_empty_blocks(n: usize) -> Box<dyn FnMut()> {
    let mut blocks = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(n);
    blocks.push(0x00); // the tail belongs to one more
    inflate_in_pieces(blocks, usize::MAX, 0)
}
