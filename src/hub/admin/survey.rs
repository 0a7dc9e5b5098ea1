//! What all loops say to who looks.
//!
//! Owns the question, the part of each loop, and how the parts come back to the loop that asked:
//! when the last has let go of the question.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::watch::Watch;
use crate::hub::caller::Address;
use crate::hub::control::Control;
use crate::hub::handler::{Hub, Session};
use crate::hub::mail::Letter;
use crate::hub::members::Member;
use crate::hub::task::MemberId;
use crate::net::{ConnectionId, Peers, Platform, Stats};

/// How many slow peers a loop names.
const SLOW_SHOWN: usize = 10;

/// What the loops tell each other about the dashboard.
#[derive(Debug)]
pub(in crate::hub) enum Slip {
    /// Say what you see.
    Survey(Arc<Survey>),
    /// This is what the loops see.
    Surveyed(Vec<Part>),
    /// Pass an answer on to a viewer of yours.
    Tell { viewer: ConnectionId, text: String },
}

/// A question to all loops, and what they have said so far.
#[derive(Debug)]
pub(in crate::hub) struct Survey {
    asker: Control,
    parts: Mutex<Vec<Part>>,
}

/// What one loop sees.
#[derive(Debug, Default)]
pub(in crate::hub) struct Part {
    pub(super) loop_index: usize,
    pub(super) stats: Stats,
    pub(super) members: usize,
    pub(super) talkers: Vec<Talker>,
    pub(super) rooms: Vec<BusyRoom>,
    pub(super) slow: Vec<SlowPeer>,
}

/// A connection that sends much.
#[derive(Debug, Serialize)]
pub(super) struct Talker {
    pub(super) id: MemberId,
    user: Box<str>,
    pub(super) messages_per_s: f64,
    bytes_per_s: f64,
}

/// A room in which much is said.
#[derive(Debug, Serialize)]
pub(super) struct BusyRoom {
    pub(super) room: Box<str>,
    pub(super) messages_per_s: f64,
}

/// A connection that is owed much.
#[derive(Debug, Serialize)]
pub(super) struct SlowPeer {
    id: MemberId,
    user: Box<str>,
    address: Option<Address>,
    pub(super) backlog_bytes: usize,
}

impl Survey {
    /// Asks all loops. One that is too far behind to be asked is left out.
    pub(super) fn begin(asker: Control) {
        let survey = Arc::new(Self { asker, parts: Mutex::default() });
        for loop_index in 0..survey.asker.loops() {
            let letter = Letter::Admin(Slip::Survey(Arc::clone(&survey)));
            let _ = survey.asker.post(loop_index, letter);
        }
    }

    /// Takes the part of one loop.
    pub(super) fn add(&self, part: Part) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).push(part);
    }
}

impl Drop for Survey {
    fn drop(&mut self) {
        let parts = std::mem::take(self.parts.get_mut().unwrap_or_else(PoisonError::into_inner));
        // Where the loop is too far behind, its viewers miss a second.
        let _ = self.asker.post_own(Letter::Admin(Slip::Surveyed(parts)));
    }
}

impl Hub {
    /// What this loop sees.
    pub(super) fn part<P: Platform>(&mut self, peers: &Peers<Session, P>) -> Part {
        let now = peers.now();
        let watch = self.desk.watch.get_or_insert_with(|| Box::new(Watch::new(now)));
        let callers = &self.callers;
        let slow_numbers = watch.slow.numbers();
        let interval = watch.ask(now);
        let member_of = |id: ConnectionId| {
            let number = peers.session(id)?.member()?;
            self.rooms.members.find(number)
        };
        let loop_index = self.others.loop_index();
        let name = |member: &Member| MemberId { loop_index: loop_index as u32, id: member.id };
        let talkers = interval.talkers.iter().filter_map(|(key, tally)| {
            let member = member_of(ConnectionId::from_u64(*key))?;
            Some(Talker {
                id: name(member),
                user: member.name.clone(),
                messages_per_s: interval.per_s(tally.messages),
                bytes_per_s: interval.per_s(tally.bytes),
            })
        });
        // A number that another room has by now shows that room for a second.
        let rooms = interval.rooms.iter().filter_map(|(number, tally)| {
            let room = self.rooms.room(*number as u32)?;
            let messages_per_s = interval.per_s(tally.messages);
            Some(BusyRoom { room: (&*room.name).into(), messages_per_s })
        });
        let slow = slow_numbers.into_iter().filter_map(|number| {
            let member = self.rooms.members.find(number as u32)?;
            let backlog_bytes = peers.backlog_bytes(member.id);
            (backlog_bytes > 0).then_some((backlog_bytes, member))
        });
        let mut slow: Vec<_> = slow.collect();
        slow.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        slow.truncate(SLOW_SHOWN);
        let slow = slow.into_iter().map(|(backlog_bytes, member)| SlowPeer {
            id: name(member),
            user: member.name.clone(),
            address: Address::of(callers.find(member.id), peers.remote_addr(member.id)),
            backlog_bytes,
        });
        let mut stats = peers.stats().clone();
        stats.lag = stats.lag.max(interval.lag);
        Part {
            loop_index,
            stats,
            members: self.rooms.members.len(),
            talkers: talkers.collect(),
            rooms: rooms.collect(),
            slow: slow.collect(),
        }
    }

    /// A second has passed: what was counted in it is shown, or nobody looks any more.
    pub(super) fn tick_watch<P: Platform>(&mut self, peers: &Peers<Session, P>) {
        let Some(watch) = &mut self.desk.watch else { return };
        let stats = peers.stats();
        if stats.backlog_bytes > 0 {
            let members = &self.rooms.members;
            watch.slow.step(members.numbers_end(), |number| {
                let member = members.find(number as u32);
                member.map_or(0, |member| peers.backlog_bytes(member.id) as u64)
            });
        } else {
            watch.slow.clear();
        }
        if !watch.tick(peers.now(), stats.lag) {
            self.desk.watch = None;
        }
    }
}
