//! Messages to bytes, server role: the frame, header and payload, in one buffer.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fastwebsockets::Payload;
use throng::proto::{Message, Outbound};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for len in [32, 1 << 10, 16 << 10] {
        let payload = vec![b'x'; len];
        group.throughput(Throughput::Bytes(len as u64));
        let (outbound, mut out) = (Outbound::new(), Vec::with_capacity(len + 16));
        group.bench_function(BenchmarkId::new("throng", len), |bencher| {
            bencher.iter(|| {
                out.clear();
                outbound.send(Message::binary(black_box(&payload)), None, black_box(&mut out))
            });
        });
        let shared = Bytes::from(payload.clone());
        group.bench_function(BenchmarkId::new("tungstenite", len), |bencher| {
            bencher.iter(|| {
                out.clear();
                let opcode = OpCode::Data(Data::Binary);
                let frame = Frame::message(black_box(&shared).clone(), opcode, true);
                frame.format(black_box(&mut out))
            });
        });
        let mut buffer = Vec::with_capacity(len + 16);
        group.bench_function(BenchmarkId::new("fastwebsockets", len), |bencher| {
            bencher.iter(|| {
                let payload = Payload::Borrowed(black_box(&payload));
                black_box(fastwebsockets::Frame::binary(payload).write(&mut buffer));
            });
        });
        let mut buffer = BytesMut::with_capacity(len + 16);
        group.bench_function(BenchmarkId::new("sockudo-ws", len), |bencher| {
            bencher.iter(|| {
                buffer.clear();
                let (opcode, payload) = (sockudo_ws::OpCode::Binary, black_box(&payload));
                sockudo_ws::frame::encode_frame(&mut buffer, opcode, payload, true, None);
                black_box(&buffer);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
