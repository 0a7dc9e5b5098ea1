//! A thousand headers of each length, masked and not, decoded and encoded.

use std::hint::black_box;
use std::io::Cursor;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use soketto::Parsing;
use throng::frame::{Decoded, HEADER_LEN_MAX, Header, Opcode};
use throng_beside::KEY;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

const HEADERS: usize = 1_000;

fn headers() -> impl Iterator<Item = Header> {
    (0..HEADERS).map(|index| Header {
        fin: true,
        rsv: 0,
        opcode: Opcode::Binary,
        mask: (index % 8 < 4).then_some(KEY),
        payload_len: [32, 125, 1 << 10, 70_000][index % 4],
    })
}

fn decode(criterion: &mut Criterion) {
    let mut wire = Vec::new();
    for header in headers() {
        let mut bytes = [0; HEADER_LEN_MAX];
        let len = header.encode(&mut bytes);
        wire.extend_from_slice(&bytes[..len]);
    }
    let mut group = criterion.benchmark_group("header/decode");
    group.throughput(Throughput::Elements(HEADERS as u64));
    group.bench_function("throng", |bencher| {
        bencher.iter(|| {
            let (mut rest, mut count) = (black_box(&wire[..]), 0);
            while let Ok(Decoded::Whole(header, len)) = Header::decode(rest) {
                black_box(header);
                (rest, count) = (&rest[len..], count + 1);
            }
            assert_eq!(count, HEADERS);
        });
    });
    group.bench_function("tungstenite", |bencher| {
        bencher.iter(|| {
            let (mut cursor, mut count) = (Cursor::new(black_box(&wire)), 0);
            while let Ok(Some(header)) = FrameHeader::parse(&mut cursor) {
                black_box(header);
                count += 1;
            }
            assert_eq!(count, HEADERS);
        });
    });
    let codec = soketto::base::Codec::new();
    group.bench_function("soketto", |bencher| {
        bencher.iter(|| {
            let (mut rest, mut count) = (black_box(&wire[..]), 0);
            while let Ok(Parsing::Done { value, offset }) = codec.decode_header(rest) {
                black_box(value);
                (rest, count) = (&rest[offset..], count + 1);
            }
            assert_eq!(count, HEADERS);
        });
    });
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let ours: Vec<Header> = headers().collect();
    let mut group = criterion.benchmark_group("header/encode");
    group.throughput(Throughput::Elements(HEADERS as u64));
    let mut out = Vec::with_capacity(HEADERS * HEADER_LEN_MAX);
    group.bench_function("throng", |bencher| {
        bencher.iter(|| {
            out.clear();
            for header in black_box(&ours) {
                let mut bytes = [0; HEADER_LEN_MAX];
                let len = header.encode(&mut bytes);
                out.extend_from_slice(&bytes[..len]);
            }
            assert_eq!(black_box(&out).len(), 250 * (2 + 2 + 4 + 10) + 500 * 4);
        });
    });
    let theirs = |header: &Header| FrameHeader {
        opcode: OpCode::Data(Data::Binary),
        mask: header.mask,
        is_final: true,
        ..FrameHeader::default()
    };
    let list: Vec<_> = ours.iter().map(|header| (theirs(header), header.payload_len)).collect();
    group.bench_function("tungstenite", |bencher| {
        bencher.iter(|| {
            out.clear();
            for (header, payload_len) in black_box(&list) {
                header.format(*payload_len, &mut out).expect("memory");
            }
            black_box(&out);
        });
    });
    let mut buffer = BytesMut::with_capacity(HEADERS * HEADER_LEN_MAX);
    group.bench_function("sockudo-ws", |bencher| {
        bencher.iter(|| {
            buffer.clear();
            for Header { payload_len, mask, .. } in black_box(&ours) {
                let (opcode, len) = (sockudo_ws::OpCode::Binary, *payload_len as usize);
                sockudo_ws::frame::encode_frame_header(&mut buffer, opcode, len, true, *mask);
            }
            black_box(&buffer);
        });
    });
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
