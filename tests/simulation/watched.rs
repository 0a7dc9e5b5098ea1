//! The hub, watched: every call of the loop is passed on, and counted.
//!
//! Owns what has to hold at each step: one end for each beginning, and limits. Some faults are
//! planted here, between the loop and the hub.

use std::collections::BTreeSet;
use std::time::Duration;

use throng::http::{self, HttpError, Response};
use throng::hub::{Holdings, Hub, Mail, Session};
use throng::net::{
    CloseReason, ConnectionId, Handler, Message, Particulars, Peers, Request, Verdict,
};

use crate::people::People;
use crate::platform::{Shared, Sim};
use crate::world::Fault;

type Room<'a, C> = &'a mut Peers<Session, Sim<C>>;

/// What a member that waits may have said, in bytes: see the hub.
const HELD_BYTES_MAX: usize = 256 << 10;

/// What is held in the tables of a log for its newest message, whatever the limit.
const LOG_SLACK_BYTES: usize = 8 << 10;

/// How long a tick may take to come.
const TICK_MAX: Duration = Duration::from_millis(1_200);

pub struct Watched<C: People> {
    pub hub: Hub,
    loop_index: usize,
    world: Shared<C>,
    open: BTreeSet<u64>,
    opened: u64,
    closed: u64,
    /// When the last tick was, once all is calm.
    ticked: Option<Duration>,
    /// A letter that a planted fault holds back.
    held_back: Option<Mail>,
}

impl<C: People> Watched<C> {
    pub fn new(hub: Hub, loop_index: usize, world: &Shared<C>) -> Self {
        let (world, open) = (world.clone(), BTreeSet::new());
        Self { hub, loop_index, world, open, opened: 0, closed: 0, ticked: None, held_back: None }
    }

    /// Nothing is left.
    pub fn judge(&self) -> Result<(), String> {
        if self.opened != self.closed || !self.open.is_empty() {
            return Err(format!("{} were opened, {} closed", self.opened, self.closed));
        }
        // Ids are forgotten when the next comes, and there is a limit to them.
        let holdings = Holdings { ids: 0, ..self.hub.holdings() };
        if holdings != Holdings::default() {
            return Err(format!("something is left: {holdings:?}"));
        }
        Ok(())
    }

    fn fail(&self, what: String) {
        self.world.borrow_mut().fail(what);
    }

    /// Whether a planted fault shows itself now.
    fn is_planted(&self, fault: Fault, once_in: usize) -> bool {
        let mut world = self.world.borrow_mut();
        world.planted == Some(fault) && world.dice.once_in(once_in)
    }

    /// With somebody connected a tick comes about once a second.
    fn check_tick(&mut self) {
        let (now, is_settled) = {
            let world = self.world.borrow();
            (world.now, world.crowd.folk().is_settled())
        };
        let is_calm = is_settled && !self.open.is_empty();
        if let Some(before) = self.ticked.filter(|_| is_calm)
            && now.saturating_sub(before) > TICK_MAX
        {
            self.fail(format!("a tick comes {:?} after the last", now.saturating_sub(before)));
        }
        self.ticked = is_calm.then_some(now);
    }

    /// Nobody is owed more, and no more is held, than the limits say.
    fn check_limits(&self, peers: Room<'_, C>) {
        const TURN_BYTES: usize = 1 << 20;
        let config = peers.config();
        // An answer with what was missed is one message of at most 1 MiB, and what it stands in.
        let message_bytes = (1 << 20) + (64 << 10);
        let bound = config.backlog_bytes_max + message_bytes + TURN_BYTES;
        let sum_bound = (config.backlogs_bytes_max / 8)
            .saturating_mul(9)
            .saturating_add(message_bytes + TURN_BYTES);
        let owed: Vec<usize> = peers.ids().map(|id| peers.backlog_bytes(id)).collect();
        let most = owed.iter().copied().max().unwrap_or_default();
        if most > bound {
            self.fail(format!("{most} bytes are owed to one, over {bound}"));
        }
        let sum: usize = owed.iter().sum();
        if sum > sum_bound {
            self.fail(format!("{sum} bytes are owed to all, over {sum_bound}"));
        }
        let holdings = self.hub.holdings();
        if holdings.held_bytes > holdings.waiting * HELD_BYTES_MAX {
            self.fail(format!("too much is held: {holdings:?}"));
        }
        if holdings.members != self.open.len() {
            self.fail(format!("{} are open: {holdings:?}", self.open.len()));
        }
        let world = self.world.borrow();
        let bytes_max = world.crowd.history_bytes_max();
        let (waiting, waiting_max) = world.crowd.queue(self.loop_index);
        drop(world);
        if holdings.log_bytes > bytes_max + LOG_SLACK_BYTES {
            self.fail(format!("histories take too much, over {bytes_max}: {holdings:?}"));
        }
        // One more may always wait, and one is taken when nothing else waits.
        if waiting > waiting_max + 2 * (64 << 10) {
            self.fail(format!("{waiting} bytes wait for the store, or the broker"));
        }
    }
}

impl<C: People> Handler<Sim<C>> for Watched<C> {
    type Session = Session;
    type Mail = Mail;

    fn request(&mut self, request: &Request<'_>) -> Verdict<Session> {
        Handler::<Sim<C>>::request(&mut self.hub, request)
    }

    fn waits_for(&mut self, request: &Request<'_>, len: usize) -> bool {
        Handler::<Sim<C>>::waits_for(&mut self.hub, request, len)
    }

    fn unread(&mut self, head: &http::Request<'_>, error: HttpError) -> Response {
        Handler::<Sim<C>>::unread(&mut self.hub, head, error)
    }

    fn particulars(&self, session: &Session, id: ConnectionId) -> Particulars {
        Handler::<Sim<C>>::particulars(&self.hub, session, id)
    }

    fn particulars_of_request(&self, request: &Request<'_>) -> Particulars {
        Handler::<Sim<C>>::particulars_of_request(&self.hub, request)
    }

    fn stopping(&mut self, peers: Room<'_, C>, id: ConnectionId, leaves_in: Duration) {
        self.hub.stopping(peers, id, leaves_in);
    }

    fn open(&mut self, peers: Room<'_, C>, id: ConnectionId) {
        self.opened += 1;
        if !self.open.insert(id.to_u64()) {
            self.fail(format!("{id} is opened twice"));
        }
        self.hub.open(peers, id);
    }

    fn message(&mut self, peers: Room<'_, C>, from: ConnectionId, message: Message<'_>) {
        if !self.open.contains(&from.to_u64()) {
            self.fail(format!("a message of {from}, which is not open"));
        }
        if self.is_planted(Fault::ForgetMessage, 40) {
            return;
        }
        if self.is_planted(Fault::MessageTwice, 40) {
            self.hub.message(peers, from, message);
        }
        self.hub.message(peers, from, message);
    }

    fn pong(&mut self, peers: Room<'_, C>, from: ConnectionId, payload: &[u8]) {
        self.hub.pong(peers, from, payload);
    }

    fn drain(&mut self, peers: Room<'_, C>, id: ConnectionId) {
        self.hub.drain(peers, id);
    }

    fn close(
        &mut self,
        peers: Room<'_, C>,
        id: ConnectionId,
        session: Session,
        reason: CloseReason<'_>,
    ) {
        self.closed += 1;
        if !self.open.remove(&id.to_u64()) {
            self.fail(format!("{id} is closed, and was not open"));
        }
        if self.is_planted(Fault::ForgetClose, 5) {
            return;
        }
        self.hub.close(peers, id, session, reason);
    }

    fn has_work(&self) -> bool {
        Handler::<Sim<C>>::has_work(&self.hub)
    }

    fn mail(&mut self, peers: Room<'_, C>, mail: Mail) {
        if self.is_planted(Fault::LoseLetter, 40) {
            return;
        }
        if self.held_back.is_none() && self.is_planted(Fault::SwapLetters, 8) {
            self.held_back = Some(mail);
            return;
        }
        self.hub.mail(peers, mail);
        if let Some(mail) = self.held_back.take() {
            self.hub.mail(peers, mail);
        }
    }

    fn wake(&mut self, peers: Room<'_, C>) {
        self.hub.wake(peers);
    }

    fn tick(&mut self, peers: Room<'_, C>) {
        self.check_limits(peers);
        self.check_tick();
        let is_late = self.world.borrow().now > Duration::from_secs(3600);
        if is_late && self.is_planted(Fault::ForgetTick, 1) {
            return;
        }
        self.hub.tick(peers);
    }
}
