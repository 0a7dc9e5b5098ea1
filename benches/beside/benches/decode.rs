//! Bytes to messages, server role: header, unmasking, and UTF-8 where a crate checks it.
//!
//! All are given the wire through a copy, as a read from a socket would be. Soketto leaves UTF-8 to
//! its user, so the standard library's check is added where it gives out text.

use std::hint::black_box;
use std::io::Read;

use bytes::BytesMut;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use criterion::{criterion_group, criterion_main};
use fastwebsockets::{FragmentCollector, Role as FastRole, WebSocket as FastWebSocket};
use sockudo_ws::protocol::{Message as SockudoMessage, Protocol};
use throng::proto::{Event, Events, Inbound, MessageKind, Role, Settings, Spare};
use throng_beside::{Wire, json, masked, now};
use tokio_util::codec::Decoder;
use tungstenite::protocol::{Role as TungsteniteRole, WebSocket};

/// What one read brings at most, as in throng's loop.
const RECEIVE_BYTES: usize = 256 << 10;

const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Messages of so many bytes, so many of them in one read.
const SHAPES: [(&str, usize, usize); 5] = [
    ("32x32", 32, 32),
    ("125", 125, 1),
    ("1KiB", 1 << 10, 1),
    ("16KiB", 16 << 10, 1),
    ("1MiB", 1 << 20, 1),
];

struct Shape {
    name: &'static str,
    kind: MessageKind,
    bytes: Vec<u8>,
    count: usize,
    total: usize,
}

/// One connection's read half with what its loop owns.
struct Throng {
    inbound: Inbound,
    settings: Settings,
    spare: Spare,
    buffer: Vec<u8>,
}

impl Throng {
    fn new() -> Self {
        let (inbound, settings) = (Inbound::new(), Settings::new(Role::Server));
        Self { inbound, settings, spare: Spare::default(), buffer: vec![0; RECEIVE_BYTES] }
    }

    /// Reads until so many bytes of messages have come, as the event loop does.
    fn take(&mut self, wire: &mut Wire, total: usize) {
        let Self { inbound, settings, spare, buffer } = self;
        let mut bytes = 0;
        while bytes < total {
            bytes += if let Some(room) = inbound.direct(settings) {
                let len = wire.read(room).expect("memory");
                count(inbound.receive_direct(settings, spare, len))
            } else {
                let len = wire.read(buffer).expect("memory");
                count(inbound.receive(settings, spare, &mut buffer[..len]))
            };
        }
        assert_eq!(bytes, total);
    }
}

fn count(mut events: Events<'_>) -> usize {
    let mut bytes = 0;
    while let Some(event) = events.next() {
        if let Ok(Event::Message(message)) = event {
            bytes += black_box(message.payload).len();
        }
    }
    bytes
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn throng(group: &mut Group<'_>, shape: &Shape) {
    let (mut throng, mut wire) = (Throng::new(), Wire::new(shape.bytes.clone()));
    group.bench_function(BenchmarkId::new("throng", shape.name), |bencher| {
        bencher.iter(|| throng.take(&mut wire, shape.total));
    });
}

fn tungstenite(group: &mut Group<'_>, shape: &Shape) {
    let wire = Wire::new(shape.bytes.clone());
    let mut socket = WebSocket::from_raw_socket(wire, TungsteniteRole::Server, None);
    group.bench_function(BenchmarkId::new("tungstenite", shape.name), |bencher| {
        bencher.iter(|| {
            let mut bytes = 0;
            for _ in 0..shape.count {
                bytes += black_box(socket.read().expect("a message")).len();
            }
            assert_eq!(bytes, shape.total);
        });
    });
}

fn fastwebsockets(group: &mut Group<'_>, shape: &Shape) {
    let wire = Wire::new(shape.bytes.clone());
    let mut socket = FastWebSocket::after_handshake(wire, FastRole::Server);
    socket.set_auto_apply_mask(true);
    let mut socket = FragmentCollector::new(socket);
    group.bench_function(BenchmarkId::new("fastwebsockets", shape.name), |bencher| {
        bencher.iter(|| {
            let mut bytes = 0;
            for _ in 0..shape.count {
                let frame = now(socket.read_frame()).expect("a message");
                bytes += black_box(frame).payload.len();
            }
            assert_eq!(bytes, shape.total);
        });
    });
}

fn soketto(group: &mut Group<'_>, shape: &Shape) {
    let wire = Wire::new(shape.bytes.clone());
    let socket = soketto::connection::Builder::new(wire, soketto::Mode::Server);
    let (_sender, mut receiver) = socket.finish();
    let mut message = Vec::new();
    group.bench_function(BenchmarkId::new("soketto", shape.name), |bencher| {
        bencher.iter(|| {
            let mut bytes = 0;
            for _ in 0..shape.count {
                message.clear();
                let data = now(receiver.receive_data(&mut message)).expect("a message");
                assert!(!data.is_text() || std::str::from_utf8(&message).is_ok());
                bytes += black_box(&message).len();
            }
            assert_eq!(bytes, shape.total);
        });
    });
}

fn sockudo(group: &mut Group<'_>, shape: &Shape) {
    let mut wire = Wire::new(shape.bytes.clone());
    let mut protocol =
        Protocol::new(sockudo_ws::Role::Server, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX);
    let (mut buffer, mut messages) = (BytesMut::with_capacity(RECEIVE_BYTES), Vec::new());
    group.bench_function(BenchmarkId::new("sockudo-ws", shape.name), |bencher| {
        bencher.iter(|| {
            messages.clear();
            while messages.len() < shape.count {
                buffer.extend_from_slice(wire.next(RECEIVE_BYTES));
                protocol.process_into(&mut buffer, &mut messages).expect("messages");
            }
            let bytes: usize = messages.iter().map(SockudoMessage::as_bytes).map(<[u8]>::len).sum();
            assert_eq!(black_box(bytes), shape.total);
        });
    });
}

fn websocket_codec(group: &mut Group<'_>, shape: &Shape) {
    let mut wire = Wire::new(shape.bytes.clone());
    let mut codec = websocket_codec::MessageCodec::server();
    let mut buffer = BytesMut::with_capacity(RECEIVE_BYTES);
    group.bench_function(BenchmarkId::new("websocket-codec", shape.name), |bencher| {
        bencher.iter(|| {
            let mut bytes = 0;
            while bytes < shape.total {
                buffer.extend_from_slice(wire.next(RECEIVE_BYTES));
                while let Some(message) = codec.decode(&mut buffer).expect("messages") {
                    bytes += black_box(message).data().len();
                }
            }
            assert_eq!(bytes, shape.total);
        });
    });
}

fn decode(criterion: &mut Criterion) {
    for (words, kind) in [("text", MessageKind::Text), ("binary", MessageKind::Binary)] {
        let mut group = criterion.benchmark_group(format!("decode/{words}"));
        for (name, len, count) in SHAPES {
            let bytes = masked(kind, json(len).as_bytes(), count);
            let shape = Shape { name, kind, bytes, count, total: len * count };
            assert_eq!(shape.kind == MessageKind::Text, shape.bytes[0] == 0x81);
            group.throughput(Throughput::Bytes(shape.total as u64));
            throng(&mut group, &shape);
            tungstenite(&mut group, &shape);
            fastwebsockets(&mut group, &shape);
            soketto(&mut group, &shape);
            sockudo(&mut group, &shape);
            websocket_codec(&mut group, &shape);
        }
        group.finish();
    }
}

criterion_group!(benches, decode);
criterion_main!(benches);
