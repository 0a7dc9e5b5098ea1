//! What becomes of operations of one exchange where something before them is missing, over a broker
//! that tells nothing by itself and breaks when it is told to.

use std::sync::{Mutex, PoisonError};

use super::*;
use crate::hub::broker::memory::MemoryLink;
use crate::hub::broker::{Broker, Waker};
use crate::hub::parts::Parts;

/// A broker that keeps its news to itself.
struct Mute {
    memory: Memory,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// After how many exchanges the link breaks.
    breaks_after: Option<usize>,
    /// The rooms that were subscribed to.
    subscribed: Vec<String>,
}

struct MuteLink {
    link: MemoryLink,
    state: Arc<Mutex<State>>,
}

impl Broker for Mute {
    type Link = MuteLink;

    fn connect(&mut self) -> Result<MuteLink, BrokerError> {
        let (link, state) = (self.memory.connect()?, Arc::clone(&self.state));
        Ok(MuteLink { link, state })
    }

    fn waker(&self) -> Waker {
        self.memory.waker()
    }
}

impl Link for MuteLink {
    fn exchange(
        &mut self,
        requests: &[Request<'_>],
        news: &mut Vec<News>,
    ) -> Result<Vec<Answer>, BrokerError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.breaks_after == Some(0) {
            state.breaks_after = None;
            return Err(BrokerError("it breaks".into()));
        }
        state.breaks_after = state.breaks_after.map(|exchanges| exchanges - 1);
        for request in requests {
            if let Request::Subscribe(Channel::Room(room)) = request {
                state.subscribed.push(room.to_string());
            }
        }
        let answers = self.link.exchange(requests, news);
        news.clear();
        answers
    }

    fn wait(&mut self, timeout: Duration, news: &mut Vec<News>) -> Result<(), BrokerError> {
        let result = self.link.wait(timeout, news);
        news.clear();
        result
    }
}

/// A node, and another that publishes to the same broker.
struct Pair {
    carrier: Carrier<Mute>,
    view: NodeView,
    state: Arc<Mutex<State>>,
    other: Carrier<Mute>,
    others_view: NodeView,
}

impl Pair {
    fn new() -> Self {
        let (memory, time) = (Memory::default(), Arc::new(AtomicU64::new(0)));
        let new = |number| {
            let state = Arc::new(Mutex::new(State::default()));
            let broker = Mute { memory: memory.clone(), state: Arc::clone(&state) };
            let (view, carrier) = node(number, broker, &time, || 7);
            (carrier, view, state)
        };
        let ((carrier, view, state), (other, others_view, _)) = (new(1), new(2));
        let mut pair = Self { carrier, view, state, other, others_view };
        pair.turn();
        pair.other.turn();
        pair
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out what waits; what the loop was told.
    fn turn(&mut self) -> Vec<What> {
        self.carrier.turn();
        let mut mail = Vec::new();
        self.view.mailbox.take(&mut mail);
        let done = mail.into_iter().filter_map(|Mail(letter)| match letter {
            Letter::Done(done) => Some(done),
            _ => None,
        });
        done.flatten().map(|done| done.what).collect()
    }

    fn publish(&mut self, room: usize, number: u64) {
        self.view.publish(&mut Truth::default(), room, number).expect("there is room");
    }

    /// The other node says something, which this one does not hear.
    fn say_elsewhere(&mut self, room: usize, number: u64) {
        self.others_view.publish(&mut Truth::default(), room, number).expect("there is room");
        self.other.turn();
    }
}

/// What a publisher is told: the code of a fault, if it is one.
fn told(all: &[What]) -> Vec<Option<&'static str>> {
    let told = all.iter().filter_map(|what| match what {
        What::Published(..) => Some(None),
        What::Append(_, Err(fault)) => Some(Some(fault.code)),
        _ => None,
    });
    told.collect()
}

#[test]
fn an_ok_comes_after_what_stands_before_its_message() {
    let mut pair = Pair::new();
    pair.view.read(0);
    pair.turn();
    pair.say_elsewhere(0, 1);
    pair.publish(0, 2);
    let all = pair.turn();
    let heard = all.iter().filter(|what| matches!(what, What::Heard(..))).count();
    assert_eq!((heard, told(&all)), (2, vec![None]));
    assert!(matches!(all.last(), Some(What::Published(..))));
}

#[test]
fn who_cannot_be_given_what_stands_before_is_told_that_it_is_uncertain() {
    let mut pair = Pair::new();
    // Not followed yet; and followed, and the link breaks before it is read.
    pair.publish(0, 1);
    assert_eq!(told(&pair.turn()), [Some("degraded")]);
    pair.view.read(0);
    pair.turn();
    pair.say_elsewhere(0, 2);
    pair.publish(0, 3);
    pair.lock().breaks_after = Some(1);
    assert_eq!(told(&pair.turn()), [Some("degraded")]);
}

/// It is no member: it is owed nothing of what stands before.
#[test]
fn a_request_from_outside_has_its_ok_where_the_room_is_followed_just_now() {
    let mut pair = Pair::new();
    let outcomes = Arc::new(Parts::new(|_| {}));
    let publish = Publish {
        room: ROOMS[0].into(),
        sender: "api".into(),
        content: RawValue::from_string("1".into()).expect("JSON"),
        timestamp: 1,
        key: None,
        message_id: None,
        by: Some(Author::Request { room: ROOMS[0].into(), outcomes }),
        is_counted: true,
    };
    let op = Op::Append(publish, Duration::ZERO);
    pair.view.keeper.put(0, op).expect("there is room");
    pair.view.read(0);
    assert_eq!(told(&pair.turn()), [None]);
}

/// A room that is opened in an exchange after which the link breaks is followed by the next link.
#[test]
fn a_room_is_not_taken_for_followed_by_a_link_that_is_gone() {
    let mut pair = Pair::new();
    pair.view.read(0);
    pair.turn();
    pair.say_elsewhere(0, 1);
    pair.publish(0, 2); // what is before it is read in an exchange of its own
    pair.view.read(1);
    pair.lock().breaks_after = Some(1);
    pair.turn();
    assert!(pair.carrier.link.is_none());
    assert!(pair.carrier.tracks.values().all(Track::is_away));
    pair.carrier.around.clock = Box::new(WorldClock(Arc::new(AtomicU64::new(60_000_000))));
    pair.lock().subscribed.clear();
    pair.turn();
    let mut rooms = pair.lock().subscribed.clone();
    rooms.retain(|room| ROOMS.contains(&&**room));
    rooms.sort_unstable();
    assert_eq!(rooms, ["d.0", "m.0"]);
}
