//! permessage-deflate of JSON: messages get smaller and whole again, with a context and without.
//!
//! throng and sockudo-ws both have zlib-rs inside; `miniz_oxide` is what most Rust programs get
//! from flate2. The lengths that are left are told first, for a level is not the same in each.
//! There are 64 messages, sent in turn: one message again and again is the best case of a context.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use criterion::{criterion_group, criterion_main};
use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::deflate::stream::deflate as miniz_deflate;
use miniz_oxide::inflate::stream::{InflateState, inflate as miniz_inflate};
use miniz_oxide::{DataFormat, MZFlush};
use sockudo_ws::DeflateWindowBits;
use sockudo_ws::deflate::{DeflateDecoder, DeflateEncoder};
use throng::extension::{Config, Deflater, Inflater, Mode};
use throng_beside::json;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

const LENS: [usize; 3] = [128, 1 << 10, 16 << 10];
const LEVELS: [u8; 2] = [1, 6];

/// Messages of one length, one after the other without end.
struct Messages {
    text: Vec<u8>,
    len: usize,
    at: usize,
}

impl Messages {
    const COUNT: usize = 64;

    fn new(len: usize) -> Self {
        Self { text: json(len * Self::COUNT).into_bytes(), len, at: 0 }
    }

    fn next(&mut self) -> &[u8] {
        self.at = (self.at + 1) % Self::COUNT;
        black_box(&self.text[self.at * self.len..][..self.len])
    }

    /// Says what a compressor leaves of all of them.
    fn tell(&mut self, name: &str, mut deflate: impl FnMut(&[u8]) -> usize) {
        let left: usize = (0..Self::COUNT).map(|_| deflate(self.next())).sum();
        println!("{name}: {} bytes of {} are left", left / Self::COUNT, self.len);
    }
}

fn deflater(level: u8) -> Deflater {
    Deflater::new(&Config { level, ..Config::new(Mode::Shared) }, 15)
}

fn miniz(level: u8) -> CompressorOxide {
    let raw = -15; // no zlib header
    CompressorOxide::new(create_comp_flags_from_zip_params(level.into(), raw, 0))
}

fn with_throng(group: &mut Group<'_>, len: usize, level: u8, shared: bool) {
    let (mut deflater, mut out) = (deflater(level), Vec::with_capacity(2 * len + 64));
    let (name, mut messages) = (format!("throng-{level}"), Messages::new(len));
    let mut deflate = |message: &[u8]| {
        out.clear();
        black_box(deflater.deflate(message, &mut out, shared));
        out.len()
    };
    messages.tell(&name, &mut deflate);
    group.bench_function(BenchmarkId::new(name, len), |bencher| {
        bencher.iter(|| deflate(messages.next()));
    });
}

fn with_sockudo(group: &mut Group<'_>, len: usize, level: u8, shared: bool) {
    let mut encoder = DeflateEncoder::new(DeflateWindowBits::Bits15, shared, level.into(), 0);
    let (name, mut messages) = (format!("sockudo-ws-{level}"), Messages::new(len));
    let mut deflate =
        |message: &[u8]| encoder.compress(message).expect("DEFLATE").map_or(0, |out| out.len());
    messages.tell(&name, &mut deflate);
    group.bench_function(BenchmarkId::new(name, len), |bencher| {
        bencher.iter(|| deflate(messages.next()));
    });
}

fn with_miniz(group: &mut Group<'_>, len: usize, level: u8, shared: bool) {
    let (mut compressor, mut out) = (miniz(level), vec![0; 2 * len + 64]);
    let (name, mut messages) = (format!("miniz_oxide-{level}"), Messages::new(len));
    let mut deflate = |message: &[u8]| {
        if shared {
            compressor.reset();
        }
        let done = miniz_deflate(&mut compressor, message, &mut out, MZFlush::Sync);
        assert_eq!(done.bytes_consumed, len);
        done.bytes_written - 4 // without the tail
    };
    messages.tell(&name, &mut deflate);
    group.bench_function(BenchmarkId::new(name, len), |bencher| {
        bencher.iter(|| deflate(messages.next()));
    });
}

fn deflate(criterion: &mut Criterion) {
    for (name, shared) in [("deflate/shared", true), ("deflate/dedicated", false)] {
        let mut group = criterion.benchmark_group(name);
        for len in LENS {
            group.throughput(Throughput::Bytes(len as u64));
            for level in LEVELS {
                with_throng(&mut group, len, level, shared);
                with_sockudo(&mut group, len, level, shared);
                with_miniz(&mut group, len, level, shared);
            }
        }
        group.finish();
    }
}

/// A message without a context.
fn inflate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inflate");
    for len in LENS {
        let (payload, mut deflated) = (json(len).into_bytes(), Vec::new());
        if !deflater(6).deflate(&payload, &mut deflated, true) {
            continue;
        }
        group.throughput(Throughput::Bytes(len as u64));
        let (mut inflater, mut room) = (Inflater::new(), vec![0; len + 64]);
        group.bench_function(BenchmarkId::new("throng", len), |bencher| {
            bencher.iter(|| {
                let mut input = black_box(&deflated[..]);
                assert_eq!(inflater.step(&mut input, &mut room), Ok(len));
                inflater.finish().expect("a whole message");
                inflater.reset();
            });
        });
        let mut decoder = DeflateDecoder::new(DeflateWindowBits::Bits15, true);
        group.bench_function(BenchmarkId::new("sockudo-ws", len), |bencher| {
            bencher.iter(|| {
                let message = decoder.decompress(black_box(&deflated), 1 << 20).expect("DEFLATE");
                assert_eq!(message.len(), len);
            });
        });
        let with_tail = [&deflated[..], &[0, 0, 0xff, 0xff]].concat();
        let mut state = InflateState::new_boxed(DataFormat::Raw);
        group.bench_function(BenchmarkId::new("miniz_oxide", len), |bencher| {
            bencher.iter(|| {
                state.reset(DataFormat::Raw);
                let input = black_box(&with_tail);
                let done = miniz_inflate(&mut state, input, &mut room, MZFlush::Sync);
                assert_eq!(done.bytes_written, len);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, deflate, inflate);
criterion_main!(benches);
