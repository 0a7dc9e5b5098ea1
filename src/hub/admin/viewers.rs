//! Those who look, on one loop.
//!
//! Owns the list of viewers and the course of a second: the loops are asked at the tick, and what
//! they say together goes to every viewer. A viewer that reads slowly misses some of it.

use super::snapshot::{Before, Hello};
use super::survey::{Slip, Survey};
use super::sweep::Sweep;
use super::watch::Watch;
use crate::frame::CloseCode;
use crate::hub::handler::{Hub, Session};
use crate::net::{ConnectionId, Message, MessageKind, Peers, Platform, SharedFrame};

/// Most viewers of a loop; one more is sent away.
const VIEWERS_MAX: usize = 100;

/// What a loop keeps for the dashboard: nothing to speak of while nobody looks.
#[derive(Debug, Default)]
pub(in crate::hub) struct Desk {
    pub(super) viewers: Vec<ConnectionId>,
    /// What is counted while somebody looks, on whichever loop.
    pub(super) watch: Option<Box<Watch>>,
    /// What the viewers were shown last.
    pub(super) before: Option<Before>,
    /// The rooms with the most members.
    pub(super) large_rooms: Sweep,
}

impl Desk {
    /// A message has come from a connection.
    #[inline]
    pub(in crate::hub) fn hear(&mut self, from: ConnectionId, bytes: usize) {
        if let Some(watch) = &mut self.watch {
            watch.hear(from, bytes);
        }
    }

    /// A message was published in a room.
    #[inline]
    pub(in crate::hub) fn publish(&mut self, room: u32, bytes: usize) {
        if let Some(watch) = &mut self.watch {
            watch.publish(room, bytes);
        }
    }

    /// Whether there is something to do at the next tick.
    pub(in crate::hub) const fn has_work(&self) -> bool {
        self.watch.is_some()
    }
}

impl Hub {
    /// Somebody looks from now on.
    pub(in crate::hub) fn greet_viewer<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        viewer: ConnectionId,
    ) {
        if self.desk.viewers.len() >= VIEWERS_MAX {
            let _ = peers.close(viewer, CloseCode::TRY_AGAIN_LATER, "too many look already");
            return;
        }
        let hello = Hello::new(self.others.control().loops());
        self.tell_viewer(peers, viewer, &hello.text());
        self.desk.viewers.push(viewer);
        self.survey_rooms();
        Survey::begin(self.others.control());
    }

    /// Somebody does not look any more.
    pub(in crate::hub) fn forget_viewer(&mut self, viewer: ConnectionId) {
        self.desk.viewers.retain(|other| *other != viewer);
        if self.desk.viewers.is_empty() {
            self.desk.before = None;
            self.desk.large_rooms.clear();
        }
    }

    /// A second has passed.
    pub(in crate::hub) fn tick_dashboard<P: Platform>(&mut self, peers: &Peers<Session, P>) {
        self.tick_watch(peers);
        if !self.desk.viewers.is_empty() {
            self.survey_rooms();
            Survey::begin(self.others.control());
        }
    }

    /// Does what another loop, or this one, has written.
    pub(in crate::hub) fn take_slip<P: Platform>(
        &mut self,
        peers: &mut Peers<Session, P>,
        slip: Slip,
    ) {
        match slip {
            Slip::Survey(survey) => survey.add(self.part(peers)),
            Slip::Surveyed(parts) if !self.desk.viewers.is_empty() => {
                let text = self.snapshot(peers, parts);
                let payload = text.as_bytes();
                let frame = SharedFrame::new(Message { kind: MessageKind::Text, payload });
                for viewer in &self.desk.viewers {
                    if peers.backlog_bytes(*viewer) == 0 {
                        // One at a time: a broadcast would be counted as one of the members'.
                        let _ = peers.send_shared(*viewer, &frame);
                    }
                }
            }
            Slip::Surveyed(_) => {}
            Slip::Tell { viewer, text } => self.tell_viewer(peers, viewer, &text),
        }
    }

    pub(super) fn tell_viewer<P: Platform>(
        &self,
        peers: &mut Peers<Session, P>,
        viewer: ConnectionId,
        text: &str,
    ) {
        // One that is gone or too slow is told of by its close.
        let _ = peers.send(viewer, Message { kind: MessageKind::Text, payload: text.as_bytes() });
    }

    fn survey_rooms(&mut self) {
        let rooms = &self.rooms;
        let members = |number| rooms.room(number as u32).map_or(0, |room| room.count() as u64);
        self.desk.large_rooms.step(rooms.numbers_end(), members);
    }
}
