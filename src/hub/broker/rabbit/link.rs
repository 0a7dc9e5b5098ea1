//! A connection to RabbitMQ that is open.
//!
//! Owns what goes out together, and which answer belongs to what was asked. What is asked of the
//! logs is an entry there, and its answer is what was known when that entry came back: so all
//! answers and all news stand in the order of the log. Never gives a message its place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::time::timeout as limited;

use super::ANSWER_TIMEOUT;
use super::entry::{Head, Kind};
use super::live;
use super::logs::{Log, Logs};
use super::rooms::Outcome;
use super::session::{Fault, LIVE, Session, Watch};
use super::wire::MESSAGE_BYTES_MAX;
use crate::hub::broker::{Answer, BrokerError, LINK_BYTES_MAX, Link, News, Piece, Request};

/// After so long without a word it is asked whether anybody is there.
const QUIET: Duration = Duration::from_secs(1);

/// How long all answers may take, whatever else comes.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is tried to read what another node has changed meanwhile.
const ROUNDS: usize = 3;

/// How long the head of an entry may be, beside its room and who has said it.
const HEAD_BYTES: usize = 1024;

/// How long it is tried to say that this is the end.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(50);

/// A connection to RabbitMQ.
pub struct RabbitLink {
    runtime: Runtime,
    session: Session,
    notify: Arc<Notify>,
}

/// An entry that was written, and what is answered when it comes back.
struct Written {
    number: u64,
    /// The request that it is about, if there is one.
    own: Option<usize>,
    /// Those that are answered by what was known just before it.
    before: Vec<usize>,
}

/// What one round is about.
struct Round<'a> {
    requests: &'a [Request<'a>],
    answers: &'a mut [Option<Answer>],
    written: Vec<Written>,
    /// Requests that wait for the next entry of the log of rooms, and of the other.
    waiting: [Vec<usize>; 2],
}

impl RabbitLink {
    pub(super) const fn new(runtime: Runtime, session: Session, notify: Arc<Notify>) -> Self {
        Self { runtime, session, notify }
    }
}

impl Session {
    fn take_news(&mut self, news: &mut Vec<News>) -> Result<(), Fault> {
        while let Some(event) = self.wire.next()? {
            self.take(event, news, &mut ())?;
        }
        Ok(())
    }

    async fn carry_out(
        &mut self,
        requests: &[Request<'_>],
        news: &mut Vec<News>,
    ) -> Result<Vec<Answer>, Fault> {
        let mut answers = vec![None; requests.len()];
        for _ in 0..ROUNDS {
            let answers = &mut answers[..];
            let waiting = [Vec::new(), Vec::new()];
            let mut round = Round { requests, answers, written: Vec::new(), waiting };
            round.begin(self)?;
            round.end(self, news).await?;
            if answers.iter().all(Option::is_some) {
                break;
            }
        }
        let failed = || Answer::Failed(BrokerError("its logs take nothing".into()));
        Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(failed)).collect())
    }
}

impl Round<'_> {
    /// Puts out what has no answer yet.
    fn begin(&mut self, session: &mut Session) -> Result<(), BrokerError> {
        let mut has_said = false;
        for index in 0..self.requests.len() {
            if self.answers[index].is_some() {
                continue;
            }
            match self.requests[index] {
                Request::Publish { .. } => self.publish(session, index)?,
                Request::Read { place, opens, .. } => {
                    if opens && !session.logs.rooms.goes_on(place) {
                        let base = session.logs.rooms.position(place.room);
                        let stamp = session.logs.stamp(Log::Rooms);
                        let head = Head::of_room(stamp, Kind::Open, place, base, None);
                        self.write(session, Log::Rooms, Some(index), &head, b"")?;
                    } else {
                        self.waiting[Log::Rooms as usize].push(index);
                    }
                }
                Request::Put { table, field, value, lease } => {
                    let stamp = session.logs.stamp(Log::Fields);
                    let head = Head::of_field(stamp, Kind::Put, table, field, lease);
                    self.write(session, Log::Fields, Some(index), &head, value)?;
                }
                Request::Remove { table, field } => {
                    let stamp = session.logs.stamp(Log::Fields);
                    let head = Head::of_field(stamp, Kind::Remove, table, field, Duration::ZERO);
                    self.write(session, Log::Fields, Some(index), &head, b"")?;
                }
                Request::List { .. } => self.waiting[Log::Fields as usize].push(index),
                Request::Subscribe(channel) => session.follow(channel, true),
                Request::Unsubscribe(channel) => session.follow(channel, false),
                Request::Say { on, body } => {
                    let said = live::write(on, body);
                    session.wire.publish((LIVE, &live::key(on)), false, &said);
                }
            }
            if let Request::Subscribe(_) | Request::Unsubscribe(_) | Request::Say { .. } =
                self.requests[index]
            {
                self.answers[index] = Some(Answer::Done);
                has_said = true;
            }
        }
        for log in Log::BOTH {
            if !self.waiting[log as usize].is_empty() {
                let look = Head::look(session.logs.stamp(log));
                self.write(session, log, None, &look, b"")?;
            }
        }
        if has_said {
            session.say_to_itself();
        }
        Ok(())
    }

    fn publish(&mut self, session: &mut Session, index: usize) -> Result<(), BrokerError> {
        let Request::Publish { place, id, body } = self.requests[index] else { return Ok(()) };
        let now = (session.logs.node, session.logs.time_ms());
        let repeat = id.and_then(|id| session.logs.rooms.repeat(place.room, id, now));
        if let Some(placed) = repeat {
            self.answers[index] = Some(Answer::Published(placed));
            return Ok(());
        }
        let names = place.room.len() + id.map_or(0, |id| id.sender.len() + id.id.len());
        // Each byte of a name may be written as six.
        if body.len() + 6 * names + HEAD_BYTES > MESSAGE_BYTES_MAX {
            self.answers[index] = Some(Answer::Failed(BrokerError("it is too long".into())));
            return Ok(());
        }
        let base = session.logs.rooms.position(place.room);
        let stamp = session.logs.stamp(Log::Rooms);
        let head = Head::of_room(stamp, Kind::Message, place, base, id);
        self.write(session, Log::Rooms, Some(index), &head, body)
    }

    fn write(
        &mut self,
        session: &mut Session,
        log: Log,
        own: Option<usize>,
        head: &Head<'_>,
        body: &[u8],
    ) -> Result<(), BrokerError> {
        session.write(log, head, body)?;
        let before = std::mem::take(&mut self.waiting[log as usize]);
        self.written.push(Written { number: head.stamp.number, own, before });
        Ok(())
    }

    /// Waits until all has come back.
    async fn end(&mut self, session: &mut Session, news: &mut Vec<News>) -> Result<(), Fault> {
        let begin = Instant::now();
        let (mut counted, mut bytes) = (news.len(), 0);
        loop {
            while let Some(event) = session.wire.next()? {
                session.take(event, news, self)?;
            }
            if session.is_settled() {
                return Ok(());
            }
            bytes += news[counted..].iter().map(news_bytes).sum::<usize>();
            counted = news.len();
            if bytes > LINK_BYTES_MAX {
                return Err(BrokerError("more comes than this node can take".into()).into());
            }
            if begin.elapsed() > EXCHANGE_TIMEOUT {
                return Err(BrokerError("it does not answer".into()).into());
            }
            session.turn(ANSWER_TIMEOUT).await?;
        }
    }

    /// What is known now is the answer; none where it has to be asked again.
    fn look(&self, logs: &Logs, index: usize) -> Option<Answer> {
        match self.requests[index] {
            Request::Read { place, opens, span, messages_max, bytes_max } => {
                let is_there = !opens || logs.rooms.goes_on(place);
                let piece = Piece { opens, span, messages_max, bytes_max };
                is_there.then(|| Answer::Rows(logs.rooms.rows(place, piece)))
            }
            Request::List { table } => Some(Answer::Fields(logs.fields.list(table))),
            Request::Put { .. } | Request::Remove { .. } => Some(Answer::Done),
            Request::Publish { .. }
            | Request::Subscribe(_)
            | Request::Unsubscribe(_)
            | Request::Say { .. } => None,
        }
    }
}

impl Watch for Round<'_> {
    fn before(&mut self, logs: &Logs, number: u64) {
        let Some(written) = self.written.iter_mut().find(|written| written.number == number) else {
            return;
        };
        for index in std::mem::take(&mut written.before) {
            self.answers[index] = self.look(logs, index);
        }
    }

    fn after(&mut self, logs: &Logs, number: u64, outcome: Result<Outcome, String>) {
        let own = self.written.iter().find(|written| written.number == number);
        let Some(index) = own.and_then(|written| written.own) else { return };
        let failed = |words: &str| Some(Answer::Failed(BrokerError(words.into())));
        self.answers[index] = match outcome {
            Ok(Outcome::Placed(placed)) => Some(Answer::Published(placed)),
            Ok(Outcome::Nothing) => self.look(logs, index),
            Ok(Outcome::TooLate) => failed("it came too late"),
            Ok(Outcome::Unknown) => failed("it is not known how far the room is"),
            Err(words) => failed(&words),
        };
    }
}

impl Link for RabbitLink {
    fn exchange(
        &mut self,
        requests: &[Request<'_>],
        news: &mut Vec<News>,
    ) -> Result<Vec<Answer>, BrokerError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let Self { runtime, session, .. } = self;
        runtime.block_on(session.carry_out(requests, news)).map_err(words)
    }

    fn wait(&mut self, timeout: Duration, news: &mut Vec<News>) -> Result<(), BrokerError> {
        let Self { runtime, session, notify } = self;
        let wait = async {
            session.take_news(news)?;
            if news.is_empty() {
                tokio::select! {
                    turned = session.wire.turn() => {
                        turned?;
                        session.heard = Instant::now();
                    }
                    () = notify.notified() => {}
                    () = tokio::time::sleep(timeout) => {}
                }
                session.take_news(news)?;
            }
            if session.heard.elapsed() >= QUIET {
                session.say_to_itself();
                while !session.is_settled() {
                    session.turn(ANSWER_TIMEOUT).await?;
                    session.take_news(news)?;
                }
            }
            Ok(())
        };
        runtime.block_on(wait).map_err(words)
    }
}

impl Drop for RabbitLink {
    fn drop(&mut self) {
        let Self { runtime, session, .. } = self;
        // Who does not hear it sees that the connection is gone.
        let _ = runtime.block_on(async { limited(CLOSE_TIMEOUT, session.wire.close()).await });
    }
}

fn words(fault: Fault) -> BrokerError {
    match fault {
        Fault::Broken(error) => error,
        Fault::OtherLog => BrokerError("it has other logs than before".into()),
    }
}

/// What news takes, in bytes, about.
fn news_bytes(news: &News) -> usize {
    match news {
        News::Message { body, .. } | News::Said { body, .. } => 128 + body.len(),
    }
}
