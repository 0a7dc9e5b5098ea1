//! Messages to bytes: a server's frame, a client's masked one, and the frame that many share.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use throng::proto::{Message, Outbound, SharedFrame};

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

fn outbound(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("outbound");
    for len in [32, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10] {
        let payload = vec![b'x'; len];
        let message = Message::binary(&payload);
        group.throughput(Throughput::Bytes(len as u64));
        for (name, mask) in [("server", None), ("client", Some(KEY))] {
            let (outbound, mut out) = (Outbound::new(), Vec::new());
            group.bench_function(BenchmarkId::new(name, len), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    outbound.send(black_box(message), mask, black_box(&mut out))
                });
            });
        }
        group.bench_function(BenchmarkId::new("shared", len), |bencher| {
            bencher.iter(|| SharedFrame::new(black_box(message)));
        });
    }
    group.finish();
}

criterion_group!(benches, outbound);
criterion_main!(benches);
