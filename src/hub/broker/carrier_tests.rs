//! Two or three nodes over one broker, stepped by hand, in worlds made from a seed.
//!
//! Links break before, amid and after what was asked of them; requests are refused; news is lost,
//! doubled and late; the broker goes away and comes back. What the home loops are told is held
//! against what the broker really has.

#[path = "mending_tests.rs"]
mod mending;
#[path = "stormy_tests.rs"]
mod stormy;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use serde_json::value::RawValue;

use super::*;
use crate::hub::broker::Memory;
use crate::hub::history::{Keep, Keeper, KeeperLimits, PageMax, Position, Rule, Span};
use crate::hub::mail::{Letter, Mail};
use crate::hub::sequencer::Origin;
use crate::net::{ConnectionId, Mailbox, Mailboxes};
use stormy::{Plant, SharedSky, Sky, Stormy, lock, number, room_of};

const ROOMS: [&str; 2] = ["m.0", "d.0"];

/// How many worlds there are, and with `THRONG_FULL=1`.
const SEEDS: u64 = 200;
const SEEDS_FULL: u64 = 3_000;

/// Time, in microseconds.
struct WorldClock(Arc<AtomicU64>);

impl Clock for WorldClock {
    fn now(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn unix_ms(&self) -> u64 {
        self.now().as_millis() as u64
    }
}

/// What becomes of a message, for who has published it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    At(u64),
    /// It is for the members of the node alone: the broker does not have it.
    Alone,
    /// Nobody knows.
    Unknown,
}

/// One node, as its loop sees it.
struct NodeView {
    keeper: Keeper,
    mailbox: Mailbox<Mail>,
    /// How far each room is; `None` where it was not read.
    rooms: [Option<Position>; ROOMS.len()],
    is_reading: [bool; ROOMS.len()],
    /// What it has published and not heard of.
    waiting: BTreeSet<u64>,
}

/// What is known of all messages.
#[derive(Default)]
struct Truth {
    /// Where each number was published to, and what came of it, each time.
    fates: BTreeMap<u64, (usize, Vec<Fate>)>,
    /// Which message somebody has heard at a place.
    heard: HashMap<(usize, u64), u64>,
    gaps: usize,
}

type Done = crate::hub::history::Done;

impl NodeView {
    fn publish(&mut self, truth: &mut Truth, room: usize, number: u64) -> Result<(), String> {
        let raw = |number: u64| RawValue::from_string(number.to_string()).expect("JSON");
        let origin = Origin { loop_index: 0, member: 0, id: ConnectionId::from_u64(0) };
        let by = Author::Member { origin, id: Some(raw(number)), has_echo: true };
        let publish = Publish {
            room: ROOMS[room].into(),
            sender: "ann".into(),
            content: raw(number),
            timestamp: 1,
            key: None,
            message_id: Some(number.to_string().into()),
            by: Some(by),
            is_counted: true,
        };
        truth.fates.entry(number).or_insert((room, Vec::new()));
        self.waiting.insert(number);
        let op = Op::Append(publish, Duration::from_secs(600));
        self.keeper.put(0, op).map_err(|fault| format!("{number}: {}", fault.code))
    }

    fn read(&mut self, room: usize) {
        self.is_reading[room] = true;
        let max = PageMax { messages: 1000, bytes: 1 << 20 };
        let room = ROOMS[room].into();
        let reading = Reading { room, span: Span::Newest, max, oldest_ms: 0, inquiry: None };
        let _ = self.keeper.put(0, Op::Read(reading)); // it is tried again
    }

    /// Takes what the carrier has told.
    fn hear(&mut self, sky: &SharedSky, truth: &mut Truth) -> Result<(), String> {
        let (mut mail, mut all) = (Vec::new(), Vec::new());
        self.mailbox.take(&mut mail);
        for Mail(letter) in mail {
            if let Letter::Done(done) = letter {
                all.extend(done);
            }
        }
        let is_heard = |done: &Done| matches!(done.what, What::Heard(..));
        let at = all.iter().position(is_heard);
        if let Some(at) = at
            && lock(sky).shows(Plant::LosesDone, 10)
        {
            all.remove(at);
        }
        if lock(sky).shows(Plant::SwapsDone, 4)
            && let Some(at) =
                (1..all.len()).find(|at| is_heard(&all[*at]) && is_heard(&all[at - 1]))
        {
            all.swap(at, at - 1);
        }
        for done in all {
            let again = match &done.what {
                What::Heard(publish, position) => {
                    Some((room_of(&publish.room), number(publish), *position))
                }
                _ => None,
            };
            self.take(done.what, truth)?;
            if let Some((room, number, position)) = again
                && lock(sky).shows(Plant::DoublesDone, 20)
            {
                self.hear_message(truth, room, number, position)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, what: What, truth: &mut Truth) -> Result<(), String> {
        match what {
            What::Heard(publish, position) => {
                self.hear_message(truth, room_of(&publish.room), number(&publish), position)
            }
            What::Published(Author::Member { id: Some(id), .. }, receipt) => {
                let offset = receipt.offset.ok_or("acknowledged without an offset")?;
                self.settle(truth, id.get().parse().expect("a number"), Fate::At(offset))
            }
            What::Alone(publish) => self.settle(truth, number(&publish), Fate::Alone),
            What::Append(publish, Err(_)) => self.settle(truth, number(&publish), Fate::Unknown),
            What::Gap(room, position) => {
                truth.gaps += 1;
                self.rooms[room_of(&room)] = Some(position);
                Ok(())
            }
            What::Read { room, result, .. } => {
                let room = room_of(&room);
                self.is_reading[room] = false;
                let Ok(page) = result else { return Ok(()) };
                if let Some(known) = self.rooms[room].filter(|known| *known != page.position) {
                    return Err(format!("{known:?} is known, and {:?} was read", page.position));
                }
                self.rooms[room] = Some(page.position);
                Ok(())
            }
            What::Nodes(_) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }

    fn hear_message(
        &mut self,
        truth: &mut Truth,
        room: usize,
        number: u64,
        position: Position,
    ) -> Result<(), String> {
        let next = |known: Position| Position { offset: known.offset + 1, ..known };
        let known = self.rooms[room].ok_or("it comes before its room was read")?;
        if position != next(known) {
            return Err(format!("{position:?} after {known:?}"));
        }
        self.rooms[room] = Some(position);
        match truth.heard.insert((room, position.offset), number) {
            Some(other) if other != number => Err(format!("{number} and {other} at {position:?}")),
            _ => Ok(()),
        }
    }

    fn settle(&mut self, truth: &mut Truth, number: u64, fate: Fate) -> Result<(), String> {
        if !self.waiting.remove(&number) {
            return Err(format!("{number} is answered twice: {fate:?}"));
        }
        truth.fates.get_mut(&number).ok_or("never sent")?.1.push(fate);
        Ok(())
    }
}

/// Lives through one world; what happened in it, and how often.
fn live(seed: u64, planted: Option<Plant>) -> Result<BTreeMap<&'static str, usize>, String> {
    let sky = Sky {
        random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        is_calm: false,
        planted,
        log: Default::default(),
        mishaps: BTreeMap::new(),
    };
    let (sky, memory) = (Arc::new(Mutex::new(sky)), Memory::default());
    let time = Arc::new(AtomicU64::new(0));
    let count = 2 + lock(&sky).below(2) as usize;
    let (mut nodes, mut carriers) = (Vec::new(), Vec::new());
    for number in 0..count as u64 {
        let broker = Stormy { memory: memory.clone(), sky: Arc::clone(&sky) };
        let of_backoff = Arc::clone(&sky);
        let (view, carrier) = node(number + 1, broker, &time, move || lock(&of_backoff).next());
        nodes.push(view);
        carriers.push(carrier);
    }
    let mut world = World { sky, memory, time, nodes, truth: Truth::default(), next: 0 };
    world.storm(&mut carriers)?;
    world.calm(&mut carriers)?;
    world.judge()
}

/// A node that is stepped by hand, and how its loop sees it.
fn node<B: Broker>(
    instance: u64,
    broker: B,
    time: &Arc<AtomicU64>,
    random: impl FnMut() -> u64 + 'static,
) -> (NodeView, Carrier<B>) {
    let (keeper, shared) = Keeper::without_thread("broker", KeeperLimits::default());
    let mailboxes: Mailboxes<Mail> = [Mailbox::new(1 << 16, || {})].into_iter().collect();
    keeper.attach(&mailboxes);
    let mailbox = mailboxes[0].clone();
    let (rooms, is_reading, waiting) = (Default::default(), Default::default(), BTreeSet::new());
    let view = NodeView { keeper, mailbox, rooms, is_reading, waiting };
    let around = Around {
        clock: Box::new(WorldClock(Arc::clone(time))),
        random: Box::new(random),
        is_stepped: true,
    };
    let node = Node { name: "node".into(), instance };
    (view, Carrier::new(shared, Arc::default(), &node, history(), broker, around))
}

fn history() -> History {
    let keep = |is_durable| Keep { messages_max: 100_000, is_durable, ..Keep::default() };
    let pattern = crate::hub::auth::Pattern::new("d.*").expect("a pattern");
    let rules = vec![Rule { pattern, keep: keep(true) }];
    History { rules, otherwise: keep(false), ..History::default() }
}

struct World {
    sky: SharedSky,
    memory: Memory,
    time: Arc<AtomicU64>,
    nodes: Vec<NodeView>,
    truth: Truth,
    next: u64,
}

type Carriers = [Carrier<Stormy>];

impl World {
    fn below(&self, end: u64) -> u64 {
        lock(&self.sky).below(end)
    }

    /// A node has the processor.
    fn turn(&mut self, carriers: &mut Carriers, at: usize) -> Result<(), String> {
        carriers[at].turn();
        let heard = self.nodes[at].hear(&self.sky, &mut self.truth);
        heard.map_err(|what| format!("node {at}: {what}"))
    }

    fn pass_time(&self, most_ms: u64) {
        let micros = self.below(most_ms * 1000);
        self.time.fetch_add(micros, Ordering::Relaxed);
    }

    fn storm(&mut self, carriers: &mut Carriers) -> Result<(), String> {
        let mut back_at = None;
        for _ in 0..200 + self.below(400) {
            self.pass_time(40);
            let now = self.time.load(Ordering::Relaxed);
            if back_at.is_some_and(|back| back <= now) {
                self.memory.back();
                back_at = None;
            }
            let at = self.below(self.nodes.len() as u64) as usize;
            let room = self.below(ROOMS.len() as u64) as usize;
            match self.below(10) {
                0..4 => self.turn(carriers, at)?,
                4..7 => self.say(at, room)?,
                7 if self.nodes[at].rooms[room].is_none() && !self.nodes[at].is_reading[room] => {
                    self.nodes[at].read(room);
                }
                8 => self.say_again(at)?,
                9 if back_at.is_none() && lock(&self.sky).mishap(12, "the broker is away") => {
                    self.memory.leave();
                    back_at = Some(now + self.below(4_000_000));
                }
                _ => self.turn(carriers, at)?,
            }
        }
        Ok(())
    }

    fn say(&mut self, at: usize, room: usize) -> Result<(), String> {
        self.next += 1;
        self.nodes[at].publish(&mut self.truth, room, self.next)
    }

    /// What nobody knows of is said again, by whatever node.
    fn say_again(&mut self, at: usize) -> Result<(), String> {
        let is_lost = |(_, fates): &(usize, Vec<Fate>)| fates.last() == Some(&Fate::Unknown);
        let lost = self.truth.fates.iter().find(|(_, message)| is_lost(message));
        let Some((number, room)) = lost.map(|(number, (room, _))| (*number, *room)) else {
            return Ok(());
        };
        let is_under_way = self.nodes.iter().any(|node| node.waiting.contains(&number));
        if is_under_way { Ok(()) } else { self.nodes[at].publish(&mut self.truth, room, number) }
    }

    /// Nothing goes wrong any more: five seconds later all nodes are there, and after one more
    /// word in each room all have it.
    fn calm(&mut self, carriers: &mut Carriers) -> Result<(), String> {
        lock(&self.sky).is_calm = true;
        self.memory.back();
        let turns = |world: &mut Self, carriers: &mut Carriers, count: usize| {
            for _ in 0..count {
                world.time.fetch_add(50_000, Ordering::Relaxed);
                (0..world.nodes.len()).try_for_each(|at| world.turn(carriers, at))?;
            }
            Ok::<(), String>(())
        };
        turns(self, carriers, 100)?;
        for (at, carrier) in carriers.iter().enumerate() {
            if !carrier.counts.is_connected.load(Ordering::Relaxed) {
                return Err(format!("node {at} is alone, 5 s after the storm"));
            }
            (0..ROOMS.len())
                .filter(|room| self.nodes[at].rooms[*room].is_none())
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|room| self.nodes[at].read(room));
        }
        turns(self, carriers, 10)?;
        for room in 0..ROOMS.len() {
            self.say(0, room)?;
        }
        turns(self, carriers, 60)
    }

    fn judge(self) -> Result<BTreeMap<&'static str, usize>, String> {
        let Self { sky, nodes, truth, .. } = self;
        let sky = lock(&sky);
        for (at, node) in nodes.iter().enumerate() {
            if !node.waiting.is_empty() {
                return Err(format!("node {at} has no answer to {:?}", node.waiting));
            }
            for (room, log) in sky.log.iter().enumerate() {
                let (end, known) = (log.len() as u64, node.rooms[room].map(|it| it.offset));
                if known != Some(end) {
                    return Err(format!("node {at}: {} ends at {end}, not {known:?}", ROOMS[room]));
                }
            }
        }
        let mut places = BTreeMap::new();
        for (room, log) in sky.log.iter().enumerate() {
            for (index, (offset, number)) in log.iter().enumerate() {
                if *offset != index as u64 + 1 {
                    return Err(format!("{offset} of {} where {} is due", ROOMS[room], index + 1));
                }
                if places.insert(*number, (room, *offset)).is_some() {
                    return Err(format!("{number} stands there twice"));
                }
            }
        }
        let wrong = truth
            .heard
            .iter()
            .find(|((room, offset), number)| sky.log[*room].get(offset) != Some(number));
        if let Some((place, number)) = wrong {
            return Err(format!("{number} was heard at {place:?}, and is not there"));
        }
        let mut counts = sky.mishaps.clone();
        for (number, (room, fates)) in &truth.fates {
            for fate in fates {
                let is_so = match fate {
                    Fate::At(offset) => places.get(number) == Some(&(*room, *offset)),
                    Fate::Alone => fates.len() > 1 || !places.contains_key(number),
                    Fate::Unknown => true,
                };
                if !is_so {
                    return Err(format!("{number} is {fate:?}, and at {:?}", places.get(number)));
                }
                let what = match fate {
                    Fate::At(_) => "acknowledged",
                    Fate::Alone => "for one node alone",
                    Fate::Unknown => "unknown",
                };
                *counts.entry(what).or_default() += 1;
            }
        }
        *counts.entry("gaps told of").or_default() += truth.gaps;
        Ok(counts)
    }
}

#[test]
fn nodes_from_seeds() {
    let one = std::env::var("THRONG_SEED").ok().and_then(|seed| seed.parse().ok());
    let is_full = std::env::var_os("THRONG_FULL").is_some();
    let usual = 0..if is_full { SEEDS_FULL } else { SEEDS };
    let seeds = one.map_or(usual, |seed| seed..seed + 1);
    let mut all: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in seeds {
        let counts = live(seed, None).unwrap_or_else(|what| {
            panic!("seed {seed}: {what}\nTHRONG_SEED={seed} cargo test --lib nodes_from_seeds")
        });
        counts.into_iter().for_each(|(what, count)| *all.entry(what).or_default() += count);
    }
    println!("{all:#?}");
    let never: Vec<_> = all.iter().filter(|(_, count)| **count == 0).collect();
    assert!(one.is_some() || never.is_empty(), "never: {never:?}");
}

#[test]
fn planted_faults_are_found() {
    let plants = [
        Plant::LosesWrite,
        Plant::WritesTwice,
        Plant::RefusesBehind,
        Plant::LosesDone,
        Plant::DoublesDone,
        Plant::SwapsDone,
    ];
    for plant in plants {
        let found = (0..40).find_map(|seed| live(seed, Some(plant)).err());
        println!("{plant:?}: {}", found.unwrap_or_else(|| panic!("not found: {plant:?}")));
    }
}
