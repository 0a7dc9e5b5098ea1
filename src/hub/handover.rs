//! Members and rooms that move to another process.
//!
//! Owns what of them is written down: who somebody is, where it sits, and the order of the rooms
//! with what was said last. How fast somebody has sent of late is not: that begins anew.

use std::net::IpAddr;
use std::sync::Arc;

use prost::Message as _;
use serde::{Deserialize, Serialize};

use super::auth::{Claims, Identity};
use super::door::{Pass, Standing};
use super::handler::{Hub, Kind, Session};
use super::history::{Epoch, Kept, Page, Position};
use super::limits::Origin;
use super::mail::Letter;
use super::members::{Home, Member};
use super::trace::Trace;
use super::wire::Wire;
use crate::net::{ConnectionId, Peers, Platform};

/// What is written down of a room at most, in bytes: of more the oldest messages are left out.
const ROOM_BYTES_MAX: usize = 8 << 20;

/// A connection.
#[derive(Serialize, Deserialize)]
enum SessionImage {
    Echo(Option<PassImage>),
    Member(MemberImage),
}

#[derive(Serialize, Deserialize)]
struct MemberImage {
    name: Box<str>,
    is_guest: bool,
    opened_s: u32,
    speaks_protobuf: bool,
    rooms: Vec<Box<str>>,
    home: HomeImage,
    pass: Option<PassImage>,
    /// Its own address where a proxy stands in between, and the page that it came from.
    ip: Option<IpAddr>,
    page: Option<Box<str>>,
}

/// The room that is meant where none is named.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum HomeImage {
    Lobby,
    /// By its place among the rooms.
    Room(usize),
    Left,
}

/// What the door has kept.
#[derive(Serialize, Deserialize)]
struct PassImage {
    claims: Option<Claims>,
    expires_at_s: Option<u64>,
    trace: Option<String>,
    /// Where it was counted.
    origin: Option<Origin>,
}

/// A piece of what all know: one of these.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct StateImage {
    #[prost(message, optional, tag = "1")]
    room: Option<RoomImage>,
    /// A revocation of tokens, as JSON.
    #[prost(bytes = "vec", optional, tag = "2")]
    revocation: Option<Vec<u8>>,
}

/// A room's order, and what was said in it last.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct RoomImage {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(fixed64, tag = "2")]
    pub(super) epoch: u64,
    #[prost(uint64, tag = "3")]
    pub(super) offset: u64,
    #[prost(message, repeated, tag = "4")]
    pub(super) messages: Vec<KeptImage>,
}

/// A message as it was delivered.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct KeptImage {
    #[prost(uint64, tag = "1")]
    offset: u64,
    #[prost(uint64, tag = "2")]
    timestamp: u64,
    #[prost(bytes = "vec", tag = "3")]
    json: Vec<u8>,
}

impl RoomImage {
    pub(super) fn new<'a>(
        name: &str,
        position: Position,
        messages: impl DoubleEndedIterator<Item = &'a Kept>,
    ) -> Self {
        let mut bytes = 0;
        let newest = messages.rev().take_while(|kept| {
            bytes += kept.bytes();
            bytes <= ROOM_BYTES_MAX
        });
        let mut messages: Vec<_> = newest
            .map(|kept| KeptImage {
                offset: kept.offset,
                timestamp: kept.timestamp,
                json: kept.frame.payload().to_vec(),
            })
            .collect();
        messages.reverse();
        let Position { epoch: Epoch(epoch), offset } = position;
        Self { name: name.to_owned(), epoch, offset, messages }
    }

    /// As a log takes it.
    fn page(&self) -> Page {
        let kept = |image: &KeptImage| {
            let frame = Wire::Json.frame(&image.json);
            Kept { offset: image.offset, timestamp: image.timestamp, frame }
        };
        let position = Position { epoch: Epoch(self.epoch), offset: self.offset };
        let messages = self.messages.iter().map(kept).collect();
        Page { position, messages, has_more: false }
    }
}

impl PassImage {
    fn new(pass: &Pass) -> Self {
        Self {
            claims: pass.identity.as_ref().map(|identity| {
                let api = identity.may_use_api;
                Claims { api, ..identity.claims() }
            }),
            expires_at_s: pass.identity.as_ref().and_then(|identity| identity.expires_at_s),
            trace: pass.trace.as_ref().map(|trace| trace.to_string()),
            origin: pass.origin(),
        }
    }
}

impl Hub {
    /// A connection as it is; `None` where it has to stay.
    pub(super) fn pack_session(&self, session: &Session) -> Option<Vec<u8>> {
        let is_known = |pass: Option<&Pass>| pass.is_none_or(|it| it.standing == Standing::Known);
        let image = match &session.0 {
            Kind::Echo(pass) if is_known(pass.as_deref()) => {
                SessionImage::Echo(pass.as_deref().map(PassImage::new))
            }
            // One of several nodes is told what it has missed where it comes anew: to follow its
            // rooms from there takes the broker's word.
            Kind::Member(_) if self.relay.is_some() => return None,
            Kind::Member(number) if !self.waiting.contains_key(number) => {
                let member = self.rooms.members.find(*number)?;
                SessionImage::Member(self.member_image(member)?)
            }
            Kind::Echo(_) | Kind::Member(_) | Kind::Newcomer(_) | Kind::Viewer { .. } => {
                return None;
            }
        };
        serde_json::to_vec(&image).ok()
    }

    fn member_image(&self, member: &Member) -> Option<MemberImage> {
        let seats = member.seats.as_slice();
        let names = seats.iter().map(|seat| Some(Box::from(&*self.rooms.room(seat.room)?.name)));
        let home = match member.home {
            Home::Lobby => HomeImage::Lobby,
            Home::Left => HomeImage::Left,
            Home::Room(room) => HomeImage::Room(seats.iter().position(|seat| seat.room == room)?),
        };
        let caller = self.callers.find(member.id);
        Some(MemberImage {
            name: member.name.clone(),
            is_guest: member.is_guest,
            opened_s: member.opened_s,
            speaks_protobuf: member.wire == Wire::Protobuf,
            rooms: names.collect::<Option<_>>()?,
            home,
            pass: member.pass.as_deref().map(PassImage::new),
            ip: caller.and_then(|caller| caller.ip),
            page: caller.and_then(|caller| caller.origin.as_deref()).map(Box::from),
        })
    }

    /// The session of a connection of another process.
    pub(super) fn unpack_session<P: Platform>(
        &mut self,
        peers: &Peers<Session, P>,
        id: ConnectionId,
        packed: &[u8],
    ) -> Option<Session> {
        let image = serde_json::from_slice(packed).ok()?;
        let kind = match image {
            SessionImage::Echo(pass) => {
                Kind::Echo(pass.map(|pass| self.unpack_pass(peers, id, pass)))
            }
            SessionImage::Member(image) => {
                self.callers.keep(id, image.ip, image.page.as_deref());
                let pass = image.pass.map(|pass| self.unpack_pass(peers, id, pass));
                let mut member = Member::new(id, image.name, image.is_guest, image.opened_s);
                member.pass = pass;
                member.wire = if image.speaks_protobuf { Wire::Protobuf } else { Wire::Json };
                let name: Arc<str> = Arc::from(&*member.name);
                let number = self.rooms.members.insert(member);
                let rooms = image.rooms.iter().map(|room| self.seat(number, room, &name));
                let rooms: Vec<u32> = rooms.collect();
                let home = match image.home {
                    HomeImage::Lobby => Home::Lobby,
                    HomeImage::Left => Home::Left,
                    HomeImage::Room(at) => rooms.get(at).map_or(Home::Left, |it| Home::Room(*it)),
                };
                self.rooms.members.find_mut(number)?.home = home;
                Kind::Member(number)
            }
        };
        Some(Session(kind))
    }

    /// Seats somebody where it sat before: nobody is told, since nobody has come.
    fn seat(&mut self, number: u32, room: &str, name: &Arc<str>) -> u32 {
        let joined = self.rooms.join(number, room);
        if let Some(room) = self.rooms.room(joined) {
            let room = Arc::clone(&room.name);
            self.others.send_to_all(|| {
                let (room, name) = (Arc::clone(&room), Arc::clone(name));
                Letter::Presence { room, name, change: 1, is_news: false }
            });
        }
        joined
    }

    fn unpack_pass<P: Platform>(
        &mut self,
        peers: &Peers<Session, P>,
        id: ConnectionId,
        image: PassImage,
    ) -> Box<Pass> {
        let identity = image.claims.map(|claims| Identity::new(claims, image.expires_at_s));
        self.terms.expires(id, identity.as_ref().and_then(|identity| identity.expires_at_s));
        let gate = self.door.gate.as_ref().zip(image.origin);
        let place = gate.map(|(gate, origin)| gate.readmit(&origin, peers.now()));
        let trace = image.trace.and_then(|trace| Trace::parse(trace.as_bytes())).map(Box::new);
        Box::new(Pass::readmitted(identity, trace, place))
    }

    /// The rooms whose order this loop gives; and, once, what all loops share.
    pub(super) fn pack_all<P: Platform>(&self, peers: &Peers<Session, P>) -> Vec<Vec<u8>> {
        let rooms = self.logs.images().filter(|_| self.relay.is_none());
        let rooms = rooms.map(|room| StateImage { room: Some(room), ..StateImage::default() });
        let authenticator = self.door.authenticator.iter().filter(|_| self.loop_index == 0);
        let now_s = peers.unix_ms() / 1000;
        let revocations = authenticator.flat_map(|it| it.revocations(usize::MAX, now_s).0);
        let revocations = revocations.map(|revocation| StateImage {
            revocation: serde_json::to_vec(&revocation).ok(),
            ..StateImage::default()
        });
        rooms.chain(revocations).map(|image| image.encode_to_vec()).collect()
    }

    /// A piece of what another process knows.
    pub(super) fn unpack_piece<P: Platform>(&mut self, peers: &Peers<Session, P>, packed: &[u8]) {
        let Ok(StateImage { room, revocation }) = StateImage::decode(packed) else {
            return tracing::warn!("something was not taken over: it cannot be understood");
        };
        if let Some(room) = room {
            self.unpack_room(peers, &room);
        }
        let revocation = revocation.and_then(|it| serde_json::from_slice(&it).ok());
        if let (Some(authenticator), Some(revocation)) = (&self.door.authenticator, revocation)
            && let Err(error) = authenticator.revoke(revocation, peers.unix_ms() / 1000)
        {
            tracing::warn!(%error, "a revocation was not taken over");
        }
    }

    fn unpack_room<P: Platform>(&mut self, peers: &Peers<Session, P>, image: &RoomImage) {
        let keep = self.config.history.keep(&image.name);
        // Where the broker has the order, a room is read from there: it has gone on meanwhile, and
        // one that is here already would not be followed.
        let is_elsewhere = keep.is_durable || self.relay.is_some();
        if !self.is_home_of(&image.name) || !keep.has_history() || is_elsewhere {
            return;
        }
        let now_ms = peers.unix_ms();
        self.logs.load(&image.name.as_str().into(), keep, image.page(), now_ms);
    }
}
