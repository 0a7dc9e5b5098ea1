//! Sessions that all nodes know: in Redis, each under a key that ends by itself.
//!
//! Owns the keys, the thread that speaks to Redis, and what waits for it. While Redis is away what
//! changes waits, up to a bound, and nobody's session is found.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Client, Connection, Pipeline, RedisError};
use throng::hub::broker::RedisAddress;
use throng::hub::sessions::{Found, Record, SessionId, SessionStats, Sessions};

/// How many operations may wait; one more is lost.
const WAITING_MAX: usize = 1 << 14;

/// How many go in one round trip.
const BATCH_MAX: usize = 1000;

/// How long Redis may take, and how long it is left alone after it has failed.
const TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(250);

/// The fields of a session's hash; a room is one of its own.
const NAME: &str = "name";
const HAS_TOKEN: &str = "token";
const ROOM: &str = "room:";

/// Sessions in Redis.
pub struct Shared {
    queue: SyncSender<Op>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    held: AtomicU64,
    resumed: AtomicU64,
    unknown: AtomicU64,
    dropped: AtomicU64,
}

enum Op {
    Open(SessionId, Record),
    Enter(SessionId, Box<str>),
    Leave(SessionId, Box<str>),
    Close(SessionId),
    Forget(SessionId),
    Resume(SessionId, Found),
}

impl Shared {
    pub fn start(address: RedisAddress, life: Duration) -> io::Result<Self> {
        let (queue, waiting) = sync_channel(WAITING_MAX);
        let counts = Arc::<Counts>::default();
        let store = Store {
            address,
            connection: None,
            life_s: i64::try_from(life.as_secs()).unwrap_or(i64::MAX).max(1),
            held: HashMap::new(),
            renewed: Instant::now(),
            counts: Arc::clone(&counts),
        };
        thread::Builder::new().name("sessions".into()).spawn(move || store.run(&waiting))?;
        Ok(Self { queue, counts })
    }

    fn put(&self, op: Op) {
        if self.queue.try_send(op).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Sessions for Shared {
    fn open(&self, id: SessionId, record: Record) {
        self.put(Op::Open(id, record));
    }

    fn enter(&self, id: SessionId, room: &str) {
        self.put(Op::Enter(id, room.into()));
    }

    fn leave(&self, id: SessionId, room: &str) {
        self.put(Op::Leave(id, room.into()));
    }

    fn close(&self, id: SessionId) {
        self.put(Op::Close(id));
    }

    fn forget(&self, id: SessionId) {
        self.put(Op::Forget(id));
    }

    fn resume(&self, id: SessionId, found: Found) -> Option<Option<Record>> {
        match self.queue.try_send(Op::Resume(id, found)) {
            Ok(()) => None,
            Err(_) => {
                self.counts.unknown.fetch_add(1, Ordering::Relaxed);
                Some(None)
            }
        }
    }

    /// Those that somebody of this node has.
    fn stats(&self) -> SessionStats {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        SessionStats {
            sessions: of(&self.counts.held),
            bytes: 0,
            resumed: of(&self.counts.resumed),
            unknown: of(&self.counts.unknown),
            dropped: of(&self.counts.dropped),
        }
    }
}

/// The thread.
struct Store {
    address: RedisAddress,
    connection: Option<Connection>,
    life_s: i64,
    /// Those that somebody of this node has, and how many do.
    held: HashMap<SessionId, u32>,
    /// When their keys were given time again.
    renewed: Instant,
    counts: Arc<Counts>,
}

impl Store {
    fn run(mut self, waiting: &Receiver<Op>) {
        // What was not done for sure: all but questions may be done twice.
        let mut ops: Vec<Op> = Vec::new();
        loop {
            if ops.is_empty() {
                match waiting.recv_timeout(Duration::from_secs(1)) {
                    Ok(op) => ops.push(op),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            ops.extend(waiting.try_iter().take(BATCH_MAX.saturating_sub(ops.len())));
            let done = if ops.is_empty() { Ok(()) } else { self.carry_out(&mut ops) };
            if let Err(error) = done.and_then(|()| self.renew()) {
                tracing::debug!(error = error.category(), "sessions cannot be reached");
                self.connection = None;
                self.refuse(&mut ops);
                thread::sleep(PAUSE);
            }
        }
    }

    /// Does all of these in one round trip, or says why not.
    fn carry_out(&mut self, ops: &mut Vec<Op>) -> Result<(), RedisError> {
        let mut pipe = Pipeline::new();
        ops.iter().for_each(|op| self.add(&mut pipe, op));
        // Of each operation one answer: the fields of a session that is resumed, else none.
        let answers: Vec<Vec<(String, String)>> = pipe.query(self.connection()?)?;
        let mut answers = answers.into_iter();
        for op in mem::take(ops) {
            match op {
                Op::Open(id, _) => self.hold(id, true),
                Op::Close(id) => self.hold(id, false),
                Op::Forget(id) => drop(self.held.remove(&id)),
                Op::Resume(id, found) => {
                    let record = answers.next().and_then(record);
                    self.hold(id, record.is_some());
                    let count = match &record {
                        Some(_) => &self.counts.resumed,
                        None => &self.counts.unknown,
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                    found(record);
                }
                Op::Enter(..) | Op::Leave(..) => {}
            }
        }
        self.counts.held.store(self.held.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// The commands of an operation. A key that has ended is not made again: a room alone is no
    /// session.
    fn add(&self, pipe: &mut Pipeline, op: &Op) {
        match op {
            Op::Open(id, Record { name, has_token, rooms }) => {
                let has_token = u8::from(*has_token);
                pipe.cmd("HSET").arg(key(*id)).arg(NAME).arg(&**name);
                pipe.arg(HAS_TOKEN).arg(has_token);
                for room in rooms {
                    pipe.arg(format!("{ROOM}{room}")).arg(1);
                }
                pipe.ignore();
                self.give_time(pipe, *id);
            }
            Op::Enter(id, room) => {
                pipe.hset(key(*id), format!("{ROOM}{room}"), 1).ignore();
                self.give_time(pipe, *id);
            }
            Op::Leave(id, room) => {
                pipe.hdel(key(*id), format!("{ROOM}{room}")).ignore();
            }
            Op::Close(id) => self.give_time(pipe, *id),
            Op::Forget(id) => {
                pipe.del(key(*id)).ignore();
            }
            Op::Resume(id, _) => {
                pipe.cmd("HGETALL").arg(key(*id));
                self.give_time(pipe, *id);
            }
        }
    }

    fn give_time(&self, pipe: &mut Pipeline, id: SessionId) {
        pipe.expire(key(id), self.life_s).ignore();
    }

    /// Gives those time that somebody of this node has: they end so long after the node does.
    fn renew(&mut self) -> Result<(), RedisError> {
        let period = Duration::from_secs(self.life_s.unsigned_abs()) / 3;
        if self.renewed.elapsed() < period {
            return Ok(());
        }
        let ids: Vec<SessionId> = self.held.keys().copied().collect();
        for some in ids.chunks(BATCH_MAX) {
            let mut pipe = Pipeline::new();
            some.iter().for_each(|id| self.give_time(&mut pipe, *id));
            pipe.query::<()>(self.connection()?)?;
        }
        self.renewed = Instant::now();
        Ok(())
    }

    fn hold(&mut self, id: SessionId, is_more: bool) {
        if is_more {
            *self.held.entry(id).or_default() += 1;
        } else if let Some(count) = self.held.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(&id);
            }
        }
    }

    /// Nobody waits for a Redis that is away.
    fn refuse(&self, ops: &mut Vec<Op>) {
        for op in mem::take(ops) {
            match op {
                Op::Resume(_, found) => {
                    self.counts.unknown.fetch_add(1, Ordering::Relaxed);
                    found(None);
                }
                other => ops.push(other),
            }
        }
    }

    fn connection(&mut self) -> Result<&mut Connection, RedisError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let server = self.address.server().map_err(io::Error::other)?;
                let connection = Client::open(server)?.get_connection_with_timeout(TIMEOUT)?;
                connection.set_read_timeout(Some(TIMEOUT))?;
                connection.set_write_timeout(Some(TIMEOUT))?;
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }
}

fn key(id: SessionId) -> String {
    format!("throng:session:{id}")
}

/// What the fields of a hash come to, where they are a session.
fn record(fields: Vec<(String, String)>) -> Option<Record> {
    let (mut name, mut has_token, mut rooms) = (None, false, Vec::new());
    for (field, value) in fields {
        match &*field {
            NAME => name = Some(value.into()),
            HAS_TOKEN => has_token = value == "1",
            other => rooms.extend(other.strip_prefix(ROOM).map(Box::from)),
        }
    }
    Some(Record { name: name?, has_token, rooms })
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_a_session_if_it_has_a_name() {
        let fields = |fields: &[(&str, &str)]| {
            fields.iter().map(|(field, value)| ((*field).into(), (*value).into())).collect()
        };
        let whole = [("name", "ann"), ("token", "1"), ("room:a", "1"), ("room:name", "1")];
        let rooms = vec!["a".into(), "name".into()];
        let expected = Record { name: "ann".into(), has_token: true, rooms };
        assert_eq!(record(fields(&whole)), Some(expected));
        assert_eq!(record(fields(&[("room:a", "1")])), None);
        assert_eq!(record(fields(&[])), None);
    }
}
