//! Unmasking, alone and with the check of UTF-8 that a text needs.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use soketto::base::{Codec, Header, OpCode};
use throng::frame::{Utf8, apply_mask, unmask_text};
use throng_beside::{KEY, json};

const LENS: [usize; 5] = [32, 125, 1 << 10, 16 << 10, 1 << 20];

/// As in throng's `Inbound`: what is unmasked is still in the first-level cache when it is checked.
const BLOCK: usize = 8 << 10;

fn mask(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask");
    for len in LENS {
        let mut bytes = vec![0x55; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("throng", len), |bencher| {
            bencher.iter(|| apply_mask(black_box(&mut bytes), black_box(KEY), 0));
        });
        group.bench_function(BenchmarkId::new("sockudo-ws", len), |bencher| {
            bencher.iter(|| sockudo_ws::simd::apply_mask(black_box(&mut bytes), black_box(KEY)));
        });
        group.bench_function(BenchmarkId::new("fastwebsockets", len), |bencher| {
            bencher.iter(|| fastwebsockets::unmask(black_box(&mut bytes), black_box(KEY)));
        });
        let mut header = Header::new(OpCode::Binary);
        header.set_masked(true).set_mask(u32::from_be_bytes(KEY));
        group.bench_function(BenchmarkId::new("soketto", len), |bencher| {
            bencher.iter(|| Codec::apply_mask(black_box(&header), black_box(&mut bytes)));
        });
    }
    group.finish();
}

/// Each time of a fresh copy, which is part of what is measured, for all. throng's mask says if a
/// text is ASCII, so that only another is looked at again.
fn mask_and_validate(criterion: &mut Criterion) {
    let greek = "Καλημέρα κόσμε, good morning. ".repeat((1 << 20) / 40);
    for (name, text) in [("ascii", json(1 << 20)), ("mixed", greek)] {
        for len in LENS {
            mask_and_validate_one(criterion, name, &text[..text.floor_char_boundary(len)]);
        }
    }
}

fn mask_and_validate_one(criterion: &mut Criterion, name: &str, text: &str) {
    let mut group = criterion.benchmark_group(format!("mask_and_validate/{name}"));
    let mut wire = text.as_bytes().to_vec();
    let len = wire.len();
    apply_mask(&mut wire, KEY, 0);
    let mut bytes = wire.clone();
    group.throughput(Throughput::Bytes(len as u64));
    group.bench_function(BenchmarkId::new("throng", len), |bencher| {
        bencher.iter(|| {
            bytes.copy_from_slice(black_box(&wire));
            let mut utf8 = Utf8::default();
            for block in bytes.chunks_mut(BLOCK) {
                // A block is a multiple of the key.
                let is_ascii = unmask_text(block, black_box(KEY));
                if !(is_ascii && utf8.is_boundary()) {
                    utf8.push(block).expect("UTF-8");
                }
            }
            assert!(utf8.is_boundary());
        });
    });
    group.bench_function(BenchmarkId::new("sockudo-ws", len), |bencher| {
        bencher.iter(|| {
            bytes.copy_from_slice(black_box(&wire));
            sockudo_ws::simd::apply_mask(&mut bytes, black_box(KEY));
            assert!(sockudo_ws::utf8::validate_utf8(&bytes));
        });
    });
    group.bench_function(BenchmarkId::new("fastwebsockets", len), |bencher| {
        bencher.iter(|| {
            bytes.copy_from_slice(black_box(&wire));
            fastwebsockets::unmask(&mut bytes, black_box(KEY));
            assert!(simdutf8::basic::from_utf8(&bytes).is_ok());
        });
    });
    group.finish();
}

criterion_group!(benches, mask, mask_and_validate);
criterion_main!(benches);
