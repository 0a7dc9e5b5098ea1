//! People of the hub, by one connection after the other.
//!
//! Owns a connection as its client sees it, the commands that go over it, and the frames of both
//! ways. What a person does next, and what an answer means, is for each kind of [`People`].

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use crate::frames::{Parser, encode};
use crate::network;
use crate::rooms::{ROOMS, Room};
use crate::truth::{IDS_PER_LINK, Sent, Truth};
use crate::view::View;
use crate::world::{Arrival, Crowd, End, Excuse, Reader, World};

/// How much is under way on a good connection, each way, in bytes.
pub const WIDE: usize = 100_000;

/// A crowd of people.
pub trait People: Sized + 'static {
    /// What happens at a time.
    type Deed: Copy + Debug + Ord;

    /// Something on the agenda is due.
    fn act(world: &mut World<Self>, deed: Self::Deed);
    /// Whether another thread than the loops' has to run.
    fn has_work(&self) -> bool;
    /// How many connections a loop holds.
    fn connections_max(&self) -> usize;
    fn folk(&self) -> &Folk;
    fn folk_mut(&mut self) -> &mut Folk;
    /// Whether all that was said is kept.
    fn is_kept(&self) -> bool;
    /// What the histories of a loop may take, in bytes.
    fn history_bytes_max(&self) -> usize;
    /// What waits for the store, or the broker, of a loop, and what may, in bytes.
    fn queue(&self, loop_index: usize) -> (usize, usize);
    /// Whether members read slowly at times.
    fn has_slow(&self) -> bool;
    /// Whether the server may close a connection with this code.
    fn may_close(world: &mut World<Self>, code: Option<u16>) -> bool;
    /// The hub says something.
    fn message(world: &mut World<Self>, link: usize, payload: &[u8]) -> Result<(), String>;
}

impl<P: People> Crowd for P {
    type Action = P::Deed;

    /// Who asks to be woken in less than a millisecond is woken at once, again and again.
    const IDLE_TURNS_MAX: u32 = 20_000;

    fn act(world: &mut World<P>, deed: P::Deed) {
        <P as People>::act(world, deed);
    }

    fn reader(&self, number: usize) -> Option<Reader> {
        let link = &self.folk().links[number];
        let (from, is_trickling) = (link.paused_until, link.is_trickling);
        (!link.is_done()).then_some(Reader { from, is_trickling })
    }

    fn receive(world: &mut World<P>, number: usize, arrival: Arrival<'_>) -> Result<(), String> {
        receive(world, number, &arrival)
    }

    fn excuse(&mut self, number: usize, excuse: Excuse) {
        self.folk_mut().links[number].excuse = Some(excuse);
    }

    fn is_at_rest(&self) -> bool {
        self.folk().links.iter().all(Link::is_done)
    }

    fn connections_max(&self) -> usize {
        <P as People>::connections_max(self)
    }

    fn interrupts(&self) -> bool {
        self.has_work() || self.folk().stage == Stage::Over
    }

    fn waiting(&self) -> String {
        format!("{:?}", self.folk().stage)
    }
}

/// How far a world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Storm,
    Calm,
    Asked,
    Parted,
    Over,
}

/// All people of a world, and what is known of them.
pub struct Folk {
    pub people: Vec<Person>,
    /// By the number of the link.
    pub links: Vec<Link>,
    pub truth: Truth,
    pub stage: Stage,
    /// When the storm was over.
    pub calm_from: Duration,
    /// How many messages were seen.
    pub seen: u64,
    /// Of every byte that was read.
    pub digest: u64,
}

/// A person, over all of its connections.
#[derive(Default)]
pub struct Person {
    /// Its connection, if it has one.
    pub link: Option<usize>,
    pub views: [View; ROOMS],
}

/// What a command was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Join {
        room: usize,
        since: Option<(u64, u64)>,
    },
    Leave {
        room: usize,
    },
    Publish {
        room: usize,
        has_echo: bool,
    },
    /// The same message once more.
    Again {
        room: usize,
        id: u64,
    },
    Direct,
    /// Its answer has a number in place of the id.
    Heartbeat,
    Presence {
        room: usize,
    },
    History {
        room: usize,
    },
    /// Something that is no command.
    Nonsense,
}

/// One connection, as its client sees it.
#[derive(Default)]
pub struct Link {
    /// Whose it is; `None` of somebody who only looks in.
    pub person: Option<usize>,
    /// The room that its URL names.
    pub room: Option<usize>,
    pub head: Vec<u8>,
    pub is_upgraded: bool,
    pub parser: Parser,
    /// It was greeted.
    pub is_welcome: bool,
    next: u64,
    pub asked: BTreeMap<u64, Asked>,
    pub paused_until: Duration,
    pub is_trickling: bool,
    pub has_said_close: bool,
    pub close_heard: bool,
    has_ended: bool,
    is_gone: bool,
    pub excuse: Option<Excuse>,
}

impl Folk {
    /// So many, who are not there yet.
    pub fn new(count: usize, truth: Truth) -> Self {
        Self {
            people: (0..count).map(|_| Person::default()).collect(),
            links: Vec::new(),
            truth,
            stage: Stage::Storm,
            calm_from: Duration::ZERO,
            seen: 0,
            digest: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// Whether the storm is over, and nobody has gone since.
    pub fn is_settled(&self) -> bool {
        matches!(self.stage, Stage::Calm | Stage::Asked)
    }

    /// Whether everybody is in, and has an answer to all that was asked.
    pub fn all_are_in(&self) -> Result<(), String> {
        for (number, person) in self.people.iter().enumerate() {
            let link = person.link.map(|link| &self.links[link]);
            let Some(link) = link.filter(|link| link.is_welcome && link.is_talking()) else {
                return Err(format!("person {number} is not in, 10 s after the storm"));
            };
            if let Some((id, asked)) = link.asked.first_key_value() {
                return Err(format!("person {number} has no answer to {id}, {asked:?}"));
            }
        }
        Ok(())
    }
}

impl Link {
    /// Whether nothing more will come.
    pub fn is_done(&self) -> bool {
        self.has_ended || self.is_gone
    }

    /// Whether something may be sent.
    pub fn is_talking(&self) -> bool {
        self.is_upgraded && !self.has_said_close && !self.is_done()
    }
}

/// A new connection to a loop: of a person, or of somebody who only looks in.
pub fn connect<C: People>(
    world: &mut World<C>,
    person: Option<usize>,
    room: Option<usize>,
    loop_index: usize,
) {
    let most = if world.is_calm { WIDE } else { world.dice.one_of(&[200, 2_000, 100_000]) };
    let (in_max, out_max) =
        (world.dice.between(most / 2, most), world.dice.between(most / 2, most));
    let number = world.add_link(network::Link::new(in_max, out_max));
    world.links[number].loop_index = loop_index;
    let mut link = Link { person, room, ..Link::default() };
    link.is_trickling = world.crowd.has_slow() && !world.is_calm && world.dice.once_in(8);
    if link.is_trickling {
        world.mishap("a member that reads little at a time");
    }
    world.crowd.folk_mut().links.push(link);
    let name = match person {
        Some(person) => {
            world.crowd.folk_mut().people[person].link = Some(number);
            format!("&name=p{person}")
        }
        None => String::new(),
    };
    let room = room.map(|room| format!("&room={}", Room::name(room))).unwrap_or_default();
    let request = format!(
        "GET /ws?v=1{name}{room} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    world.links[number].flight.extend(request.as_bytes());
    world.connect(number);
    world.arm_arrival(number);
}

/// The connection over which a person can say something now; it comes to a loop where it has none.
pub fn talking<C: People>(world: &mut World<C>, number: usize, loops: usize) -> Option<usize> {
    let Some(link) = world.crowd.folk().people[number].link else {
        let room = world.dice.once_in(3).then(|| world.dice.below(ROOMS));
        let loop_index = world.dice.below(loops);
        connect(world, Some(number), room, loop_index);
        return None;
    };
    let state = &world.crowd.folk().links[link];
    (state.is_welcome && state.is_talking()).then_some(link)
}

/// The storm is over: connections are wide from here on, and everybody reads.
pub fn calm<C: People>(world: &mut World<C>) {
    world.is_calm = true;
    world.descriptors_from = world.now;
    let now = world.now;
    let folk = world.crowd.folk_mut();
    (folk.stage, folk.calm_from) = (Stage::Calm, now);
    for link in &mut folk.links {
        (link.paused_until, link.is_trickling) = (now, false);
    }
    for number in 0..world.links.len() {
        (world.links[number].out_max, world.links[number].reading_due) = (WIDE, false);
        world.arm_reading(number);
    }
}

/// Everyone goes, who has all answers by now.
pub fn part<C: People>(world: &mut World<C>) -> Result<(), String> {
    world.crowd.folk_mut().stage = Stage::Parted;
    for number in 0..world.crowd.folk().people.len() {
        let folk = world.crowd.folk();
        let Some(link) = folk.people[number].link else { continue };
        if let Some((id, asked)) = folk.links[link].asked.first_key_value() {
            return Err(format!("person {number} has no answer to {id}, {asked:?}, in the end"));
        }
        say_close(world, link);
    }
    Ok(())
}

/// Comes into a room, by what is known of it: always where it `must`.
pub fn join<C: People>(world: &mut World<C>, number: usize, link: usize, room: usize, must: bool) {
    let view = &mut world.crowd.folk_mut().people[number].views[room];
    view.is_joining = true;
    let since = view.since();
    let since = since.filter(|_| must || !world.dice.once_in(6));
    let more = since
        .map(|(epoch, offset)| format!(r#","since":{{"epoch":"{epoch:016x}","offset":{offset}}}"#));
    ask(world, link, Asked::Join { room, since }, &more.unwrap_or_default());
}

/// Says something in a room: the number of the message.
pub fn publish<C: People>(world: &mut World<C>, link: usize, room: usize) -> u64 {
    let has_echo = !world.dice.once_in(5);
    let len = match world.dice.below(12) {
        0..=8 => world.dice.below(40),
        9 | 10 => world.dice.below(2_000),
        _ => world.dice.below(12_000),
    };
    let id = world.crowd.folk_mut().links[link].next + link as u64 * IDS_PER_LINK;
    let echo = if has_echo { "" } else { r#","echo":false"# };
    let comes_again = has_echo && world.dice.once_in(6);
    let message_id = if comes_again { format!(r#","message_id":"{id}""#) } else { String::new() };
    let more = format!(r#","content":"{id}:{}"{echo}{message_id}"#, "x".repeat(len));
    world.crowd.folk_mut().truth.send(id, Sent { room, has_echo, comes_again });
    if comes_again {
        ask(world, link, Asked::Again { room, id }, &more);
        ask(world, link, Asked::Again { room, id }, &more);
        return id;
    }
    let asked = ask(world, link, Asked::Publish { room, has_echo }, &more);
    assert_eq!(asked, id, "the message has the number of its command");
    id
}

/// Sends a command: its number.
pub fn ask<C: People>(world: &mut World<C>, link: usize, asked: Asked, more: &str) -> u64 {
    let (kind, room) = match &asked {
        Asked::Join { room, .. } => ("join", Some(*room)),
        Asked::Leave { room } => ("leave", Some(*room)),
        Asked::Publish { room, .. } | Asked::Again { room, .. } => ("text", Some(*room)),
        Asked::Presence { room } => ("presence", Some(*room)),
        Asked::History { room } => ("history", Some(*room)),
        Asked::Direct => ("direct", None),
        Asked::Heartbeat => ("heartbeat", None),
        Asked::Nonsense => ("dance", None),
    };
    let state = &mut world.crowd.folk_mut().links[link];
    let id = state.next + link as u64 * IDS_PER_LINK;
    state.next += 1;
    let seq = if asked == Asked::Heartbeat { format!(r#","seq":{id}"#) } else { String::new() };
    state.asked.insert(id, asked);
    let room = room.map(|room| format!(r#","room":"{}""#, Room::name(room))).unwrap_or_default();
    say(world, link, &format!(r#"{{"type":"{kind}","id":{id}{room}{seq}{more}}}"#));
    id
}

/// Sends a message, in one frame or several, with a ping between them.
fn say<C: People>(world: &mut World<C>, link: usize, text: &str) {
    let mut bytes = Vec::new();
    let key = (world.dice.next() as u32).to_be_bytes();
    if world.dice.once_in(8) {
        let (one, other) = text.split_at(world.dice.below(text.len()));
        encode(&mut bytes, 0x01, one.as_bytes(), key);
        if world.dice.once_in(2) {
            encode(&mut bytes, 0x89, b"ping", key);
        }
        encode(&mut bytes, 0x80, other.as_bytes(), key);
    } else {
        encode(&mut bytes, 0x81, text.as_bytes(), key);
    }
    world.trace(|| format!("{link} says {text:.150}"));
    world.links[link].flight.extend(bytes);
    world.arm_arrival(link);
}

/// Answers, or says something that is no message.
fn say_control<C: People>(world: &mut World<C>, link: usize, first: u8, payload: &[u8]) {
    let mut bytes = Vec::new();
    encode(&mut bytes, first, payload, [9, 8, 7, 6]);
    world.links[link].flight.extend(bytes);
    world.arm_arrival(link);
}

pub fn say_close<C: People>(world: &mut World<C>, link: usize) {
    let state = &mut world.crowd.folk_mut().links[link];
    if state.is_talking() {
        state.has_said_close = true;
        say_control(world, link, 0x88, &1000_u16.to_be_bytes());
    }
}

/// Ends a connection, in one of many ways.
pub fn hang_up<C: People>(world: &mut World<C>, link: usize) {
    match world.dice.below(4) {
        0 => return say_close(world, link),
        1 => {}
        _ => {
            // In the middle of something, at any byte.
            let before = world.links[link].flight.len();
            let room = world.dice.below(ROOMS);
            publish(world, link, room);
            let flight = &mut world.links[link].flight;
            let cut = before + world.dice.below(flight.len() - before);
            flight.truncate(cut);
            world.mishap("a cut inside a frame");
        }
    }
    if world.dice.once_in(2) {
        world.mishap("the end of TCP without a Close");
        world.links[link].flight_fin = true;
        world.crowd.folk_mut().links[link].has_said_close = true;
        return world.arm_arrival(link);
    }
    world.mishap("a reset");
    world.crowd.folk_mut().links[link].is_gone = true;
    world.reset(link);
    end(world, link);
}

/// A connection is no more.
fn end<C: People>(world: &mut World<C>, link: usize) {
    let state = &mut world.crowd.folk_mut().links[link];
    state.has_ended = true;
    state.asked.clear();
    let Some(number) = state.person else { return };
    let person = &mut world.crowd.folk_mut().people[number];
    if person.link == Some(link) {
        person.link = None;
        for view in &mut person.views {
            view.leave();
            view.silent = 0;
        }
    }
}

/// Takes what has come, and the end.
fn receive<C: People>(
    world: &mut World<C>,
    link: usize,
    arrival: &Arrival<'_>,
) -> Result<(), String> {
    hear(world, link, arrival.bytes)?;
    let Some(how) = arrival.end else { return Ok(()) };
    let was_slow = world.crowd.has_slow();
    let state = &world.crowd.folk_mut().links[link];
    let is_excused = state.excuse.is_some() || state.has_said_close || state.is_done();
    if how == End::Fin && state.parser.is_inside() && !is_excused && !was_slow {
        return Err("the end of TCP inside a frame".to_owned());
    }
    if !state.close_heard && !is_excused && !was_slow {
        return Err(format!("{how:?} without a Close"));
    }
    if how == End::Fin && !world.links[link].flight_fin {
        world.links[link].flight_fin = true;
        world.arm_arrival(link);
    }
    end(world, link);
    Ok(())
}

/// Takes bytes of the server.
fn hear<C: People>(world: &mut World<C>, link: usize, bytes: &[u8]) -> Result<(), String> {
    let state = &mut world.crowd.folk_mut().links[link];
    if state.is_upgraded {
        state.parser.push(bytes);
    } else {
        state.head.extend_from_slice(bytes);
        let Some(end) = state.head.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(());
        };
        if !state.head.starts_with(b"HTTP/1.1 101 ") {
            let head = String::from_utf8_lossy(&state.head).into_owned();
            return Err(format!("a handshake answered with {head:?}"));
        }
        let rest = state.head.split_off(end + 4);
        state.is_upgraded = true;
        state.parser.push(&rest);
    }
    while let Some(frame) = world.crowd.folk_mut().links[link].parser.next()? {
        digest(world, link, &frame.payload);
        // Pongs may: they are no data (RFC 6455 section 5.5.1).
        if world.crowd.folk_mut().links[link].close_heard && frame.opcode != 10 {
            return Err(format!("opcode {} after the server's Close", frame.opcode));
        }
        match frame.opcode {
            1 => {
                world.trace(|| {
                    format!("{link} hears {:.200}", String::from_utf8_lossy(&frame.payload))
                });
                C::message(world, link, &frame.payload).map_err(|what| {
                    format!("{what}, by {:.300}", String::from_utf8_lossy(&frame.payload))
                })?;
            }
            8 => close(world, link, &frame.payload)?,
            9 if world.crowd.folk_mut().links[link].is_talking() => {
                say_control(world, link, 0x8A, &frame.payload);
            }
            9 | 10 => {}
            other => return Err(format!("a frame of opcode {other}")),
        }
    }
    Ok(())
}

/// Takes bytes into the digest of the world (FNV-1a); a trace is made from a secret of its own.
fn digest<C: People>(world: &mut World<C>, link: usize, payload: &[u8]) {
    let end = payload.windows(13).position(|it| it == b"\"traceparent\"");
    let payload = &payload[..end.unwrap_or(payload.len())];
    let link = (link as u64).to_le_bytes();
    let digest = &mut world.crowd.folk_mut().digest;
    for byte in link.iter().chain(payload) {
        *digest ^= u64::from(*byte);
        *digest = digest.wrapping_mul(0x100_0000_01b3);
    }
}

fn close<C: People>(world: &mut World<C>, link: usize, payload: &[u8]) -> Result<(), String> {
    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
    let state = &mut world.crowd.folk_mut().links[link];
    state.close_heard = true;
    let is_answer = state.has_said_close && code == Some(1000);
    if !C::may_close(world, code) && !is_answer {
        let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
        return Err(format!("closed with {code:?} {reason:?}"));
    }
    let state = &mut world.crowd.folk_mut().links[link];
    if state.is_talking() {
        state.has_said_close = true;
        say_control(world, link, 0x88, payload);
    }
    Ok(())
}
