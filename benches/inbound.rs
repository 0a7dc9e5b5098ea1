//! Bytes to messages, server role, beside tungstenite.
//!
//! Both are given the wire through a copy, as a read from a socket would be, and count the bytes
//! of the messages that they lend (throng) or give away (tungstenite).

use std::hint::black_box;
use std::io::{self, Read, Write};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use throng::proto::{Event, Events, Inbound, Message, Outbound, Role, Settings, Spare};
use tungstenite::protocol::{Role as TheirRole, WebSocket};

/// As in `net`: what one read brings at most.
const RECEIVE_BYTES: usize = 256 << 10;

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// The bytes on the wire, read from the start again each time.
struct Wire {
    bytes: Vec<u8>,
    at: usize,
}

impl Wire {
    fn of(len: usize, count: usize, text: bool) -> Self {
        let payload = "{\"type\":\"text\"} ".repeat(len / 16);
        let message =
            if text { Message::text(&payload) } else { Message::binary(payload.as_bytes()) };
        let mut bytes = Vec::new();
        for _ in 0..count {
            let sent = Outbound::new().send(message, Some(KEY), &mut bytes);
            sent.expect("an open connection");
        }
        Self { bytes, at: 0 }
    }
}

impl Read for Wire {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let len = room.len().min(self.bytes.len() - self.at);
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        room[..len].copy_from_slice(&self.bytes[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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

    /// Reads until there is nothing more, as the event loop does.
    fn drain(&mut self, wire: &mut Wire) -> usize {
        let Self { inbound, settings, spare, buffer } = self;
        let mut bytes = 0;
        loop {
            if let Some(room) = inbound.direct(settings) {
                let Ok(len) = wire.read(room) else { return bytes };
                bytes += count(inbound.receive_direct(settings, spare, len));
            } else {
                let Ok(len) = wire.read(buffer) else { return bytes };
                bytes += count(inbound.receive(settings, spare, &mut buffer[..len]));
            }
        }
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

fn drain_tungstenite(socket: &mut WebSocket<Wire>) -> usize {
    let mut bytes = 0;
    socket.get_mut().at = 0;
    while let Ok(message) = socket.read() {
        bytes += black_box(message).len();
    }
    bytes
}

fn inbound(criterion: &mut Criterion) {
    for (kind, text) in [("text", true), ("binary", false)] {
        let mut group = criterion.benchmark_group(format!("inbound/{kind}"));
        for (name, len, messages) in
            [("32x32", 32, 32), ("1KiB", 1 << 10, 1), ("16KiB", 16 << 10, 1), ("1MiB", 1 << 20, 1)]
        {
            let total = len * messages;
            group.throughput(Throughput::Bytes(total as u64));
            let (mut throng, mut wire) = (Throng::new(), Wire::of(len, messages, text));
            group.bench_function(BenchmarkId::new("throng", name), |bencher| {
                bencher.iter(|| {
                    wire.at = 0;
                    assert_eq!(throng.drain(&mut wire), total);
                });
            });
            let wire = Wire::of(len, messages, text);
            let mut socket = WebSocket::from_raw_socket(wire, TheirRole::Server, None);
            group.bench_function(BenchmarkId::new("tungstenite", name), |bencher| {
                bencher.iter(|| assert_eq!(drain_tungstenite(&mut socket), total));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, inbound);
criterion_main!(benches);
