//! A browser's opening handshake: from the bytes of the request to those of the 101.
//!
//! Without compression, which not all have. tungstenite and Soketto take a stream and make a
//! connection of it, so their figures hold its making, too.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use soketto::handshake::server::{Response, Server};
use throng::handshake::{Acceptance, Offer, write_response};
use throng::http::{HeadLimits, HeadScan, HeaderSlots, Request};
use throng_beside::{REQUEST, Wire, now};

fn throng(head: &[u8], limits: &HeadLimits, out: &mut Vec<u8>) -> Option<()> {
    let len = HeadScan::new().scan(head, limits).ok()??;
    let mut slots = HeaderSlots::new();
    let request = Request::parse(&head[..len], &mut slots, limits).ok()?;
    let offer = Offer::from_request(&request).ok()??;
    let acceptance = Acceptance::new();
    offer.check(&acceptance).ok()?;
    write_response(out, offer.key(), &acceptance);
    Some(())
}

fn soketto(wire: &mut Wire) {
    let mut server = Server::new(wire);
    let key = now(server.receive_request()).expect("a valid handshake").key();
    let response = Response::Accept { key, protocol: None };
    now(server.send_response(&response)).expect("memory");
    black_box(server.into_builder());
}

fn handshake(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handshake");
    let (limits, mut out) = (HeadLimits::default(), Vec::with_capacity(256));
    group.bench_function("throng", |bencher| {
        bencher.iter(|| {
            out.clear();
            throng(black_box(REQUEST), &limits, &mut out).expect("a valid handshake");
        });
    });
    group.bench_function("sockudo-ws", |bencher| {
        bencher.iter(|| {
            let parsed = sockudo_ws::handshake::parse_request(black_box(REQUEST));
            let (request, len) = parsed.expect("a valid handshake").expect("all of it");
            assert_eq!(len, REQUEST.len());
            let accept = sockudo_ws::handshake::generate_accept_key(request.key);
            black_box(sockudo_ws::handshake::build_response(&accept, None, None));
        });
    });
    let mut wire = Wire::new(REQUEST.to_vec());
    group.bench_function("soketto", |bencher| bencher.iter(|| soketto(&mut wire)));
    group.bench_function("tungstenite", |bencher| {
        bencher.iter(|| black_box(tungstenite::accept(&mut wire)).is_ok());
    });
    group.finish();
}

criterion_group!(benches, handshake);
criterion_main!(benches);
