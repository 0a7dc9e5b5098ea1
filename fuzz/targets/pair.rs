//! Both roles joined, with permessage-deflate or without: whatever either end says, in any order
//! and cut anywhere, the other hears it all, in order, and both come to the same end.
//!
//! The input: what was agreed, the cuts, then steps of three bytes, some with a payload.

#![no_main]

use libfuzzer_sys::fuzz_target;
use throng::extension::{Config, Deflater, Direction, Mode};
use throng::frame::CloseCode;
use throng::proto::{Close, Connection, Event, Inbound, Message, Outbound, Role, Settings, Spare};
use throng_fuzz::{Cuts, Plan, Seen, Story};

/// No end has more than this on its way.
const WIRE_BYTES_MAX: usize = 64 << 10;

fuzz_target!(|input: &[u8]| {
    let mut plan = Plan::new(input);
    let [client, server] = plan.bytes().map(direction);
    let mut cuts = plan.cuts();
    let mut ends = [End::new(Role::Client, client, server), End::new(Role::Server, server, client)];
    while !plan.is_used_up() {
        let [kind, who, len] = plan.bytes();
        let end = usize::from(who & 1);
        match kind % 8 {
            0..=3 => {
                let payload = plan.take(usize::from(len % 64)).repeat(1 + usize::from(who >> 3));
                ends[end].send(kind, &payload);
            }
            4 => ends[end].ping(plan.take(usize::from(len % 64))),
            5 if len == 7 => ends[end].close(who),
            _ => transfer(&mut ends, end, &mut cuts),
        }
    }
    while ends.iter().any(|end| !end.wire.is_empty()) {
        for end in 0..2 {
            transfer(&mut ends, end, &mut cuts);
        }
    }
    let [client, server] = ends;
    assert_eq!(client.heard.events, until_close(server.said));
    assert_eq!(server.heard.events, until_close(client.said));
    assert!(client.heard.fault.is_none() && server.heard.fault.is_none());
    assert_eq!(client.outbound.is_done(), server.outbound.is_done(), "one end thinks it is open");
});

/// What is heard of what was said: a pong may still follow a Close, and nobody listens to it.
fn until_close(mut said: Vec<Seen>) -> Vec<Seen> {
    if let Some(close) = said.iter().position(|seen| matches!(seen, Seen::Close { .. })) {
        said.truncate(close + 1);
    }
    said
}

/// Plain, or a window and whether it is kept.
fn direction(byte: u8) -> Direction {
    if byte & 1 == 0 { Direction::PLAIN } else { Direction::new(9 + byte / 4 % 7, byte & 2 != 0) }
}

struct End {
    settings: Settings,
    inbound: Inbound,
    outbound: Outbound,
    spare: Spare,
    outgoing: Direction,
    deflater: Deflater,
    keys: u32,
    wire: Vec<u8>,
    /// What the other end is to hear.
    said: Vec<Seen>,
    heard: Story,
}

impl End {
    fn new(role: Role, outgoing: Direction, incoming: Direction) -> Self {
        let config = Config::new(Mode::Dedicated);
        Self {
            settings: Settings::new(role),
            inbound: Inbound::with_extension(incoming),
            outbound: Outbound::new(),
            spare: Spare::default(),
            outgoing,
            deflater: Deflater::new(&config, outgoing.window_bits()),
            keys: 0,
            wire: Vec::new(),
            said: Vec::new(),
            heard: Story::default(),
        }
    }

    fn mask(&mut self) -> Option<[u8; 4]> {
        self.keys = self.keys.wrapping_mul(0x9E37_79B9).wrapping_add(0x7F4A_7C15);
        (self.settings.role == Role::Client).then(|| self.keys.to_be_bytes())
    }

    fn send(&mut self, kind: u8, payload: &[u8]) {
        let text = String::from_utf8_lossy(payload);
        let message = match kind & 1 {
            0 => Message::text(&text),
            _ => Message::binary(payload),
        };
        if self.wire.len() > WIRE_BYTES_MAX || !self.outbound.is_open() {
            return;
        }
        let mask = self.mask();
        let mut deflated = Vec::new();
        let keeps = self.outgoing.keeps_context();
        let is_smaller = kind & 2 != 0
            && self.outgoing.is_compressed()
            && self.deflater.deflate(message.payload, &mut deflated, !keeps);
        let sent = if is_smaller {
            let message = Message { payload: &deflated, ..message };
            self.outbound.send_deflated(message, mask, &mut self.wire)
        } else {
            self.outbound.send(message, mask, &mut self.wire)
        };
        assert_eq!(sent, Ok(()));
        let Message { kind, payload } = message;
        self.said.push(Seen::Data { kind, payload: payload.to_vec(), ended: true });
    }

    fn ping(&mut self, payload: &[u8]) {
        let mask = self.mask();
        if self.outbound.ping(payload, mask, &mut self.wire).is_ok() {
            self.said.push(Seen::Ping(payload.to_vec()));
        }
    }

    fn close(&mut self, who: u8) {
        let code = CloseCode::new(1000 + u16::from(who >> 4));
        let mask = self.mask();
        if self.outbound.close(Close { code, reason: "" }, mask, &mut self.wire).is_ok() {
            self.said.push(Seen::Close { code: code.map(CloseCode::get), reason: String::new() });
        }
    }

    /// Takes bytes, and answers what the RFC wants answered.
    fn receive(&mut self, bytes: &mut [u8]) {
        let key = self.mask();
        let Self { inbound, settings, spare, outbound, heard, said, wire, .. } = self;
        let mut events = inbound.receive(settings, spare, bytes);
        while let Some(event) = events.next() {
            let event = match event {
                Ok(event) => event,
                Err(fault) => return heard.fail(fault),
            };
            heard.take(&event);
            let (was_open, was_done) = (outbound.is_open(), outbound.is_done());
            Connection::reply(outbound, &event, key, wire);
            match event {
                Event::Ping(payload) if !was_done => said.push(Seen::Pong(payload.to_vec())),
                Event::Close(Close { code, .. }) if was_open => {
                    let code = code.map(CloseCode::get);
                    said.push(Seen::Close { code, reason: String::new() });
                }
                _ => {}
            }
        }
    }
}

/// Moves some of what one end has said to the other.
fn transfer(ends: &mut [End; 2], from: usize, cuts: &mut Cuts<'_>) {
    let wire = &mut ends[from].wire;
    if wire.is_empty() {
        return;
    }
    let len = cuts.next(wire.len());
    let mut piece: Vec<u8> = wire.drain(..len).collect();
    ends[1 - from].receive(&mut piece);
}
