//! The program on the loop: an echo that keeps a record, and checks what reaches it.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use throng::frame::CloseCode;
use throng::handshake::HandshakeError;
use throng::net::{
    CloseReason, ConnectionId, Handler, Message, MessageKind, Peers, Request, SendError,
    SharedFrame, Timeout, Verdict,
};

use super::client::Ended;
use super::crowd::{Deed, Echoes};
use crate::platform::{Shared, Sim};
use crate::world::{Excuse, Fault};

/// What the world posts.
#[derive(Debug)]
pub enum Mail {
    Decide(usize),
    /// A number and a length.
    Broadcast(usize, usize),
    PingAll,
    Kick(usize),
}

#[derive(Default)]
pub struct Session {
    client: usize,
}

pub struct Echo {
    world: Shared<Echoes>,
    ids: Vec<Option<ConnectionId>>,
    pending: Vec<Option<ConnectionId>>,
    held_back: VecDeque<(MessageKind, Vec<u8>)>,
}

impl Echo {
    pub fn new(world: &Shared<Echoes>) -> Self {
        let count = world.borrow().crowd.clients.len();
        Self {
            world: Rc::clone(world),
            ids: vec![None; count],
            pending: vec![None; count],
            held_back: VecDeque::new(),
        }
    }

    fn fail(&self, what: String) {
        self.world.borrow_mut().fail(what);
    }

    fn client(peers: &Peers<Session, Sim<Echoes>>, id: ConnectionId) -> usize {
        peers.session(id).map_or(usize::MAX, |session| session.client)
    }

    /// The message must be the next that this client sent.
    fn check(&self, client: usize, message: Message<'_>) {
        let mut world = self.world.borrow_mut();
        let Some(client_state) = world.crowd.clients.get_mut(client) else {
            return world.fail("a message on a connection that is not open");
        };
        let opcode = if message.kind == MessageKind::Text { 1 } else { 2 };
        let at = client_state.handled;
        client_state.handled += 1;
        let expected = client_state.sent.get(at);
        let is_it = expected.is_some_and(|e| e.opcode == opcode && *e.payload == *message.payload);
        if !is_it || !client_state.closes.is_empty() {
            world.fail(format!("client {client}: message {at} is not what was sent"));
        }
    }

    fn echo(
        &self,
        peers: &mut Peers<Session, Sim<Echoes>>,
        from: ConnectionId,
        message: Message<'_>,
    ) {
        let client = Self::client(peers, from);
        let result = peers.send(from, message);
        let mut world = self.world.borrow_mut();
        let at = world.crowd.clients[client].handled - 1;
        world.trace(|| format!("message {at} of {client}: {result:?}"));
        match result {
            Ok(()) => {}
            Err(SendError::Backlogged) => {
                world.crowd.clients[client].sent[at].dropped = true;
                drop(world);
                self.note_backlogged(peers, from);
            }
            Err(SendError::Closed) if world.links[client].reset => {}
            Err(SendError::Closed) => world.fail("a message while its sender is not open"),
        }
    }

    /// With the policy to close, that was its end.
    fn note_backlogged(&self, peers: &Peers<Session, Sim<Echoes>>, id: ConnectionId) {
        if !peers.is_open(id) {
            let client = Self::client(peers, id);
            self.world.borrow_mut().crowd.clients[client].excuse(Excuse::Backlogged);
        }
    }

    fn check_memory(&self, peers: &Peers<Session, Sim<Echoes>>) {
        let bound = self.world.borrow().crowd.backlog_bound();
        for id in peers.ids() {
            let owed = peers.backlog_bytes(id);
            if owed > bound {
                self.fail(format!("{id} is owed {owed} bytes, over the {bound} allowed"));
            }
        }
    }

    fn kick(&self, peers: &mut Peers<Session, Sim<Echoes>>, client: usize) {
        let Some(id) = self.ids[client] else { return };
        if peers.close(id, CloseCode::new(4001).expect("a code"), "kicked").is_ok() {
            self.world.borrow_mut().crowd.clients[client].excuse(Excuse::Kicked);
        }
    }

    fn broadcast(&self, peers: &mut Peers<Session, Sim<Echoes>>, number: usize, len: usize) {
        let text = format!("#{number}:{}", "b".repeat(len));
        let frame = SharedFrame::new(Message::text(&text));
        let payload: Rc<[u8]> = text.into_bytes().into();
        for (client, id) in self.ids.iter().enumerate() {
            let Some(id) = *id else { continue };
            let was_open = peers.is_open(id);
            match peers.send_shared(id, &frame) {
                Ok(()) => {
                    let mut world = self.world.borrow_mut();
                    world.crowd.clients[client].broadcasts.push_back(Rc::clone(&payload));
                }
                Err(SendError::Backlogged | SendError::Closed) if was_open => {
                    self.note_backlogged(peers, id);
                }
                Err(_) => {}
            }
        }
    }
}

impl Handler<Sim<Echoes>> for Echo {
    type Session = Session;
    type Mail = Mail;

    fn request(&mut self, request: &Request<'_>) -> Verdict<Session> {
        if request.offer().is_none() {
            return Verdict::Respond(HandshakeError::Upgrade.response());
        }
        let path = request.head().path();
        let client = path[3..].parse().expect("a path of the script");
        if path.starts_with("/p/") {
            self.pending[client] = Some(request.id());
            let mut world = self.world.borrow_mut();
            world.soon(3000, Deed::Decide(client));
            return Verdict::Pending;
        }
        Verdict::accept(Session { client })
    }

    fn open(&mut self, peers: &mut Peers<Session, Sim<Echoes>>, id: ConnectionId) {
        let client = Self::client(peers, id);
        self.ids[client] = Some(id);
        let mut world = self.world.borrow_mut();
        world.crowd.clients[client].opens += 1;
        if world.dice.once_in(3) {
            let greeting = "#hello";
            if peers.send(id, Message::text(greeting)).is_ok() {
                world.crowd.clients[client].broadcasts.push_back(greeting.as_bytes().into());
            }
        }
    }

    fn message(
        &mut self,
        peers: &mut Peers<Session, Sim<Echoes>>,
        from: ConnectionId,
        m: Message<'_>,
    ) {
        self.check(Self::client(peers, from), m);
        self.check_memory(peers);
        let (planted, now) = {
            let mut world = self.world.borrow_mut();
            (world.planted, world.dice.once_in(10))
        };
        match planted {
            Some(Fault::ForgetMessage) if now => {}
            Some(Fault::EchoTwice) if now => {
                self.echo(peers, from, m);
                self.echo(peers, from, m);
            }
            Some(Fault::SwapMessages) if now => {
                self.held_back.push_back((m.kind, m.payload.into()))
            }
            _ => self.echo(peers, from, m),
        }
        if planted == Some(Fault::SwapMessages) && !now {
            while let Some((kind, payload)) = self.held_back.pop_front() {
                self.echo(peers, from, Message { kind, payload: &payload });
            }
        }
    }

    fn close(
        &mut self,
        peers: &mut Peers<Session, Sim<Echoes>>,
        id: ConnectionId,
        session: Session,
        reason: CloseReason<'_>,
    ) {
        let ended = match reason {
            CloseReason::Peer(close) => Ended::Peer(close.code.map(CloseCode::get)),
            CloseReason::Protocol(error) => Ended::Protocol(error.close_code().get()),
            CloseReason::Lost => Ended::Lost,
            CloseReason::Timeout(Timeout::Pong) => Ended::Pong,
            CloseReason::Timeout(Timeout::Write) => Ended::Write,
            CloseReason::Timeout(Timeout::Close) => Ended::Close,
            CloseReason::Backlogged => Ended::Backlogged,
            CloseReason::Overloaded => {
                let client = &mut self.world.borrow_mut().crowd.clients[session.client];
                client.excuse(Excuse::Backlogged);
                Ended::Backlogged
            }
        };
        if peers.send(id, Message::text("too late")).is_ok() {
            self.fail("a message was taken for a connection that has ended".to_owned());
        }
        self.ids[session.client] = None;
        if ended == Ended::Pong && self.world.borrow().crowd.is_all_or_none {
            (0..self.ids.len()).for_each(|client| self.kick(peers, client));
        }
        self.world.borrow().trace(|| format!("closed {}: {ended:?}", session.client));
        self.world.borrow_mut().crowd.clients[session.client].closes.push(ended);
    }

    fn mail(&mut self, peers: &mut Peers<Session, Sim<Echoes>>, mail: Mail) {
        self.check_memory(peers);
        match mail {
            Mail::Decide(client) => {
                if let Some(id) = self.pending[client].take() {
                    peers.decide(id, Verdict::accept(Session { client }));
                }
            }
            Mail::Broadcast(number, len) => self.broadcast(peers, number, len),
            Mail::PingAll => {
                let ids: Vec<_> = peers.ids().collect();
                for id in ids {
                    let _ = peers.ping(id, b"are you there?"); // also who is not open (yet)
                }
            }
            Mail::Kick(client) => self.kick(peers, client),
        }
    }

    fn drain(&mut self, peers: &mut Peers<Session, Sim<Echoes>>, id: ConnectionId) {
        // What the same turn sent after that may have made it slow again.
        if !peers.is_open(id) {
            self.fail(format!("{id} has caught up, but is not open"));
        }
    }

    fn tick(&mut self, peers: &mut Peers<Session, Sim<Echoes>>) {
        self.check_memory(peers);
        let mut world = self.world.borrow_mut();
        let lived = world.now - world.jumped;
        let since_stop = world.crowd.stopping.map(|at| lived.saturating_sub(at));
        if since_stop.is_some_and(|since| since > Duration::from_secs(11)) {
            world.fail("the loop does not stop");
        }
    }
}
