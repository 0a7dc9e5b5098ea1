//! permessage-deflate on the loop (RFC 7692): what is agreed, what is sent, and what is refused.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use throng::extension::{self, Deflater, Inflater, Mode};
use throng::net::{Chunk, Config, ConnectionId, Handler, Message, Peers, SharedFrame};
use throng::proto::Delivery;

use crate::Running;
use crate::common::client::{Chunking, each_chunking};
use crate::common::frame::Received;
use crate::common::http::Upgrade;
use crate::common::{Frame, RawClient, each_cut, eventually};

/// Echoes; a text that begins with "all:" goes to everyone.
#[derive(Clone, Default)]
struct Room {
    chunks: Arc<Mutex<Vec<(usize, bool)>>>,
}

impl Handler for Room {
    type Session = ();
    type Mail = ();

    fn message(&mut self, peers: &mut Peers<()>, from: ConnectionId, message: Message<'_>) {
        if message.payload.starts_with(b"as it is:") {
            assert_eq!(peers.send_uncompressed(from, message), Ok(()));
        } else if message.payload.starts_with(b"all:") {
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
    chunking: Chunking,
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
        let chunking = Chunking::Whole;
        (Self { client, deflater, inflater, server_resets, client_resets, chunking }, agreed)
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
        self.send_frame(&Frame::text(deflated).rsv(RSV1));
    }

    fn send_frame(&mut self, frame: &Frame) {
        self.client.send_chunked(&frame.bytes(), self.chunking);
    }

    /// The same, with what it sends cut in this way.
    fn cut(mut self, chunking: Chunking) -> Self {
        self.chunking = chunking;
        self
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

/// Also row 106: what was asked for is echoed.
#[test]
fn row_117_without_takeover_each_message_starts_anew() {
    let server = room(config(Mode::Shared));
    each_chunking(|chunking| {
        let (client, agreed) = Zipped::open(&server, OFFER);
        let mut client = client.cut(chunking);
        assert!(agreed.contains("server_no_context_takeover"), "{agreed}");
        assert!(agreed.contains("client_no_context_takeover"), "{agreed}");
        let text = words(200);
        let first = client.expect_echo(&text);
        assert!(first < text.len() / 2, "{first} of {}", text.len());
        assert_eq!(client.expect_echo(&text), first, "each message begins anew");
        assert_eq!(client.expect_echo("short"), 5, "too short to be worth it");
    });
}

#[test]
fn row_106_server_no_context_takeover_is_echoed_and_kept() {
    each_cut(|| {
        let server = room(config(Mode::Dedicated));
        let offer = "permessage-deflate; server_no_context_takeover";
        let (mut client, agreed) = Zipped::open(&server, offer);
        assert!(agreed.contains("server_no_context_takeover"), "{agreed}");
        assert!(!agreed.contains("client_no_context_takeover"), "{agreed}");
        let text = words(200);
        assert_eq!(client.expect_echo(&text), client.expect_echo(&text));
    });
}

#[test]
fn row_118_contexts_are_kept_as_far_as_the_budget_goes() {
    each_cut(|| {
        let server = room(Config { deflate_budget_bytes: 700 << 10, ..config(Mode::Dedicated) });
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
    });
}

/// RFC 7692 section 7.1.2.1: Autobahn does not notice a server that ignores this.
#[test]
fn row_116_a_window_that_was_agreed_is_kept() {
    each_cut(|| {
        let server = room(config(Mode::Dedicated));
        let (mut client, agreed) =
            Zipped::open(&server, "permessage-deflate; server_max_window_bits=9");
        assert!(agreed.contains("server_max_window_bits=9"), "{agreed}");
        // 600 bytes that do not compress, twice: only over 512 does a window see the first again.
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
    });
}

/// This offer alone is declined and the connection goes on; behind it, the next is taken.
fn is_declined(parameters: &str) {
    let server = room(config(Mode::Shared));
    let bad = format!("permessage-deflate; {parameters}");
    let (mut client, agreed) = Zipped::open(&server, &bad);
    assert_eq!(agreed, "", "{parameters}");
    client.client.send(Frame::text("plain").bytes());
    assert_eq!(client.read().0, "plain");
    let both = format!("{bad}, permessage-deflate; server_max_window_bits=\"10\"");
    let (mut client, agreed) = Zipped::open(&server, &both);
    assert!(agreed.contains("server_max_window_bits=10"), "{parameters}: {agreed}");
    client.expect_echo(&words(20));
}

#[test]
fn row_101_an_unknown_parameter_is_declined() {
    each_cut(|| {
        is_declined("unknown");
        is_declined("server_max_window_bits=10; unknown=1");
    });
}

#[test]
fn row_102_an_invalid_value_is_declined() {
    each_cut(|| {
        for bad in [
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=08",
            "server_max_window_bits=+9",
            "server_max_window_bits",
            "client_max_window_bits=abc",
            "client_no_context_takeover=1",
            "server_no_context_takeover=true",
        ] {
            is_declined(bad);
        }
    });
}

#[test]
fn row_103_a_repeated_parameter_is_declined() {
    each_cut(|| {
        is_declined("server_no_context_takeover; server_no_context_takeover");
        is_declined("client_max_window_bits; client_max_window_bits=10");
    });
}

/// Raw DEFLATE has no window of 2^8 in zlib.
#[test]
fn row_104_what_cannot_be_honoured_is_declined() {
    each_cut(|| {
        is_declined("server_max_window_bits=8");
    });
}

#[test]
fn row_105_all_declined_goes_on_uncompressed() {
    each_cut(|| {
        is_declined("a; b");
        let off = room(config(Mode::Off));
        let (mut client, agreed) = Zipped::open(&off, OFFER);
        assert_eq!(agreed, "");
        client.client.send(Frame::text(words(100)).bytes());
        assert_eq!(client.read().0, words(100));
    });
}

#[test]
fn row_107_server_max_window_bits_is_answered_and_no_larger() {
    each_cut(|| {
        let server = room(config(Mode::Dedicated));
        for bits in 9..=15_u8 {
            let offer = format!("permessage-deflate; server_max_window_bits={bits}");
            let (mut client, agreed) = Zipped::open(&server, &offer);
            let (_, answer) = agreed.split_once("server_max_window_bits=").expect("it is answered");
            assert!((9..=bits).contains(&answer.trim().parse().expect("a number")), "{agreed}");
            client.expect_echo(&words(300));
        }
    });
}

#[test]
fn row_108_client_max_window_bits_only_where_it_was_offered() {
    each_cut(|| {
        let mut config = config(Mode::Dedicated);
        config.deflate.client_max_window_bits = 10;
        let server = room(config);
        let (_, agreed) = Zipped::open(&server, "permessage-deflate");
        assert!(!agreed.contains("client_max_window_bits"), "{agreed}");
        let (mut client, agreed) = Zipped::open(&server, OFFER);
        assert!(agreed.contains("client_max_window_bits=10"), "{agreed}");
        client.expect_echo(&words(300));
        let (_, agreed) = Zipped::open(&server, "permessage-deflate; client_max_window_bits=8");
        assert!(!agreed.contains("client_max_window_bits=8"), "never: {agreed}");
    });
}

/// It is the sender's choice for each message.
#[test]
fn a_message_can_be_sent_as_it_is() {
    let server = room(config(Mode::Dedicated));
    let (mut client, _) = Zipped::open(&server, OFFER);
    let text = words(200);
    let first = client.expect_echo(&text);
    let plain = format!("as it is:{text}");
    assert_eq!(client.expect_echo(&plain), plain.len());
    assert!(client.expect_echo(&text) < first / 4, "the context is as it was");
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
fn row_114_a3_the_limit_is_held_against_what_comes_out() {
    each_cut(|| {
        let mut config = config(Mode::Shared);
        config.settings.message_bytes_max = 1 << 20;
        let server = room(config);
        for (len, code) in [(1 << 20, None), ((1 << 20) + 1, Some(1009)), (64 << 20, Some(1009))] {
            let (mut client, _) = Zipped::open(&server, OFFER);
            let bomb = client.deflate(&vec![b'x'; len]);
            client.send_frame(&Frame::binary(bomb).rsv(RSV1));
            match code {
                None => assert_eq!(client.read().0.len(), len),
                Some(code) => client.client.expect_close(code),
            }
        }
    });
}

/// These frames, on a connection with permessage-deflate, fail it.
fn is_a_protocol_error(frames: &[Frame]) {
    let server = room(config(Mode::Shared));
    each_chunking(|chunking| {
        let mut client = Zipped::open(&server, OFFER).0.cut(chunking);
        for frame in frames {
            client.send_frame(frame);
        }
        client.client.expect_close(1002);
    });
}

/// A9: RSV1 without an agreement.
#[test]
fn a9_rsv1_means_nothing_where_nothing_was_agreed() {
    let server = room(config(Mode::Shared));
    let mut plain = server.open("/");
    plain.send(Frame::text("x").rsv(RSV1).bytes());
    plain.expect_close(1002);
}

#[test]
fn row_050_rsv2_and_rsv3_fail_also_with_deflate() {
    for bits in [1, 2, 3, RSV1 | 1, RSV1 | 2] {
        is_a_protocol_error(&[Frame::text("x").rsv(bits)]);
    }
}

#[test]
fn row_111_rsv1_on_a_control_frame_fails() {
    is_a_protocol_error(&[Frame::ping("p").rsv(RSV1)]);
    is_a_protocol_error(&[Frame::close(1000, "").rsv(RSV1)]);
}

#[test]
fn row_112_rsv1_on_a_continuation_fails() {
    is_a_protocol_error(&[Frame::text("x").unfinished(), Frame::continuation("y").rsv(RSV1)]);
}

/// A11: what is no DEFLATE, or only the beginning of some, fails, and nobody else hears of it.
#[test]
fn row_120_a11_malformed_and_truncated_messages_fail_alone() {
    each_cut(|| {
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
            client.send_frame(&Frame::text(bytes).rsv(RSV1));
            client.client.expect_close(1007);
            other.expect_echo(&text);
        }
    });
}

/// RFC 7692 section 7.2.3: stored and final blocks, and an empty message.
#[test]
fn row_119_every_kind_of_block_is_taken() {
    let server = room(config(Mode::Dedicated));
    each_chunking(|chunking| {
        let mut client = Zipped::open(&server, OFFER).0.cut(chunking);
        let stored = [0x00, 0x05, 0x00, 0xFA, 0xFF, b'H', b'e', b'l', b'l', b'o', 0x00];
        let last = [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00];
        let two = [0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00];
        for bytes in [&stored[..], &last, &two] {
            client.send_frame(&Frame::text(bytes).rsv(RSV1));
            assert_eq!(client.read().0, "Hello");
        }
        client.send_frame(&Frame::text([0x00]).rsv(RSV1));
        assert_eq!(client.read().0, "");
    });
}

#[test]
fn row_113_a_plain_message_leaves_the_window_alone() {
    let server = room(config(Mode::Dedicated));
    each_chunking(|chunking| {
        let mut client = Zipped::open(&server, OFFER).0.cut(chunking);
        let text = words(200);
        let first = client.expect_echo(&text);
        client.send_frame(&Frame::text("plain"));
        assert_eq!(client.read().0, "plain");
        assert!(client.expect_echo(&text) < first / 4, "it refers to what came before");
    });
}

/// The tail is left out at the end of the message, not of each fragment; and a message in fragments
/// leaves its context to the next.
#[test]
fn row_115_a_message_in_fragments_has_one_tail() {
    let server = room(config(Mode::Dedicated));
    each_chunking(|chunking| {
        let mut client = Zipped::open(&server, OFFER).0.cut(chunking);
        for round in 0..3 {
            let text = words(300 + round);
            let bytes = client.deflate(text.as_bytes());
            let (front, back) = bytes.split_at(bytes.len() / 3);
            client.send_frame(&Frame::text(front).rsv(RSV1).unfinished());
            client.send_frame(&Frame::ping("between"));
            assert_eq!(client.client.read_frame().payload, b"between");
            client.send_frame(&Frame::continuation("").unfinished());
            client.send_frame(&Frame::continuation(back));
            assert_eq!(client.read().0, text);
        }
    });
}

#[test]
fn row_114_bad_utf8_is_found_before_the_message_ends() {
    each_cut(|| {
        let server = room(config(Mode::Shared));
        let (mut client, _) = Zipped::open(&server, OFFER);
        let bytes = client.deflate(b"good \xFF bad");
        client.send_frame(&Frame::text(bytes).rsv(RSV1).unfinished());
        client.client.expect_close(1007);
    });
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
        client.send_frame(&Frame::binary(bytes).rsv(RSV1));
        eventually("the last chunk", 5.0, || {
            chunks.lock().expect("no test panics with it").last().is_some_and(|chunk| chunk.1)
        });
        let pieces = std::mem::take(&mut *chunks.lock().expect("no test panics with it"));
        assert_eq!(pieces.iter().map(|chunk| chunk.0).sum::<usize>(), len);
        assert!(pieces.iter().all(|chunk| chunk.0 <= 64 << 10), "no more than a piece at a time");
        assert_eq!(pieces.iter().filter(|chunk| chunk.1).count(), 1);
    }
}
