//! permessage-deflate of JSON: messages get smaller and whole again, with a context and without.
//!
//! throng and sockudo-ws both have zlib-rs inside; `miniz_oxide` is what most Rust programs get
//! from flate2. The lengths that are left are told first, for a level is not the same in each.

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

fn deflater(level: u8) -> Deflater {
    Deflater::new(&Config { level, ..Config::new(Mode::Shared) }, 15)
}

fn miniz(level: u8) -> CompressorOxide {
    let raw = -15; // no zlib header
    CompressorOxide::new(create_comp_flags_from_zip_params(level.into(), raw, 0))
}

fn with_throng(group: &mut Group<'_>, payload: &[u8], level: u8, shared: bool) {
    let (mut deflater, mut out) = (deflater(level), Vec::with_capacity(2 * payload.len() + 64));
    let name = format!("throng-{level}");
    deflater.deflate(payload, &mut out, shared);
    println!("{name}: {} bytes of {} are left", out.len(), payload.len());
    group.bench_function(BenchmarkId::new(name, payload.len()), |bencher| {
        bencher.iter(|| {
            out.clear();
            black_box(deflater.deflate(black_box(payload), &mut out, shared));
        });
    });
}

fn with_sockudo(group: &mut Group<'_>, payload: &[u8], level: u8, shared: bool) {
    let mut encoder = DeflateEncoder::new(DeflateWindowBits::Bits15, shared, level.into(), 0);
    let name = format!("sockudo-ws-{level}");
    let left = encoder.compress(payload).expect("DEFLATE").map(|out| out.len());
    println!("{name}: {left:?} bytes of {} are left", payload.len());
    group.bench_function(BenchmarkId::new(name, payload.len()), |bencher| {
        bencher.iter(|| black_box(encoder.compress(black_box(payload)).expect("DEFLATE")));
    });
}

fn with_miniz(group: &mut Group<'_>, payload: &[u8], level: u8, shared: bool) {
    let (mut compressor, mut out) = (miniz(level), vec![0; 2 * payload.len() + 64]);
    let name = format!("miniz_oxide-{level}");
    let first = miniz_deflate(&mut compressor, payload, &mut out, MZFlush::Sync);
    println!("{name}: {} bytes of {} are left", first.bytes_written - 4, payload.len());
    group.bench_function(BenchmarkId::new(name, payload.len()), |bencher| {
        bencher.iter(|| {
            if shared {
                compressor.reset();
            }
            let done = miniz_deflate(&mut compressor, black_box(payload), &mut out, MZFlush::Sync);
            assert_eq!(done.bytes_consumed, payload.len());
        });
    });
}

/// With a context the same message each time is the best case of all, so a longer text is sent in
/// turn: that is for the load tool. Here it shows what a message costs beside its bytes.
fn deflate(criterion: &mut Criterion) {
    for (name, shared) in [("deflate/shared", true), ("deflate/dedicated", false)] {
        let mut group = criterion.benchmark_group(name);
        for len in LENS {
            let payload = json(len).into_bytes();
            group.throughput(Throughput::Bytes(len as u64));
            for level in LEVELS {
                with_throng(&mut group, &payload, level, shared);
                with_sockudo(&mut group, &payload, level, shared);
                with_miniz(&mut group, &payload, level, shared);
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
