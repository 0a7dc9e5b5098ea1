//! Several nodes over a broker that is a map: whatever is lost, what each knows of the others is
//! right in the end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::*;

type Fields = BTreeMap<String, (Vec<u8>, Duration)>;

/// A broker, and the nodes at it.
struct World {
    nodes: Vec<Node>,
    tables: HashMap<String, Fields>,
    now: Duration,
    random: u64,
    /// How often somebody was said to have left.
    left: usize,
}

struct Node {
    presence: Presence,
    instance: u64,
    followed: HashSet<Arc<str>>,
    /// The truth about its members.
    members: BTreeMap<(Arc<str>, Arc<str>), i64>,
    /// What it was told of the others'.
    view: BTreeMap<(Arc<str>, Arc<str>), i64>,
    has_link: bool,
    is_dead: bool,
}

impl World {
    fn new(count: u64, seed: u64) -> Self {
        let mut world = Self {
            nodes: Vec::new(),
            tables: HashMap::new(),
            now: Duration::from_secs(1),
            random: seed * 2 + 1,
            left: 0,
        };
        for instance in 1..=count {
            world.add(instance);
        }
        world
    }

    fn add(&mut self, instance: u64) {
        let mut presence = Presence::new(instance, "node".into());
        presence.open(self.now);
        self.nodes.push(Node {
            presence,
            instance,
            followed: HashSet::new(),
            members: BTreeMap::new(),
            view: BTreeMap::new(),
            has_link: true,
            is_dead: false,
        });
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % end
    }

    fn seat(&mut self, at: usize, room: &str, name: &str, change: i64) {
        let (room, name): (Arc<str>, Arc<str>) = (room.into(), name.into());
        *self.nodes[at].members.entry((Arc::clone(&room), Arc::clone(&name))).or_default() +=
            change;
        self.nodes[at].presence.seat(Seating { room, name, change });
    }

    fn follow(&mut self, at: usize, room: &str) {
        let room: Arc<str> = room.into();
        self.nodes[at].presence.follow(&room);
        self.nodes[at].followed.insert(Arc::clone(&room));
        if self.nodes[at].has_link {
            self.list(at, &room);
        }
    }

    fn unfollow(&mut self, at: usize, room: &str) {
        self.nodes[at].presence.unfollow(room);
        self.nodes[at].followed.remove(room);
    }

    fn fields(&mut self, table: &str) -> Vec<Field> {
        let now = self.now;
        let fields = self.tables.entry(table.into()).or_default();
        fields.retain(|_, (_, until)| *until > now);
        fields.iter().map(|(name, (value, _))| ((**name).into(), (**value).into())).collect()
    }

    fn list(&mut self, at: usize, room: &Arc<str>) {
        let fields = self.fields(&format!("members:{room}"));
        let round = self.nodes[at].presence.begin();
        self.nodes[at].presence.listed(room, fields, round, self.now);
    }

    fn lose(&mut self, at: usize) {
        self.nodes[at].has_link = false;
        self.nodes[at].presence.lose();
    }

    fn reopen(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.has_link = true;
        node.presence.open(self.now);
        let rooms: Vec<_> = node.followed.iter().cloned().collect();
        rooms.iter().for_each(|room| self.list(at, room));
    }

    /// Carries out what a node wants.
    fn turn(&mut self, at: usize) {
        if self.nodes[at].is_dead || !self.nodes[at].has_link {
            return;
        }
        let round = self.nodes[at].presence.begin();
        for errand in self.nodes[at].presence.errands(self.now) {
            match errand {
                Errand::Say { room, body } => {
                    for node in &mut self.nodes {
                        let hears = node.has_link && !node.is_dead && node.followed.contains(&room);
                        if hears {
                            assert!(node.presence.said(&room, &body, self.now));
                        }
                    }
                }
                Errand::Put { table, field, value, lease } => {
                    let until = self.now + lease;
                    self.tables.entry(table).or_default().insert(field, (value, until));
                }
                Errand::Remove { table, field } => {
                    self.tables.entry(table).or_default().remove(&field);
                }
                Errand::List { room: Some(room), table } => {
                    let fields = self.fields(&table);
                    self.nodes[at].presence.listed(&room, fields, round, self.now);
                }
                Errand::List { room: None, table } => {
                    let fields = self.fields(&table);
                    self.nodes[at].presence.nodes_listed(&fields, self.now);
                }
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(100);
            for at in 0..self.nodes.len() {
                self.turn(at);
            }
        }
        self.take();
    }

    fn take(&mut self) {
        for node in &mut self.nodes {
            for Seating { room, name, change } in node.presence.seatings() {
                self.left += usize::from(change < 0);
                let count = node.view.entry((room, name)).or_default();
                *count += change;
                assert!(*count >= 0, "nobody leaves who has not come");
            }
        }
    }

    /// Each node knows who is where on the others.
    fn assert_true(&self, words: &str) {
        for node in self.nodes.iter().filter(|node| !node.is_dead) {
            let mut truth = BTreeMap::new();
            let others = self.nodes.iter().filter(|other| other.instance != node.instance);
            for other in others.filter(|other| !other.is_dead) {
                for (seat, count) in &other.members {
                    if node.followed.contains(&seat.0) {
                        *truth.entry(seat.clone()).or_insert(0) += count;
                    }
                }
            }
            truth.retain(|_, count| *count != 0);
            let mut view = node.view.clone();
            view.retain(|_, count| *count != 0);
            assert_eq!(view, truth, "{words}: node {}", node.instance);
        }
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn who_follows_a_room_knows_who_is_there_at_once() {
    let mut world = World::new(2, 1);
    world.seat(0, "a", "ann", 1);
    world.pass(seconds(3));
    world.follow(1, "a");
    world.take();
    world.assert_true("the table was read");
    world.seat(0, "a", "bob", 2);
    world.seat(0, "a", "ann", -1);
    world.pass(Duration::from_millis(100));
    world.assert_true("changes are told");
    world.seat(0, "a", "bob", -2);
    world.seat(0, "a", "cec", 1);
    world.seat(0, "a", "cec", -1);
    world.pass(Duration::from_millis(100));
    world.assert_true("nobody is there");
    assert!(world.fields("members:a").is_empty(), "what is not needed is not kept");
    world.seat(0, "a", "ann", 1);
    world.unfollow(1, "a");
    world.pass(Duration::from_millis(100));
    world.assert_true("it is of no interest any more");
}

#[test]
fn the_members_of_a_node_that_dies_are_gone_within_ten_seconds() {
    let mut world = World::new(3, 1);
    for at in 0..3 {
        world.seat(at, "a", "ann", 1);
        world.follow(at, "a");
    }
    world.pass(seconds(10));
    world.assert_true("all live");
    world.nodes[0].is_dead = true;
    world.pass(seconds(3));
    assert_eq!(world.nodes[1].view[&("a".into(), "ann".into())], 2, "nothing is known yet");
    world.pass(seconds(7));
    world.assert_true("one is dead");
    assert_eq!(world.fields("members:a").len(), 2, "what it had kept is gone too");
    assert_eq!(world.nodes[1].presence.nodes().collect::<Vec<_>>(), [3]);
    world.add(9);
    world.follow(3, "a");
    world.pass(seconds(3));
    world.assert_true("one is new");
}

#[test]
fn who_is_cut_off_keeps_what_it_knows_and_is_gone_for_the_others_until_it_is_back() {
    let mut world = World::new(2, 1);
    for at in 0..2 {
        world.seat(at, "a", "ann", 1);
        world.follow(at, "a");
    }
    world.pass(seconds(5));
    world.lose(0);
    world.pass(seconds(20));
    let count = |world: &World, at: usize| world.nodes[at].view[&("a".into(), "ann".into())];
    assert_eq!((count(&world, 0), count(&world, 1)), (1, 0));
    world.reopen(0);
    world.pass(seconds(1));
    world.assert_true("it is back");
}

#[test]
fn a_broker_that_has_forgotten_everything_is_told_again() {
    for loses_links in [false, true] {
        let mut world = World::new(3, 1);
        for at in 0..2 {
            world.seat(at, "a", "ann", 1);
            world.follow(at, "a");
        }
        world.pass(seconds(7));
        world.tables.clear();
        if loses_links {
            (0..3).for_each(|at| world.lose(at));
            world.reopen(0);
            world.pass(seconds(1));
            (1..3).for_each(|at| world.reopen(at));
        }
        world.pass(seconds(7));
        assert_eq!(world.left, 0, "nobody has left");
        world.follow(2, "a");
        world.take();
        world.assert_true("the tables are there again");
    }
}

#[test]
fn of_a_crowd_the_others_know_the_number() {
    let mut world = World::new(2, 1);
    world.follow(1, "a");
    for n in 0..NAMES_MAX + 500 {
        world.seat(0, "a", &format!("u{n}"), 1);
        if n % 100 == 0 {
            world.pass(Duration::from_millis(100));
        }
    }
    world.pass(seconds(2));
    let view = &world.nodes[1].view;
    assert_eq!(view.values().sum::<i64>(), NAMES_MAX as i64 + 500);
    assert_eq!(view[&("a".into(), "".into())], 500);
    for n in 0..NAMES_MAX + 500 {
        world.seat(0, "a", &format!("u{n}"), -1);
    }
    world.pass(seconds(2));
    assert!(world.nodes[1].view.values().all(|count| *count == 0));
    assert!(world.fields("members:a").is_empty());
}

/// News that comes while a table is read is of before or after: what it says is kept.
#[test]
fn what_is_told_while_a_table_is_read_is_not_undone_by_it() {
    let (now, room): (_, Arc<str>) = (seconds(1), "a".into());
    let mut one = Presence::new(1, "one".into());
    one.open(now);
    let mut told = |name: &str, change: i64| {
        one.seat(Seating { room: "a".into(), name: name.into(), change });
        let errands = one.errands(now);
        let said = errands.into_iter().find_map(|errand| match errand {
            Errand::Say { body, .. } => Some(body),
            _ => None,
        });
        said.expect("it is told")
    };
    let mut other = Presence::new(2, "other".into());
    other.follow(&room);
    let counts = |presence: &mut Presence| -> i64 {
        presence.seatings().iter().map(|seating| seating.change).sum()
    };
    let round = other.begin();
    other.said(&room, &told("ann", 1), now);
    other.begin(); // what was missing is read in between
    other.listed(&room, Vec::new(), round, now); // read before ann came
    assert_eq!(counts(&mut other), 1);
    let round = other.begin();
    let content = Content { version: 1, names: [("ann".into(), 1)].into() };
    let value = serde_json::to_vec(&content).unwrap();
    other.said(&room, &told("ann", -1), now);
    other.listed(&room, vec![("0000000000000001".into(), value.into())], round, now);
    assert_eq!(counts(&mut other), -1, "she was there when it was read, and is not any more");
    let round = other.begin();
    other.listed(&room, Vec::new(), round, now);
    assert_eq!(counts(&mut other), 0);
}

/// Members come and go, nodes follow and let go, are cut off, die and are new, the broker forgets.
#[test]
fn whatever_happens_all_is_right_in_the_end() {
    for seed in 0..100 {
        let mut world = World::new(4, seed);
        for _ in 0..300 {
            let at = world.below(world.nodes.len() as u64) as usize;
            if world.nodes[at].is_dead {
                continue;
            }
            let (room, name) = (format!("r{}", world.below(3)), format!("u{}", world.below(4)));
            match world.below(100) {
                0..60 => {
                    let seat = (room.as_str().into(), name.as_str().into());
                    let here = world.nodes[at].members.get(&seat).copied().unwrap_or(0);
                    let leaves = here > 0 && world.below(2) == 0;
                    world.seat(at, &room, &name, if leaves { -1 } else { 1 });
                }
                60..70 if world.nodes[at].followed.contains(&*room) => world.unfollow(at, &room),
                60..80 if !world.nodes[at].followed.contains(&*room) => world.follow(at, &room),
                80..88 if world.nodes[at].has_link => world.lose(at),
                80..96 if !world.nodes[at].has_link => world.reopen(at),
                96 => world.nodes[at].is_dead = true,
                97 => world.tables.clear(),
                _ => {
                    let time = Duration::from_millis(100 * world.below(40));
                    world.pass(time);
                }
            }
            world.turn(at);
        }
        for at in 0..world.nodes.len() {
            if !world.nodes[at].has_link {
                world.reopen(at);
            }
        }
        world.pass(seconds(20));
        world.assert_true(&format!("seed {seed}"));
    }
}

/// A seed of `tests/simulation` (`nodes_from_seeds`, 32): the broker had refused to pass on that
/// somebody has left, and the others kept it.
#[test]
fn what_the_broker_refuses_is_done_again_as_things_are_then() {
    let (now, room): (_, Arc<str>) = (seconds(1), "a".into());
    let mut one = Presence::new(1, "one".into());
    one.open(now);
    let seat = |change| Seating { room: Arc::clone(&room), name: "ann".into(), change };
    let refuse = |presence: &mut Presence| {
        let errands = presence.errands(now);
        errands.iter().for_each(|errand| presence.failed(errand, now));
        errands
    };
    one.seat(seat(1));
    refuse(&mut one);
    let again = one.errands(now);
    let is_put = |errand: &Errand| matches!(errand, Errand::Put { .. });
    let is_said = |errand: &Errand| matches!(errand, Errand::Say { .. });
    assert!(again.iter().any(is_put) && again.iter().any(is_said), "{again:?}");
    one.seat(seat(-1));
    let refused = refuse(&mut one);
    assert_eq!((refused.len(), one.errands(now)), (2, refused), "it is gone, and that is said");
    assert!(one.errands(now).is_empty());
}
