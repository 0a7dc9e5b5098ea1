//! What a node has to do with the others beside the messages of rooms: who is where, what is said
//! to users and to all, and what is asked of all.
//!
//! Owns the way of that between the loops, two state machines ([`Presence`] and [`Talk`]) and the
//! broker. Never decides what a member gets.

use std::iter::repeat;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::carrier::{Carrier, exchange};
use super::errand::Errand;
use super::presence::{Presence, Seating};
use super::revoked::{RevokedTable, unix_s};
use super::talk::{Heard, Question, Talk};
use super::{Answer, Broker, Channel, Request};
use crate::hub::auth::{Authenticator, Revocation};
use crate::hub::history::{Op, Reading, Share, Waiting, What};
use crate::hub::mail::To;
use crate::hub::task::{Gathering, Reply, Task};

/// How many errands go out together.
pub(super) const ERRANDS_MAX: usize = 512;

/// Over how many tables the users of a node are spread.
const USER_TABLES: u8 = u8::MAX;

/// What a loop has to say to the other nodes.
#[derive(Debug)]
pub(in crate::hub) enum ToNodes {
    /// Members of this node have come or gone.
    Seats(Vec<Seating>),
    /// Connections of users have, where the others have to know: see [`user_table`].
    Users(Vec<Seating>),
    /// The list of what was revoked, which is to be one with those of the others.
    Revoked(Arc<Authenticator>),
    /// A message for a user, or for all.
    Tell(To, Box<[u8]>),
    /// Something is asked of all.
    Ask(Arc<Gathering>),
    /// This node's answer.
    Reply(Question, Reply),
}

/// What the other nodes have to say.
#[derive(Debug)]
pub(in crate::hub) enum FromNodes {
    /// Their members have come or gone.
    Seats(Vec<Seating>),
    /// A message for a user, or for all.
    Told(To, Box<[u8]>),
    /// One of them asks.
    Asked(Question, Task),
    /// This was revoked by them before; it is in the list of this node already.
    Revoked(Vec<Revocation>),
}

/// The state of it.
#[derive(Debug)]
pub(super) struct Company {
    pub(super) presence: Presence,
    talk: Talk,
    pub(super) revoked: RevokedTable,
    /// What is to be said to all nodes.
    says: Vec<Vec<u8>>,
    /// Whether the channel of the nodes is followed by this link.
    hears: bool,
    /// The tables of users, where the others have to know.
    users: Vec<Arc<str>>,
    /// Those that are not followed by this link.
    unheard: Vec<Arc<str>>,
}

impl ToNodes {
    /// What it takes in memory, about.
    pub(in crate::hub) fn bytes(&self) -> usize {
        match self {
            Self::Seats(seatings) | Self::Users(seatings) => {
                seatings.iter().map(|one| one.room.len() + one.name.len() + 48).sum()
            }
            Self::Tell(_, json) => json.len(),
            Self::Ask(_) | Self::Revoked(_) => 0,
            Self::Reply(_, reply) => reply.connections.len() * 256,
        }
    }
}

/// The table in which a user's connections are counted: no room has such a name.
pub(in crate::hub) fn user_table(user: &str) -> Arc<str> {
    // FNV-1a: every node has to come to the same.
    let fold = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = user.bytes().fold(0x811c_9dc5, fold);
    table_name((hash % u32::from(USER_TABLES)) as u8)
}

/// Whether this is no room but a table of users.
pub(in crate::hub) fn is_user_table(room: &str) -> bool {
    room.starts_with('\u{1}')
}

fn table_name(number: u8) -> Arc<str> {
    format!("\u{1}users:{number}").into()
}

impl Company {
    pub(super) fn new(instance: u64, name: &str) -> Self {
        Self {
            presence: Presence::new(instance, name.into()),
            talk: Talk::new(instance),
            revoked: RevokedTable::default(),
            says: Vec::new(),
            hears: false,
            users: Vec::new(),
            unheard: Vec::new(),
        }
    }

    const fn instance(&self) -> u64 {
        self.talk.instance()
    }

    /// A link was opened.
    pub(super) fn open(&mut self, now: Duration) {
        self.hears = false;
        self.unheard.clone_from(&self.users);
        self.says.extend(self.talk.hello());
        self.presence.open(now);
        self.revoked.open();
    }

    /// The link is gone.
    pub(super) fn lose(&mut self) {
        self.says.clear();
        self.presence.lose();
        self.revoked.lose();
        self.talk.lose();
    }

    /// Whether something is due sooner than usual.
    pub(super) fn is_busy(&self) -> bool {
        self.talk.is_waiting() || self.presence.is_busy()
    }

    fn take(&mut self, op: ToNodes, now: Duration) {
        let body = match op {
            ToNodes::Seats(seatings) => {
                seatings.into_iter().for_each(|seating| self.presence.seat(seating));
                return;
            }
            ToNodes::Users(seatings) => {
                seatings.into_iter().for_each(|seating| self.presence.seat(seating));
                if self.users.is_empty() {
                    self.users = (0..USER_TABLES).map(table_name).collect();
                    self.unheard.clone_from(&self.users);
                }
                return;
            }
            ToNodes::Revoked(tokens) => return self.revoked.watch(tokens),
            ToNodes::Tell(to, json) => self.talk.say(&to, &json),
            ToNodes::Ask(gathering) => {
                self.revoked.note(gathering.task(), unix_s());
                self.talk.ask(gathering, self.presence.nodes(), now)
            }
            ToNodes::Reply(question, reply) => self.talk.reply(question, reply),
        };
        self.says.extend(body);
    }
}

impl<B: Broker> Carrier<B> {
    /// Takes out of what waits what is for the other nodes. Who is in a room there is followed from
    /// before it is asked for: news of it may come before the answer.
    pub(super) fn take_company(&mut self, waiting: Vec<Waiting>) -> Vec<Waiting> {
        let is_other = |one: &Waiting| !matches!(one.op, Op::Append(..) | Op::Pass(_));
        if !waiting.iter().any(is_other) {
            return waiting;
        }
        let now = self.now();
        let mut others = Vec::with_capacity(waiting.len());
        for Waiting { loop_index, op, share } in waiting {
            match op {
                Op::Nodes(op @ (ToNodes::Seats(_) | ToNodes::Users(_) | ToNodes::Revoked(_))) => {
                    self.company.take(op, now)
                }
                // Without a link what is asked is not answered.
                Op::Nodes(op) if self.link.is_some() => self.company.take(op, now),
                Op::Nodes(_) => {}
                op => {
                    if let Op::Leave(room) = &op {
                        self.company.presence.unfollow(room);
                    } else if let Op::Read(Reading { room, inquiry: None, .. }) = &op {
                        self.company.presence.follow(room);
                    }
                    others.push(Waiting { loop_index, op, share });
                }
            }
        }
        others
    }

    /// Does what is due for the other nodes.
    pub(super) fn keep_company(&mut self) {
        let now = self.now();
        self.company.talk.expire(now);
        let mut errands = Vec::new();
        if self.link.is_some() {
            self.listen_to_nodes();
            self.keep_revoked(); // who is told of one may start now, and reads the table
            errands = self.company.presence.errands(now);
        }
        let says = mem::take(&mut self.company.says);
        for says in says.chunks(ERRANDS_MAX) {
            let say = |body| Request::Say { on: Channel::Nodes, body };
            let requests: Vec<_> = says.iter().map(|body| say(body)).collect();
            self.exchange_company(&requests);
        }
        for errands in errands.chunks(ERRANDS_MAX) {
            let requests: Vec<_> = errands.iter().map(Errand::request).collect();
            let (round, answers) = self.exchange_company(&requests).unwrap_or_default();
            let answers = answers.into_iter();
            let presence = &mut self.company.presence;
            for (errand, answer) in errands.iter().zip(answers.map(Some).chain(repeat(None))) {
                match (errand, answer) {
                    (errand, None | Some(Answer::Failed(_))) => presence.failed(errand, now),
                    (Errand::List { room: Some(room), .. }, Some(Answer::Fields(fields))) => {
                        presence.listed(room, fields, round, now);
                    }
                    (Errand::List { room: None, .. }, Some(Answer::Fields(fields))) => {
                        presence.nodes_listed(&fields, now);
                    }
                    (_, Some(_)) => {}
                }
            }
        }
        let nodes = self.company.presence.nodes().count() as u64 + 1;
        self.counts.nodes.store(nodes, Ordering::Relaxed);
        self.tell_seatings();
    }

    /// Says that this node is gone, so that nobody waits for it.
    pub(super) fn part(&mut self) {
        let leave = Errand::leave(self.company.instance());
        let Some(bye) = self.company.talk.bye() else { return };
        let bye = Request::Say { on: Channel::Nodes, body: &bye };
        self.exchange_company(&[leave.request(), bye]);
    }

    /// Follows what is no room, where this link does not yet.
    fn listen_to_nodes(&mut self) {
        if !self.company.hears {
            let answers = self.exchange_company(&[Request::Subscribe(Channel::Nodes)]);
            self.company.hears = answers.is_some_and(|(_, answers)| answers == [Answer::Done]);
        }
        let tables = mem::take(&mut self.company.unheard);
        if tables.is_empty() {
            return;
        }
        tables.iter().for_each(|table| self.company.presence.follow(table));
        let lists: Vec<_> = tables.iter().map(Errand::list).collect();
        let subscribe = |table| Request::Subscribe(Channel::Room(table));
        let pairs = tables.iter().zip(&lists);
        let requests = pairs.flat_map(|(table, list)| [subscribe(table), list.request()]);
        let requests: Vec<_> = requests.collect();
        let Some((round, answers)) = self.exchange_company(&requests) else { return };
        let (now, mut answers) = (self.now(), answers.into_iter());
        for table in tables {
            let is_subscribed = answers.next() == Some(Answer::Done);
            match answers.next() {
                Some(Answer::Fields(fields)) => {
                    self.company.presence.listed(&table, fields, round, now);
                }
                _ => self.company.presence.read_again(&table, now),
            }
            if !is_subscribed {
                self.company.unheard.push(table); // it is asked for again
            }
        }
    }

    /// The number of the exchange, and the answers; none where the link is gone.
    pub(super) fn exchange_company(
        &mut self,
        requests: &[Request<'_>],
    ) -> Option<(u64, Vec<Answer>)> {
        self.link.as_ref()?;
        let round = self.company.presence.begin();
        let (result, news) = exchange(self.link.as_mut(), requests);
        self.hear(&news);
        match result {
            Ok(answers) => {
                self.mend();
                Some((round, answers))
            }
            Err(error) => {
                self.lose(&error);
                None
            }
        }
    }

    /// Takes what was said to all nodes.
    pub(super) fn hear_nodes(&mut self, body: &[u8]) {
        match self.company.talk.hear(body) {
            Some(Heard::Said(to, json)) => {
                let share = Share::of_news(&self.shared, json.len());
                self.tell(0, What::Nodes(FromNodes::Told(to, json)), Some(share));
            }
            Some(Heard::Asked(question, task)) => {
                self.company.revoked.told(&task, unix_s());
                self.tell(0, What::Nodes(FromNodes::Asked(question, task)), None);
            }
            Some(Heard::Lives(instance)) => {
                let now = self.now();
                self.company.presence.see(instance, now);
            }
            Some(Heard::Gone(instance)) => self.company.presence.bury(instance),
            None => {}
        }
    }

    /// Tells the loops who has come or gone on other nodes: of users the first, which is for all.
    pub(super) fn tell_seatings(&mut self) {
        let seatings = self.company.presence.seatings();
        if seatings.is_empty() {
            return;
        }
        let (users, seats): (Vec<_>, Vec<_>) =
            seatings.into_iter().partition(|seating| is_user_table(&seating.room));
        if !users.is_empty() {
            self.tell(0, What::Nodes(FromNodes::Seats(users)), None);
        }
        if seats.is_empty() {
            return;
        }
        let loops = self.shared.mailboxes().map_or(1, |mailboxes| mailboxes.len());
        for index in 0..loops {
            self.tell(index, What::Nodes(FromNodes::Seats(seats.clone())), None);
        }
    }
}
