//! The checker is checked on what several nodes did while things went wrong.

use std::time::Duration;

use crate::record::plants::{self, Plant, place};
use crate::record::{Event, Trial};
use crate::trial::record;

/// The room, the id and the offset of a message that somebody has an `ok` for.
fn acked(trial: &Trial, is_wanted: impl Fn(&str) -> bool) -> (String, u64, u64) {
    let is = |event: &Event| matches!(event, Event::Acked { room, .. } if is_wanted(room));
    let (client, at) = place(trial, is);
    match &trial.clients[client][at] {
        Event::Acked { room, id, offset } => (room.clone(), *id, *offset),
        other => panic!("{other:?}"),
    }
}

/// Somebody is told of this at the end of its record.
fn tell(trial: &mut Trial, event: Event) {
    trial.clients[0].push(event);
}

const PLANTS: [Plant; 7] = [
    ("a message with a place, seen without one", |trial| {
        let (room, id, _) = acked(trial, |room| room.starts_with("m."));
        tell(trial, Event::Unplaced { room, id });
    }),
    ("a message of a durable room without a place", |trial| {
        let sent = Event::Sent { room: "d.1".into(), id: 1 << 50 };
        trial.clients[1].push(sent);
        tell(trial, Event::Unplaced { room: "d.1".into(), id: 1 << 50 });
    }),
    ("a message without a place that comes twice", |trial| {
        let sent = Event::Sent { room: "m.1".into(), id: 1 << 50 };
        trial.clients[1].push(sent);
        tell(trial, Event::Unplaced { room: "m.1".into(), id: 1 << 50 });
        tell(trial, Event::Unplaced { room: "m.1".into(), id: 1 << 50 });
    }),
    ("a message without a place that nobody sent", |trial| {
        tell(trial, Event::Unplaced { room: "m.1".into(), id: 1 << 50 });
    }),
    ("a message that is acknowledged and refused", |trial| {
        let (room, id, _) = acked(trial, |_| true);
        tell(trial, Event::Refused { room, id, code: "degraded".into() });
    }),
    ("a message that comes back to who has lost sight", |trial| {
        let (room, id, offset) = acked(trial, |_| true);
        tell(trial, Event::Blind { room: room.clone() });
        tell(trial, Event::Seen { room: room.clone(), id, offset });
        tell(trial, Event::Seen { room, id, offset });
    }),
    ("somebody who stays without sight", |trial| {
        let (client, at) = place(trial, |event| matches!(event, Event::Ended { .. }));
        let Event::Ended { room } = trial.clients[client][at].clone() else { return };
        trial.clients[client].insert(at, Event::Blind { room });
    }),
];

#[test]
fn every_planted_fault_is_found() {
    let (trial, _) = record(99, Duration::from_secs(4));
    plants::assert_each_is_found(&trial, &PLANTS);
}
