//! Durable rooms: what is on the disk, when it is seen, and who waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use throng::hub::history::{
    History, Keep, Keeper, KeeperLimits, Rows, Span, SqliteStore, Store, StoreError, Write, Written,
};
use throng::hub::sink::Held;

use crate::common::{Folder, eventually};
use crate::place::{Place, history, store_of};
use crate::record::offsets;

/// The real store on a slow disk.
struct Slow {
    store: SqliteStore,
    commit_ms: Arc<AtomicU64>,
}

impl Store for Slow {
    fn append(&mut self, batch: &[Write<'_>], outbox_max: Held) -> Result<Written, StoreError> {
        thread::sleep(Duration::from_millis(self.commit_ms.load(Ordering::SeqCst)));
        self.store.append(batch, outbox_max)
    }

    fn read(
        &mut self,
        room: &str,
        span: Span,
        messages_max: usize,
        bytes_max: usize,
        oldest_ms: u64,
    ) -> Result<Rows, StoreError> {
        self.store.read(room, span, messages_max, bytes_max, oldest_ms)
    }

    fn sweep(&mut self, oldest_ms: &dyn Fn(&str) -> u64) -> Result<(), StoreError> {
        self.store.sweep(oldest_ms)
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        self.store.probe()
    }
}

fn slow_place(
    folder: &Folder,
    commit_ms: &Arc<AtomicU64>,
    limits: KeeperLimits,
) -> (Place, Keeper) {
    let (file, commit_ms) = (store_of(folder), Arc::clone(commit_ms));
    let open = move || {
        let store = SqliteStore::open(&file)?;
        Ok(Slow { store, commit_ms: Arc::clone(&commit_ms) })
    };
    let keeper = Keeper::start(history(1000), limits, open).expect("a thread");
    eventually("the store opens", 5.0, || keeper.reason().is_none());
    (Place::with(1, history(1000), Some(keeper.clone())), keeper)
}

#[test]
fn a_restart_loses_nothing_and_offsets_go_on() {
    let folder = Folder::new("history");
    let place = Place::durable(2, history(100), &folder);
    let mut ann = place.person("/ws?name=ann");
    let begin = ann.join("d.1", None);
    assert_eq!(ann.publish("d.1", r#""one""#), 1);
    assert_eq!(ann.publish("d.1", r#""two""#), 2);
    drop(ann);
    drop(place);
    let place = Place::durable(3, history(100), &folder);
    let mut bob = place.person("/ws?name=bob");
    let answer = bob.join("d.1", Some((&begin["epoch"], 1)));
    assert_eq!((&answer["recovered"], &answer["epoch"]), (&json!(true), &begin["epoch"]));
    let missed = &answer["messages"][0];
    assert_eq!((&missed["content"], &missed["sender"]), (&json!("two"), &json!("ann")));
    assert_eq!(bob.publish("d.1", "3"), 3);
    drop(bob);
    drop(place);
    // With the file goes the epoch.
    std::fs::remove_file(store_of(&folder)).expect("the file is there");
    let place = Place::durable(1, history(100), &folder);
    let answer = place.person("/ws").join("d.1", Some((&begin["epoch"], 1)));
    assert_eq!((&answer["recovered"], &answer["offset"]), (&json!(false), &json!(0)));
    assert_ne!(answer["epoch"], begin["epoch"]);
}

/// G6: the disk never holds up the loop.
#[test]
fn a_slow_disk_delays_durable_rooms_and_nobody_else() {
    let folder = Folder::new("history");
    let commit_ms = Arc::new(AtomicU64::new(500));
    let (place, _keeper) = slow_place(&folder, &commit_ms, KeeperLimits::default());
    let (mut ann, mut bob) = (place.person("/ws"), place.person("/ws"));
    ann.join("d.1", None);
    bob.join("m.1", None);
    let begin = Instant::now();
    ann.send(r#"{"type":"text","id":1,"room":"d.1","content":1}"#);
    let mut longest = Duration::ZERO;
    for n in 0..100 {
        let one = Instant::now();
        bob.publish("m.1", &n.to_string());
        longest = longest.max(one.elapsed());
    }
    assert!(begin.elapsed() < Duration::from_millis(450), "all while the disk was busy");
    assert!(longest < Duration::from_millis(200), "{longest:?}");
    // It is seen first when it is written, and the delivery comes before the `ok`.
    let kinds = [ann.read()["type"].clone(), ann.read()["type"].clone()];
    assert_eq!(json!(kinds), json!(["text", "ok"]));
    assert!(begin.elapsed() >= Duration::from_millis(500));
}

#[test]
fn a_commit_takes_all_that_has_waited() {
    let folder = Folder::new("history");
    let commit_ms = Arc::new(AtomicU64::new(50));
    let (place, keeper) = slow_place(&folder, &commit_ms, KeeperLimits::default());
    let mut ann = place.person("/ws");
    ann.join("d.1", None);
    for n in 0..299 {
        ann.send(&format!(r#"{{"type":"text","room":"d.1","content":{n},"echo":false}}"#));
    }
    assert_eq!(ann.publish("d.1", "299"), 300);
    let stats = keeper.stats();
    assert_eq!((stats.messages, stats.failures), (300, 0));
    assert!(stats.commits < 30, "{stats:?}");
    eventually("nothing waits", 5.0, || keeper.stats().waiting_bytes == 0);
}

#[test]
fn what_waits_for_the_disk_is_bounded() {
    let folder = Folder::new("history");
    let commit_ms = Arc::new(AtomicU64::new(300));
    let limits = KeeperLimits { operations_max: 1000, bytes_max: 20_000 };
    let (place, keeper) = slow_place(&folder, &commit_ms, limits);
    let mut ann = place.person("/ws");
    ann.join("d.1", None);
    for n in 0..500 {
        let text = format!(r#"{{"type":"text","id":{n},"room":"d.1","content":{n},"echo":false}}"#);
        ann.send(&text);
    }
    let (mut taken, mut refused) = (Vec::new(), 0);
    while taken.len() + refused < 500 {
        let answer = ann.read();
        match answer["type"].as_str() {
            Some("ok") => taken.push(answer["id"].clone()),
            Some("error") => {
                assert_eq!(answer["code"], "overloaded");
                refused += 1;
            }
            _ => {}
        }
        assert!(keeper.stats().waiting_bytes < 21_000);
    }
    assert!(refused > 300 && taken.len() > 20, "{} taken, {refused} refused", taken.len());
    commit_ms.store(0, Ordering::SeqCst);
    let page = ann.history("d.1", r#","limit":1000"#);
    let kept = page["messages"].as_array().expect("messages").iter();
    let kept: Vec<_> = kept.map(|message| message["content"].clone()).collect();
    assert_eq!(kept, taken, "what was refused is not there, and nothing else is missing");
}

#[test]
fn old_messages_leave_the_file() {
    let folder = Folder::new("history");
    let old = Keep { is_durable: true, age: Duration::from_millis(500), ..Keep::default() };
    let rules = |keep: &Keep| {
        let mut history = history(100);
        history.rules[0].keep = keep.clone();
        history
    };
    let place = Place::durable(1, rules(&old), &folder);
    let mut ann = place.person("/ws");
    let begin = ann.join("d.1", None);
    ann.publish("d.1", "1");
    assert_eq!(offsets(&ann.history("d.1", "")["messages"]), [1]);
    thread::sleep(Duration::from_millis(600));
    assert_eq!(offsets(&ann.history("d.1", "")["messages"]), [0; 0]);
    thread::sleep(Duration::from_millis(2500)); // it is swept about once a second
    drop(ann);
    drop(place);
    let keep = Keep { is_durable: true, ..Keep::default() };
    let place: Place = Place::durable(1, rules(&keep) as History, &folder);
    let mut ann = place.person("/ws");
    assert_eq!(offsets(&ann.history("d.1", "")["messages"]), [0; 0]);
    assert_eq!(ann.join("d.1", Some((&begin["epoch"], 1)))["recovered"], true);
    assert_eq!(ann.publish("d.1", "2"), 2);
}
