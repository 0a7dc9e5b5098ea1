//! The checker is checked: a true record is found without fault, and each fault that is planted
//! into it is found.

use crate::checker::{Event, Joined, Trial, check};
use crate::order::record;

type Plant = (&'static str, fn(&mut Trial));

/// The place of the first event, in the middle of a client's, of which `is` holds.
fn place(trial: &Trial, is: impl Fn(&Event) -> bool) -> (usize, usize) {
    let all = trial.clients.iter().enumerate().flat_map(|(client, events)| {
        events.iter().enumerate().map(move |(at, event)| (client, at, event))
    });
    let found: Vec<_> = all.filter(|(_, _, event)| is(event)).collect();
    let (client, at, _) = *found.get(found.len() / 2).expect("the record has one");
    (client, at)
}

fn seen(trial: &Trial) -> (usize, usize) {
    place(trial, |event| matches!(event, Event::Seen { .. }))
}

/// The place of a delivery that another follows in the same room.
fn two_seen(trial: &Trial) -> (usize, usize) {
    let pairs = trial.clients.iter().enumerate().flat_map(|(client, events)| {
        events.windows(2).enumerate().filter_map(move |(at, pair)| match pair {
            [Event::Seen { room, .. }, Event::Seen { room: other, .. }] if room == other => {
                Some((client, at))
            }
            _ => None,
        })
    });
    let pairs: Vec<_> = pairs.collect();
    pairs[pairs.len() / 2]
}

fn acked(trial: &mut Trial) -> (&mut u64, &mut u64) {
    let (client, at) = place(trial, |event| matches!(event, Event::Acked { .. }));
    match &mut trial.clients[client][at] {
        Event::Acked { id, offset, .. } => (id, offset),
        other => panic!("{other:?}"),
    }
}

fn has_missed(event: &Event) -> bool {
    matches!(event, Event::Joined { joined, .. } if joined.messages.len() >= 3)
}

/// An answer with at least three messages that were missed.
fn recovered(trial: &mut Trial) -> &mut Joined {
    let (client, at) = place(trial, has_missed);
    match &mut trial.clients[client][at] {
        Event::Joined { joined, .. } => joined,
        other => panic!("{other:?}"),
    }
}

fn rows(trial: &mut Trial) -> &mut Vec<(u64, u64)> {
    trial.kept.values_mut().max_by_key(|rows| rows.len()).expect("a room")
}

/// Changes the ids of two kept neighbours of one sender wherever they are.
fn swap_everywhere(trial: &mut Trial) {
    let publisher = trial.clients.iter().find_map(|events| {
        let sent = |event: &Event| match event {
            Event::Sent { room, id } => Some((room.clone(), *id)),
            _ => None,
        };
        let sent: Vec<_> = events.iter().filter_map(sent).collect();
        (!sent.is_empty()).then_some(sent)
    });
    let mut of_sender = publisher.expect("something was sent").into_iter();
    let (room, one) = of_sender.next().expect("something was sent");
    let (_, other) = of_sender.find(|(next, _)| *next == room).expect("two in a room");
    let swap = |id: &mut u64| {
        if *id == one {
            *id = other;
        } else if *id == other {
            *id = one;
        }
    };
    trial.kept.get_mut(&room).expect("kept").iter_mut().for_each(|(_, id)| swap(id));
    for event in trial.clients.iter_mut().flatten() {
        match event {
            Event::Acked { id, .. } | Event::Seen { id, .. } => swap(id),
            Event::Joined { joined, .. } => joined.messages.iter_mut().for_each(|(_, id)| swap(id)),
            Event::Sent { .. } | Event::Ended { .. } => {}
        }
    }
}

const STORE: [Plant; 8] = [
    ("a dropped write", |trial| {
        let rows = rows(trial);
        rows.remove(rows.len() / 2);
    }),
    ("the last write dropped", |trial| {
        rows(trial).pop();
    }),
    ("a write that is there twice", |trial| {
        let rows = rows(trial);
        let (offset, id) = (rows.len() as u64 + 1, rows[0].1);
        rows.push((offset, id));
    }),
    ("two writes in each other's place", |trial| {
        let rows = rows(trial);
        let at = rows.len() / 2;
        (rows[at].1, rows[at + 1].1) = (rows[at + 1].1, rows[at].1);
    }),
    ("an offset that was skipped", |trial| {
        let rows = rows(trial);
        let at = rows.len() / 2;
        rows[at..].iter_mut().for_each(|(offset, _)| *offset += 1);
    }),
    ("a write of what was never sent", |trial| {
        let rows = rows(trial);
        let offset = rows.len() as u64 + 1;
        rows.push((offset, u64::MAX));
    }),
    ("a write torn into another id", |trial| rows(trial)[0].1 ^= 1 << 40),
    ("a sender's messages out of order, everywhere", swap_everywhere),
];

const LIVE: [Plant; 10] = [
    ("a delivery dropped", |trial| {
        let (client, at) = two_seen(trial);
        trial.clients[client].remove(at);
    }),
    ("a delivery doubled", |trial| {
        let (client, at) = seen(trial);
        let again = trial.clients[client][at].clone();
        trial.clients[client].insert(at, again);
    }),
    ("two deliveries in the other order", |trial| {
        let (client, at) = two_seen(trial);
        trial.clients[client].swap(at, at + 1);
    }),
    ("a delivery of another message", |trial| {
        let (client, at) = seen(trial);
        if let Event::Seen { id, .. } = &mut trial.clients[client][at] {
            *id ^= 1;
        }
    }),
    ("a delivery in another room", |trial| {
        let (client, at) = seen(trial);
        if let Event::Seen { room, .. } = &mut trial.clients[client][at] {
            *room = "elsewhere".into();
        }
    }),
    ("a delivery with another offset", |trial| {
        let (client, at) = seen(trial);
        if let Event::Seen { offset, .. } = &mut trial.clients[client][at] {
            *offset += 1;
        }
    }),
    ("the last delivery of a client dropped", |trial| {
        let is = |event: &Event| matches!(event, Event::Ended { .. });
        let (client, at) = place(trial, is);
        let events = &mut trial.clients[client];
        let last = events[..at].iter().rposition(|event| matches!(event, Event::Seen { .. }));
        events.remove(last.expect("a delivery"));
    }),
    ("an acknowledgement with another offset", |trial| *acked(trial).1 += 1),
    ("an acknowledgement of what is not there", |trial| *acked(trial).0 ^= 1 << 40),
    ("an acknowledgement that comes twice", |trial| {
        let (client, at) = place(trial, |event| matches!(event, Event::Acked { .. }));
        let again = trial.clients[client][at].clone();
        trial.clients[client].push(again);
    }),
];

const RECOVERY: [Plant; 8] = [
    ("the first of what was missed left out", |trial| {
        recovered(trial).messages.remove(0);
    }),
    ("the last of what was missed left out", |trial| {
        recovered(trial).messages.pop();
    }),
    ("one that was missed given twice", |trial| {
        let joined = recovered(trial);
        joined.messages.insert(1, joined.messages[0]);
    }),
    ("what was missed in another order", |trial| recovered(trial).messages.swap(0, 1)),
    ("recovered, with nothing of what was missed", |trial| recovered(trial).messages.clear()),
    ("a gap behind what was recovered", |trial| {
        let joined = recovered(trial);
        joined.offset -= 1;
        joined.messages.pop();
    }),
    ("what was recovered comes live again", |trial| {
        let (client, at) = place(trial, has_missed);
        if let Event::Joined { room, joined } = trial.clients[client][at].clone() {
            let (offset, id) = joined.messages[joined.messages.len() - 1];
            trial.clients[client].insert(at + 1, Event::Seen { room, id, offset });
        }
    }),
    ("recovered in another epoch", |trial| recovered(trial).epoch.push('0')),
];

#[test]
fn every_planted_fault_is_found() {
    let trial = record(3, 7);
    assert_eq!(check(&trial), Vec::<String>::new(), "the record is true");
    let plants: Vec<_> = STORE.iter().chain(&LIVE).chain(&RECOVERY).collect();
    assert!(plants.len() >= 20);
    for (name, plant) in plants {
        let mut bent = trial.clone();
        plant(&mut bent);
        assert!(!check(&bent).is_empty(), "not found: {name}");
    }
}
