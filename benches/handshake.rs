//! The opening handshake of a browser, from the bytes of the request to those of the answer, and
//! how much of that each step is.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use throng::handshake::{Acceptance, Offer, write_response};
use throng::http::{HeadLimits, HeadScan, HeaderSlots, Request};

const HEAD: &[u8] = b"GET /ws?room=lobby HTTP/1.1\r\n\
    Host: chat.example.com\r\n\
    Connection: Upgrade\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/140.0.0.0 Safari/537.36\r\n\
    Upgrade: websocket\r\n\
    Origin: https://chat.example.com\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\n\r\n";

fn whole(head: &[u8], limits: &HeadLimits, out: &mut Vec<u8>) -> Option<()> {
    let len = HeadScan::new().scan(head, limits).ok()??;
    let mut slots = HeaderSlots::new();
    let request = Request::parse(&head[..len], &mut slots, limits).ok()?;
    let offer = Offer::from_request(&request).ok()??;
    let acceptance = Acceptance::new().subprotocol(offer.choose(&["superchat", "chat"])?);
    offer.check(&acceptance).ok()?;
    write_response(out, offer.key(), &acceptance);
    Some(())
}

fn handshake(criterion: &mut Criterion) {
    let limits = HeadLimits::default();
    let mut group = criterion.benchmark_group("handshake");
    let mut out = Vec::new();
    group.bench_function("whole", |bencher| {
        bencher.iter(|| {
            out.clear();
            whole(black_box(HEAD), &limits, &mut out).expect("a valid handshake");
        });
    });
    group.bench_function("scan", |bencher| {
        bencher.iter(|| HeadScan::new().scan(black_box(HEAD), &limits));
    });
    group.bench_function("parse", |bencher| {
        bencher.iter(|| {
            let mut slots = HeaderSlots::new();
            Request::parse(black_box(HEAD), &mut slots, &limits).is_ok()
        });
    });
    let mut slots = HeaderSlots::new();
    let request = Request::parse(HEAD, &mut slots, &limits).expect("a valid request");
    group.bench_function("offer", |bencher| {
        bencher.iter(|| Offer::from_request(black_box(&request)).is_ok());
    });
    let offer = Offer::from_request(&request).expect("a valid handshake").expect("an upgrade");
    group.bench_function("answer", |bencher| {
        bencher.iter(|| {
            out.clear();
            write_response(&mut out, black_box(offer.key()), &Acceptance::new());
        });
    });
    group.finish();
}

criterion_group!(benches, handshake);
criterion_main!(benches);
