//! permessage-deflate on the loop (RFC 7692): what is agreed, what is sent, and what is refused.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use throng::extension::{self, Deflater, Inflater, Mode};
use throng::net::{Chunk, Config, ConnectionId, Handler, Message, Peers, SharedFrame};
use throng::proto::Delivery;

use crate::Running;
use crate::common::frame::Received;
use crate::common::http::Upgrade;
use crate::common::{Frame, RawClient, eventually};

/// Echoes; a text that begins with "all:" goes to everyone.
#[derive(Clone, Default)]
struct Room {
    chunks: Arc<Mutex<Vec<(usize, bool)>>>,
}

impl Handler for Room {
    type Session = ();
    type Mail = ();

    fn message(&mut self, peers: &mut Peers<()>, from: ConnectionId, message: Message<'_>) {
        if message.payload.starts_with(b"all:") {
            let all: Vec<_> = peers.ids().collect();
            assert_eq!(peers.broadcast(all.iter().copied(), &SharedFrame::new(message)), all.len());
        } else {
            assert_eq!(peers.send(from, message), Ok(()));
        }
    }

    fn chunk(&mut self, _: &mut Peers<()>, _: ConnectionId, chunk: Chunk<'_>) {
        let mut chunks = self.chunks.lock().expect("no test panics with it");
        chunks.push((chunk.payload.len(), chunk.last));
    }
}

fn config(mode: Mode) -> Config {
    Config { deflate: extension::Config::new(mode), ..Config::default() }
}

fn room(config: Config) -> Running {
    let room = Room::default();
    Running::start(config, 1, move |_, _| room.clone())
}

/// A client that speaks permessage-deflate with contexts of its own.
struct Zipped {
    client: RawClient,
    deflater: Deflater,
    inflater: Inflater,
    /// Whether each side starts every message anew.
    server_resets: bool,
    client_resets: bool,
}

impl Zipped {
    fn open(server: &Running, offer: &str) -> (Self, String) {
        let mut client = server.client();
        client.send(Upgrade::new("/").header("Sec-WebSocket-Extensions", offer).bytes());
        let answer = client.expect_upgrade();
        let agreed = answer.only("sec-websocket-extensions").unwrap_or_default().to_owned();
        let bits = match agreed.split_once("client_max_window_bits=") {
            Some((_, bits)) => {
                bits.split(';').next().expect("a part").trim().parse().expect("bits")
            }
            None => 15,
        };
        let deflater = Deflater::new(&extension::Config::new(Mode::Dedicated), bits);
        let server_resets = agreed.contains("server_no_context_takeover");
        let client_resets = agreed.contains("client_no_context_takeover");
        let inflater = Inflater::new();
        (Self { client, deflater, inflater, server_resets, client_resets }, agreed)
    }

    fn deflate(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.deflater.deflate(payload, &mut out, false);
        if self.client_resets {
            self.deflater.reset();
        }
        out
    }

    fn send(&mut self, payload: &str) {
        let deflated = self.deflate(payload.as_bytes());
        self.client.send(Frame::text(deflated).rsv(RSV1).bytes());
    }

    /// The next message, inflated, and how long it was on the wire.
    fn read(&mut self) -> (String, usize) {
        let frame = self.client.read_frame_raw(Duration::from_secs(5));
        let text = if frame.rsv & RSV1 == 0 { frame.payload.clone() } else { self.inflate(&frame) };
        (String::from_utf8(text).expect("text"), frame.payload.len())
    }

    fn inflate(&mut self, frame: &Received) -> Vec<u8> {
        let (mut out, mut input, mut room) = (Vec::new(), &frame.payload[..], [0; 1024]);
        loop {
            let n = self.inflater.step(&mut input, &mut room).expect("sound DEFLATE");
            out.extend_from_slice(&room[..n]);
            if n < room.len() {
                break;
            }
        }
        self.inflater.finish().expect("a whole message");
        if self.server_resets {
            self.inflater.reset();
        }
        out
    }

    fn expect_echo(&mut self, text: &str) -> usize {
        self.send(text);
        let (got, len) = self.read();
        assert_eq!(got, text);
        len
    }
}

/// As the frame builder counts them.
const RSV1: u8 = 4;

const OFFER: &str = "permessage-deflate; client_max_window_bits";

fn words(n: usize) -> String {
    (0..n).map(|i| format!("word{} ", i * 7919 % 1000)).collect()
}

#[test]
fn shared_keeps_no_context_on_either_side() {
    let server = room(config(Mode::Shared));
    let (mut client, agreed) = Zipped::open(&server, OFFER);
    assert!(agreed.contains("server_no_context_takeover"), "{agreed}");
    assert!(agreed.contains("client_no_context_takeover"), "{agreed}");
    let text = words(200);
    let first = client.expect_echo(&text);
    assert!(first < text.len() / 2, "{first} of {}", text.len());
    assert_eq!(client.expect_echo(&text), first, "each message begins anew");
    assert_eq!(client.expect_echo("short"), 5, "too short to be worth it");
}

#[test]
fn dedicated_keeps_both_contexts_as_far_as_the_budget_goes() {
    let server = room(Config { deflate_budget_bytes: 400 << 10, ..config(Mode::Dedicated) });
    let (mut rich, agreed) = Zipped::open(&server, OFFER);
    assert!(!agreed.contains("no_context_takeover"), "{agreed}");
    let text = words(200);
    let first = rich.expect_echo(&text);
    let second = rich.expect_echo(&text);
    assert!(second < first / 4, "{second} after {first}: it refers to what came before");
    let (mut also, _) = Zipped::open(&server, OFFER);
    also.expect_echo(&text);
    let (_poor, agreed) = Zipped::open(&server, OFFER);
    assert!(agreed.contains("server_no_context_takeover"), "the budget is spent: {agreed}");
    rich.client.reset();
    let mut agreed = String::new();
    eventually("its place is free again", 5.0, || {
        agreed = Zipped::open(&server, OFFER).1;
        !agreed.contains("no_context_takeover")
    });
}

/// RFC 7692 section 7.1.2.1: Autobahn does not notice a server that ignores this.
#[test]
fn a_window_that_was_agreed_is_kept() {
    let server = room(config(Mode::Dedicated));
    let (mut client, agreed) =
        Zipped::open(&server, "permessage-deflate; server_max_window_bits=9");
    assert!(agreed.contains("server_max_window_bits=9"), "{agreed}");
    // 600 bytes that do not compress, twice: only a window over 512 sees the second in the first.
    let mut state = 1_u32;
    let noise: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(33 + (state >> 24) as u8 % 94)
    })
    .take(600)
    .collect();
    let once = client.expect_echo(&noise);
    let twice = client.expect_echo(&format!("{noise}{noise}"));
    assert!(twice > once * 17 / 10, "{twice} for twice, {once} for once");
    let (mut wide, _) = Zipped::open(&server, OFFER);
    let wide = wide.expect_echo(&format!("{noise}{noise}"));
    assert!(wide < twice * 7 / 10, "{wide} with a window of 2^15");
}

#[test]
fn odd_offers_are_declined_and_the_next_is_taken() {
    let server = room(config(Mode::Shared));
    for bad in [
        "; unknown",
        "; server_max_window_bits=8",
        "; server_max_window_bits=08",
        "; server_max_window_bits",
        "; client_no_context_takeover=1",
        "; server_no_context_takeover; server_no_context_takeover",
    ] {
        let (_, agreed) = Zipped::open(&server, &format!("permessage-deflate{bad}"));
        assert_eq!(agreed, "", "{bad}");
        let both =
            format!("permessage-deflate{bad}, permessage-deflate; server_max_window_bits=\"10\"");
        let (mut client, agreed) = Zipped::open(&server, &both);
        assert!(agreed.contains("server_max_window_bits=10"), "{bad}: {agreed}");
        assert!(!agreed.contains("client_max_window_bits"), "not offered: {agreed}");
        client.expect_echo(&words(20));
    }
    let off = room(config(Mode::Off));
    assert_eq!(Zipped::open(&off, OFFER).1, "");
}

/// One broadcast, deflated once for each class, is right for every member: plain, with windows of
/// two sizes, and with contexts of their own that go on after it.
#[test]
fn a_broadcast_suits_every_member() {
    let server = room(config(Mode::Dedicated));
    let mut plain = server.open("/");
    let offers = [
        OFFER,
        "permessage-deflate; server_max_window_bits=9",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; server_max_window_bits=9; server_no_context_takeover",
        OFFER,
    ];
    let mut clients = offers.map(|offer| Zipped::open(&server, offer).0);
    for round in 0..4 {
        // Once small enough to be copied into the arena, once not; in between, words of their own.
        for len in [100, 3_000] {
            let text = format!("all:{round} {}", words(len));
            clients[round].send(&text);
            assert_eq!(plain.read_text(), text);
            for client in &mut clients {
                assert_eq!(client.read().0, text);
            }
            for client in &mut clients {
                client.expect_echo(&words(50 + round));
            }
        }
    }
}

/// A3: a thousand to one. Never more than the limit and a piece is held.
#[test]
fn a3_a_bomb_is_refused_while_it_is_inflated() {
    let mut config = config(Mode::Shared);
    config.settings.message_bytes_max = 1 << 20;
    let server = room(config);
    for (len, code) in [(1 << 20, None), ((1 << 20) + 1, Some(1009)), (64 << 20, Some(1009))] {
        let (mut client, _) = Zipped::open(&server, OFFER);
        let bomb = client.deflate(&vec![b'x'; len]);
        client.client.send(Frame::binary(bomb).rsv(RSV1).bytes());
        match code {
            None => assert_eq!(client.read().0.len(), len),
            Some(code) => client.client.expect_close(code),
        }
    }
}

/// A9: RSV1 means something only where that was agreed, and only at the start of a message.
#[test]
fn a9_rsv1_without_its_reason_fails() {
    let server = room(config(Mode::Shared));
    let mut plain = server.open("/");
    plain.send(Frame::text("x").rsv(RSV1).bytes());
    plain.expect_close(1002);
    let cases = [
        vec![Frame::ping("p").rsv(RSV1)],
        vec![Frame::text("x").unfinished(), Frame::continuation("y").rsv(RSV1)],
        vec![Frame::text("x").rsv(2)],
        vec![Frame::text("x").rsv(RSV1 | 1)],
    ];
    for frames in cases {
        let (mut client, _) = Zipped::open(&server, OFFER);
        for frame in frames {
            client.client.send(frame.bytes());
        }
        client.client.expect_close(1002);
    }
}

/// A11: what is no DEFLATE, or only the beginning of some, fails, and nobody else hears of it.
#[test]
fn a11_malformed_and_truncated_messages_fail_alone() {
    let server = room(config(Mode::Shared));
    let (mut other, _) = Zipped::open(&server, OFFER);
    let text = words(100);
    for cut in 0..3 {
        let (mut client, _) = Zipped::open(&server, OFFER);
        let mut bytes = client.deflate(text.as_bytes());
        match cut {
            0 => bytes.truncate(bytes.len() / 2),
            1 => bytes = vec![0x07; 20],
            _ => bytes = b"plain text".to_vec(),
        }
        client.client.send(Frame::text(bytes).rsv(RSV1).bytes());
        client.client.expect_close(1007);
        other.expect_echo(&text);
    }
}

/// RFC 7692 section 7.2.3: stored and final blocks, a message in fragments, an empty one, and
/// messages that are not compressed in between.
#[test]
fn every_kind_of_block_and_fragment_is_taken() {
    let server = room(config(Mode::Dedicated));
    let (mut client, _) = Zipped::open(&server, OFFER);
    let stored = [0x00, 0x05, 0x00, 0xFA, 0xFF, b'H', b'e', b'l', b'l', b'o', 0x00];
    let last = [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00];
    for bytes in [&stored[..], &last] {
        client.client.send(Frame::text(bytes).rsv(RSV1).bytes());
        assert_eq!(client.read().0, "Hello");
        client.client.send(Frame::text("plain").bytes());
        assert_eq!(client.read().0, "plain");
    }
    client.client.send(Frame::text([0x00]).rsv(RSV1).bytes());
    assert_eq!(client.read().0, "");
    let text = words(300);
    let bytes = client.deflate(text.as_bytes());
    let (front, back) = bytes.split_at(bytes.len() / 3);
    client.client.send(Frame::text(front).rsv(RSV1).unfinished().bytes());
    client.client.send(Frame::ping("between").bytes());
    assert_eq!(client.client.read_frame().payload, b"between");
    client.client.send(Frame::continuation("").unfinished().bytes());
    client.client.send(Frame::continuation(back).bytes());
    assert_eq!(client.read().0, text);
}

#[test]
fn bad_utf8_is_found_before_the_message_ends() {
    let server = room(config(Mode::Shared));
    let (mut client, _) = Zipped::open(&server, OFFER);
    let bytes = client.deflate(b"good \xFF bad");
    client.client.send(Frame::text(bytes).rsv(RSV1).unfinished().bytes());
    client.client.expect_close(1007);
}

#[test]
fn chunks_come_inflated() {
    let mut config = config(Mode::Shared);
    config.settings.delivery = Delivery::Chunks;
    let room = Room::default();
    let chunks = Arc::clone(&room.chunks);
    let server = Running::start(config, 1, move |_, _| room.clone());
    let (mut client, _) = Zipped::open(&server, OFFER);
    for len in [0, 10, 1_000_000] {
        let bytes = client.deflate(&vec![7; len]);
        client.client.send(Frame::binary(bytes).rsv(RSV1).bytes());
        eventually("the last chunk", 5.0, || {
            chunks.lock().expect("no test panics with it").last().is_some_and(|chunk| chunk.1)
        });
        let pieces = std::mem::take(&mut *chunks.lock().expect("no test panics with it"));
        assert_eq!(pieces.iter().map(|chunk| chunk.0).sum::<usize>(), len);
        assert!(pieces.iter().all(|chunk| chunk.0 <= 64 << 10), "no more than a piece at a time");
        assert_eq!(pieces.iter().filter(|chunk| chunk.1).count(), 1);
    }
}
