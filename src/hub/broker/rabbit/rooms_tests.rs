//! What the log of rooms comes to: for who has read all of it, and for who begins in the middle.

use std::collections::HashMap;
use std::time::Duration;

use super::entry::{Head, Kind, Stamp};
use super::rooms::{Outcome, Rooms};
use crate::hub::broker::{MessageId, Piece, Place};
use crate::hub::history::{Epoch, Keep, Placed, Position, Span};

const KEEP: Keep = Keep { messages_max: 4, age: Duration::from_secs(3600), is_durable: false };

/// An entry that was written: what it says, and its body.
type Written = (Head<'static>, Vec<u8>);

fn place(room: &str, known: Option<Position>, fresh: u64) -> Place<'_> {
    Place { room, keep: &KEEP, known, fresh: Epoch(fresh) }
}

fn stamp(node: u64, time_ms: u64, read: u64) -> Stamp {
    Stamp { node, number: 0, time_ms, read }
}

fn at(epoch: u64, offset: u64) -> Position {
    Position { epoch: Epoch(epoch), offset }
}

fn placed(position: Position, is_repeat: bool) -> Outcome {
    Outcome::Placed(Placed { position, is_repeat })
}

/// A message of one who knows what `rooms` does.
fn message(rooms: &Rooms, room: &'static str, fresh: u64, id: Option<&'static str>) -> Written {
    let id = id.map(|id| MessageId { sender: "s", id, window: Duration::from_secs(60) });
    let stamp = stamp(1, 0, rooms.read());
    let base = rooms.position(room);
    (Head::of_room(stamp, Kind::Message, place(room, base, fresh), base, id), b"x".to_vec())
}

fn take(rooms: &mut Rooms, number: u64, (head, body): &Written) -> Outcome {
    rooms.take(number, head, body)
}

fn newest(rooms: &Rooms, room: &str) -> Vec<u64> {
    let piece =
        Piece { opens: false, span: Span::Newest, messages_max: 100, bytes_max: usize::MAX };
    let rows = rooms.rows(place(room, None, 0), piece).rows;
    rows.into_iter().map(|(offset, _)| offset).collect()
}

#[test]
fn entries_that_did_not_know_of_each_other_are_placed_in_their_order() {
    let mut rooms = Rooms::default();
    let (one, other) = (message(&rooms, "a", 7, None), message(&rooms, "a", 8, None));
    assert_eq!(take(&mut rooms, 0, &one), placed(at(7, 1), false));
    assert_eq!(take(&mut rooms, 1, &other), placed(at(7, 2), false));
    let third = message(&rooms, "a", 9, None);
    assert_eq!(take(&mut rooms, 2, &third), placed(at(7, 3), false));
    assert_eq!(newest(&rooms, "a"), [1, 2, 3]);
}

#[test]
fn a_message_that_comes_again_has_its_place() {
    let mut rooms = Rooms::default();
    let (one, again) = (message(&rooms, "a", 7, Some("m")), message(&rooms, "a", 8, Some("m")));
    assert_eq!(take(&mut rooms, 0, &one), placed(at(7, 1), false));
    assert_eq!(take(&mut rooms, 1, &again), placed(at(7, 1), true));
    let id = |id, window| MessageId { sender: "s", id, window };
    let window = Duration::from_secs(60);
    let seen = |rooms: &Rooms, id, now_ms| rooms.repeat("a", id, (1, now_ms));
    let first = Some(Placed { position: at(7, 1), is_repeat: true });
    assert_eq!(seen(&rooms, id("m", window), 59_999), first);
    assert_eq!(seen(&rooms, id("m", window), 60_000), None, "its window is over");
    assert_eq!(seen(&rooms, id("other", window), 0), None);
    // Then it is another message.
    let later = message(&rooms, "a", 9, Some("m"));
    assert_eq!(take(&mut rooms, 2, &later), placed(at(7, 2), false));
}

#[test]
fn a_room_that_is_not_so_far_as_was_seen_begins_anew() {
    let mut rooms = Rooms::default();
    let first = message(&rooms, "a", 7, None);
    take(&mut rooms, 0, &first);
    let known = Some(at(7, 5));
    assert!(!rooms.goes_on(place("a", known, 8)) && rooms.goes_on(place("a", None, 8)));
    let base = rooms.position("a");
    let lost = Head::of_room(stamp(1, 0, 1), Kind::Open, place("a", known, 8), base, None);
    assert_eq!(rooms.take(1, &lost, b""), Outcome::Nothing);
    assert_eq!((rooms.position("a"), newest(&rooms, "a")), (Some(at(8, 0)), vec![]));
    // Another that has seen the same begins no third.
    let base = Some(at(7, 1));
    let other = Head::of_room(stamp(2, 0, 1), Kind::Message, place("a", known, 9), base, None);
    assert_eq!(rooms.take(2, &other, b"x"), placed(at(8, 1), false));
}

#[test]
fn what_was_written_into_another_log_or_comes_too_late_changes_nothing() {
    let mut rooms = Rooms::default();
    let first = message(&rooms, "a", 7, None);
    take(&mut rooms, 0, &first);
    let of =
        |read| Head::of_room(stamp(1, 0, read), Kind::Message, place("a", None, 8), None, None);
    assert_eq!(rooms.take(5, &of(6), b"x"), Outcome::TooLate);
    assert_eq!(rooms.take(1_000_000, &of(1), b"x"), Outcome::TooLate);
    assert_eq!(rooms.position("a"), Some(at(7, 1)));
}

#[test]
fn as_many_messages_are_kept_as_their_room_is_to_keep() {
    let mut rooms = Rooms::default();
    for number in 0..10 {
        let next = message(&rooms, "a", 7, None);
        take(&mut rooms, number, &next);
    }
    assert_eq!(newest(&rooms, "a"), [7, 8, 9, 10]);
    let rows = |span, messages_max, bytes_max| {
        let piece = Piece { opens: false, span, messages_max, bytes_max };
        let rows = rooms.rows(place("a", None, 0), piece);
        (rows.rows.iter().map(|row| row.0).collect::<Vec<_>>(), rows.has_more)
    };
    assert_eq!(rows(Span::Newest, 2, 100), (vec![9, 10], true));
    assert_eq!(rows(Span::After(8), 2, 100), (vec![9, 10], false));
    assert_eq!(rows(Span::Before(9), 5, 1), (vec![8], true));
    assert_eq!(rows(Span::After(u64::MAX), 5, 100), (vec![], false));
}

/// A log by a seed: some nodes that read it with a lag, publish, open, repeat themselves and lose.
fn log(seed: u64) -> Vec<Written> {
    const ROOMS: [&str; 3] = ["a", "b", "c"];
    const IDS: [&str; 4] = ["m", "n", "o", "p"];
    let mut state = seed;
    let mut random = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut nodes: Vec<Rooms> = (0..3).map(|_| Rooms::default()).collect();
    let mut entries: Vec<Written> = Vec::new();
    for number in 0..400_u64 {
        // Whoever writes has read all but the last few.
        let node = random(3) as usize;
        let until = number.saturating_sub(random(4)).max(nodes[node].read());
        for read in nodes[node].read()..until {
            take(&mut nodes[node], read, &entries[read as usize]);
        }
        let rooms = &nodes[node];
        let name = ROOMS[random(3) as usize];
        let id = (random(3) == 0).then(|| IDS[random(4) as usize]);
        let fresh = 1000 + number;
        let (mut head, body) = message(rooms, name, fresh, id);
        if random(20) == 0 {
            let known = rooms.position(name).map(|it| Position { offset: it.offset + 9, ..it });
            let place = place(name, known, fresh);
            head = Head::of_room(head.stamp, Kind::Open, place, rooms.position(name), None);
        }
        entries.push((head, body));
    }
    entries
}

#[test]
fn who_begins_in_the_middle_comes_to_the_same_as_who_has_read_all() {
    for seed in 0..60 {
        let entries = log(seed);
        let mut all = Rooms::default();
        let outcomes: Vec<_> =
            entries.iter().zip(0..).map(|(entry, number)| take(&mut all, number, entry)).collect();
        for first in [1, 2, 50, 201, 350] {
            let mut late = Rooms::default();
            let mut unknown = HashMap::<&str, usize>::new();
            for number in first..entries.len() {
                let entry = &entries[number];
                let outcome = take(&mut late, number as u64, entry);
                if outcome == Outcome::Unknown {
                    *unknown.entry(&*entry.0.name).or_default() += 1;
                } else {
                    assert_eq!(outcome, outcomes[number], "{seed}: {number} from {first}");
                }
            }
            for room in ["a", "b", "c"] {
                assert_eq!(late.position(room), all.position(room), "{seed}: {room} from {first}");
                assert!(unknown.get(room).is_none_or(|count| *count < 12), "{seed}: {unknown:?}");
            }
        }
    }
}
