//! One message of 128 bytes to a thousand peers, whose sockets take everything at once.
//!
//! throng runs its real loop over memory: a turn, from the sender's bytes to a write for each peer.
//! The others have no loop, so a program's own is written around them: the payload shared, where
//! they let it be.

#[path = "../../instructions/src/memory.rs"]
#[allow(dead_code)] // it echoes, too
mod memory;

use std::hint::black_box;
use std::io::Write;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use memory::{Answer, Loop};
use throng::proto::{Message, MessageKind, SharedFrame};
use throng_beside::{REQUEST, Wire, json, masked};
use tungstenite::protocol::{Role, WebSocket};

const PEERS: usize = 1_000;
const LEN: usize = 128;

fn build(criterion: &mut Criterion) {
    let payload = json(LEN);
    criterion.bench_function("broadcast/build/throng", |bencher| {
        bencher.iter(|| SharedFrame::new(Message::text(black_box(&payload))));
    });
    criterion.bench_function("broadcast/build/sockudo-ws", |bencher| {
        bencher.iter(|| {
            let (mut buffer, opcode) = (BytesMut::with_capacity(LEN + 4), sockudo_ws::OpCode::Text);
            let payload = black_box(payload.as_bytes());
            sockudo_ws::frame::encode_frame(&mut buffer, opcode, payload, true, None);
            buffer.freeze()
        });
    });
}

fn sends(criterion: &mut Criterion) {
    let payload = json(LEN);
    let mut group = criterion.benchmark_group("broadcast/sends");
    group.throughput(Throughput::Elements(PEERS as u64));
    let plain = std::str::from_utf8(REQUEST).expect("ASCII").split_inclusive("\r\n");
    let plain: String = plain.filter(|line| !line.contains("Extensions")).collect();
    let request: Rc<[u8]> = plain.into_bytes().into();
    let wire: Rc<[u8]> = masked(MessageKind::Text, payload.as_bytes(), 1).into();
    let mut event_loop = Loop::new(Answer::Broadcast, PEERS);
    event_loop.connect(PEERS, &request);
    group.bench_function("throng", |bencher| {
        bencher.iter(|| assert_eq!(event_loop.receive(&wire), PEERS * (wire.len() - 4)));
    });
    let socket = || WebSocket::from_raw_socket(Wire::new(Vec::new()), Role::Server, None);
    let mut sockets: Vec<_> = std::iter::repeat_with(socket).take(PEERS).collect();
    group.bench_function("tungstenite", |bencher| {
        bencher.iter(|| {
            let message = tungstenite::Message::text(black_box(payload.as_str()));
            for socket in &mut sockets {
                socket.send(message.clone()).expect("memory");
            }
        });
    });
    drop(sockets);
    let mut wires: Vec<_> = (0..PEERS).map(|_| Wire::new(Vec::new())).collect();
    group.bench_function("bytes-by-hand", |bencher| {
        bencher.iter(|| {
            let (mut buffer, opcode) = (BytesMut::new(), sockudo_ws::OpCode::Text);
            let payload = black_box(payload.as_bytes());
            sockudo_ws::frame::encode_frame(&mut buffer, opcode, payload, true, None);
            let frame: Bytes = buffer.freeze();
            for wire in &mut wires {
                let frame = black_box(frame.clone());
                assert_eq!(wire.write(&frame).expect("memory"), LEN + 4);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, build, sends);
criterion_main!(benches);
