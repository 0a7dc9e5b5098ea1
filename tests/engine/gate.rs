//! The limits of the hub at work on the loop: what a handler does with the gate, the flows and the
//! trusted proxies, over real sockets and several loops.

use std::sync::Arc;

use serde_json::Value;

use throng::frame::CloseCode;
use throng::handshake::HandshakeError;
use throng::http::Response;
use throng::hub::address::TrustedProxies;
use throng::hub::limits::{
    Flow, FlowLimits, Gate, HandshakeLimits, Limit, Place, Rate, RoomFlows, RoomLimits, Ruling,
};
use throng::net::{Config, ConnectionId, Handler, Mailboxes, Message, Peers, Request, Verdict};

use crate::Running;
use crate::common::http::Upgrade;
use crate::common::{Answer, Expect, Frame, RawClient, eventually};

/// What the loops of a server share.
struct Shared {
    gate: Arc<Gate>,
    rooms: RoomFlows,
    flow: FlowLimits,
    proxies: TrustedProxies,
}

/// Echoes what the limits let through.
struct Limited(Arc<Shared>);

/// The place is given back when the session goes, whatever the reason.
#[derive(Default)]
struct Session {
    flow: Flow,
    _place: Option<Place>,
}

impl Limited {
    fn enter(&self, request: &Request<'_>) -> Result<Session, Response> {
        let shared = &self.0;
        let peer = request.remote_addr().map(|addr| addr.ip());
        let addr = shared.proxies.client(peer, request.head()).counted_as();
        let place = shared.gate.enter(Some(addr), request.now());
        let mut place = place.map_err(|refusal| refusal.response())?;
        if let Some(user) = request.head().query() {
            place.take_user(&user.into()).map_err(|refusal| refusal.response())?;
        }
        Ok(Session { _place: Some(place), ..Session::default() })
    }
}

impl Handler for Limited {
    type Session = Session;
    type Mail = ();

    fn request(&mut self, request: &Request<'_>) -> Verdict<Session> {
        if request.offer().is_none() {
            return Verdict::Respond(HandshakeError::Upgrade.response());
        }
        match self.enter(request) {
            Ok(session) => Verdict::accept(session),
            Err(response) => Verdict::Respond(response),
        }
    }

    fn message(&mut self, peers: &mut Peers<Session>, from: ConnectionId, message: Message<'_>) {
        let (now, len) = (peers.now(), message.payload.len());
        let Some(session) = peers.session_mut(from) else { return };
        let ruling = match session.flow.rule(now, len, &self.0.flow) {
            Ruling::Pass => match self.0.rooms.take("room", now, len) {
                Ok(()) => Ruling::Pass,
                Err(retry_after_ms) => Ruling::Refuse { retry_after_ms },
            },
            other => other,
        };
        let _ = match ruling {
            Ruling::Pass => peers.send(from, message),
            Ruling::Refuse { retry_after_ms } => {
                peers.send(from, Message::text(&format!("wait {retry_after_ms}")))
            }
            Ruling::Close => peers.close(from, CloseCode::POLICY_VIOLATION, "too many messages"),
        };
    }
}

fn limited(limits: HandshakeLimits) -> (Running, Arc<Shared>) {
    let flow =
        FlowLimits { messages: Some(Rate::per_minute(4)), bytes: None, refusals_per_minute_max: 3 };
    let shared = Arc::new(Shared {
        gate: Arc::new(Gate::new(limits)),
        rooms: RoomFlows::new(RoomLimits {
            messages: Some(Rate::per_minute(6)),
            ..RoomLimits::default()
        }),
        flow,
        proxies: TrustedProxies::new(["127.0.0.1".parse().expect("an address")]),
    });
    let for_loops = Arc::clone(&shared);
    let make = move |_: usize, _: &Mailboxes<()>| Limited(Arc::clone(&for_loops));
    (Running::start(Config::default(), 3, make), shared)
}

/// A handshake that a proxy passes on for `addr`.
fn knock(server: &Running, target: &str, addr: &str) -> RawClient {
    let mut client = server.client();
    client.send(Upgrade::new(target).header("X-Forwarded-For", addr).bytes());
    client
}

fn enter(server: &Running, target: &str, addr: &str) -> RawClient {
    let mut client = knock(server, target, addr);
    client.expect_upgrade();
    client
}

/// The handshake is refused because of `limit`, and the answer says so in words and in numbers.
fn is_refused(server: &Running, target: &str, addr: &str, limit: Limit) {
    let mut client = knock(server, target, addr);
    let status = if limit == Limit::Connections { 503 } else { 429 };
    let answer: Answer = client.read_answer(false);
    assert_eq!(answer.status, status, "{answer:?}");
    let retry_after = answer.only("retry-after").and_then(|value| value.parse::<u32>().ok());
    assert!(retry_after.is_some_and(|seconds| seconds > 0), "{answer:?}");
    assert_eq!(answer.only("content-type"), Some("application/json"));
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(body["limit"], limit.name());
    client.expect_eof();
}

#[test]
fn connections_of_an_address_are_counted_over_all_loops_until_they_end() {
    let limits = HandshakeLimits { connections_per_address_max: 6, ..HandshakeLimits::default() };
    let (server, shared) = limited(limits);
    let mut clients: Vec<_> = (0..6).map(|_| enter(&server, "/", "192.0.2.7")).collect();
    is_refused(&server, "/", "192.0.2.7", Limit::ConnectionsPerAddress);
    is_refused(&server, "/", "6.6.6.6, 192.0.2.7", Limit::ConnectionsPerAddress);
    clients.push(enter(&server, "/", "192.0.2.8"));
    assert_eq!(shared.gate.connections(), 7);
    // However a connection ends: by a Close, by the end of TCP, by a reset.
    let mut closing = clients.remove(0);
    closing.send(Frame::close(1000, "").bytes());
    closing.expect_close(1000);
    drop(clients.remove(0));
    clients.remove(0).reset();
    eventually("three have left", 20.0, || shared.gate.connections() == 4);
    clients.extend((0..3).map(|_| enter(&server, "/", "192.0.2.7")));
    is_refused(&server, "/", "192.0.2.7", Limit::ConnectionsPerAddress);
    drop(clients);
    eventually("all have left", 20.0, || shared.gate.connections() == 0);
}

#[test]
fn connections_in_all_and_of_a_user_are_counted_over_all_loops() {
    let limits = HandshakeLimits {
        connections_max: 5,
        connections_per_user_max: 3,
        ..HandshakeLimits::default()
    };
    let (server, shared) = limited(limits);
    let addrs = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
    let mut clients: Vec<_> = addrs.map(|addr| enter(&server, "/?ann", addr)).into();
    is_refused(&server, "/?ann", "192.0.2.4", Limit::ConnectionsPerUser);
    eventually("a refused one holds nothing", 20.0, || shared.gate.connections() == 3);
    clients.extend(["192.0.2.5", "192.0.2.6"].map(|addr| enter(&server, "/?bob", addr)));
    is_refused(&server, "/?carol", "192.0.2.7", Limit::Connections);
    assert_eq!(shared.gate.refusals(Limit::Connections), 1);
    assert_eq!(shared.gate.refusals(Limit::ConnectionsPerUser), 1);
}

#[test]
fn handshakes_come_at_a_rate_over_all_loops() {
    let limits = HandshakeLimits {
        rate: Some(Rate::per_minute(6)),
        rate_per_address: Some(Rate::per_minute(3)),
        ..HandshakeLimits::default()
    };
    let (server, _) = limited(limits);
    for _ in 0..3 {
        enter(&server, "/", "2001:db8::1");
    }
    is_refused(&server, "/", "2001:db8::2", Limit::HandshakesPerAddress);
    for last in 1..4 {
        enter(&server, "/", &format!("192.0.2.{last}"));
    }
    is_refused(&server, "/", "192.0.2.9", Limit::Handshakes);
}

#[test]
fn messages_past_the_rate_are_refused_and_then_the_connection_is_closed() {
    let (server, _) = limited(HandshakeLimits::default());
    let mut first = enter(&server, "/", "192.0.2.7");
    for _ in 0..4 {
        first.send(Frame::text("hello").bytes());
        first.expect(&Expect::text("hello"));
    }
    for _ in 0..3 {
        first.send(Frame::text("hello").bytes());
        let text = first.read_text();
        let wait = text.strip_prefix("wait ").and_then(|ms| ms.parse::<u32>().ok());
        assert!(wait.is_some_and(|ms| ms > 0 && ms <= 15_000), "{text}");
    }
    first.send(Frame::text("hello").bytes());
    first.expect_close(1008);
    // The room has room for two more, whoever sends them, and nobody is closed for that.
    let mut second = enter(&server, "/", "192.0.2.8");
    for expected in ["hello", "hello", "wait "] {
        second.send(Frame::text("hello").bytes());
        let text = second.read_text();
        assert!(text.starts_with(expected), "{text}");
    }
    second.expect_open();
}
