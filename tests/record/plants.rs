//! Faults to plant into a true record, so that the checker is checked: each one is found.

use std::collections::HashSet;

use super::checker::{Event, Joined, Trial, check};

pub type Plant = (&'static str, fn(&mut Trial));

/// All events with their places, but for what clients saw that had lost sight: of that nothing is
/// known to be missing.
fn all(trial: &Trial) -> Vec<(usize, usize, &Event)> {
    let mut all = Vec::new();
    for (client, events) in trial.clients.iter().enumerate() {
        let mut blind = HashSet::new();
        for (at, event) in events.iter().enumerate() {
            match event {
                Event::Blind { room } => drop(blind.insert(room)),
                Event::Joined { room, .. } => drop(blind.remove(room)),
                Event::Seen { room, .. } if blind.contains(room) => continue,
                _ => {}
            }
            all.push((client, at, event));
        }
    }
    all
}

/// The place of the event in the middle of those of which `is` holds.
pub fn place(trial: &Trial, is: impl Fn(&Event) -> bool) -> (usize, usize) {
    let found: Vec<_> = all(trial).into_iter().filter(|(_, _, event)| is(event)).collect();
    let (client, at, _) = *found.get(found.len() / 2).expect("the record has one");
    (client, at)
}

fn seen(trial: &Trial) -> (usize, usize) {
    place(trial, |event| matches!(event, Event::Seen { .. }))
}

/// The place of a delivery that another follows in the same room.
fn two_seen(trial: &Trial) -> (usize, usize) {
    let all = all(trial);
    let pairs = all.windows(2).filter_map(|pair| match pair {
        [(client, at, Event::Seen { room, .. }), (of, next, Event::Seen { room: other, .. })]
            if (client, at + 1, room) == (of, *next, other) =>
        {
            Some((*client, *at))
        }
        _ => None,
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
        let acked = |event: &Event| match event {
            Event::Acked { room, id, .. } => Some((room.clone(), *id)),
            _ => None,
        };
        let acked: Vec<_> = events.iter().filter_map(acked).collect();
        (!acked.is_empty()).then_some(acked)
    });
    let mut of_sender = publisher.expect("something was acknowledged").into_iter();
    let (room, one) = of_sender.next().expect("something was acknowledged");
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
            Event::Sent { .. }
            | Event::Refused { .. }
            | Event::Unplaced { .. }
            | Event::Blind { .. }
            | Event::Ended { .. } => {}
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
        // One that no later answer to `join` makes up for.
        let last_seen = |events: &[Event]| {
            let end = events.iter().position(|event| matches!(event, Event::Ended { .. }))?;
            let Event::Ended { room: ended } = &events[end] else { return None };
            let is_of = |event: &Event| match event {
                Event::Seen { room, .. } | Event::Joined { room, .. } => room == ended,
                Event::Blind { room } => room == ended,
                _ => false,
            };
            let last = events[..end].iter().rposition(is_of)?;
            matches!(events[last], Event::Seen { .. }).then_some(last)
        };
        let found = trial.clients.iter_mut().find_map(|events| Some((last_seen(events)?, events)));
        let (last, events) = found.expect("somebody has seen to the end");
        events.remove(last);
    }),
    ("an acknowledgement with another offset", |trial| *acked(trial).1 += 1),
    ("an acknowledgement of what is not there", |trial| *acked(trial).0 ^= 1 << 40),
    ("an acknowledgement that comes twice", |trial| {
        let (client, at) = place(trial, |event| matches!(event, Event::Acked { .. }));
        let again = trial.clients[client][at].clone();
        trial.clients[client].push(again);
    }),
];

const RECOVERY: [Plant; 11] = [
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
    ("another epoch, and nothing is recovered", |trial| {
        let joined = recovered(trial);
        joined.epoch.push('0');
        joined.recovered = false;
        joined.messages.clear();
    }),
    ("what could be recovered is not", |trial| {
        let joined = recovered(trial);
        joined.recovered = false;
        joined.messages.clear();
    }),
    ("a room that is back where it was before", |trial| {
        let joined = recovered(trial);
        joined.offset = joined.since.map_or(0, |since| since - 1);
        joined.recovered = false;
        joined.messages.clear();
    }),
];

/// A true record is found without fault, and each fault that is planted into it is found: these,
/// and `more`.
pub fn assert_each_is_found(trial: &Trial, more: &[Plant]) {
    assert_eq!(check(trial), Vec::<String>::new(), "the record is true");
    let plants: Vec<_> = STORE.iter().chain(&LIVE).chain(&RECOVERY).chain(more).collect();
    assert!(plants.len() >= 20);
    for (name, plant) in plants {
        let mut bent = trial.clone();
        plant(&mut bent);
        assert!(!check(&bent).is_empty(), "not found: {name}");
    }
}
