//! Which requests go to Redis as one command.
//!
//! Owns that what waits for one room goes together: one call of the script, and one message on the
//! channel, for many publishes; and that nothing of a room overtakes anything else of it. Never
//! says how a command is written.

use std::collections::HashMap;

use crate::hub::broker::{Channel, Request};
use crate::hub::history::Position;

/// How many requests are one command at most: Redis does nothing else meanwhile.
const REQUESTS_MAX: usize = 128;

/// How many bytes their messages have at most, together; one of more goes alone.
const BYTES_MAX: usize = 256 << 10;

/// What goes out together, by the places of the requests in their exchange; never empty.
pub(super) type Batch = Vec<usize>;

/// What a request has to be like to go with others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Publish(Option<Position>),
    Say,
}

/// One that may take more.
struct Open {
    index: usize,
    kind: Kind,
    bytes: usize,
}

/// Cuts an exchange into commands.
pub(super) fn batches(requests: &[Request<'_>]) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut rooms: HashMap<&str, Open> = HashMap::new();
    for (at, request) in requests.iter().enumerate() {
        let (room, kind, bytes) = match *request {
            Request::Publish { place, body, .. } => {
                (place.room, Kind::Publish(place.known), body.len())
            }
            Request::Say { on: Channel::Room(room), body } => (room, Kind::Say, body.len()),
            _ => {
                rooms.clear(); // what comes later stays behind it
                batches.push(vec![at]);
                continue;
            }
        };
        if let Some(open) = rooms.get_mut(room)
            && open.kind == kind
            && open.bytes + bytes <= BYTES_MAX
            && batches[open.index].len() < REQUESTS_MAX
        {
            open.bytes += bytes;
            batches[open.index].push(at);
        } else {
            rooms.insert(room, Open { index: batches.len(), kind, bytes });
            batches.push(vec![at]);
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::broker::Place;
    use crate::hub::history::{Epoch, Keep};

    const KEEP: Keep = Keep::NOTHING;

    fn publish<'a>(room: &'a str, known: Option<u64>, body: &'a [u8]) -> Request<'a> {
        let known = known.map(|offset| Position { epoch: Epoch(1), offset });
        let place = Place { room, keep: &KEEP, known, fresh: Epoch(2) };
        Request::Publish { place, id: None, body }
    }

    fn say(room: &str) -> Request<'_> {
        Request::Say { on: Channel::Room(room), body: b"x" }
    }

    #[test]
    fn what_waits_for_a_room_goes_together() {
        let (a, b) = (publish("a", None, b"x"), publish("b", None, b"x"));
        assert_eq!(batches(&[a, b, a, b, a]), [vec![0, 2, 4], vec![1, 3]]);
        assert_eq!(batches(&[say("a"), say("b"), say("a")]), [vec![0, 2], vec![1]]);
        assert_eq!(batches(&[]), Vec::<Batch>::new());
    }

    #[test]
    fn nothing_of_a_room_overtakes_anything_else_of_it() {
        let a = publish("a", None, b"x");
        let between = Request::Subscribe(Channel::Room("a"));
        assert_eq!(batches(&[a, between, a]), [vec![0], vec![1], vec![2]]);
        assert_eq!(batches(&[a, say("a"), a]), [vec![0], vec![1], vec![2]]);
        let nodes = Request::Say { on: Channel::Nodes, body: b"x" };
        assert_eq!(batches(&[nodes, nodes]), [vec![0], vec![1]]);
    }

    #[test]
    fn who_has_seen_more_of_a_room_asks_by_itself() {
        let requests = [Some(1), Some(1), Some(2)].map(|known| publish("a", known, b"x"));
        assert_eq!(batches(&requests), [vec![0, 1], vec![2]]);
    }

    #[test]
    fn a_command_has_a_bound() {
        let small = vec![publish("a", None, b"x"); REQUESTS_MAX + 1];
        assert_eq!(batches(&small).iter().map(Vec::len).collect::<Vec<_>>(), [REQUESTS_MAX, 1]);
        let body = vec![0; BYTES_MAX];
        let large = [publish("a", None, b"x"), publish("a", None, &body)];
        assert_eq!(batches(&large), [vec![0], vec![1]]);
    }
}
