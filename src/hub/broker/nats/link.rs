//! A connection to NATS that is open.
//!
//! Owns what goes out together, and in which order news and answers are told. Rooms do not wait
//! for each other: what is asked about one room goes one after the other, rooms side by side.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Client, Subscriber};
use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::timeout as limited;

use super::arrivals::{Arrival, Door, listen};
use super::rooms::Head;
use super::streams::{Limits, Streams, Trouble};
use super::{ANSWER_TIMEOUT, names};
use crate::hub::broker::inbox;
use crate::hub::broker::{Answer, BrokerError, Channel, Link, News, Piece, Request};
use crate::hub::history::Position;

/// After so long without a word it is asked whether anybody is there.
const QUIET: Duration = Duration::from_secs(1);

/// How long news is waited for that an answer shows to be on its way.
const NEWS_PAUSE: Duration = Duration::from_millis(500);

/// Of how many rooms that nobody follows it is remembered how far they are.
const HEADS_MAX: usize = 16_384;

/// A connection to NATS.
pub struct NatsLink {
    runtime: Runtime,
    session: Session,
}

/// The connection, and what is known over it.
pub(super) struct Session {
    streams: Streams,
    /// What this node says to itself, to see that all before it has arrived.
    echo: Subscriber,
    echo_subject: String,
    door: Door,
    arrivals: UnboundedReceiver<Arrival>,
    notify: Arc<Notify>,
    followed: HashMap<Arc<str>, Followed>,
    nodes: Option<JoinHandle<()>>,
    heads: HashMap<Arc<str>, Head>,
    heard: Instant,
    /// Why it can be used no longer.
    broken: Option<BrokerError>,
}

/// A room that is listened to.
struct Followed {
    task: JoinHandle<()>,
    /// Up to where all news has come; none where nothing is known yet.
    heard: Option<Position>,
}

/// What is asked about one room or one table.
struct Lane<'a> {
    room: Option<&'a str>,
    head: Option<Head>,
    requests: Vec<(usize, Request<'a>)>,
}

/// What has become of a lane.
struct Outcome<'a> {
    room: Option<&'a str>,
    head: Option<Head>,
    answers: Vec<(usize, Result<Answer, Trouble>)>,
}

impl NatsLink {
    pub(super) const fn new(runtime: Runtime, session: Session) -> Self {
        Self { runtime, session }
    }
}

impl Session {
    pub(super) fn new(
        streams: Streams,
        (echo, echo_subject): (Subscriber, String),
        (door, arrivals): (Door, UnboundedReceiver<Arrival>),
        notify: Arc<Notify>,
    ) -> Self {
        Self {
            streams,
            echo,
            echo_subject,
            door,
            arrivals,
            notify,
            followed: HashMap::new(),
            nodes: None,
            heads: HashMap::new(),
            heard: Instant::now(),
            broken: None,
        }
    }

    /// What goes out at once: whom this node listens to, and what is kept nowhere.
    async fn begin(&mut self, requests: &[Request<'_>]) -> Result<bool, Trouble> {
        let mut has_begun = false;
        for request in requests {
            match *request {
                Request::Subscribe(channel) => self.subscribe(channel).await?,
                Request::Unsubscribe(channel) => self.unsubscribe(channel),
                Request::Say { on, body } => {
                    let said = body.to_vec().into();
                    let sent = self.streams.client.publish(names::channel(on), said).await;
                    sent.map_err(|error| Trouble::broken(&error))?;
                }
                Request::Publish { .. }
                | Request::Read { .. }
                | Request::Put { .. }
                | Request::Remove { .. }
                | Request::List { .. } => continue,
            }
            has_begun = true;
        }
        Ok(has_begun)
    }

    async fn subscribe(&mut self, channel: Channel<'_>) -> Result<(), Trouble> {
        let room: Option<Arc<str>> = match channel {
            Channel::Room(room) if self.followed.contains_key(room) => return Ok(()),
            Channel::Nodes if self.nodes.is_some() => return Ok(()),
            Channel::Room(room) => Some(room.into()),
            Channel::Nodes => None,
        };
        let subscriber = self.streams.client.subscribe(names::channel(channel)).await;
        let subscriber = subscriber.map_err(|error| Trouble::broken(&error))?;
        let task = tokio::spawn(listen(subscriber, self.door.clone(), room.clone()));
        match room {
            Some(room) => drop(self.followed.insert(room, Followed { task, heard: None })),
            None => self.nodes = Some(task),
        }
        Ok(())
    }

    /// The subscription goes with the task that has it.
    fn unsubscribe(&mut self, channel: Channel<'_>) {
        let task = match channel {
            Channel::Room(room) => self.followed.remove(room).map(|followed| followed.task),
            Channel::Nodes => self.nodes.take(),
        };
        if let Some(task) = task {
            task.abort();
        }
    }

    /// Takes what has come by itself.
    fn take(&mut self, arrival: Arrival, news: &mut Vec<News>) {
        self.door.inbox.remove(arrival.bytes());
        self.heard = Instant::now();
        match arrival {
            Arrival::Placed { room, position, sequence, body } => {
                let Some(followed) = self.followed.get_mut(&room) else { return };
                followed.hear(position);
                let head = Head { position: Some(position), sequence };
                let known = self.heads.entry(Arc::clone(&room)).or_insert(head);
                if known.sequence < sequence {
                    *known = head;
                }
                // That a room begins is no message.
                if position.offset > 0 {
                    news.push(News::Message { room, position, body });
                }
            }
            Arrival::Said { room, body } => news.push(News::Said { room, body }),
            Arrival::Gone => self.give_up("the connection is broken"),
        }
    }

    fn take_all(&mut self, news: &mut Vec<News>) {
        while let Ok(arrival) = self.arrivals.try_recv() {
            self.take(arrival, news);
        }
        if self.door.inbox.has_overflown() {
            self.give_up("more comes than this node can take");
        }
    }

    /// Waits for what an answer shows to be on its way: it is told before the answer.
    async fn settle(&mut self, goals: &[(Arc<str>, Position)], news: &mut Vec<News>) {
        let begin = Instant::now();
        tokio::task::yield_now().await;
        self.take_all(news);
        for (room, goal) in goals {
            while self.followed.get(room).is_some_and(|followed| followed.lacks(*goal)) {
                let rest = NEWS_PAUSE.saturating_sub(begin.elapsed());
                let Ok(Some(arrival)) = limited(rest, self.arrivals.recv()).await else {
                    break; // it is lost: the relay sees that by the offsets
                };
                self.take(arrival, news);
            }
            if let Some(followed) = self.followed.get_mut(room) {
                followed.hear(*goal);
            }
        }
        self.take_all(news);
    }

    /// Takes what became of the lanes: answers, and how far rooms are.
    async fn end(
        &mut self,
        outcomes: Vec<Outcome<'_>>,
        answers: &mut [Answer],
        news: &mut Vec<News>,
    ) -> Result<(), BrokerError> {
        let mut goals = Vec::new();
        let mut broken = None;
        for Outcome { room, head, answers: given } in outcomes {
            let room = room.map(Arc::<str>::from);
            for (index, answer) in given {
                answers[index] = match answer {
                    Ok(answer) => answer,
                    Err(Trouble::Refused(error)) => Answer::Failed(error),
                    Err(Trouble::Lasting(error)) => {
                        self.give_up(&error.0);
                        Answer::Failed(error)
                    }
                    Err(Trouble::Broken(error)) => {
                        broken.get_or_insert_with(|| error.clone());
                        Answer::Failed(error)
                    }
                };
                if let (Some(room), Some(goal)) = (&room, reached(&answers[index])) {
                    goals.push((Arc::clone(room), goal));
                }
            }
            if let (Some(room), Some(head)) = (room, head) {
                self.heads.insert(room, head);
            }
        }
        if self.heads.len() > HEADS_MAX + self.followed.len() {
            self.heads.retain(|room, _| self.followed.contains_key(room));
        }
        self.settle(&goals, news).await;
        broken.map_or(Ok(()), Err)
    }

    async fn carry_out(
        &mut self,
        requests: &[Request<'_>],
        news: &mut Vec<News>,
    ) -> Result<Vec<Answer>, BrokerError> {
        let of_trouble = |trouble| match trouble {
            Trouble::Refused(error) | Trouble::Lasting(error) | Trouble::Broken(error) => error,
        };
        if let Some(wanted) = requests.iter().filter_map(limits).reduce(Limits::max) {
            self.streams.grow(wanted).await?;
        }
        let has_begun = self.begin(requests).await.map_err(of_trouble)?;
        let lanes = lanes(requests, &mut self.heads);
        let streams = &self.streams;
        let work = join_all(lanes.into_iter().map(|lane| lane.drive(streams)));
        // Who is to hear something is there when the answer is.
        let (outcomes, echoed) = if has_begun {
            join(work, echo(&streams.client, &mut self.echo, &self.echo_subject)).await
        } else {
            (work.await, Ok(()))
        };
        let mut answers = vec![Answer::Done; requests.len()];
        self.end(outcomes, &mut answers, news).await?;
        echoed?;
        self.heard = Instant::now();
        Ok(answers)
    }

    fn give_up(&mut self, words: &str) {
        self.broken.get_or_insert_with(|| BrokerError(words.into()));
    }

    fn check(&self) -> Result<(), BrokerError> {
        self.broken.clone().map_or(Ok(()), Err)
    }
}

impl Link for NatsLink {
    fn exchange(
        &mut self,
        requests: &[Request<'_>],
        news: &mut Vec<News>,
    ) -> Result<Vec<Answer>, BrokerError> {
        let Self { runtime, session } = self;
        session.check()?;
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let door = session.door.clone();
        let work = door.while_open(session.carry_out(requests, news));
        let answers = runtime.block_on(work)?;
        session.take_all(news);
        answers
    }

    fn wait(&mut self, timeout: Duration, news: &mut Vec<News>) -> Result<(), BrokerError> {
        let Self { runtime, session } = self;
        session.check()?;
        let next = inbox::next(&mut session.arrivals, &session.notify, timeout);
        if let Some(arrival) = runtime.block_on(next) {
            session.take(arrival, news);
        }
        session.take_all(news);
        session.check()?;
        if session.heard.elapsed() >= QUIET {
            let door = session.door.clone();
            let echo = echo(&session.streams.client, &mut session.echo, &session.echo_subject);
            runtime.block_on(door.while_open(echo))??;
            session.heard = Instant::now();
            session.take_all(news);
        }
        session.check()
    }
}

impl Followed {
    fn hear(&mut self, position: Position) {
        let is_old =
            |heard: Position| heard.epoch == position.epoch && heard.offset > position.offset;
        if !self.heard.is_some_and(is_old) {
            self.heard = Some(position);
        }
    }

    /// Whether there is news before this place that has not come.
    fn lacks(&self, goal: Position) -> bool {
        self.heard.is_some_and(|heard| heard.epoch != goal.epoch || heard.offset < goal.offset)
    }
}

impl<'a> Lane<'a> {
    /// Does one after the other, until nobody knows any more what was done.
    async fn drive(mut self, streams: &Streams) -> Outcome<'a> {
        let mut answers = Vec::with_capacity(self.requests.len());
        for (index, request) in self.requests {
            let head = &mut self.head;
            let answer = match request {
                Request::Publish { place, id, body } => {
                    streams.publish(place, id, body, head).await
                }
                Request::Read { place, opens, span, messages_max, bytes_max } => {
                    let piece = Piece { opens, span, messages_max, bytes_max };
                    streams.read(place, piece, head).await.map(Answer::Rows)
                }
                Request::Put { table, field, value, lease } => {
                    streams.put_field(table, field, value, lease).await
                }
                Request::Remove { table, field } => {
                    streams.put_field(table, field, b"", Duration::ZERO).await
                }
                Request::List { table } => streams.list(table).await,
                Request::Subscribe(_) | Request::Unsubscribe(_) | Request::Say { .. } => {
                    Ok(Answer::Done)
                }
            };
            let is_broken = matches!(answer, Err(Trouble::Broken(_)));
            answers.push((index, answer));
            if is_broken {
                break;
            }
        }
        Outcome { room: self.room, head: self.head, answers }
    }
}

/// What is asked, room by room and table by table.
fn lanes<'a>(requests: &[Request<'a>], heads: &mut HashMap<Arc<str>, Head>) -> Vec<Lane<'a>> {
    let mut lanes: Vec<Lane<'a>> = Vec::new();
    let mut indices = HashMap::new();
    for (index, request) in requests.iter().enumerate() {
        let (room, table) = match *request {
            Request::Publish { place, .. } | Request::Read { place, .. } => (Some(place.room), ""),
            Request::Put { table, .. }
            | Request::Remove { table, .. }
            | Request::List { table } => (None, table),
            Request::Subscribe(_) | Request::Unsubscribe(_) | Request::Say { .. } => continue,
        };
        let lane = *indices.entry((room, table)).or_insert_with(|| {
            let head = room.and_then(|room| heads.remove(room));
            lanes.push(Lane { room, head, requests: Vec::new() });
            lanes.len() - 1
        });
        lanes[lane].requests.push((index, *request));
    }
    lanes
}

/// How much a request needs to be kept.
fn limits(request: &Request<'_>) -> Option<Limits> {
    match *request {
        Request::Publish { place, id, .. } => Some(Limits::of(place, id)),
        Request::Read { place, .. } => Some(Limits::of(place, None)),
        Request::Subscribe(_)
        | Request::Unsubscribe(_)
        | Request::Say { .. }
        | Request::Put { .. }
        | Request::Remove { .. }
        | Request::List { .. } => None,
    }
}

/// How far a room is, as an answer says.
fn reached(answer: &Answer) -> Option<Position> {
    match answer {
        Answer::Published(placed) if !placed.is_repeat => Some(placed.position),
        Answer::Rows(rows) => Some(rows.position),
        Answer::Published(_) | Answer::Done | Answer::Fields(_) | Answer::Failed(_) => None,
    }
}

/// Says something to itself, and waits until it has come: all that was sent before is there then.
async fn echo(
    client: &Client,
    subscriber: &mut Subscriber,
    subject: &str,
) -> Result<(), BrokerError> {
    let gone = || BrokerError("it does not answer".into());
    let sent = client.publish(subject.to_owned(), Vec::new().into()).await;
    sent.map_err(|_| gone())?;
    let heard = limited(ANSWER_TIMEOUT, subscriber.next()).await;
    heard.ok().flatten().map(drop).ok_or_else(gone)
}
