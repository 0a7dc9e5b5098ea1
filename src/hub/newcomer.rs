//! Somebody whose handshake asks to be a member.
//!
//! Owns what the request says of it, and what is known of who it is. Never decides what the door
//! decides.

use std::borrow::Cow;

use super::auth::{Refusal, first_message};
use super::command::{Fault, check_name};
use super::door::{Door, Pass, Standing};
use super::protobuf;
use super::sessions::SessionId;
use super::wire::Wire;
use crate::net::{Message, MessageKind, Request};

/// The room of those who name none.
pub(super) const LOBBY: &str = "lobby";

/// What a handshake asks to be.
#[derive(Debug, Default)]
pub(super) struct Newcomer {
    pub(super) name: Option<Box<str>>,
    pub(super) room: Option<Box<str>>,
    /// What it was in before: then no room is joined for it but those.
    pub(super) session: Option<SessionId>,
    pub(super) pass: Option<Box<Pass>>,
    pub(super) wire: Wire,
    /// Whether the name is that of a client certificate.
    pub(super) is_certified: bool,
}

impl Newcomer {
    pub(super) fn of(request: &Request<'_>) -> Result<Self, Fault> {
        let head = request.head();
        let room = (head.path() == "/").then(|| LOBBY.into());
        let mut newcomer = Self { room, ..Self::default() };
        for (key, value) in form_urlencoded::parse(head.query().unwrap_or("").as_bytes()) {
            match &*key {
                "room" => newcomer.room = Some(check_name(&value)?.into()),
                "session" => newcomer.session = value.parse().ok(),
                "name" if !value.is_empty() => newcomer.name = Some(check_name(&value)?.into()),
                _ => {}
            }
        }
        #[cfg(feature = "tls")]
        if let Some(name) = request.client_certificate().and_then(crate::tls::subject_name) {
            newcomer.name = Some(check_name(name)?.into());
            newcomer.is_certified = true;
        }
        Ok(newcomer)
    }

    pub(super) fn standing(&self) -> Standing {
        self.pass.as_ref().map(|pass| pass.standing).unwrap_or_default()
    }

    /// Takes the token that is the first message.
    ///
    /// # Errors
    /// The reason of the Close.
    pub(super) fn authenticate(
        &mut self,
        door: &Door,
        message: Message<'_>,
        now_s: u64,
    ) -> Result<(), &'static str> {
        let missing = Refusal::Missing.code();
        let pass = self.pass.as_mut().ok_or(missing)?;
        let json = match message.kind {
            kind if kind != self.wire.kind() => return Err(missing),
            MessageKind::Text => Cow::Borrowed(message.payload),
            MessageKind::Binary => {
                Cow::Owned(protobuf::command_to_json(message.payload).map_err(|_| missing)?)
            }
        };
        let token = first_message(&json).map_err(Refusal::code)?;
        door.authenticate(pass, &token, now_s)
    }
}
