//! A broker between hubs of one process.
//!
//! Owns what a broker keeps, in memory, and what goes wrong with one on purpose: for tests, and to
//! show what [`Link`] promises. No message is ever too old.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{
    Answer, Broker, BrokerError, Channel, Field, Link, MessageId, News, Place, Request, Rows,
    Waker, is_lost,
};
use crate::hub::history::{Placed, Position, Span};
use crate::net::{Clock, OsClock};

/// A broker in memory: clones are the same broker, each for one node.
///
/// ```
/// use throng::hub::broker::{Answer, Broker, Link, Memory, Place, Request};
/// use throng::hub::history::{Epoch, Keep, Placed, Position};
///
/// let mut link = Memory::default().connect()?;
/// let place = Place { room: "a", keep: &Keep::default(), known: None, fresh: Epoch(7) };
/// let publish = Request::Publish { place, id: None, body: b"hi" };
/// let answers = link.exchange(&[publish], &mut Vec::new())?;
/// let position = Position { epoch: Epoch(7), offset: 1 };
/// assert_eq!(answers, [Answer::Published(Placed { position, is_repeat: false })]);
/// # Ok::<(), throng::hub::broker::BrokerError>(())
/// ```
#[derive(Debug, Default)]
pub struct Memory {
    world: Arc<World>,
    waiting: Arc<Waiting>,
}

/// One node's link to a [`Memory`].
#[derive(Debug)]
pub struct MemoryLink {
    world: Arc<World>,
    waiting: Arc<Waiting>,
    number: u64,
}

struct World {
    state: Mutex<State>,
    clock: Box<dyn Clock + Send + Sync>,
}

/// What stands in a table, and how long.
type Table = BTreeMap<Box<str>, (Duration, Box<[u8]>)>;

/// A room, a sender, and what it calls its message.
type Id = (Box<str>, Box<str>, Box<str>);

#[derive(Default)]
struct State {
    rooms: HashMap<Box<str>, Kept>,
    tables: HashMap<Box<str>, Table>,
    /// For each room, sender and id: until when it is remembered, and its place.
    ids: HashMap<Id, (Duration, Position)>,
    links: HashMap<u64, Inbox>,
    next_link: u64,
    is_away: bool,
    /// How many messages are not passed on.
    lost: usize,
}

/// What is kept of one room.
struct Kept {
    position: Position,
    messages: VecDeque<(u64, Box<[u8]>)>,
}

/// What one link has subscribed to, and what has come for it.
struct Inbox {
    rooms: HashSet<Box<str>>,
    hears_nodes: bool,
    news: Vec<News>,
    waiting: Arc<Waiting>,
}

/// How a link waits.
#[derive(Debug, Default)]
struct Waiting {
    is_woken: Mutex<bool>,
    woken: Condvar,
}

impl Memory {
    /// One in which leases, and how long an id is known, go by this clock.
    pub fn with_clock(clock: impl Clock + Send + Sync + 'static) -> Self {
        let world = World { state: Mutex::default(), clock: Box::new(clock) };
        Self { world: Arc::new(world), waiting: Arc::default() }
    }

    /// Nobody can reach it any more, until it is [`back`](Self::back).
    pub fn leave(&self) {
        let mut state = self.world.lock();
        state.is_away = true;
        mem::take(&mut state.links).into_values().for_each(|inbox| inbox.waiting.wake());
    }

    /// It can be reached again.
    pub fn back(&self) {
        self.world.lock().is_away = false;
    }

    /// Forgets all rooms and tables.
    pub fn forget(&self) {
        let mut state = self.world.lock();
        state.rooms.clear();
        state.tables.clear();
        state.ids.clear();
    }

    /// Keeps only the last `count` messages of each room.
    pub fn trim(&self, count: usize) {
        for kept in self.world.lock().rooms.values_mut() {
            let gone = kept.messages.len().saturating_sub(count);
            kept.messages.drain(..gone);
        }
    }

    /// Does not pass on the next `count` messages: they are kept all the same.
    pub fn lose(&self, count: usize) {
        self.world.lock().lost = count;
    }

    /// How many links have subscribed to a room.
    pub fn subscribers(&self, room: &str) -> usize {
        self.world.lock().links.values().filter(|inbox| inbox.rooms.contains(room)).count()
    }
}

impl Clone for Memory {
    /// The same broker, for one more node.
    fn clone(&self) -> Self {
        Self { world: Arc::clone(&self.world), waiting: Arc::default() }
    }
}

impl Broker for Memory {
    type Link = MemoryLink;

    fn connect(&mut self) -> Result<MemoryLink, BrokerError> {
        let mut state = self.world.lock();
        if state.is_away {
            return Err(gone());
        }
        let number = state.next_link;
        state.next_link += 1;
        let waiting = Arc::clone(&self.waiting);
        let inbox = Inbox { rooms: HashSet::new(), hears_nodes: false, news: Vec::new(), waiting };
        state.links.insert(number, inbox);
        let (world, waiting) = (Arc::clone(&self.world), Arc::clone(&self.waiting));
        Ok(MemoryLink { world, waiting, number })
    }

    fn waker(&self) -> Waker {
        let waiting = Arc::clone(&self.waiting);
        Waker::new(move || waiting.wake())
    }
}

impl Link for MemoryLink {
    fn exchange(
        &mut self,
        requests: &[Request<'_>],
        news: &mut Vec<News>,
    ) -> Result<Vec<Answer>, BrokerError> {
        let mut state = self.world.lock();
        if !state.links.contains_key(&self.number) {
            return Err(gone());
        }
        let now = self.world.clock.now();
        let answers = requests.iter().map(|request| state.carry_out(self.number, request, now));
        let answers = answers.collect();
        state.take_news(self.number, news);
        Ok(answers)
    }

    fn wait(&mut self, timeout: Duration, news: &mut Vec<News>) -> Result<(), BrokerError> {
        self.waiting.wait(timeout);
        let mut state = self.world.lock();
        if !state.links.contains_key(&self.number) {
            return Err(gone());
        }
        state.take_news(self.number, news);
        Ok(())
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        self.world.lock().links.remove(&self.number);
    }
}

impl World {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn carry_out(&mut self, number: u64, request: &Request<'_>, now: Duration) -> Answer {
        match *request {
            Request::Publish { place, id, body } => {
                return Answer::Published(self.publish_once(place, id, body, now));
            }
            Request::Read { place, opens, span, messages_max, bytes_max } => {
                return Answer::Rows(self.read(place, opens, span, (messages_max, bytes_max)));
            }
            Request::Subscribe(channel) => self.subscribe(number, channel, true),
            Request::Unsubscribe(channel) => self.subscribe(number, channel, false),
            Request::Say { on, body } => self.say(on, body),
            Request::Put { table, field, value, lease } => {
                let fields = self.tables.entry(table.into()).or_default();
                fields.insert(field.into(), (now + lease, value.into()));
            }
            Request::Remove { table, field } => {
                self.tables.get_mut(table).map(|fields| fields.remove(field));
            }
            Request::List { table } => return Answer::Fields(self.list(table, now)),
        }
        Answer::Done
    }

    /// The room, which begins anew where it is not so far as was seen.
    fn room(&mut self, place: Place<'_>) -> &mut Kept {
        let fresh = || Kept {
            position: Position { epoch: place.fresh, offset: 0 },
            messages: VecDeque::new(),
        };
        let kept = self.rooms.entry(place.room.into()).or_insert_with(fresh);
        if is_lost(kept.position, place.known) {
            *kept = fresh();
        }
        kept
    }

    fn publish_once(
        &mut self,
        place: Place<'_>,
        id: Option<MessageId<'_>>,
        body: &[u8],
        now: Duration,
    ) -> Placed {
        let key = id.map(|id| (place.room.into(), id.sender.into(), id.id.into()));
        let seen = key.as_ref().and_then(|key| self.ids.get(key));
        if let Some((_, position)) = seen.filter(|(end, _)| *end > now) {
            return Placed { position: *position, is_repeat: true };
        }
        let position = self.publish(place, body);
        if let (Some(key), Some(id)) = (key, id) {
            self.ids.insert(key, (now + id.window, position));
        }
        Placed { position, is_repeat: false }
    }

    fn publish(&mut self, place: Place<'_>, body: &[u8]) -> Position {
        let kept = self.room(place);
        kept.position.offset += 1;
        let position = kept.position;
        kept.messages.push_back((position.offset, body.into()));
        let gone = kept.messages.len().saturating_sub(place.keep.messages_max);
        kept.messages.drain(..gone);
        if self.lost > 0 {
            self.lost -= 1;
            return position;
        }
        let room: Arc<str> = place.room.into();
        self.tell(Channel::Room(place.room), || News::Message {
            room: Arc::clone(&room),
            position,
            body: body.into(),
        });
        position
    }

    fn read(
        &mut self,
        place: Place<'_>,
        opens: bool,
        span: Span,
        (messages_max, bytes_max): (usize, usize),
    ) -> Rows {
        let is_there = self.rooms.get(place.room);
        let is_there = is_there.is_some_and(|kept| !is_lost(kept.position, place.known));
        if !opens && !is_there {
            let position = Position { epoch: place.fresh, offset: 0 };
            return Rows { position, rows: Vec::new(), has_more: false };
        }
        let kept = self.room(place);
        let (mut rows, mut bytes, mut has_more) = (Vec::new(), 0, false);
        let mut take = |row: &(u64, Box<[u8]>)| {
            bytes += row.1.len();
            has_more = rows.len() >= messages_max || (!rows.is_empty() && bytes > bytes_max);
            if !has_more {
                rows.push(row.clone());
            }
            !has_more
        };
        let messages = kept.messages.iter();
        match span {
            Span::After(after) => {
                messages.filter(|(offset, _)| *offset > after).all(&mut take);
            }
            Span::Newest => {
                messages.rev().all(&mut take);
            }
            Span::Before(before) => {
                messages.rev().filter(|(offset, _)| *offset < before).all(&mut take);
            }
        }
        if !matches!(span, Span::After(_)) {
            rows.reverse();
        }
        Rows { position: kept.position, rows, has_more }
    }

    fn subscribe(&mut self, number: u64, channel: Channel<'_>, hears: bool) {
        let Some(inbox) = self.links.get_mut(&number) else { return };
        match channel {
            Channel::Room(room) if hears => drop(inbox.rooms.insert(room.into())),
            Channel::Room(room) => drop(inbox.rooms.remove(room)),
            Channel::Nodes => inbox.hears_nodes = hears,
        }
    }

    fn say(&mut self, on: Channel<'_>, body: &[u8]) {
        let room: Option<Arc<str>> = match on {
            Channel::Room(room) => Some(room.into()),
            Channel::Nodes => None,
        };
        self.tell(on, || News::Said { room: room.clone(), body: body.into() });
    }

    fn tell(&mut self, on: Channel<'_>, news: impl Fn() -> News) {
        for inbox in self.links.values_mut() {
            let hears = match on {
                Channel::Room(room) => inbox.rooms.contains(room),
                Channel::Nodes => inbox.hears_nodes,
            };
            if hears {
                inbox.news.push(news());
                inbox.waiting.wake();
            }
        }
    }

    fn list(&mut self, table: &str, now: Duration) -> Vec<Field> {
        let Some(fields) = self.tables.get_mut(table) else { return Vec::new() };
        fields.retain(|_, (end, _)| *end > now);
        fields.iter().map(|(name, (_, value))| (name.clone(), value.clone())).collect()
    }

    fn take_news(&mut self, number: u64, news: &mut Vec<News>) {
        if let Some(inbox) = self.links.get_mut(&number) {
            news.append(&mut inbox.news);
        }
    }
}

impl Waiting {
    fn wake(&self) {
        *self.is_woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.woken.notify_all();
    }

    fn wait(&self, timeout: Duration) {
        let woken = self.is_woken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.woken.wait_timeout_while(woken, timeout, |is_woken| !*is_woken);
        let (mut woken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *woken = false;
    }
}

impl Default for World {
    fn default() -> Self {
        Self { state: Mutex::default(), clock: Box::<OsClock>::default() }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("state", &self.state).finish_non_exhaustive()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("is_away", &self.is_away).finish_non_exhaustive()
    }
}

fn gone() -> BrokerError {
    BrokerError("the broker in memory is away".into())
}
