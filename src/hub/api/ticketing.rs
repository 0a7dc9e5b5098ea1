//! Tickets, by the HTTP API: for a page whose server knows its user, or for whoever has a token.
//!
//! Owns who may ask for one, and for whom. What a ticket is stands in `auth`.

use serde::Serialize;

use super::Answer;
use super::access::Access;
use super::answer::{Problem, ok};
use super::input::{self, Ticket};
use super::operations::Call;
use crate::hub::auth::{Claims, Identity};
use crate::hub::command::check_name;
use crate::hub::origin::is_origin;

/// When a connection by a ticket ends that was asked for with a key, where nobody says, in seconds.
const CONNECTION_LIFE_S: u64 = 3600;

#[derive(Serialize)]
struct Issued {
    ticket: String,
    /// Milliseconds since 1970.
    expires_at: u64,
}

impl Call<'_> {
    pub(super) fn ticket(&self) -> Result<Answer, Problem> {
        let no_tickets = || Problem::new(404, "no_tickets", "this server takes no tickets");
        let tickets = self.hub.door.tickets.as_ref().ok_or_else(no_tickets)?;
        let asked: Ticket = input::body(self.head, self.body)?;
        // The page that asks is the one that will come, unless somebody asks for it.
        let own = self.head.header("origin").and_then(|origin| str::from_utf8(origin).ok());
        let origin = asked.origin.as_deref().or(own).map(ToOwned::to_owned);
        if origin.as_deref().is_some_and(|origin| !is_origin(origin)) {
            let content = "origin is that of a page, such as https://app.example.com";
            return Err(Problem::new(400, "bad_request", content));
        }
        let claims = match &self.access {
            Access::Token(identity) if !self.access.speaks_for_all() => {
                own_claims(identity, &asked)?
            }
            Access::Token(_) | Access::Key => self.claims(asked)?,
        };
        let issued = tickets.issue(claims, origin.as_deref(), self.now_ms);
        let (ticket, expires_at) =
            issued.map_err(|error| Problem::new(400, "bad_request", error.to_string()))?;
        Ok(Answer::Now(ok(&Issued { ticket, expires_at })))
    }

    /// What the bearer may do, as somebody says who may do everything.
    fn claims(&self, asked: Ticket) -> Result<Claims, Problem> {
        let bad = |content: &'static str| Problem::new(400, "bad_request", content);
        let now_s = self.now_ms / 1000;
        let sub = match (asked.sub, &self.access) {
            (Some(sub), _) => sub,
            (None, Access::Token(identity)) => (*identity.sub).into(),
            (None, Access::Key) => return Err(bad("sub has to be there: whose ticket it is")),
        };
        check_name(&sub)?;
        let end_s = asked.exp.unwrap_or(now_s + CONNECTION_LIFE_S);
        if end_s <= now_s {
            return Err(bad("exp is in the past"));
        }
        Ok(Claims {
            sub,
            exp: Some(end_s),
            iat: Some(now_s),
            rooms: asked.rooms,
            limits: asked.limits,
            priority: asked.priority,
            ..Claims::default()
        })
    }
}

/// What the bearer of a token may do, by a ticket too.
fn own_claims(identity: &Identity, asked: &Ticket) -> Result<Claims, Problem> {
    let says_more = asked.exp.is_some()
        || asked.rooms.is_some()
        || !asked.limits.is_empty()
        || asked.priority != <_>::default()
        || asked.sub.as_deref().is_some_and(|sub| *sub != *identity.sub);
    if says_more { Err(Problem::FORBIDDEN) } else { Ok(identity.claims()) }
}
