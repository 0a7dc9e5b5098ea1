//! A run: who is on which server, how long, and what has come of it.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::HISTORY_BYTES;
use crate::authority::Authority;
use crate::chaos::{self, Done, Plan};
use crate::common::{RawClient, Server, free_addresses};
use crate::crowds::{self, Tally};
use crate::guests::{Guest, Visits};
use crate::judge::{self, Allowance};
use crate::record::{Event, Person, Trial, check, kept};
use crate::redis::Redis;
use crate::served::Served;
use crate::talkers::{self, ROOMS, Scribe, Talker};
use crate::watch::{self, Sample, Watched};

const TALKERS: u64 = 3;
const WALKERS: u64 = 2;
const GUESTS: u64 = 2;

/// How many messages a room keeps: far more than anybody misses.
const KEPT: &str = "1500";

/// Which errors stand in the log of the server over Redis: it is killed.
const OVER_REDIS: [&str; 1] = ["the broker is away: this node is alone"];

/// Which stand in that of the server with a file: a process that follows finds it locked at first.
const WITH_FILE: [&str; 2] = ["--history-db: ", "the store fails: durable rooms take no messages"];

/// The flags of both.
fn flags(more: &[&str]) -> Vec<String> {
    let own = ["--drain", "1", "--close-timeout", "2", "--handshake-timeout", "3"];
    let slow = ["--backlog-bytes", "200000", "--write-timeout", "3"];
    let kept = ["--durable", "d.*", "--history-messages", KEPT, "--dedup-window", "20"];
    let bytes = HISTORY_BYTES.to_string();
    let all = own.into_iter().chain(slow).chain(kept).chain(["--history-bytes", &bytes]);
    all.chain(more.iter().copied()).map(str::to_owned).collect()
}

/// What has come of one server.
pub struct Outcome {
    pub name: &'static str,
    pub watched: Watched,
    pub done: Done,
    /// Without anybody, before and after.
    pub before: Sample,
    pub after: Sample,
    /// How many connections its last process has taken over.
    pub taken: f64,
    /// Of a processor, when nobody was there any more.
    pub load: f64,
    pub record: Trial,
    pub visits: Vec<Visits>,
    pub floods: usize,
    /// How many slow readers were sent away, and how much was sent to them.
    pub slow: usize,
    pub pressed: usize,
    pub errors: Vec<String>,
    pub expected: &'static [&'static str],
}

impl Outcome {
    /// All that does not hold.
    pub fn faults(&self, allowance: Allowance) -> Vec<String> {
        let (still, changing) = (self.done.still, self.done.changing);
        let mut faults = judge::flat(&self.watched, still, allowance).1;
        faults.extend(judge::inherited(&self.watched, changing, allowance).1);
        faults.extend(judge::returned(&self.before, &self.after));
        faults.extend(judge::accounted(&self.after, self.taken));
        faults.extend(judge::idle(self.load));
        faults.extend(judge::answered(&self.watched));
        faults.extend(judge::said(&self.errors, self.expected));
        faults.extend(check(&self.record));
        faults.extend(self.visits.iter().flat_map(|visits| visits.faults.clone()));
        faults.extend(self.left_out());
        faults.iter().map(|fault| format!("{}: {fault}", self.name)).collect()
    }

    /// What was to happen at least once, and did not.
    fn left_out(&self) -> Vec<String> {
        let acked = self.record.clients.iter().flatten();
        let acked = acked.filter(|event| matches!(event, Event::Acked { .. })).count();
        let all = [
            ("an upgrade", self.done.upgrades),
            ("a change of settings", self.done.changes),
            ("a flood of each kind", self.floods / crowds::FLOODS),
            ("a slow reader who is sent away", self.slow),
            ("a message to slow readers", self.pressed),
            ("a visit that came to its end", self.visits.iter().map(|visits| visits.done).sum()),
            ("a hundred messages that were acknowledged", acked / 100),
        ];
        let never = all.iter().filter(|(_, count)| *count == 0);
        never.map(|(what, _)| format!("there was never {what}")).collect()
    }

    /// What is told of it.
    pub fn tell(&self, allowance: Allowance) {
        let (watched, done) = (&self.watched, &self.done);
        let events = || self.record.clients.iter().flatten();
        let count = |is: fn(&Event) -> bool| events().filter(|event| is(event)).count();
        let acked = count(|event| matches!(event, Event::Acked { .. }));
        let refused = count(|event| matches!(event, Event::Refused { .. }));
        let seen = count(|event| matches!(event, Event::Seen { .. }));
        let visits: usize = self.visits.iter().flat_map(|visits| visits.counts.values()).sum();
        let (upgrades, changes) = (done.upgrades, done.changes);
        say(&format!(
            "soak: {}: {upgrades} upgrades, {changes} SIGHUP, {visits} visits, {} floods, \
             {} slow readers sent away; {acked} acknowledged, {refused} refused, {seen} seen",
            self.name, self.floods, self.slow
        ));
        say(&format!("  still: {}", judge::flat(watched, done.still, allowance).0));
        say(&format!("  upgraded: {}", judge::inherited(watched, done.changing, allowance).0));
        let (before, after) = (&self.before, &self.after);
        let most = watched.most(|sample| sample.fds as f64);
        say(&format!("  descriptors: {}, at most {most}, {}", before.fds, after.fds));
        let most = watched.most(Sample::connections);
        say(&format!("  connections: at most {most}, then {}", after.connections()));
        say(&format!("  KiB at rest: {}, then {}", before.rss_kb, after.rss_kb));
        let owners: Vec<_> = before.owners().zip(after.owners()).collect();
        say(&format!("  by owner, before and after: {owners:?}"));
        let load = self.load * 100.0;
        let (asked, slowest) = (watched.asked, watched.slowest);
        say(&format!("  {load:.2} % when idle; /healthz {asked} times, at most {slowest:.2?}"));
    }
}

/// A server while it is soaked.
struct Place<'a> {
    name: &'static str,
    server: &'a Served,
    expected: &'static [&'static str],
    tls: Option<Arc<ClientConfig>>,
    before: Sample,
    plan: Plan,
    tally: &'a Tally,
}

impl Place<'_> {
    /// All who are on it, until it is over; then it is left alone, and what is left is seen.
    fn soak(&self, seed: u64, redis: &Mutex<Redis>, is_over: &AtomicBool) -> Outcome {
        let (server, begin, tally) = (self.server, self.plan.begin, self.tally);
        let mut outcome = thread::scope(|scope| {
            let talker = |number| Talker::new(server, seed * 100 + number);
            let members: Vec<_> = (0..TALKERS + WALKERS)
                .map(|number| (number, talker(number)))
                .map(|(number, talker)| match number {
                    ..TALKERS => scope.spawn(move || talker.talk(number << 32, is_over)),
                    _ => scope.spawn(move || talker.walk(is_over)),
                })
                .collect();
            let scribe = scope.spawn(move || Scribe::new(server).read(is_over));
            let api = scope.spawn(move || talkers::publish(server, 1 << 40, is_over));
            let guests: Vec<_> = (0..GUESTS)
                .map(|number| Guest::new(server, seed * 100 + 50 + number, self.tls.clone()))
                .map(|guest| scope.spawn(move || guest.come(is_over)))
                .collect();
            let flood = scope.spawn(move || crowds::flood(server, seed, tally, is_over));
            let slow = scope.spawn(move || crowds::read_slowly(server, tally, is_over));
            let press = scope.spawn(move || crowds::press(server, is_over));
            let watched = scope.spawn(move || watch::watch(server, begin, is_over));
            let done = chaos::upgrade(server, redis, self.plan, is_over);
            let members = members.into_iter().map(|one| one.join().expect("no panic"));
            let members: Vec<Talker<'_>> = members.collect();
            let api = api.join().expect("no panic");
            let record = self.gather(members, api, scribe.join().expect("no panic"), redis);
            let visits = guests.into_iter().map(|guest| guest.join().expect("no panic"));
            Outcome {
                name: self.name,
                watched: watched.join().expect("no panic"),
                done,
                before: self.before.clone(),
                after: Sample::default(),
                taken: 0.0,
                load: 0.0,
                record,
                visits: visits.collect(),
                floods: flood.join().map(|()| count(&tally.floods)).expect("no panic"),
                slow: slow.join().map(|()| count(&tally.slow)).expect("no panic"),
                pressed: press.join().expect("no panic"),
                errors: Vec::new(),
                expected: self.expected,
            }
        });
        outcome.after = watch::rest(server, begin, 30);
        let time = Duration::from_secs(if crate::is_full() { 10 } else { 3 });
        outcome.load = watch::load(server.pid(), time);
        let log = server.log();
        (outcome.taken, outcome.errors) = (log.taken, log.errors.clone());
        drop(log);
        outcome
    }

    /// What everybody has done and seen, and what the rooms have kept.
    fn gather(
        &self,
        members: Vec<Talker<'_>>,
        api: Vec<Event>,
        scribe: Scribe<'_>,
        redis: &Mutex<Redis>,
    ) -> Trial {
        drop(redis.lock().expect("not poisoned")); // it is up again
        watch::await_ready(self.server);
        // What was held on its way comes late, and is no less there.
        thread::sleep(Duration::from_millis(500));
        let kept = scribe.finish();
        let mut clients: Vec<_> = members.into_iter().map(|one| one.finish(&kept)).collect();
        clients.push(api);
        Trial { clients, kept }
    }
}

/// Soaks both servers for a time, and says what has come of each.
pub fn run(seed: u64, time: Duration) -> [Outcome; 2] {
    say(&format!("soak: seed {seed}, {time:?}; THRONG_SEED={seed} repeats it"));
    let authority = Authority::new();
    let pair = authority.pair("server", &["localhost"]);
    let [address] = free_addresses();
    // What it has to read when it is started again is bounded.
    let options = ["--auto-aof-rewrite-min-size", "4mb"];
    let redis = Mutex::new(Redis::start_at(address, &options));
    let url = redis.lock().expect("not poisoned").url();
    let over = Served::start("redis", |_| {
        let own = ["--redis", &url, "--node", "one", "--tls-or-plain"];
        [flags(&own), pair.flags()].concat()
    });
    let with = Served::start("file", |folder| flags(&["--history-db", &folder.file("db")]));
    let before = [&over, &with].map(|server| {
        server.upgrade(); // so that it is one that has followed, as at the end
        watch::await_ready(server);
        watch::rest(server, Instant::now(), 30)
    });
    let [before, before_other] = before;
    let config = Arc::new(crate::peer::config(&authority, &crate::peer::BOTH, None));
    let (begin, is_over) = (Instant::now(), AtomicBool::new(false));
    let plan = Plan { begin, time, is_first: true };
    let tallies = [Tally::default(), Tally::default()];
    let place = Place {
        name: "over Redis",
        server: &over,
        expected: &OVER_REDIS,
        tls: Some(config),
        before,
        plan,
        tally: &tallies[0],
    };
    let other = Place {
        name: "with a file",
        server: &with,
        expected: &WITH_FILE,
        tls: None,
        before: before_other,
        plan: Plan { is_first: false, ..plan },
        tally: &tallies[1],
    };
    let outcomes = thread::scope(|scope| {
        let (redis, is_over) = (&redis, &is_over);
        let trouble = scope.spawn(move || chaos::trouble(redis, plan, seed, is_over));
        let one = scope.spawn(move || place.soak(seed, redis, is_over));
        let two = scope.spawn(move || other.soak(seed + 1, redis, is_over));
        thread::sleep(time.saturating_sub(begin.elapsed()));
        // On a busy machine some things take longer.
        let end = begin + time * 4;
        while Instant::now() < end && !tallies.iter().all(Tally::is_full) {
            thread::sleep(Duration::from_millis(100));
        }
        is_over.store(true, Ordering::SeqCst);
        let [killed, stalled] = trouble.join().expect("no panic");
        say(&format!("soak: Redis was killed {killed} times, and stalled {stalled} times"));
        assert!(killed > 0 && stalled > 0, "there was never a fault of Redis");
        [one, two].map(|outcome| outcome.join().expect("no panic"))
    });
    outlives_kill_9(&with, &outcomes[1].record);
    outcomes
}

/// What was said in the durable room is in the file, whatever becomes of the server.
fn outlives_kill_9(server: &Served, record: &Trial) {
    server.end("KILL");
    let flags = flags(&["--history-db", &server.folder().file("db")]);
    let words: Vec<&str> = flags.iter().map(String::as_str).collect();
    let next = Server::serve(&words);
    let mut reader = Person::open(RawClient::connect(&next), "/ws").0;
    let (rows, known) = (kept(&mut reader, ROOMS[1]), &record.kept[ROOMS[1]]);
    assert!(!rows.is_empty() && known.ends_with(&rows), "the file has lost something");
}

fn count(sum: &AtomicUsize) -> usize {
    sum.load(Ordering::SeqCst)
}

/// What stands in the log of a run that went well, too.
pub fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// A seed, or a time in seconds, that was asked for.
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_is_left_of_everything_at_once() {
    let time_s = asked("THRONG_SOAK_S").unwrap_or(if crate::is_full() { 600 } else { 24 });
    let seed = asked("THRONG_SEED").unwrap_or(1);
    let outcomes = run(seed, Duration::from_secs(time_s));
    let allowance = Allowance::of(time_s);
    outcomes.iter().for_each(|outcome| outcome.tell(allowance));
    let faults: Vec<_> = outcomes.iter().flat_map(|outcome| outcome.faults(allowance)).collect();
    assert!(faults.is_empty(), "seed {seed}:\n{}", faults.join("\n"));
}
