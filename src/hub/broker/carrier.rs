//! The thread of a node that speaks to the broker.
//!
//! Owns the link, what is followed of each room, and what becomes of operations while nobody is
//! there. What it tells the home loop of a room stands in the room's order, without a gap or a
//! double that it does not tell of. Never decides who gets something.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::backoff::Backoff;
use super::body;
use super::company::Company;
use super::errand::Errand;
use super::relay::{Counts, Node};
use super::track::{Step, Track};
use super::{Answer, Broker, BrokerError, Channel, Field, Link, MessageId, News, Place, Request};
use crate::hub::command::Fault;
use crate::hub::delivery::Receipt;
use crate::hub::history::{
    Done, Epoch, History, MAIL_PAUSE, Op, Page, Placed, Reading, Share, Shared, Unsent, Waiting,
    What,
};
use crate::hub::recovery::{Ask, Inquiry};
use crate::hub::sequencer::{Author, Publish, home_of};
use crate::net::{Clock, OsClock};

/// How often a link is looked after at which nothing happens.
const PERIOD: Duration = Duration::from_secs(1);

/// How soon it is seen that a link was opened, while operations go on being answered.
const OPENING_PAUSE: Duration = Duration::from_millis(20);

/// How often it is while somebody waits for other nodes.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// How many operations go out together.
const BATCH_MAX: usize = 512;

/// What their messages take at most, in bytes; one of more goes alone.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// A broker, and the result of opening a link to it.
type Opening<B> = mpsc::Receiver<(B, Result<<B as Broker>::Link, BrokerError>)>;

/// What a carrier has around it that is not pure: a test has its own.
pub(super) struct Around {
    pub(super) clock: Box<dyn Clock>,
    pub(super) random: Box<dyn FnMut() -> u64>,
    /// It is stepped by hand: it never waits, and opens its links itself.
    pub(super) is_stepped: bool,
}

/// The link, and all that depends on it.
pub(super) struct Carrier<B: Broker> {
    pub(super) shared: Arc<Shared>,
    pub(super) counts: Arc<Counts>,
    pub(super) instance: u64,
    pub(super) history: History,
    /// It is elsewhere while a link is being opened.
    broker: Option<B>,
    pub(super) link: Option<B::Link>,
    opening: Option<Opening<B>>,
    backoff: Backoff,
    pub(super) around: Around,
    /// When a link is tried next.
    retry: Duration,
    /// When rooms that could not be caught up were tried last.
    looked: Duration,
    /// What there is with the other nodes beside rooms.
    pub(super) company: Company,
    pub(super) tracks: HashMap<Arc<str>, Track>,
    /// Rooms in which something is missing.
    pub(super) behind: Vec<Arc<str>>,
    /// What the loops are to be told.
    unsent: Unsent,
    pub(super) buffer: Vec<u8>,
}

/// What is known of an operation that was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// It has changed nothing.
    NotDone,
    /// It may have been carried out.
    Unknown,
}

impl<B: Broker> Carrier<B> {
    pub(super) fn new(
        shared: Arc<Shared>,
        counts: Arc<Counts>,
        node: &Node,
        history: History,
        broker: B,
        around: Around,
    ) -> Self {
        let now = around.clock.now();
        Self {
            shared,
            counts,
            instance: node.instance(),
            history,
            broker: Some(broker),
            link: None,
            opening: None,
            backoff: Backoff::default(),
            around,
            retry: now,
            looked: now,
            company: Company::new(node.instance(), node.name()),
            tracks: HashMap::new(),
            behind: Vec::new(),
            unsent: Unsent::default(),
            buffer: Vec::new(),
        }
    }

    /// Opens the link and says how that went; then works until no more will come.
    pub(super) fn run(mut self, opened: &mpsc::Sender<Result<(), BrokerError>>) {
        let Some(broker) = &mut self.broker else { return };
        let result = broker.connect().map(|link| self.take_link(link));
        let is_open = result.is_ok();
        let _ = opened.send(result); // who has started this waits for it
        while is_open && self.turn() {}
        self.part();
    }

    /// Does what there is to do; whether there may be more.
    pub(super) fn turn(&mut self) -> bool {
        let mut pause = if self.link.is_some() { Duration::ZERO } else { self.open() };
        if self.around.is_stepped {
            pause = Duration::ZERO;
        }
        let Some(waiting) = self.shared.take(pause) else { return false };
        if waiting.is_empty() {
            self.listen();
        } else {
            batches(waiting, |batch| {
                self.carry_out(batch);
                self.send();
            });
        }
        self.look_again();
        self.keep_company();
        self.send();
        true
    }

    /// Waits for news.
    fn listen(&mut self) {
        let Some(link) = &mut self.link else { return };
        let mut news = Vec::new();
        let pause = if self.company.is_busy() { BUSY_PAUSE } else { PERIOD };
        let result = link.wait(pause, &mut news);
        self.hear(&news);
        match result {
            Ok(()) => self.mend(),
            Err(error) => self.lose(&error),
        }
    }

    /// Tries rooms again that could not be caught up, however much else there is to do.
    fn look_again(&mut self) {
        let now = self.now();
        if self.link.is_some() && now.saturating_sub(self.looked) >= PERIOD {
            self.looked = now;
            self.catch_up_away();
        }
    }

    /// Carries operations out, in one round trip.
    fn carry_out(&mut self, waiting: Vec<Waiting>) {
        let waiting = self.take_company(waiting);
        if waiting.is_empty() {
            return;
        }
        if self.link.is_none() {
            return self.refuse(waiting, Refusal::NotDone);
        }
        let bodies: Vec<_> = waiting.iter().map(|one| self.body(&one.op)).collect();
        let lists: Vec<_> = waiting.iter().map(|one| list(&one.op)).collect();
        let mut requests = Vec::with_capacity(waiting.len());
        let mut counts = Vec::with_capacity(waiting.len());
        for ((one, body), list) in waiting.iter().zip(&bodies).zip(&lists) {
            let before = requests.len();
            let fresh = self.around.fresh();
            let (history, tracks) = (&self.history, &mut self.tracks);
            plan(&one.op, body, list.as_ref(), history, fresh, tracks, &mut requests);
            counts.push(requests.len() - before);
        }
        let begin = self.now();
        let round = self.company.presence.begin();
        let (result, news) = exchange(self.link.as_mut(), &requests);
        drop(requests);
        self.hear(&news);
        let answers = match result {
            Ok(answers) => answers,
            Err(error) => {
                self.lose(&error);
                return self.refuse(waiting, Refusal::Unknown);
            }
        };
        self.count(self.now().saturating_sub(begin));
        self.mend();
        let mut answers = answers.into_iter();
        for (one, count) in waiting.into_iter().zip(counts) {
            // What comes before the last is its subscription, and who is there on other nodes.
            let failed = |answer: &Answer| matches!(answer, Answer::Failed(_));
            let mut last = None;
            for answer in answers.by_ref().take(count) {
                if let (Op::Read(Reading { room, .. }), Answer::Fields(fields)) = (&one.op, &answer)
                {
                    self.take_table(room, fields.clone(), round);
                    continue;
                }
                last = if last.as_ref().is_some_and(failed) { last } else { Some(answer) };
            }
            self.answer(one, last, &news);
        }
        if self.link.is_none() {
            self.away(); // it broke while something was mended: what began since is not followed
        }
    }

    /// Takes who is in a room on other nodes: before anybody of this node has an answer from it.
    pub(super) fn take_table(&mut self, room: &Arc<str>, fields: Vec<Field>, round: u64) {
        self.company.presence.listed(room, fields, round, self.now());
        self.tell_seatings();
    }

    pub(super) fn now(&self) -> Duration {
        self.around.clock.now()
    }

    /// Takes what has become of an operation.
    fn answer(&mut self, one: Waiting, answer: Option<Answer>, news: &[News]) {
        let Waiting { loop_index, op, share } = one;
        match (op, answer) {
            (Op::Append(publish, _), Some(Answer::Published(placed))) => {
                self.published(loop_index, publish, placed, share);
            }
            (Op::Read(reading), Some(Answer::Rows(rows))) => {
                self.read(loop_index, reading, rows, news, share);
            }
            (Op::Read(reading), Some(Answer::Done)) => {
                if let Some(track) = self.tracks.get_mut(&reading.room) {
                    track.follow();
                }
                let page = Page::nothing();
                self.tell(loop_index, read_as(reading, Ok(page)), Some(share));
            }
            (Op::Pass(_) | Op::Leave(_), Some(Answer::Done)) => {}
            (op, answer) => {
                if let Some(Answer::Failed(error)) = answer
                    && self.shared.note(Some(error.0.clone())).is_none()
                {
                    tracing::error!(%error, "the broker refuses what it is to do");
                }
                self.refuse(vec![Waiting { loop_index, op, share }], Refusal::NotDone);
            }
        }
    }

    /// A message of this node has its place.
    fn published(&mut self, home: usize, mut publish: Publish, placed: Placed, share: Share) {
        let Placed { position, is_repeat } = placed;
        if self.shared.note(None).is_some() {
            tracing::info!("the broker takes messages again");
        }
        let room = Arc::clone(&publish.room);
        if let Some(sink) = self.shared.teller().filter(|_| !is_repeat) {
            let Publish { sender, content, timestamp, .. } = &publish;
            sink.said(&room, sender, content, Some(position), *timestamp);
        }
        let by = publish.by.take();
        let track = self.tracks.get_mut(&room);
        let step = track.map(|track| match is_repeat {
            true => track.repeat(position),
            false => track.arrive(position),
        });
        self.shared.messages.fetch_add(u64::from(!is_repeat), Ordering::Relaxed);
        if step == Some(Step::HandOn) {
            publish.by = by.as_ref().and_then(Author::left_out);
            publish.is_counted = false; // it was before it was sent
            self.tell_news(publish, |publish| What::Heard(publish, position));
        } else {
            if step == Some(Step::Behind) {
                self.mark(&room);
                self.mend();
            }
            let is_live = self.tracks.get(&room).is_some_and(Track::is_live);
            if !is_live && matches!(by, Some(Author::Member { .. })) {
                // A member that has an `ok` has all that stands before it; that could not be read.
                publish.by = by;
                let what = self.refused(publish, Refusal::Unknown);
                return self.tell(home, what, Some(share));
            }
        }
        if let Some(by) = by {
            let receipt = Receipt { offset: Some(position.offset), is_duplicate: is_repeat };
            self.tell(home, What::Published(by, receipt), Some(share));
        }
    }

    /// Answers operations that were not carried out.
    fn refuse(&mut self, waiting: Vec<Waiting>, refusal: Refusal) {
        self.shared.failures.fetch_add(waiting.len() as u64, Ordering::Relaxed);
        for Waiting { loop_index, op, share } in waiting {
            let what = match op {
                Op::Append(publish, _) => self.refused(publish, refusal),
                Op::Read(reading) => {
                    let lets_in = |inquiry: &Inquiry| matches!(inquiry.ask, Ask::Join(_));
                    if reading.inquiry.as_deref().is_none_or(lets_in) {
                        self.let_in(&reading.room);
                    }
                    read_as(reading, Err(Fault::STORE_UNAVAILABLE))
                }
                Op::Leave(room) => {
                    self.tracks.remove(&room);
                    continue;
                }
                Op::Pass(_) => continue,  // the members of this node have it
                Op::Nodes(_) => continue, // it is not for here
                Op::Note(_) | Op::Take(_) => continue, // those are for the store of an outbox
            };
            self.tell(loop_index, what, Some(share));
        }
    }

    /// What becomes of a message whose publisher cannot be told that it has its place.
    fn refused(&self, publish: Publish, refusal: Refusal) -> What {
        let is_durable = self.history.keep(&publish.room).is_durable;
        match refusal {
            _ if is_durable => What::Append(publish, Err(Fault::STORE_UNAVAILABLE)),
            Refusal::NotDone => What::Alone(publish),
            Refusal::Unknown => What::Append(publish, Err(Fault::UNCERTAIN)),
        }
    }

    /// Opens a link that is not there; how long to wait for operations meanwhile.
    fn open(&mut self) -> Duration {
        if let Some(opening) = &self.opening {
            let Ok((broker, result)) = opening.try_recv() else { return OPENING_PAUSE };
            self.opening = None;
            self.broker = Some(broker);
            if self.opened(result) {
                return Duration::ZERO;
            }
        }
        let pause = self.retry.saturating_sub(self.now());
        if !pause.is_zero() {
            return pause;
        }
        let Some(mut broker) = self.broker.take() else { return PERIOD };
        if self.around.is_stepped {
            let result = broker.connect();
            self.broker = Some(broker);
            self.opened(result);
            return Duration::ZERO;
        }
        let (sender, receiver) = mpsc::channel();
        let (give, take) = mpsc::channel::<B>();
        let work = move || {
            let Ok(mut broker) = take.recv() else { return };
            let result = broker.connect();
            let _ = sender.send((broker, result)); // nobody listens any more when the node ends
        };
        match thread::Builder::new().name("broker-opening".into()).spawn(work) {
            Ok(_) => {
                let _ = give.send(broker); // the thread waits for it
                self.opening = Some(receiver);
            }
            Err(error) => {
                tracing::error!(%error, "there is no thread to open a link to the broker");
                self.broker = Some(broker);
                self.retry = self.now() + self.backoff.next((self.around.random)());
            }
        }
        OPENING_PAUSE
    }

    /// A link was opened, or not; whether it was.
    fn opened(&mut self, result: Result<B::Link, BrokerError>) -> bool {
        match result {
            Ok(link) => {
                self.counts.reconnects.fetch_add(1, Ordering::Relaxed);
                self.take_link(link);
                self.catch_up_away();
                true
            }
            Err(error) => {
                self.lose(&error);
                false
            }
        }
    }

    fn take_link(&mut self, link: B::Link) {
        self.link = Some(link);
        self.backoff.reset();
        self.company.open(self.now());
        self.counts.is_connected.store(true, Ordering::Relaxed);
        self.shared.note(None);
        tracing::info!("the way to the broker is open");
    }

    /// The link is gone, or could not be opened.
    pub(super) fn lose(&mut self, error: &BrokerError) {
        if self.shared.note(Some(error.0.clone())).is_none() {
            tracing::error!(%error, "the broker is away: this node is alone");
        }
        self.link = None;
        self.company.lose();
        self.counts.is_connected.store(false, Ordering::Relaxed);
        self.away();
        self.retry = self.now() + self.backoff.next((self.around.random)());
    }

    /// No room is followed any more.
    fn away(&mut self) {
        self.behind.clear();
        self.tracks.values_mut().for_each(Track::lose);
    }

    fn count(&self, time: Duration) {
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        self.shared.commit_us.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
        self.counts.rooms.store(self.tracks.len() as u64, Ordering::Relaxed);
    }

    pub(super) fn tell(&mut self, loop_index: usize, what: What, share: Option<Share>) {
        self.unsent.push(loop_index, Done { what, _share: share });
    }

    /// Tells a home loop of a message that came by itself.
    pub(super) fn tell_news(&mut self, publish: Publish, what: impl FnOnce(Publish) -> What) {
        self.counts.received.fetch_add(1, Ordering::Relaxed);
        let share = Share::of_news(&self.shared, publish.bytes());
        let home = self.home_of(&publish.room);
        self.tell(home, what(publish), Some(share));
    }

    /// Sends the loops what they are to be told, and waits until they have room for more.
    pub(super) fn send(&mut self) {
        while !self.unsent.send(&self.shared) && !self.around.is_stepped {
            if self.shared.is_closed() {
                return; // the loops are gone
            }
            thread::sleep(MAIL_PAUSE);
        }
        if !self.around.is_stepped {
            self.shared.wait_for_loops();
        }
    }

    /// What the thread does once, where there is none; `false` where the loops have yet to take
    /// what they were told.
    pub(super) fn step(&mut self) -> bool {
        let is_free = self.unsent.send(&self.shared) && !self.shared.is_ahead();
        if is_free {
            self.turn();
        }
        is_free && self.unsent.is_empty()
    }

    pub(super) fn home_of(&self, room: &str) -> usize {
        home_of(room, self.shared.mailboxes().map_or(1, |mailboxes| mailboxes.len()))
    }

    /// What an operation says, as it goes over the bus.
    fn body(&self, op: &Op) -> Vec<u8> {
        match op {
            Op::Append(publish, _) | Op::Pass(publish) => body::encode(self.instance, publish),
            Op::Read(_) | Op::Leave(_) | Op::Nodes(_) | Op::Note(_) | Op::Take(_) => Vec::new(),
        }
    }
}

/// What the broker is asked for an operation. Rooms that are opened are followed from here on.
fn plan<'r>(
    op: &'r Op,
    body: &'r [u8],
    list: Option<&'r Errand>,
    history: &'r History,
    fresh: Epoch,
    tracks: &mut HashMap<Arc<str>, Track>,
    requests: &mut Vec<Request<'r>>,
) {
    match op {
        Op::Append(publish, window) => {
            let (room, sender, window) = (&publish.room, &*publish.sender, *window);
            let known = tracks.get(room).and_then(Track::position);
            let place = Place { room, keep: history.keep(room), known, fresh };
            let id = publish.message_id.as_ref().map(|id| MessageId { sender, id, window });
            requests.push(Request::Publish { place, id, body });
        }
        Op::Pass(publish) => {
            requests.push(Request::Say { on: Channel::Room(&publish.room), body });
        }
        Op::Note(_) | Op::Take(_) => {} // those are for the store of an outbox
        Op::Leave(room) => {
            tracks.remove(room);
            requests.push(Request::Unsubscribe(Channel::Room(room)));
        }
        Op::Nodes(_) => {} // see `take_company`
        Op::Read(Reading { room, span, max, inquiry, .. }) => {
            let (opens, keep) = (inquiry.is_none(), history.keep(room));
            let is_away =
                opens && tracks.entry(Arc::clone(room)).or_insert_with(Track::new).is_away();
            if is_away || !keep.has_history() {
                requests.push(Request::Subscribe(Channel::Room(room)));
                requests.extend(list.map(Errand::request));
            }
            if keep.has_history() {
                let known = tracks.get(room).and_then(Track::position);
                requests.push(Request::Read {
                    place: Place { room, keep, known, fresh },
                    opens,
                    span: *span,
                    messages_max: max.messages,
                    bytes_max: max.bytes,
                });
            }
        }
    }
}

/// What is asked of who is in a room that is followed from here on.
fn list(op: &Op) -> Option<Errand> {
    match op {
        Op::Read(Reading { room, inquiry: None, .. }) => Some(Errand::list(room)),
        Op::Read(_) | Op::Append(..) | Op::Pass(_) | Op::Leave(_) | Op::Nodes(_) => None,
        Op::Note(_) | Op::Take(_) => None, // those are for the store of an outbox
    }
}

pub(super) fn exchange<L: Link>(
    link: Option<&mut L>,
    requests: &[Request<'_>],
) -> (Result<Vec<Answer>, BrokerError>, Vec<News>) {
    let mut news = Vec::new();
    let Some(link) = link else { return (Err(BrokerError("there is no link".into())), news) };
    let result = link.exchange(requests, &mut news);
    let result = result.and_then(|answers| {
        let is_whole = answers.len() == requests.len();
        let missing = || BrokerError("an answer is missing".into());
        is_whole.then_some(answers).ok_or_else(missing)
    });
    (result, news)
}

pub(super) fn read_as(reading: Reading, result: Result<Page, Fault>) -> What {
    What::Read { room: reading.room, inquiry: reading.inquiry, result }
}

/// Cuts what waits into pieces of a bounded size.
fn batches(waiting: Vec<Waiting>, mut work: impl FnMut(Vec<Waiting>)) {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for one in waiting {
        let more = one.share.bytes();
        if batch.len() >= BATCH_MAX || (bytes + more > BATCH_BYTES_MAX && !batch.is_empty()) {
            work(mem::take(&mut batch));
            bytes = 0;
        }
        bytes += more;
        batch.push(one);
    }
    if !batch.is_empty() {
        work(batch);
    }
}

impl Around {
    /// The epoch of a room, if it begins now.
    pub(super) fn fresh(&mut self) -> Epoch {
        Epoch((self.random)())
    }
}

impl Default for Around {
    /// The system's.
    fn default() -> Self {
        let random = || getrandom::u64().unwrap_or_default();
        let (clock, random) = (Box::<OsClock>::default(), Box::new(random));
        Self { clock, random, is_stepped: false }
    }
}

#[cfg(test)]
#[path = "carrier_tests.rs"]
mod tests;
