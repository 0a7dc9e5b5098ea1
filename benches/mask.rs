//! Masking: the door and each kernel beside the scalar twin and memcpy, which is as fast as memory
//! goes.
//!
//! In place, as it is used: memcpy touches twice the memory, so past a cache level it may lose.
//! Payloads up to 8 KiB take turns in as much memory, as messages in a receive buffer do: a payload
//! that was written a moment before would be read out of the store buffer, at other prices. Each
//! stands 6 bytes past a cache line, as behind the header of a small frame, and `aligned`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use throng::frame::{apply_mask, apply_mask_scalar, mask_kernels, unmask_text};

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
const LINE: usize = 64;

/// Places for payloads of one length, each `past` bytes behind the start of a cache line.
struct Places {
    bytes: Vec<u8>,
    first: usize,
    stride: usize,
    count: usize,
    at: usize,
}

impl Places {
    fn new(len: usize, past: usize) -> Self {
        let stride = (past + len).next_multiple_of(LINE);
        let count = (8192 / stride).clamp(1, 32);
        let bytes = vec![0x55; stride * count + LINE];
        let first = bytes.as_ptr().align_offset(LINE) + past;
        Self { bytes, first, stride, count, at: 0 }
    }

    fn next(&mut self, len: usize) -> &mut [u8] {
        self.at = if self.at + 1 < self.count { self.at + 1 } else { 0 };
        let start = self.first + self.at * self.stride;
        &mut self.bytes[start..start + len]
    }
}

fn mask(criterion: &mut Criterion) {
    for (group, past) in [("mask", 6), ("mask/aligned", 0)] {
        let mut group = criterion.benchmark_group(group);
        for len in [3, 16, 32, 64, 125, 256, 1 << 10, 1 << 12, 1 << 13, 1 << 14, 1 << 16, 1 << 20] {
            let mut places = Places::new(len, past);
            group.throughput(Throughput::Bytes(len as u64));
            group.bench_function(BenchmarkId::new("throng", len), |bencher| {
                bencher.iter(|| apply_mask(black_box(places.next(len)), black_box(KEY), 0));
            });
            group.bench_function(BenchmarkId::new("throng text", len), |bencher| {
                bencher.iter(|| unmask_text(black_box(places.next(len)), black_box(KEY)));
            });
            for (name, kernel) in mask_kernels() {
                let Some(kernel) = kernel.filter(|_| len > 128) else { continue };
                group.bench_function(BenchmarkId::new(format!("{name} text"), len), |bencher| {
                    bencher.iter(|| kernel(black_box(places.next(len)), black_box(KEY)));
                });
            }
            group.bench_function(BenchmarkId::new("scalar", len), |bencher| {
                bencher.iter(|| apply_mask_scalar(black_box(places.next(len)), black_box(KEY), 0));
            });
            let mut sources = Places::new(len, 0);
            group.bench_function(BenchmarkId::new("memcpy", len), |bencher| {
                bencher.iter(|| {
                    let source = black_box(sources.next(len));
                    black_box(places.next(len)).copy_from_slice(source);
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, mask);
criterion_main!(benches);
