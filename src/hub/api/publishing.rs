//! Publishing by the HTTP API: to rooms, to a user, to all.
//!
//! Owns what is asked of a message before the loops get it, and the answer to one that is published
//! once however often it is sent. That it is, is decided at the home of each room.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::answer::{Problem, ok};
use super::input::{self, Publish, Say};
use super::operations::{Call, Done};
use super::{Answer, Once};
use crate::http::{self, Response};
use crate::hub::auth::{Priority, Right};
use crate::hub::command::{check_message_id, check_name};
use crate::hub::mail::To;
use crate::hub::sequencer::Outcome;

/// The most rooms that one request publishes to.
const ROOMS_MAX: usize = 100;

/// The header that says `message_id` too.
const KEY_HEADER: &str = "idempotency-key";

#[derive(Serialize)]
struct Published {
    ok: bool,
    published: Vec<Place>,
}

#[derive(Serialize)]
struct Place {
    room: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    duplicate: bool,
}

impl Call<'_> {
    pub(super) fn publish(&self) -> Result<Answer, Problem> {
        let Publish { room, rooms, content, sender, message_id } =
            input::body(self.head, self.body)?;
        let mut rooms = match (room, rooms) {
            (Some(room), None) => vec![room.into_owned()],
            (None, Some(rooms)) => rooms,
            (Some(_), Some(_)) | (None, None) => {
                let content = "either room or rooms has to be there";
                return Err(Problem::new(400, "bad_request", content));
            }
        };
        if rooms.is_empty() || rooms.len() > ROOMS_MAX {
            let content = format!("rooms names 1 to {ROOMS_MAX} rooms");
            return Err(Problem::new(400, "too_many_rooms", content));
        }
        rooms.sort_unstable();
        rooms.dedup();
        for room in &rooms {
            self.access.allows(Right::Write, check_name(room)?)?;
        }
        let rules = &self.hub.config.room_rules;
        rooms.iter().try_for_each(|room| self.may_publish(rules.rule(room).priority))?;
        let sender = self.access.sender(sender.as_deref());
        if let Some(id) = message_id_of(self.head, message_id.as_deref())? {
            let rooms = rooms.into_iter().map(Arc::from).collect();
            let (sender, content, message_id) =
                (check_name(sender)?.into(), content.to_owned(), id);
            return Ok(Answer::Once(Once { rooms, sender, content, message_id }));
        }
        self.say(rooms.into_iter().map(|room| To::Room(room.into())).collect(), sender, content)
    }

    pub(super) fn publish_to_user(&self) -> Result<Answer, Problem> {
        let user = self.name("user")?;
        self.access.allows(Right::Write, &format!("@{user}"))?;
        self.say_body(To::User(user.into()))
    }

    pub(super) fn broadcast(&self) -> Result<Answer, Problem> {
        self.say_body(To::All)
    }

    /// Says to whom no room stands for, and so nobody who could tell what comes again.
    fn say_body(&self, to: To) -> Result<Answer, Problem> {
        let Say { content, sender } = input::body(self.head, self.body)?;
        if message_id_of(self.head, None)?.is_some() {
            let content = "Idempotency-Key is for /api/publish";
            return Err(Problem::new(400, "bad_request", content));
        }
        self.may_publish(Priority::Normal)?;
        self.say(vec![to], self.access.sender(sender.as_deref()), content)
    }

    fn say(&self, to: Vec<To>, sender: &str, content: &RawValue) -> Result<Answer, Problem> {
        self.control.publish(to, sender, content.get())?;
        Ok(Answer::Now(ok(&Done { ok: true })))
    }

    /// Whether something for a room of this priority is taken now.
    fn may_publish(&self, room: Priority) -> Result<(), Problem> {
        self.hub.may_publish(self.access.priority(), room).map_err(|_| Problem::SHED)
    }
}

/// The id of a message: of the header or the body, and the same where it stands in both.
fn message_id_of(
    head: &http::Request<'_>,
    field: Option<&str>,
) -> Result<Option<Box<str>>, Problem> {
    let bad = |content: &'static str| Problem::new(400, "bad_request", content);
    let header = head.all_headers().only(KEY_HEADER);
    let header = header.map_err(|_| bad("Idempotency-Key is there more than once"))?;
    let header = header.map(str::from_utf8).transpose();
    let header = header.map_err(|_| bad("Idempotency-Key is not UTF-8"))?;
    // As a string of Structured Fields, or as most write it.
    let quoted = |text: &'_ str| text.strip_prefix('"')?.strip_suffix('"').map(str::len);
    let header = header.map(|text| quoted(text).map_or(text, |len| &text[1..=len]));
    let id = match (header, field) {
        (Some(header), Some(field)) if header != field => {
            return Err(bad("Idempotency-Key and message_id are not the same"));
        }
        (header, field) => header.or(field),
    };
    let id = id.map(check_message_id).transpose();
    Ok(id.map_err(|fault| bad(fault.content))?.map(Box::from))
}

/// The answer, when it is known of each of so many rooms.
pub(super) fn answer(outcomes: Vec<Outcome>, asked: usize) -> Result<Response, Problem> {
    let all = outcomes.len() == asked;
    let mut published = Vec::with_capacity(asked);
    for (room, result) in outcomes {
        let receipt = result.map_err(Problem::unavailable)?;
        let (offset, duplicate) = (receipt.offset, receipt.is_duplicate);
        published.push(Place { room: (*room).into(), offset, duplicate });
    }
    if !all {
        return Err(Problem::OVERLOADED);
    }
    published.sort_unstable_by(|one, other| one.room.cmp(&other.room));
    Ok(ok(&Published { ok: true, published }))
}
