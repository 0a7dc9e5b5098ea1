//! The power is cut: what the system was told to sync is there, of the rest any part may be.
//!
//! `strace` records each write and each sync of the real binary while it acknowledges messages.
//! From that record images of the files are made as a disk may have them after a cut at any moment:
//! writes that were not synced are there, are not, or are torn at any sector of 512 bytes, which
//! may hold anything. Each image is opened as the server opens it: every message that was
//! acknowledged by then is there, none twice, none made up, and SQLite finds no fault.
//!
//! Not shown: a disk that lies about syncs, and directory entries that are lost with their files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use throng::hub::history::{Span, SqliteStore, Store};

use crate::common::Folder;
use crate::common::random::Random;
use crate::common::{RawClient, Server, server::program};
use crate::place::store_of;
use crate::record::Person;

const SECTOR: usize = 512;
const FILES: [&str; 2] = ["throng.db", "throng.db-wal"];

/// How many messages are published.
const MESSAGES: u64 = 320;

/// Something that the server has asked of the system, or told a client.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Write { file: usize, at: usize, bytes: Vec<u8> },
    Truncate { file: usize, len: usize },
    Sync { file: usize },
    Ack(u64),
}

/// A file as the disk has it, and what was written to it since it was synced last.
#[derive(Clone, Debug, Default)]
struct Disk {
    synced: Vec<u8>,
    pending: Vec<Step>,
}

impl Disk {
    fn sync(&mut self) {
        for step in std::mem::take(&mut self.pending) {
            apply(&mut self.synced, &step, |_| Sector::Whole, &mut Random::new(0));
        }
    }
}

/// What becomes of a sector that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sector {
    Whole,
    Lost,
    Zero,
    Garbage,
}

fn apply(
    bytes: &mut Vec<u8>,
    step: &Step,
    mut fate: impl FnMut(&mut Random) -> Sector,
    random: &mut Random,
) {
    match step {
        Step::Truncate { len, .. } => bytes.truncate(*len),
        Step::Write { at, bytes: written, .. } => {
            let (mut from, end) = (*at, *at + written.len());
            while from < end {
                let to = ((from / SECTOR + 1) * SECTOR).min(end);
                let fate = fate(random);
                if fate != Sector::Lost {
                    if bytes.len() < to {
                        bytes.resize(to, 0);
                    }
                    match fate {
                        Sector::Zero => bytes[from..to].fill(0),
                        Sector::Garbage => {
                            bytes[from..to].fill_with(|| random.below(256) as u8);
                        }
                        Sector::Whole | Sector::Lost => {
                            bytes[from..to].copy_from_slice(&written[from - at..to - at]);
                        }
                    }
                }
                from = to;
            }
        }
        Step::Sync { .. } | Step::Ack(_) => {}
    }
}

/// A string as `strace` writes it, from behind its first quote: its bytes.
fn unquote(text: &str) -> Vec<u8> {
    let (text, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while let Some(byte) = text.get(at).copied() {
        at += 1;
        match byte {
            b'"' => break,
            b'\\' => {
                let escape = text[at];
                at += 1;
                out.push(match escape {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'v' => 11,
                    b'f' => 12,
                    b'0'..=b'7' => {
                        let more = text[at..].iter().take(2);
                        let more = more.take_while(|digit| (b'0'..=b'7').contains(digit)).count();
                        let digits = std::str::from_utf8(&text[at - 1..at + more]).expect("ASCII");
                        at += more;
                        u8::from_str_radix(digits, 8).expect("a byte")
                    }
                    other => other,
                });
            }
            byte => out.push(byte),
        }
    }
    out
}

/// The record of `strace`: a call that was begun may have been carried out, a sync counts when it
/// has ended.
fn steps(record: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut syncing: BTreeMap<&str, usize> = BTreeMap::new();
    for line in record.lines() {
        let Some((thread, call)) = line.split_once(char::is_whitespace) else { continue };
        let call = call.trim_start();
        let file = || {
            let name = call.split_once('<')?.1.split_once('>')?.0;
            FILES.iter().position(|file| Path::new(name).ends_with(file))
        };
        if call.contains("sync resumed>") {
            if let Some(file) = syncing.remove(thread) {
                assert!(call.ends_with("= 0"), "{line}");
                steps.push(Step::Sync { file });
            }
        } else if call.starts_with("fdatasync(") || call.starts_with("fsync(") {
            let Some(file) = file() else { continue };
            match call.ends_with("<unfinished ...>") {
                true => drop(syncing.insert(thread, file)),
                false => steps.push(Step::Sync { file }),
            }
        } else if call.starts_with("pwrite64(") {
            let Some(file) = file() else { continue };
            let bytes = unquote(call.split_once(", \"").expect("a string").1);
            let numbers = call.rsplit_once("\", ").expect("numbers").1;
            let numbers = numbers.split(&[')', ' '][..]).collect::<Vec<_>>();
            let length = numbers[0].trim_end_matches(',').parse::<usize>();
            assert_eq!(length.expect("a length"), bytes.len(), "{line}");
            let at = numbers[1].parse().expect("an offset");
            steps.push(Step::Write { file, at, bytes });
        } else if call.starts_with("ftruncate(") {
            let Some(file) = file() else { continue };
            let len = call.split_once(">, ").and_then(|(_, rest)| rest.split(')').next());
            steps.push(Step::Truncate { file, len: len.expect("a length").parse().expect("one") });
        } else {
            let acks = call.split(r#"\"type\":\"ok\",\"id\":"#).skip(1);
            for ack in acks {
                let digits: String = ack.chars().take_while(char::is_ascii_digit).collect();
                steps.extend(digits.parse().map(Step::Ack)); // that of a join is no number
            }
        }
    }
    steps
}

/// Publishes by the real binary, and gives what it has done.
fn record() -> Vec<Step> {
    let folder = Folder::new("history");
    let log = folder.path().join("strace");
    let mut command = Command::new("strace");
    // The tracer is no parent, so that what the test ends is the server.
    command.args(["-D", "-f", "-y", "-qq", "-s", "100000", "-e", "signal=none", "-e"]);
    command.arg("trace=pwrite64,fdatasync,fsync,ftruncate,sendto,sendmsg,write,writev");
    command.arg("-o").arg(&log).arg(program()).arg("serve");
    let file = store_of(&folder);
    let file = file.to_str().expect("a path in UTF-8");
    let flags = ["--history-db", file, "--durable", "d.*", "--history-messages", "100000"];
    // A service that is away: what it has to be told piles up in the outbox.
    let sink = ["--sink", "http://127.0.0.1:1/", "--sink-events", "message"];
    let server = Server::start(command, &[&flags[..], &sink].concat());
    let mut ann = Person::open(RawClient::connect(&server), "/ws?name=ann").0;
    for room in ["d.0", "d.1"] {
        ann.ask(&format!(r#"{{"type":"join","id":"join","room":"{room}"}}"#));
    }
    let mut random = Random::new(31);
    let mut next = 1;
    while next <= MESSAGES {
        // One alone, or some that share a commit.
        let count = [1, 1, 1, 5][random.below(4)];
        for n in next..next + count {
            let content = format!("{n} {}", "x".repeat(random.below(9000)));
            let room = format!("d.{}", n % 2);
            ann.send(&format!(
                r#"{{"type":"text","id":{n},"room":"{room}","content":"{content}","echo":false}}"#
            ));
        }
        for _ in 0..count {
            assert_eq!(ann.read()["type"], "ok");
        }
        next += count;
    }
    drop(ann);
    drop(server);
    let is_done = || std::fs::read(&log).is_ok_and(|text| text.ends_with(b"\n"));
    crate::common::eventually("the record is written", 10.0, is_done);
    let text = std::fs::read(&log).expect("strace is there: apt-get install strace");
    steps(&String::from_utf8_lossy(&text))
}

/// What stands in an image, and what is wrong with it.
fn check(folder: &Folder, image: [&[u8]; 2], acked: &BTreeSet<u64>) -> Result<u64, String> {
    for (name, bytes) in FILES.iter().zip(image) {
        std::fs::write(folder.path().join(name), bytes).expect("it is written");
    }
    let words = |error: throng::hub::history::StoreError| error.to_string();
    let mut store = SqliteStore::open(&store_of(folder)).map_err(words)?;
    let (mut found, mut events) = (BTreeSet::new(), 0);
    for room in ["d.0", "d.1"] {
        let rows = store.read(room, Span::After(0), 100_000, 1 << 30, 0).map_err(words)?;
        if rows.rows.len() as u64 != rows.position.offset {
            return Err(format!(
                "{room} is at {} and has {}",
                rows.position.offset,
                rows.rows.len()
            ));
        }
        for (row, due) in rows.rows.iter().zip(1..) {
            let id = row.content[1..].split(' ').next().and_then(|id| id.parse().ok());
            let id: u64 = id.ok_or_else(|| format!("{due} of {room} was never said"))?;
            if row.offset != due {
                return Err(format!("{room} has {} where {due} is due", row.offset));
            }
            if format!("d.{}", id % 2) != room || !found.insert(id) {
                return Err(format!("{id} stands twice, or in the wrong room"));
            }
        }
    }
    if let Some(lost) = acked.difference(&found).next() {
        return Err(format!("{lost} was acknowledged, and is lost"));
    }
    // What is in a room is in the outbox.
    let mut after = None;
    loop {
        let taken = store.take(after, 1000, 1 << 30).map_err(words)?;
        let Some((last, _)) = taken.events.last() else { break };
        after = Some((taken.epoch, *last));
        events += taken.events.len();
    }
    if events != found.len() {
        return Err(format!("{} messages, {events} events", found.len()));
    }
    drop(store);
    let connection =
        rusqlite::Connection::open(store_of(folder)).map_err(|error| error.to_string())?;
    let verdict: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .map_err(|error| error.to_string())?;
    if verdict == "ok" { Ok(found.len() as u64) } else { Err(verdict) }
}

/// An image of a file: what was synced, and of the rest what chance leaves.
fn torn(disk: &Disk, random: &mut Random) -> Vec<u8> {
    let mut bytes = disk.synced.clone();
    let way = random.below(4);
    let cut = random.below(disk.pending.len() + 1);
    for (at, step) in disk.pending.iter().enumerate() {
        let is_last = at + 1 == cut;
        let fate = |random: &mut Random| match way {
            // In the order of the writes, up to one that is torn.
            0 if at < cut && !is_last => Sector::Whole,
            0 if is_last => [Sector::Whole, Sector::Lost, Sector::Garbage][random.below(3)],
            0 => Sector::Lost,
            // In any order.
            1 => [Sector::Whole, Sector::Lost][random.below(2)],
            2 => [Sector::Whole, Sector::Lost, Sector::Zero, Sector::Garbage][random.below(4)],
            _ => Sector::Whole,
        };
        apply(&mut bytes, step, fate, random);
    }
    bytes
}

/// Goes through the record and stops at each write with what the disk has then.
fn at_each_write(steps: &[Step], mut look: impl FnMut(usize, &[Disk; 2], &BTreeSet<u64>)) {
    let (mut disks, mut acked) = (<[Disk; 2]>::default(), BTreeSet::new());
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Write { file, .. } | Step::Truncate { file, .. } => {
                disks[*file].pending.push(step.clone());
                if !acked.is_empty() {
                    look(at, &disks, &acked);
                }
            }
            Step::Sync { file } => disks[*file].sync(),
            Step::Ack(id) => drop(acked.insert(*id)),
        }
    }
}

fn count_writes(steps: &[Step], of: usize) -> usize {
    steps.iter().filter(|step| matches!(step, Step::Write { file, .. } if *file == of)).count()
}

#[test]
fn what_was_acknowledged_outlives_a_power_cut() {
    let steps = record();
    let acks = steps.iter().filter(|step| matches!(step, Step::Ack(_))).count();
    assert!(acks as u64 >= MESSAGES, "{acks} acknowledgements were recorded");
    let (pages, frames) = (count_writes(&steps, 0), count_writes(&steps, 1));
    assert!(pages > 100, "no checkpoint was recorded: {pages} writes to the database");
    let wanted = if std::env::var_os("THRONG_FULL").is_some() { 20_000 } else { 300 };
    let (folder, mut random) = (Folder::new("history"), Random::new(32));
    let (mut images, mut faults) = (0, Vec::new());
    let mut test = |image: [&[u8]; 2], at: usize, acked: &BTreeSet<u64>| {
        images += 1;
        if let Err(words) = check(&folder, image, acked) {
            faults.push(format!("step {at}: {words}"));
        }
    };
    let writes = pages + frames;
    at_each_write(&steps, |at, disks, acked| {
        let share = wanted / writes + usize::from(random.below(writes) < wanted % writes);
        for _ in 0..share {
            let image = [torn(&disks[0], &mut random), torn(&disks[1], &mut random)];
            test([&image[0], &image[1]], at, acked);
        }
    });
    // Of one commit in the middle, each length of the log, its last sector whole or not.
    let (mut looked, mut left) = (0, true);
    at_each_write(&steps, |at, disks, acked| {
        looked += 1;
        let is_commit = matches!(steps.get(at + 1), Some(Step::Sync { file: 1 }));
        if !left || looked < writes / 3 || !is_commit {
            return;
        }
        left = false;
        let mut whole = disks[1].clone();
        whole.sync();
        for step in &disks[1].pending {
            let Step::Write { at: from, bytes, .. } = step else { continue };
            for end in (*from..=from + bytes.len()).step_by(SECTOR) {
                for last in [None, Some(0), Some(0x5a)] {
                    let mut log = whole.synced.clone();
                    // Before it was synced the log may have been longer, from an earlier round.
                    let old = disks[1].synced.get(end..).unwrap_or_default();
                    log.truncate(end);
                    if let Some(byte) = last {
                        let start = end.saturating_sub(SECTOR).max(*from);
                        log[start..].fill(byte);
                    }
                    log.extend_from_slice(old);
                    test([&disks[0].synced, &log], at, acked);
                }
            }
        }
    });
    println!(
        "{images} images from {} steps, {pages} writes to pages, {frames} to the log",
        steps.len()
    );
    assert_eq!(faults, Vec::<String>::new());
}

/// The checker is checked: a server that acknowledges before it has synced would be found.
#[test]
fn a_sync_that_is_left_out_is_found() {
    let mut steps = record();
    let log = FILES.len() - 1;
    steps.retain(|step| *step != Step::Sync { file: log });
    let (folder, mut random, mut found, mut looked) =
        (Folder::new("history"), Random::new(33), 0, 0);
    at_each_write(&steps, |_, disks, acked| {
        if random.below(100) == 0 && looked < 20 {
            looked += 1;
            let image = [torn(&disks[0], &mut random), torn(&disks[1], &mut random)];
            found += usize::from(check(&folder, [&image[0], &image[1]], acked).is_err());
        }
    });
    assert!(looked > 5 && found > looked / 3, "{found} of {looked}");
}
