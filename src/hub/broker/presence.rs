//! Who is in a room, over all nodes.
//!
//! Owns what this node tells the others of its members, what it knows of theirs, and which nodes
//! live. A state machine without I/O: what it wants done are [`Errand`]s, what has changed for the
//! members of this node are [`Seating`]s, in the same order each time. It does not know what a room
//! means.
//!
//! - Of each room in which it has members a node keeps a table at the broker, and tells those who
//!   follow the room of each change. A table has a version, so that who has missed a change sees
//!   it, and reads the table.
//! - A node lives as long as it renews its lease. The members of one that does not are gone.
//! - Without a link nothing is known: what was, stays, until the tables are read again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::Field;
use super::errand::{Content, Delta, Errand, Names, instance_of, room_of};

/// How often a node says that it lives, and looks who else does.
const BEAT: Duration = Duration::from_secs(2);

/// How long a node lives that does not say so.
const LIFE: Duration = Duration::from_secs(6);

/// How long after a link was opened nobody is found dead: the others may have to come back too.
const GRACE: Duration = Duration::from_secs(4);

/// How long a table is kept that is not put again.
const TABLE_LIFE: Duration = Duration::from_secs(600);

/// How old it may be.
const TABLE_AGE: Duration = Duration::from_secs(240);

/// A table of more names is put at most this often.
const SMALL: usize = 64;
const PUT_PAUSE: Duration = Duration::from_secs(1);

/// How soon a table is read again that lags behind what was told.
const READ_PAUSE: Duration = Duration::from_millis(500);

/// How many names of a room a node tells of; of more members it tells the number, under no name.
pub(super) const NAMES_MAX: usize = 1000;

/// Members of one name have come to a room, or have left it where `change` is negative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::hub) struct Seating {
    pub(in crate::hub) room: Arc<str>,
    /// Empty where only their number is known.
    pub(in crate::hub) name: Arc<str>,
    pub(in crate::hub) change: i64,
}

/// See the head of this module. Times count from any start.
#[derive(Debug)]
pub(super) struct Presence {
    instance: u64,
    name: Arc<str>,
    own: HashMap<Arc<str>, Own>,
    /// The rooms of which the others have yet to be told.
    untold: BTreeSet<Arc<str>>,
    /// The rooms whose table has yet to be put.
    unput: BTreeSet<Arc<str>>,
    /// The rooms that are followed, and the tables of the other nodes there.
    rooms: HashMap<Arc<str>, BTreeMap<u64, Table>>,
    peers: BTreeMap<u64, Peer>,
    /// The rooms whose tables have to be read again, and when.
    stale: BTreeMap<Arc<str>, Duration>,
    /// The last version of any table.
    version: u64,
    /// Counts exchanges.
    round: u64,
    /// Since when there is a link.
    open_since: Option<Duration>,
    beat_at: Duration,
    aged_at: Duration,
    seatings: Vec<Seating>,
    errands: Vec<Errand>,
}

/// The members of this node in a room.
#[derive(Debug, Default)]
struct Own {
    names: HashMap<Arc<str>, i64>,
    /// What the others have yet to be told.
    changes: Names,
    version: u64,
    put_at: Option<Duration>,
}

/// What is known of the members of another node in a room.
#[derive(Debug, Default)]
struct Table {
    version: u64,
    /// The version that was told of.
    wanted: u64,
    names: Names,
    /// The exchange in which it was told of last.
    round: u64,
}

/// Another node.
#[derive(Debug)]
struct Peer {
    lives: bool,
    /// When it was last seen to.
    seen: Duration,
    /// Where there is a table of it.
    rooms: BTreeSet<Arc<str>>,
}

impl Presence {
    pub(super) fn new(instance: u64, name: Arc<str>) -> Self {
        Self {
            instance,
            name,
            own: HashMap::new(),
            untold: BTreeSet::new(),
            unput: BTreeSet::new(),
            rooms: HashMap::new(),
            peers: BTreeMap::new(),
            stale: BTreeMap::new(),
            version: 0,
            round: 0,
            open_since: None,
            beat_at: Duration::ZERO,
            aged_at: Duration::ZERO,
            seatings: Vec::new(),
            errands: Vec::new(),
        }
    }

    /// The other nodes that live.
    pub(super) fn nodes(&self) -> impl Iterator<Item = u64> {
        self.peers.iter().filter(|(_, peer)| peer.lives).map(|(instance, _)| *instance)
    }

    /// Members of this node have come or gone.
    pub(super) fn seat(&mut self, seating: Seating) {
        let Seating { room, mut name, change } = seating;
        let own = self.own.entry(Arc::clone(&room)).or_default();
        if !own.names.contains_key(&name) && (change < 0 || own.names.len() >= NAMES_MAX) {
            name = "".into();
        }
        add(&mut own.changes, &name, change);
        let count = own.names.entry(Arc::clone(&name)).or_default();
        *count += change;
        if *count == 0 {
            own.names.remove(&name);
        }
        self.untold.insert(room);
    }

    /// From now on the tables of the others in a room are of interest.
    pub(super) fn follow(&mut self, room: &Arc<str>) {
        self.rooms.entry(Arc::clone(room)).or_default();
    }

    /// They are not any more.
    pub(super) fn unfollow(&mut self, room: &str) {
        self.stale.remove(room);
        let Some((room, tables)) = self.rooms.remove_entry(room) else { return };
        for (instance, table) in tables {
            self.forget(&room, instance, table);
        }
    }

    /// A link was opened: what was told before may be lost, as may be what the broker has kept.
    pub(super) fn open(&mut self, now: Duration) {
        self.open_since = Some(now);
        self.beat_at = now;
        self.tell_all();
    }

    /// The link is gone.
    pub(super) const fn lose(&mut self) {
        self.open_since = None;
    }

    /// An exchange begins. Its number goes with what it reads, since others may begin before that
    /// is taken.
    pub(super) const fn begin(&mut self) -> u64 {
        self.round += 1;
        self.round
    }

    /// Takes what was said in a room; whether it is about presence.
    pub(super) fn said(&mut self, room: &Arc<str>, body: &[u8], now: Duration) -> bool {
        let Some(delta) = Delta::read(body) else { return false };
        let Delta { instance, from, version, changes } = delta;
        if instance == self.instance {
            return true;
        }
        self.see(instance, now);
        let Some(tables) = self.rooms.get_mut(room) else { return true };
        let table = tables.entry(instance).or_default();
        if version <= table.version {
            return true; // it was in the table that was read
        }
        table.wanted = table.wanted.max(version);
        table.round = self.round;
        if from == 0 {
            // There was no table: this is all of it.
            let before = mem::take(&mut table.names);
            self.tell(room, &before, -1);
        } else if from != table.version {
            self.stale.entry(Arc::clone(room)).or_insert(now);
            self.keep(room, instance, now);
            return true;
        }
        self.apply(room, instance, version, &changes);
        self.keep(room, instance, now);
        true
    }

    fn apply(&mut self, room: &Arc<str>, instance: u64, version: u64, changes: &Names) {
        let tables = self.rooms.get_mut(room);
        let Some(table) = tables.and_then(|tables| tables.get_mut(&instance)) else { return };
        table.version = version;
        changes.iter().for_each(|(name, change)| add(&mut table.names, name, *change));
        self.tell(room, changes, 1);
    }

    /// Takes the tables of a room, as an exchange of this number has read them.
    pub(super) fn listed(
        &mut self,
        room: &Arc<str>,
        fields: Vec<Field>,
        round: u64,
        now: Duration,
    ) {
        let Some(mut tables) = self.rooms.remove(room) else { return };
        let (mut listed, mut is_known) = (BTreeSet::new(), false);
        for (field, value) in fields {
            let (Some(instance), Some(content)) = (instance_of(&field), Content::read(&value))
            else {
                tracing::warn!(%room, %field, "something that is no presence is in a table");
                continue;
            };
            if instance == self.instance {
                is_known = true;
                continue;
            }
            listed.insert(instance);
            let table = tables.entry(instance).or_default();
            if content.version <= table.version {
                continue; // more was told since
            }
            let before = mem::replace(&mut table.names, content.names);
            table.version = content.version;
            if self.peers.get(&instance).is_some_and(|peer| peer.lives) {
                let mut changes = table.names.clone();
                before.iter().for_each(|(name, count)| add(&mut changes, name, -count));
                self.tell(room, &changes, 1);
            }
        }
        // Where its own table is missing, others may be that are not gone: it is looked at again.
        let has_forgotten = !is_known && self.tell_again(room);
        if has_forgotten {
            self.stale.insert(Arc::clone(room), now + GRACE);
        }
        // What was told of since that exchange began may be newer than what was read in it.
        let is_gone = |(instance, table): (&u64, &Table)| {
            let is_missing = !listed.contains(instance) && table.round < round;
            (is_missing && !has_forgotten).then_some(*instance)
        };
        let gone: Vec<u64> = tables.iter().filter_map(is_gone).collect();
        for instance in gone {
            if let Some(table) = tables.remove(&instance) {
                self.forget(room, instance, table);
            }
        }
        if tables.values().any(|table| table.version < table.wanted) {
            self.stale.insert(Arc::clone(room), now + READ_PAUSE);
        }
        let instances: Vec<u64> = tables.keys().copied().collect();
        self.rooms.insert(Arc::clone(room), tables);
        instances.into_iter().for_each(|instance| self.keep(room, instance, now));
    }

    /// Takes the table of the nodes.
    pub(super) fn nodes_listed(&mut self, fields: &[Field], now: Duration) {
        let listed: BTreeSet<u64> =
            fields.iter().filter_map(|(field, _)| instance_of(field)).collect();
        if !listed.contains(&self.instance) {
            // The broker has forgotten everything, or does not know this node yet.
            self.tell_all();
            self.open_since = self.open_since.map(|_| now);
        }
        for instance in &listed {
            if *instance != self.instance {
                self.see(*instance, now);
            }
        }
        let is_settled = self.open_since.is_some_and(|since| now >= since + GRACE);
        let is_dead = |(instance, peer): (&u64, &Peer)| {
            let is_dead = is_settled && !listed.contains(instance) && now >= peer.seen + BEAT;
            is_dead.then_some(*instance)
        };
        let dead: Vec<u64> = self.peers.iter().filter_map(is_dead).collect();
        dead.into_iter().for_each(|instance| self.bury(instance));
    }

    /// Whether something is due sooner than the next beat.
    pub(super) fn is_busy(&self) -> bool {
        let has_changed = !self.unput.is_empty() || !self.untold.is_empty();
        has_changed || !self.stale.is_empty() || !self.errands.is_empty()
    }

    /// What is to be done now.
    pub(super) fn errands(&mut self, now: Duration) -> Vec<Errand> {
        if self.open_since.is_none() {
            return Vec::new();
        }
        if now >= self.beat_at {
            self.beat_at = now + BEAT;
            // It reads first: a broker that has forgotten it has forgotten its tables too.
            self.errands.push(Errand::list_nodes());
            self.errands.push(Errand::beat(self.instance, &self.name, LIFE));
        }
        if now >= self.aged_at + BEAT * 10 {
            self.aged_at = now;
            let is_old = |own: &Own| own.put_at.is_some_and(|at| now >= at + TABLE_AGE);
            let old = self.own.iter().filter(|(_, own)| is_old(own));
            self.unput.extend(old.map(|(room, _)| Arc::clone(room)));
        }
        // Who is told of a version may read the table at once: it is put before.
        let untold = mem::take(&mut self.untold);
        let says: Vec<_> = untold.iter().filter_map(|room| self.tell_of(room)).collect();
        for room in mem::take(&mut self.unput) {
            self.put(room, now);
        }
        self.errands.extend(says);
        let due = |(room, at): (&Arc<str>, &Duration)| (*at <= now).then(|| Arc::clone(room));
        let stale: Vec<_> = self.stale.iter().filter_map(due).collect();
        for room in stale {
            self.stale.remove(&room);
            self.errands.push(Errand::list(&room));
        }
        mem::take(&mut self.errands)
    }

    /// An errand was not carried out, or nobody knows: it is to be, as things are now.
    pub(super) fn failed(&mut self, errand: &Errand, now: Duration) {
        match errand {
            Errand::Say { room, .. } => {
                if !self.tell_again(room) {
                    self.errands.push(errand.clone()); // nobody is there any more
                }
            }
            Errand::Put { table, .. } => {
                let own = room_of(table).and_then(|room| self.own.get_key_value(room));
                if let Some((room, _)) = own {
                    self.unput.insert(Arc::clone(room));
                }
            }
            Errand::Remove { table, field } => {
                let is_own = instance_of(field) == Some(self.instance);
                if is_own && room_of(table).is_some_and(|room| !self.own.contains_key(room)) {
                    self.errands.push(errand.clone());
                }
            }
            Errand::List { room: Some(room), .. } => self.read_again(room, now),
            Errand::List { room: None, .. } => {} // with the next beat
        }
    }

    /// The tables of a room could not be read.
    pub(super) fn read_again(&mut self, room: &Arc<str>, now: Duration) {
        if self.rooms.contains_key(room) {
            self.stale.insert(Arc::clone(room), now + READ_PAUSE);
        }
    }

    /// What has changed for the members of this node.
    pub(super) fn seatings(&mut self) -> Vec<Seating> {
        mem::take(&mut self.seatings)
    }
}

/// What the parts of it do.
impl Presence {
    /// Says again how all tables are.
    fn tell_all(&mut self) {
        self.untold.extend(self.own.keys().cloned());
        self.own.values_mut().for_each(|own| own.put_at = None);
    }

    /// Says again how the table of a room is; whether there was one.
    fn tell_again(&mut self, room: &Arc<str>) -> bool {
        let own = self.own.get_mut(room).filter(|own| own.version > 0);
        let Some(own) = own else { return false };
        own.put_at = None;
        self.untold.insert(Arc::clone(room));
        true
    }

    /// What the others are told of what has changed in a room.
    fn tell_of(&mut self, room: &Arc<str>) -> Option<Errand> {
        let own = self.own.get_mut(room)?;
        let mut changes = mem::take(&mut own.changes);
        changes.retain(|_, change| *change != 0);
        if own.names.is_empty() && own.version == 0 {
            self.own.remove(room); // nobody has heard of who came and went
            return None;
        }
        if changes.is_empty() && own.put_at.is_some() {
            return None;
        }
        self.version += 1;
        let (instance, from) = (self.instance, mem::replace(&mut own.version, self.version));
        let delta = Delta { instance, from, version: self.version, changes };
        if own.names.is_empty() {
            self.errands.push(Errand::remove(room, self.instance));
            self.own.remove(room);
        } else {
            self.unput.insert(Arc::clone(room));
        }
        Some(Errand::say(room, &delta))
    }

    /// Has the table of a room put, now or a little later.
    fn put(&mut self, room: Arc<str>, now: Duration) {
        let Some(own) = self.own.get_mut(&room) else { return };
        let is_large = own.names.len() > SMALL;
        if is_large && own.put_at.is_some_and(|at| now < at + PUT_PAUSE) {
            self.unput.insert(room);
            return;
        }
        own.put_at = Some(now);
        let names = own.names.iter().map(|(name, count)| ((&**name).into(), *count)).collect();
        let content = Content { version: own.version, names };
        self.errands.push(Errand::put(&room, self.instance, &content, TABLE_LIFE));
    }

    /// A node was seen to live: who is there by its tables counts from now on.
    pub(super) fn see(&mut self, instance: u64, now: Duration) {
        let peer = self.peers.entry(instance).or_insert_with(|| Peer::unknown(now));
        peer.seen = now;
        if mem::replace(&mut peer.lives, true) {
            return;
        }
        tracing::info!(node = format!("{instance:016x}"), "another node is there");
        let rooms: Vec<_> = peer.rooms.iter().cloned().collect();
        for room in rooms {
            let table = self.rooms.get(&room).and_then(|tables| tables.get(&instance));
            let names = table.map(|table| table.names.clone()).unwrap_or_default();
            self.tell(&room, &names, 1);
        }
    }

    /// A node lives no longer: its members are gone, and so is what it has had kept.
    pub(super) fn bury(&mut self, instance: u64) {
        let Some(peer) = self.peers.get(&instance) else { return };
        let rooms: Vec<_> = peer.rooms.iter().cloned().collect();
        if peer.lives {
            tracing::warn!(node = format!("{instance:016x}"), "another node is gone");
        }
        for room in rooms {
            let table = self.rooms.get_mut(&room).and_then(|tables| tables.remove(&instance));
            if let Some(table) = table {
                self.forget(&room, instance, table);
            }
            self.errands.push(Errand::remove(&room, instance));
        }
        self.peers.remove(&instance);
    }

    /// Who was there by this table is not any more.
    fn forget(&mut self, room: &Arc<str>, instance: u64, table: Table) {
        let Some(peer) = self.peers.get_mut(&instance) else { return };
        peer.rooms.remove(room);
        if peer.lives {
            self.tell(room, &table.names, -1);
        }
    }

    /// Takes note of a table. A node that is unknown has yet to be seen to live.
    fn keep(&mut self, room: &Arc<str>, instance: u64, now: Duration) {
        let peer = self.peers.entry(instance).or_insert_with(|| Peer::unknown(now));
        peer.rooms.insert(Arc::clone(room));
    }

    fn tell(&mut self, room: &Arc<str>, names: &Names, sign: i64) {
        for (name, count) in names.iter().filter(|(_, count)| **count != 0) {
            let (room, name, change) = (Arc::clone(room), Arc::from(&**name), count * sign);
            self.seatings.push(Seating { room, name, change });
        }
    }
}

impl Peer {
    fn unknown(now: Duration) -> Self {
        Self { lives: false, seen: now, rooms: BTreeSet::new() }
    }
}

fn add(counts: &mut Names, name: &str, change: i64) {
    let count = counts.entry(name.into()).or_default();
    *count += change;
    if *count == 0 {
        counts.remove(name);
    }
}

#[cfg(test)]
#[path = "presence_tests.rs"]
mod tests;
