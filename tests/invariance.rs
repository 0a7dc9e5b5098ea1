//! Any stream of bytes, cut anywhere, gives the same events as in one piece; and the same as
//! tungstenite makes of it, but for differences that are named here.

use std::io::{self, Read, Write};

use proptest::prelude::*;
use throng::frame::HeaderError;
use throng::proto::{
    Delivery, Event, Events, Inbound, MessageKind, ProtocolError, Role, Settings, Spare,
};

/// An event that owns what it is made of; the chunks of a message are put together.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Error(ProtocolError),
}

/// What came of a stream: events, and what was delivered of a message that has not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    seen: Vec<Seen>,
    unfinished: Vec<u8>,
}

impl Outcome {
    fn take(&mut self, mut events: Events<'_>) {
        while let Some(event) = events.next() {
            let message = |kind, payload| match kind {
                MessageKind::Text => Seen::Text(payload),
                MessageKind::Binary => Seen::Binary(payload),
            };
            let seen = match event {
                Ok(Event::Message(whole)) => message(whole.kind, whole.payload.to_vec()),
                Ok(Event::Chunk(chunk)) => {
                    self.unfinished.extend_from_slice(chunk.payload);
                    if !chunk.last {
                        continue;
                    }
                    message(chunk.kind, std::mem::take(&mut self.unfinished))
                }
                Ok(Event::Ping(payload)) => Seen::Ping(payload.to_vec()),
                Ok(Event::Pong(payload)) => Seen::Pong(payload.to_vec()),
                Ok(Event::Close(close)) => {
                    Seen::Close(close.code.map(|code| code.get()), close.reason.to_owned())
                }
                Err(error) => Seen::Error(error),
            };
            self.seen.push(seen);
        }
    }

    /// A chunk with a fault in it is not delivered, so where the text was cut decides how much of
    /// a bad text comes before the error.
    fn assert_same(&self, whole: &Self, how: &str) {
        assert_eq!(self.seen, whole.seen, "{how}");
        if matches!(whole.seen.last(), Some(Seen::Error(ProtocolError::InvalidUtf8(_)))) {
            let (a, b) = (&self.unfinished, &whole.unfinished);
            assert!(a.starts_with(b) || b.starts_with(a), "{how}");
        } else {
            assert_eq!(self.unfinished, whole.unfinished, "{how}");
        }
    }
}

/// How the bytes get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Buffer,
    /// To where `direct` says, where it says something.
    Direct,
}

fn settings(role: Role, delivery: Delivery) -> Settings {
    Settings { delivery, message_bytes_max: 300_000, fragments_max: 40, ..Settings::new(role) }
}

/// Feeds a stream in pieces of the given sizes, over and over.
fn feed(stream: &[u8], sizes: &[usize], settings: &Settings, way: Way) -> Outcome {
    let (mut inbound, mut spare) = (Inbound::new(), Spare::default());
    let mut outcome = Outcome::default();
    let mut sizes = sizes.iter().copied().filter(|size| *size > 0).cycle();
    let mut rest = stream;
    while !rest.is_empty() {
        let n = sizes.next().unwrap_or(usize::MAX).min(rest.len());
        let (mut piece, after) = rest.split_at(n);
        rest = after;
        while !piece.is_empty() {
            let room = match way {
                Way::Direct => inbound.direct(settings),
                Way::Buffer => None,
            };
            if let Some(room) = room {
                let n = room.len().min(piece.len());
                room[..n].copy_from_slice(&piece[..n]);
                piece = &piece[n..];
                outcome.take(inbound.receive_direct(settings, &mut spare, n));
            } else {
                outcome.take(inbound.receive(settings, &mut spare, &mut piece.to_vec()));
                piece = &[];
            }
        }
    }
    let is_over = matches!(outcome.seen.last(), Some(Seen::Error(_) | Seen::Close(..)));
    assert_eq!(inbound.is_done(), is_over, "done after a Close or a fault, and only then");
    let later = inbound.receive(settings, &mut spare, &mut []).next().map(|_| ());
    assert_eq!(later, None, "an event out of nothing");
    outcome
}

/// Cuts a stream in all the ways of `cuttings` and compares with the whole.
fn assert_invariant(stream: &[u8], cuttings: &[Vec<usize>], limits: impl Fn(&mut Settings)) {
    for role in [Role::Server, Role::Client] {
        let mut across = Vec::new();
        for delivery in [Delivery::Whole, Delivery::Chunks] {
            let mut settings = settings(role, delivery);
            limits(&mut settings);
            let whole = feed(stream, &[], &settings, Way::Buffer);
            for sizes in cuttings {
                for way in [Way::Buffer, Way::Direct] {
                    let how = format!("{role:?} {delivery:?} {way:?} {sizes:?}");
                    feed(stream, sizes, &settings, way).assert_same(&whole, &how);
                }
            }
            across.push(whole.seen);
        }
        assert_eq!(across[0], across[1], "whole and in chunks");
    }
}

// ---- streams ----

/// A part of a stream; content comes from the seed, so that a failure shrinks to few small parts.
#[derive(Clone, Debug)]
enum Part {
    Message { text: bool, len: usize, fragments: usize, pings: bool, seed: u64 },
    Ping(usize, u64),
    Pong(usize, u64),
    Close(Option<u16>, usize),
}

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        self.0 ^ self.0 >> 29
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 20) as usize % end
    }

    fn payload(&mut self, text: bool, len: usize) -> Vec<u8> {
        if text {
            let letters = ["a", "é", "€", "😀", "\0", "\u{7FF}", "\u{FFFF}", "\u{10FFFF}", "z"];
            let mut payload = Vec::new();
            while payload.len() < len {
                payload.extend_from_slice(letters[self.below(letters.len())].as_bytes());
            }
            return payload;
        }
        (0..len).map(|_| self.next() as u8).collect()
    }
}

fn write_frame(out: &mut Vec<u8>, role: Role, first: u8, payload: &[u8], dice: &mut Dice) {
    let mask_bit = if role == Role::Server { 0x80 } else { 0 };
    out.push(first);
    match payload.len() {
        len @ 0..=125 => out.push(mask_bit | len as u8),
        len @ 126..=0xFFFF => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    let key = if role == Role::Server { (dice.next() as u32).to_be_bytes() } else { [0; 4] };
    if role == Role::Server {
        out.extend_from_slice(&key);
    }
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// The bytes of some parts as `role` receives them, and the events that they mean.
fn write_parts(parts: &[Part], role: Role) -> (Vec<u8>, Vec<Seen>) {
    let (mut out, mut seen) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Part::Message { text, len, fragments, pings, seed } => {
                let dice = &mut Dice(*seed);
                let payload = dice.payload(*text, *len);
                let mut rest = &payload[..];
                for fragment in 0..*fragments {
                    let is_last = fragment + 1 == *fragments;
                    let n = if is_last { rest.len() } else { dice.below(rest.len() + 1) };
                    let opcode = if fragment > 0 { 0 } else { 2 - u8::from(*text) };
                    let fin = if is_last { 0x80 } else { 0 };
                    write_frame(&mut out, role, fin | opcode, &rest[..n], dice);
                    rest = &rest[n..];
                    if *pings && !is_last {
                        let ping = dice.payload(false, fragment);
                        write_frame(&mut out, role, 0x89, &ping, dice);
                        seen.push(Seen::Ping(ping));
                    }
                }
                seen.push(if *text { Seen::Text(payload) } else { Seen::Binary(payload) });
            }
            Part::Ping(len, seed) | Part::Pong(len, seed) => {
                let is_ping = matches!(part, Part::Ping(..));
                let dice = &mut Dice(*seed);
                let payload = dice.payload(false, *len);
                write_frame(&mut out, role, if is_ping { 0x89 } else { 0x8A }, &payload, dice);
                seen.push(if is_ping { Seen::Ping(payload) } else { Seen::Pong(payload) });
            }
            Part::Close(code, len) => {
                let mut body = code.map(u16::to_be_bytes).map(Vec::from).unwrap_or_default();
                let reason = "r".repeat(if code.is_some() { *len } else { 0 });
                body.extend_from_slice(reason.as_bytes());
                write_frame(&mut out, role, 0x88, &body, &mut Dice(*len as u64));
                seen.push(Seen::Close(*code, reason));
                return (out, seen);
            }
        }
    }
    (out, seen)
}

fn a_part() -> impl Strategy<Value = Part> {
    let len = prop_oneof![
        4 => 0..300_usize,
        2 => 120..130_usize,
        1 => 65_530..65_540_usize,
        1 => 0..90_000_usize,
    ];
    let fragments = prop_oneof![3 => Just(1_usize), 2 => 2..6_usize, 1 => 6..41_usize];
    let message = (any::<bool>(), len, fragments, any::<bool>(), any::<u64>());
    let codes = prop_oneof![Just(None), Just(Some(1000)), Just(Some(1011)), Just(Some(4999))];
    prop_oneof![
        6 => message.prop_map(|(text, len, fragments, pings, seed)| {
            Part::Message { text, len, fragments, pings, seed }
        }),
        1 => (0..126_usize, any::<u64>()).prop_map(|(len, seed)| Part::Ping(len, seed)),
        1 => (0..126_usize, any::<u64>()).prop_map(|(len, seed)| Part::Pong(len, seed)),
        1 => (codes, 0..124_usize).prop_map(|(code, len)| Part::Close(code, len)),
    ]
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    prop::collection::vec(a_part(), 0..6)
}

/// A change to a stream: where, how, and with what.
fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), 0..5_u8, any::<u8>()), 1..4)
}

fn apply(stream: &mut Vec<u8>, damage: &[(prop::sample::Index, u8, u8)]) {
    for (index, how, byte) in damage {
        let near = index.index(stream.len() + 1);
        // The front is where the headers are.
        let at = if byte & 1 == 0 { near } else { near % 64 }.min(stream.len());
        match how {
            0 => stream.insert(at, *byte),
            1 => stream.truncate(at),
            _ if at == stream.len() => {}
            2 => stream[at] = *byte,
            3 => stream[at] ^= 1 << (byte >> 5),
            _ => drop(stream.remove(at)),
        }
    }
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![1..4_usize, 1..20_usize, 1..3_000_usize, 1..70_000_usize];
    prop_oneof![
        1 => Just(vec![1]),
        5 => prop::collection::vec(size, 1..12),
    ]
}

fn cheap() -> ProptestConfig {
    // No files of past failures beside the source: a found case becomes a test of its own.
    ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cheap())]

    #[test]
    fn a_valid_stream_gives_what_was_sent(parts in parts(), sizes in cuts()) {
        for role in [Role::Server, Role::Client] {
            let (stream, expected) = write_parts(&parts, role);
            for (delivery, way) in [
                (Delivery::Whole, Way::Buffer),
                (Delivery::Whole, Way::Direct),
                (Delivery::Chunks, Way::Buffer),
            ] {
                let outcome = feed(&stream, &sizes, &settings(role, delivery), way);
                prop_assert_eq!(&outcome.seen, &expected);
                prop_assert!(outcome.unfinished.is_empty());
            }
        }
    }

    #[test]
    fn a_damaged_stream_gives_the_same_in_pieces(
        parts in parts(),
        is_server in any::<bool>(),
        damage in damage(),
        sizes in cuts(),
    ) {
        let role = if is_server { Role::Server } else { Role::Client };
        let (mut stream, _) = write_parts(&parts, role);
        apply(&mut stream, &damage);
        assert_invariant(&stream, &[sizes], |_| {});
    }

    #[test]
    fn limits_are_met_at_the_same_byte(
        parts in parts(),
        sizes in cuts(),
        bytes_max in 0..1000_u64,
        fragments_max in 1..8_u32,
    ) {
        for role in [Role::Server, Role::Client] {
            let (stream, _) = write_parts(&parts, role);
            assert_invariant(&stream, std::slice::from_ref(&sizes), |settings| {
                settings.message_bytes_max = bytes_max;
                settings.fragments_max = fragments_max;
            });
        }
    }

    #[test]
    fn any_bytes_give_the_same_in_pieces(
        stream in prop::collection::vec(any::<u8>(), 0..200),
        sizes in cuts(),
    ) {
        assert_invariant(&stream, &[sizes], |_| {});
    }

    #[test]
    fn tungstenite_sees_the_same(
        parts in parts(),
        is_server in any::<bool>(),
        damage in prop_oneof![1 => Just(Vec::new()), 3 => damage()],
    ) {
        let role = if is_server { Role::Server } else { Role::Client };
        let (mut stream, _) = write_parts(&parts, role);
        apply(&mut stream, &damage);
        compare_with_tungstenite(&stream, role);
    }
}

// ---- short streams, exhaustively ----

/// Streams of a few bytes with everything in them that can be cut.
fn short_streams() -> Vec<Vec<u8>> {
    let key = [0x37, 0xFA, 0x21, 0x3D];
    let mut streams: Vec<Vec<u8>> = vec![
        b"\x81\x05Hello".to_vec(),
        b"\x01\x03a\xE2\x82\x80\x02\xACz".to_vec(),
        b"\x01\x02a\xE2\x89\x01p\x80\x01\x82".to_vec(),
        b"\x01\x00\x00\x00\x80\x00\x82\x00".to_vec(),
        b"\x02\x01a\x8A\x00\x80\x00\x88\x00".to_vec(),
        b"\x88\x04\x03\xE8by\x81\x01x".to_vec(),
        b"\x88\x04\x03\xE8b\xFF\x81\x01x".to_vec(),
        b"\x88\x01\x03\x81\x01x".to_vec(),
        b"\x88\x02\x03\xED\x81\x01x".to_vec(),
        b"\x81\x04\xF0\x9F\x98\x80\x89\x02hi".to_vec(),
        b"\x81\x04\xF4\x90\x80\x80ab".to_vec(),
        b"\x81\x03\xED\xA0\x80ab".to_vec(),
        b"\x01\x02\xC3\xA9\x81\x01x".to_vec(),
        b"\x01\x01\xC3\x80\x00ab".to_vec(),
        b"\x80\x01x".to_vec(),
        b"\x82\x7E\x00\x7Dxyz".to_vec(),
        b"\x82\x7F\x00\x00\x00\x00\x00\x00\xFF\xFF".to_vec(),
        b"\x82\x7F\x80\x00\x00\x00\x00\x00\x00\x00".to_vec(),
        b"\x82\x7F\x00\x00\x00\x01\x00\x00\x00\x00".to_vec(),
        b"\x89\x7E\x00\x80".to_vec(),
        b"\x09\x00\x81\x00".to_vec(),
        b"\xC1\x00\x83\x00".to_vec(),
    ];
    for first in [0x81, 0x89, 0x88, 0x02] {
        let mut stream = vec![first, 0x84];
        stream.extend_from_slice(&key);
        stream.extend(b"\x03\xE8ok".iter().zip(key).map(|(byte, key)| byte ^ key));
        stream.extend_from_slice(b"\x80\x80");
        streams.push(stream);
    }
    streams.push([&[0x82, 0xFE, 0x00, 0x05][..], &key].concat());
    streams.push([&[0x89, 0x80][..], &key, &[0x81, 0x80], &key].concat());
    streams
}

#[test]
fn short_streams_cut_in_every_way() {
    for stream in short_streams() {
        assert!(stream.len() <= 13);
        let places = stream.len() - 1;
        let cuttings: Vec<Vec<usize>> = (0..1_u32 << places)
            .map(|cuts| {
                let mut sizes = vec![1];
                for place in 0..places {
                    if cuts >> place & 1 == 1 {
                        sizes.push(1);
                    } else if let Some(last) = sizes.last_mut() {
                        *last += 1;
                    }
                }
                sizes
            })
            .collect();
        assert_invariant(&stream, &cuttings, |_| {});
    }
}

#[test]
fn every_pair_of_first_bytes() {
    for first in 0..=255 {
        for second in 0..=255 {
            let stream = [first, second, 0, 126, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0x88, 0x80, 0];
            for role in [Role::Server, Role::Client] {
                let settings = settings(role, Delivery::Whole);
                let whole = feed(&stream, &[], &settings, Way::Buffer);
                for sizes in [&[1][..], &[1, 100], &[3, 1, 100]] {
                    let pieces = feed(&stream, sizes, &settings, Way::Buffer);
                    assert_eq!(pieces, whole, "{first:02x} {second:02x} {role:?} {sizes:?}");
                }
            }
            for role in [Role::Server, Role::Client] {
                compare_with_tungstenite(&stream, role);
            }
        }
    }
}

#[test]
fn a_large_message_cut_near_the_direct_threshold() {
    let cuttings: Vec<Vec<usize>> =
        [1000, 4095, 4096, 8192, 16_383, 16_384, 16_385, 70_000].map(|n| vec![n]).into();
    for text in [true, false] {
        for len in [16_383, 16_384, 16_385, 16_400, 33_000, 65_536, 270_000] {
            for fragments in [1, 3] {
                let big = Part::Message { text, len, fragments, pings: true, seed: len as u64 };
                let parts = [big, Part::Ping(3, 1), Part::Close(Some(1000), 3)];
                for role in [Role::Server, Role::Client] {
                    let (stream, expected) = write_parts(&parts, role);
                    assert_invariant(&stream, &cuttings, |_| {});
                    let outcome =
                        feed(&stream, &[20, 5000], &settings(role, Delivery::Whole), Way::Direct);
                    assert_eq!(outcome.seen, expected);
                }
            }
        }
    }
}

// ---- tungstenite ----

/// A stream that was received as a whole.
struct Replay<'a>(&'a [u8]);

impl Read for Replay<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Replay<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How tungstenite's view of a stream ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It waits for more.
    Waits,
    Fails,
    Closed,
}

fn tungstenite(stream: &[u8], role: Role) -> (Vec<Seen>, End) {
    use tungstenite::error::{Error, ProtocolError};
    use tungstenite::protocol::{self, WebSocket, WebSocketConfig};
    let role = match role {
        Role::Server => protocol::Role::Server,
        Role::Client => protocol::Role::Client,
    };
    let config =
        WebSocketConfig::default().max_message_size(Some(300_000)).max_frame_size(Some(300_000));
    let mut socket = WebSocket::from_raw_socket(Replay(stream), role, Some(config));
    let mut seen = Vec::new();
    loop {
        match socket.read() {
            Ok(tungstenite::Message::Text(text)) => seen.push(Seen::Text(text.as_bytes().into())),
            Ok(tungstenite::Message::Binary(bytes)) => seen.push(Seen::Binary(bytes.to_vec())),
            Ok(tungstenite::Message::Ping(bytes)) => seen.push(Seen::Ping(bytes.to_vec())),
            Ok(tungstenite::Message::Pong(bytes)) => seen.push(Seen::Pong(bytes.to_vec())),
            Ok(tungstenite::Message::Close(close)) => {
                seen.push(match close {
                    Some(close) => Seen::Close(Some(close.code.into()), close.reason.to_string()),
                    None => Seen::Close(None, String::new()),
                });
                return (seen, End::Closed);
            }
            Ok(tungstenite::Message::Frame(_)) => unreachable!("read gives no raw frames"),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                return (seen, End::Waits);
            }
            Err(_) => return (seen, End::Fails),
        }
    }
}

/// Whether the stream ends inside a frame, by nothing but the lengths in its headers.
fn ends_inside_a_frame(mut stream: &[u8]) -> bool {
    while let [_, second, after @ ..] = stream {
        let size = match second & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(extended) = after.get(..size) else { return true };
        let long = extended.iter().fold(0_u64, |len, byte| len << 8 | u64::from(*byte));
        let len = if size == 0 { u64::from(second & 0x7F) } else { long };
        let key = if second & 0x80 != 0 { 4 } else { 0 };
        let whole = usize::try_from(len).ok().and_then(|len| len.checked_add(size + key));
        match whole.and_then(|whole| after.get(whole..)) {
            Some(rest) => stream = rest,
            None => return true,
        }
    }
    !stream.is_empty()
}

fn compare_with_tungstenite(stream: &[u8], role: Role) {
    let ours = feed(stream, &[], &settings(role, Delivery::Whole), Way::Buffer).seen;
    let (theirs, end) = tungstenite(stream, role);
    let Some((Seen::Error(error), before)) = ours.split_last() else {
        assert_eq!(ours, theirs, "{role:?} {end:?}");
        let is_closed = matches!(ours.last(), Some(Seen::Close(..)));
        assert_eq!(end, if is_closed { End::Closed } else { End::Waits }, "{role:?}");
        return;
    };
    let is_known = match (error, &end) {
        // tungstenite takes lengths in any form (RFC 6455 section 5.2: "the minimal number of
        // bytes MUST be used") and goes on.
        (ProtocolError::Header(HeaderError::LengthNotMinimal), _) => {
            return assert!(theirs.starts_with(before), "{theirs:?} {before:?}");
        }
        // It hands on a Close with a code that may not be sent, under another code.
        (ProtocolError::CloseCode, End::Closed) => {
            return assert_eq!(theirs[..theirs.len() - 1], *before);
        }
        // It does not count fragments.
        (ProtocolError::TooManyFragments, _) => {
            return assert!(theirs.starts_with(before));
        }
        (_, End::Fails) => true,
        // We judge what has come of a frame; tungstenite waits for all of it.
        (_, End::Waits) => ends_inside_a_frame(stream),
        (_, End::Closed) => false,
    };
    assert!(is_known, "{role:?}: {error:?} here, {end:?} there");
    assert_eq!(theirs, before, "{role:?}: {error:?} here, {end:?} there");
}
