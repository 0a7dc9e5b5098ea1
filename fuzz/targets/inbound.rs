//! The read half: any bytes, any cuts, both roles, both deliveries, all limits, and the reads
//! straight into a message. Held against a plain decoder of the whole stream.
//!
//! The input: a byte of flags, two of settings, the cuts, then the stream or a script of one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use throng::proto::{Delivery, Event, Events, Inbound, Settings, Spare};
use throng_fuzz::{Cuts, Plan, Story, model, script};

/// The first buffer of a message, however short that is.
const BUFFER_BYTES: usize = 256;

/// The longest read straight into a message.
const DIRECT_BYTES_MAX: usize = 256 << 10;

fuzz_target!(|input: &[u8]| {
    let mut plan = Plan::new(input);
    let flags = plan.byte();
    let settings = plan.settings();
    let cuts = plan.cuts();
    let scripted = flags & 1 != 0;
    let stream = if scripted { script::stream(plan, settings.role) } else { plan.rest().to_vec() };

    let expected = model::decode(&stream, &settings);
    let whole = Cuts::default();
    assert_eq!(receive(&stream, whole, false, &settings, &mut Spare::default()), expected);

    let spare_bytes_max = [16 << 20, 0, 256, 20_000][usize::from(flags >> 2 & 3)];
    let mut spare = Spare::new(spare_bytes_max);
    let direct = flags & 2 != 0;
    for _ in 0..2 {
        // The second time with the buffers of the first: nothing of it may be left in them.
        let story = receive(&stream, cuts.clone(), direct, &settings, &mut spare);
        assert_eq!(story, expected, "in pieces");
        assert!(spare.bytes() <= spare_bytes_max);
        let message_bytes = usize::try_from(settings.message_bytes_max).unwrap_or(usize::MAX);
        let most = stream.len().min(message_bytes);
        assert!(spare.bytes() <= most * 2 + BUFFER_BYTES, "kept {} for {most}", spare.bytes());
        if settings.delivery == Delivery::Chunks {
            assert_eq!(spare.bytes(), 0, "a chunk was kept");
        }
    }
    careless(&stream, cuts, direct, &settings, &mut spare);
});

/// Plays the stream to a new connection.
fn receive(
    stream: &[u8],
    mut cuts: Cuts<'_>,
    direct: bool,
    settings: &Settings,
    spare: &mut Spare,
) -> Story {
    let (mut inbound, mut story, mut at) = (Inbound::new(), Story::default(), 0);
    let mut stream = stream.to_vec();
    while at < stream.len() {
        let is_done = inbound.is_done();
        at +=
            piece(&mut inbound, &mut stream[at..], &mut cuts, direct, settings, spare, |events| {
                while let Some(event) = events.next() {
                    assert!(!is_done && story.fault.is_none(), "an event after the end");
                    match event {
                        Ok(event) => {
                            within_limits(&event, settings);
                            story.take(&event);
                        }
                        Err(fault) => story.fail(fault),
                    }
                }
            });
        let closed = matches!(story.events.last(), Some(throng_fuzz::Seen::Close { .. }));
        assert_eq!(inbound.is_done(), closed || story.fault.is_some());
    }
    if inbound.is_done() {
        let mut kept = Spare::default();
        inbound.release(&mut kept);
        assert_eq!(kept.bytes(), 0, "a connection that is done keeps a message");
    }
    inbound.release(spare);
    story
}

/// Gives the connection its next piece, by either door; how long it was.
fn piece(
    inbound: &mut Inbound,
    stream: &mut [u8],
    cuts: &mut Cuts<'_>,
    direct: bool,
    settings: &Settings,
    spare: &mut Spare,
    take: impl FnOnce(&mut Events<'_>),
) -> usize {
    let len = cuts.next(stream.len());
    if direct && let Some(room) = inbound.direct(settings) {
        assert!(!room.is_empty() && room.len() <= DIRECT_BYTES_MAX);
        assert_eq!(settings.delivery, Delivery::Whole);
        let len = len.min(room.len());
        room[..len].copy_from_slice(&stream[..len]);
        take(&mut inbound.receive_direct(settings, spare, len));
        return len;
    }
    take(&mut inbound.receive(settings, spare, &mut stream[..len]));
    len
}

fn within_limits(event: &Event<'_>, settings: &Settings) {
    match event {
        Event::Message(message) => {
            assert!(message.payload.len() as u64 <= settings.message_bytes_max);
            assert_eq!(settings.delivery, Delivery::Whole);
        }
        Event::Chunk(_) => assert_eq!(settings.delivery, Delivery::Chunks),
        Event::Ping(payload) | Event::Pong(payload) => assert!(payload.len() <= 125),
        Event::Close(close) => assert!(close.reason.len() <= 123),
    }
}

/// A caller that does not take all events loses them, and nothing worse.
fn careless(
    stream: &[u8],
    mut cuts: Cuts<'_>,
    direct: bool,
    settings: &Settings,
    spare: &mut Spare,
) {
    let (mut inbound, mut at, mut count) = (Inbound::new(), 0, 0);
    let mut stream = stream.to_vec();
    while at < stream.len() {
        count += 1;
        at +=
            piece(&mut inbound, &mut stream[at..], &mut cuts, direct, settings, spare, |events| {
                for _ in 0..count % 3 {
                    let _ = events.next();
                }
            });
    }
    inbound.release(spare);
    spare.trim();
    spare.trim();
    assert_eq!(spare.bytes(), 0, "trimmed twice without use between");
}
