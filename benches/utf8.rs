//! UTF-8 as it arrives, beside the standard library and simdutf8, which need the text whole.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use throng::frame::Utf8;

/// Pieces as a network cuts them, and so inside characters.
const PIECE: usize = 1_400;

const TEXTS: [(&str, &str); 3] = [
    ("ascii", "{\"type\":\"text\",\"room\":\"lobby\"} "),
    ("mixed", "Καλημέρα κόσμε, good morning — très bien! 🎉 "),
    ("three_byte", "日本語のテキスト"),
];

fn utf8(criterion: &mut Criterion) {
    for (name, text) in TEXTS {
        let mut group = criterion.benchmark_group(format!("utf8/{name}"));
        for len in [32, 256, 4 << 10, 64 << 10] {
            let mut text = text.repeat(len / text.len() + 1);
            text.truncate(text.floor_char_boundary(len));
            let bytes = text.as_bytes();
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            group.bench_function(BenchmarkId::new("throng", len), |bencher| {
                bencher.iter(|| Utf8::default().push(black_box(bytes)));
            });
            group.bench_function(BenchmarkId::new("std", len), |bencher| {
                bencher.iter(|| std::str::from_utf8(black_box(bytes)).is_ok());
            });
            group.bench_function(BenchmarkId::new("simdutf8", len), |bencher| {
                bencher.iter(|| simdutf8::basic::from_utf8(black_box(bytes)).is_ok());
            });
            if len > PIECE {
                group.bench_function(BenchmarkId::new("throng_cut", len), |bencher| {
                    bencher.iter(|| in_pieces(black_box(bytes)));
                });
            }
        }
        group.finish();
    }
}

fn in_pieces(bytes: &[u8]) -> bool {
    let mut text = Utf8::default();
    bytes.chunks(PIECE).all(|piece| text.push(piece).is_ok()) && text.is_boundary()
}

criterion_group!(benches, utf8);
criterion_main!(benches);
