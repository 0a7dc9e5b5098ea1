//! The opening handshake: the end of the head in any cuts, the request, the offer, the answers.
//! What is accepted obeys the rules; what is written cannot be broken out of.
//!
//! The input: limits, the cuts, four bytes for the answers, then what arrives or a script of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use throng::handshake::{Acceptance, HandshakeError, Offer, write_response};
use throng::http::{
    EncodeOptions, HeadLimits, HeadScan, HeaderSlots, HttpError, Request, Response,
};
use throng_fuzz::rules::{self, Lines, is_token};
use throng_fuzz::{Cuts, Plan, head};

fuzz_target!(|input: &[u8]| {
    let mut plan = Plan::new(input);
    let flags = plan.byte();
    let limits = limits(flags);
    let cuts = plan.cuts();
    let answer: [u8; 4] = plan.bytes();
    let received = if flags & 0x40 != 0 { head::head(plan) } else { plan.rest().to_vec() };
    let received = &received[..];
    let scanned = HeadScan::new().scan(received, &limits);
    assert_eq!(scanned, rules::scan(received, &limits));
    assert_eq!(scan_in_pieces(received, cuts, &limits), scanned);
    // As it comes, whatever the scan thinks of it: the parser stands on its own.
    let mut slots = HeaderSlots::new();
    let parsed = Request::parse(received, &mut slots, &limits);
    assert!(parsed.is_err() || scanned == Ok(Some(received.len())));
    match scanned {
        Ok(Some(len)) => {
            assert!(len <= received.len() && len <= limits.head_bytes_max);
            assert!(received[..len].ends_with(b"\r\n\r\n"));
            one_request(&received[..len], &limits, answer);
        }
        Ok(None) => assert!(received.len() < limits.head_bytes_max),
        Err(error) => refuse(error.into()),
    }
    any_response(received, answer);
});

fn limits(byte: u8) -> HeadLimits {
    let default = HeadLimits::default();
    HeadLimits {
        head_bytes_max: [default.head_bytes_max, 0, 64, 300][usize::from(byte & 3)],
        target_bytes_max: [default.target_bytes_max, 0, 8, 40][usize::from(byte >> 2 & 3)],
        headers_max: [default.headers_max, 0, 6, 1000][usize::from(byte >> 4 & 3)],
    }
}

fn scan_in_pieces(
    received: &[u8],
    mut cuts: Cuts<'_>,
    limits: &HeadLimits,
) -> Result<Option<usize>, HttpError> {
    let (mut scan, mut end) = (HeadScan::new(), 0);
    loop {
        end += cuts.next(received.len() - end);
        match scan.scan(&received[..end], limits) {
            Ok(None) if end < received.len() => {}
            result => return result,
        }
    }
}

fn one_request(head: &[u8], limits: &HeadLimits, answer: [u8; 4]) {
    let mut slots = HeaderSlots::new();
    let request = match Request::parse(head, &mut slots, limits) {
        Ok(request) => request,
        Err(error) => return refuse(error.into()),
    };
    let lines = Lines::of(head);
    lines.check_request(&request, limits);
    let mut out = Vec::new();
    Response::text(200, "ok").encode(&mut out, EncodeOptions::answering(&request));
    match Offer::from_request(&request) {
        Ok(Some(offer)) => {
            lines.check_offer(&request, &offer);
            accept(&offer, head, answer);
        }
        Ok(None) => assert!(request.header("sec-websocket-key").is_none()),
        Err(error) => refuse(error),
    }
}

/// Whatever is added to it, the 101 has one line for each thing that the handshake says.
fn accept(offer: &Offer<'_>, head: &[u8], [first, second, third, _]: [u8; 4]) {
    let piece = |from: u8, len: u8| {
        let from = usize::from(from).min(head.len());
        let to = (from + usize::from(len % 32)).min(head.len());
        String::from_utf8_lossy(&head[from..to]).into_owned()
    };
    let (wanted, name, value) = (piece(first, second), piece(second, third), piece(third, first));
    let chosen = offer.choose(&["chat", &wanted, "superchat"]).map(str::to_owned);
    assert!(chosen.as_ref().is_none_or(|chosen| offer.subprotocols().any(|one| one == chosen)));
    let mut acceptance = Acceptance::new().header(name, value).header("X-Last", "1");
    acceptance = acceptance.subprotocol(chosen.unwrap_or(wanted));
    let named = acceptance.chosen_subprotocol().map(str::to_owned);
    let offered = named.as_ref().is_none_or(|it| offer.subprotocols().any(|one| one == it));
    assert_eq!(offer.check(&acceptance).is_ok(), offered);

    let mut out = b"before".to_vec();
    write_response(&mut out, offer.key(), &acceptance);
    let written = parse_response(&out[6..]);
    assert_eq!((written.status, written.body), (101, &b""[..]));
    let accept = offer.key().accept();
    assert_eq!(written.all("sec-websocket-accept"), [&accept[..]]);
    assert_eq!(written.all("upgrade"), [b"websocket"]);
    assert_eq!(written.all("connection"), [b"Upgrade"]);
    assert_eq!(written.all("x-last").last(), Some(&&b"1"[..]));
    let subprotocols: Vec<_> = named.iter().map(String::as_bytes).collect();
    assert_eq!(written.all("sec-websocket-protocol"), subprotocols);
    assert!(written.all("sec-websocket-extensions").is_empty());
    assert!(written.all("content-length").is_empty());
    assert!(written.all("transfer-encoding").is_empty());
}

/// A refusal has a status that says whose fault it was, and closes.
fn refuse(error: HandshakeError) {
    let response = error.response();
    assert!((400..506).contains(&error.status()) && response.closes());
    let mut out = Vec::new();
    response.encode(&mut out, EncodeOptions { keep_alive: true, omit_body: false });
    let written = parse_response(&out);
    assert_eq!(written.status, error.status());
    assert!(written.all("connection")[0].ends_with(b"close"));
    assert_eq!(written.body, response.body_bytes());
}

/// A response with names and values out of the input.
fn any_response(received: &[u8], [first, second, third, fourth]: [u8; 4]) {
    let text = String::from_utf8_lossy(received);
    let mut parts = text.split(['|', ':', '\n']).map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    let status = 100 + u16::from_le_bytes([first, second]) % 900;
    let names = ["Upgrade", "content-length", "Connection", "transfer-encoding"];
    let named = names[usize::from(third % 4)];
    let response = Response::new(status).header(part(), part()).header(named, part());
    let response = response.body(part(), part().into_bytes());
    let response = if third & 0x80 == 0 { response } else { response.close() };
    let options = EncodeOptions { keep_alive: fourth & 1 == 0, omit_body: fourth & 2 != 0 };
    let mut out = Vec::new();
    response.encode(&mut out, options);
    let written = parse_response(&out);
    assert_eq!(written.status, response.status());
    let has_body = status >= 200 && status != 204 && status != 304;
    let lengths = written.all("content-length");
    let length = response.body_bytes().len().to_string();
    assert_eq!(lengths, if has_body { vec![length.as_bytes()] } else { Vec::new() });
    let body = if has_body && !options.omit_body { response.body_bytes() } else { &[] };
    assert_eq!(written.body, body);
    assert!(written.all("transfer-encoding").is_empty());
    let connection = written.all("connection");
    assert!(connection.len() <= 1);
    let closes = connection.first().is_some_and(|value| value.ends_with(b"close"));
    assert_eq!(closes, response.closes() || !options.keep_alive);
}

/// A response as a client reads it.
struct Written<'a> {
    status: u16,
    lines: Vec<(String, &'a [u8])>,
    body: &'a [u8],
}

impl<'a> Written<'a> {
    fn all(&self, name: &str) -> Vec<&'a [u8]> {
        let named = self.lines.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name));
        named.map(|(_, value)| *value).collect()
    }
}

fn parse_response(bytes: &[u8]) -> Written<'_> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        other => panic!("{other:?}: {}", bytes.escape_ascii()),
    };
    let lines: Vec<_> =
        response.headers.iter().map(|line| (line.name.to_owned(), line.value)).collect();
    assert!(lines.iter().all(|(name, _)| is_token(name.as_bytes())));
    let ends = bytes[..len].windows(2).filter(|two| two == b"\r\n").count();
    assert_eq!(ends, lines.len() + 2, "a line more than there are headers");
    Written { status: response.code.unwrap_or(0), lines, body: &bytes[len..] }
}
