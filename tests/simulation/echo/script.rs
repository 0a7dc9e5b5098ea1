//! What a world is made of: the configuration, the clients and their scripts.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use throng::net::{BacklogPolicy, Config};

use super::client::{Client, Kind, Sent, Step};
use super::crowd::{Deed, World, add};
use crate::dice::Dice;
use crate::frames::encode;
use crate::network::Link;
use crate::world::Action;

/// Longer messages are refused with 1009.
const MESSAGE_BYTES_MAX: usize = 2 << 20;

pub fn config(dice: &mut Dice) -> Config {
    let mut config = Config {
        receive_buffer_bytes: dice.one_of(&[64, 1000, 4 << 10, 64 << 10, 256 << 10]),
        accepts_per_turn: dice.one_of(&[1, 3, 256]),
        ..Config::default()
    };
    config.settings.message_bytes_max = MESSAGE_BYTES_MAX as u64;
    if dice.once_in(2) {
        config.backlog_high_bytes = dice.between(300, 20_000);
        config.backlog_low_bytes = dice.below(config.backlog_high_bytes);
    }
    if dice.once_in(3) {
        config.backlog_policy = dice.one_of(&[
            BacklogPolicy::Close,
            BacklogPolicy::DropNewest,
            BacklogPolicy::DropOldest,
        ]);
        config.backlog_bytes_max = dice.between(5_000, 200_000);
    }
    if dice.once_in(6) {
        config.backlogs_bytes_max = dice.between(5_000, 100_000);
    }
    if dice.once_in(10) {
        config.connections_max = dice.between(3, 10);
    }
    config
}

/// Fills a world with clients, and its agenda with what comes from outside.
pub fn people(world: &mut World) {
    let count = world.dice.between(3, 22);
    let (big, slow) = (world.dice.once_in(8), world.dice.once_in(3));
    for number in 0..count {
        let kind = world.dice.one_of(&[
            Kind::Good,
            Kind::Good,
            Kind::Good,
            Kind::Good,
            Kind::HalfClose,
            Kind::Break,
            Kind::Reset,
            Kind::Deaf,
            Kind::Silent,
            Kind::HalfRequest,
            Kind::Plain,
        ]);
        let mut script = VecDeque::new();
        write_script(&mut world.dice, kind, number, big, slow, &mut script);
        let lossy = world.crowd.is_lossy();
        let least = if big { 30_000 } else { 600 };
        let in_max = least + world.dice.one_of(&[0, 5_000, 100_000]);
        let out_max = least + world.dice.one_of(&[0, 5_000, 100_000]);
        let mut client = Client::new(kind, script, lossy);
        client.is_trickling = slow && !big && world.dice.once_in(3);
        add(world, client, Link::new(in_max, out_max));
        world.soon(20_000, Deed::Connect(number));
    }
    for _ in 0..world.dice.below(6) {
        let action = match world.dice.below(6) {
            0 | 1 => Deed::Broadcast.into(),
            2 => Deed::PingAll.into(),
            3 => Deed::Kick(world.dice.below(count)).into(),
            4 => Action::NoDescriptors,
            _ => Action::Jump,
        };
        world.soon(40_000, action);
    }
    if world.dice.once_in(6) {
        world.soon(30_000, Deed::Stop);
    }
    if world.dice.once_in(6) {
        let (count, millis) = (world.dice.between(10, 90), world.dice.one_of(&[3_000, 40_000]));
        for _ in 0..count {
            world.soon(millis, Deed::Broadcast);
        }
    }
}

fn write_script(
    dice: &mut Dice,
    kind: Kind,
    number: usize,
    big: bool,
    slow: bool,
    script: &mut VecDeque<Step>,
) {
    match kind {
        Kind::HalfRequest => return script.push_back(Step::Request { whole: false }),
        _ => script.push_back(Step::Request { whole: true }),
    }
    if kind == Kind::Plain {
        return;
    }
    let count = dice.below(12);
    for at in 0..count {
        match dice.below(9) {
            0 => script.push_back(Step::Ping),
            1 | 2 if kind == Kind::Silent => {} // its time is measured
            1 if slow => script.push_back(Step::Pause(Duration::from_secs(dice.below(20) as u64))),
            2 if dice.once_in(3) => {
                script.push_back(Step::Rest(Duration::from_secs(dice.below(100) as u64)));
            }
            3 => script.push_back(Step::Settle),
            _ => script.push_back(message(dice, number, at, big)),
        }
    }
    match kind {
        Kind::Good => {
            if dice.once_in(2) {
                script.push_back(Step::Settle);
            }
            script.push_back(Step::Close(dice.one_of(&[None, Some(1000), Some(1001), Some(4444)])));
        }
        Kind::HalfClose => script.push_back(Step::Fin),
        Kind::Break => script.push_back(breach(dice)),
        Kind::Reset => script.push_back(Step::Reset),
        Kind::Deaf => {
            let at = dice.between(1, script.len());
            script.insert(at, Step::Deaf);
            script.push_back(message(dice, number, count, big));
        }
        Kind::Silent | Kind::HalfRequest | Kind::Plain => {}
    }
}

fn message(dice: &mut Dice, number: usize, at: usize, big: bool) -> Step {
    let len = match dice.below(20) {
        0 => 0,
        1..=11 => dice.below(200),
        12..=16 => dice.below(5_000),
        17 => dice.one_of(&[125, 126, 127, 65_535, 65_536]),
        18 => dice.below(80_000),
        _ if big => dice.below(1 << 20),
        _ => dice.below(20_000),
    };
    let opcode = dice.one_of(&[1, 2]);
    let mut payload = if len == 0 { String::new() } else { format!("{number}.{at}:") }.into_bytes();
    if opcode == 1 {
        while payload.len() < len {
            payload.extend_from_slice("aé€😀, κόσμε; ".as_bytes());
        }
    } else {
        payload.extend(dice.bytes(len));
    }
    let fragments = if dice.once_in(3) { dice.between(2, 9) } else { 1 };
    let pings = dice.once_in(2);
    Step::Message { opcode, payload: payload.into(), fragments, pings }
}

/// A breach of the protocol, with the code that it is answered with (RFC 6455 section 7.4.1).
fn breach(dice: &mut Dice) -> Step {
    let key = [1, 2, 3, 4];
    let framed = |first: u8, payload: &[u8]| {
        let mut bytes = Vec::new();
        encode(&mut bytes, first, payload, key);
        bytes
    };
    let mut nested = framed(0x01, b"begun");
    nested.extend(framed(0x81, b"not ended"));
    let breaches = [
        (b"\x81\x01x".to_vec(), 1002),
        (framed(0x83, b""), 1002),
        (framed(0xC1, b"x"), 1002),
        (framed(0x09, b"x"), 1002),
        (framed(0x89, &[0; 126]), 1002),
        (framed(0x80, b"x"), 1002),
        (b"\x82\xFE\x00\x05\x00\x00\x00\x00hello".to_vec(), 1002),
        (nested, 1002),
        (framed(0x88, b"x"), 1002),
        (framed(0x88, &1005_u16.to_be_bytes()), 1002),
        (framed(0x81, b"caf\xE9 au lait"), 1007),
        (framed(0x88, b"\x03\xE8\xFF"), 1007),
        (b"\x82\xFF\x00\x00\x00\x00\x00\x20\x00\x01\x00\x00\x00\x00".to_vec(), 1009),
    ];
    let (mut bytes, code) = breaches[dice.below(breaches.len())].clone();
    if dice.once_in(2) {
        let more = dice.below(5_000);
        bytes.extend(dice.bytes(more));
    }
    Step::Break { bytes, code }
}

/// A client takes the next step of its script.
pub fn act(world: &mut World, number: usize) {
    let now = world.now;
    let client = &mut world.crowd.clients[number];
    let Some(step) = client.script.front() else { return };
    if client.is_done() || (!client.is_talking() && !matches!(step, Step::Reset)) {
        return;
    }
    if matches!(step, Step::Settle) && !client.is_deaf {
        if !client.is_answered() {
            return settle(world, number);
        }
        client.settling_since = None;
    }
    if matches!(step, Step::Close(_) | Step::Fin | Step::Break { .. }) && client.paused_until > now
    {
        let rest = client.paused_until - now;
        return world.later(rest, Deed::Act(number));
    }
    let Some(step) = client.script.pop_front() else { return };
    client.said_at = now;
    world.trace(|| format!("client {number}: {}", step.name()));
    let rest = match &step {
        Step::Rest(rest) => *rest,
        _ if world.dice.once_in(2) => Duration::ZERO,
        _ if world.dice.once_in(20) => Duration::from_millis(world.dice.below(3_000) as u64),
        _ => Duration::from_micros(world.dice.below(5_000) as u64),
    };
    carry_out(world, number, step);
    world.arm_arrival(number);
    world.later(rest, Deed::Act(number));
}

/// Waits until everything is answered: within a minute of when it is read.
fn settle(world: &mut World, number: usize) {
    let now = world.now;
    let client = &mut world.crowd.clients[number];
    let since = *client.settling_since.get_or_insert(now.max(client.paused_until));
    if now.saturating_sub(since) > Duration::from_secs(60) {
        let waiting = world.crowd.clients[number].waiting().unwrap_or_default();
        return world.fail(format!("client {number} is not served: {waiting}"));
    }
    world.later(Duration::from_secs(5), Deed::Act(number)); // or when the last answer comes
}

fn carry_out(world: &mut World, number: usize, step: Step) {
    let (client, link) = (&mut world.crowd.clients[number], &mut world.links[number]);
    let dice = &mut world.dice;
    let mut bytes = Vec::new();
    match step {
        Step::Request { whole } => {
            let request = request(dice, client.kind, number);
            let len = if whole { request.len() } else { dice.below(request.len()) };
            bytes.extend_from_slice(&request.as_bytes()[..len]);
        }
        Step::Message { opcode, payload, fragments, pings } => {
            world.crowd.largest = world.crowd.largest.max(payload.len() + 14);
            write_message(dice, client, &mut bytes, (opcode, &payload), fragments, pings);
            client.sent.push(Sent { opcode, payload, dropped: false });
        }
        Step::Ping => {
            let payload = client.next_ping(dice);
            encode(&mut bytes, 0x89, &payload, [4, 3, 2, 1]);
        }
        // Two pauses in a row would be longer than a server has to bear.
        Step::Pause(_) if client.paused_until + Duration::from_secs(1) > world.now => {}
        Step::Pause(pause) => client.pause(world.now, pause),
        Step::Break { bytes: breach, code } => {
            bytes = breach;
            client.code_expected = Some(code);
            client.fin_sent = false;
        }
        Step::Close(code) => {
            let body = code.map(u16::to_be_bytes);
            encode(&mut bytes, 0x88, body.as_ref().map_or(&[], |b| &b[..]), [6, 6, 6, 6]);
            client.close(code);
        }
        Step::Fin => (link.flight_fin, client.fin_sent) = (true, true),
        Step::Reset => {
            client.gone = true;
            world.mishap("a reset");
            return world.reset(number);
        }
        Step::Deaf => client.is_deaf = true,
        Step::Rest(_) | Step::Settle => {}
    }
    link.flight.extend(bytes);
}

fn write_message(
    dice: &mut Dice,
    client: &mut Client,
    bytes: &mut Vec<u8>,
    (opcode, payload): (u8, &Rc<[u8]>),
    fragments: usize,
    pings: bool,
) {
    let mut rest: &[u8] = payload;
    for fragment in 0..fragments {
        let is_last = fragment + 1 == fragments;
        let len = if is_last { rest.len() } else { dice.below(rest.len() + 1) };
        let (piece, after) = rest.split_at(len);
        rest = after;
        let first = if fragment == 0 { opcode } else { 0 } | if is_last { 0x80 } else { 0 };
        let key = (dice.next() as u32).to_be_bytes();
        encode(bytes, first, piece, key);
        if pings && !is_last && dice.once_in(3) {
            let ping = client.next_ping(dice);
            encode(bytes, 0x89, &ping, key);
        }
    }
}

fn request(dice: &mut Dice, kind: Kind, number: usize) -> String {
    let way = if dice.once_in(6) { 'p' } else { 'c' };
    let upgrade = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let upgrade = if kind == Kind::Plain { "" } else { upgrade };
    let filler = "x".repeat(dice.one_of(&[0, 10, 1500]));
    format!("GET /{way}/{number} HTTP/1.1\r\nHost: sim\r\nX-Fill: {filler}\r\n{upgrade}\r\n")
}
