//! Masking: the kernel beside its scalar twin and memcpy, which is as fast as memory goes.
//!
//! In place, as it is used: memcpy touches twice the memory, so past a cache level it may lose.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use throng::frame::{apply_mask, apply_mask_scalar};

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

fn mask(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask");
    for power in [4, 6, 8, 10, 12, 14, 16, 18, 20] {
        let len = 1_usize << power;
        let (mut bytes, source) = (vec![0x55; len], vec![0xAA; len]);
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("throng", len), |bencher| {
            bencher.iter(|| apply_mask(black_box(&mut bytes), black_box(KEY), 0));
        });
        group.bench_function(BenchmarkId::new("scalar", len), |bencher| {
            bencher.iter(|| apply_mask_scalar(black_box(&mut bytes), black_box(KEY), 0));
        });
        group.bench_function(BenchmarkId::new("memcpy", len), |bencher| {
            bencher.iter(|| black_box(&mut bytes[..]).copy_from_slice(black_box(&source)));
        });
    }
    group.finish();
}

criterion_group!(benches, mask);
criterion_main!(benches);
